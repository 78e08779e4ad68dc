"""Reading a stream of events with an eye on the clock."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from .errors import LimitHit
from .events import Event


async def ticking(
    events: AsyncGenerator[Event, None], patience: Callable[[], float]
) -> AsyncGenerator[Event | None, None]:
    """The events, and None whenever none came for `patience()` seconds."""
    async with aclosing(events):
        pending: asyncio.Future[Event] | None = None
        try:
            while True:
                # A task, not a timeout around anext: a timeout would cancel the work that is being waited for.
                pending = pending or asyncio.ensure_future(anext(events))
                await asyncio.wait({pending}, timeout=max(0.0, patience()))
                if not pending.done():
                    yield None
                    continue
                try:
                    event = pending.result()
                except StopAsyncIteration:
                    return
                pending = None
                yield event
        finally:
            if pending is not None:
                await _end(pending)


async def _end(task: "asyncio.Future[Event]") -> None:
    """Cancel a task and wait until it is really over, also when we are cancelled once more meanwhile."""
    task.cancel()
    again: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            again = error
    if not task.cancelled():
        task.exception()  # looked at, so that nobody warns that it never was
    if again is not None:
        raise again


async def within(events: AsyncGenerator[Event, None], deadline: float) -> AsyncGenerator[Event, None]:
    """The events that come before `deadline` (as time.monotonic() counts); then the stream is closed.

    Raises LimitHit (`seconds`) when the deadline passes before the stream ends.
    """
    async with aclosing(ticking(events, lambda: deadline - time.monotonic())) as ticks:
        async for event in ticks:
            if event is None or time.monotonic() > deadline:
                raise LimitHit("The run has used its time.", "Hand over to a person.", "seconds")
            yield event
