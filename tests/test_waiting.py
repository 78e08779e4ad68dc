"""Reading with an eye on the clock: nothing is lost, nothing changes places, and whatever was opened is closed."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patterns.errors import LimitHit
from patterns.events import Event, TextDelta
from patterns.waiting import ticking, within

NEVER = 3600.0


class Source:
    """A stream of `waits`: one numbered event after each of so many seconds. `closed` counts how often it was left."""

    def __init__(self, waits: Sequence[float], cleanup: float = 0.0, stubborn: bool = False) -> None:
        self.waits, self.cleanup, self.stubborn = waits, cleanup, stubborn
        self.opened = self.closed = 0
        self.asleep = asyncio.Event()

    async def events(self) -> AsyncGenerator[Event, None]:
        self.opened += 1
        try:
            for number, wait in enumerate(self.waits):
                try:
                    self.asleep.set()
                    await asyncio.sleep(wait)
                except asyncio.CancelledError:
                    if not self.stubborn:
                        raise
                yield TextDelta(str(number))
        finally:
            await asyncio.sleep(self.cleanup)
            self.closed += 1


@settings(max_examples=40, deadline=None)
@given(
    waits=st.lists(st.sampled_from([0.0, 0.0, 0.001, 0.004]), max_size=12),
    patience=st.lists(st.sampled_from([-1.0, 0.0, 0.001, 0.002, 60.0]), min_size=1, max_size=5),
)
async def test_ticks_lose_nothing_and_keep_the_order(waits: list[float], patience: list[float]) -> None:
    source, asked = Source(waits), 0

    def next_patience() -> float:
        nonlocal asked
        asked += 1
        return patience[asked % len(patience)]

    seen = [event async for event in ticking(source.events(), next_patience)]
    assert [event for event in seen if event] == [TextDelta(str(number)) for number in range(len(waits))]
    assert (source.opened, source.closed) == (1, 1)


async def test_a_tick_comes_while_nothing_comes_and_disturbs_nothing() -> None:
    source = Source([0.0, 0.2])
    seen = [event async for event in ticking(source.events(), lambda: 0.01)]
    assert None in seen[1:-1] and [event for event in seen if event] == [TextDelta("0"), TextDelta("1")]


@pytest.mark.parametrize("read", [1, 2, 3])
@pytest.mark.parametrize("stubborn", [False, True])
async def test_closing_closes_what_is_read(read: int, stubborn: bool) -> None:
    source = Source([0.0, 0.0, NEVER, 0.0], cleanup=0.01, stubborn=stubborn)
    events = ticking(source.events(), lambda: 0.01)
    for _ in range(read):
        await anext(events)
    await events.aclose()
    assert source.closed == 1


async def test_a_reader_who_fails_closes_it() -> None:
    source = Source([0.0, NEVER])
    with pytest.raises(ZeroDivisionError):
        async with aclosing(ticking(source.events(), lambda: NEVER)) as events:
            async for _ in events:
                raise ZeroDivisionError
    assert source.closed == 1


async def test_what_the_stream_raises_comes_out_after_its_events() -> None:
    async def failing() -> AsyncGenerator[Event, None]:
        yield TextDelta("a")
        raise ZeroDivisionError

    events = ticking(failing(), lambda: NEVER)
    assert await anext(events) == TextDelta("a")
    with pytest.raises(ZeroDivisionError):
        await anext(events)


async def read_all(source: Source, deadline: float) -> list[Event]:
    async with aclosing(within(source.events(), deadline)) as events:
        return [event async for event in events]


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_cancelled_however_often_it_waits_until_all_is_closed(times: int) -> None:
    source = Source([0.0, NEVER], cleanup=0.05)
    task = asyncio.create_task(read_all(source, time.monotonic() + NEVER))
    async with asyncio.timeout(20):
        while len(source.waits) > 1 and not source.asleep.is_set():
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.005)
        with pytest.raises(asyncio.CancelledError):
            await task
    assert source.closed == 1 and task.cancelled()


async def test_what_comes_in_time_comes_whole() -> None:
    source = Source([0.0] * 20)
    assert len(await read_all(source, time.monotonic() + NEVER)) == 20 and source.closed == 1


@pytest.mark.parametrize("left", [-1.0, 0.0, 0.05])
async def test_the_deadline_closes_the_stream(left: float) -> None:
    source = Source([0.0, NEVER])
    with pytest.raises(LimitHit) as hit:
        await read_all(source, time.monotonic() + left)
    assert hit.value.code == "seconds" and hit.value.next_step
    assert source.opened == source.closed == 1


async def test_a_stream_that_never_stops_talking_is_stopped_too() -> None:
    closed = []

    async def chatter() -> AsyncGenerator[Event, None]:
        try:
            while True:
                yield TextDelta(".")
        finally:
            closed.append(True)

    with pytest.raises(LimitHit):
        async with aclosing(within(chatter(), time.monotonic() + 0.05)) as events:
            async for _ in events:
                pass
    assert closed == [True]


async def test_a_slow_reader_is_on_the_clock_as_well() -> None:
    source = Source([0.0] * 5)
    with pytest.raises(LimitHit):
        async with aclosing(within(source.events(), time.monotonic() + 0.05)) as events:
            async for _ in events:
                await asyncio.sleep(0.06)
    assert source.closed == 1
