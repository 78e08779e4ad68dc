"""What every model call cost: tokens, dollars, time to first token, total time, and how it ended.

A call is written down before it is made, at the most that it can cost, and settled afterwards. So a killed process
loses nothing: what it left open is still in the book, at that price. A request, which may take several calls or none,
is one row when it ends. SQLite in WAL mode, one file, safe for several threads and processes.
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
CREATE TABLE IF NOT EXISTS requests (
    request_id TEXT PRIMARY KEY,
    started REAL NOT NULL,              -- Unix time, seconds
    trace_id TEXT NOT NULL,             -- that of its calls
    feature TEXT NOT NULL,
    tenant TEXT NOT NULL,
    user TEXT NOT NULL,
    served TEXT NOT NULL,               -- live | cached | stale | ... (`Answer.served`), or empty without an answer
    tier TEXT NOT NULL,
    outcome TEXT NOT NULL,              -- `Answer.outcome`, aborted, waiting, or an error's code
    first_token_seconds REAL NOT NULL,
    seconds REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS requests_started ON requests (started);
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


@dataclass(frozen=True, slots=True)
class Request:
    """One row a request: how it was served, and how it ended. Times in seconds, `started` as Unix time."""

    request_id: str
    started: float
    trace_id: str
    feature: str
    tenant: str
    user: str
    served: str
    tier: str
    outcome: str
    first_token_seconds: float
    seconds: float


_COLUMNS = tuple(field.name for field in fields(Call))
_INSERT = f"INSERT INTO calls ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"
_OF_REQUEST = tuple(field.name for field in fields(Request))
_RECORD = f"INSERT OR REPLACE INTO requests VALUES ({', '.join('?' for _ in _OF_REQUEST)})"


class Ledger:
    """The book at `path`. Every method raises CallerError (`store_unwritable`) when the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with store.trouble(path, "ledger"):
            self._db = store.connect(path, SCHEMA)

    def begin(
        self,
        *,
        trace_id: str,
        feature: str,
        tenant: str,
        user: str,
        provider: str,
        model: str,
        tier: str,
        cost_usd: float | None = None,
    ) -> str:
        """Write a call down before it is made, at the most that it can cost. Returns its id."""
        call_id = f"call_{uuid.uuid4().hex[:16]}"
        call = Call(call_id, time.time(), trace_id, feature, tenant, user, provider, model, tier, cost_usd=cost_usd)
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

    def record(self, request: Request) -> None:
        """Write down how a request ended. The same request again takes the place of the first row."""
        self._execute(_RECORD, [getattr(request, name) for name in _OF_REQUEST])

    def requests(self, *, since: float = 0.0) -> list[Request]:
        """The requests that began at or after `since` (Unix time), oldest first."""
        rows = self._execute("SELECT * FROM requests WHERE started >= ? ORDER BY started, rowid", [since])
        return [Request(*row) for row in rows]

    def close(self) -> None:
        self._db.close()

    def _execute(self, statement: str, values: Iterable[Any]) -> list[Any]:
        with store.trouble(self.path, "ledger"), self._lock:
            return self._db.execute(statement, tuple(values)).fetchall()


def default() -> Ledger:
    """The ledger in the state folder (see `patterns.state`)."""
    return store.shared(Ledger, state.file("ledger.sqlite3"))


def total(calls: Iterable[Call]) -> float:
    """Dollars, over the calls whose price is known."""
    return sum(call.cost_usd or 0.0 for call in calls)
