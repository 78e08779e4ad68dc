"""Simulated customers of the service: who asks what and when, and what came back. The same seed gives the same day."""

import json
import random
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import acme, eval_cases
from ..events import User

if TYPE_CHECKING:
    import httpx2

SUITES = ("rag", "fallbacks", "tool_use", "agent_loop")
HOURS = 24.0
THINKS = 0.8  # hours, for half of the questions; one in twenty takes four times as long
FROM_TICKETS, CALLBACKS = 0.05, 0.1  # of the questions; of the customers
POPULAR = 3  # questions of a tenant that make two thirds of the traffic: many people want to know the same
CALLBACK = "Please call me back on 2026-11-20 about my order."
SILENCE = 60.0  # seconds after which a customer takes the connection for broken


@dataclass(frozen=True, slots=True)
class Customer:
    """One visit: `begins` is an hour of the day, `asks` are hours of thinking, each with the question after it."""

    number: int
    user: User
    begins: float
    asks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as its customer saw it. `status` is 0 where the connection broke before one came.

    `end` is the last event (answer, confirmation_required), `refused` where there was an error in its place, with a
    status, and `broken` for a connection that ended without an end. `first` is seconds to the first words, None where
    none came.
    """

    customer: int
    user: User
    text: str
    hour: float
    status: int
    end: str
    served: str
    tier: str
    first: float | None
    seconds: float
    trace_id: str
    token: str = ""

    @property
    def rung(self) -> str:
        """Where it ended, in the words of `rungs.rung`; a status of its own for what was refused or broke."""
        if self.end == "answer":
            return f"live/{self.tier}" if self.served == "live" else self.served
        return {"refused": f"status {self.status}", "confirmation_required": "asks back"}.get(self.end, self.end)


def customers(count: int, seed: int = 13) -> list[Customer]:
    """`count` visits in the order in which they begin, with questions of the evals and of the tickets."""
    chance = random.Random(seed)
    people = sorted({case.customer for suite in SUITES for case in eval_cases.load(suite)})
    questions, tickets = _questions(chance), _tickets()
    found = []
    for begins in sorted(chance.uniform(0.0, HOURS - 1.0) for _ in range(count)):
        user = acme.user(chance.choice(people))
        asks = []
        for _ in range(chance.choice((1, 1, 2, 2, 3))):
            some = tickets if chance.random() < FROM_TICKETS else questions
            place = min(int(chance.expovariate(1 / POPULAR)), len(some[user.tenant]) - 1)
            asks.append((THINKS * chance.lognormvariate(0.0, 0.85), some[user.tenant][place]))
        if chance.random() < CALLBACKS:
            asks.append((THINKS, CALLBACK))
        found.append(Customer(len(found), user, begins, tuple(asks)))
    return found


def _questions(chance: random.Random) -> dict[str, list[str]]:
    """By tenant, the most popular first."""
    found: dict[str, list[str]] = {}
    for case in (case for suite in SUITES for case in eval_cases.load(suite)):
        found.setdefault(acme.user(case.customer).tenant, []).append(case.question)
    for some in found.values():
        chance.shuffle(some)
    return found


def _tickets() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(Path(acme.data_folder() / "tickets").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            ticket = json.loads(line)
            found.setdefault(ticket["tenant"], []).append(ticket["text"])
    return found


async def ask(
    client: "httpx2.AsyncClient", path: str, body: dict[str, Any], bearer: str, customer: Customer, hour: float
) -> Asked:
    """Send one request and read its stream to the end, whatever that is. Raises nothing for a broken connection."""
    import httpx2

    began, seen = time.perf_counter(), _Seen()
    try:
        headers = {"authorization": f"Bearer {bearer}"}
        async with client.stream("POST", path, json=body, headers=headers, timeout=SILENCE) as response:
            seen.status, seen.trace_id = response.status_code, response.headers.get("x-trace", "")
            if response.status_code >= 400:
                await response.aread()
                seen.end = "refused"
            else:
                async for kind, told in events(response):
                    seen.see(kind, told, time.perf_counter() - began)
    except (httpx2.HTTPError, OSError):
        pass  # the end stays "broken"
    return Asked(
        customer.number, customer.user, str(body.get("text", "")), hour, seen.status, seen.end, seen.served, seen.tier,
        seen.first, time.perf_counter() - began, seen.trace_id, seen.token,
    )  # fmt: skip


@dataclass(slots=True)
class _Seen:
    status: int = 0
    end: str = "broken"
    served: str = ""
    tier: str = ""
    first: float | None = None
    trace_id: str = ""
    token: str = ""

    def see(self, kind: str, told: dict[str, Any], seconds: float) -> None:
        if kind == "text_delta" and self.first is None:
            self.first = seconds
        elif kind == "failed":  # too late for an HTTP status: the event has it
            self.end, self.status = "refused", told["status"]
        elif kind in ("answer", "confirmation_required"):
            self.end, self.token = kind, told.get("token", "")
            self.served, self.tier = told.get("served", ""), told.get("tier", "")


async def events(response: "httpx2.Response") -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
    """The server-sent events of our service, each with its name and its JSON."""
    kind = ""
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def shares(asked: Sequence[Asked]) -> dict[str, float]:
    """The share of requests by rung, the most used first."""
    counts: dict[str, int] = {}
    for one in asked:
        counts[one.rung] = counts.get(one.rung, 0) + 1
    return {rung: count / len(asked) for rung, count in sorted(counts.items(), key=lambda pair: -pair[1])}
