"""The drill: the same customers each time, the service killed in the middle, and books that show what is wrong."""

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from patterns import acme_tools, backend, budgets, checkpoints, ledger, models
from patterns.course import drill_books, drill_charts, exercises, load_drill
from patterns.course.customers import CALLBACK, Asked, customers, events, shares
from patterns.course.load_drill import Drill, Phase
from patterns.events import Turn, User

ANA = User("C-0001", "acme-home")
SHORT = (
    Phase(0, "all is well"),
    Phase(6, "slow", {"time_to_first_token": 2.0}),
    Phase(10, load_drill.KILLED),
    Phase(18, "all are down", {"outage": ("*",)}),
)


# who comes


def test_the_same_seed_gives_the_same_customers() -> None:
    assert customers(50) == customers(50) != customers(50, seed=14)


def test_customers_come_in_order_from_every_tenant_and_many_ask_the_same() -> None:
    some = customers(300)
    assert [one.begins for one in some] == sorted(one.begins for one in some)
    assert {one.user.tenant for one in some} == {"acme-home", "acme-kitchen", "acme-nord"}
    asked = Counter((one.user.tenant, text) for one in some for _, text in one.asks)
    assert asked.most_common(1)[0][1] > 20 and len(asked) > 60
    assert any(text == CALLBACK for _, text in asked)
    assert all(thinks > 0 and text for one in some for thinks, text in one.asks)


async def test_the_stream_is_read_by_its_names() -> None:
    class Response:
        async def aiter_lines(self) -> AsyncGenerator[str, None]:
            for line in (
                "id: 1",
                "event: status",
                'data: {"phase": "received"}',
                "",
                ": beat",
                "event: answer",
                "data: {}",
            ):
                yield line

    found = [one async for one in events(Response())]  # type: ignore[arg-type]
    assert found == [("status", {"phase": "received"}), ("answer", {})]


def seen(**changed: Any) -> Asked:
    one = Asked(0, ANA, "Hi", 1.0, 200, "answer", "live", "small", 0.2, 0.4, "trace_1")
    return replace(one, **changed)


def test_a_request_is_on_its_rung_or_has_its_status() -> None:
    some = [seen(), seen(served="cached"), seen(end="refused", status=402), seen(end="broken", status=0)]
    assert shares(some) == {"live/small": 0.25, "cached": 0.25, "status 402": 0.25, "broken": 0.25}


# the whole drill


@pytest.fixture
async def drilled(with_library: Path) -> Drill:
    drill = await load_drill.run(customers=10, seconds=10, caps={"all": 5.0, "tenant:acme-kitchen": 0.0}, day=SHORT)
    await models.close()
    return drill


async def test_killed_in_the_middle_nothing_is_lost_and_nothing_is_charged_twice(drilled: Drill) -> None:
    assert drilled.killed < drilled.back
    phases = drilled.by_phase()
    assert {one.end for one in drilled.asked} >= {"answer", "broken"}, shares(drilled.asked)
    kitchen = [one.rung for one in drilled.asked if one.user.tenant == "acme-kitchen"]
    assert kitchen and not [rung for rung in kitchen if rung.startswith("live")]  # its cap is nothing
    assert any(one.rung in ("unavailable", "simplified", "cached") for one in phases["all are down"])
    found = await drill_books.check(drilled)
    await models.close()
    assert not found.wrong
    assert found.calls >= found.provider > 0 and found.left_open > 0 and found.cut_off > 0

    # The same books, with one thing wrong at a time.
    await budgets.cap("all", 5.0)
    row = next(row for row in ledger.default().calls(since=drilled.since) if row.provider_request_id)
    db = ledger.default()._db
    db.execute("UPDATE calls SET output_tokens = output_tokens + 1 WHERE call_id = ?", (row.call_id,))
    assert (await drill_books.check(drilled)).miscounted == 1
    db.execute("UPDATE calls SET output_tokens = output_tokens - 1 WHERE call_id = ?", (row.call_id,))
    copied = replace(row, call_id="call_again")
    db.execute(ledger._INSERT, [getattr(copied, name) for name in ledger._COLUMNS])
    assert (await drill_books.check(drilled)).twice == 1
    db.execute("DELETE FROM calls WHERE call_id IN ('call_again', ?)", (row.call_id,))
    assert (await drill_books.check(drilled)).unbooked == 1


# what the books would notice


def entry(**changed: Any) -> dict[str, Any]:
    one = {"request_id": "r", "model": "standin-small", "started": 10.0, "prompt_tokens": 5, "tokens_sent": 3}
    return {**one, "cached_tokens": 0, **changed}


def row(**changed: Any) -> ledger.Call:
    one = ledger.Call("c", 9.9, "t", "chat", "acme-home", "C-0001", "standin", "standin-small", "small", "done", False)
    return replace(one, input_tokens=5, output_tokens=3, provider_request_id="r", **changed)


def test_a_row_must_be_there_before_its_call_and_each_row_stands_for_one() -> None:
    assert drill_books.unbooked([entry()], [row()]) == 0
    assert drill_books.unbooked([entry()], []) == 1
    assert drill_books.unbooked([entry()], [row(started=10.1)]) == 1
    assert drill_books.unbooked([entry()], [row(model="standin-large")]) == 1
    assert drill_books.unbooked([entry(), entry(started=11.0)], [row()]) == 1
    assert drill_books.unbooked([entry(), entry(started=11.0)], [row(), row(), row(started=10.9)]) == 0


def test_tokens_are_those_of_the_provider_where_it_counted() -> None:
    assert drill_books.same(entry(), row())
    assert not drill_books.same(entry(tokens_sent=4), row())
    assert drill_books.same(entry(tokens_sent=4), row(estimated=True))


def test_a_question_without_an_end_is_noticed() -> None:
    assert drill_books.without_end([seen(end="broken"), seen()]) == 0
    assert drill_books.without_end([seen(), seen(end="broken")]) == 1


def test_who_agreed_and_was_told_so_counts() -> None:
    asks = seen(end="confirmation_required", token="t", trace_id="trace_7")
    for end, status, counts in (("answer", 200, 1), ("refused", 409, 1), ("refused", 503, 0), ("broken", 0, 0)):
        said = seen(text="", end=end, status=status, trace_id="trace_7")
        assert len(drill_books.agreed_to([asks, said])) == counts


async def test_a_cap_that_was_passed_and_work_done_twice_are_noticed(own_state: Path, turn_dials: Any) -> None:
    for _ in range(2):
        acme_tools.desk().leave("follow_up", Turn("Call me", ANA, trace_id="trace_7"), "note", "2026-11-20")
    over = budgets.Spending(1.0, 0.9, 0.2)
    asks = seen(end="confirmation_required", token="t", trace_id="trace_8")
    agreed = seen(text="", trace_id="trace_8")
    drill = Drill((), SHORT, 1.0, 0.0, asked=[asks, agreed], spent=[(1.0, "all", over)])
    drill.log["r"] = entry()
    found = await drill_books.check(drill)
    assert found.over_cap == ["all"] and found.done_twice == 1 and found.not_done == found.agreed == 1
    assert len(found.wrong) == 4  # and a call that is in no ledger


async def test_money_that_the_provider_counts_and_nobody_charged_is_noticed(own_state: Path, turn_dials: Any) -> None:
    drill = Drill((), SHORT, 1.0, 0.0)
    drill.log["r"] = entry()
    written = row(cost_usd=0.1)
    ledger.default()._execute(ledger._INSERT, [getattr(written, name) for name in ledger._COLUMNS])
    assert [said for said in (await drill_books.check(drill)).wrong if said.startswith("Charged $0.0000")]


async def test_a_run_that_has_acted_and_is_not_written_down_is_lost(own_state: Path) -> None:
    assert await drill_books.resumed("trace_9", ANA) == "had not begun"
    checkpoints.default().begin("trace_9/1", Turn("Call me", ANA, trace_id="trace_9"), "escalate_to_human", {})
    assert await drill_books.resumed("trace_9", ANA) == "lost"


# the rest


async def test_a_state_of_its_own_has_the_index_and_nothing_else(
    with_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_STATE", str(with_library))  # so that it is put back
    await backend.default().switch_off("all", "x")
    folder = load_drill.own_state()
    assert (folder / "index").is_dir() and folder != with_library
    assert await backend.default().switched_off(("all",)) is None


def test_the_charts_say_what_they_show(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(drill_charts, "show", lambda figure, title, alt: said.append(alt))
    asked = [seen(hour=2.0), seen(hour=11.0, first=None, end="broken"), seen(hour=20.0, first=1.2)]
    drill = Drill((), SHORT, 10.0, 0.0, killed=10.0, back=12.0, asked=asked)
    drill.spent = [(1.0, "all", budgets.Spending(2.0, 0.4, 0.1)), (20.0, "all", budgets.Spending(2.0, 1.5, 0.0))]
    drill_charts.first_words(drill)
    drill_charts.spending(drill)
    assert "killed: 0 of 1 had words" in said[0] and "all are down: 1 of 1 had words, half within 1.20 s" in said[0]
    assert said[1].endswith("all: at most 75% of $2.00.")


WRONG: list[tuple[str, Any, str]] = [
    ("reconcile", lambda p, b: {"missing": [], "twice": [], "unknown": []}, "a call that nobody wrote down"),
    ("reconcile", lambda p, b: {"missing": sorted(set(p) - set(b)), "twice": [], "unknown": []}, "charged twice"),
    ("reconcile", lambda p, b: [], "return a dict"),
    ("tail", lambda waits, most: [name for name, some in waits.items() if sum(some) / len(some) > most], "one in ten"),
    ("tail", lambda waits, most: [name for name, some in waits.items() if max(some) > most], "one in twenty"),
    ("tail", lambda waits, most: [name for name, some in waits.items() if sorted(some)[-2] > most], "19 requests"),
]


@pytest.mark.parametrize(("name", "solution", "said"), WRONG)
async def test_a_wrong_solution_hears_what_was_seen(
    capsys: pytest.CaptureFixture[str], name: str, solution: Any, said: str
) -> None:
    await exercises.check(name, solution)
    line = capsys.readouterr().out
    assert line.startswith("○ Not yet") and said in line
