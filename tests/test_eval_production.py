"""What finished requests tell about themselves, which of them people read, and how one becomes a case."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns import acme, complete_assistant, eval_production, evals
from patterns.errors import CallerError, LimitHit
from patterns.eval_cases import add
from patterns.eval_production import Trace, pick, promote, scored, traced, usual
from patterns.events import Answer, Event, Failed, Message, Reset, TextDelta, Turn, User, answer


def trace(name: str = "trace_1", /, **changes: object) -> Trace:
    base = {"trace_id": name, "user": User(), "question": "?", "text": "x", "outcome": "success", "seconds": 1.0}
    return Trace(**{**base, **changes})  # pyright: ignore[reportArgumentType]


ORDINARY = [trace(f"trace_{at}", cost_usd=0.01) for at in range(9)]


@pytest.mark.parametrize(
    ("changes", "signals", "score"),
    [
        ({}, (), 0),
        ({"thumbs": 1}, (), 0),
        ({"thumbs": -1}, ("thumbs down",), 5),
        ({"failed": True, "outcome": "overloaded"}, ("failed",), 4),
        (
            {"took_back": ("it named sources that do not exist",), "confident": False},
            ("took words back", "not confident"),
            5,
        ),
        ({"outcome": "limit_hit"}, ("not finished",), 1),
        ({"outcome": "human_handoff"}, (), 0),
        ({"seconds": 3.1}, ("slow",), 1),
        ({"seconds": 2.9}, (), 0),
        ({"cost_usd": 0.04}, ("dear",), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_signals(changes: dict[str, object], signals: tuple[str, ...], score: int) -> None:
    picked = scored(trace(**{"cost_usd": 0.01, **changes}), usual(ORDINARY))
    assert (picked.signals, picked.score) == (signals, score)


def test_the_worst_come_first_and_some_at_random() -> None:
    bad = [trace("failed", failed=True, cost_usd=0.01), trace("angry", thumbs=-1, cost_usd=0.01)]
    picked = pick([*ORDINARY, *bad], worst=2, random_share=3)
    assert [one.trace.trace_id for one in picked[:2]] == ["angry", "failed"]
    assert len(picked) == 5 and not any(one.signals for one in picked[2:])
    assert picked == pick([*ORDINARY, *bad], worst=2, random_share=3)
    assert [one.trace for one in pick(ORDINARY, worst=4, random_share=0)] == []  # nothing is wrong with any


@given(
    st.lists(st.sampled_from([{}, {"thumbs": -1}, {"failed": True}]), max_size=20),
    st.integers(0, 5),
    st.integers(0, 5),
    st.integers(0, 99),
)
def test_nothing_is_picked_twice(changes: list[dict[str, object]], worst: int, others: int, seed: int) -> None:
    traces = [trace(f"trace_{at}", **change) for at, change in enumerate(changes)]
    picked = pick(traces, worst=worst, random_share=others, seed=seed)
    assert len({one.trace.trace_id for one in picked}) == len(picked)
    quiet = sum(not one.score for one in picked)
    assert len(picked) - quiet == min(worst, len(traces) - changes.count({}))
    assert quiet == min(others, changes.count({}))


async def test_a_request_leaves_a_trace(turn_dials: Callable[..., None]) -> None:
    traces: list[Trace] = []
    handler = traced(traces.append)(complete_assistant.build(through="streaming_ux"))
    turn = Turn("How many days do I have to return a smart plug?", acme.user("C-0001"), (Message("user", "Hello"),))
    end = await answer(handler, turn)
    (kept,) = traces
    assert (kept.trace_id, kept.text, kept.outcome, kept.failed) == (turn.trace_id, end.text, "success", False)
    assert kept.history == turn.history and kept.cost_usd > 0 and kept.seconds > 0


async def troubled(turn: Turn) -> AsyncGenerator[Event, None]:
    if turn.text == "raise":
        raise LimitHit("Enough.", "Stop.", "steps")
    yield TextDelta("hm")
    if turn.text == "fail":
        yield Failed("overloaded", "It is down.", "Try later.", True)
        return
    yield Reset("the stream broke")
    yield Answer(text="no", confident=False, outcome="partial")


async def test_trouble_leaves_a_trace_too() -> None:
    traces: list[Trace] = []
    handler = traced(traces.append)(troubled)
    with pytest.raises(LimitHit):
        await answer(handler, Turn("raise"))
    for text in ("fail", "hello"):
        async with aclosing(handler(Turn(text))) as events:
            assert [event async for event in events]
    async with aclosing(handler(Turn("left"))) as events:  # its reader leaves after the first words
        await anext(events)
    assert [(one.outcome, one.failed) for one in traces] == [
        ("steps", True),
        ("overloaded", True),
        ("partial", False),
        ("aborted", False),
    ]
    assert traces[2].took_back == ("the stream broke",) and not traces[2].confident


def test_a_trace_becomes_a_case(tmp_path: Path) -> None:
    bad = trace(
        "trace_9",
        user=acme.user("C-0025"),
        question="And: by express?",
        history=(Message("user", "Shipping?"),),
        thumbs=-1,
    )
    case = promote(bad, "and-express", must=[["19.50", "19.5"]])
    path = tmp_path / "promoted.yaml"
    add(case, path, scored(bad, usual([bad])).note)
    assert evals.load(path) == (case,)
    assert (
        case.must == (("19.50", "19.5"),)
        and case.customer == "C-0025"
        and case.history == bad.history
        and case.slice == "regression"
    )
    assert path.read_text().startswith("# from production, trace_9: thumbs down\n")
    with pytest.raises(CallerError, match="and-express checks nothing"):
        promote(bad, "and-express")
    assert eval_production.Picked(replace(bad, thumbs=0), (), 0).note.endswith("drawn at random")
