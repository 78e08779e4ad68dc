"""A budget is held before the money is spent: by a hundred calls at once, by several processes, and by killed ones."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from engines import Engine

from patterns import backend, budgets, calls, models
from patterns.course import control
from patterns.errors import LimitHit, ProviderError

pytest_plugins = ["engine_fixtures"]

Dial = Callable[..., None]
LABELS = {"feature": "chat", "tenant": "a", "user": "1"}
QUESTION = [{"role": "user", "content": "How long may I return a lamp, and what does it cost?"}]
SPENDER = Path(__file__).parent / "spender.py"


# in dollars


async def test_a_call_is_charged_what_it_did_cost(engine: Engine) -> None:
    await budgets.cap("all", 0.5)
    async with budgets.reserved(0.25, LABELS) as bill:
        assert await budgets.spending("tenant:a") == budgets.Spending(cap=None, settled=0, reserved=0.25)
        bill.dollars = 0.125
    for scope in ("all", "feature:chat", "tenant:a", "user:a/1"):
        found = await budgets.spending(scope)
        assert (found.settled, found.reserved) == (0.125, 0)
    assert (await budgets.spending("all")).cap == 0.5


async def test_a_call_that_fails_is_charged_what_its_bill_says(engine: Engine) -> None:
    for dollars in (0.25, 0.0):
        with pytest.raises(RuntimeError):
            async with budgets.reserved(0.25, LABELS) as bill:
                bill.dollars = dollars
                raise RuntimeError
    with pytest.raises(RuntimeError):
        async with budgets.reserved(0.25, LABELS):  # nothing known: the most
            raise RuntimeError
    assert await budgets.spending("all") == budgets.Spending(None, 0.5, 0)


async def test_the_refusal_says_whose_budget_it_is_and_what_to_do(engine: Engine) -> None:
    await budgets.cap("user:*", 0.10)
    with pytest.raises(LimitHit) as caught:
        async with budgets.reserved(0.25, LABELS):
            pytest.fail("it was let through")
    assert caught.value.code == "budget"
    assert caught.value.message == (
        "user:a/1 may spend $0.1 a day: $0 of it is spent or set aside, and this call may cost $0.25."
    )
    assert "budgets.cap('user:a/1', dollars)" in caught.value.next_step


async def test_without_a_price_there_is_no_budget_to_hold(engine: Engine) -> None:
    async with budgets.reserved(None, LABELS):
        pass
    await budgets.cap("tenant:*", 1)
    with pytest.raises(LimitHit, match="price of this model is not known"):
        async with budgets.reserved(None, LABELS):
            pytest.fail("it was let through")
    await budgets.cap("tenant:*", None)
    async with budgets.reserved(None, LABELS):
        pass


async def test_a_model_that_costs_nothing_needs_no_budget(engine: Engine) -> None:
    await budgets.cap("all", 0)
    async with budgets.reserved(0.0, LABELS):
        pass


@pytest.mark.parametrize("label", ["tenant", "feature", "user"])
def test_a_call_without_a_label_is_charged_to_all(label: str) -> None:
    named = budgets.scopes({**LABELS, label: ""})
    assert named[0] == "all" and not any(scope.startswith(label) for scope in named)


async def test_an_answer_that_was_paid_for_is_served_though_the_store_is_gone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = backend.default()

    async def gone(self: backend.Backend, call: str, spent: int) -> None:
        raise ProviderError("Gone.", "Wait.", "unreachable", transient=True)

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "settle", gone)
        async with budgets.reserved(0.25, LABELS) as bill:
            bill.dollars = 0.1
    assert "could not be settled" in caplog.text
    assert await budgets.spending("all") == budgets.Spending(None, 0, 0.25)  # until the lease ends; then it is spent


async def test_who_leaves_in_the_middle_is_charged_once(engine: Engine) -> None:
    started = asyncio.Event()

    async def call() -> None:
        async with budgets.reserved(0.25, LABELS) as bill:
            bill.dollars = 0.1
            started.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(call())
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await budgets.spending("all") == budgets.Spending(None, 0.1, 0)


# real calls


def providers_count() -> float:
    """Dollars, as the provider counts them."""
    tier = models.provider().tier("large")
    entries = [entry for entry in control.provider_log() if entry["path"] == "/v1/chat/completions"]
    return sum(
        tier.cost(entry["prompt_tokens"], entry["tokens_sent"], entry["cached_tokens"]) or 0.0 for entry in entries
    )


async def ask(**named: Any) -> None:
    async with aclosing(calls.stream(QUESTION, **{"max_tokens": 40, "tenant": "a", **named})) as pieces:
        async for _ in pieces:
            pass


async def test_a_refused_call_never_reaches_the_provider(engine: Engine, turn_dials: Dial) -> None:
    turn_dials()
    before = len(control.provider_log())
    await budgets.cap("tenant:a", 0.0001)
    for work in (ask(), calls.embed(["word " * 10_000], tenant="a"), calls.rerank("?", ["word " * 10_000], tenant="a")):
        with pytest.raises(LimitHit, match="tenant:a may spend"):
            await work
    assert len(control.provider_log()) == before
    await ask(tenant="b")


async def test_what_is_settled_is_what_the_provider_counted(engine: Engine, turn_dials: Dial) -> None:
    turn_dials()
    before = providers_count()
    await ask()
    await ask(whole=True)
    found = await budgets.spending("tenant:a")
    assert found.reserved == 0 and found.settled == pytest.approx(providers_count() - before, abs=2e-9)
    assert found.settled > 0


async def test_a_hundred_calls_at_once_do_not_pass_the_cap(engine: Engine, turn_dials: Dial) -> None:
    turn_dials(time_to_first_token=0.02)
    before = providers_count()
    await budgets.cap("tenant:a", 0.005)
    results = await asyncio.gather(*(ask() for _ in range(100)), return_exceptions=True)
    assert {type(result) for result in results} == {LimitHit, type(None)}
    await control.settled_log()
    assert 0 < providers_count() - before <= 0.005
    found = await budgets.spending("tenant:a")
    assert found.reserved == 0 and found.settled == pytest.approx(providers_count() - before, abs=1e-6)


# several processes


def noted(log: Path) -> dict[str, tuple[int, int]]:
    """What was held for each call, and what the provider charged (0: it was still running)."""
    found: dict[str, tuple[int, int]] = {}
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    for call, held, spent in (line.split() for line in lines):
        found[call] = (int(held), max(int(spent), found.get(call, (0, 0))[1]))
    return found


def start(log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, SPENDER, log])


async def test_two_processes_that_are_killed_spend_no_more_than_the_cap(engine: Engine, tmp_path: Path) -> None:
    cap, day = 2_000_000, time.strftime("%Y-%m-%d", time.gmtime())
    store, log = engine.open(), tmp_path / "log"
    await store.set_cap("tenant:*", cap)
    spenders = [start(log) for _ in range(2)]
    try:
        for count, spender in enumerate(spenders, 1):
            until = time.monotonic() + 60
            while len(noted(log)) < count * 500:
                assert spender.poll() is None and time.monotonic() < until
                await asyncio.sleep(0.002)
            spender.send_signal(signal.SIGKILL)
            spender.wait()
    finally:
        for spender in spenders:
            spender.kill()
    after_the_kill = noted(log)
    found = await store.spending("tenant:a")
    at_least = sum(spent or held for held, spent in after_the_kill.values())
    assert 0 < at_least <= found.settled + found.reserved <= cap
    assert found.reserved > 0  # of those who were killed
    assert any(not spent for _, spent in after_the_kill.values())

    assert start(log).wait(timeout=60) == 0  # a third one takes what is left
    assert sum(spent for _, spent in noted(log).values()) <= cap
    left = await store.spending("tenant:a")
    assert left.reserved == found.reserved and cap - 1001 < left.settled + left.reserved <= cap
    engine.clock.now = time.time() + budgets.LEASE_SECONDS + 1
    ended = await store.spending("tenant:a", day)
    assert (ended.settled, ended.reserved) == (left.settled + left.reserved, 0)
