"""How a generation reaches its client, streamed or whole, and what the log keeps of it.

A vanished client is noticed at once, even while nothing is being sent, and stops the generation. Only while the prompt
is being thought about (some tens of milliseconds) does it have to wait.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .generation import ConnectionCut, Generation

log = logging.getLogger("patterns.standin")


@dataclass(slots=True)
class Entry:
    """One request as the provider saw it. `tokens_planned` is what would have come without an abort."""

    request_id: str
    path: str
    model: str
    ended: str = "running"  # running | done | aborted | cut | error <status>
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens_planned: int = 0
    tokens_sent: int = 0
    started: float = field(default_factory=time.time)
    seconds: float = 0.0


class EventStream(Response):
    """Server-sent events that stop being made the moment the client is gone."""

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncIterator[bytes], generation: Generation, entry: Entry) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._frames, self._generation, self._entry = frames, generation, entry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def body() -> None:
            held: list[bytes] = []
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with aclosing(self._frames) as frames:  # pyright: ignore[reportArgumentType]
                async for frame in frames:
                    self._entry.tokens_sent = self._generation.sent  # the log can be read meanwhile
                    if self._generation.occasion.dials.buffering:
                        held.append(frame)
                    else:
                        await send({"type": "http.response.body", "body": frame, "more_body": True})
            await send({"type": "http.response.body", "body": b"".join(held)})

        await _unless_gone(body, receive, self._entry, self._generation.started, self._generation)


class Whole(Response):
    """A JSON body that comes when its last token is due."""

    media_type = "application/json"

    def __init__(self, shape: Callable[[Generation], Any], generation: Generation, entry: Entry) -> None:
        super().__init__()
        self._shape, self._generation, self._entry = shape, generation, entry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def body() -> None:
            try:
                async for _ in self._generation.paced():
                    pass
            except ConnectionCut:  # after the headers: before them the server would answer 500 instead of dropping
                del self.headers["content-length"]
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                raise
            data = json.dumps(self._shape(self._generation), ensure_ascii=False).encode(errors="replace")
            self.headers["content-length"] = str(len(data))
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": data})

        await _unless_gone(body, receive, self._entry, self._generation.started, self._generation)


class Later(Response):
    """A JSON body without tokens that is sent `seconds` after `started`."""

    media_type = "application/json"

    def __init__(self, content: Any, started: float, seconds: float, entry: Entry) -> None:
        super().__init__(json.dumps(content, ensure_ascii=False).encode(errors="replace"))
        self._started, self._seconds, self._entry = started, seconds, entry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def body() -> None:
            await asyncio.sleep(max(0.0, self._started + self._seconds - time.monotonic()))
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self.body})

        await _unless_gone(body, receive, self._entry, self._started)


async def _unless_gone(
    body: Callable[[], Awaitable[None]],
    receive: Receive,
    entry: Entry,
    started: float,
    generation: Generation | None = None,
) -> None:
    """Run `body` until it is done or the client has left, and write down which it was."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    work, watch = asyncio.ensure_future(body()), asyncio.ensure_future(gone())
    ended = "aborted"
    try:
        await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            ended = "cut" if isinstance(work.exception(), ConnectionCut) else "done"
            work.result()
    finally:
        for task in (work, watch):
            task.cancel()
        await asyncio.gather(work, watch, return_exceptions=True)
        entry.tokens_sent = generation.sent if generation else 0
        entry.seconds = time.monotonic() - started
        entry.ended = ended  # last: whoever sees how it ended may rely on the other figures
    if ended == "aborted":
        unmade = entry.tokens_planned - entry.tokens_sent
        log.info("%s aborted by the client: %d tokens sent, %d not made", entry.request_id, entry.tokens_sent, unmade)
