"""Retention: for how long each store keeps what, and `expire`, which removes what is older.

    python -m patterns.retention          once a day

`STORES` is the list of all that is written about people while the assistant runs. Why each is there, who of it belongs
to whom, and for how long: `forgetting.py` goes through the same list.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import state
from .erasing import erased

DAY = 86_400.0
_OWN_RUNS = "(SELECT run_id FROM runs WHERE tenant = :tenant AND user = :user)"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the store `file` in the state folder.

    `old` is true of rows to remove at the time `:now` when they may be kept for `:seconds`; `own` of the rows of
    `:user` in `:tenant`. A table that is `counted` keeps its rows, since money was spent: only the user goes.
    """

    file: str
    name: str
    days: float
    old: str
    own: str
    why: str
    counted: bool = False


def _aged(column: str) -> str:
    return f"{column} < :now - :seconds"


_OLD_YES = "request_id IN (SELECT request_id FROM turns WHERE asked < :now - :seconds)"
_OLD_RUNS = (
    "run_id IN (SELECT run_id FROM runs WHERE updated < :now - CASE status WHEN 'ended' THEN 86400 ELSE :seconds END)"
)
_OWN = "tenant = :tenant AND user = :user"
_OWN_TRACES = (
    "trace IN (SELECT trace FROM spans WHERE json_extract(attributes, '$.\"patterns.trace_id\"') IN"
    " (SELECT value FROM json_each(:traces)))"
)

# In the order in which they are emptied: what tells us where to look goes last.
STORES = (
    Table("conversations.sqlite3", "confirmations", 30, _OLD_YES, _OWN, "a yes counts once"),
    Table("conversations.sqlite3", "turns", 30, _aged("asked"), _OWN, "the customer reads on where they stopped"),
    Table("desk.sqlite3", "work", 180, _aged("left_at"), "tenant = :tenant AND customer = :user", "people work on it"),
    Table("checkpoints.sqlite3", "steps", 30, _OLD_RUNS, f"run_id IN {_OWN_RUNS}", "a run has a last step"),
    Table("checkpoints.sqlite3", "actions", 30, _OLD_RUNS, f"run_id IN {_OWN_RUNS}", "nothing is done twice"),
    Table("checkpoints.sqlite3", "confirmations", 30, _OLD_RUNS, _OWN, "a run waits for a yes"),
    Table("checkpoints.sqlite3", "runs", 30, _OLD_RUNS, _OWN, "a run goes on after a restart; ended, it is kept a day"),
    Table("traces.sqlite3", "spans", 14, _aged("started"), _OWN_TRACES, "to see what a slow request did"),
    Table("ledger.sqlite3", "calls", 90, _aged("started"), _OWN, "what was spent must add up", counted=True),
    Table("ledger.sqlite3", "requests", 90, _aged("started"), _OWN, "how many were served must add up", counted=True),
)  # fmt: skip
# Not in the list: the backend (answers, summaries, limits), which has a time for each row and removes it by itself;
# `embeddings.sqlite3` and `index/`, which hold articles and follow their source.


async def expire(now: float | None = None) -> dict[str, int]:
    """Remove what is older than its period. Returns how many rows, by "file table".

    Safe while the assistant works. Raises CallerError (`store_unwritable`).
    """
    return await asyncio.to_thread(_expire, time.time() if now is None else now)


def _expire(now: float) -> dict[str, int]:
    counts: dict[str, int] = {}
    for path, tables in on_disk():

        def work(db: sqlite3.Connection, tables: Sequence[Table] = tables) -> int:
            total = 0
            for table in present(db, tables):
                named = {"now": now, "seconds": table.days * DAY}
                change = f"DELETE FROM {table.name}" if not table.counted else f"UPDATE {table.name} SET user = ''"
                where = table.old if not table.counted else f"{table.old} AND user != ''"
                count = db.execute(f"{change} WHERE {where}", named).rowcount
                counts[f"{table.file} {table.name}"] = count
                total += count
            return total

        erased(path, work, again=False)
    backend = state.file("backend.sqlite3")
    if backend.exists() and not os.environ.get("PATTERNS_REDIS_URL"):
        counts["backend.sqlite3 entries"] = erased(backend, lambda db: _past(db, now), again=False)
    return counts


def _past(db: sqlite3.Connection, now: float) -> int:
    db.execute("DELETE FROM tags WHERE key IN (SELECT key FROM entries WHERE until <= ?)", (now,))
    db.execute("DELETE FROM places WHERE empty <= ?", (now,))
    return db.execute("DELETE FROM entries WHERE until <= ?", (now,)).rowcount


def on_disk() -> list[tuple[Path, list[Table]]]:
    """The stores that there are, each with its tables."""
    files = dict.fromkeys(table.file for table in STORES)
    paths = [(state.file(name), [table for table in STORES if table.file == name]) for name in files]
    return [(path, tables) for path, tables in paths if path.exists()]


def present(db: sqlite3.Connection, tables: Sequence[Table]) -> list[Table]:
    """Those of `tables` that are in this file: an older version may have made it."""
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return [table for table in tables if table.name in names]


if __name__ == "__main__":
    for place, count in asyncio.run(expire()).items():
        print(f"{count:6,} {place}")
