"""Trying again, without making an outage worse: a share of the calls, never all at the same moment, never for long.

Three layers that each try twice make eight calls of one. So there is one place where calls are made again, directly
around the model call, and what it may add is bounded: for a request, and as a share of all calls of the last minute.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from . import metrics
from .errors import ProviderError
from .events import Event, Handler, Layer, Reset, Status, TextDelta, ToolCall, Turn
from .waiting import ticking

T = TypeVar("T")

SHARE = 0.1  # of the calls of the last minute may be made again
LEAST = 3  # and so many in any case: one unlucky request an hour is tried again, too
PER_REQUEST = 2
BASE_WAIT = 0.2  # seconds
MAX_WAIT = 2.0  # seconds; nobody is kept waiting longer, the next rung answers instead
SILENCE = 15.0  # seconds without a piece of an answer


class Allowance:
    """Extra calls: at most `share` of the calls in the last `seconds`, but `least` of them, and few for one request."""

    def __init__(
        self,
        share: float = SHARE,
        least: int = LEAST,
        per_request: int = PER_REQUEST,
        seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share, self._least, self._each, self._seconds, self._clock = share, least, per_request, seconds, clock
        self._calls: deque[float] = deque()
        self._extra: deque[tuple[float, str]] = deque()

    def called(self) -> None:
        """A first call was made."""
        self._calls.append(self._clock())

    def take(self, request_id: str) -> bool:
        """Whether one more call may be made for this request; if so, it counts."""
        now = self._clock()
        while self._calls and self._calls[0] < now - self._seconds:
            self._calls.popleft()
        while self._extra and self._extra[0][0] < now - self._seconds:
            self._extra.popleft()
        if len(self._extra) + 1 > max(self._least, self._share * len(self._calls)):
            return False
        if sum(one == request_id for _, one in self._extra) >= self._each:
            return False
        self._extra.append((now, request_id))
        return True


def wait(attempt: int, retry_after: float | None, dice: Callable[[], float] = random.random) -> float:
    """Seconds to wait after the failed `attempt` (from 1): anything up to a bound that doubles ("full jitter").

    Callers who fail together do not come back together. What the provider asked for comes on top of that.
    """
    return (retry_after or 0.0) + dice() * min(MAX_WAIT, BASE_WAIT * 2 ** (attempt - 1))


def retried(attempts: int = 2, share: float = SHARE, least: int = LEAST) -> Layer:
    """Call again when the provider fails for the moment. Words already shown are taken back with a Reset.

    Not when the breaker is open, the provider asks for a longer wait than MAX_WAIT, or the allowance is used up.
    """

    def layer(inner: Handler) -> Handler:
        allowance = Allowance(share, least)

        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            allowance.called()
            for attempt in range(1, attempts + 1):
                spoken = asked = False
                try:
                    async with aclosing(inner(turn)) as events:
                        async for event in events:
                            spoken = spoken or isinstance(event, TextDelta)
                            asked = asked or isinstance(event, ToolCall)
                            yield event
                    return
                except ProviderError as error:
                    hopeless = not error.transient or error.code == "breaker_open" or asked
                    if hopeless or attempt == attempts or (error.retry_after or 0.0) > MAX_WAIT:
                        raise
                    if not allowance.take(turn.request_id):
                        metrics.count("retries.refused")
                        raise
                    failure = error
                metrics.count("retries.made")
                yield Reset(failure.message) if spoken else Status("working", "trying again")
                await asyncio.sleep(wait(attempt, failure.retry_after))

        return handle

    return layer


async def once_more(call: Callable[[], Awaitable[T]], allowance: Allowance, request_id: str) -> T:
    """What `call` returns, after a second try where the first fails for the moment and the allowance has room.

    For calls that are no layer, such as the vector of a question.
    """
    allowance.called()
    try:
        return await call()
    except ProviderError as error:
        long = (error.retry_after or 0.0) > MAX_WAIT
        if not error.transient or long or not allowance.take(request_id):
            raise
        metrics.count("retries.made")
        await asyncio.sleep(wait(1, error.retry_after))
    return await call()


def impatient(seconds: float = SILENCE) -> Layer:
    """Give a call up that says nothing for `seconds`. Raises ProviderError (`timeout`)."""

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            async with aclosing(ticking(inner(turn), lambda: seconds)) as events:
                async for event in events:
                    if event is None:
                        raise ProviderError(
                            f"The model said nothing for {seconds:g} seconds.", "Try again.", "timeout", transient=True
                        )
                    yield event

        return handle

    return layer
