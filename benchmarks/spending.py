"""Row 8: what is spent against a daily cap, next to a budget that checks first and records afterwards.

The provider is the stand-in, and what counts is its own record of the tokens that it read and wrote. A hundred callers
a process ask at once, with a cap that some forty calls use up; some leave in the middle, some are cancelled, and of two
processes on one store one is killed. Then the rest of the budget is asked for, one call after the other (the drain).

    python -m benchmarks.spending       a process of callers; reads a JSON order a line, answers each with a JSON line
"""

import asyncio
import json
import logging
import os
import random
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from . import measure
from .measure import Entry

ROUNDS, CALLERS = 5, 100
CAP = 0.0155  # dollars; a call may cost 0.00074, and does cost 0.00035
TOKENS = 32  # a reply; the model would write more, so it always writes as many
FACTS = ("Returns are free", "Lamps ship", "Refunds take", "Gift cards last", "Repairs need", "Spare parts come")
KILL_AFTER = 30  # requests of the two processes together

# the callers


def _question(number: int) -> list[dict[str, Any]]:
    facts = [f"{fact} within {number} days." for fact in FACTS]
    return [{"role": "user", "content": f"Summarise in detail: {' '.join(facts)}"}]


async def _call(number: int, leave_after: int | None = None) -> float:
    """Dollars of one call, as our own code counts them; a caller who leaves gets only so many pieces."""
    from patterns import calls

    pieces = 0
    async with aclosing(calls.stream(_question(number), max_tokens=TOKENS, tenant="acme")) as stream:
        async for piece in stream:
            if isinstance(piece, calls.Completion):
                return piece.cost_usd or 0.0
            pieces += 1
            if pieces == leave_after:
                break
    return 0.0


class CheckThenRecord:
    """The peer: reads the sum, makes the call, then adds its cost. The sum is in a file, so processes share it."""

    def __init__(self) -> None:
        path = Path(os.environ["PATTERNS_STATE"]) / "peer.sqlite3"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._db.execute("CREATE TABLE IF NOT EXISTS spent (dollars REAL)")

    async def __call__(self, number: int, leave_after: int | None = None) -> None:
        from patterns.errors import LimitHit

        if (self._db.execute("SELECT sum(dollars) FROM spent").fetchone()[0] or 0.0) >= CAP:
            raise LimitHit("The budget is used up.", "Wait.", "budget")
        cost = await _call(number, leave_after)
        self._db.execute("INSERT INTO spent VALUES (?)", (cost,))


async def _caller(call: Callable[..., Coroutine[Any, Any, Any]], dice: random.Random, leaves: bool) -> None:
    """Ask until the budget refuses."""
    from patterns.errors import LimitHit

    while True:
        fate = dice.random() if leaves else 1.0
        asking = asyncio.create_task(call(dice.randrange(100, 1000), 1 + int(fate * 100) if fate < 0.15 else None))
        if 0.15 <= fate < 0.25:
            asyncio.get_running_loop().call_later(dice.random() / 10, asking.cancel)
        try:
            await asking
        except LimitHit:
            return
        except asyncio.CancelledError:
            continue


async def _obey(order: dict[str, Any]) -> dict[str, float]:
    from patterns import backend, budgets, models

    os.environ.update(order["environment"])
    dice, call = random.Random(order["seed"]), _call
    if order["peer"]:
        call = CheckThenRecord()
    else:
        await budgets.cap("tenant:*", CAP)
    callers = 1 if order["drain"] else CALLERS
    await asyncio.gather(*(_caller(call, dice, order["leaves"]) for _ in range(callers)))
    found = await budgets.spending("tenant:acme")
    await backend.close()
    await models.close()
    return {"settled": found.settled, "reserved": found.reserved}


async def work() -> None:
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await _obey(json.loads(line))), flush=True)


# the stage


class Callers:
    """A process of callers."""

    def __init__(self) -> None:
        command, pipe = [sys.executable, "-m", "benchmarks.spending"], subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=measure.ROOT, text=True)
        assert self._process.stdin and self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._stdout.readline()

    def begin(self, **order: Any) -> None:
        self._stdin.write(json.dumps({"peer": False, "drain": False, "leaves": True, **order}) + "\n")
        self._stdin.flush()

    def end(self) -> dict[str, float]:
        if not (line := self._stdout.readline()):
            raise RuntimeError("the callers have ended; their traceback is above")
        return json.loads(line)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()


class Provider:
    """The stand-in, with its own record of what it did."""

    def __init__(self) -> None:
        from patterns.standin.dials import Dials
        from patterns.standin.server import serve_in_thread

        logging.getLogger("asyncio").setLevel(logging.ERROR)  # a caller who is gone is no news
        self.server = serve_in_thread(dials=Dials(time_to_first_token=0.05, tokens_per_second=500))

    def forget(self) -> None:
        self.server.standin.scopes.clear()

    def requests(self) -> list[Any]:
        return [entry for scope in list(self.server.standin.scopes.values()) for entry in list(scope.log)]

    def count(self) -> float:
        """Dollars of everything since `forget`, once nothing runs any more."""
        from patterns import models

        while any(entry.ended == "running" for entry in self.requests()):
            time.sleep(0.01)
        large = models.provider().tier("large")
        return sum(large.cost(one.prompt_tokens, one.tokens_sent, one.cached_tokens) or 0 for one in self.requests())


@contextmanager
def _redis() -> Iterator[str]:
    """The URL of a Redis of our own; empty where there is none to start."""
    if not (binary := shutil.which("redis-server")):
        yield ""
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with TemporaryDirectory() as folder:
        options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder, "--logfile", "log"]
        with subprocess.Popen([binary, *options]) as process:
            try:
                while process.poll() is None:
                    with socket.socket() as attempt:
                        if not attempt.connect_ex(("127.0.0.1", port)):
                            break
                    time.sleep(0.01)
                yield f"redis://127.0.0.1:{port}"
            finally:
                process.kill()


@dataclass
class Shares:
    """Of the cap, a figure a trial: what the provider counted before and after the drain, and what the budget did."""

    spent: list[float] = field(default_factory=list)
    drained: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)


class Stage:
    """The provider, a process of callers, and an empty store for each trial. `engines` are SQLite and maybe Redis."""

    def __init__(self, stack: ExitStack) -> None:
        stack.enter_context(measure.standin())
        self._provider = Provider()
        stack.callback(self._provider.server.stop)
        stack.enter_context(patch.dict(os.environ, {"PATTERNS_STANDIN_URL": self._provider.server.base_url}))
        redis_url = stack.enter_context(_redis())
        self.engines = {"SQLite": "", **({"Redis": redis_url} if redis_url else {})}
        self._folder = Path(stack.enter_context(TemporaryDirectory()))
        self._trials, self._callers = 0, Callers()
        stack.callback(self._callers.kill)

    def _prepare(self, engine: str = "SQLite") -> dict[str, Any]:
        if url := self.engines[engine]:
            from redis import Redis

            with Redis.from_url(url) as emptied:
                emptied.flushall()
        self._trials += 1
        self._provider.forget()
        state = str(self._folder / str(self._trials))
        return {"seed": self._trials, "environment": {"PATTERNS_STATE": state, "PATTERNS_REDIS_URL": url}}

    def _drain(self, shares: Shares, order: dict[str, Any]) -> None:
        shares.spent.append(self._provider.count() / CAP)
        self._callers.begin(**order, drain=True, leaves=False)
        found = self._callers.end()
        shares.drained.append(self._provider.count() / CAP)
        shares.used.append((found["settled"] + found["reserved"]) / CAP)

    def alone(self, engine: str, shares: Shares, leaves: bool) -> None:
        order = self._prepare(engine)
        self._callers.begin(**order, leaves=leaves)
        self._callers.end()
        self._drain(shares, order)

    def with_a_kill(self, engine: str, shares: Shares) -> None:
        victim, order = Callers(), self._prepare(engine)
        for process in (victim, self._callers):
            process.begin(**order)
        while len(self._provider.requests()) < KILL_AFTER:
            time.sleep(0.002)
        victim.kill()
        self._callers.end()
        self._drain(shares, order)

    def peer(self, processes: int) -> float:
        order, others = self._prepare(), [Callers() for _ in range(processes - 1)]
        for process in (self._callers, *others):
            process.begin(**order, peer=True)
        for process in (self._callers, *others):
            process.end()
        for process in others:
            process.kill()
        return self._provider.count() / CAP


# the measurement


def _text(figures: Mapping[str, Sequence[float]]) -> str:
    """The least and the most of each engine."""
    return ", ".join(f"{engine} {min(found):.3f} to {max(found):.3f}" for engine, found in figures.items())


def spend_against_a_cap() -> list[Entry]:
    plain, leaving, killed = (dict[str, Shares]() for _ in range(3))
    peer: dict[int, list[float]] = {1: [], 2: []}
    with ExitStack() as stack:
        stage = Stage(stack)
        for _ in range(ROUNDS):
            for engine in stage.engines:
                stage.alone(engine, plain.setdefault(engine, Shares()), leaves=False)
                stage.alone(engine, leaving.setdefault(engine, Shares()), leaves=True)
                stage.with_a_kill(engine, killed.setdefault(engine, Shares()))
            for processes, found in peer.items():
                found.append(stage.peer(processes))

    versions = measure.versions("redis") | {"sqlite": sqlite3.sqlite_version}
    rest = "" if "Redis" in plain else " Redis: skipped, there is no redis-server."
    rounds = f"in {ROUNDS} rounds, by the provider's own record of tokens: "

    def entry(metric: str, value: float, goal: str, note: str, peer: Sequence[float] = ()) -> Entry:
        peers = {"check-then-record": round(statistics.median(peer), 2)} if peer else {}
        return Entry(8, metric, value, goal, peers, versions, note + rest)

    at_once = {engine: [*shares.spent, *shares.drained] for engine, shares in leaving.items()}
    together = {engine: [*shares.spent, *shares.drained] for engine, shares in killed.items()}
    drained = {engine: shares.drained for engine, shares in plain.items()}
    used = {engine: [*leaving[engine].used, *killed[engine].used] for engine in plain}
    unknown = {engine: [*leaving[engine].drained, *killed[engine].drained] for engine in plain}
    return [
        entry(
            f"spend ÷ cap, {CALLERS} callers at once, with cancels",
            max(map(max, at_once.values())),
            "≤ 1.00",
            f"The most {rounds}{_text(at_once)}. A cap of about 44 calls; one caller in four leaves in the middle.",
            peer[1],
        ),
        entry(
            f"spend ÷ cap, two processes of {CALLERS} callers on one store, with cancels and a kill -9",
            max(map(max, together.values())),
            "≤ 1.00",
            f"The most {rounds}{_text(together)}. The peer's processes are not killed.",
            peer[2],
        ),
        entry(
            "spend ÷ cap after the drain",
            min(map(min, drained.values())),
            "≥ 0.95",
            f"The least {rounds}{_text(drained)}. Nobody leaves, so the provider's count is known for every call.",
        ),
        entry(
            "budget used ÷ cap after the drain, with cancels and a kill -9",
            min(map(min, used.values())),
            "≥ 0.95",
            f"What the budget counts as spent: {_text(used)}. What the provider counted: {_text(unknown)}. Between "
            "them lie calls of which no count came: those that were left are charged with caution, those of a killed "
            "process in full.",
        ),
    ]


PARTS = (spend_against_a_cap,)

if __name__ == "__main__":
    asyncio.run(work())
