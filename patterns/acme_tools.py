"""The tools of Acme's support assistant, and the desk where they leave their work.

order_lookup            reads one order of the customer who asks
search_help             reads the help centre
escalate_to_human       hands the conversation to a person
schedule_follow_up      writes a date into the agenda, after the customer's yes
"""

import sqlite3
import threading
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from . import acme, state, store
from .errors import CallerError
from .events import Turn
from .tools import tool

FARTHEST = timedelta(days=90)
EXCERPT = 1_100  # characters of an article; three of them fit into one tool result


@tool
def order_lookup(
    order_id: Annotated[str, Field(description="The order number, such as H-100001, K-100001 or N-100001.")],
    turn: Turn,
) -> dict[str, Any]:
    """Look up one of the customer's own orders: status, items, prices, dates, carrier, tracking number, refund."""
    order = acme.orders().get(order_id.strip().upper())
    # An order of somebody else is answered like one that does not exist: its number must not be worth guessing.
    if order is None or (order["customer"], order["tenant"]) != (turn.user.id, turn.user.tenant):
        raise CallerError(
            f"There is no order {order_id.strip()} in this customer's account.",
            "Ask the customer to check the order number.",
            "not_found",
        )
    return {key: value for key, value in order.items() if key not in ("customer", "tenant")}


@tool
def search_help(
    query: Annotated[str, Field(description="What to look for, in a few words.")], turn: Turn
) -> list[dict[str, str]]:
    """Search the help centre: shipping, returns, refunds, warranty, plans, error codes, devices, how to do things."""
    found = acme.pick(query, turn.user, 3)
    if not found:
        raise CallerError("The help centre has nothing about that.", "Try other words, or say so.", "not_found")
    return [{"id": one.id, "title": one.title, "text": one.text[:EXCERPT]} for one in found]


@tool(effect="handoff")
def escalate_to_human(
    reason: Annotated[str, Field(max_length=500, description="Why a person is needed, in one sentence.")], turn: Turn
) -> dict[str, str]:
    """Hand the conversation to a human support agent: when the customer asks for a person, or nothing else helps."""
    number = desk().leave("escalation", turn, reason, "")
    return {"reference": f"E-{number:05}", "message": "A person will take over this conversation."}


def _later_day(when: str) -> str:
    """Checked before the customer is asked to confirm it. Raises ValueError."""
    today = acme.today()
    try:
        day = date.fromisoformat(when.strip())
    except ValueError:
        raise ValueError(f"{when!r} is no date; it is written YYYY-MM-DD, like today's, {today}") from None
    if not today < day <= today + FARTHEST:
        raise ValueError(f"{day} is not within the next {FARTHEST.days} days; today is {today}")
    return day.isoformat()


@tool(effect="write", question="Shall we contact you on {when} about “{note}”?")
def schedule_follow_up(
    when: Annotated[
        str, Field(description="The day on which to call back or remind, as YYYY-MM-DD."), AfterValidator(_later_day)
    ],
    note: Annotated[str, Field(max_length=300, description="What it is about, in a few words.")],
    turn: Turn,
) -> dict[str, str]:
    """Schedule a call back, a reminder or a check on a later day for the customer."""
    number = desk().leave("follow_up", turn, note, when)
    return {"reference": f"F-{number:05}", "day": when, "message": "It is in the agenda."}


TOOLS = (order_lookup, search_help, escalate_to_human, schedule_follow_up)


# the desk

SCHEMA = """
CREATE TABLE IF NOT EXISTS work (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, tenant TEXT NOT NULL, customer TEXT NOT NULL,
    run_id TEXT NOT NULL, note TEXT NOT NULL, day TEXT NOT NULL, left_at REAL NOT NULL
)"""


@dataclass(frozen=True, slots=True)
class Work:
    """What a tool has left for people: `kind` is escalation or follow_up, `day` ISO or empty."""

    kind: str
    customer: str
    run_id: str
    note: str
    day: str


class Desk:
    """Where escalations and follow-ups lie until somebody takes them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with store.trouble(path, "desk"):
            self._db: sqlite3.Connection = store.connect(path, SCHEMA)

    def leave(self, kind: str, turn: Turn, note: str, day: str) -> int:
        """Write one piece of work down and return its number."""
        with store.trouble(self.path, "desk"), self._lock:
            values = (kind, turn.user.tenant, turn.user.id, turn.trace_id, note, day, time.time())
            row = self._db.execute("INSERT INTO work VALUES (NULL, ?, ?, ?, ?, ?, ?, ?) RETURNING number", values)
            return row.fetchone()[0]

    def work(self, kind: str) -> list[Work]:
        """Everything of that kind, oldest first."""
        with store.trouble(self.path, "desk"), self._lock:
            rows = self._db.execute(
                "SELECT kind, customer, run_id, note, day FROM work WHERE kind = ? ORDER BY number", (kind,)
            ).fetchall()
        return [Work(*row) for row in rows]

    def close(self) -> None:
        self._db.close()


def desk() -> Desk:
    """The desk in the state folder (see `patterns.state`)."""
    return store.shared(Desk, state.file("desk.sqlite3"))
