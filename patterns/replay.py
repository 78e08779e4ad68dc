"""A reader who lost the connection picks the answer up where it stopped."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from .errors import CallerError
from .events import Event, Handler, Turn, User


@dataclass(slots=True)
class _Recording:
    user: User
    events: list[Event] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    readers: int = 0
    task: "asyncio.Task[None] | None" = None
    expiry: asyncio.TimerHandle | None = None

    def announce(self) -> None:
        """Wake every reader that waits, and give the next ones a new bell to wait for."""
        self.changed.set()
        self.changed = asyncio.Event()


class Replay:
    """Keeps the events of each turn for a while, under its request id, so that a reader can come back for the rest.

    A reader who leaves may have lost the connection: the turn goes on for `grace_seconds` and then stops. `stop` is for
    a reader who meant it. What has ended is kept for `keep_seconds`. Lives in one event loop.
    """

    def __init__(self, handler: Handler, grace_seconds: float = 10.0, keep_seconds: float = 60.0) -> None:
        self._handler, self._grace, self._keep = handler, grace_seconds, keep_seconds
        self._recordings: dict[str, _Recording] = {}

    async def read(self, turn: Turn, after: int = 0) -> AsyncGenerator[tuple[int, Event], None]:
        """Yield (number, event), from number `after` + 1 on. The first reader of a request id starts the turn.

        Raises CallerError when the request id belongs to another user or its events are no longer kept, and what the
        handler raised.
        """
        recording = self._recordings.get(turn.request_id)
        if recording is None and after:
            # Starting over here would glue a second answer to the first.
            raise CallerError("This answer is no longer kept.", "Ask again.", "bad_request")
        if recording is None:
            recording = self._recordings[turn.request_id] = _Recording(turn.user)
            recording.task = asyncio.create_task(self._record(turn, recording))
        elif recording.user != turn.user:
            raise CallerError("There is no such request.", "Ask again under a new request id.", "bad_request")
        recording.readers += 1
        self._expire(turn.request_id, recording, None)
        try:
            number = max(0, after)
            while True:
                while number < len(recording.events):
                    number += 1
                    yield number, recording.events[number - 1]
                if recording.ended:
                    break
                await recording.changed.wait()
            assert recording.task is not None
            if not recording.task.cancelled() and (error := recording.task.exception()):
                raise error
        finally:
            recording.readers -= 1
            if not recording.readers:
                self._expire(turn.request_id, recording, self._keep if recording.ended else self._grace)

    async def stop(self, request_id: str) -> None:
        """End the turn now and forget it. Returns when the provider's connection is closed."""
        recording = self._recordings.pop(request_id, None)
        if recording is None or recording.task is None:
            return
        self._expire(request_id, recording, None)
        recording.task.cancel()
        await asyncio.wait({recording.task})

    async def _record(self, turn: Turn, recording: _Recording) -> None:
        try:
            async with aclosing(self._handler(turn)) as events:
                async for event in events:
                    recording.events.append(event)
                    recording.announce()
        finally:
            recording.ended = True
            recording.announce()
            if not recording.readers:
                self._expire(turn.request_id, recording, self._keep)

    def _expire(self, request_id: str, recording: _Recording, seconds: float | None) -> None:
        if recording.expiry is not None:
            recording.expiry.cancel()
            recording.expiry = None
        if seconds is not None:
            loop = asyncio.get_running_loop()
            recording.expiry = loop.call_later(seconds, self._drop, request_id, recording)

    def _drop(self, request_id: str, recording: _Recording) -> None:
        # The id may have been stopped and used again meanwhile: only this recording's own time is up.
        if self._recordings.get(request_id) is recording:
            del self._recordings[request_id]
        if recording.task is not None:
            recording.task.cancel()
