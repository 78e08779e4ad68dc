"""A state folder in which every store knows something about a person: for the tests of forgetting and of retention."""

import hashlib
import json
from collections.abc import AsyncGenerator, Sequence
from datetime import date
from pathlib import Path

import numpy as np

from patterns import (
    acme,
    acme_tools,
    backend,
    budgets,
    caching,
    checkpoints,
    cost_control,
    ledger,
    rolling_summary,
    state,
)
from patterns.chunking import sections
from patterns.documents import Article
from patterns.eval_cases import Case, add
from patterns.events import Answer, Event, Message, TextDelta, Turn, User, answer
from patterns.index import Index
from patterns.ledger import Request
from patterns.service import conversations

MODEL = "letters"


async def embed(texts: Sequence[str]) -> np.ndarray:
    rows = [np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8) for text in texts]
    return np.array(rows, np.float32)


async def recipe(turn: Turn) -> str:
    return "v1"


async def assistant(turn: Turn) -> AsyncGenerator[Event, None]:
    said = f"{turn.user.id} asked: {turn.text}"
    yield TextDelta(said)
    yield Answer(text=said, cost_usd=0.01, trace_id=turn.trace_id)


def question(user: User) -> str:
    return f"The thermostat of {user.id} hums a low tune."


def turn_of(user: User) -> Turn:
    return Turn(
        question(user),
        user,
        request_id=f"req_{user.tenant}{user.id[-4:]}",
        trace_id=f"trace_{user.tenant}{user.id[-4:]}",
    )


async def remember(user: User, now: float | None = None) -> Turn:
    """Let all stores but the index know about `user`. Returns the turn."""
    turn, account = turn_of(user), acme.customers()[user.id]
    await answer(caching.response_cache(recipe)(assistant), turn)
    book = ledger.default()
    labels = {"trace_id": turn.trace_id, "feature": "chat", "tenant": user.tenant, "user": user.id}
    call = book.begin(**labels, provider="p", model="m", tier="large", cost_usd=0.01)
    book.settle(call, outcome="done", cost_usd=0.004)
    started = now or 0.0
    book.record(
        Request(
            turn.request_id, started, turn.trace_id, "chat", user.tenant, user.id, "live", "large", "success", 0.1, 1.0
        )
    )
    runs = checkpoints.default()
    runs.save(turn, "waiting")
    runs.begin("key " + user.id, turn, "note", {"to": account["email"]})
    runs.finish("key " + user.id, {"done": account["name"]}, 0.1, 0.0)
    runs.ask("key " + user.id, turn, f"Shall we write to {account['email']}?", {})
    runs.take_step(turn.trace_id, 5)
    acme_tools.desk().leave("escalation", turn, f"{account['name']} waits for a call", "")
    said = conversations.default()
    said.begin(turn, f"conv-{user.id}")
    said.end(turn.request_id, "answered", {"text": f"Dear {account['name']}, ..."})
    said.ask(f"token-{user.id}", turn)
    store = backend.default()
    await store.take(cost_control.rate_key(user, 30, 60.0), 30, 60.0)
    await budgets.cap(budgets.scopes(labels)[-1], 1.0)
    async with budgets.reserved(0.5, labels) as bill:
        bill.dollars = 0.1
    summary = f"The customer {user.id} talked about a low tune."
    tags = (f"user:{user.tenant}/{user.id}",)
    await store.put(rolling_summary._key(turn, [Message("user", turn.text)]), json.dumps(summary), 60.0, 60.0, tags)
    return turn


async def remember_in_files(users: Sequence[User]) -> list[Path]:
    """A log, a review and cases in which all `users` stand, among lines about nobody."""
    folder = state.folder()
    log, review, cases = folder / "service.log", folder / "review.jsonl", folder / "cases.yaml"
    log.write_text("".join(f"one ended\n{user.id} asked something\n" for user in users), encoding="utf-8")
    rows = [
        json.dumps({"id": f"trace of {acme.customers()[user.id]['email']}", "passed": True}) + "\n" for user in users
    ]
    review.write_text("".join(rows), encoding="utf-8")
    for user in users:
        add(
            Case(
                id=f"case-{user.id.lower()}",
                slice="regression",
                question=question(user),
                customer=user.id,
                must=(("tune",),),
            ),
            cases,
            f"of {turn_of(user).trace_id}",
        )
    return [log, review, cases]


async def remember_in_index(users: Sequence[User]) -> Index:
    """An index with a help article and a ticket of each of `users`."""
    articles = [_article("help-warranty", "acme-home", "The warranty is 24 months. " * 5)]
    for user in users:
        name = acme.customers()[user.id]["name"]
        articles.append(
            _article(f"ticket-of-{user.id.lower()}", user.tenant, f"{name} wrote: the Zwetschge{user.id[-1]} hums.")
        )
    index = Index(state.folder() / "index" / MODEL, embed, MODEL)
    await index.sync(articles, sections())
    return index


def _article(id: str, tenant: str, text: str) -> Article:
    return Article(
        id=id, title=id, text=text, url="", tenant=tenant, lang="en", acl=("public",), updated=date(2026, 1, 1)
    )
