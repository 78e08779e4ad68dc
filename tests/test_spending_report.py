"""Daily figures from the ledger, and alerts that come once, in time, and whatever the time zone."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns import alerts, budgets, calls, ledger, levers
from patterns.confidence import Bin
from patterns.course import cost_control_charts
from patterns.course.dashboard import Dashboard, WhatIf
from patterns.events import Turn, answer
from patterns.ledger import Call, Ledger, Request
from patterns.levers import Levers, Traffic, cascade_ratio
from patterns.models import Tier
from patterns.spending_report import DAY, Day, burndown, compared, date_of, days, invented, text

Dial = Callable[..., None]
NOON = 20_000 * DAY + DAY / 2  # 2024-10-04
MOMENTS = st.floats(NOON - 10 * DAY, NOON + DAY / 2, exclude_max=True)


def call(started: float = NOON, cost: float | None = 0.01, **changes: object) -> Call:
    values = {
        "call_id": f"call_{started}_{cost}", "started": started, "trace_id": "t", "feature": "chat",
        "tenant": "acme-home", "user": "C-1", "provider": "custom", "model": "m", "tier": "large",
        "outcome": "done", "estimated": False,
        "input_tokens": 100, "output_tokens": 10, "cost_usd": cost,
    }  # fmt: skip
    return Call(**values | changes)  # pyright: ignore[reportArgumentType]


def request(served: str = "live", tier: str = "large", outcome: str = "success", started: float = NOON) -> Request:
    return Request("r", started, "t", "chat", "acme-home", "C-1", served, tier, outcome, 0.1, 0.2)


class Book(Ledger):
    """A ledger of rows that began when the test says."""

    def __init__(self, path: Path, *moments: float) -> None:
        super().__init__(path)
        for number, moment in enumerate(moments):
            self.begin(
                trace_id=str(number),
                feature="chat",
                tenant="t",
                user="u",
                provider="p",
                model="m",
                tier="large",
                cost_usd=1.0,
            )
            self._execute("UPDATE calls SET started = ? WHERE trace_id = ?", [moment, str(number)])
            self.record(Request(f"r{number}", moment, str(number), "chat", "t", "u", "live", "large", "success", 0, 0))


# days


@given(st.lists(MOMENTS, max_size=12))
def test_every_call_of_eight_days_is_in_exactly_one_day(moments: list[float]) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        book = Book(Path(folder) / "ledger.sqlite3", *moments)
        found = days(book, now=NOON)
        book.close()
    first_midnight = NOON // DAY * DAY - 7 * DAY
    assert [day.date for day in found] == [date_of(first_midnight + number * DAY) for number in range(8)]
    wanted = Counter(date_of(moment) for moment in moments if moment >= first_midnight)
    assert Counter({day.date: len(day.calls) for day in found if day.calls}) == wanted
    assert Counter({day.date: len(day.requests) for day in found if day.requests}) == wanted


def test_midnight_is_that_of_utc_on_every_server(tmp_path: Path) -> None:
    midnight = NOON // DAY * DAY
    Book(tmp_path / "ledger.sqlite3", midnight - 1, midnight).close()
    script = (
        "from patterns.spending_report import days; from patterns.ledger import Ledger; from pathlib import Path; "
        f"found = days(Ledger(Path({str(tmp_path / 'ledger.sqlite3')!r})), 2, {NOON}); "
        "print([(day.date, len(day.calls)) for day in found])"
    )
    said = {
        zone: subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "TZ": zone}, capture_output=True, text=True, check=True
        ).stdout
        for zone in ("UTC", "Pacific/Kiritimati", "America/Los_Angeles")
    }
    assert set(said.values()) == {"[('2024-10-03', 1), ('2024-10-04', 1)]\n"}


def test_the_last_moment_of_a_day_is_not_rounded_into_the_next() -> None:
    assert date_of(1728086399.9999995) == "2024-10-04" and date_of(1728086400) == "2024-10-05"


# figures


def test_shares_count_what_they_say() -> None:
    served = [
        ("cached", ""),
        ("stale", ""),
        ("live", "small"),
        ("live", "large"),
        ("live", "small"),
        ("simplified", ""),
    ]
    requests = (*(request(*one) for one in served), request("", "", "rate_limit"))
    day = Day("d", (call(), call(cost=None)), requests)
    assert day.hit_rate == pytest.approx(2 / 7) and day.fallback_rate == pytest.approx(2 / 7)
    assert day.small_share == pytest.approx(2 / 3)
    assert day.per_request == pytest.approx(0.01 / 7) and (day.tokens_in, day.tokens_out) == (200, 20)
    assert day.turned_away == {"rate_limit": 1}


def test_an_empty_day_has_no_shares_and_breaks_nothing() -> None:
    empty = Day("d")
    assert empty.dollars == 0 and empty.per_request is empty.hit_rate is empty.small_share is None
    assert "–" in text([empty]) and "0%" not in text([empty])


def test_the_dearest_come_first_and_nobody_is_left_out() -> None:
    day = Day("d", (call(cost=0.1), call(cost=0.5, tenant="acme-nord"), call(cost=0.2, tenant=""), call(cost=0.3)))
    assert list(day.by("tenant")) == ["acme-nord", "acme-home", "(nobody)"]
    assert sum(day.by("tenant").values()) == pytest.approx(day.dollars)


def test_today_is_compared_with_the_seven_days_before_it() -> None:
    every = [Day(str(number), tuple(call(cost=1.0) for _ in range(number))) for number in range(9)]
    found = compared(every, lambda day: day.dollars)
    assert (found.today, found.yesterday, found.mean) == (8, 7, 4)  # the mean of 1 to 7
    quiet = compared([Day("a"), Day("b", (), (request(),)), Day("c")], lambda day: day.per_request)
    assert (quiet.today, quiet.yesterday, quiet.mean) == (None, 0, 0)
    assert compared([Day("a")], lambda day: day.dollars).yesterday is None


def test_a_cap_burns_down_to_what_is_left() -> None:
    hours = [call(NOON // DAY * DAY + hour * 3600, 0.25) for hour in (1, 9, 18)]
    assert burndown(Day("d", tuple(hours)), 1.0) == [(0.0, 1.0), (1.0, 0.75), (9.0, 0.5), (18.0, 0.25)]
    assert burndown(Day("d", tuple(hours)), 1.0, lambda one: one.tenant == "acme-nord") == [(0.0, 1.0)]


def test_invented_prices_are_said_to_be_invented() -> None:
    made_up = Day("d", (call(provider="standin"),))
    assert invented([made_up]) and "invented" in text([made_up])
    assert not invented([Day("d", (call(provider="openai"),))]) and "invented" not in text([Day("d")])


# alerts


async def test_an_alert_comes_at_80_percent_and_not_before(turn_dials: Dial) -> None:
    await calls.embed(["a text that costs a little"], tenant="acme-home", user="C-1", feature="chat")
    spent = ledger.total(ledger.default().calls())
    await budgets.cap("tenant:acme-home", spent / 0.79)
    assert await alerts.alerts() == []
    await budgets.cap("tenant:acme-home", spent / 0.81)
    (one,) = await alerts.alerts()
    assert (one.scope, round(one.share, 2)) == ("tenant:acme-home", 0.81) and "81%" in str(one)


async def test_a_cap_for_each_tenant_is_seen_for_each(turn_dials: Dial) -> None:
    for tenant in ("acme-home", "acme-nord"):
        await calls.embed([f"a text of {tenant}"], tenant=tenant)
    await budgets.cap("tenant:*", 1e-7)
    assert {one.scope for one in await alerts.alerts()} == {"tenant:acme-home", "tenant:acme-nord"}


async def test_the_same_alert_is_new_once_also_when_many_look(turn_dials: Dial) -> None:
    await calls.embed(["a text that costs a little"], tenant="acme-home")
    await budgets.cap("all", 1e-9)
    looked = await asyncio.gather(*(alerts.new_alerts() for _ in range(20)))
    assert sum(map(len, looked)) == 1
    await budgets.cap("tenant:acme-home", 1e-9)
    assert [one.scope for one in await alerts.new_alerts()] == ["tenant:acme-home"]
    assert len(await alerts.alerts()) == 2


async def test_a_cap_of_nothing_is_full(turn_dials: Dial) -> None:
    await calls.embed(["a text"], tenant="acme-home")
    await budgets.cap("tenant:acme-home", 0.0)
    assert (await alerts.alerts())[0].share >= 1.0


def test_the_report_runs_as_a_command_and_starts_no_model(own_state: Path) -> None:
    started = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "patterns.spending_report"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "7-day mean" in ran.stdout and ran.stderr == ""
    assert time.monotonic() - started < 60


async def test_nothing_that_an_agent_spends_is_left_out(with_library: Path, turn_dials: Dial) -> None:
    """The answer's own call is a part of what the run cost: plans, reviews, searches and tools are in the report."""
    from patterns import acme, acme_tools, agent_loop, complete_assistant, rag, stack

    loop = agent_loop.agent(rag.TOOLS, handoff=acme_tools.escalate_to_human, plan=True, reflect=True)
    turn = Turn("When does H-100108 come?", acme.user("C-0002"))
    end = await answer(stack(complete_assistant.core, loop), turn)
    today = days(count=1)[0]
    assert end.cost_usd and today.dollars >= end.cost_usd > 0
    assert today.dollars == pytest.approx(ledger.total(ledger.default().calls()))


# levers

SMALL = Tier("small", "s", 0.25, 0.025, 1.0, {})
LARGE = Tier("large", "l", 2.0, 0.2, 8.0, {})
SHARE = st.floats(0, 0.95)


@pytest.mark.parametrize(
    ("stays", "price_ratio", "wasted", "ratio"),
    [(0.9, 30, True, 7.5), (0.9, 30, False, 7.69), (0.9, 3.5, True, 2.593), (1, 30, True, 30), (0, 30, True, 0.968)],
)
def test_the_ratio_of_a_cascade(stays: float, price_ratio: float, wasted: bool, ratio: float) -> None:
    assert cascade_ratio(stays, price_ratio, wasted) == pytest.approx(ratio, rel=1e-3)


@given(SHARE, SHARE, SHARE)
def test_a_cache_and_a_cascade_save_less_than_their_product(cache: float, cascade: float, easy: float) -> None:
    given_ = (Traffic(easy=easy), Levers(cache=cache, cascade=cascade), SMALL, LARGE)
    assert levers.together(*given_) >= levers.multiplied(*given_) - 1e-9


@given(SHARE, SHARE)
def test_savings_on_two_parts_of_a_prompt_add_up(trim: float, prompt_cache: float) -> None:
    given_ = (Traffic(), Levers(trim=trim, prompt_cache=prompt_cache), SMALL, LARGE)
    single = levers.alone(*given_)
    assert levers.together(*given_) == pytest.approx(single["trim"] + single["prompt_cache"] - 1)


@given(st.builds(Levers, SHARE, SHARE, SHARE, SHARE))
def test_what_is_left_is_something_and_only_a_cascade_can_cost_more(pulled: Levers) -> None:
    left = levers.together(Traffic(), pulled, SMALL, LARGE)
    assert left > 0 and (left <= 1 or pulled.cascade < 0.2)


def test_a_price_that_is_not_known_is_no_zero() -> None:
    with pytest.raises(ValueError, match="not known"):
        levers.cost(Traffic(), Levers(), SMALL, Tier("large", "l", None, None, None, {}))


# the dashboard


def test_the_dashboard_shows_the_report_and_escapes_the_names_in_it() -> None:
    week = [Day("2026-11-01"), Day("2026-11-02", (call(tenant="<b>shop</b>"),), (request(),))]
    board = Dashboard(week, [alerts.Cap("tenant:<i>", 1.0, 0.9)])
    assert repr(board) == text(week, [alerts.Cap("tenant:<i>", 1.0, 0.9)])
    table = board.children[0].value  # pyright: ignore[reportAttributeAccessIssue]
    assert "&lt;b&gt;shop" in table and "<b>shop" not in table
    gauge, label = board.children[1].children  # pyright: ignore[reportAttributeAccessIssue]
    assert gauge.value == 0.9 and label.value.startswith("! ")


def test_the_sliders_move_the_arithmetic() -> None:
    panel = WhatIf(SMALL, LARGE)
    dear = panel.outcome()
    assert "nothing yet" in dear and panel.levers == Levers()
    panel.set(cache=0.3, cascade=0.8)
    assert panel.levers == Levers(cache=0.3, cascade=0.8) and panel.outcome() != dear
    assert panel.outcome() in repr(panel) and "multiplied" in panel.outcome()


def test_the_charts_say_in_words_what_they_show(capsys: pytest.CaptureFixture[str]) -> None:
    cost_control_charts.burndown([(0.0, 1.0), (12.0, 0.5), (20.0, 0.1)], 1.0, "A cap")
    cost_control_charts.reliability({"the curve": [Bin(0.6, 0.5, 9), Bin(0.9, 1.0, 9)]}, "Kept its word")
    said = capsys.readouterr().out
    assert "from $1.00 to $0.10 at the end; the alert comes at hour 20.0" in said
    assert "said 0.90 was 1.00" in said
