"""The circuit breaker: opens, stays away, lets one probe through, and is never stuck."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns.breaker import Breaker, guarded
from patterns.errors import CallerError, PatternsError, ProviderError
from patterns.events import Answer, Event, TextDelta, ToolCall, Turn, answer

TURN = Turn("?")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def down(retry_after: float | None = None, transient: bool = True) -> ProviderError:
    return ProviderError("Down.", "Try again.", "overloaded", transient=transient, retry_after=retry_after)


def test_it_opens_after_failures_in_a_row_and_closes_after_one_probe() -> None:
    clock = Clock()
    breaker = Breaker(3, 10, clock)
    for _ in range(3):
        assert breaker.state == "closed"
        breaker.failed(breaker.enter())
    assert breaker.state == "open"
    with pytest.raises(ProviderError) as caught:
        breaker.enter()
    assert caught.value.transient and caught.value.code == "breaker_open" and caught.value.retry_after == 10
    clock.now = 10.0
    assert breaker.enter() is True
    with pytest.raises(ProviderError):  # one request only
        breaker.enter()
    breaker.worked(True)
    assert breaker.state == "closed" and breaker.enter() is False


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = Breaker(2, 10, Clock())
    for ends in ("failed", "worked", "failed"):
        getattr(breaker, ends)(breaker.enter())
    assert breaker.state == "closed"


def test_a_probe_that_fails_opens_it_again_for_as_long_as_the_provider_asks() -> None:
    clock = Clock()
    breaker = Breaker(1, 10, clock)
    breaker.failed(breaker.enter())
    clock.now = 10.0
    breaker.failed(breaker.enter(), retry_after=60)
    clock.now = 69.0
    assert breaker.state == "open"
    clock.now = 70.0
    assert breaker.state == "half open"


def test_a_call_that_began_before_it_opened_does_not_close_it() -> None:
    breaker = Breaker(1, 10, Clock())
    early, late = breaker.enter(), breaker.enter()
    breaker.failed(late)
    breaker.worked(early)
    assert breaker.state == "open"


@given(st.lists(st.sampled_from(["works", "fails", "leaves", "waits"])))
def test_whatever_happens_at_most_one_call_goes_through_while_it_is_not_closed(steps: list[str]) -> None:
    clock = Clock()
    breaker = Breaker(2, 10, clock)
    for step in steps:
        if step == "waits":
            clock.now += 10.0
            continue
        closed = breaker.state == "closed"
        try:
            probe = breaker.enter()
        except ProviderError:
            continue
        assert probe is not closed
        if probe:
            with pytest.raises(ProviderError):
                breaker.enter()
        {"works": breaker.worked, "fails": breaker.failed, "leaves": breaker.left}[step](probe)
    clock.now += 10.0
    breaker.worked(breaker.enter())  # never stuck: after its time somebody gets through
    assert breaker.state == "closed"


# the layer


class Model:
    """Does what `plan` says, one entry a call, the last one for ever: an error, or an event that ends the turn."""

    def __init__(self, *plan: Event | PatternsError) -> None:
        self.plan, self.calls = plan, 0

    async def handle(self, turn: Turn) -> AsyncGenerator[Event, None]:
        step = self.plan[min(self.calls, len(self.plan) - 1)]
        self.calls += 1
        yield TextDelta("Well")
        if isinstance(step, PatternsError):
            raise step
        yield step


async def code(handler: object, turn: Turn = TURN) -> str:
    try:
        return (await answer(handler, turn)).served  # pyright: ignore[reportArgumentType]
    except PatternsError as error:
        return error.code


async def test_an_open_breaker_costs_no_call() -> None:
    model = Model(down())
    handler = guarded(lambda turn: "m", failures=3)(model.handle)
    assert [await code(handler) for _ in range(20)] == ["overloaded"] * 3 + ["breaker_open"] * 17
    assert model.calls == 3


async def test_keys_fail_apart() -> None:
    model = Model(down())
    handler = guarded(lambda turn: turn.feature, failures=1)(model.handle)
    assert await code(handler, Turn("?", feature="a")) == "overloaded"
    assert await code(handler, Turn("?", feature="b")) == "overloaded"
    assert await code(handler, Turn("?", feature="a")) == "breaker_open"


@pytest.mark.parametrize(
    "end",
    [CallerError("x", "y", "bad_request"), down(transient=False), Answer(text="yes"), ToolCall("1", "look", {})],
    ids=["caller", "not-transient", "answer", "tool-call"],
)
async def test_what_is_no_outage_opens_nothing(end: Event | PatternsError) -> None:
    model = Model(end)
    handler = guarded(lambda turn: "m", failures=1)(model.handle)
    for _ in range(3):
        await code(handler)
    assert model.calls == 3


async def test_answers_that_say_unavailable_open_it() -> None:
    model = Model(Answer(text="", served="unavailable"))
    handler = guarded(lambda turn: "m", failures=2)(model.handle)
    assert [await code(handler) for _ in range(3)] == ["unavailable", "unavailable", "breaker_open"]


@pytest.mark.parametrize("leaves", ["closes", "is cancelled"])
async def test_a_probe_whose_reader_goes_away_gives_its_place_back(leaves: str) -> None:
    hang = asyncio.Event()

    async def slow(turn: Turn) -> AsyncGenerator[Event, None]:
        yield TextDelta("a")
        if turn.text == "fail":
            raise down()
        if turn.text == "slow":
            await hang.wait()
        yield Answer(text="a")

    handler = guarded(lambda turn: "m", failures=1, seconds=0.0)(slow)
    assert await code(handler, Turn("fail")) == "overloaded"

    async def read() -> None:
        async with aclosing(handler(Turn("slow"))) as events:
            async for _ in events:
                if leaves == "closes":
                    return

    reader = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    reader.cancel()
    await asyncio.wait({reader})
    assert await code(handler, Turn("fine")) == "live"
