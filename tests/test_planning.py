"""Plans and reviews: what a model can get wrong about them never stops the run."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scripted import Refused, scripted

from patterns import agent_loop, bounds, ledger, metrics, planning, streaming_ux, structured_output
from patterns.bounds import Caps
from patterns.core import model_call, support_prompt
from patterns.events import Answer, Event, Handler, Reset, TextDelta, Turn, answer, stack
from patterns.planning import Plan, Step
from patterns.tools import tool


@tool
def look(what: str) -> str:
    """Look something up."""
    return f"{what} is fine"


def build(caps: Caps = bounds.CAPS, *, plan: bool = False, reflect: bool = False) -> Handler:
    return stack(
        model_call(support_prompt, max_tokens=200),
        agent_loop.agent([look], caps, plan=plan, reflect=reflect),
        structured_output.structured(),
        streaming_ux.restart(),
        bounds.bounded(caps, max_tokens=200),
    )


def step(number: int, after: list[int], name: str = "look") -> dict[str, Any]:
    return {"number": number, "tool": name, "purpose": "find-it", "after": after}


def plan(*steps: dict[str, Any]) -> str:
    return json.dumps({"steps": steps}, separators=(",", ":"))


def said(text: str) -> str:
    return json.dumps({"text": text, "cited_chunk_ids": [], "confident": True})


def review(missing: str, complete: bool) -> str:
    return json.dumps({"missing": missing, "complete": complete})


def wanted(body: dict[str, Any]) -> str:
    return body["response_format"]["json_schema"]["name"]


# plans

WRONG = {
    "circular": (plan(step(1, [2]), step(2, [1])), "circular"),
    "waits for itself": (plan(step(1, [1])), "circular"),
    "a step is missing": (plan(step(1, []), step(2, [7])), "no step 7"),
    "the same number twice": (plan(step(1, []), step(1, [])), "the same number"),
    "a tool that does not exist": (plan(step(1, [], "remove_everything")), "look"),
    "a thousand steps": (plan(*(step(number % 20 + 1, []) for number in range(1000))), "at most 10"),
    "number 0": (plan(step(0, [])), "greater than or equal to 1"),
    "prose": ("First I will look, then I will answer.", "JSON"),
    "cut short": (plan(step(1, []))[:-9], "JSON"),
    "nested thousands deep": ('{"steps": ' + "[" * 50_000, "JSON"),
    "half a surrogate pair": (plan(step(1, [], "\ud800")), ""),
}


@pytest.mark.parametrize("kind", WRONG)
async def test_a_plan_that_cannot_be_done_is_sent_back_with_the_reason(kind: str) -> None:
    wrong, reason = WRONG[kind]
    before = metrics.value("structured_output.invalid", schema="Plan")
    async with scripted(wrong, plan(step(1, [])), [("look", {"what": "H-1"})], said("Fine.")) as provider:
        end = await answer(build(plan=True), Turn("How is H-1?"))
    assert metrics.value("structured_output.invalid", schema="Plan") == before + 1
    assert [wanted(body) for body in provider.bodies] == ["Plan", "Plan", "ChatAnswer", "ChatAnswer"]
    complaint = provider.bodies[1]["messages"][-1]["content"]
    assert "not valid" in complaint and reason.lower() in complaint.lower()
    assert "The plan:\n1. look: find-it" in provider.bodies[2]["messages"][-1]["content"]
    assert (end.text, end.outcome) == ("Fine.", "success")


@pytest.mark.parametrize("kind", WRONG)
async def test_without_a_plan_the_run_goes_on(kind: str) -> None:
    wrong, _ = WRONG[kind]

    def never_plans(body: dict[str, Any]) -> Any:
        if wanted(body) == "Plan":
            return wrong
        return said("Fine.") if body["messages"][-1]["role"] == "tool" else [("look", {"what": "H-1"})]

    async with scripted(never_plans) as provider:
        end = await answer(build(plan=True), Turn("How is H-1?"))
    assert provider.requests == 5  # a plan and two repairs, then as without
    assert "no plan" in provider.bodies[-2]["messages"][-1]["content"]
    assert (end.text, end.outcome) == ("Fine.", "success")


async def test_an_empty_plan_is_no_plan() -> None:
    async with scripted(plan(), said("Fine.")) as provider:
        end = await answer(build(plan=True), Turn("How is H-1?"))
    assert "no plan" in provider.bodies[1]["messages"][-1]["content"] and end.outcome == "success"


async def test_the_planner_knows_the_tools_and_may_not_use_them_yet() -> None:
    async with scripted(plan(step(1, [])), said("Fine.")) as provider:
        await answer(build(plan=True), Turn("How is H-1?"))
    first, second = provider.bodies
    assert "look: Look something up." in first["messages"][-1]["content"] and "tools" not in first
    assert [one["function"]["name"] for one in second["tools"]] == ["look"]


async def test_a_model_that_only_plans_ends_at_its_cap() -> None:
    async with scripted("No.") as provider:
        end = await answer(build(Caps(steps=2), plan=True), Turn("How is H-1?"))
    assert provider.requests == 2 and end.outcome == "limit_hit"


NUMBERS = st.integers(-1, 22)
STEPS = st.builds(
    lambda number, after: {"number": number, "tool": "look", "purpose": "", "after": after},
    NUMBERS,
    st.lists(NUMBERS, max_size=4),
)


@given(st.lists(STEPS, max_size=12))
def test_a_plan_holds_exactly_when_its_steps_can_be_put_in_an_order(steps: list[dict[str, Any]]) -> None:
    numbers = [one["number"] for one in steps]
    fits = len(steps) <= 10 and len(set(numbers)) == len(numbers) and all(1 <= number <= 20 for number in numbers)
    done: set[int] = set()
    for _ in steps:  # each round does all that can be done
        done |= {one["number"] for one in steps if set(one["after"]) <= done}
    try:
        made = Plan.model_validate({"steps": steps})
    except ValidationError:
        assert not (fits and len(done) == len(steps))
    else:
        assert fits and len(done) == len(steps) and all(isinstance(one, Step) for one in made.steps)


# reviews


async def collect(handler: Handler, turn: Turn) -> list[Event]:
    return [event async for event in handler(turn)]


def screen(events: list[Event]) -> str:
    """What a reader has before the eyes at the end."""
    text = ""
    for event in events:
        text = "" if isinstance(event, Reset) else text + event.text if isinstance(event, TextDelta) else text
    return text


async def test_a_complete_draft_is_the_answer() -> None:
    async with scripted(said("All of it."), review("", True)) as provider:
        events = await collect(build(reflect=True), Turn("How is H-1?"))
    assert [wanted(body) for body in provider.bodies] == ["ChatAnswer", "Review"]
    assert "All of it." in provider.bodies[1]["messages"][-2]["content"]
    assert isinstance(events[-1], Answer) and events[-1].text == screen(events) == "All of it."


async def test_a_draft_is_sent_back_once_and_never_again() -> None:
    drafts = [said("Half."), review("the other half", False), said("Whole."), review("more", False)]
    async with scripted(*drafts) as provider:
        events = await collect(build(reflect=True), Turn("How is H-1?"))
    assert provider.requests == 3 and "the other half" in provider.bodies[2]["messages"][-1]["content"]
    assert isinstance(events[-1], Answer) and events[-1].text == screen(events) == "Whole."


@pytest.mark.parametrize("nonsense", ["No.", review("x", True)[:-1], "{}", '{"missing": 7, "complete": "no"}'])
async def test_a_review_that_says_nothing_changes_nothing(nonsense: str) -> None:
    async with scripted(said("All of it."), nonsense) as provider:
        end = await answer(build(reflect=True), Turn("How is H-1?"))
    assert provider.requests == 4 and (end.text, end.outcome) == ("All of it.", "success")


async def test_a_run_without_a_step_left_keeps_its_draft() -> None:
    """The answer took more calls than one; what is left is not enough for a review."""
    async with scripted("No.", "No.", said("All of it."), review("x", False)) as provider:
        events = await collect(build(Caps(steps=3), reflect=True), Turn("How is H-1?"))
    assert provider.requests == 3
    assert isinstance(events[-1], Answer) and events[-1].text == screen(events) == "All of it."


async def test_a_review_that_fails_costs_no_answer() -> None:
    async with scripted(said("All of it."), Refused(503)) as provider:
        events = await collect(build(reflect=True), Turn("How is H-1?"))
    assert provider.requests == 3
    assert isinstance(events[-1], Answer) and (events[-1].text, events[-1].outcome) == ("All of it.", "success")
    assert screen(events) == "All of it."


async def test_plan_and_review_count_like_every_call() -> None:
    turn = Turn("How is H-1?")
    async with scripted(plan(step(1, [])), [("look", {"what": "H-1"})], said("Fine."), review("", True)) as provider:
        end = await answer(build(plan=True, reflect=True), turn)
    assert provider.requests == len(ledger.default().calls(trace_id=turn.trace_id)) == 4
    assert end.outcome == "success"


async def test_planning_twice_makes_no_second_schema() -> None:
    async with scripted(plan(step(1, [])), said("Fine."), plan(step(1, [])), said("Fine.")) as provider:
        made = []
        for _ in range(2):

            async def ask(output: Any, *messages: Any) -> None:
                made.append(output)

            await planning.make(ask, [look])
            await answer(build(plan=True), Turn("How is H-1?"))
    assert made[0] is made[1] and provider.requests == 4
