"""What is older than its period goes with its bytes, what is younger stays, and no store is left out of the list."""

import asyncio
import sqlite3
import time
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
import redis.asyncio as aioredis
from engines import RedisServer

from patterns import acme, acme_tools, backend, caching, checkpoints, ledger, retention
from patterns.erasing import containing, files_under, needles
from patterns.errors import CallerError
from patterns.events import answer
from patterns.retention import DAY, STORES, expire
from patterns.service import conversations
from tests import remembered

pytest_plugins = ["engine_fixtures"]

ANN = acme.user("C-0001")
# Tables that hold nothing about people, or that remove what is past its time by themselves.
OTHERS = {
    "backend.sqlite3": {
        *("places", "caps", "spent", "reservations", "unsettled"),
        *("entries", "tags", "versions", "latest", "switches"),
    },
    "embeddings.sqlite3": {"embeddings"},
}


async def test_what_is_young_stays() -> None:
    turn = await remembered.remember(ANN, now=time.time())
    counts = await expire()
    assert not any(counts.values())
    assert checkpoints.default().load(turn.trace_id, ANN)


async def test_what_is_old_goes_with_its_bytes_and_the_money_stays(own_state: Path) -> None:
    turn = await remembered.remember(ANN, now=time.time())
    wanted = needles([turn.text, "marisol.quintero@inbox.example"])
    assert containing(wanted, files_under(own_state))
    counts = await expire(time.time() + 200 * DAY)
    assert counts["checkpoints.sqlite3 runs"] == counts["desk.sqlite3 work"] == counts["ledger.sqlite3 calls"] == 1
    assert containing(wanted, files_under(own_state)) == []
    assert [call.user for call in ledger.default().calls()] == [""]
    assert ledger.total(ledger.default().calls()) > 0
    assert not any((await expire(time.time() + 200 * DAY)).values())


@pytest.mark.parametrize(
    ("status", "days", "left"), [("ended", 0.9, 1), ("ended", 1.1, 0), ("waiting", 29, 1), ("waiting", 31, 0)]
)
async def test_a_run_that_ended_is_kept_a_day_and_one_that_waits_a_month(status: str, days: float, left: int) -> None:
    turn = await remembered.remember(ANN)
    checkpoints.default().save(turn, status)  # pyright: ignore[reportArgumentType]
    await expire(time.time() + days * DAY)
    runs = checkpoints.default()
    assert len(runs.actions(turn.trace_id)) == runs.steps(turn.trace_id) == left
    with nullcontext() if left else pytest.raises(CallerError, match="no run"):
        runs.load(turn.trace_id, ANN)


async def test_it_is_safe_while_others_write() -> None:
    await remembered.remember(ANN)
    desk, left = acme_tools.desk(), 0

    async def write() -> None:
        nonlocal left
        for _ in range(100):
            await asyncio.to_thread(desk.leave, "escalation", remembered.turn_of(ANN), "young", "")
            left += 1

    writing = asyncio.create_task(write())
    for _ in range(3):
        await expire()
    await writing
    assert len(desk.work("escalation")) == 1 + left


async def test_an_answer_goes_when_its_time_is_over() -> None:
    await answer(caching.response_cache(remembered.recipe)(remembered.assistant), remembered.turn_of(ANN))
    assert (await expire(time.time() + 6 * DAY))["backend.sqlite3 entries"] == 0
    assert (await expire(time.time() + 8 * DAY))["backend.sqlite3 entries"] == 1
    assert await backend.default().entries(f"user:{ANN.tenant}/{ANN.id}") == []


async def test_in_redis_all_that_is_about_people_ends_by_itself(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_REDIS_URL", redis_server.url)
    turn = await remembered.remember(ANN)
    async with aioredis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        seconds = {key: await client.ttl(key) async for key in client.scan_iter("patterns:*")}
    await backend.close()
    lasting = {key for key in seconds if key.startswith(("patterns:caps", "patterns:version"))}
    assert lasting < seconds.keys()
    assert all(0 < seconds[key] <= 100 * DAY for key in seconds.keys() - lasting), seconds
    assert turn.text not in str(sorted(lasting))


async def test_no_store_is_missing_in_the_list(own_state: Path) -> None:
    await remembered.remember(ANN)
    conversations.default()
    listed = {(table.file, table.name) for table in STORES}
    for path in filter(lambda path: path.suffix == ".sqlite3", files_under(own_state)):
        with closing(sqlite3.connect(path)) as db:
            for (name,) in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            ):
                assert (path.name, name) in listed or name in OTHERS.get(path.name, ()), (path.name, name)


def test_each_period_has_its_reason() -> None:
    assert all(table.why and table.days > 0 for table in retention.STORES)
