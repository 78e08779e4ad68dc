"""Streaming: the same answer at the same speed, seen from its first word on.

The layers that notebook 01 puts around the assistant, in the order in which a request meets them:

    acknowledge        something to look at before anything is known
    report_failures    an error becomes a Failed event: one sentence and the next step
    heartbeat          a sign of life whenever nothing comes for a while
    cap_history        only the last few messages travel, so that the first word does not come later every turn
    restart            a stream that breaks is streamed again, and says so when words were already shown

`Replay` lets a reader who lost the connection pick the answer up where it stopped. `measure` and `looks_buffered` are
the instruments.
"""

import asyncio
import html
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from .errors import CallerError, PatternsError, ProviderError
from .events import Answer, Event, Failed, Handler, Layer, Reset, Status, TextDelta, Turn, User

IDLE_SECONDS = 2.0
HISTORY_MESSAGES = 6
MAX_RETRY_WAIT = 2.0  # seconds; longer waits belong to the fallback ladder of notebook 12


def acknowledge(inner: Handler) -> Handler:
    """Say "received" before any work is done: a screen that changes at once feels alive."""

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        yield Status("received")
        async with aclosing(inner(turn)) as events:
            async for event in events:
                yield event

    return handle


def report_failures(inner: Handler) -> Handler:
    """End a turn that fails with a Failed event instead of an exception."""

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        try:
            async with aclosing(inner(turn)) as events:
                async for event in events:
                    yield event
            return
        except PatternsError as error:
            failed = Failed(error.code, error.message, error.next_step, getattr(error, "transient", False))
        yield failed

    return handle


def heartbeat(idle_seconds: float = IDLE_SECONDS) -> Layer:
    """Send a Status whenever nothing else came for `idle_seconds`: proxies close connections that are silent."""

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            async with aclosing(inner(turn)) as events:
                pending: asyncio.Future[Event] | None = None
                silent_since = time.monotonic()
                try:
                    while True:
                        # A task, not a timeout around anext: a timeout would cancel the work that is being waited for.
                        pending = pending or asyncio.ensure_future(anext(events))
                        await asyncio.wait({pending}, timeout=idle_seconds)
                        if not pending.done():
                            yield Status("working", idle_seconds=time.monotonic() - silent_since)
                            continue
                        try:
                            event = pending.result()
                        except StopAsyncIteration:
                            return
                        pending = None
                        yield event
                        silent_since = time.monotonic()
                finally:
                    if pending is not None and not pending.done():
                        pending.cancel()
                        await asyncio.wait({pending})

        return handle

    return layer


def cap_history(messages: int = HISTORY_MESSAGES) -> Layer:
    """Pass on only the last `messages` messages of the history."""

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            kept = turn.history[-messages:] if messages else ()
            async with aclosing(inner(replace(turn, history=kept))) as events:
                async for event in events:
                    yield event

        return handle

    return layer


def restart(attempts: int = 2) -> Layer:
    """Stream again when the provider fails for the moment. Words already shown are taken back with a Reset."""

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            for attempt in range(1, attempts + 1):
                spoken = False
                try:
                    async with aclosing(inner(turn)) as events:
                        async for event in events:
                            spoken = spoken or isinstance(event, TextDelta)
                            yield event
                    return
                except ProviderError as error:
                    if not error.transient or attempt == attempts:
                        raise
                    failure = error
                yield Reset(failure.message) if spoken else Status("working", "trying again")
                await asyncio.sleep(min(failure.retry_after or 0.0, MAX_RETRY_WAIT))

        return handle

    return layer


LAYERS: tuple[Layer, ...] = (acknowledge, report_failures, heartbeat(), cap_history(), restart())


# resume after a dropped connection


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

        Raises CallerError when the request id belongs to another user, and what the handler raised.
        """
        recording = self._recordings.get(turn.request_id)
        if recording is None:
            recording = self._recordings[turn.request_id] = _Recording(turn.user)
            recording.task = asyncio.create_task(self._record(turn, recording))
        elif recording.user != turn.user:
            raise CallerError("There is no such request.", "Ask again under a new request id.", "bad_request")
        recording.readers += 1
        self._expire(turn.request_id, recording, None)
        try:
            number = after
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
            recording.expiry = loop.call_later(seconds, lambda: asyncio.ensure_future(self.stop(request_id)))


# instruments


@dataclass(frozen=True, slots=True)
class Timing:
    """When things came, in seconds after the request. `chunks` holds the arrival of every TextDelta."""

    first_event: float
    first_token: float
    total: float
    chunks: tuple[float, ...]
    answer: Answer | None
    failed: Failed | None

    @property
    def longest_gap(self) -> float:
        """Seconds: the longest wait between two chunks."""
        return max((after - before for before, after in zip(self.chunks, self.chunks[1:], strict=False)), default=0.0)


async def measure(handler: Handler, turn: Turn) -> Timing:
    """Run a turn to its end with a stopwatch. `first_token` is the total when no token came."""
    started = time.perf_counter()
    first_event, chunks, end, failed = 0.0, [], None, None
    async with aclosing(handler(turn)) as events:
        async for event in events:
            now = time.perf_counter() - started
            first_event = first_event or now
            match event:
                case TextDelta():
                    chunks.append(now)
                case Answer():
                    end = event
                case Failed():
                    failed = event
                case _:
                    pass
    total = time.perf_counter() - started
    return Timing(first_event, chunks[0] if chunks else total, total, tuple(chunks), end, failed)


def looks_buffered(chunks: Sequence[float], minimum: int = 10) -> bool:
    """Whether a hop held the chunks back: at least `minimum` of them, and all within the last tenth of the wait.

    `chunks` are arrival times in seconds after the request.
    """
    return len(chunks) >= minimum and chunks[-1] - chunks[0] < 0.1 * chunks[-1]


# showing model text

_LINK = re.compile(r"\[([^\]\n]{1,200})\]\(([^()\s]{1,2000})\)")
SAFE_SCHEMES = ("http", "https", "mailto")


def safe_html(text: str) -> str:
    """Model text as HTML that can do nothing: all of it escaped, Markdown links kept only for SAFE_SCHEMES."""
    parts, end = [], 0
    for link in _LINK.finditer(text):
        parts.append(html.escape(text[end : link.start()]))
        parts.append(_anchor(link[1], link[2]))
        end = link.end()
    parts.append(html.escape(text[end:]))
    return "".join(parts).replace("\n", "<br>")


def _anchor(label: str, target: str) -> str:
    try:
        safe = urlsplit(target).scheme.lower() in SAFE_SCHEMES
    except ValueError:
        safe = False
    if not safe:
        return html.escape(f"{label} ({target})")
    return (
        f'<a href="{html.escape(target)}" target="_blank" rel="noopener noreferrer nofollow">{html.escape(label)}</a>'
    )
