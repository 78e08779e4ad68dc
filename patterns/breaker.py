"""A circuit breaker: what has failed several times in a row is left alone for a while, then tried by one request.

    closed      calls go through; `failures` in a row open it
    open        no call goes through, for `seconds`, or for as long as the provider asked
    half open   one call goes through, the probe: it closes the breaker, or opens it again

The state is this process's own. Each process finds out for itself, in `failures` calls, and one that is cut off from
the provider stops no other.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from . import metrics
from .errors import ProviderError
from .events import Answer, Event, Handler, Layer, Turn

FAILURES = 5
SECONDS = 10.0


class Breaker:
    """The breaker of one thing that can fail. `clock` counts seconds."""

    def __init__(
        self, failures: int = FAILURES, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._seconds, self._clock = failures, seconds, clock
        self._failed = 0
        self._until: float | None = None  # set while it is not closed
        self._probing = False

    @property
    def state(self) -> str:
        if self._until is None:
            return "closed"
        return "half open" if self._probing or self._clock() >= self._until else "open"

    def enter(self) -> bool:
        """Whether this call is the probe. Raises ProviderError (`breaker_open`) when no call may go through."""
        if self._until is None:
            return False
        left = self._until - self._clock()
        if left > 0 or self._probing:
            raise ProviderError(
                "The model has failed several times in a row and is left alone for a while.",
                "Try again later.",
                "breaker_open",
                transient=True,
                retry_after=max(left, 1.0),
            )
        self._probing = True
        return True

    def worked(self, probe: bool) -> None:
        if probe or self._until is None:  # a call that began before it opened does not close it
            self._failed, self._until, self._probing = 0, None, False

    def failed(self, probe: bool, retry_after: float | None = None) -> None:
        self._failed += 1
        if probe or (self._until is None and self._failed >= self._most):
            self._until, self._probing = self._clock() + max(self._seconds, retry_after or 0.0), False

    def left(self, probe: bool) -> None:
        """The call ended and says nothing about the provider: its reader went away, or a limit was hit."""
        self._probing = self._probing and not probe


def guarded(key: Callable[[Turn], str], failures: int = FAILURES, seconds: float = SECONDS) -> Layer:
    """Let nothing through to what has failed `failures` times in a row, `key` by key.

    A failure is a transient ProviderError, or an answer that says `unavailable`. A key should name what fails
    together: provider and model around a model call, the provider around all that needs it.
    """

    def layer(inner: Handler) -> Handler:
        breakers: dict[str, Breaker] = {}

        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            breaker = breakers.setdefault(name := key(turn), Breaker(failures, seconds))
            probe = breaker.enter()
            known = False
            try:
                async with aclosing(inner(turn)) as events:
                    async for event in events:
                        known = known or isinstance(event, Answer)
                        if isinstance(event, Answer) and event.served == "unavailable":
                            breaker.failed(probe)
                        elif isinstance(event, Answer):
                            breaker.worked(probe)
                        yield event
                if not known:  # it ended with tool calls, or waits for a confirmation
                    known = True
                    breaker.worked(probe)
            except ProviderError as error:
                known = known or error.transient
                if error.transient:
                    breaker.failed(probe, error.retry_after)
                    metrics.count("breaker.failed", key=name)
                raise
            finally:
                if not known:
                    breaker.left(probe)

        return handle

    return layer
