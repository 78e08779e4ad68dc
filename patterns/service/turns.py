"""The turns that run now: how many there may be, how each is kept, how to stop one or to come back to one.

A turn belongs to its reader. When the reader leaves, it stops, and its provider call with it. A reader who asked to be
able to come back (the chat page does: a page that is reloaded leaves for a moment) is waited for, for GRACE_SECONDS.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeAlias

from ..errors import CallerError, PatternsError
from ..events import Answer, ConfirmationRequired, Event, Failed, Handler, Status, Turn, User
from ..replay import Replay
from . import conversations
from .frames import shown
from .refusals import Refused

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0  # for a page to be loaded again
KEEP_SECONDS = 60.0  # for which the events of a turn that has ended can be read again
PER_USER, IN_ALL = 4, 400  # turns at once

Sources: TypeAlias = Callable[[tuple[str, ...], User], Awaitable[list[dict[str, str]]]]


class Turns:
    """The running turns of one process, in one event loop. `handler` is the assistant, `sources` what it can cite."""

    def __init__(self, handler: Handler, sources: Sources) -> None:
        self.sources = sources
        self._handler = handler
        self._running: dict[str, Turn] = {}
        self._resumable = Replay(self._kept, GRACE_SECONDS, KEEP_SECONDS)
        self._plain = Replay(self._kept, 0.0, 0.0)

    def admit(self, user: User) -> None:
        """Raises Refused when too many turns run already, of this user or in all."""
        if sum(running.user == user for running in self._running.values()) >= PER_USER:
            raise Refused("too_many_streams")
        if len(self._running) >= IN_ALL:
            raise Refused("busy")

    def begin(self, turn: Turn, resumable: bool) -> AsyncGenerator[tuple[int, Event], None]:
        """The numbered events of a turn that begins now."""
        self._running[turn.request_id] = turn
        return (self._resumable if resumable else self._plain).read(turn)

    def again(self, request_id: str, user: User, after: int) -> AsyncGenerator[tuple[int, Event], None]:
        """The events after number `after` of a turn that began as resumable. Raises CallerError where there is none."""
        return self._resumable.read(Turn("", user, request_id=request_id), after)

    def runs(self, request_id: str) -> bool:
        return request_id in self._running

    async def stop(self, request_id: str) -> None:
        """End a turn and forget its events. Returns when the provider's connection is closed."""
        for replay in (self._resumable, self._plain):
            await replay.stop(request_id)

    async def _kept(self, turn: Turn) -> AsyncGenerator[Event, None]:
        """The assistant, with how the turn ends in the conversation store before the client is told. Never raises."""
        if self._running.get(turn.request_id) is not turn:  # `again` came too late: there is nothing to go on with
            raise CallerError("This answer is no longer kept.", "Ask again.", "not_found")
        stopped = True
        try:
            async with aclosing(self._noted(turn)) as events:
                async for event in events:
                    yield event
            stopped = False
            return
        except PatternsError as error:
            stopped, failed = False, Failed(error.code, error.message, error.next_step, False)
        except Exception:
            log.exception("%s failed.", turn.trace_id)
            stopped, failed = False, Failed("fault", "The assistant failed.", "See the log.", False)
        finally:
            self._running.pop(turn.request_id, None)
            if stopped:
                conversations.default().end(turn.request_id, "stopped")  # does nothing where it has ended
        self._fail(turn, failed)
        yield failed

    async def _noted(self, turn: Turn) -> AsyncGenerator[Event, None]:
        """The assistant; its end is in the store before it goes out."""
        book, note, ended = conversations.default(), "", False
        async with aclosing(self._handler(turn)) as events:
            async for event in events:
                match event:
                    case Status():
                        note = event.detail or note
                    case Answer():
                        told = {**(shown(event, turn.user, []) or {}), "cited": event.cited_chunk_ids, "note": note}
                        book.end(turn.request_id, "answered", told)
                        ended = True
                    case ConfirmationRequired():
                        book.ask(event.token, turn)
                        book.end(turn.request_id, "waiting", shown(event, turn.user, []))
                        ended = True
                    case Failed():
                        self._fail(turn, event)
                        ended = True
                    case _:
                        pass
                yield event
        if not ended:
            raise PatternsError("The assistant ended without an answer.", "Look at its last layer.", "no_answer")

    def _fail(self, turn: Turn, failed: Failed) -> None:
        log.warning("%s ended with %s: %s", turn.trace_id, failed.code, failed.message)
        conversations.default().end(turn.request_id, "failed", shown(failed, turn.user, []))
