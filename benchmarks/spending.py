"""Row 8: what is spent against a daily cap, next to a budget that checks first and records afterwards.

The provider is the stand-in, and what counts is its own record of the tokens that it read and wrote. A hundred callers
a process ask at once, with a cap that some forty calls use up; some leave in the middle, some are cancelled, and of two
processes on one store one is killed. Then the rest of the budget is asked for, one call after the other (the drain).
"""

import logging
import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from . import measure
from .measure import Entry
from .spenders import CALLERS, CAP, Callers

ROUNDS = 5
KILL_AFTER = 15  # requests of the two processes together: they may have 21 on their way


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
        until = time.monotonic() + 60
        while len(self._provider.requests()) < KILL_AFTER:
            if time.monotonic() > until:
                raise RuntimeError("the callers do not ask")
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
