"""A small HTTP client for tests of the service: it sends what no browser would, and reads as slowly as it likes."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Sent:
    """A server-sent event as a browser reads it."""

    id: str
    kind: str
    data: str

    @property
    def told(self) -> Any:
        return json.loads(self.data)


class Reply:
    """A response whose head has arrived."""

    def __init__(self, status: int, headers: dict[str, str], reader: asyncio.StreamReader) -> None:
        self.status, self.headers, self._reader = status, headers, reader

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        if self.status == 204:
            return
        if "content-length" in self.headers:
            yield await self._reader.readexactly(int(self.headers["content-length"]))
            return
        while size := int(await self._reader.readline() or b"0", 16):
            yield await self._reader.readexactly(size)
            await self._reader.readexactly(2)

    async def body(self) -> bytes:
        return b"".join([piece async for piece in self.pieces()])

    async def told(self) -> Any:
        return json.loads(await self.body() or b"null")

    async def events(self) -> AsyncGenerator[Sent, None]:
        waiting = b""
        async for piece in self.pieces():
            waiting += piece
            while b"\n\n" in waiting:
                frame, _, waiting = waiting.partition(b"\n\n")
                for sent in parsed((frame + b"\n\n").decode()):
                    yield sent

    async def all(self) -> list[Sent]:
        return [event async for event in self.events()]


def parsed(stream: str) -> list[Sent]:
    """A stream as the HTML standard reads it: lines end at CR, LF or both; a blank line ends an event."""
    found, fields = [], {"id": "", "event": "", "data": ""}
    for line in stream.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line:
            if fields["data"]:
                found.append(Sent(fields["id"], fields["event"] or "message", fields["data"].removesuffix("\n")))
            fields |= {"event": "", "data": ""}
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            fields["data"] += value + "\n"
        elif name in ("id", "event"):
            fields[name] = value
    return found


class Client:
    def __init__(self, url: str, token: str = "") -> None:
        self.host, self.port = urlsplit(url).hostname or "", urlsplit(url).port or 0
        self.token = token

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port)

    @asynccontextmanager
    async def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Reply, None]:
        """Ask; the connection is closed when the block is left. `body` is sent as JSON, bytes as they are."""
        reader, writer = await self.connect()
        try:
            writer.write(self.request(method, path, body, headers))
            yield await read_head(reader)
        finally:
            writer.close()

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> bytes:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        own = {"host": f"{self.host}:{self.port}", "content-length": str(len(data))}
        if self.token:
            own["authorization"] = f"Bearer {self.token}"
        if body is not None:
            own["content-type"] = "application/json"
        lines = [f"{name}: {value}" for name, value in (own | dict(headers or {})).items()]
        return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + data

    async def told(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Status and JSON body."""
        async with self.send(method, path, body, headers) as reply:
            return reply.status, await reply.told()

    async def ask(self, text: str, **more: Any) -> list[Sent]:
        async with self.send("POST", "/api/support", {"text": text, **more}) as reply:
            assert reply.status == 200, await reply.body()
            return await reply.all()


async def read_head(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = [line.partition(": ") for line in head[1:] if line]
    return Reply(int(head[0].split()[1]), {name.lower(): value for name, _, value in pairs}, reader)


def text_of(events: list[Sent]) -> str:
    """What a reader sees at the end."""
    text = ""
    for event in events:
        if event.kind == "text_delta":
            text += event.told["text"]
        elif event.kind == "reset":
            text = ""
    return text
