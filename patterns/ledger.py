"""What every model call cost: tokens, dollars, time to first token, total time, and how it ended.

A call is written down before it is made and settled afterwards, so that a killed process loses nothing: what it left
open is still in the book. SQLite in WAL mode, one file, safe for several threads and processes.
"""

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from . import state
from .errors import CallerError

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


BUSY_SECONDS = 2.0  # how long to wait while another process writes


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
        with self._trouble():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                self._switch_to_wal()
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.executescript(SCHEMA)
            except sqlite3.Error:
                self._db.close()
                raise

    def _switch_to_wal(self) -> None:
        # SQLite does not wait for another process at this one step, so we do.
        until = time.monotonic() + 10
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.02)

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
        with self._trouble(), self._lock:
            return self._db.execute(statement, tuple(values)).fetchall()

    def _trouble(self) -> "_Trouble":
        return _Trouble(self.path)


class _Trouble:
    """Turns what SQLite and the file system say into one sentence."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, sqlite3.Error | OSError):
            raise CallerError(
                f"The ledger at {self._path} cannot be used: {error}.",
                "Free some space or make the folder writable, or set PATTERNS_STATE to another folder.",
                "store_unwritable",
            ) from error


_open: dict[Path, Ledger] = {}
_opening = threading.Lock()


def default() -> Ledger:
    """The ledger in the state folder (see `patterns.state`)."""
    path = state.folder() / "ledger.sqlite3"
    with _opening:
        if path not in _open:
            _open[path] = Ledger(path)
        return _open[path]


def total(calls: Iterable[Call]) -> float:
    """Dollars, over the calls whose price is known."""
    return sum(call.cost_usd or 0.0 for call in calls)
