"""What one request costs each part, measured: the numbers under `SIZING.md`.

    python -m benchmarks.unit_costs           measure, write unit_costs.json (about five minutes)
    python -m benchmarks.unit_costs --page    write SIZING.md from what was measured, with the arithmetic

Costs are CPU time, read from the system for each process by itself, not time on the clock: so they hold on a machine
that does other things as well, and a core that does nothing else saturates at 1 ÷ cost. The service and the stand-in
are processes of their own. Nothing here is about how well an answer is.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from . import measure
from .measure import Entry

RESULTS = Path(__file__).parent / "unit_costs.json"
LIVE, CACHED, STORES, CHUNKS, QUERIES = 24, 60, 400, 8_000, 150  # requests; requests; rounds; vectors; searches
STREAMS = 100  # open at once
CUSTOMERS = 12  # who ask in turn, so that nobody meets the limit of requests a minute
KEY = "benchmark-key-of-thirty-two-bytes"


def cpu(pid: int) -> float:
    """Seconds of CPU that the process has used. Raises Skipped where the system does not say so."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.is_file():
        raise measure.Skipped("this system does not say how much CPU a process has used")
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Bytes that the process holds."""
    return 1024 * int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])


@contextmanager
def process(command: list[str], environment: dict[str, str], ready: str) -> Iterator[tuple[int, str]]:
    """A process of ours, as soon as it has printed `ready`: its id, and what the pattern's group has found."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=measure.ROOT) as started:
        try:
            assert started.stdout
            for line in started.stdout:
                if found := re.search(ready, line):
                    yield started.pid, found[1]
                    return
            raise RuntimeError(f"{command} has ended with {started.wait()}.")
        finally:
            started.kill()


def service() -> dict[str, Any]:
    """CPU, calls, tokens and memory of a request to the complete assistant, answered live and from the cache."""
    from patterns import evals, ledger
    from patterns.events import User
    from patterns.service.identity import Keys, Person
    from tests.service_client import Client

    with TemporaryDirectory() as state, ExitStack() as opened:
        environment = measure.clean_environment(Path(state))
        python = [sys.executable, "-m"]
        _, url = opened.enter_context(
            process([*python, "patterns.standin", "--port", "0"], environment, r"(http://\S+/v1)")
        )
        environment |= {"PATTERNS_STANDIN_URL": url, "PATTERNS_SIGNING_KEY": KEY}
        pid, where = opened.enter_context(
            process([*python, "patterns.serve", "--port", "0"], environment, r"listens at (http\S+)\. ")
        )
        keys = Keys([KEY.encode()])
        clients = [
            Client(where, keys.sign(Person(User(f"C-{number:04}", "acme-home"), "Somebody")))
            for number in range(1, CUSTOMERS + 1)
        ]
        questions = list(dict.fromkeys(case.question for case in evals.load("rag")))[: LIVE + 4]

        async def ask(texts: list[str]) -> list[Any]:
            places, found = asyncio.Semaphore(2), []

            async def one(text: str) -> None:
                client = clients[questions.index(text) % CUSTOMERS]  # some answers are kept for their asker only
                async with places:
                    events = await client.ask(text)
                    found.extend((text, event.told["served"]) for event in events if event.kind == "answer")

            await asyncio.gather(*(one(text) for text in texts))
            return found

        asyncio.run(ask(questions[LIVE:]))  # the index is open, modules are there
        book = ledger.Ledger(Path(state) / "ledger.sqlite3")
        since, before = time.time(), cpu(pid)
        answers = asyncio.run(ask(questions[:LIVE]))
        live = (cpu(pid) - before) / LIVE
        calls = book.calls(since=since)
        again = asyncio.run(ask(questions[:LIVE]))
        kept = [text for text, served in again if served == "cached"]  # not every answer may be served again
        before = cpu(pid)
        hits = asyncio.run(ask([kept[number % len(kept)] for number in range(CACHED)]))
        if any(served != "cached" for _, served in hits):
            raise RuntimeError("An answer from the cache was not there the next time.")
        hit = (cpu(pid) - before) / CACHED
        held = memory(pid)
        book.close()
    chat = [call for call in calls if call.tier in ("small", "large")]
    per = {
        tier: {
            "calls": sum(call.tier == tier for call in chat) / LIVE,
            "input": sum(call.input_tokens for call in chat if call.tier == tier) / LIVE,
            "cached_input": sum(call.cached_tokens for call in chat if call.tier == tier) / LIVE,
            "output": sum(call.output_tokens for call in chat if call.tier == tier) / LIVE,
        }
        for tier in ("small", "large")
    }
    embedded = [call for call in calls if call.tier == "embed"]
    return {
        "requests": LIVE,
        "answered": len(answers),
        "live_cpu_ms": 1000 * live,
        "cached_cpu_ms": 1000 * hit,
        "may_be_kept": len(kept) / LIVE,
        "process_mib": held / 2**20,
        "tiers": per,
        "embed_calls": len(embedded) / LIVE,
        "embed_tokens": sum(call.input_tokens for call in embedded) / LIVE,
        "ledger_rows": len(calls) / LIVE,
    }


async def _round(number: int) -> None:
    """What one live request asks of the shared store: two switches, a limit, a cached answer, two calls' money."""
    from patterns import backend, budgets

    store, text = backend.default(), f"{number}"
    await store.switched_off(["all", "feature:chat", "tenant:a"])
    await store.take(f"user {number % 50}", 1_000_000, 60)
    await store.get(text)
    for _ in range(2):
        async with budgets.reserved(0.001, {"feature": "chat", "tenant": "a", "user": text}) as bill:
            bill.dollars = 0.0005
    await store.switched_off(["all", "feature:chat", "tenant:a"])
    await store.put(text, "x" * 1_000, 3600, 7200, ("a",))


async def _rounds() -> None:
    from patterns import backend

    for number in range(STORES):
        await _round(number)
    await backend.close()


def stores() -> dict[str, Any]:
    """CPU of the shared store for one request: SQLite in the process that asks, Redis in its own."""
    from patterns import ledger

    from .spending import _redis  # pyright: ignore[reportPrivateUsage]

    found: dict[str, Any] = {"rounds": STORES}
    with measure.standin():
        before = time.process_time()
        asyncio.run(_rounds())
        found["sqlite_ms"] = 1000 * (time.process_time() - before) / STORES
        before = time.process_time()
        book = ledger.default()
        for _ in range(STORES):
            call = book.begin(
                provider="p", model="m", tier="small", cost_usd=0.001, feature="", tenant="", user="", trace_id="t"
            )
            book.settle(call, outcome="done", estimated=False)
        found["ledger_call_ms"] = 1000 * (time.process_time() - before) / STORES
    with measure.standin(), _redis() as url:
        if not url:
            return found
        from redis import Redis

        with Redis.from_url(url) as server, patch.dict(os.environ, {"PATTERNS_REDIS_URL": url}):

            def used() -> tuple[float, int]:
                told: Any = server.info()
                return told["used_cpu_user"] + told["used_cpu_sys"], told["total_commands_processed"]

            asyncio.run(_rounds())  # scripts are loaded
            before, commands = used()
            mine = time.process_time()
            asyncio.run(_rounds())
            after, commands_after = used()
            found |= {
                "redis_server_ms": 1000 * (after - before) / STORES,
                "redis_commands": (commands_after - commands) / STORES,
                "redis_client_ms": 1000 * (time.process_time() - mine) / STORES,
            }
    return found


def vectors() -> dict[str, Any]:
    """CPU and latency of a vector search: the exact scan here, and a Chroma server."""
    import chromadb
    import httpx
    import numpy as np
    from chromadb.config import Settings

    chance = np.random.default_rng(7)
    rows = chance.standard_normal((CHUNKS, 384), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = chance.standard_normal((QUERIES, 384), dtype=np.float32)
    started = time.process_time()
    for query in queries:
        np.argpartition(rows @ query, -50)
    scan = 1000 * (time.process_time() - started) / QUERIES
    with TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [str(Path(sys.executable).with_name("chroma")), "run", "--host", "127.0.0.1", "--port", str(port)]
        with subprocess.Popen(
            [*command, "--path", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
        ) as server:
            try:
                until = time.monotonic() + 90
                while time.monotonic() < until:
                    try:
                        httpx.get(f"http://127.0.0.1:{port}/api/v2/heartbeat", timeout=1, trust_env=False)
                        break
                    except httpx.TransportError:
                        time.sleep(0.2)
                client = chromadb.HttpClient("127.0.0.1", port, settings=Settings(anonymized_telemetry=False))
                made = client.create_collection(
                    "vectors", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
                )
                begun = cpu(server.pid)
                for start in range(0, CHUNKS, 1000):
                    made.add(
                        ids=[str(n) for n in range(start, min(start + 1000, CHUNKS))],
                        embeddings=rows[start : start + 1000],
                    )
                filled = cpu(server.pid)
                times = []
                for query in queries:
                    at = time.perf_counter()
                    made.query(query_embeddings=query[None, :], n_results=50, include=["distances"])
                    times.append(1000 * (time.perf_counter() - at))
                asked = cpu(server.pid)
                held = memory(server.pid)
            finally:
                server.kill()
    return {
        "chunks": CHUNKS,
        "scan_cpu_ms": scan,
        "chroma_cpu_ms": 1000 * (asked - filled) / QUERIES,
        "chroma_p50_ms": statistics.median(times),
        "chroma_p95_ms": statistics.quantiles(times, n=20)[-1],
        "chroma_insert_cpu_ms": 1000 * (filled - begun) / CHUNKS,
        "chroma_mib": held / 2**20,
    }


def streams() -> dict[str, Any]:
    """Memory of a service process for each stream that is open and waits for the provider."""
    from .sse_relay import SILENTLY, WORDS, load, provided, requests, running

    async def held(port: int, pid: int) -> float:
        before, clients = memory(pid), []
        for request in requests(SILENTLY, STREAMS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            await reader.readuntil(WORDS[1].encode())
            clients.append(writer)
        more = memory(pid) - before
        for writer in clients:
            writer.close()
        return more / STREAMS / 1024

    with TemporaryDirectory() as state, ExitStack() as opened:
        environment, _ = provided(Path(state), opened)
        relay = opened.enter_context(running("service", environment))
        asyncio.run(load(relay.port, requests("at once", 4), 1))
        return {"streams": STREAMS, "kib": asyncio.run(held(relay.port, relay.pid))}


MEASURED = {part.__name__: part for part in (stores, streams, vectors, service)}


def measured() -> dict[str, Any]:
    """Everything, with where and with what it was measured."""
    found: dict[str, Any] = {}
    for name, part in MEASURED.items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        found[name] = part()
    found["versions"] = measure.versions("chromadb", "redis", "uvicorn", "openai", "genai-prices")
    found["load"] = list(os.getloadavg())
    found["cores"] = os.cpu_count()
    return found


def unit_costs() -> list[Entry]:
    found = measured()
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    asked, shared, near = found["service"], found["stores"], found["vectors"]
    return [
        Entry(
            "sizing", "CPU ms of a service process, a live request", asked["live_cpu_ms"], versions=found["versions"]
        ),
        Entry("sizing", "CPU ms of a service process, a cached answer", asked["cached_cpu_ms"]),
        Entry("sizing", "CPU ms of SQLite for the shared store, a request", shared["sqlite_ms"]),
        Entry("sizing", "CPU ms of Redis for the shared store, a request", shared.get("redis_server_ms")),
        Entry("sizing", f"CPU ms of a Chroma server, a query in {CHUNKS} vectors", near["chroma_cpu_ms"]),
    ]


PARTS = (unit_costs,)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unit_costs", description="Measure unit costs.")
    parser.add_argument("--part", choices=list(MEASURED), help="measure only this, keep the rest of the last time")
    parser.add_argument("--page", action="store_true", help="only write SIZING.md from what was measured before")
    options = parser.parse_args()
    if options.part:
        found = json.loads(RESULTS.read_text(encoding="utf-8")) | {options.part: MEASURED[options.part]()}
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    elif not options.page:
        for entry in unit_costs():
            print(f"{entry.metric}: {entry.value}")
    from . import sizing

    sizing.write(json.loads(RESULTS.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
