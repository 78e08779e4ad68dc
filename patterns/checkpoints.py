"""What a run of several steps must not lose or do twice: its state, what people decided, what tools did.

A run is one turn with all its steps; its id is the turn's `trace_id`. Its state is saved when the model has asked for
tools and before any of them runs, so a process can be killed anywhere and another goes on from here.

    runs            the turn so far, and whether it runs, waits for a person, or has ended
    confirmations   one row for each action that somebody must agree to; the token is all that is needed to go on
    steps           one row for each model call that a bounded run may make, taken before the call
    actions         one row for each tool call: written before it runs, completed after it; also the log of all calls

`actions.key` is unique. An action with an effect is begun by whoever inserts its row, so by nobody twice. If its row is
there and never completed, the process died in the middle: what happened is not known, and it is not tried again.
"""

import base64
import json
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from . import state, store
from .errors import CallerError
from .events import Image, Message, Turn, User

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, user TEXT NOT NULL, tenant TEXT NOT NULL, turn TEXT NOT NULL,
    status TEXT NOT NULL,               -- running | waiting | ended
    seconds REAL NOT NULL,              -- time spent so far, waiting for people not counted
    updated REAL NOT NULL               -- Unix time
);
CREATE TABLE IF NOT EXISTS confirmations (
    token TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, run_id TEXT NOT NULL, user TEXT NOT NULL, tenant TEXT NOT NULL,
    question TEXT NOT NULL, arguments TEXT NOT NULL,
    decision TEXT                       -- NULL: nobody has decided yet; approved | declined
);
CREATE TABLE IF NOT EXISTS actions (
    key TEXT PRIMARY KEY, run_id TEXT NOT NULL, user TEXT NOT NULL, tool TEXT NOT NULL, arguments TEXT NOT NULL,
    begun REAL NOT NULL,                -- Unix time
    seconds REAL, cost_usd REAL,
    result TEXT                         -- JSON; NULL: begun, and the end is not known
);
CREATE TABLE IF NOT EXISTS steps (run_id TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (run_id, number));
CREATE INDEX IF NOT EXISTS actions_run ON actions (run_id);
"""

Status = Literal["running", "waiting", "ended"]


@dataclass(frozen=True, slots=True)
class Run:
    turn: Turn
    status: Status
    seconds: float


@dataclass(frozen=True, slots=True)
class Action:
    """One tool call. `result` is None while its end is not known; `seconds` of work, `cost_usd` of its model calls."""

    key: str
    tool: str
    arguments: dict[str, Any]
    result: Any
    seconds: float | None
    cost_usd: float | None


class Checkpoints:
    """The store at `path`. Every method raises CallerError (`store_unwritable`) when the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with store.trouble(path, "checkpoint store"):
            self._db = store.connect(path, SCHEMA)

    # runs

    def save(self, turn: Turn, status: Status, seconds: float = 0.0) -> None:
        """Write down where the run stands. `seconds` is added to the time spent."""
        saved = {
            "text": turn.text,
            "user": asdict(turn.user),
            "history": [asdict(message) for message in turn.history],
            "images": [[base64.b64encode(image.data).decode(), image.media_type] for image in turn.images],
            "feature": turn.feature,
            "request_id": turn.request_id,
            "trace_id": turn.trace_id,
            "exchange": turn.exchange,
        }
        self._execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id) DO UPDATE SET turn = excluded.turn, "
            "status = excluded.status, seconds = runs.seconds + excluded.seconds, updated = excluded.updated",
            turn.trace_id, turn.user.id, turn.user.tenant, json.dumps(saved), status, seconds, time.time(),
        )  # fmt: skip

    def load(self, run_id: str, user: User) -> Run:
        """The run of that user. Raises CallerError (`unknown_run`); a run of somebody else is unknown, too."""
        rows = self._execute(
            "SELECT turn, status, seconds FROM runs WHERE run_id = ? AND user = ? AND tenant = ?",
            run_id.encode("utf-8", "replace").decode(), user.id, user.tenant,
        )  # fmt: skip
        if not rows:
            raise CallerError(f"There is no run {run_id!r} of this user.", "Ask the question again.", "unknown_run")
        saved = json.loads(rows[0][0])
        turn = Turn(
            text=saved["text"],
            user=user,  # as authenticated now: rights may have changed since
            history=tuple(Message(**message) for message in saved["history"]),
            images=tuple(Image(base64.b64decode(data), kind) for data, kind in saved.get("images", ())),
            feature=saved["feature"],
            request_id=saved["request_id"],
            trace_id=saved["trace_id"],
            exchange=tuple(saved["exchange"]),
        )
        return Run(turn, rows[0][1], rows[0][2])

    def seconds(self, run_id: str) -> float:
        """Time spent on a run so far; 0 for one that was never saved."""
        rows = self._execute("SELECT seconds FROM runs WHERE run_id = ?", run_id)
        return rows[0][0] if rows else 0.0

    def take_step(self, run_id: str, most: int) -> bool:
        """Take the next of at most `most` steps of a run. False: all are taken, by whoever works on it."""
        with store.trouble(self.path, "checkpoint store"), self._lock:
            taken = self._db.execute(
                "INSERT INTO steps SELECT ?, taken + 1 FROM (SELECT count(*) AS taken FROM steps WHERE run_id = ?) "
                "WHERE taken < ?",
                (run_id, run_id, most),
            )
            return taken.rowcount == 1

    def steps(self, run_id: str) -> int:
        """How many steps of a run have been taken, before a restart and after it."""
        return self._execute("SELECT count(*) FROM steps WHERE run_id = ?", run_id)[0][0]

    # confirmations

    def ask(self, key: str, turn: Turn, question: str, arguments: dict[str, Any]) -> str:
        """The token for an action that needs a yes: made at the first call, the same one afterwards."""
        self._execute(
            "INSERT OR IGNORE INTO confirmations VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
            secrets.token_urlsafe(24), key, turn.trace_id, turn.user.id, turn.user.tenant, question,
            _canonical(arguments),
        )  # fmt: skip
        return self._execute("SELECT token FROM confirmations WHERE key = ?", key)[0][0]

    def decision(self, key: str, arguments: dict[str, Any]) -> str | None:
        """What was decided about exactly this action with exactly these arguments; None when nothing was."""
        rows = self._execute(
            "SELECT decision FROM confirmations WHERE key = ? AND arguments = ?", key, _canonical(arguments)
        )
        return rows[0][0] if rows else None

    def decide(self, token: str, approved: bool, user: User) -> str:
        """Record a decision and return the run's id. The first decision stands; the same one again changes nothing.

        Raises CallerError: `unknown_token` (also for somebody else's), `already_decided` for the opposite decision.
        """
        decision = "approved" if approved else "declined"
        token = token.encode("utf-8", "replace").decode()  # what cannot be stored cannot be found
        self._execute(
            "UPDATE confirmations SET decision = ? WHERE token = ? AND user = ? AND tenant = ? AND decision IS NULL",
            decision, token, user.id, user.tenant,
        )  # fmt: skip
        rows = self._execute(
            "SELECT run_id, decision FROM confirmations WHERE token = ? AND user = ? AND tenant = ?",
            token, user.id, user.tenant,
        )  # fmt: skip
        if not rows:
            raise CallerError("This confirmation is not known.", "Ask the question again.", "unknown_token")
        if rows[0][1] != decision:
            raise CallerError(f"This was {rows[0][1]} before.", "Ask again to change it.", "already_decided")
        return rows[0][0]

    # actions

    def begin(
        self, key: str, turn: Turn, tool: str, arguments: dict[str, Any], *, survives_power_failure: bool = False
    ) -> bool:
        """Write an action down before it runs. False: it has been begun before, here or elsewhere.

        A killed process never loses the row. A power failure may, unless `survives_power_failure`: that waits for the
        disk.
        """
        with store.trouble(self.path, "checkpoint store"), self._lock:
            if survives_power_failure:
                self._db.execute("PRAGMA synchronous=FULL")
            try:
                inserted = self._db.execute(
                    "INSERT OR IGNORE INTO actions VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, NULL)",
                    (key, turn.trace_id, turn.user.id, tool, _canonical(arguments), time.time()),
                )
                return inserted.rowcount == 1
            finally:
                self._db.execute("PRAGMA synchronous=NORMAL")

    def finish(self, key: str, result: Any, seconds: float, cost_usd: float) -> None:
        """Write down how an action ended."""
        self._execute(
            "UPDATE actions SET result = ?, seconds = ?, cost_usd = ? WHERE key = ?",
            json.dumps(result), seconds, cost_usd, key,
        )  # fmt: skip

    def action(self, key: str) -> Action | None:
        found = self._actions("key = ?", key)
        return found[0] if found else None

    def actions(self, run_id: str) -> list[Action]:
        """Every tool call of a run, in the order in which they began."""
        return self._actions("run_id = ?", run_id)

    def actions_since(self, since: float) -> list[Action]:
        """The tool calls of all runs that began at or after `since` (Unix time), in that order."""
        return self._actions("begun >= ?", since)

    def _actions(self, where: str, value: str | float) -> list[Action]:
        rows = self._execute(
            f"SELECT key, tool, arguments, result, seconds, cost_usd FROM actions WHERE {where} ORDER BY begun, rowid",
            value,
        )
        return [
            Action(key, tool, json.loads(arguments), None if result is None else json.loads(result), seconds, cost)
            for key, tool, arguments, result, seconds, cost in rows
        ]

    def close(self) -> None:
        self._db.close()

    def _execute(self, statement: str, *values: Any) -> list[Any]:
        with store.trouble(self.path, "checkpoint store"), self._lock:
            return self._db.execute(statement, values).fetchall()


def _canonical(arguments: dict[str, Any]) -> str:
    return json.dumps(arguments, sort_keys=True)


def default() -> Checkpoints:
    """The checkpoints in the state folder (see `patterns.state`)."""
    return store.shared(Checkpoints, state.file("checkpoints.sqlite3"))
