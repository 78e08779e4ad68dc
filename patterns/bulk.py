"""Bulk work: the same job for each of many items, here or on a Dask cluster, with no result lost and none twice.

    done = await run(triage, {"T-1": {"text": "..."}, ...}, Path("triage.sqlite3"), progress=print_progress)
    done.results, done.failed, done.left

The results are in one SQLite file, which is the checkpoint as well: a result is there as soon as its item is done, and
a run with the same file goes on with what has none. So a killed process loses only what it was at, which is done again:
a job must therefore have no effect but its result. One run at a time may use a file.

With PATTERNS_DASK=tcp://host:8786 the jobs run on that cluster (`cluster.py`), and the file stays here. Calls to models
pass the budgets as everywhere. When a budget is used up or something is switched off, the rest is left for another run.
"""

import asyncio
import hashlib
import json
import os
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import models, retries, store
from .errors import CallerError, LimitHit, PatternsError, ProviderError

Job = Callable[[Any], Awaitable[Any]]  # a function of a module; takes and gives what JSON can hold
Keep = Callable[[str, Any], Any]
Progress = Callable[[int, int], None]  # (items done, items in all)

AT_ONCE = 8
TRIES = 4  # of one item, while the provider fails for the moment
LONGEST_WAIT = 60.0  # seconds that a provider or a rate limit may ask for
FOR_ALL = ("cluster_lost", "store_unwritable", "wrong_key", "unknown_model", "not_set_up", "quota")  # not of one item
VARIABLE = "PATTERNS_DASK"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS run (job TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items (
    id TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL,               -- of the item: one that has changed is done again
    state TEXT NOT NULL,                -- done or failed
    value TEXT NOT NULL                 -- JSON: the result, or what is wrong
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Done:
    """Every item is in exactly one: `results`, `failed` (what is wrong and what to do), `left` for another run.

    `stopped` says why something is left. `resumed` is how many results were there before.
    """

    results: Mapping[str, Any]
    failed: Mapping[str, str]
    left: tuple[str, ...]
    stopped: str
    resumed: int


async def run(
    job: Job,
    items: Mapping[str, Any],
    file: Path,
    *,
    at_once: int | None = None,
    progress: Progress = lambda done, all: None,
    keep: Keep = lambda item_id, result: result,
) -> Done:
    """Do `job` for every item that has no result in `file` yet; the items that failed before are tried again.

    `at_once`: how many jobs run at a time; by default 8 here, and on a cluster two for each thread of it. `keep` is
    called here with each result, and what it returns is what the file holds. `progress` is called after each item.

    One item that fails stops no other. Raises CallerError (`bulk_busy`, `bad_request`, `store_unwritable`, and
    `not_set_up` for a cluster that does not share our budgets), and ProviderError (`unreachable`, `cluster_lost`).
    """
    async with AsyncExitStack() as opened:
        results = Results(file, f"{job.__module__}:{job.__qualname__}")
        opened.callback(results.close)
        there = results.begin(items)
        waiting = [name for name in reversed(list(items)) if name not in there]
        do, places = job, at_once or AT_ONCE
        if waiting and (address := os.environ.get(VARIABLE)):
            from . import cluster

            do, threads = await opened.enter_async_context(cluster.opened(address, job))
            places = at_once or 2 * threads
        line = _Line(do, items, results, waiting, keep, progress)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(places, len(waiting))):
                group.create_task(line.work())
        if line.broken:
            raise line.broken
        return results.all(items, line.stopped, len(there))


class _Line:
    """Those who work at one run, each at one item at a time."""

    def __init__(
        self, do: Job, items: Mapping[str, Any], results: "Results", waiting: list[str], keep: Keep, progress: Progress
    ) -> None:
        self._do, self._items, self._results, self._waiting = do, items, results, waiting
        self._keep, self._progress = keep, progress
        self._done = len(items) - len(waiting)
        self.stopped = ""
        self.broken: PatternsError | None = None

    async def work(self) -> None:
        while self._waiting and not self.stopped:
            name = self._waiting.pop()
            item = self._items[name]
            try:
                self._results.put(name, item, "done", self._keep(name, await self._tried(item)))
            except LimitHit as error:  # what comes next would hit it as well
                self.stopped = str(error)
                return
            except PatternsError as error:
                if error.code in FOR_ALL:
                    self.stopped, self.broken = str(error), error
                    return
                self._results.put(name, item, "failed", str(error))
            self._done += 1
            self._progress(self._done, len(self._items))

    async def _tried(self, item: Any) -> Any:
        """The result, at the last of TRIES at the latest. Another wait is asked for by a rate limit of our own."""
        for attempt in range(1, TRIES + 1):
            try:
                return await self._do(item)
            except (ProviderError, LimitHit) as error:
                transient = error.transient if isinstance(error, ProviderError) else error.code == "rate_limit"
                if not transient or attempt == TRIES or (error.retry_after or 0.0) > LONGEST_WAIT:
                    raise
                await asyncio.sleep(retries.wait(attempt, error.retry_after))
        raise AssertionError


class Results:
    """The file at `path`, held by one run of `job` until `close`. Raises CallerError.

    What is no JSON raises TypeError.
    """

    def __init__(self, path: Path, job: str) -> None:
        self.path, provider = path, models.provider()
        # The models are a part of what was asked: others give other results.
        self._asked = [provider.name, sorted(tier.model for tier in provider.tiers.values())]
        with store.trouble(path, "results file"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = sqlite3.connect(f"{path}.lock", timeout=0, isolation_level=None)
        try:
            with store.trouble(path, "results file"):
                try:
                    self._lock.execute("BEGIN EXCLUSIVE")  # the system gives it back when a process dies
                except sqlite3.OperationalError as error:
                    if "locked" not in str(error):
                        raise
                    raise CallerError(
                        f"Another run uses {path}.", "Wait until it is done, or name another file.", "bulk_busy"
                    ) from None
                self._db = store.connect(path, _SCHEMA)
                self._db.execute("INSERT INTO run SELECT ? WHERE NOT EXISTS (SELECT 1 FROM run)", (job,))
                ((known,),) = self._db.execute("SELECT job FROM run")
            if known != job:
                self._db.close()
                raise CallerError(
                    f"{path} holds the results of {known}, not of {job}.", "Name another file.", "bad_request"
                )
        except CallerError:
            self._lock.close()
            raise

    def begin(self, items: Mapping[str, Any]) -> set[str]:
        """Which of `items` have a result. One that has changed since has none."""
        with store.trouble(self.path, "results file"):
            done = dict(self._db.execute("SELECT id, sha256 FROM items WHERE state = 'done'"))
        return {name for name, item in items.items() if done.get(name) == self._sha256(item)}

    def put(self, name: str, item: Any, state: str, value: Any) -> None:
        row = (name, self._sha256(item), state, json.dumps(value, ensure_ascii=False))
        with store.trouble(self.path, "results file"):
            self._db.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?)", row)

    def all(self, items: Mapping[str, Any], stopped: str, resumed: int) -> Done:
        with store.trouble(self.path, "results file"):
            rows = {row[0]: row[1:] for row in self._db.execute("SELECT id, sha256, state, value FROM items")}
        results, failed, left = dict[str, Any](), dict[str, str](), list[str]()
        for name, item in items.items():
            digest, state, value = rows.get(name, ("", "", ""))
            if digest != self._sha256(item):
                left.append(name)
            elif state == "done":
                results[name] = json.loads(value)
            else:
                failed[name] = json.loads(value)
        return Done(results, failed, tuple(left), stopped, resumed)

    def close(self) -> None:
        self._db.close()
        self._lock.close()

    def _sha256(self, item: Any) -> str:
        return hashlib.sha256(json.dumps([self._asked, item], sort_keys=True).encode()).hexdigest()
