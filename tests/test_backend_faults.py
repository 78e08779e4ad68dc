"""A backend that is locked, full, broken, away or slow: one sentence, nothing let through, nothing lost."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from engines import Clock, Engine, RedisServer

from patterns import backend
from patterns.backend import Spent, transactions
from patterns.backend import redis as redis_backend
from patterns.backend.redis import Redis
from patterns.backend.sqlite import SQLite
from patterns.errors import CallerError, LimitHit, ProviderError

pytest_plugins = ["engine_fixtures"]

TENANT = ("all", "tenant:a")


async def soon(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():
            await asyncio.sleep(0.005)


# the file


@pytest.fixture
def path(own_state: Path) -> Path:
    return own_state / "backend.sqlite3"


@contextmanager
def opened(path: Path, clock: Clock | None = None) -> Iterator[SQLite]:
    made = SQLite(path, clock or Clock())
    yield made
    made.close()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """As while another process is in the middle of a long transaction."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    yield
    db.execute("ROLLBACK")
    db.close()


async def test_who_waits_for_another_process_holds_up_nobody(path: Path) -> None:
    with opened(path) as store:
        with locked(path):
            waiting = asyncio.create_task(store.reserve("1", 5, TENANT, 60))
            for _ in range(20):  # the event loop goes on, and so do those who only read
                await asyncio.sleep(0.001)
                assert await store.switched_off(("all",)) is None
            assert not waiting.done()
        await waiting
        assert await store.spending("all") == Spent(None, 0, 5)


async def test_a_file_that_stays_locked_lets_nothing_through(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "BUSY_SECONDS", 0.1)
    with opened(path) as store:
        await store.set_cap("all", 10)
        with locked(path):
            for work in (store.reserve("1", 5, TENANT, 60), store.take("u", 5, 60), store.spending("all")):
                with pytest.raises(CallerError, match="another process has been writing") as caught:
                    await work
                assert caught.value.code == "store_unwritable" and "End that process" in caught.value.next_step
        await store.reserve("2", 10, TENANT, 60)
        assert await store.spending("all") == Spent(10, 0, 10)


async def test_a_settlement_arrives_although_its_caller_has_gone(path: Path) -> None:
    with opened(path) as store:
        await store.reserve("1", 5, TENANT, 60)
        with locked(path):
            settling = asyncio.create_task(store.settle("1", 3))
            reserving = asyncio.create_task(store.reserve("2", 5, TENANT, 60))
            await asyncio.sleep(0)
            settling.cancel()
            reserving.cancel()
            results = await asyncio.gather(settling, reserving, return_exceptions=True)
            assert {type(result) for result in results} == {asyncio.CancelledError}

        async def it_stands() -> bool:
            return await store.spending("all") == Spent(None, 3, 0)

        await soon(it_stands)


async def test_a_full_disk_spends_nothing_that_is_not_in_the_book(path: Path) -> None:
    with opened(path) as store:
        db = store._file._db
        db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")
        accepted = 0
        with pytest.raises(CallerError, match="full") as caught:
            for number in range(10_000):
                await store.reserve(f"call {number:09}", 5, TENANT, 60)
                accepted += 1
        assert caught.value.code == "store_unwritable" and "Free some space" in caught.value.next_step
        with pytest.raises(CallerError):
            await store.put("k", "v" * 10_000, 60, 60)
        assert await store.spending("all") == Spent(None, 0, 5 * accepted)
        db.execute("PRAGMA max_page_count = 100000")
        await store.settle("call 000000000", 2)
        assert await store.spending("all") == Spent(None, 2, 5 * accepted - 5)


FILLING = """
import asyncio, resource, sys
from pathlib import Path
from patterns.backend.sqlite import SQLite
from patterns.errors import CallerError

async def fill() -> None:
    store = SQLite(Path(sys.argv[1]))
    await store.put("k", "v", 60, 60)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    accepted = 0
    try:
        while accepted < 100_000:
            await store.reserve(f"call {accepted}", 5, ("all", f"user:{accepted}"), 600)
            accepted += 1
    except CallerError as error:
        print(accepted, error.code)

asyncio.run(fill())
"""


def test_a_disk_that_takes_no_more_in_the_middle_of_a_write(path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FILLING, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    accepted, code = ran.stdout.split()
    assert code == "store_unwritable" and int(accepted) > 0
    with opened(path) as store:
        assert asyncio.run(store.spending("all")) == Spent(None, 0, 5 * int(accepted))


def test_a_file_that_is_broken_lets_nothing_through(path: Path) -> None:
    with opened(path) as store:
        asyncio.run(store.set_cap("all", 10))
    whole = path.read_bytes()
    path.write_bytes(b"no database" + whole[11:])
    with pytest.raises(CallerError, match="not a database") as caught:
        backend.default()
    assert caught.value.code == "store_unwritable"
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(CallerError, match="malformed"):
        asyncio.run(backend.default().reserve("1", 5, TENANT, 60))
    assert path.read_bytes()[4096:4100] == b"\xff" * 4  # nothing was written over it


def test_a_folder_that_cannot_be_one(own_state: Path) -> None:
    own_state.write_text("in the way")
    with pytest.raises(CallerError) as caught:
        backend.default()
    assert caught.value.code == "store_unwritable" and "PATTERNS_STATE" in caught.value.next_step


def test_threads_share_the_store_of_their_process(path: Path) -> None:
    with opened(path) as store:
        asyncio.run(store.set_cap("all", 100))

        async def work() -> None:
            for _ in range(20):
                call = os.urandom(8).hex()
                try:
                    await store.reserve(call, 5, TENANT, 60)
                except LimitHit:
                    continue
                await asyncio.sleep(0)
                await store.settle(call, 1)

        threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = asyncio.run(store.spending("all"))
        assert found.reserved == 0 and 20 <= found.settled <= 80


# Redis


@pytest.fixture
async def mortal(mortal_redis: RedisServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATTERNS_REDIS_URL", mortal_redis.url)
    monkeypatch.setattr(redis_backend, "WAIT_SECONDS", 0.5)
    made = Engine("redis")
    yield made
    mortal_redis.go_on()
    await made.close()


async def test_a_redis_that_is_away_lets_nothing_through_and_works_when_it_is_back(
    mortal: Engine, mortal_redis: RedisServer
) -> None:
    store = mortal.open()
    await store.set_cap("all", 10)
    await store.reserve("1", 4, TENANT, 60)
    mortal_redis.kill()
    for _ in range(2):
        for work in (
            store.reserve("2", 1, TENANT, 60),
            store.settle("1", 1),
            store.take("u", 5, 60),
            store.switched_off(("all",)),
            store.get("k"),
            store.version("t"),
        ):
            with pytest.raises(ProviderError, match=f"127.0.0.1:{mortal_redis.port} does not answer") as caught:
                await work
            assert caught.value.code == "unreachable" and caught.value.transient
    mortal_redis.start()
    assert await store.spending("all") == Spent(10, 0, 4)
    await asyncio.gather(*(store.settle("1", 3) for _ in range(20)))
    await store.reserve("3", 7, TENANT, 60)
    assert await store.spending("all") == Spent(10, 3, 7)


async def test_a_redis_that_does_not_answer_is_given_up_and_counts_nothing_twice(
    mortal: Engine, mortal_redis: RedisServer
) -> None:
    store = mortal.open()
    await store.set_cap("all", 10)
    mortal_redis.pause()
    with pytest.raises(ProviderError, match="does not answer"):
        await store.reserve("1", 6, TENANT, 60)
    mortal_redis.go_on()
    # It has read the reservation by now, or never will. If it has, the money stays aside until the lease ends.
    found = await store.spending("all")
    assert found in (Spent(10, 0, 0), Spent(10, 0, 6))
    mortal.clock.now += 61
    assert (await store.spending("all")).settled == found.reserved


@asynccontextmanager
async def swallowing_answers(port: int) -> AsyncIterator[int]:
    """A port that passes everything on, and hangs up in place of the answer to a script."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        while asked := await reader.read(65_536):
            up_writer.write(asked)
            answer = await up_reader.read(65_536)
            if b"EVALSHA" in asked and b"NOSCRIPT" not in answer:
                break
            writer.write(answer)
        for end in (writer, up_writer):
            end.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_what_may_have_been_done_is_not_done_again(redis_server: RedisServer) -> None:
    async with swallowing_answers(redis_server.port) as port:
        store = Redis(f"redis://127.0.0.1:{port}/0")
        with pytest.raises(ProviderError, match="does not answer"):
            await store.take("u", 5, 1e6)
        await store.close()
    store = Redis(redis_server.url)
    assert [await store.take("u", 5, 1e6) == 0 for _ in range(5)] == [True] * 4 + [False]
    await store.close()


async def test_who_leaves_takes_no_connection_along(mortal: Engine, mortal_redis: RedisServer) -> None:
    store = mortal.open()
    await store.take("u", 5, 60)
    mortal_redis.pause()
    leaving = [asyncio.create_task(store.take("u", 5, 60)) for _ in range(3 * redis_backend.CONNECTIONS)]
    for _ in range(5):
        await asyncio.sleep(0.01)
        for task in leaving:
            task.cancel()  # again and again, as some servers do
    mortal_redis.go_on()
    assert await asyncio.gather(*(store.take("v", 50, 60) for _ in range(50))) == [0] * 50


async def test_a_hundred_that_wait_for_a_redis_are_all_told(mortal: Engine, mortal_redis: RedisServer) -> None:
    store = mortal.open()
    await store.set_cap("all", 10)
    mortal_redis.pause()
    calls = [store.reserve(str(number), 1, TENANT, 60) for number in range(100)]
    results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
    assert {type(result) for result in results} == {ProviderError}
    mortal_redis.go_on()
    assert (await store.spending("all")).reserved <= 10


async def test_who_leaves_a_redis_in_the_middle_of_a_reservation_leaves_nothing_aside(
    mortal: Engine, mortal_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_backend, "WAIT_SECONDS", 30)
    store = mortal.open()
    await store.reserve("1", 4, TENANT, 60)
    mortal_redis.pause()
    leaving = [asyncio.create_task(store.reserve("2", 6, TENANT, 60)), asyncio.create_task(store.settle("1", 3))]
    await asyncio.sleep(0.05)  # until both are on their way
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    mortal_redis.go_on()

    async def all_is_settled() -> bool:
        return await store.spending("all") == Spent(None, 3, 0)

    await soon(all_is_settled)
    await asyncio.sleep(0.05)
    assert await all_is_settled()


async def test_a_full_redis_lets_nothing_through(mortal: Engine, mortal_redis: RedisServer) -> None:
    store = mortal.open()
    await store.reserve("1", 4, TENANT, 60)
    mortal_redis.do("config", "set", "maxmemory", "1")
    for work in (store.reserve("2", 4, TENANT, 60), store.take("u", 1, 60), store.put("k", "v", 60, 60, ["t"])):
        with pytest.raises(CallerError, match="maxmemory") as caught:
            await work
        assert caught.value.code == "store_unwritable"
    await store.settle("1", 3)  # needs no room
    assert await store.spending("all") == Spent(None, 3, 0)


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://localhost:port/0"])
async def test_an_address_that_is_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_REDIS_URL", url)
    with pytest.raises(CallerError, match="PATTERNS_REDIS_URL") as caught:
        backend.default()
    assert caught.value.code == "not_set_up" and "redis://" in caught.value.next_step


async def test_a_password_is_asked_for_and_never_shown(mortal: Engine, mortal_redis: RedisServer) -> None:
    mortal_redis.do("config", "set", "requirepass", "hidden-1")
    for url in (mortal_redis.url, mortal_redis.url.replace("redis://", "redis://:hidden-2@")):
        store = Redis(url)
        with pytest.raises(CallerError) as caught:
            await store.take("u", 5, 60)
        await store.close()
        assert caught.value.code == "store_unwritable" and "password" in caught.value.next_step
        assert "hidden" not in str(caught.value)
    store = Redis(mortal_redis.url.replace("redis://", "redis://:hidden-1@"))
    assert await store.take("u", 5, 60) == 0
    await store.close()
