"""A hedged request: when the first word takes unusually long, the same is asked once more, and the first answer wins.

Unusually long is the 95th percentile of the last calls, and twice their median at least: where all are alike, none is
unusual. So one call in twenty is made twice at most, and an allowance sees to that: in an outage everything is slow,
and asking twice would double the load. The loser's connection is closed at once. Only before the first word, and only
around a model call: a tool runs once.
"""

import asyncio
import statistics
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeAlias

from . import metrics
from .events import Event, Handler, Layer, Status, Turn
from .retries import Allowance

SHARE = 0.05
PERCENTILE = 95
SAMPLES = 20  # calls that must be known before anything is called unusual
REMEMBERED = 200


class Tail:
    """How long the first word took, for the last calls of one model. Seconds."""

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=REMEMBERED)

    def saw(self, seconds: float) -> None:
        self._seen.append(seconds)

    @property
    def delay(self) -> float | None:
        """After how long a second call is worth it; None while too little is known."""
        if len(self._seen) < SAMPLES:
            return None
        percentiles = statistics.quantiles(self._seen, n=100, method="inclusive")
        return max(percentiles[PERCENTILE - 1], 2 * percentiles[49])


def hedged(key: Callable[[Turn], str], share: float = SHARE) -> Layer:
    """Ask a second time when the first word comes later than usual; `key` says what is usual together."""

    def layer(inner: Handler) -> Handler:
        tails: dict[str, Tail] = {}
        allowance = Allowance(share, least=1, per_request=1)

        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            tail, started = tails.setdefault(key(turn), Tail()), time.monotonic()
            allowance.called()
            begun = False
            delay = tail.delay
            events = inner(turn) if delay is None else _race(inner, turn, delay, allowance)
            async with aclosing(events):
                async for event in events:
                    if not begun and not isinstance(event, Status):
                        begun = True
                        tail.saw(time.monotonic() - started)
                    yield event

        return handle

    return layer


Said: TypeAlias = "asyncio.Queue[tuple[int, Event | Exception | None]]"


async def _race(inner: Handler, turn: Turn, delay: float, allowance: Allowance) -> AsyncGenerator[Event, None]:
    """The events of the first call, or of a second one that begins after `delay` and speaks sooner."""
    said: Said = asyncio.Queue(maxsize=1)
    running = {0: asyncio.create_task(_read(inner(turn), 0, said))}
    winner: int | None = None
    alone_until: float | None = time.monotonic() + delay
    try:
        while True:
            patience = None if alone_until is None else max(0.0, alone_until - time.monotonic())
            try:
                # A wait_for around `get` loses nothing: what is not taken stays in the queue.
                who, event = await asyncio.wait_for(said.get(), patience)
            except TimeoutError:
                alone_until = None
                if allowance.take(turn.request_id):
                    metrics.count("hedging.second_calls")
                    running[1] = asyncio.create_task(_read(inner(turn), 1, said))
                continue
            if who not in running:  # the loser had this ready when it was stopped
                continue
            if winner is None and not isinstance(event, Status):
                if isinstance(event, Exception) and len(running) > 1:
                    await _stop(running.pop(who))  # the other one may still make it
                    continue
                winner, alone_until = who, None
                for loser in [number for number in running if number != who]:
                    await _stop(running.pop(loser))
            if event is None:
                return
            if isinstance(event, Exception):
                raise event
            if who == winner or who == 0:  # the second call's statuses would say everything twice
                yield event
    finally:
        for task in running.values():
            await _stop(task)


async def _read(events: AsyncGenerator[Event, None], who: int, said: Said) -> None:
    try:
        async with aclosing(events):
            async for event in events:
                await said.put((who, event))
    except Exception as error:
        await said.put((who, error))
    else:
        await said.put((who, None))


async def _stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})
