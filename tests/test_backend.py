"""What a backend promises, on both engines: nothing is taken twice, nothing spent is lost, nobody is locked out."""

import asyncio
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from engines import ENGINES, Engine, RedisServer
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from patterns import backend, state
from patterns.backend import Backend, Spent, transactions
from patterns.backend.redis import Redis
from patterns.backend.sqlite import SQLite
from patterns.errors import LimitHit

pytest_plugins = ["engine_fixtures"]

DAY = 86_400
SCOPES = ("all", "feature:chat", "tenant:a", "user:a/1")
few = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def soon(holds: Callable[[], Any]) -> None:
    """Wait until `holds()` is true; a test that waits in vain fails."""
    async with asyncio.timeout(30):
        while not await holds():
            await asyncio.sleep(0.005)


def date_of(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


# rate limits


async def test_places_come_back_one_by_one(engine: Engine) -> None:
    store = engine.open()
    assert [await store.take("u", 3, 60) for _ in range(3)] == [0, 0, 0]
    assert await store.take("u", 3, 60) == pytest.approx(20)
    engine.clock.now += 19.9
    assert await store.take("u", 3, 60) == pytest.approx(0.1)
    engine.clock.now += 0.1
    assert await store.take("u", 3, 60) == 0
    assert await store.take("u", 3, 60) == pytest.approx(20)
    assert await store.take("another", 3, 60) == 0


async def test_a_limit_of_nothing_lets_nobody_in(engine: Engine) -> None:
    assert await engine.open().take("u", 0, 60) == 60


async def test_handles_share_their_places(engine: Engine) -> None:
    stores = [engine.open() for _ in range(4)]
    waits = await asyncio.gather(*(stores[n % 4].take("u", 10, 60) for n in range(100)))
    assert sum(wait == 0 for wait in waits) == 10


steps = st.lists(st.floats(0, 40, allow_nan=False), max_size=40)
limits = st.integers(1, 12)


@few
@given(steps=steps, limit=limits)
async def test_no_window_holds_more_than_the_limit_and_what_came_back(
    engine: Engine, steps: list[float], limit: int
) -> None:
    engine.clock.now += 1000  # the places of the example before have come back
    store, taken = engine.open(), list[float]()
    for step in steps:
        engine.clock.now += step
        if await store.take("u", limit, 60) == 0:
            taken.append(engine.clock.now)
    for first, start in enumerate(taken):
        for last, end in enumerate(taken[first:], first):
            assert last - first + 1 <= limit + (end - start) * limit / 60 + 1e-3
    await engine.close()


@few
@given(steps=steps, limit=limits, back=st.floats(0, 1e6))
async def test_a_clock_that_goes_back_changes_nothing(
    engine: Engine, steps: list[float], limit: int, back: float
) -> None:
    engine.clock.now = 2e9
    store = engine.open()
    key = f"{len(steps)} {limit} {back}"
    for step in steps:
        engine.clock.now += step
        await store.take(key, limit, 60)
    while (wait := await store.take(key, limit, 60)) == 0:
        pass
    engine.clock.now -= back
    assert await store.take(key, limit, 60) == pytest.approx(wait, abs=1e-3)  # no place for free
    engine.clock.now += wait
    assert await store.take(key, limit, 60) == 0  # and nobody waits for the old time to come again
    await engine.close()


# budgets


async def test_a_cap_holds_in_every_scope_or_nothing_is_set_aside(engine: Engine) -> None:
    store = engine.open()
    await store.set_cap("all", 100)
    await store.set_cap("tenant:a", 30)
    await store.reserve("1", 30, SCOPES, 60)
    with pytest.raises(LimitHit) as caught:
        await store.reserve("2", 1, SCOPES, 60)
    assert caught.value.code == "budget"
    assert "tenant:a may spend $0.00000003 a day: $0.00000003 of it" in caught.value.message
    assert "00:00 UTC" in caught.value.next_step and "budgets.cap('tenant:a'" in caught.value.next_step
    assert [(await store.spending(scope)).reserved for scope in SCOPES] == [30] * 4
    await store.reserve("3", 70, ("all", "tenant:b"), 60)
    await store.settle("1", 10)
    assert await store.spending("tenant:a") == Spent(cap=30, settled=10, reserved=0)
    assert await store.spending("all") == Spent(cap=100, settled=10, reserved=70)


async def test_a_general_cap_is_of_each_that_has_none_of_its_own(engine: Engine) -> None:
    store = engine.open()
    await store.set_cap("tenant:*", 10)
    await store.set_cap("tenant:big", 50)
    await store.reserve("1", 10, ("all", "tenant:a"), 60)
    await store.reserve("2", 10, ("all", "tenant:b"), 60)
    await store.reserve("3", 50, ("all", "tenant:big"), 60)
    for tenant in ("tenant:a", "tenant:big"):
        with pytest.raises(LimitHit, match=tenant):
            await store.reserve("4", 1, ("all", tenant), 60)
    await store.set_cap("tenant:big", None)
    assert (await store.spending("tenant:big")).cap == 10
    assert (await store.spending("all")).cap is None


async def test_whether_there_is_a_cap_can_be_asked_for_all_scopes_at_once(engine: Engine) -> None:
    store, asked = engine.open(), ("all", "feature:chat", "tenant:a", "user:a/1")
    assert await store.capped(asked) is None and await store.capped(()) is None
    await store.set_cap("tenant:b", 10)
    await store.set_cap("tenant", 10)
    assert await store.capped(asked) is None
    await store.set_cap("user:*", 0)
    assert await store.capped(asked) == "user:a/1"
    await store.set_cap("tenant:a", 5)
    assert await store.capped(asked) == "tenant:a"
    await store.set_cap("tenant:a", None)
    await store.set_cap("user:*", None)
    assert await store.capped(asked) is None


async def test_a_call_is_reserved_once_and_settled_once(engine: Engine) -> None:
    store = engine.open()
    for _ in range(2):
        await store.reserve("1", 10, ("all", "all"), 60)
    assert await store.spending("all") == Spent(None, 0, 10)
    for spent in (4, 9):
        await store.settle("1", spent)
    await store.settle("never reserved", 7)
    assert await store.spending("all") == Spent(None, 4, 0)


async def test_a_settled_call_leaves_nothing_but_its_figures(engine: Engine) -> None:
    store = engine.open()
    await store.reserve("1", 10, SCOPES, 60)
    await store.settle("1", 4)
    if isinstance(store, Redis):
        assert await store._redis.keys() == [f"patterns:spent:{int(engine.clock.now // DAY)}"]
    else:
        assert isinstance(store, SQLite)
        tables = ("reservations", "unsettled", "entries", "places")
        assert [await store._file.read(f"SELECT * FROM {table}") for table in tables] == [[]] * 4


async def test_more_than_was_set_aside_is_counted_as_it_is(engine: Engine) -> None:
    store = engine.open()
    await store.set_cap("all", 10)
    await store.reserve("1", 10, ("all",), 60)
    await store.settle("1", 25)
    assert await store.spending("all") == Spent(10, 25, 0)
    with pytest.raises(LimitHit):
        await store.reserve("2", 1, ("all",), 60)


async def test_a_lease_that_ends_counts_in_full_and_is_corrected_once(engine: Engine) -> None:
    store = engine.open()
    await store.set_cap("all", 10)
    await store.reserve("1", 10, ("all",), 60)
    engine.clock.now += 61
    with pytest.raises(LimitHit):  # before anybody has looked at the figures, and after
        await store.reserve("2", 1, ("all",), 60)
    assert await store.spending("all") == Spent(10, 10, 0)
    with pytest.raises(LimitHit):
        await store.reserve("2", 1, ("all",), 60)
    for spent in (3, 8):
        await store.settle("1", spent)
    assert await store.spending("all") == Spent(10, 3, 0)


async def test_at_midnight_a_day_ends(engine: Engine) -> None:
    store = engine.open()
    engine.clock.now = 20_000 * DAY - 1.0
    await store.set_cap("all", 10)
    await store.reserve("1", 10, ("all",), 60)
    engine.clock.now += 2
    await store.reserve("2", 7, ("all",), 60)
    await store.settle("1", 6)  # on the day it was made
    assert await store.spending("all", "2024-10-03") == Spent(10, 6, 0)
    assert await store.spending("all") == await store.spending("all", "2024-10-04") == Spent(10, 0, 7)
    engine.clock.now -= 2
    assert await store.spending("all") == Spent(10, 0, 7)  # and does not come again when the clock goes back
    with pytest.raises(LimitHit):
        await store.reserve("3", 4, ("all",), 60)


async def test_a_clock_that_was_days_ahead_closes_no_budget_for_days(engine: Engine) -> None:
    store = engine.open()
    await store.set_cap("all", 10)
    await store.reserve("1", 4, ("all",), 60)
    engine.clock.now += 400 * DAY
    await store.reserve("2", 10, ("all",), 60)
    engine.clock.now -= 400 * DAY
    await store.reserve("3", 5, ("all",), 60)
    with pytest.raises(LimitHit):
        await store.reserve("4", 2, ("all",), 60)


async def test_a_hundred_at_once_stay_within_the_cap(engine: Engine) -> None:
    stores = [engine.open() for _ in range(3)]
    await stores[0].set_cap("all", 1000)

    async def call(number: int) -> None:
        await stores[number % 3].reserve(str(number), 30, SCOPES, 60)

    results = await asyncio.gather(*map(call, range(100)), return_exceptions=True)
    assert sum(result is None for result in results) == 33
    assert {getattr(result, "code", None) for result in results} == {None, "budget"}
    assert await stores[1].spending("all") == Spent(1000, 0, 990)


class Money(RuleBasedStateMachine):
    """Budgets next to a model of what they promise, in dictionaries."""

    engine_name = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.engine = Engine(self.engine_name)
        self.engine.clock.now = 20_000.5 * DAY  # noon
        self.caps: dict[str, int] = {}
        self.spent: dict[tuple[int, str], list[int]] = {}
        self.calls: dict[str, tuple[int, int, tuple[str, ...], float, bool]] = {}

    @initialize()
    def empty(self) -> None:
        for path in state.folder().glob("backend.sqlite3*"):
            path.unlink()
        self.stores = [self.engine.open() for _ in range(2)]
        if isinstance(self.stores[0], Redis):
            self.run(self.stores[0]._redis.flushall())

    def run(self, work: Any) -> Any:
        async def awaited() -> Any:
            return await work

        return self.runner.run(awaited())

    def today(self) -> int:
        today = int(self.engine.clock.now // DAY)
        return today + any(day == today + 1 for day, _ in self.spent)

    def cap_of(self, scope: str) -> int | None:
        return self.caps.get(scope, self.caps.get(f"{scope.split(':')[0]}:*"))

    def charge(self, day: int, scopes: tuple[str, ...], settled: int, reserved: int) -> None:
        for scope in scopes:
            figures = self.spent.setdefault((day, scope), [0, 0])
            figures[0] += settled
            figures[1] += reserved

    def end_leases(self) -> None:
        for call, (day, most, scopes, until, ended) in self.calls.items():
            if not ended and until <= self.engine.clock.now:
                self.calls[call] = (day, most, scopes, until, True)
                self.charge(day, scopes, most, -most)

    @rule(scope=st.sampled_from([*SCOPES, "tenant:*", "tenant:b"]), most=st.none() | st.integers(0, 60))
    def set_cap(self, scope: str, most: int | None) -> None:
        self.run(self.stores[0].set_cap(scope, most))
        self.caps.pop(scope, None)
        if most is not None:
            self.caps[scope] = most

    @rule(
        call=st.sampled_from("abcdef"),
        most=st.integers(1, 25),
        scopes=st.sampled_from([SCOPES, ("all", "tenant:b"), ("all",)]),
        seconds=st.sampled_from([5, 100, 2 * DAY]),
        which=st.booleans(),
    )
    def reserve(self, call: str, most: int, scopes: tuple[str, ...], seconds: float, which: bool) -> None:
        assume(call not in self.calls)
        day = self.today()
        over = None
        for scope in scopes:
            cap = self.cap_of(scope)
            if over is None and cap is not None and sum(self.spent.get((day, scope), [0])) + most > cap:
                over = scope
        try:
            self.run(self.stores[which].reserve(call, most, scopes, seconds))
        except LimitHit as error:
            assert over is not None and error.message.startswith(f"{over} may spend")
            return
        assert over is None
        self.calls[call] = (day, most, scopes, self.engine.clock.now + seconds, False)
        self.charge(day, scopes, 0, most)

    @rule(call=st.sampled_from("abcdef"), spent=st.integers(0, 40), which=st.booleans())
    def settle(self, call: str, spent: int, which: bool) -> None:
        self.run(self.stores[which].settle(call, spent))
        if call in self.calls:
            day, most, scopes, _, ended = self.calls.pop(call)
            self.charge(day, scopes, spent - most if ended else spent, 0 if ended else -most)

    @rule(seconds=st.sampled_from([1.0, 10.0, 40_000.0, float(DAY), -1.0, -50_000.0]))
    def tick(self, seconds: float) -> None:
        self.engine.clock.now += seconds

    @invariant()
    def figures_are_those_of_the_model(self) -> None:
        self.end_leases()
        for day, scope in [*self.spent, (self.today(), "all")]:
            found = self.run(self.stores[1].spending(scope, date_of(day)))
            assert [found.settled, found.reserved] == self.spent.get((day, scope), [0, 0])
            assert found.cap == self.cap_of(scope)
        assert self.run(self.stores[0].spending("all")).settled == self.spent.get((self.today(), "all"), [0])[0]

    def teardown(self) -> None:
        self.run(self.engine.close())
        self.runner.close()


@pytest.mark.parametrize("name", ENGINES)
def test_figures_are_always_those_of_a_simple_model(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "redis":
        monkeypatch.setenv("PATTERNS_REDIS_URL", request.getfixturevalue("redis_server").url)
    machine = type("MoneyOf" + name, (Money,), {"engine_name": name})
    run_state_machine_as_test(machine, settings=settings(max_examples=25, stateful_step_count=30, deadline=None))


# stored values


async def test_a_value_is_kept_with_its_times(engine: Engine) -> None:
    store = engine.open()
    before = engine.clock.now
    await store.put("k", "Grüße 'and' \x00 nul", 10, 100, ["t"])
    found = await store.get("k")
    assert found and (found.value, found.stored, found.fresh) == (
        "Grüße 'and' \x00 nul",
        pytest.approx(before),
        pytest.approx(before + 10),
    )
    assert await store.entries("t") == [("k", found)]
    assert await store.get("unknown") is None and await store.entries("unknown") == []


async def test_what_has_passed_its_time_is_gone_and_takes_no_room(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "TIDY_SECONDS", 0)
    store = engine.open(own_clock=False)
    await store.put("long", "kept", 100, 100, ["t"])
    for number in range(50):
        await store.put(f"short {number}", "gone", 0.02, 0.02, ["t", f"only {number}"])
        await store.take(f"user {number}", 1, 0.02)

    async def only_one_is_left() -> bool:
        return [key for key, _ in await store.entries("t")] == ["long"] and await store.get("short 7") is None

    await soon(only_one_is_left)
    await store.put("long", "kept", 100, 100, ["t"])  # whatever is written next clears up

    async def little_is_stored() -> bool:
        if isinstance(store, Redis):  # entry, tag, its version, the latest version
            return await store._redis.dbsize() == 4 and await store._redis.zcard("patterns:tag:t") == 1
        counts = "SELECT (SELECT count(*) FROM entries) + (SELECT count(*) FROM tags) + (SELECT count(*) FROM versions)"
        assert isinstance(store, SQLite)
        counts += " + (SELECT count(*) FROM places)"
        return await store._file.read(counts) == [(3,)]

    await soon(little_is_stored)


async def test_figures_are_kept_for_some_weeks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "TIDY_SECONDS", 0)
    store = engine.open()
    engine.clock.now = 20_000 * DAY
    await store.reserve("left open", 5, ("all",), 60)
    for day in range(20_001, 20_051):
        engine.clock.now = day * DAY
        await store.reserve(str(day), 5, ("all",), 60)
        await store.settle(str(day), 5)
    kept = [day for day in range(20_000, 20_051) if (await store.spending("all", date_of(day))).settled]
    assert kept[-backend.DAYS_KEPT :] == list(range(20_051 - backend.DAYS_KEPT, 20_051))
    if engine.name == "sqlite":  # Redis lets the days run out by its own clock
        assert len(kept) == backend.DAYS_KEPT + 1
        assert isinstance(store, SQLite) and await store._file.read("SELECT * FROM unsettled") == []


class Shelf(RuleBasedStateMachine):
    """Stored values next to a model of what they promise."""

    engine_name = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.engine = Engine(self.engine_name)
        self.held: dict[str, tuple[str, float, tuple[str, ...]]] = {}
        self.versions = dict.fromkeys("xyz", 0)

    @initialize()
    def empty(self) -> None:
        for path in state.folder().glob("backend.sqlite3*"):
            path.unlink()
        self.stores = [self.engine.open() for _ in range(2)]
        if isinstance(self.stores[0], Redis):
            self.run(self.stores[0]._redis.flushall())

    def run(self, work: Any) -> Any:
        async def awaited() -> Any:
            return await work

        return self.runner.run(awaited())

    def grown(self, *, tags: set[str]) -> None:
        """The versions of `tags` have grown, and none has shrunk."""
        for tag, before in self.versions.items():
            now = self.run(self.stores[1].version(tag))
            assert now > before if tag in tags else now >= before
            self.versions[tag] = now

    @rule(
        key=st.sampled_from(["k", "l", "m", "*"]),
        value=st.text(max_size=5),
        tags=st.sampled_from([(), ("x",), ("x", "y"), ("y", "z", "y")]),
        which=st.booleans(),
    )
    def put(self, key: str, value: str, tags: tuple[str, ...], which: bool) -> None:
        self.engine.clock.now += 1
        self.run(self.stores[which].put(key, value, 50, 1000, tags))
        before = self.held.pop(key, ("", 0.0, ()))[2]
        self.held[key] = (value, self.engine.clock.now, tags)
        self.grown(tags={*before, *tags})

    @rule(tag=st.sampled_from("xyz"), which=st.booleans())
    def forget(self, tag: str, which: bool) -> None:
        gone = {key for key, (_, _, tags) in self.held.items() if tag in tags}
        assert self.run(self.stores[which].forget(tag)) == len(gone)
        self.grown(tags={tag for key in gone for tag in self.held.pop(key)[2]})

    @invariant()
    def it_holds_what_the_model_holds(self) -> None:
        for key in ["k", "l", "m", "*"]:
            found = self.run(self.stores[1].get(key))
            assert (found and (found.value, found.stored)) == (self.held[key][:2] if key in self.held else None)
        for tag in "xyz":
            listed = [(key, entry.value) for key, entry in self.run(self.stores[0].entries(tag))]
            assert listed == [(key, value) for key, (value, _, tags) in self.held.items() if tag in tags]

    def teardown(self) -> None:
        self.run(self.engine.close())
        self.runner.close()


@pytest.mark.parametrize("name", ENGINES)
def test_stored_values_are_always_those_of_a_simple_model(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "redis":
        monkeypatch.setenv("PATTERNS_REDIS_URL", request.getfixturevalue("redis_server").url)
    machine = type("ShelfOf" + name, (Shelf,), {"engine_name": name})
    run_state_machine_as_test(machine, settings=settings(max_examples=25, stateful_step_count=30, deadline=None))


# switches


async def test_a_switch_holds_for_every_handle_at_once(engine: Engine) -> None:
    here, there = engine.open(), engine.open()
    whats = ("all", "feature:chat", "tenant:a")
    assert await there.switched_off(whats) is None and await there.switched_off(()) is None
    await here.switch_off("tenant:a", "an attack")
    await here.switch_off("all", "")
    assert await there.switched_off(whats) == ""
    assert await there.switched_off(("tenant:b", "tenant:a")) == "an attack"
    await here.switch_on("all")
    await here.switch_on("tenant:a")
    assert await there.switched_off(whats) is None


# the one of this process


async def test_default_is_what_the_environment_says(engine: Engine, own_state: Path) -> None:
    store = backend.default()
    assert store is backend.default()
    await store.set_cap("all", 7)
    assert (await engine.open().spending("all")).cap == 7
    assert isinstance(store, SQLite if engine.name == "sqlite" else Redis)
    assert (own_state / "backend.sqlite3").exists() == (engine.name == "sqlite")


def test_each_event_loop_has_a_redis_of_its_own(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_REDIS_URL", redis_server.url)

    async def used() -> Backend:
        await backend.default().set_cap("all", 1)
        used = backend.default()
        await backend.close()
        return used

    assert asyncio.run(used()) is not asyncio.run(used())
