"""What every model call cost: tokens, dollars, time to first token, total time, and how it ended.

A call is written down before it is made and settled afterwards, so that a killed process loses nothing: what it left
open is still in the book. SQLite in WAL mode, one file, safe for several threads and processes.
"""

import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from . import state, store

SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    call_id TEXT PRIMARY KEY,
    started REAL NOT NULL,              -- Unix time, seconds
    trace_id TEXT NOT NULL,
    feature TEXT NOT NULL,
    tenant TEXT NOT NULL,
    user TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    tier TEXT NOT NULL,
    outcome TEXT NOT NULL,              -- open | done | aborted | an error's code
    estimated INTEGER NOT NULL,         -- 1: the provider sent no usage, the tokens are an estimate
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cost_usd REAL,                      -- NULL: the price of the model is not known
    first_token_seconds REAL NOT NULL,
    seconds REAL NOT NULL,
    provider_request_id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS calls_started ON calls (started);
CREATE INDEX IF NOT EXISTS calls_trace ON calls (trace_id);
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One row. Times in seconds, `started` as Unix time, `cost_usd` None where the price is not known."""

    call_id: str
    started: float
    trace_id: str
    feature: str
    tenant: str
    user: str
    provider: str
    model: str
    tier: str
    outcome: str = "open"
    estimated: bool = True
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = None
    first_token_seconds: float = 0.0
    seconds: float = 0.0
    provider_request_id: str = ""


_COLUMNS = tuple(field.name for field in fields(Call))
_INSERT = f"INSERT INTO calls ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"


class Ledger:
    """The book at `path`. Every method raises CallerError (`store_unwritable`) when the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with store.trouble(path, "ledger"):
            self._db = store.connect(path, SCHEMA)

    def begin(
        self, *, trace_id: str, feature: str, tenant: str, user: str, provider: str, model: str, tier: str
    ) -> str:
        """Write a call down before it is made. Returns its id."""
        call_id = f"call_{uuid.uuid4().hex[:16]}"
        call = Call(call_id, time.time(), trace_id, feature, tenant, user, provider, model, tier)
        self._execute(_INSERT, [getattr(call, name) for name in _COLUMNS])
        return call_id

    def settle(self, call_id: str, **results: Any) -> None:
        """Write down how the call ended. Only an open call can be settled, so none counts twice."""
        assignments = ", ".join(f"{name} = ?" for name in results)
        self._execute(
            f"UPDATE calls SET {assignments} WHERE call_id = ? AND outcome = 'open'", [*results.values(), call_id]
        )

    def calls(self, *, trace_id: str | None = None, since: float = 0.0) -> list[Call]:
        """The calls that began at or after `since` (Unix time), oldest first."""
        where, values = "started >= ?", [since]
        if trace_id is not None:
            where, values = f"{where} AND trace_id = ?", [since, trace_id]
        rows = self._execute(f"SELECT {', '.join(_COLUMNS)} FROM calls WHERE {where} ORDER BY started, rowid", values)
        return [Call(**{**dict(zip(_COLUMNS, row, strict=True)), "estimated": bool(row[10])}) for row in rows]

    def close(self) -> None:
        self._db.close()

    def _execute(self, statement: str, values: Iterable[Any]) -> list[Any]:
        with store.trouble(self.path, "ledger"), self._lock:
            return self._db.execute(statement, tuple(values)).fetchall()


def default() -> Ledger:
    """The ledger in the state folder (see `patterns.state`)."""
    return store.shared(Ledger, state.folder() / "ledger.sqlite3")


def total(calls: Iterable[Call]) -> float:
    """Dollars, over the calls whose price is known."""
    return sum(call.cost_usd or 0.0 for call in calls)
