"""A contest: the same work, done by several contestants against a provider that answers at once.

The provider is a small server in a process of its own, and so is every contestant. A module that holds one has a
`choose` function (request body -> the bytes of a reply) and `CONTESTANTS`, and ends with `contest.main(...)`:

    python -m benchmarks.<module> serve             the server; prints its port
    python -m benchmarks.<module> work NAME URL     a contestant; reads how often to work, prints seconds
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import measure
from .measure import Skipped

Contestant = Callable[[str], Callable[[], Awaitable[Any]]]  # the provider's URL -> one piece of work
Choose = Callable[[dict[str, Any]], bytes]

# the provider

BASE = {"id": "chatcmpl-1", "created": 0, "model": "fixed"}


def http(body: bytes, kind: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\nx-request-id: req_1\r\n\r\n"
    return head.encode() + body


def streamed(*deltas: Mapping[str, Any], finish: str, tokens: tuple[int, int]) -> bytes:
    """A chat completion as a stream of `deltas`. `tokens` are those read and written."""
    base = {**BASE, "object": "chat.completion.chunk"}
    choices = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": finish}])
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    chunks: list[dict[str, Any]] = [{**base, "choices": one} for one in choices]
    chunks.append({**base, "choices": [], "usage": usage})
    body = b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
    return http(body, "text/event-stream")


async def _serve(choose: Choose) -> None:
    class Provider(asyncio.Protocol):
        """As little of HTTP as serves: read one request after the other."""

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
                self._transport.write(choose(body))

    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# the contestants


async def _work(name: str, contestant: Contestant, url: str, right: Callable[[Any], bool]) -> None:
    work = contestant(url)
    if not right(first := await work()):
        raise RuntimeError(f"{name} gave {first!r}")
    while line := await asyncio.to_thread(sys.stdin.readline):
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(int(line)):
            await work()
        print((time.perf_counter() - wall) / int(line), (time.process_time() - cpu) / int(line), flush=True)


def main(choose: Choose, contestants: Mapping[str, Contestant], right: Callable[[Any], bool]) -> None:
    """Be the provider or a contestant, as the command line says. `right` is whether a piece of work was done well."""
    match sys.argv[1:]:
        case ["serve"]:
            asyncio.run(_serve(choose))
        case ["work", name, url]:
            asyncio.run(_work(name, contestants[name], url, right))


# the measurement


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of one piece of work, by contestant and round: by the clock, and of the contestant's CPU."""

    wall: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)


@contextmanager
def _running(
    module: str, python: Path, environment: dict[str, str], *arguments: str
) -> Iterator[subprocess.Popen[str]]:
    command, pipe = [str(python), "-m", module, *arguments], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=measure.ROOT, env=environment, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _ask(process: subprocess.Popen[str], times: int) -> tuple[float, float]:
    """Wall and CPU seconds of one piece of work. Raises RuntimeError when the contestant has ended."""
    assert process.stdin and process.stdout
    process.stdin.write(f"{times}\n")
    process.stdin.flush()
    if not (line := process.stdout.readline()):
        raise RuntimeError("a contestant has ended; its traceback is above")
    wall, cpu = map(float, line.split())
    return wall, cpu


def hold(
    module: str,
    entrants: Mapping[str, tuple[Path, str]],
    *,
    times: int,
    rounds: int,
    warm: int,
    extra: Mapping[str, str] | None = None,
) -> Measured:
    """Let all `entrants` (title -> Python, name of the contestant) do `times` pieces of work a round.

    They find the provider as "custom", with "fixed" as small and large model of an unknown price; with
    PATTERNS_PROVIDER=standin in `extra` they find it under the stand-in's names, at its prices.
    """
    measured = Measured()
    with TemporaryDirectory() as state, ExitStack() as opened:
        environment = measure.clean_environment(Path(state))
        server = opened.enter_context(_running(module, Path(sys.executable), environment, "serve"))
        assert server.stdout
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        environment |= {"PATTERNS_PROVIDER": "custom", "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
        environment |= {"PATTERNS_MODEL_SMALL": "fixed", "PATTERNS_MODEL_LARGE": "fixed", "no_proxy": "127.0.0.1"}
        environment |= {"PATTERNS_STANDIN_URL": url, **(extra or {})}
        rounds_of: dict[str, Callable[[], float]] = {}

        def add(title: str, python: Path, name: str) -> None:
            process = opened.enter_context(_running(module, python, environment, "work", name, url))
            _ask(process, warm)

            def one_round() -> float:
                wall, cpu = _ask(process, times)
                measured.cpu.setdefault(title, []).append(cpu)
                return wall

            rounds_of[title] = one_round

        for title, (python, name) in entrants.items():
            add(title, python, name)
        measured.wall.update(measure.interleaved(rounds_of, rounds))
    return measured


def peer(requirement: str, *beside: str) -> Path:
    """The Python of a peer, with what it needs `beside` it. Raises Skipped."""
    python = measure.peer(requirement)
    if beside:
        command = [measure.uv(), "pip", "install", "--quiet", "--python", str(python), *beside]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Skipped(
                f"{', '.join(beside)} could not be installed beside {requirement} ({measure.last_line(done.stderr)})"
            )
    return python


def peers(
    requirements: Mapping[str, tuple[str, ...]], by_hand: str
) -> tuple[dict[str, tuple[Path, str]], dict[str, str]]:
    """The entrants for peers (name -> requirement and what it needs beside), and why some are skipped.

    Each comes with `by_hand` in its own environment: it is compared with the SDK that it brings.
    """
    entrants: dict[str, tuple[Path, str]] = {}
    skipped: dict[str, str] = {}
    for name, wanted in requirements.items():
        try:
            python = peer(*wanted)
        except Skipped as reason:
            skipped[wanted[0]] = f"skipped: {reason}"
        else:
            entrants[name] = (python, name)
            entrants[f"{name}'s {by_hand}"] = (python, by_hand)
    return entrants, skipped


def against(
    requirements: Mapping[str, tuple[str, ...]], times: Mapping[str, Sequence[float]], by_hand: str
) -> dict[str, float]:
    """Requirement -> what the peer took, over `by_hand` in its own environment."""
    return {
        wanted[0]: round(measure.ratio(times[name], times[f"{name}'s {by_hand}"]), 2)
        for name, wanted in requirements.items()
        if name in times
    }
