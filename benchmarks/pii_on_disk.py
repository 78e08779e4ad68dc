"""1,000 conversations full of personal data through the whole house, and a look at every byte that they leave.

The service's own `Turns` run `complete_assistant.build()` on the stand-in: search, agent, tools, cascade, caches, desk,
conversations, kept traces with what was said in them, and a log at its most talkative. Then each value that was planted
is looked for in every file of the state folder, as it was written and without its spaces: as text, in UTF-16, base64,
JSON and URLs, before SQLite's logs are folded into their files and after. The search knows nothing of the finder.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np

from patterns import acme, cascade, complete_assistant, genai_names, models, state, tracing
from patterns.course import control
from patterns.erasing import files_under, needles
from patterns.events import Message, Turn, User
from patterns.forgetting import forget, verify
from patterns.pii import ScrubbedLogs
from patterns.service import conversations
from patterns.service.turns import Turns
from tests.people import People, Planted

from . import measure
from .measure import Entry

SEED, CONVERSATIONS, AT_ONCE = 42, 1_000, 4
HEAD, PIECE = 6, 4_000_000  # bytes: what a value is looked up by; what is read at once

# What must hold what was said, and why; `retention.STORES` says for how long.
NEEDED: Mapping[str, str] = {
    "conversations": "the customer reads on where they stopped",
    "checkpoints": "a run goes on after a restart, a yes is about what was asked",
    "desk": "people call back",
}
QUESTIONS = (
    "Within how many days can I return a product?",
    "I want to talk to a person.",
    "Please remind me on {day}.",
    "What does error E-104 mean?",
    "What is the tracking number of order {order}?",
    "Wie lange habe ich Garantie?",
    "Thank you.",
)


@dataclass(slots=True)
class Said:
    """The values that each user has written, and how many turns ended how."""

    planted: dict[str, list[Planted]] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)

    def values(self) -> list[Planted]:
        return [value for planted in self.planted.values() for value in planted]


async def converse(count: int, seed: int = SEED) -> Said:
    """`count` conversations: a personal question (one in eleven is not), a second one in each fifth, and in each eighth
    ten messages before it."""
    people, said = People(seed), Said()
    users = [acme.user(name) for name in acme.customers()]
    orders = {order["customer"]: number for number, order in acme.orders().items()}
    turns, free = Turns(complete_assistant.build(), _no_sources), asyncio.Semaphore(AT_ONCE)

    def personal(user: User, question: str = "") -> str:
        message = people.said()
        said.planted.setdefault(user.id, []).extend(message.planted)
        return f"{message.text} {question}".rstrip()

    async def one(number: int) -> None:
        user = users[number % len(users)]
        asked = QUESTIONS[number % len(QUESTIONS)].format(day="2026-12-03", order=orders.get(user.id, "H-100001"))
        texts = [asked if number % 11 == 10 else personal(user, asked)]
        if number % 5 == 4:
            texts.append(personal(user, "And what now?"))
        before = [personal(user) for _ in range(5)] if number % 8 == 7 else []
        history = tuple(m for text in before for m in (Message("user", text), Message("assistant", "Thank you.")))
        async with free:
            for text in texts:
                book, name = conversations.default(), f"conversation-{number}"
                turn = Turn(text, user, (*history, *book.history(name, user)))
                book.begin(turn, name)
                end = await _ended(turns, turn)
                said.ended[end] = said.ended.get(end, 0) + 1

    await asyncio.gather(*map(one, range(count)))
    return said


async def _no_sources(ids: tuple[str, ...], user: User) -> list[dict[str, str]]:
    return []


async def _ended(turns: Turns, turn: Turn) -> str:
    async with aclosing(turns.begin(turn, resumable=False)) as events:
        last = [event async for _, event in events][-1]
    return getattr(last, "served", type(last).__name__)


@contextmanager
def everything_written(folder: Path) -> Iterator[None]:
    """Traces with the texts in them, every answer of the cascade audited, and the whole process's log in a file."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder / "service.log", encoding="utf-8")
    handler.addFilter(ScrubbedLogs())
    root, before = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with patch.dict("os.environ", {genai_names.CAPTURE: "true"}):
            tracing.start(keep=True)
            with patch.object(cascade, "_drawn", lambda turn, share: True):
                yield
    finally:
        tracing.flush()
        tracing.stop()
        root.setLevel(before)
        root.removeHandler(handler)
        handler.close()


# looking


def left_on_disk(folder: Path, values: Iterable[Planted]) -> tuple[dict[str, set[str]], int]:
    """The values of which a trace is left, by store, and how many bytes were read.

    A store is what its file is called: "conversations" for `conversations.sqlite3` and its log.
    """
    forms = {value.value for value in values}
    forms |= {"".join(sign for sign in value if sign.isalnum()) for value in forms if "@" not in value}
    begins: dict[int, list[tuple[bytes, str]]] = {}
    for form in forms:
        wanted = needles([form])
        for one in (*wanted.whole, *wanted.anywhere):
            begins.setdefault(int.from_bytes(one[:HEAD], "little"), []).append((one, form))
    keys, found, size = np.array(sorted(begins), np.uint64), dict[str, set[str]](), 0
    for path in files_under(folder):
        data = path.read_bytes().lower()
        size += len(data)
        here = found.setdefault(path.name.partition(".")[0], set())
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE + 200]
            letters = np.frombuffer(piece, np.uint8).astype(np.uint64)
            heads = np.zeros(max(0, len(letters) - HEAD + 1), np.uint64)
            for place in range(HEAD):
                heads |= letters[place : place + len(heads)] << np.uint64(8 * place)
            for place in np.flatnonzero(np.isin(heads, keys)):
                here |= {form for one, form in begins[int(heads[place])] if piece.startswith(one, int(place))}
    return {name: left for name, left in found.items() if left}, size


def fold_logs(folder: Path) -> None:
    """Let SQLite copy each log (-wal) into its file."""
    for path in files_under(folder):
        if path.suffix == ".sqlite3":
            with closing(sqlite3.connect(path, timeout=20)) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def told(left: Mapping[str, set[str]]) -> str:
    return ", ".join(f"{name} {len(values):,}" for name, values in sorted(left.items())) or "nothing"


def on_disk(count: int = CONVERSATIONS) -> list[Entry]:
    async def run() -> list[Entry]:
        control.turn(time_to_first_token=0, tokens_per_second=1e6)
        folder = state.folder()
        with everything_written(folder):
            said = await converse(count)
        values = said.values()
        before, _ = left_on_disk(folder, values)
        fold_logs(folder)
        after, size = left_on_disk(folder, values)
        found = {name: before.get(name, set()) | after.get(name, set()) for name in before.keys() | after.keys()}
        leaks = {name: found[name] for name in found.keys() - NEEDED.keys()}
        needed = {name: found[name] for name in found.keys() & NEEDED.keys()}
        ends = ", ".join(f"{many:,} {how}" for how, many in sorted(said.ended.items()))
        note = (
            f"{count:,} conversations, {sum(said.ended.values()):,} turns ({ends}); {len(values):,} values looked for "
            f"in {size / 1e6:.1f} MB, before and after SQLite's logs were folded in; left elsewhere: {told(leaks)}; "
            f"in the stores that must hold what was said: {told(needed)}"
        )
        user = acme.user(next(iter(acme.customers())))
        places = len(await verify(user))
        await forget(user)
        again = await verify(user)
        mine, others = (
            said.planted[user.id],
            [one for name, ones in said.planted.items() if name != user.id for one in ones],
        )
        strangers = {value.value for value in others}
        own = [value for value in mine if value.value not in strangers]
        still, _ = left_on_disk(folder, own)
        await models.close()
        forgotten = (
            f"id, e-mail, name and {len(own):,} written values of one customer, who was in {places} files before; "
            f"left: {told(still)} {'; '.join(again)}"
        )
        versions = measure.versions("phonenumbers")
        leaked = len(set().union(*leaks.values())) / len(values)
        return [
            Entry(
                "pii", f"values on disk after {count:,} conversations, over all", leaked, "≤ 0.02", {}, versions, note
            ),
            Entry(
                "pii",
                "files with a trace of a forgotten person",
                len(again) + len(still),
                "= 0",
                {},
                versions,
                forgotten,
            ),
        ]

    with measure.standin():
        return asyncio.run(run())


PARTS = (on_disk,)

if __name__ == "__main__":
    import sys

    for entry in on_disk(*map(int, sys.argv[1:2])):
        print(entry.metric, entry.value, entry.goal, entry.holds, entry.note, sep="\n  ")
