"""The operator's figures from the books, the alerts that follow from them, and charts that say what they show."""

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns import checkpoints, eval_history, kept_traces, ledger, metrics, service_report, state
from patterns.course import charts, observability
from patterns.eval_history import EvalRun
from patterns.events import Turn
from patterns.ledger import Request
from patterns.service_report import Report

ROW = Request("req", 0.0, "trace", "chat", "acme-home", "C-0001", "live", "large", "success", 0.5, 1.0)


def record(count: int, **changed: Any) -> None:
    for number in range(count):
        name = f"req {len(ledger.default().requests())} {number}"
        ledger.default().record(replace(ROW, request_id=name, started=time.time(), **changed))


def act(tool: str, number: int, result: Any) -> None:
    key = f"{tool} {number}"
    checkpoints.default().begin(key, Turn("?"), tool, {})
    if result is not None:
        checkpoints.default().finish(key, result, 0.1, 0.0)


@pytest.fixture(autouse=True)
def no_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_counts", type(metrics._counts)())


async def report() -> Report:
    return await service_report.report()


async def test_the_speed_is_that_of_each_tier_and_of_caches_apart() -> None:
    for number in range(1, 101):
        record(1, first_token_seconds=number / 100)
    record(2, first_token_seconds=0.01, served="cached", tier="large")
    record(1, first_token_seconds=0.0, served="", tier="", outcome="overloaded")  # no word came: it has no speed
    found = (await report()).speeds
    assert set(found) == {"large", "cached"}
    assert found["large"].p50 == pytest.approx(0.505) and found["large"].p95 == pytest.approx(0.9505)
    assert (found["large"].of, found["cached"].of) == (100, 2)


@given(st.lists(st.floats(0.001, 1e4), min_size=1, max_size=60))
def test_percentiles_lie_between_the_fastest_and_the_slowest(times: list[float]) -> None:
    [speed] = service_report.speeds([replace(ROW, first_token_seconds=one) for one in times]).values()
    assert min(times) * (1 - 1e-9) <= speed.p50 <= speed.p95 <= max(times) * (1 + 1e-9)


async def test_escalations_and_invented_citations_are_shares_and_unknown_without_requests() -> None:
    empty = await report()
    assert empty.escalated is None and empty.invented is None and not empty.alerts
    record(7)
    record(2, served="handoff", outcome="human_handoff")
    record(1, served="live", outcome="human_handoff")
    metrics.count("rag.invented_citations", tenant="acme-home")
    found = await report()
    assert found.escalated == pytest.approx(0.3) and found.invented == pytest.approx(1 / 8)


async def test_the_tool_mix_counts_what_ran_and_what_went_wrong() -> None:
    for number in range(3):
        act("order_lookup", number, {"status": "delivered"})
    act("order_lookup", 3, {"error": "not_found"})
    act("escalate_to_human", 0, None)  # begun, and its end is not known
    assert (await report()).tools == {"order_lookup": (4, 1), "escalate_to_human": (1, 1)}


async def test_each_alert_is_given_at_its_border_and_not_for_a_handful() -> None:
    record(3, served="handoff", outcome="human_handoff", first_token_seconds=9.0)
    assert not (await report()).alerts
    record(20, served="handoff", outcome="human_handoff", first_token_seconds=9.0, tier="small")
    record(20, served="live", first_token_seconds=9.0)
    for _ in range(3):
        metrics.count("rag.invented_citations", tenant="acme-home")
    record(10, served="unavailable", outcome="failure")
    said = " ".join((await report()).alerts)
    for words in ("fell back", "of large come after 9.0 s", "went to a person", "15.0% citations"):
        assert words in said, said


def run(passed: int, of: int = 100, when: float = 1.0, unsafe: int = 0) -> EvalRun:
    return EvalRun(when, "evals", "rag", "own choice", "m", passed, of, unsafe)


@pytest.mark.parametrize(
    ("runs", "alarmed"),
    [([90], False), ([90, 88], False), ([90, 60], True), ([90, 60, 91], False), ([9, 8], False)],
)
async def test_only_a_drop_of_the_evals_that_is_no_noise_is_an_alert(runs: list[int], alarmed: bool) -> None:
    found = replace(await report(), evals=[run(passed, 100 if passed > 9 else 10) for passed in runs])
    assert bool(found.alerts) is alarmed


def outcome(passed: bool, unsafe: bool = False) -> Any:
    return type("Outcome", (), {"reason": "" if passed else "lacks 30 days", "unsafe": unsafe})()


def test_every_eval_run_is_kept_with_its_interval_and_a_torn_line_is_none() -> None:
    labels = {"through": "rag", "tier": "own choice", "model": "standin-large"}
    eval_history.add([outcome(True), outcome(True), outcome(False, unsafe=True)], suite="evals", **labels)
    eval_history.add([outcome(True)], suite="rag", **labels)
    with state.file("eval_runs.jsonl").open("a") as lines:
        lines.write('{"when": 1.0, "sui')
    [found] = eval_history.runs("evals")
    assert (found.passed, found.of, found.unsafe) == (2, 3, 1)
    assert found.share.low < found.share.value < found.share.high
    assert len(eval_history.runs("rag")) == 1 and not eval_history.runs("none")


async def test_the_report_reads_as_text() -> None:
    record(2)
    act("order_lookup", 0, {"error": "not_found"})
    said = service_report.text(await report())
    assert "first words, large: 0.50 s for half" in said and "order_lookup 1 (1 failed)" in said
    assert "rungs: live/large 100%" in said and "ALERT" not in said


# the charts


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The alt texts of what is shown; each picture must be a PNG."""
    texts: list[str] = []

    def display(data: dict[str, str], metadata: dict[str, Any], raw: bool) -> None:
        assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
        texts.append(metadata["image/png"]["alt"])

    monkeypatch.setattr(charts, "display", display)
    yield texts


async def test_every_chart_of_the_dashboard_says_its_numbers(
    drawn: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    record(30, first_token_seconds=9.0)
    record(10, served="handoff", outcome="human_handoff")
    act("order_lookup", 0, {"error": "not_found"})
    call = ledger.default().begin(
        trace_id="t", feature="chat", tenant="acme-home", user="u", provider="p", model="m", tier="large"
    )
    ledger.default().settle(call, outcome="done", cost_usd=0.25)
    observability.dashboard(replace(await report(), evals=[run(90), run(60, unsafe=1)]))
    said = [
        "large: half within 9.00 s",
        "acme-home 0.25",
        "live/large 75%",
        "from 90%",
        "unsafe answers 1",
        "handed to a person, of the requests: 25.0%, over",
        "order_lookup 1 times, 1 of them failed",
    ]
    for words in said:
        assert any(words in text for text in drawn), words
    assert "ALERT  The first words of large" in capsys.readouterr().out


async def test_an_empty_day_has_no_charts_and_no_alerts(drawn: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    observability.dashboard(await report())
    observability.waterfall([])
    assert not drawn and capsys.readouterr().out.strip() == "no alerts"


def span(name: str, parent: str, started: float, seconds: float, failed: bool = False, **of: Any) -> kept_traces.Kept:
    attributes = {key.replace("__", "."): value for key, value in of.items()}
    return kept_traces.Kept("t", name, parent, name, started, seconds, failed, attributes)


SPANS = [
    span("invoke_agent a", "", 0.0, 1.0, gen_ai__operation__name="invoke_agent"),
    span("idle", "invoke_agent a", 0.0, 1.0, patterns__layer="idle"),
    span("busy", "idle", 0.0, 1.0, patterns__layer="busy"),
    span("broken", "busy", 0.3, 0.001, failed=True, patterns__layer="broken"),
    span("chat m", "busy", 0.4, 0.5, gen_ai__operation__name="chat"),
    span("execute_tool t", "busy", 0.9, 0.001, gen_ai__operation__name="execute_tool"),
]


def test_layers_that_only_passed_events_on_are_folded_away() -> None:
    rows = kept_traces.folded(SPANS)
    assert [(row.span.name, row.depth) for row in rows] == [
        ("invoke_agent a", 0), ("busy", 1), ("broken", 2), ("chat m", 2), ("execute_tool t", 2),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), max_size=8))
def test_the_own_time_of_a_span_is_what_its_children_leave(drawn: list[tuple[float, float]]) -> None:
    outer = span("outer", "", 0.0, 1.0)
    children = [span(str(n), "outer", at, long) for n, (at, long) in enumerate(drawn)]
    own = kept_traces.own_seconds(outer, children)
    busy = sum(any(at <= tick / 1000 < at + long for at, long in drawn) for tick in range(1000)) / 1000
    assert own == pytest.approx(1 - busy, abs=0.02)


def test_the_waterfall_says_which_calls_and_tools_there_were(drawn: list[str]) -> None:
    observability.waterfall(SPANS)
    [text] = drawn
    assert "6 spans in 1000 ms, of which 1 only passed events on" in text
    assert "chat m at 400 ms for 500 ms" in text and "execute_tool t at 900 ms" in text
