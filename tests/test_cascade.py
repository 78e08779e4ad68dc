"""The cheap answer is shown only when it is kept, else the dear one follows; no tool runs twice, no cost is lost."""

import json
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Refused, scripted

from patterns import (
    acme,
    acme_tools,
    agent_loop,
    backend,
    bounds,
    cascade,
    checkpoints,
    complete_assistant,
    ledger,
    metrics,
    rag,
    structured_output,
    tools,
)
from patterns.bounds import Caps
from patterns.confidence import Curve, Point, fit, reliability
from patterns.core import model_call
from patterns.errors import CallerError, LimitHit, ProviderError
from patterns.events import Answer, Document, Event, Handler, Status, TextDelta, ToolCall, Turn, User, answer, stack

Dial = Callable[..., None]
SURE = Curve(100.0, 0.0)  # every score is a sure thing
UNSURE = Curve(-100.0, 0.0)


async def half(turn: Turn, end: Answer) -> float | None:
    return 0.5


class Tiers:
    """A handler that says which tier answered, and remembers the turns that it was given."""

    def __init__(self, **small: Any) -> None:
        self.turns: list[Turn] = []
        self._small = small

    async def __call__(self, turn: Turn) -> AsyncGenerator[Event, None]:
        self.turns.append(turn)
        tier = turn.tier or "large"
        yield Status("drafting")
        yield TextDelta(tier)
        more = self._small if tier == "small" else {}
        yield Answer(**{"text": tier, "tier": tier, "cost_usd": 0.01 if tier == "small" else 0.3, **more})

    @property
    def asked(self) -> list[str]:
        return [turn.tier or "large" for turn in self.turns]


async def events_of(handler: Handler, turn: Turn) -> list[Event]:
    async with aclosing(handler(turn)) as events:
        return [event async for event in events]


def shown(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


# which answer is shown


async def test_a_sure_small_answer_is_shown_and_the_large_model_is_not_asked() -> None:
    inner = Tiers()
    events = await events_of(cascade.cascade(half, SURE, audited=0)(inner), Turn("?"))
    assert inner.asked == ["small"] and shown(events) == "small"
    assert isinstance(events[-1], Answer) and (events[-1].tier, events[-1].cost_usd) == ("small", 0.01)


async def test_of_an_unsure_small_answer_nothing_is_shown_and_both_are_paid() -> None:
    inner = Tiers()
    events = await events_of(cascade.cascade(half, UNSURE)(inner), Turn("?"))
    assert inner.asked == ["small", "large"] and shown(events) == "large"
    assert isinstance(events[-1], Answer) and events[-1].cost_usd == pytest.approx(0.31)
    assert any(isinstance(event, Status) for event in events[:3])  # the reader sees that something goes on


@pytest.mark.parametrize(
    "small",
    [{"confident": False}, {"truncated": True}, {"served": "simplified"}],
    ids=["says it does not know", "cut off", "fell back"],
)
async def test_an_answer_that_is_none_is_never_kept_whatever_the_curve_says(small: dict[str, Any]) -> None:
    inner = Tiers(**small)
    assert (await answer(cascade.cascade(half, SURE, audited=0)(inner), Turn("?"))).tier == "large"


async def test_a_score_of_none_is_never_kept() -> None:
    async def never(turn: Turn, end: Answer) -> float | None:
        return None

    assert (await answer(cascade.cascade(never, SURE, audited=0)(Tiers()), Turn("?"))).tier == "large"


@pytest.mark.parametrize(
    "changed",
    [
        {"exchange": ({"role": "assistant", "content": "x"},)},
        {"output": structured_output.ChatAnswer},
        {"tier": "large"},
    ],
    ids=["after a tool", "a value of its own", "a tier of its own"],
)
async def test_some_turns_go_to_their_model_at_once(changed: dict[str, Any]) -> None:
    inner = Tiers()
    turn = replace(Turn("?"), **changed)
    await answer(cascade.cascade(half, SURE)(inner), turn)
    assert inner.turns == [turn]


@pytest.mark.parametrize(
    ("error", "goes_on"),
    [
        (ProviderError("Down.", "Wait.", "overloaded", transient=True), True),
        (ProviderError("No.", "Ask otherwise.", "refused", transient=False), True),
        (CallerError("Too long.", "Shorten it.", "context_too_long"), True),
        (CallerError("Wrong key.", "Set it.", "wrong_key"), False),
        (LimitHit("Too dear.", "Wait.", "budget"), False),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
async def test_a_small_model_that_fails_is_passed_over_and_a_limit_is_not(error: Exception, goes_on: bool) -> None:
    async def inner(turn: Turn) -> AsyncGenerator[Event, None]:
        if turn.tier == "small":
            yield TextDelta("half an ans")
            raise error
        yield Answer(text="large", tier="large")

    handler = cascade.cascade(half, SURE)(inner)
    if goes_on:
        events = await events_of(handler, Turn("?"))
        assert shown(events) == "" and isinstance(events[-1], Answer)
    else:
        with pytest.raises(type(error)):
            await answer(handler, Turn("?"))


async def test_a_reader_who_stops_closes_the_model_that_answers() -> None:
    closed: list[str] = []

    async def inner(turn: Turn) -> AsyncGenerator[Event, None]:
        try:
            while True:
                yield Status("drafting")
        finally:
            closed.append(turn.tier or "large")

    async with aclosing(cascade.cascade(half, SURE)(inner)(Turn("?"))) as events:
        await anext(events)
    assert closed == ["small"]


# tools, steps, money


def ran_tools() -> tuple[list[str], tools.Tool]:
    ran: list[str] = []

    @tools.tool
    def look_up(order: str) -> dict[str, str]:
        """Look up an order."""
        ran.append(order)
        return {"state": "packed"}

    return ran, look_up


async def test_the_small_model_gets_no_tools_and_no_tool_runs_twice() -> None:
    ran, look_up = ran_tools()
    chat = {"text": "It is packed.", "cited_chunk_ids": [], "confident": True}
    layers = (agent_loop.agent([look_up]), cascade.cascade(half, UNSURE), structured_output.structured())
    handler = stack(model_call(lambda turn: [{"role": "user", "content": turn.text}]), *layers, bounds.bounded())
    turn = Turn("Where is it?")
    async with scripted(json.dumps(chat), [("look_up", {"order": "H-1"})], json.dumps(chat)) as provider:
        end = await answer(handler, turn)
    assert [body["model"] for body in provider.bodies] == ["scripted-small", "scripted-large", "scripted-large"]
    assert [bool(body.get("tools")) for body in provider.bodies] == [False, True, True]
    assert ran == ["H-1"] and end.outcome == "success"
    assert checkpoints.default().steps(turn.trace_id) == 3  # the wasted call is a step like every other


@pytest.mark.parametrize(("steps", "models"), [(2, ["large", "large"]), (3, ["small", "large", "large"])])
async def test_the_small_model_takes_no_step_that_the_large_one_needs(steps: int, models: list[str]) -> None:
    """After a tool the large model must still be able to answer, whatever the cap."""
    _, look_up = ran_tools()
    caps = Caps(steps=steps)
    chat = {"text": "It is packed.", "cited_chunk_ids": [], "confident": True}

    def reply(body: dict[str, Any]) -> Any:
        asks = body["model"] == "scripted-large" and body.get("tools") and body["messages"][-1]["role"] != "tool"
        return [("look_up", {"order": "H-1"})] if asks else json.dumps(chat)

    layers = (
        agent_loop.agent([look_up], caps),
        cascade.cascade(half, UNSURE, caps=caps),
        structured_output.structured(),
    )
    handler = stack(model_call(lambda turn: [{"role": "user", "content": turn.text}]), *layers, bounds.bounded(caps))
    async with scripted(reply) as provider:
        end = await answer(handler, Turn("Where is it?"))
    assert [body["model"].removeprefix("scripted-") for body in provider.bodies] == models
    assert end.text == "It is packed."


async def test_what_a_run_cost_includes_the_wasted_call(with_library: Path, turn_dials: Dial) -> None:
    turn = Turn("When does H-100108 come?", acme.user("C-0002"))
    end = await answer(build(), turn)
    booked = ledger.default().calls(trace_id=turn.trace_id)
    assert {"small", "large"} <= {call.tier for call in booked}
    assert end.cost_usd == pytest.approx(ledger.total(booked)) and "November" in end.text


# in the assistant


def build(**settings: Any) -> Handler:
    return stack(
        complete_assistant.core,
        rag.retrieve(rag.acme_index, fresh_since=rag.fresh_since),
        agent_loop.agent(rag.TOOLS, handoff=acme_tools.escalate_to_human),
        cascade.cascade(**settings),
        rag.grounded,
        structured_output.structured(),
        bounds.bounded(),
    )


async def test_an_easy_question_stays_small_and_costs_less_than_a_fifth(with_library: Path, turn_dials: Dial) -> None:
    turn = Turn("How many gift cards can I combine in one order?", acme.user("C-0005"))
    cheap = await answer(build(), turn)
    dear = await answer(build(), replace(turn, tier="large", trace_id="trace_large"))
    assert cheap.tier == "small" and dear.tier == "large"
    assert "three gift cards" in cheap.text and "three gift cards" in dear.text and cheap.cited_chunk_ids
    assert cheap.cost_usd and dear.cost_usd and cheap.cost_usd < dear.cost_usd / 5


@pytest.mark.parametrize(
    ("customer", "question"),
    [
        ("C-0005", "What is the tracking number of H-100098?"),
        ("C-0012", "How many batteries are in the Hearth thermostat?"),
        ("C-0001", "I want to talk to a person."),
    ],
)
async def test_what_needs_a_tool_or_has_no_answer_is_passed_on(
    customer: str, question: str, with_library: Path, turn_dials: Dial
) -> None:
    assert (await answer(build(), Turn(question, acme.user(customer)))).tier != "small"


# the score


async def test_an_answer_about_another_name_is_none(turn_dials: Dial) -> None:
    documents = (Document("d1", "All codes", "E-104 means that the password is wrong."),)
    turn = Turn("What does E-104 mean?", documents=documents)
    met = Answer(text="The password is wrong.", cited_chunk_ids=("d1",))
    assert await cascade.nearness(turn, met) is not None
    assert await cascade.nearness(turn, met.model_copy(update={"cited_chunk_ids": ()})) is None
    assert await cascade.nearness(replace(turn, text="And E-117?"), met) is None


async def test_an_embedding_that_fails_passes_the_question_on() -> None:
    chat = {"text": "30 days.", "cited_chunk_ids": [], "confident": True}
    handler = stack(
        model_call(lambda turn: [{"role": "user", "content": turn.text}]),
        cascade.cascade(curve=SURE, audited=0),
        structured_output.structured(),
    )
    async with scripted(json.dumps(chat), Refused(503), json.dumps(chat)) as provider:
        assert (await answer(handler, Turn("How long?"))).tier == "large"
    assert [path.rsplit("/", 1)[-1] for path in provider.paths] == ["completions", "embeddings", "completions"]


# the audit


async def test_audited_answers_come_from_the_large_model_and_both_are_kept() -> None:
    user = User("C-7", "acme-nord")
    turn = Turn("How long?", user)
    assert (await answer(cascade.cascade(half, SURE, audited=1)(Tiers()), turn)).tier == "large"
    (pair,) = await cascade.pairs()
    assert (pair.question, pair.small, pair.large, pair.score) == ("How long?", "small", "large", 0.5)
    assert pair.trace_id == turn.trace_id
    await backend.default().forget("user:acme-nord/C-7")
    assert await cascade.pairs() == []


async def test_what_would_not_be_kept_is_not_audited() -> None:
    await answer(cascade.cascade(half, UNSURE, audited=1)(Tiers()), Turn("?"))
    assert await cascade.pairs() == []


async def test_where_the_large_model_wants_a_tool_the_pair_says_so() -> None:
    async def inner(turn: Turn) -> AsyncGenerator[Event, None]:
        yield Answer(text="I guess so.") if turn.tier == "small" else ToolCall("1", "look_up", {})

    await events_of(cascade.cascade(half, SURE, audited=1)(inner), Turn("?"))
    assert [(pair.small, pair.large) for pair in await cascade.pairs()] == [("I guess so.", "")]


async def test_the_sample_has_its_size_and_repeats_itself() -> None:
    handler = cascade.cascade(half, SURE, audited=0.2)(Tiers())
    tiers = [(await answer(handler, Turn(f"question {number}"))).tier for number in range(300)]
    assert 30 < tiers.count("large") < 90
    assert tiers == [(await answer(handler, Turn(f"question {number}"))).tier for number in range(300)]


# routing


async def test_a_feature_has_its_tier_and_a_cascade_leaves_it_alone() -> None:
    inner = Tiers()
    handler = stack(inner, cascade.routed({"bulk": "small", "contract": "large"}), cascade.cascade(half, UNSURE))
    for feature in ("bulk", "contract", "chat"):
        await answer(handler, Turn("?", feature=feature))
    assert inner.asked == ["small", "large", "small", "large"]
    await answer(handler, Turn("?", feature="bulk", tier="large"))
    assert inner.asked[-1] == "large"


async def test_kept_and_passed_on_are_counted() -> None:
    before = metrics.value("cascade.kept"), metrics.value("cascade.passed_on")
    await answer(cascade.cascade(half, SURE, audited=0)(Tiers()), Turn("?"))
    await answer(cascade.cascade(half, UNSURE)(Tiers()), Turn("?"))
    assert (metrics.value("cascade.kept"), metrics.value("cascade.passed_on")) == (before[0] + 1, before[1] + 1)


# the curve

scores = st.floats(-1, 1)
some_points = st.lists(st.builds(Point, scores, st.booleans(), st.floats(0.1, 10)), min_size=1, max_size=40)


@given(some_points)
def test_a_fit_has_an_end_at_which_nothing_pulls(points: list[Point]) -> None:
    curve = fit(points)
    assert math.isfinite(curve.intercept) and math.isfinite(curve.slope)
    pulls = [one.weight * (curve(one.score) - one.good) for one in points]
    at_rest = sum(pulls) + 0.01 * curve.intercept
    turning = sum(pull * one.score for pull, one in zip(pulls, points, strict=True)) + 0.01 * curve.slope
    assert abs(at_rest) < 1e-4 and abs(turning) < 1e-4


@given(scores, st.integers(1, 9))
def test_a_weight_is_so_many_points(score: float, times: int) -> None:
    others = [Point(0.2, False), Point(0.8, True), Point(0.4, True)]
    once, often = fit([*others, Point(score, True, times)]), fit([*others, *[Point(score, True)] * times])
    assert once.intercept == pytest.approx(often.intercept, abs=1e-6)
    assert once.slope == pytest.approx(often.slope, abs=1e-6)


def test_a_curve_finds_the_one_that_made_the_points() -> None:
    truth = Curve(-3.0, 8.0)
    points = [
        Point(at / 100, good, truth(at / 100) if good else 1 - truth(at / 100))
        for at in range(100)
        for good in (True, False)
    ]
    found = fit([replace(one, weight=100 * one.weight) for one in points])
    assert found.intercept == pytest.approx(-3, abs=0.1) and found.slope == pytest.approx(8, abs=0.2)
    assert found(found.score_at(0.85)) == pytest.approx(0.85)
    assert all(abs(one.said - one.was) < 0.01 for one in reliability(points, found))


def test_an_overconfident_curve_is_seen() -> None:
    points = [Point(0.9, number % 2 == 0) for number in range(20)] + [Point(0.1, False)] * 20
    low, high = reliability(points, Curve(-3, 6), bins=2)
    assert (low.was, high.was) == (0.0, 0.5) and high.said > 0.9 and (low.count, high.count) == (20, 20)
