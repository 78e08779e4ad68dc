"""Streaming: the same answer at the same speed, seen from its first word on.

The layers that notebook 01 puts around the assistant, in the order in which a request meets them:

    acknowledge        something to look at before anything is known
    report_failures    an error becomes a Failed event: one sentence and the next step
    heartbeat          a sign of life whenever nothing comes for a while
    cap_history        only the last few messages travel, so that the first word does not come later every turn
    restart            a stream that breaks is streamed again, and says so when words were already shown

`measure` and `looks_buffered` are the instruments. Resuming after a lost connection is in `replay.py`.
"""

import asyncio
import html
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from .errors import PatternsError, ProviderError
from .events import (
    Answer,
    ConfirmationRequired,
    Event,
    Failed,
    Handler,
    Layer,
    Reset,
    Status,
    TextDelta,
    ToolCall,
    Turn,
)
from .waiting import ticking

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
            transient, retry_after = getattr(error, "transient", False), getattr(error, "retry_after", None)
            failed = Failed(error.code, error.message, error.next_step, transient, retry_after)
        yield failed

    return handle


def heartbeat(idle_seconds: float = IDLE_SECONDS) -> Layer:
    """Send a Status whenever nothing else came for `idle_seconds`: proxies close connections that are silent."""

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            silent_since = time.monotonic()
            async with aclosing(ticking(inner(turn), lambda: idle_seconds)) as events:
                async for event in events:
                    if event is None:
                        yield Status("working", idle_seconds=time.monotonic() - silent_since)
                    else:
                        yield event
                        silent_since = time.monotonic()

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


# instruments


@dataclass(frozen=True, slots=True)
class Timing:
    """When things came, in seconds after the request. `chunks` holds the arrival of every TextDelta.

    `tools` are the names of the tools that the model asked for, and `question` what the turn waits for, if it does.
    """

    first_event: float
    first_token: float
    total: float
    chunks: tuple[float, ...]
    answer: Answer | None
    failed: Failed | None
    tools: tuple[str, ...] = ()
    question: ConfirmationRequired | None = None

    @property
    def longest_gap(self) -> float:
        """Seconds: the longest wait between two chunks."""
        return max((after - before for before, after in zip(self.chunks, self.chunks[1:], strict=False)), default=0.0)


async def measure(handler: Handler, turn: Turn) -> Timing:
    """Run a turn to its end with a stopwatch. `first_token` is the total when no token came."""
    started = time.perf_counter()
    first_event, chunks, end, failed = 0.0, [], None, None
    tools: list[str] = []
    question = None
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
                case ToolCall():
                    tools.append(event.name)
                case ConfirmationRequired():
                    question = event
                case _:
                    pass
    total = time.perf_counter() - started
    return Timing(
        first_event, chunks[0] if chunks else total, total, tuple(chunks), end, failed, tuple(tools), question
    )


def looks_buffered(chunks: Sequence[float], minimum: int = 10) -> bool:
    """Whether a hop held the chunks back: at least `minimum` of them, and all within the last tenth of the wait.

    `chunks` are arrival times in seconds after the request.
    """
    return len(chunks) >= minimum and chunks[-1] - chunks[0] < 0.1 * chunks[-1]


# showing model text

# A Markdown link; its target may hold one pair of parentheses, as in "A_(b)".
_LINK = re.compile(r"\[([^\]\n]{1,200})\]\(((?:[^()\s]|\([^()\s]*\)){1,2000})\)")
_LOOKS_LIKE_ADDRESS = re.compile(r"\s*(?:\w+://|www\.|[\w-]+(?:\.[\w-]+)+(?:/|\s*$))", re.IGNORECASE)
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
    if _LOOKS_LIKE_ADDRESS.match(label):
        label = target  # a label that reads as an address must be the true one
    return (
        f'<a href="{html.escape(target)}" target="_blank" rel="noopener noreferrer nofollow">{html.escape(label)}</a>'
    )
