"""Row 4, many streams: how evenly 200 are served, what one that waits holds, how soon it is noticed that a client left.

The service and the provider are those of `sse_relay.py`.
"""

import asyncio
import json
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from . import measure
from .measure import Entry
from .sse_relay import SILENTLY, SLOWLY, VERSIONS, WORDS, Role, load, provided, requests, running

MANY, VANISHING, PATIENCE = 200, 20, 10.0  # streams; of them; seconds until a call counts as never closed


def _memory(pid: int) -> int:
    """Bytes that the process holds. Raises Skipped where nobody says so."""
    status = Path(f"/proc/{pid}/status")
    if not status.is_file():
        raise measure.Skipped("this system does not say what a process holds in memory")
    return 1024 * int(status.read_text().partition("VmRSS:")[2].split()[0])


async def _left(provider: Role) -> list[float]:
    """When the provider saw that a silent answer was left, as Unix time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    writer.write(b"GET /left HTTP/1.1\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    told = await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
    writer.close()
    return json.loads(told)


async def _vanish(clients: list[asyncio.StreamWriter], provider: Role) -> float:
    """Seconds from the moment at which `clients` vanish to the last of their provider calls that is closed."""
    before, vanished = len(await _left(provider)), time.time()
    for client in clients:
        client.transport.abort()
    while len(left := await _left(provider)) < before + len(clients):
        if time.time() - vanished > PATIENCE:
            raise RuntimeError(f"{before + len(clients) - len(left)} provider calls go on.")
        await asyncio.sleep(0.02)
    return max(left) - vanished


async def _waiting(service: Role, provider: Role) -> tuple[float, list[float], float]:
    """Bytes a stream that waits; seconds for each of VANISHING clients that vanish alone, and for the rest at once."""
    clients = []
    before = _memory(service.pid)
    for request in requests(SILENTLY, MANY):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(request)
        await reader.readuntil(WORDS[1].encode())
        clients.append(writer)
    held = (_memory(service.pid) - before) / MANY
    alone = [await _vanish([client], provider) for client in clients[:VANISHING]]
    return held, alone, await _vanish(clients[VANISHING:], provider)


def two_hundred_streams() -> list[Entry]:
    with TemporaryDirectory() as state, ExitStack() as opened:
        environment, provider = provided(Path(state), opened)
        service = opened.enter_context(running("service", environment))
        asyncio.run(load(service.port, requests("at once", 4), 1))
        held, alone, together = asyncio.run(_waiting(service, provider))
        rounds = [asyncio.run(load(service.port, requests(SLOWLY, MANY), 1)) for _ in range(measure.ROUNDS)]
    fair = statistics.median(one.firsts[-1] / one.first for one in rounds)
    slowest = measure.milliseconds([one.firsts[-1] for one in rounds])
    middle = measure.milliseconds([one.first for one in rounds])
    versions = measure.versions(*VERSIONS)
    rest = f"{MANY - VANISHING} that vanish at once: {together:.2f} s to the last."
    return [
        Entry(
            4,
            f"slowest first token ÷ median, {MANY} streams that begin at once",
            fair,
            "≤ 3",
            versions=versions,
            note=f"Slowest {slowest}, median {middle}; every answer came whole.",
        ),
        Entry(
            4,
            f"seconds from a client that vanishes to its provider call closed, slowest of {VANISHING}",
            max(alone),
            "≤ 0.2",
            versions=versions,
            note=f"Among {MANY} open streams; median {measure.milliseconds(alone)}. {rest}",
        ),
        Entry(4, "KiB of memory a stream that waits", held / 1024, versions=versions, note=f"With {MANY} of them."),
    ]


PARTS = (two_hundred_streams,)
