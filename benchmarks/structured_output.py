"""Row 3: a validated value from a model, next to the SDK's `.parse()`: what the client does, without the wait.

The provider is a small server in a process of its own that gives the same valid reply at once. Each contestant runs in
a process of its own too, and counts the CPU seconds that it spends itself: waiting, and other work on the machine, are
not in the figure. All ask for the same `patterns.triage.Triage` with the same messages.

    python -m benchmarks.structured_output serve            the server; prints its port
    python -m benchmarks.structured_output work NAME URL    a contestant; reads how many calls to make, prints seconds
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import measure
from .measure import Entry, Skipped

ROUNDS, CALLS, WARM = 15, 60, 15
PEERS = {"instructor": "instructor==1.17.0", "pydantic-ai": "pydantic-ai-slim[openai]==2.62.0"}
TICKET = "The hub went dead and my door will not lock!"
REPLY = {
    "reasoning": "The customer wants the hub to work again.",
    "category": "technical",
    "priority": "high",
    "confidence": 0.92,
    "response_template": "troubleshooting",
}

# the server


def _http(body: bytes, kind: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\nx-request-id: req_1\r\n\r\n"
    return head.encode() + body


def _frames() -> tuple[bytes, bytes]:
    """The reply whole, and streamed in pieces of four characters."""
    text = json.dumps(REPLY)
    usage = {"prompt_tokens": 400, "completion_tokens": 40, "total_tokens": 440}
    base = {"id": "chatcmpl-1", "created": 0, "model": "fixed"}
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    whole = json.dumps({**base, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    deltas = [{"content": text[at : at + 4]} for at in range(0, len(text), 4)]
    choices = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    chunks: list[dict[str, Any]] = [{**base, "object": "chat.completion.chunk", "choices": one} for one in choices]
    chunks.append({**base, "object": "chat.completion.chunk", "choices": [], "usage": usage})
    streamed = b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
    return _http(whole, "application/json"), _http(streamed, "text/event-stream")


class FixedReply(asyncio.Protocol):
    """As little of HTTP as serves: read one request after the other, give each the same reply."""

    whole, streamed = _frames()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._read = transport, b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        while True:
            head, end, rest = self._read.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if not end or len(rest) < length:
                return
            body, self._read = json.loads(rest[:length]), rest[length:]
            assert isinstance(self._transport, asyncio.Transport)
            self._transport.write(self.streamed if body.get("stream") else self.whole)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(FixedReply, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# the contestants: each is a function that makes one call


def _messages() -> list[Any]:
    from patterns import triage
    from patterns.events import Turn

    return triage.prompt(Turn(TICKET))


def sdk_parse(url: str) -> Callable[[], Awaitable[Any]]:
    from openai import AsyncOpenAI

    from patterns.triage import Triage

    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)

    async def call() -> Any:
        made = await client.chat.completions.parse(
            model="fixed", messages=_messages(), response_format=Triage, max_tokens=300
        )
        return made.choices[0].message.parsed

    return call


def sdk_create(url: str) -> Callable[[], Awaitable[Any]]:
    """The SDK's `create`, a schema that was made once, and Pydantic: what is left when nothing is done twice."""
    from openai import AsyncOpenAI

    from patterns.schemas import response_format
    from patterns.triage import Triage

    client, wanted = AsyncOpenAI(base_url=url, api_key="none", max_retries=0), response_format(Triage)

    async def call() -> Any:
        made = await client.chat.completions.create(
            model="fixed",
            messages=_messages(),
            response_format=wanted,  # pyright: ignore[reportArgumentType]
            max_tokens=300,
        )
        return Triage.model_validate_json(made.choices[0].message.content or "")

    return call


def ours(url: str) -> Callable[[], Awaitable[Any]]:
    from patterns import triage

    async def call() -> Any:
        return (await triage.triage(TICKET)).output

    return call


def instructor(url: str) -> Callable[[], Awaitable[Any]]:
    import instructor as peer  # pyright: ignore[reportMissingImports]
    from openai import AsyncOpenAI

    from patterns.triage import Triage

    sdk = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    client = peer.from_openai(sdk, mode=peer.Mode.JSON_SCHEMA)

    async def call() -> Any:
        return await client.chat.completions.create(
            model="fixed", messages=_messages(), response_model=Triage, max_tokens=300
        )

    return call


def pydantic_ai(url: str) -> Callable[[], Awaitable[Any]]:
    from openai import AsyncOpenAI
    from pydantic_ai import Agent, NativeOutput  # pyright: ignore[reportMissingImports]
    from pydantic_ai.models.openai import OpenAIChatModel  # pyright: ignore[reportMissingImports]
    from pydantic_ai.providers.openai import OpenAIProvider  # pyright: ignore[reportMissingImports]

    from patterns.triage import INSTRUCTIONS, Triage

    provider = OpenAIProvider(openai_client=AsyncOpenAI(base_url=url, api_key="none", max_retries=0))
    agent = Agent(
        OpenAIChatModel("fixed", provider=provider),
        output_type=NativeOutput(Triage),
        system_prompt=INSTRUCTIONS,
        model_settings={"max_tokens": 300},
    )

    async def call() -> Any:
        return (await agent.run(TICKET)).output

    return call


CONTESTANTS = {make.__name__.replace("_", "-"): make for make in (sdk_parse, sdk_create, ours, instructor, pydantic_ai)}


async def work(name: str, url: str) -> None:
    """Make as many calls as each line read says, and print the CPU and the wall seconds of one."""
    call = CONTESTANTS[name](url)
    if (first := await call()).model_dump() != REPLY:
        raise RuntimeError(f"{name} gave {first!r}")
    while line := await asyncio.to_thread(sys.stdin.readline):
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(int(line)):
            await call()
        print((time.process_time() - cpu) / int(line), (time.perf_counter() - wall) / int(line), flush=True)


# the measurement


@contextmanager
def _running(python: Path, environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [str(python), "-m", "benchmarks.structured_output", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=measure.ROOT, env=environment, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _ask(process: subprocess.Popen[str], calls: int) -> tuple[float, float]:
    """CPU and wall seconds of one call. Raises RuntimeError when the contestant has ended."""
    assert process.stdin and process.stdout
    process.stdin.write(f"{calls}\n")
    process.stdin.flush()
    if not (line := process.stdout.readline()):
        raise RuntimeError("a contestant has ended; its traceback is above")
    cpu, wall = map(float, line.split())
    return cpu, wall


def _peer(requirement: str) -> Path:
    """The Python of a peer, with what `patterns.triage` imports and the peer does not bring. Raises Skipped."""
    python = measure.peer(requirement)
    command = [measure.uv(), "pip", "install", "--quiet", "--python", str(python), "pyyaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"pyyaml could not be installed beside {requirement} ({measure.last_line(done.stderr)})")
    return python


def structured_output() -> list[Entry]:
    pythons: dict[str, Path] = dict.fromkeys(("sdk-parse", "sdk-create", "ours"), Path(sys.executable))
    peers: dict[str, float | str] = {}
    for name, requirement in PEERS.items():
        try:
            pythons[name] = _peer(requirement)
        except Skipped as reason:
            peers[requirement] = f"skipped: {reason}"
    walls: dict[str, list[float]] = {}
    with TemporaryDirectory() as state, ExitStack() as opened:
        environment = measure.clean_environment(Path(state))
        server = opened.enter_context(_running(Path(sys.executable), environment, "serve"))
        assert server.stdout
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        environment |= {"PATTERNS_PROVIDER": "custom", "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
        environment |= {"PATTERNS_MODEL_SMALL": "fixed", "no_proxy": "127.0.0.1"}
        contestants: dict[str, Callable[[], float]] = {}

        def add(title: str, python: Path, name: str) -> None:
            process = opened.enter_context(_running(python, environment, "work", name, url))
            _ask(process, WARM)

            def one_round() -> float:
                cpu, wall = _ask(process, CALLS)
                walls.setdefault(title, []).append(wall)
                return cpu

            contestants[title] = one_round

        for name, python in pythons.items():
            add(name, python, name)
            if name in PEERS:  # next to the SDK of its own environment
                add(f"{name}'s sdk-parse", python, "sdk-parse")
        measured = measure.interleaved(contestants, ROUNDS)

    base = measured["sdk-parse"]
    for name in pythons.keys() & PEERS.keys():
        peers[PEERS[name]] = round(measure.ratio(measured[name], measured[f"{name}'s sdk-parse"]), 2)
    peers["SDK create, cached schema, model_validate_json"] = round(measure.ratio(measured["sdk-create"], base), 2)
    took = f"{measure.milliseconds(measured['ours'])} against {measure.milliseconds(base)} a call"
    clock = measure.ratio(walls["ours"], walls["sdk-parse"])
    note = (
        f"CPU time of the client, {took}; {measure.spread(measured['ours'], base)}. By the clock: {clock:.2f}. Ours is "
        "`triage.triage`, which does more: each call is in the ledger before and after, the reply is validated against "
        "limits that no schema sends, and what does not fit is repaired twice and then decided by rules. Every "
        "contestant gets a valid reply here."
    )
    versions = measure.versions("openai", "pydantic", "httpx2")
    return [
        Entry(
            3, "structured output ÷ SDK .parse()", measure.ratio(measured["ours"], base), "≤ 0.5", peers, versions, note
        )
    ]


PARTS = (structured_output,)

if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1] == "serve" else work(*sys.argv[2:]))
