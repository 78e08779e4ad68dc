"""The right to be forgotten: everything that the assistant keeps of one person goes, and a search proves it.

    report = await forget(user)                     what was removed, by place
    await verify(user, report.texts)                [] when no byte of it is left

Rows of the ledger stay, since the money was spent, and their user becomes a random word: whose they were, nobody can
tell, not even we. All else is deleted, and the files are written anew. `forget` can be killed anywhere and called
again: what tells where to look is removed last. Others are served meanwhile.

Not ours to delete: the customer's account and orders, the sources of the index (`Report.documents` says which must go
there, or the next sync brings them back), what the provider keeps, backups. What lies in memory ends by itself:
recordings for a reader who lost the connection after 60 seconds.
"""

import asyncio
import json
import os
import secrets
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import acme, backend, budgets, forgetting_files, forgetting_index, state
from .erasing import containing, erased, files_under, needles
from .events import User
from .retention import Table, on_disk, present


@dataclass(slots=True)
class Report:
    """How many rows, entries and lines were removed, by place; the documents that came from the person; their texts."""

    removed: dict[str, int] = field(default_factory=dict)
    documents: tuple[str, ...] = ()
    texts: tuple[str, ...] = field(default=(), repr=False)

    def count(self, place: str, number: int) -> None:
        self.removed[place] = self.removed.get(place, 0) + number


def words_of(user: User) -> tuple[str, ...]:
    """What tells that something is about this person: id, e-mail, telephone, full name."""
    account = acme.customers().get(user.id, {})
    mine = account if account.get("tenant") == user.tenant else {}
    return (user.id, *(mine[name] for name in ("email", "phone", "name") if mine.get(name)))


async def forget(user: User, files: Collection[Path] = ()) -> Report:
    """Remove all that is kept of `user`. `files` are logs and files of eval cases outside the state folder.

    Raises CallerError (`store_unwritable`, `index_busy`) and ProviderError (`unreachable`): then call it again.
    """
    report = Report(texts=await asyncio.to_thread(texts_of, user))
    report.documents = await forgetting_index.forget(user, words_of(user))
    report.count("documents in the index", len(report.documents))
    wanted = needles([*words_of(user), *report.texts])
    for path in [*forgetting_files.of_state(), *files]:
        report.count(path.name, await asyncio.to_thread(forgetting_files.forget, path, wanted))
    await _in_backend(user, report)
    await asyncio.to_thread(_stores, user, report)
    return report


async def verify(user: User, texts: Collection[str] = (), files: Collection[Path] = ()) -> list[str]:
    """Where something of `user` is left: id, e-mail, telephone, name, and the `texts` that they wrote.

    Reads every byte of every file in the state folder and of `files`, and all keys of ours in Redis. A text that
    somebody else wrote as well is found there, too. Packed or encrypted bytes are not looked into.
    """
    wanted = needles([*words_of(user), *(text for text in texts if len(text) >= SHORTEST)])
    everywhere = [*files_under(state.folder()), *files]
    found = await asyncio.to_thread(containing, wanted, everywhere)
    places = [f"{path}: {what!r}" for path, what in found]
    if url := os.environ.get("PATTERNS_REDIS_URL"):
        from . import forgetting_redis

        places += [f"Redis {key}: {what!r}" for key, what in await forgetting_redis.containing(url, wanted)]
    return places


SHORTEST = 12  # characters: "Thank you" is nobody's


def texts_of(user: User) -> tuple[str, ...]:
    """What the person wrote, as far as it is kept: read it before it is forgotten."""
    named = {"tenant": user.tenant, "user": user.id}
    queries = {
        "conversations.sqlite3": "SELECT question FROM turns WHERE tenant = :tenant AND user = :user",
        "checkpoints.sqlite3": "SELECT json_extract(turn, '$.text') FROM runs WHERE tenant = :tenant AND user = :user",
    }
    said: dict[str, None] = {}
    for name, query in queries.items():
        if (path := state.file(name)).exists():
            db = sqlite3.connect(path)
            try:
                said |= dict.fromkeys(text for (text,) in db.execute(query, named) if len(text) >= SHORTEST)
            except sqlite3.OperationalError:  # the file is there and its tables are not: somebody is making it
                continue
            finally:
                db.close()
    return tuple(said)


# what requests agree on: answers, summaries, limits, budgets


def tag(user: User) -> str:
    """What every kept answer and summary is tagged with that this person caused."""
    return f"user:{user.tenant}/{user.id}"


async def _in_backend(user: User, report: Report) -> None:
    report.count("answers and summaries", await backend.default().forget(tag(user)))
    scope = budgets.scopes({"feature": "", "tenant": user.tenant, "user": user.id})[-1]
    whose = json.dumps([user.tenant, user.id])
    if url := os.environ.get("PATTERNS_REDIS_URL"):
        from . import forgetting_redis

        report.count("limits and budgets", await forgetting_redis.forget(url, scope, whose))
        return
    path = state.file("backend.sqlite3")

    def work(db: sqlite3.Connection) -> int:
        count = db.execute("DELETE FROM places WHERE instr(key, ?)", (whose,)).rowcount
        for table, column, value in (
            ("caps", "scope", scope),
            ("spent", "scope", scope),
            ("versions", "tag", tag(user)),
        ):
            count += db.execute(f"DELETE FROM {table} WHERE {column} = ?", (value,)).rowcount
        for table in ("reservations", "unsettled"):  # what runs now is settled for all others that it is charged to
            without = "(SELECT json_group_array(value) FROM json_each(scopes) WHERE value != :scope)"
            where = "EXISTS (SELECT 1 FROM json_each(scopes) WHERE value = :scope)"
            count += db.execute(f"UPDATE {table} SET scopes = {without} WHERE {where}", {"scope": scope}).rowcount
        return count

    report.count("limits and budgets", await asyncio.to_thread(erased, path, work))


# the stores of `retention.STORES`


def _stores(user: User, report: Report) -> None:
    ledger = state.file("ledger.sqlite3")
    named = {"tenant": user.tenant, "user": user.id, "nobody": f"forgotten-{secrets.token_hex(8)}"}
    named["traces"] = json.dumps(_traces(ledger, named) if ledger.exists() else [])
    for path, tables in on_disk():

        def work(db: sqlite3.Connection, tables: Sequence[Table] = tables) -> int:
            total = 0
            for table in present(db, tables):
                change = f"UPDATE {table.name} SET user = :nobody" if table.counted else f"DELETE FROM {table.name}"
                count = db.execute(f"{change} WHERE {table.own}", named).rowcount
                report.count(f"{table.file} {table.name}", count)
                total += count
            return total

        erased(path, work)


def _traces(ledger: Path, named: dict[str, str]) -> list[str]:
    db = sqlite3.connect(ledger)
    try:
        both = " UNION ".join(
            f"SELECT trace_id FROM {table} WHERE tenant = :tenant AND user = :user" for table in ("calls", "requests")
        )
        return [trace for (trace,) in db.execute(both, named)]
    finally:
        db.close()
