"""Row 4: an answer of the provider to 32 clients at once, through the service, next to a relay that passes bytes on.

The provider is a small server that writes TOKENS tokens an answer, each in a chunk of its own. It thinks for no time:
all of the time to the first token is the relay's. For the throughput it writes as fast as it can; for the first token
it writes PACE tokens a second and stream, which no relay here is too slow for: on a full machine, the first token
only says once more how many there are before it. In front of it, each in a process of its own and on uvicorn:

    bytes       passes on what the provider sends: a Starlette application of ten lines
    sdk         reads the stream with the openai SDK and writes it out again
    service     `patterns.service` around the model call with the streaming layers: who asks is checked, the turn is
                kept and can be resumed, the call is in the ledger and the budgets, what it sends are our own events

This process asks each of them in turn, over 32 connections.

    python -m benchmarks.sse_relay provider             prints its port
    python -m benchmarks.sse_relay bytes|sdk|service    a relay; prints its port
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import contest, measure
from .measure import Entry

STREAMS, ANSWERS, ROUNDS = 32, 4, 9
TOKENS, PACE = 200, 100.0
SLOWLY, APART = "slowly", 0.02  # asks for PACE; seconds from the start of one such stream to that of the next
SILENTLY = "silently"  # asks for three tokens and then nothing
WORDS = [f"word{number} " for number in range(TOKENS)]
KEY = b"benchmark key of thirty-two bytes"
RELAYS = ("bytes", "sdk", "service")
VERSIONS = ("starlette", "uvicorn", "openai", "httpx2")

# the provider


def _chunks() -> list[bytes]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": word} for word in WORDS)]
    whole = contest.streamed(*deltas, finish="stop", tokens=(20, TOKENS)).partition(b"\r\n\r\n")[2]
    frames = [frame + b"\n\n" for frame in whole.split(b"\n\n") if frame]
    return [b"%x\r\n%s\r\n" % (len(frame), frame) for frame in frames]


async def _provide() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks, left = _chunks(), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                length = int(asked.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                body = await reader.readexactly(length)
                if asked.startswith(b"GET"):  # when the silent answers were left, as Unix time
                    told = json.dumps(left).encode()
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(told), told))
                    continue
                writer.write(head)
                if SILENTLY.encode() in body:
                    writer.write(b"".join(chunks[:4]))
                    await reader.read()
                    left.append(time.time())
                    writer.close()
                    return
                pause = 1 / PACE if SLOWLY.encode() in body else 0
                for chunk in chunks:
                    writer.write(chunk)
                    await writer.drain()
                    await asyncio.sleep(pause)  # 0 as well: the others' turn
                writer.write(b"0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# the relays


def _relay(name: str) -> None:
    from patterns.service import server

    app = {"bytes": _bytes_app, "sdk": _sdk_app, "service": _service_app}[name]()
    listener = server.listen("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)
    server.run(app, listener)


def _question(text: str) -> dict[str, Any]:
    return {"model": "fixed", "messages": [{"role": "user", "content": text}], "stream": True}


def _bytes_app() -> Any:
    import httpx2
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    client = httpx2.AsyncClient(trust_env=False, timeout=60)
    url = f"{os.environ['OPENAI_BASE_URL']}/chat/completions"

    async def ask(request: Request) -> StreamingResponse:
        question = _question((await request.json())["text"])

        async def body() -> AsyncIterator[bytes]:
            async with client.stream("POST", url, json=question) as response:
                async for piece in response.aiter_raw():
                    yield piece

        return StreamingResponse(body(), media_type="text/event-stream")

    return Starlette(routes=[Route("/api/support", ask, methods=["POST"])])


def _sdk_app() -> Any:
    import httpx2
    from openai import AsyncOpenAI
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    client = AsyncOpenAI(max_retries=0, http_client=httpx2.AsyncClient(trust_env=False, timeout=60))

    async def ask(request: Request) -> StreamingResponse:
        question = _question((await request.json())["text"])

        async def body() -> AsyncIterator[str]:
            async with await client.chat.completions.create(**question) as stream:
                async for chunk in stream:
                    yield f"data: {chunk.model_dump_json()}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(body(), media_type="text/event-stream")

    return Starlette(routes=[Route("/api/support", ask, methods=["POST"])])


def _service_app() -> Any:
    from patterns import complete_assistant, streaming_ux
    from patterns.events import stack
    from patterns.service import app
    from patterns.service.identity import Keys

    return app.build(Keys([KEY]), stack(complete_assistant.core, *streaming_ux.LAYERS))


# the client


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds: until the first token of each answer, in order of length; and of the whole round, an answer."""

    firsts: list[float]
    each: float

    @property
    def first(self) -> float:
        return statistics.median(self.firsts)


def requests(how: str, streams: int = STREAMS) -> list[bytes]:
    """One a stream, each from a user of its own."""
    from patterns.events import User
    from patterns.service.identity import Keys, Person

    body = json.dumps({"text": f"Say many words {how}."}).encode()
    keys, made = Keys([KEY]), []
    for number in range(streams):
        token = keys.sign(Person(User(f"U-{number}", "acme-home")))
        head = f"POST /api/support HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
        made.append(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    return made


async def load(port: int, asked: list[bytes], answers: int, apart: float = 0.0) -> Round:
    firsts: list[float] = []

    async def one(number: int, request: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(apart * number)
        for _ in range(answers):
            started, read, first = time.perf_counter(), b"", 0.0
            writer.write(request)
            while not read.endswith(b"0\r\n\r\n"):
                if not (piece := await reader.read(1 << 16)):
                    raise RuntimeError(f"The relay hung up: {read[-200:]!r}")
                read += piece
                if not first and WORDS[0].encode() in read:
                    first = time.perf_counter() - started
            if WORDS[-1].strip().encode() not in read or not first:
                raise RuntimeError(f"The relay lost something: {read[-200:]!r}")
            firsts.append(first)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(one(*numbered) for numbered in enumerate(asked)))
    took = time.perf_counter() - started
    return Round(sorted(firsts), took / (len(asked) * answers))


@dataclass(frozen=True, slots=True)
class Role:
    """A provider or a relay that runs."""

    pid: int
    port: int


@contextmanager
def running(role: str, environment: dict[str, str]) -> Iterator["Role"]:
    command = [sys.executable, "-m", "benchmarks.sse_relay", role]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=measure.ROOT, env=environment, text=True) as process:
        try:
            assert process.stdout
            yield Role(process.pid, int(process.stdout.readline()))
        finally:
            process.kill()


def provided(state: Path, opened: ExitStack) -> tuple[dict[str, str], Role]:
    """The environment of a relay, with a provider that runs; and that provider."""
    environment = measure.clean_environment(state)
    provider = opened.enter_context(running("provider", environment))
    environment |= {"PATTERNS_PROVIDER": "custom", "OPENAI_BASE_URL": f"http://127.0.0.1:{provider.port}/v1"}
    environment |= {"PATTERNS_MODEL_SMALL": "fixed", "PATTERNS_MODEL_LARGE": "fixed", "OPENAI_API_KEY": "none"}
    return environment, provider


def relay_of_a_stream() -> list[Entry]:
    fast, slow = ({name: [] for name in RELAYS} for _ in range(2))
    with TemporaryDirectory() as state, ExitStack() as opened:
        environment, _ = provided(Path(state), opened)
        ports = {name: opened.enter_context(running(name, environment)).port for name in RELAYS}
        hurried, paced = requests("at once"), requests(SLOWLY)
        for port in ports.values():
            asyncio.run(load(port, hurried, 1))

        def one(name: str) -> float:
            fast[name].append(asyncio.run(load(ports[name], hurried, ANSWERS)).each)
            slow[name].append(asyncio.run(load(ports[name], paced, 1, APART)).first)
            return fast[name][-1]

        measure.interleaved({name: lambda name=name: one(name) for name in RELAYS}, ROUNDS)
    versions = measure.versions(*VERSIONS)
    took = ", ".join(f"{name} {measure.milliseconds(slow[name])}" for name in RELAYS)
    rate = ", ".join(f"{name} {TOKENS / statistics.median(fast[name]):,.0f}" for name in RELAYS)
    return [
        Entry(
            4,
            f"first token through the service at {STREAMS} streams ÷ byte relay",
            measure.ratio(slow["service"], slow["bytes"]),
            "≤ 1.2",
            {"openai SDK relay": round(measure.ratio(slow["sdk"], slow["bytes"]), 2)},
            versions,
            f"Median of all streams: {took}; {measure.spread(slow['service'], slow['bytes'])}. The provider thinks for "
            f"no time and then writes {PACE:.0f} tokens a second and stream.",
        ),
        Entry(
            4,
            f"throughput of the service at {STREAMS} streams ÷ byte relay",
            measure.ratio(fast["bytes"], fast["service"]),
            "≥ 0.7",
            {"openai SDK relay": round(measure.ratio(fast["bytes"], fast["sdk"]), 2)},
            versions,
            f"Tokens a second: {rate}; {measure.spread(fast['bytes'], fast['service'])}. Provider, relay and client "
            "share the cores of this machine.",
        ),
    ]


PARTS = (relay_of_a_stream,)

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["provider"]:
            asyncio.run(_provide())
        case [name] if name in RELAYS:
            _relay(name)
        case _:
            sys.exit(__doc__)
