"""Who said what. It is kept here, since a client that may write the history may put words into the assistant's mouth.

One row a turn: the question, and how it ended. One row a confirmation: to `claim` it is what makes it count once,
however often it is sent.
"""

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .. import state, store
from ..errors import CallerError
from ..events import Message, Turn, User

SCHEMA = """
CREATE TABLE IF NOT EXISTS turns (
    request_id TEXT PRIMARY KEY,
    conversation TEXT NOT NULL, tenant TEXT NOT NULL, user TEXT NOT NULL,
    asked REAL NOT NULL,                -- Unix time
    question TEXT NOT NULL,
    state TEXT NOT NULL,                -- running | answered | waiting | failed | stopped
    shown TEXT                          -- JSON: the last event as the client got it
);
CREATE TABLE IF NOT EXISTS confirmations (
    token TEXT PRIMARY KEY, request_id TEXT NOT NULL, tenant TEXT NOT NULL, user TEXT NOT NULL,
    taken INTEGER NOT NULL              -- 1: it has been sent
);
CREATE INDEX IF NOT EXISTS turns_of ON turns (tenant, user, conversation, asked);
"""
MESSAGES = 20  # of a conversation that the assistant is told; the layers make less of it
TURNS_SHOWN = 100  # of a conversation when the page is opened

State = Literal["running", "answered", "waiting", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class Row:
    """A turn as it is kept. `shown` is None until it has ended."""

    request_id: str
    conversation: str
    question: str
    state: State
    shown: dict[str, Any] | None


class Conversations:
    """The store at `path`. Every method raises CallerError (`store_unwritable`) when the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with store.trouble(path, "conversation store"):
            self._db = store.connect(path, SCHEMA)

    def begin(self, turn: Turn, conversation: str) -> None:
        """Write down that a turn runs."""
        self._execute(
            "INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, 'running', NULL)",
            turn.request_id, conversation, turn.user.tenant, turn.user.id, time.time(), _storable(turn.text),
        )  # fmt: skip

    def end(self, request_id: str, how: State, shown: dict[str, Any] | None = None) -> None:
        """Write down how it ended. Does nothing for a turn that has ended: the first end stands."""
        self._execute(
            "UPDATE turns SET state = ?, shown = ? WHERE request_id = ? AND state = 'running'",
            how, None if shown is None else json.dumps(shown), request_id,
        )  # fmt: skip

    def ask(self, token: str, turn: Turn) -> None:
        """Write down that a turn waits for this confirmation. Does nothing the second time."""
        self._execute(
            "INSERT OR IGNORE INTO confirmations VALUES (?, ?, ?, ?, 0)",
            token, turn.request_id, turn.user.tenant, turn.user.id,
        )  # fmt: skip

    def claim(self, token: str, user: User) -> str:
        """Take the confirmation, and its turn back to work: the request id.

        Raises CallerError: `unknown_token`, also for somebody else's; `already_decided` for one that was taken before.
        """
        whose = (_storable(token), user.tenant, user.id)
        taken = self._execute(
            "UPDATE confirmations SET taken = 1 WHERE token = ? AND tenant = ? AND user = ? AND taken = 0 "
            "RETURNING request_id",
            *whose,
        )
        if taken:
            self._execute("UPDATE turns SET state = 'running', shown = NULL WHERE request_id = ?", taken[0][0])
            return taken[0][0]
        if self._execute("SELECT 1 FROM confirmations WHERE token = ? AND tenant = ? AND user = ?", *whose):
            raise CallerError("This was decided before.", "Ask again to change it.", "already_decided")
        raise CallerError("This confirmation is not known.", "Ask the question again.", "unknown_token")

    def rows(self, conversation: str, user: User, most: int = TURNS_SHOWN) -> list[Row]:
        """The latest turns of a conversation of that user, oldest first."""
        rows = self._execute(
            "SELECT request_id, conversation, question, state, shown FROM turns WHERE tenant = ? AND user = ? "
            "AND conversation = ? ORDER BY asked DESC, rowid DESC LIMIT ?",
            user.tenant, user.id, _storable(conversation), most,
        )  # fmt: skip
        return [_row(row) for row in reversed(rows)]

    def history(self, conversation: str, user: User) -> tuple[Message, ...]:
        """The latest questions that were answered, with their answers, oldest first."""
        said: list[Message] = []
        for row in self.rows(conversation, user, MESSAGES // 2):
            if row.state == "answered" and row.shown is not None:
                said += [Message("user", row.question), Message("assistant", row.shown["text"])]
        return tuple(said)

    def latest(self, user: User) -> str:
        """The conversation in which that user asked last, or an empty text."""
        rows = self._execute(
            "SELECT conversation FROM turns WHERE tenant = ? AND user = ? ORDER BY asked DESC, rowid DESC LIMIT 1",
            user.tenant, user.id,
        )  # fmt: skip
        return rows[0][0] if rows else ""

    def owns(self, request_id: str, user: User) -> bool:
        """Whether that turn is one of this user's."""
        query = "SELECT 1 FROM turns WHERE request_id = ? AND tenant = ? AND user = ?"
        return bool(self._execute(query, _storable(request_id), user.tenant, user.id))

    def forget(self, user: User) -> None:
        """Delete all that was said with that user."""
        for table in ("turns", "confirmations"):
            self._execute(f"DELETE FROM {table} WHERE tenant = ? AND user = ?", user.tenant, user.id)

    def close(self) -> None:
        self._db.close()

    def _execute(self, statement: str, *values: Any) -> list[Any]:
        with store.trouble(self.path, "conversation store"), self._lock:
            return self._db.execute(statement, values).fetchall()


def _row(row: tuple[Any, ...]) -> Row:
    request_id, conversation, question, how, shown = row
    return Row(request_id, conversation, question, how, json.loads(shown) if shown else None)


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # what cannot be stored cannot be found


def default() -> Conversations:
    """The conversations in the state folder (see `patterns.state`)."""
    return store.shared(Conversations, state.file("conversations.sqlite3"))
