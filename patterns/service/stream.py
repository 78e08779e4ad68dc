"""Events to one client, at its own pace, until it leaves.

The status line waits until something is known: a limit, a budget or an outage is an HTTP status and not a stream that
fails. It waits no longer than HOLD_SECONDS once the guards have let the request through; what fails later comes as a
`failed` event with the same body.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any

from starlette.types import Receive, Scope, Send

from ..errors import CallerError
from ..events import Answer, Event, Failed, Status, Turn
from .frames import frame, shown
from .refusals import Refusal, Refused, refusal
from .turns import Sources

HOLD_SECONDS = 0.25
STUCK_SECONDS = 30.0  # for which a client may take nothing of what is written to it

Numbered = AsyncGenerator[tuple[int, Event], None]
EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
JSON = (b"content-type", b"application/json; charset=utf-8")
# Proxies that buffer would make one lump of a stream; some can be told not to.
LIVE = ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))


class Streamed:
    """An ASGI response: the events of `turn` as a stream, or its end as one JSON object where `whole`."""

    def __init__(self, turn: Turn, events: Numbered, sources: Sources, whole: bool, headers: dict[str, str]) -> None:
        self._turn, self._events, self._sources, self._whole = turn, events, sources, whole
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _unless_gone(self._answer(send) if self._whole else self._stream(send), receive)

    async def _stream(self, send: Send) -> None:
        async with aclosing(self._events) as events:
            try:
                first, pending = await _beginning(events)
            except CallerError as error:  # a turn that is no longer kept
                await self._refuse(send, refusal(Refused(error.code), self._turn.user))
                return
            if first and isinstance(end := first[-1][1], Failed):
                await self._refuse(send, refusal(end, self._turn.user))
                return
            await self._send(send, 200, [EVENT_STREAM, *LIVE])
            for number, event in first:
                await self._write(send, await self._frame(number, event))
            if pending is not None and (item := await pending) is not None:
                await self._write(send, await self._frame(*item))
            async for number, event in events:
                await self._write(send, await self._frame(number, event))
        await send({"type": "http.response.body", "body": b""})

    async def _answer(self, send: Send) -> None:
        end: Event | None = None
        async with aclosing(self._events) as events:
            async for _, event in events:
                end = event
        user = self._turn.user
        if isinstance(end, Failed):
            await self._refuse(send, refusal(end, user))
        elif isinstance(end, Answer):
            told = shown(end, user, await self._sources(end.cited_chunk_ids, user))
            await self._json(send, 200, told, [(b"x-tier", end.tier.encode())])
        elif end is not None:  # it waits for a confirmation
            await self._json(send, 202, shown(end, user, []))

    async def _frame(self, number: int, event: Event) -> bytes:
        sources = await self._sources(event.cited_chunk_ids, self._turn.user) if isinstance(event, Answer) else []
        return frame(number, event, self._turn.user, sources)

    async def _refuse(self, send: Send, refused: Refusal) -> None:
        later = [] if refused.retry_after is None else [(b"retry-after", str(refused.retry_after).encode())]
        await self._json(send, refused.status, refused.body, later)

    async def _json(self, send: Send, status: int, told: Any, more: list[tuple[bytes, bytes]] | None = None) -> None:
        body = json.dumps(told).encode()
        await self._send(send, status, [JSON, LIVE[0], (b"content-length", str(len(body)).encode()), *(more or [])])
        await send({"type": "http.response.body", "body": body})

    async def _send(self, send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [*headers, *self._headers]})

    async def _write(self, send: Send, body: bytes) -> None:
        if body:
            # Waits while the client reads slowly; one that reads nothing at all is left.
            async with asyncio.timeout(STUCK_SECONDS):
                await send({"type": "http.response.body", "body": body, "more_body": True})


async def _beginning(events: Numbered) -> tuple[list[tuple[int, Event]], "asyncio.Future[Any] | None"]:
    """The events that decide the status, and the one that is still on its way, if any."""
    first: list[tuple[int, Event]] = []
    loop = asyncio.get_running_loop()
    until = loop.time() + HOLD_SECONDS
    pending: asyncio.Future[Any] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(events, None))
            # Two statuses: the request was received, and something works on it. The guards stand between.
            passed = len(first) > 1
            await asyncio.wait({pending}, timeout=max(0.0, until - loop.time()) if passed else None)
            if not pending.done():
                return first, pending
            item, pending = pending.result(), None
            if item is None:
                return first, None
            first.append(item)
            if not isinstance(item[1], Status):
                return first, None
    except asyncio.CancelledError:
        if pending is not None:
            pending.cancel()
            await asyncio.wait({pending})
        raise


async def _unless_gone(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Do `work` until it is done or the client has left."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    except TimeoutError:  # the client reads nothing: ending the response closes its connection
        pass
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
