"""Somebody who is forgotten is in no byte that is kept, the others are in theirs, and no kill leaves anything half."""

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from engines import Engine
from pydantic import BaseModel

from patterns import (
    acme,
    acme_tools,
    budgets,
    caching,
    checkpoints,
    cost_control,
    image_cache,
    kept_traces,
    ledger,
    state,
    store,
    tracing,
)
from patterns.erasing import containing, erased, files_under, needles
from patterns.errors import CallerError
from patterns.events import Answer, Event, Image, Turn, User, answer
from patterns.forgetting import forget, texts_of, verify, words_of
from patterns.index import Index
from patterns.index.scope import Scope
from patterns.service import conversations
from tests import remembered

pytest_plugins = ["engine_fixtures"]

ANN, BEN = acme.user("C-0001"), acme.user("C-0002")


async def test_nothing_of_the_person_is_left_and_all_of_the_others_is(engine: Engine) -> None:
    for user in (ANN, BEN):
        await remembered.remember(user)
    files = await remembered.remember_in_files([ANN, BEN])
    index = await remembered.remember_in_index([ANN, BEN])
    texts = texts_of(ANN)
    assert texts == (remembered.question(ANN),)
    places = "\n".join(await verify(ANN, texts))
    for name in (
        "ledger",
        "checkpoints",
        "desk",
        "conversations",
        "service.log",
        "review",
        "cases",
        "tenant-acme-home",
    ):
        assert name in places
    assert ("Redis" if engine.name == "redis" else "backend") in places

    report = await forget(ANN)
    assert report.texts == texts and report.documents == ("ticket-of-c-0001",)
    assert await verify(ANN, texts) == []
    assert all(report.removed[place] for place in report.removed if "sqlite" in place and "spans" not in place)

    # of the other, everything is there and works
    turn = remembered.turn_of(BEN)
    assert (await answer(caching.response_cache(remembered.recipe)(remembered.assistant), turn)).served == "cached"
    assert checkpoints.default().load(turn.trace_id, BEN).turn.text == turn.text
    assert len(checkpoints.default().actions(turn.trace_id)) == 1 and checkpoints.default().steps(turn.trace_id) == 1
    assert [one.customer for one in acme_tools.desk().work("escalation")] == [BEN.id]
    assert len(conversations.default().rows(f"conv-{BEN.id}", BEN)) == 1
    assert (await budgets.spending(f"user:{BEN.tenant}/{BEN.id}")).settled == pytest.approx(0.1)
    assert (await budgets.spending(f"user:{ANN.tenant}/{ANN.id}")).settled == 0
    assert (await budgets.spending("tenant:acme-home")).settled == pytest.approx(0.2)
    assert [BEN.id in path.read_text() for path in files] == [True, False, True]
    assert acme.customers()[BEN.id]["email"] in files[1].read_text()
    assert files[0].read_text().count("one ended\n") == 2
    scope = Scope.of(BEN)
    assert [hit.chunk_id.split("#")[0] for hit in index.search_words("Zwetschge2", scope, 5)] == ["ticket-of-c-0002"]
    assert index.search_words("Zwetschge1", scope, 5) == []
    assert index.search_words("warranty", scope, 5)
    index.close()


async def test_the_money_stays_and_whose_it_was_nobody_can_tell() -> None:
    for user in (ANN, BEN):
        await remembered.remember(user)
    before = ledger.total(ledger.default().calls())
    await forget(ANN)
    calls = ledger.default().calls()
    assert ledger.total(calls) == before and len(calls) == 2
    nobody = {call.user for call in calls} - {BEN.id}
    assert len(nobody) == 1 and nobody.pop().startswith("forgotten-")
    assert {request.user for request in ledger.default().requests()} == {call.user for call in calls}


async def test_a_plain_delete_leaves_the_bytes_and_verify_finds_them(own_state: Path) -> None:
    turn = await remembered.remember(ANN)
    path = own_state / "conversations.sqlite3"
    conversations.default().forget(ANN)
    assert conversations.default().rows(f"conv-{ANN.id}", ANN) == []
    wanted = needles([turn.text])
    assert containing(wanted, [path.with_name(f"{path.name}-wal")])  # the log beside the file
    assert any("conversations" in place for place in await verify(ANN, [turn.text]))
    await forget(ANN)
    assert await verify(ANN, [turn.text]) == []


async def test_free_pages_keep_what_was_deleted_until_the_file_is_written_anew(tmp_path: Path) -> None:
    path, wanted = tmp_path / "said.sqlite3", needles(["ann@mail.example"])
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA secure_delete=OFF")  # SQLite's own default; some systems build it otherwise
        db.execute("CREATE TABLE said (text TEXT)")
        db.execute("INSERT INTO said VALUES ('ann@mail.example')")
        db.commit()
        db.execute("DELETE FROM said")
        db.commit()
    assert wanted.find(path.read_bytes())
    assert erased(path, lambda db: 0) == 0
    assert not wanted.find(path.read_bytes())


async def test_deleted_words_stay_in_a_search_table_until_it_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "words.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE VIRTUAL TABLE words USING fts5 (text)")
        db.executemany("INSERT INTO words VALUES (?)", [("zwetschgenmus",), ("warranty",)])
        db.commit()

        def work(db: sqlite3.Connection) -> int:
            return db.execute("DELETE FROM words WHERE words MATCH 'zwetschgenmus'").rowcount

        work(db)
        db.commit()
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        wanted = needles(["zwetschgenmus"])
        assert wanted.find(path.read_bytes())  # even after VACUUM
        assert erased(path, work) == 0
        assert not wanted.find(path.read_bytes())


async def test_the_spans_of_the_person_go_and_those_of_others_stay(own_state: Path) -> None:
    handler = tracing.stack(remembered.assistant, cost_control.recorded)
    tracing.start(keep=True)
    try:
        for user in (ANN, BEN):
            await answer(handler, remembered.turn_of(user))
        mine, other = (kept_traces.spans(remembered.turn_of(user).trace_id) for user in (ANN, BEN))
        assert len(mine) == len(other) == 2
        report = await forget(ANN)
        assert report.removed["traces.sqlite3 spans"] == 2
        assert kept_traces.spans(remembered.turn_of(ANN).trace_id) == []
        assert kept_traces.spans(remembered.turn_of(BEN).trace_id) == other
    finally:
        tracing.stop()
    trace = f"{tracing.otel_trace_id(remembered.turn_of(ANN).trace_id):032x}"
    assert containing(needles([trace]), files_under(own_state)) == []


async def test_the_vectors_of_what_they_wrote_go_from_chroma_and_from_the_cache_too(own_state: Path) -> None:
    (await remembered.remember_in_index([ANN, BEN])).close()
    large = Index(own_state / "index" / remembered.MODEL, remembered.embed, remembered.MODEL, scan_rows=0)
    scope, chroma = Scope.of(ANN), own_state / "index" / remembered.MODEL / "chroma"
    tickets = {f"ticket-of-{user.id.lower()}": user for user in (ANN, BEN)}

    async def found() -> set[str]:
        (vector,) = await remembered.embed(["anything"])
        hits = large.search_vectors(vector / np.linalg.norm(vector), scope, 50)
        return {hit.chunk_id.split("#")[0] for hit in hits} & tickets.keys()

    def cached() -> int:
        with closing(sqlite3.connect(own_state / "embeddings.sqlite3")) as db:
            return db.execute("SELECT count(*) FROM embeddings").fetchone()[0]

    assert chroma.exists() and await found() == tickets.keys()
    before = cached()
    await forget(ANN)
    assert cached() == before - 1 and not chroma.exists()
    assert await found() == {"ticket-of-c-0002"}
    assert await verify(ANN, ["Zwetschge1"]) == []
    large.close()


async def test_what_was_read_in_their_pictures_goes() -> None:
    class Read(BaseModel):
        name: str

    async def reader(turn: Turn) -> AsyncGenerator[Event, None]:
        yield Answer(text="read", output=Read(name=f"Receipt of {turn.user.id}"), trace_id=turn.trace_id)

    handler = image_cache.kept("v1")(reader)
    turns = [Turn("Read it.", user, images=(Image(user.id.encode(), "image/png"),), output=Read) for user in (ANN, BEN)]
    for turn in turns:
        await answer(handler, turn)
    await forget(ANN)
    assert await verify(ANN) == []
    assert [(await answer(handler, turn)).served for turn in turns] == ["live", "cached"]


async def test_a_yes_of_the_person_counts_no_more_and_that_of_others_does() -> None:
    for user in (ANN, BEN):
        await remembered.remember(user)
    await forget(ANN)
    assert conversations.default().claim(f"token-{BEN.id}", BEN) == remembered.turn_of(BEN).request_id
    with pytest.raises(CallerError, match="not known"):
        conversations.default().claim(f"token-{ANN.id}", ANN)
    assert conversations.default().latest(ANN) == ""


async def test_forgetting_twice_and_forgetting_nobody_change_nothing() -> None:
    await remembered.remember(BEN)
    await forget(ANN)
    await remembered.remember(ANN)
    await forget(ANN)
    again = await forget(ANN)
    assert not any(again.removed.values()) and again.documents == ()
    assert await verify(ANN, [remembered.question(ANN)]) == []
    assert checkpoints.default().load(remembered.turn_of(BEN).trace_id, BEN)


async def test_a_customer_of_another_tenant_with_the_same_id_stays() -> None:
    twin = User(ANN.id, "acme-nord")
    await remembered.remember(ANN)
    await remembered.remember(twin)
    await forget(twin)
    assert len(acme_tools.desk().work("escalation")) == 1
    assert {call.user for call in ledger.default().calls() if call.tenant == "acme-home"} == {ANN.id}


async def test_others_are_served_while_one_is_forgotten() -> None:
    await remembered.remember(ANN)
    await remembered.remember(BEN)
    handler = caching.response_cache(remembered.recipe)(remembered.assistant)
    done = False
    served: list[str] = []

    async def serve() -> None:
        number = 0
        while not done:
            number += 1
            served.append((await answer(handler, Turn(f"{remembered.question(BEN)} {number}", BEN))).text)
            labels = {"trace_id": "t", "feature": "chat", "tenant": BEN.tenant, "user": BEN.id}
            call = ledger.default().begin(**labels, provider="p", model="m", tier="large", cost_usd=None)
            ledger.default().settle(call, outcome="done")
            await asyncio.sleep(0)

    serving = asyncio.create_task(serve())
    for _ in range(3):
        await forget(ANN)
    done = True
    await serving
    assert len(served) > 3
    assert len(ledger.default().calls()) == 2 + len(served)
    assert await verify(ANN, [remembered.question(ANN)]) == []


CHILD = """
import asyncio, os, signal, sys
from patterns import acme, forgetting, forgetting_index, forgetting_files
left = int(sys.argv[1])
def counted(function):
    def call(*values, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*values, **named)
    return call
forgetting.erased = counted(forgetting.erased)
forgetting_index.erased = counted(forgetting_index.erased)
forgetting_files.forget = counted(forgetting_files.forget)
asyncio.run(forgetting.forget(acme.user("C-0001")))
"""


@pytest.mark.parametrize("steps", [1, 4, 8])
async def test_killed_anywhere_it_is_finished_by_the_next_call(steps: int, own_state: Path) -> None:
    for user in (ANN, BEN):
        await remembered.remember(user)
    files = await remembered.remember_in_files([ANN, BEN])
    (await remembered.remember_in_index([ANN, BEN])).close()
    store.close_under(own_state)
    killed = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", CHILD, str(steps)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert await verify(ANN, [remembered.question(ANN)]) != []
    await forget(ANN)
    assert await verify(ANN, [remembered.question(ANN)]) == []
    assert checkpoints.default().load(remembered.turn_of(BEN).trace_id, BEN)
    assert BEN.id in files[0].read_text()


# looking


@pytest.mark.parametrize("text", ["C-0001", "marisol.quintero@inbox.example", "Ärger mit „Zoë“\nund so"])
def test_a_word_is_found_in_every_way_to_write_it(text: str) -> None:
    import base64
    from urllib.parse import quote

    wanted = needles([text])
    written = [
        text.encode(),
        text.upper().encode() if text.isascii() else text.encode(),
        text.encode("utf-16-le"),
        json.dumps(text).encode(),
        quote(text).encode(),
    ]
    if len(text) >= 8:
        written += [base64.b64encode(b"x" * shift + text.encode() + b"yz") for shift in range(4)]
    for one in written:
        assert wanted.find(b"before " + one + b" after"), one
    assert not wanted.find(b"before after")


def test_a_word_is_found_whole() -> None:
    wanted = needles(["C-0001"])
    assert not wanted.find(b"C-00012 and XC-0001")
    assert wanted.find(b"C-00012 and C-0001.")
    assert wanted.find(b"SQLite format 3\0 acme-homeC-0001trace")
    assert not wanted.find(b"SQLite format 3\0 acme-homeC-00012trace")


def test_a_long_text_is_found_in_pieces() -> None:
    text = " ".join(f"word{number}" for number in range(100))
    assert needles([text]).find(b"\x00" + text[200:300].encode() + b"\x00")


def test_what_tells_a_person_is_that_of_the_account_in_that_tenant() -> None:
    assert words_of(ANN) == ("C-0001", "marisol.quintero@inbox.example", "Marisol Quintero")
    assert words_of(User("C-0001", "acme-nord")) == ("C-0001",)


def test_state_is_where_it_looks(own_state: Path) -> None:
    assert state.folder() == own_state
