"""Row 2: a loop of two model calls with a tool between them, next to the same loop written by hand on the SDK.

The provider is a small server in a process of its own: to a request without a tool's result it streams a call of
`double`, to one with a result the answer. Each contestant runs in a process of its own, streams both replies, and makes
the same two requests. Timed by the clock, since writing things down costs waiting too; the CPU time is in the note.

    python -m benchmarks.tool_loop serve            the server; prints its port
    python -m benchmarks.tool_loop work NAME URL    a contestant; reads how many loops to make, prints seconds
"""

import asyncio
import json
import statistics
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

ROUNDS, LOOPS, WARM = 21, 20, 10
PEERS = {
    "haystack": "haystack-ai==3.4.1",
    "langchain": "langchain==1.5.2",
    "pydantic-ai": "pydantic-ai-slim[openai]==2.62.0",
}
QUESTION = "How much is twice 21?"
ANSWER = "Twice 21 is 42."
INSTRUCTIONS = "Answer the question. Use the tool to double a number."

# the server


def _streamed(*deltas: dict[str, Any], finish: str) -> bytes:
    base = {"id": "chatcmpl-1", "created": 0, "model": "fixed", "object": "chat.completion.chunk"}
    choices = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": finish}])
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    chunks: list[dict[str, Any]] = [{**base, "choices": one} for one in choices]
    chunks.append({**base, "choices": [], "usage": usage})
    body = b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _call() -> bytes:
    opening = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "double", "arguments": ""}}
    pieces = [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in ('{"num', 'ber": ', "21}")]
    return _streamed({"role": "assistant", "content": None, "tool_calls": [opening]}, *pieces, finish="tool_calls")


def _answer() -> bytes:
    pieces = [{"content": piece} for piece in ("Twice", " 21", " is", " 42", ".")]
    return _streamed({"role": "assistant", "content": ""}, *pieces, finish="stop")


class TwoReplies(asyncio.Protocol):
    """As little of HTTP as serves: read one request after the other, and answer by whether a tool has spoken."""

    call, answer = _call(), _answer()

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
            self._transport.write(self.answer if body["messages"][-1]["role"] == "tool" else self.call)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(TwoReplies, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# the contestants: each is a function that runs one loop and returns the answer


def by_hand(url: str) -> Callable[[], Awaitable[str]]:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    parameters = {
        "type": "object",
        "properties": {"number": {"type": "integer"}},
        "required": ["number"],
        "additionalProperties": False,
    }
    function = {"name": "double", "description": "Twice a number.", "parameters": parameters, "strict": True}
    offered: Any = [{"type": "function", "function": function}]

    async def loop() -> str:
        messages: list[Any] = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": QUESTION}]
        while True:
            text, calls = "", dict[int, dict[str, Any]]()
            stream = await client.chat.completions.create(
                model="fixed", messages=messages, tools=offered, stream=True, stream_options={"include_usage": True}
            )
            async for chunk in stream:
                if not chunk.choices:
                    continue
                delta = chunk.choices[0].delta
                text += delta.content or ""
                for piece in delta.tool_calls or ():
                    call = calls.setdefault(piece.index, {"id": piece.id, "name": "", "arguments": ""})
                    if piece.function:
                        call["name"] += piece.function.name or ""
                        call["arguments"] += piece.function.arguments or ""
            if not calls:
                return text
            asked = [
                {"id": one["id"], "type": "function", "function": {"name": one["name"], "arguments": one["arguments"]}}
                for one in calls.values()
            ]
            messages.append({"role": "assistant", "content": None, "tool_calls": asked})
            for one in calls.values():
                result = json.loads(one["arguments"])["number"] * 2
                messages.append({"role": "tool", "tool_call_id": one["id"], "content": json.dumps(result)})

    return loop


def _ours(layers: Callable[[Any], tuple[Any, ...]]) -> Callable[[], Awaitable[str]]:
    from patterns.core import model_call
    from patterns.events import Turn, answer, stack
    from patterns.tools import tool

    def double(number: int) -> int:
        """Twice a number."""
        return number * 2

    def prompt(turn: Turn) -> list[dict[str, Any]]:
        return [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": turn.text}]

    handler = stack(model_call(prompt), *layers(tool(double)))

    async def loop() -> str:
        return (await answer(handler, Turn(QUESTION))).text

    return loop


def tool_use(url: str) -> Callable[[], Awaitable[str]]:
    from patterns.tool_use import use_tools

    return _ours(lambda double: (use_tools([double]),))


def agent(url: str) -> Callable[[], Awaitable[str]]:
    from patterns.agent_loop import agent
    from patterns.bounds import bounded

    return _ours(lambda double: (agent([double]), bounded()))


def haystack(url: str) -> Callable[[], Awaitable[str]]:
    from haystack.components.agents import Agent  # pyright: ignore[reportMissingImports]
    from haystack.components.generators.chat import OpenAIChatGenerator  # pyright: ignore[reportMissingImports]
    from haystack.dataclasses import ChatMessage, StreamingChunk  # pyright: ignore[reportMissingImports]
    from haystack.tools import tool  # pyright: ignore[reportMissingImports]
    from haystack.utils import Secret  # pyright: ignore[reportMissingImports]

    @tool
    def double(number: int) -> int:
        """Twice a number."""
        return number * 2

    async def seen(chunk: StreamingChunk) -> None:
        pass

    model = OpenAIChatGenerator(Secret.from_token("none"), "fixed", api_base_url=url, max_retries=0)
    agent = Agent(chat_generator=model, tools=[double], system_prompt=INSTRUCTIONS, streaming_callback=seen)
    agent.warm_up()

    async def loop() -> str:
        made = await agent.run_async([ChatMessage.from_user(QUESTION)])
        return made["messages"][-1].text

    return loop


def langchain(url: str) -> Callable[[], Awaitable[str]]:
    from langchain.agents import create_agent  # pyright: ignore[reportMissingImports]
    from langchain_openai import ChatOpenAI  # pyright: ignore[reportMissingImports]

    def double(number: int) -> int:
        """Twice a number."""
        return number * 2

    model = ChatOpenAI(model="fixed", base_url=url, api_key="none", max_retries=0, streaming=True, stream_usage=True)
    agent = create_agent(model, [double], system_prompt=INSTRUCTIONS)

    async def loop() -> str:
        made = await agent.ainvoke({"messages": [{"role": "user", "content": QUESTION}]})
        return made["messages"][-1].text

    return loop


def pydantic_ai(url: str) -> Callable[[], Awaitable[str]]:
    from openai import AsyncOpenAI
    from pydantic_ai import Agent  # pyright: ignore[reportMissingImports]
    from pydantic_ai.models.openai import OpenAIChatModel  # pyright: ignore[reportMissingImports]
    from pydantic_ai.providers.openai import OpenAIProvider  # pyright: ignore[reportMissingImports]

    provider = OpenAIProvider(openai_client=AsyncOpenAI(base_url=url, api_key="none", max_retries=0))
    agent = Agent(OpenAIChatModel("fixed", provider=provider), system_prompt=INSTRUCTIONS)

    @agent.tool_plain
    def double(number: int) -> int:
        """Twice a number."""
        return number * 2

    async def loop() -> str:
        async with agent.run_stream(QUESTION) as made:
            return await made.get_output()

    return loop


OURS = {"tool_use": tool_use, "agent": agent}
CONTESTANTS = {"by-hand": by_hand, **OURS, "haystack": haystack, "langchain": langchain, "pydantic-ai": pydantic_ai}


async def work(name: str, url: str) -> None:
    """Run as many loops as each line read says, and print the wall and the CPU seconds of one."""
    loop = CONTESTANTS[name](url)
    if (first := await loop()) != ANSWER:
        raise RuntimeError(f"{name} gave {first!r}")
    while line := await asyncio.to_thread(sys.stdin.readline):
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(int(line)):
            await loop()
        print((time.perf_counter() - wall) / int(line), (time.process_time() - cpu) / int(line), flush=True)


# the measurement


@contextmanager
def _running(python: Path, environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [str(python), "-m", "benchmarks.tool_loop", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=measure.ROOT, env=environment, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _ask(process: subprocess.Popen[str], loops: int) -> tuple[float, float]:
    """Wall and CPU seconds of one loop. Raises RuntimeError when the contestant has ended."""
    assert process.stdin and process.stdout
    process.stdin.write(f"{loops}\n")
    process.stdin.flush()
    if not (line := process.stdout.readline()):
        raise RuntimeError("a contestant has ended; its traceback is above")
    wall, cpu = map(float, line.split())
    return wall, cpu


def _peer(name: str, requirement: str) -> Path:
    """The Python of a peer, with what its OpenAI client is in. Raises Skipped."""
    python = measure.peer(requirement)
    beside = {"langchain": "langchain-openai==1.7.4"}.get(name)
    if beside:
        command = [measure.uv(), "pip", "install", "--quiet", "--python", str(python), beside]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Skipped(f"{beside} could not be installed beside {requirement} ({measure.last_line(done.stderr)})")
    return python


def two_step_tool_loop() -> list[Entry]:
    pythons: dict[str, Path] = dict.fromkeys(("by-hand", *OURS), Path(sys.executable))
    peers: dict[str, float | str] = {}
    for name, requirement in PEERS.items():
        try:
            pythons[name] = _peer(name, requirement)
        except Skipped as reason:
            peers[requirement] = f"skipped: {reason}"
    cpus: dict[str, list[float]] = {}
    with TemporaryDirectory() as state, ExitStack() as opened:
        environment = measure.clean_environment(Path(state))
        server = opened.enter_context(_running(Path(sys.executable), environment, "serve"))
        assert server.stdout
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        environment |= {"PATTERNS_PROVIDER": "custom", "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
        environment |= {"PATTERNS_MODEL_LARGE": "fixed", "no_proxy": "127.0.0.1"}
        environment |= {"HAYSTACK_TELEMETRY_ENABLED": "False", "LANGSMITH_TRACING": "false"}
        contestants: dict[str, Callable[[], float]] = {}

        def add(title: str, python: Path, name: str) -> None:
            process = opened.enter_context(_running(python, environment, "work", name, url))
            _ask(process, WARM)

            def one_round() -> float:
                wall, cpu = _ask(process, LOOPS)
                cpus.setdefault(title, []).append(cpu)
                return wall

            contestants[title] = one_round

        for name, python in pythons.items():
            add(name, python, name)
            if name in PEERS:  # next to the SDK of its own environment
                add(f"{name}'s by-hand", python, "by-hand")
        measured = measure.interleaved(contestants, ROUNDS)

    for name in pythons.keys() & PEERS.keys():
        peers[PEERS[name]] = round(measure.ratio(measured[name], measured[f"{name}'s by-hand"]), 2)
    base = measured["by-hand"]
    versions = measure.versions("openai", "pydantic", "httpx2")
    entries = []
    for name, does in (
        ("tool_use", "every model call is in the ledger before and after, and every tool call in the checkpoints"),
        ("agent", "besides: the caps on steps, dollars and seconds, duplicate calls, and the run saved at each step"),
    ):
        took = f"{measure.milliseconds(measured[name])} against {measure.milliseconds(base)}"
        note = (
            f"By the clock, {took} for two model calls; {measure.spread(measured[name], base)}. CPU time alone: "
            f"{measure.ratio(cpus[name], cpus['by-hand']):.2f}. The floor is the SDK's own two calls, "
            f"{1000 * statistics.median(base) / 2:.2g} ms each, on a provider that answers at once. "
            f"Ours does more: {does}."
        )
        metric = f"two-step tool loop ÷ hand-written loop, {name}"
        ratio = measure.ratio(measured[name], base)
        entries.append(Entry(2, metric, ratio, "≤ 1.05", peers if name == "tool_use" else {}, versions, note))
    return entries


PARTS = (two_step_tool_loop,)

if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1] == "serve" else work(*sys.argv[2:]))
