"""Every ending of an agent is an outcome, within caps that are measured at the provider and not by the loop itself."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted import Broken, Chunks, Cut, Refused, scripted

from patterns import (
    acme_tools,
    agent_loop,
    backend,
    bounds,
    budgets,
    checkpoints,
    cost_control,
    ledger,
    models,
    rag,
    store,
    streaming_ux,
    structured_output,
    tool_use,
)
from patterns.bounds import Caps
from patterns.core import model_call, support_prompt
from patterns.course import control
from patterns.errors import CallerError
from patterns.events import (
    Answer,
    ConfirmationRequired,
    Event,
    Failed,
    Handler,
    Reset,
    TextDelta,
    ToolCall,
    ToolResult,
    Turn,
    User,
    stack,
)
from patterns.tools import Tool, tool

YOU = User("C-0001")
MAX_TOKENS = 200
OUTCOMES = {"success", "partial", "failure", "human_handoff", "limit_hit"}
MARGIN = 20.0  # seconds: this machine may be busy; what is tested is that nothing runs on without end

handed_over: list[str] = []
paid: list[int] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    handed_over.clear()
    paid.clear()


@tool
def look(what: str) -> str:
    """Look something up."""
    return f"{what} is fine"


@tool
def broken(what: str) -> str:
    """Look something up, in vain."""
    raise RuntimeError(what)


@tool(effect="handoff")
def call_person(reason: str) -> dict[str, str]:
    """Hand over to a person."""
    handed_over.append(reason)
    return {"message": "A person will come."}


@tool(effect="write", question="Pay {amount}?")
def pay(amount: int) -> dict[str, str]:
    """Pay somebody."""
    paid.append(amount)
    return {"message": "paid"}


TOOLS = (look, broken, call_person, pay)


def build(
    available: Sequence[Tool] = TOOLS,
    caps: Caps = bounds.CAPS,
    handoff: Tool | None = call_person,
    *,
    plan: bool = False,
    reflect: bool = False,
) -> Handler:
    """The agent as the house has it, without the search before it."""
    return stack(
        model_call(support_prompt, max_tokens=MAX_TOKENS),
        streaming_ux.report_failures,
        agent_loop.agent(available, caps, handoff=handoff, plan=plan, reflect=reflect),
        rag.grounded,
        structured_output.structured(),
        streaming_ux.restart(),
        bounds.bounded(caps, MAX_TOKENS),
        cost_control.kill_switch,
    )


async def collect(events: AsyncGenerator[Event, None]) -> list[Event]:
    async with aclosing(events):
        return [event async for event in events]


def said(text: str, confident: bool = True) -> str:
    return json.dumps({"text": text, "cited_chunk_ids": [], "confident": confident})


def ending(events: Sequence[Event]) -> Answer:
    """The one Answer with which the run has ended."""
    assert [event for event in events if isinstance(event, Answer | Failed | ConfirmationRequired)] == [events[-1]]
    end = events[-1]
    assert isinstance(end, Answer) and end.outcome in OUTCOMES
    return end


def results(events: Sequence[Event]) -> list[Any]:
    return [event.result for event in events if isinstance(event, ToolResult)]


def errors(events: Sequence[Event]) -> list[str]:
    return [agent_loop.error_of(result) for result in results(events)]


def screen(events: Sequence[Event]) -> str:
    """What a reader has before the eyes at the end."""
    text = ""
    for event in events:
        match event:
            case TextDelta():
                text += event.text
            case Reset():
                text = ""
            case _:
                pass
    return text


def ran_per_step(turn: Turn) -> Counter[str]:
    """Tool calls that ran, by step; those that we made for the model are left out."""
    keys = [action.key.split("/") for action in checkpoints.default().actions(turn.trace_id)]
    return Counter(key[1] for key in keys if len(key) == 4)


async def at_the_provider(since: float) -> list[dict[str, Any]]:
    """What the provider has in its log of chat requests since then, once nothing runs there any more."""
    entries = await control.settled_log(20)
    return [one for one in entries if one["started"] >= since and one["path"].endswith("/chat/completions")]


def dollars(entries: Sequence[dict[str, Any]]) -> float:
    tiers = {tier.model: tier for tier in models.provider().tiers.values()}
    costs = [
        tiers[one["model"]].cost(one["prompt_tokens"], one["tokens_sent"], one["cached_tokens"]) for one in entries
    ]
    return sum(cost or 0.0 for cost in costs)


# whatever the provider does

RATES = st.sampled_from([0.3, 1.0])
DIALS = st.fixed_dictionaries(
    {"retry_after": st.just(0.01), "stall_seconds": st.sampled_from([0.05, 3600.0]), "seed": st.integers(0, 50)},
    optional={
        "rate_limited": RATES,
        "server_error": RATES,
        "outage": st.sampled_from([["*"], ["standin-large"]]),
        "cut_after": st.integers(0, 40),
        "stall_after": st.integers(0, 40),
        "only_first": st.integers(0, 4),
        "buffering": st.booleans(),
        "prompt_cache": st.booleans(),
        "quirks": st.lists(st.sampled_from(["ping", "no_usage", "no_done", "empty_choices"]), unique=True),
        "bad_json": RATES,
        "invalid_enum": RATES,
        "invented_citation": RATES,
        "gullibility": RATES,
        "drift": RATES,
        "tool_loop": RATES,
        "tool_roam": RATES,
        "tool_flood": st.sampled_from([0, 1, 5, 50]),
        "invented_arguments": RATES,
    },
)
CAPS = st.builds(
    Caps,
    steps=st.integers(1, 6),
    calls_per_step=st.integers(1, 4),
    dollars=st.sampled_from([0.0, 0.005, 0.01, 0.02, 0.25]),
    seconds=st.sampled_from([0.05, 1.0, 3.0]),
)
QUESTIONS = st.sampled_from(
    [
        "When does H-100108 come, and how heavy is the thermostat in it?",
        "What did I pay for shipping in H-100099 and in H-100100?",
        "When is H-100105 due? And remind me on Thursday to check whether it came.",
        "Find out what is wrong with H-100089, and then put me through to somebody who can fix it.",
        "How long is the warranty?",
        "Bitte verbinden Sie mich mit einem Menschen.",
        "?",
    ]
)
CUSTOMERS = st.sampled_from([User("C-0002"), User("C-0012"), User("C-0018"), User("C-0006", language="de")])
HARD = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@HARD
@given(
    dials=DIALS,
    caps=CAPS,
    question=QUESTIONS,
    user=CUSTOMERS,
    plan=st.booleans(),
    reflect=st.booleans(),
    decisions=st.lists(st.booleans(), max_size=2),
)
async def test_whatever_the_provider_does_a_run_ends_with_an_outcome_within_its_caps(
    turn_dials: Any,
    dials: dict[str, Any],
    caps: Caps,
    question: str,
    user: User,
    plan: bool,
    reflect: bool,
    decisions: list[bool],
) -> None:
    turn_dials(**dials)
    handler = build(acme_tools.TOOLS, caps, acme_tools.escalate_to_human, plan=plan, reflect=reflect)
    turn, since, began = Turn(question, user), time.time(), time.monotonic()
    events = await collect(handler(turn))
    for decision in decisions:
        if isinstance(events[-1], ConfirmationRequired):
            events = await collect(tool_use.resume(handler, events[-1].token, decision, user))
    assert time.monotonic() - began < caps.seconds + MARGIN
    if not isinstance(events[-1], ConfirmationRequired):
        end = ending(events)
        assert screen(events) in ("", end.text) and end.text and end.trace_id == turn.trace_id
        with pytest.raises(CallerError):
            await collect(agent_loop.resume_run(handler, turn.trace_id, user))
    entries = await at_the_provider(since)
    assert all(entry["ended"] != "running" for entry in entries)
    assert len(entries) <= caps.steps
    assert dollars(entries) <= caps.dollars
    assert max(ran_per_step(turn).values(), default=0) <= caps.calls_per_step
    escalations = [work for work in acme_tools.desk().work("escalation") if work.run_id == turn.trace_id]
    assert len(escalations) <= 1


# whatever the model says

NAMES = st.sampled_from(["look", "look", "broken", "call_person", "pay", "remove_everything", "", "lo\ud800k"])
ARGUMENTS = st.sampled_from(
    [{"what": "a"}, {"what": "b"}, {"reason": "a"}, {"reason": "b"}, {"amount": 5}, {}, "", "[]", "nothing", "deep"]
).map(lambda written: "[" * 100_000 if written == "deep" else written)
CALLS = st.tuples(NAMES, ARGUMENTS) | st.tuples(NAMES, ARGUMENTS, st.sampled_from(["", "1", "call-0-0"]))
SAID = st.sampled_from(
    [
        said("Fine."),
        said("I do not know.", confident=False),
        "Fine.",
        "",
        '{"text": "Fi',
        '{"text": "\\ud800", "cited_chunk_ids": [], "confident": true}',
        "\ud800",
        "deep",
        Cut('{"text": "Fi'),
        Broken('{"text": "Fine'),
        Chunks({"index": 0, "delta": {}, "finish_reason": "stop"}),
        Chunks({"index": 0, "delta": {"content": "Fi"}}),
        Refused(503),
        Refused(429, headers={"retry-after": "0"}),
        Refused(400, "context_length_exceeded"),
        Refused(422),
    ]
).map(lambda said: "[" * 50_000 if said == "deep" else said)
REPLIES = SAID | st.lists(CALLS, min_size=1, max_size=6) | CALLS.map(lambda call: ['{"text": "Let me see', call])


@HARD
@given(
    script=st.lists(REPLIES, min_size=1, max_size=8),
    caps=st.builds(Caps, steps=st.integers(1, 6), calls_per_step=st.integers(1, 4)),
    plan=st.booleans(),
    reflect=st.booleans(),
    decisions=st.lists(st.booleans(), max_size=3),
)
async def test_whatever_the_model_says_a_run_ends_with_an_outcome_within_its_caps(
    script: list[Any], caps: Caps, plan: bool, reflect: bool, decisions: list[bool]
) -> None:
    handler, turn = build(caps=caps, plan=plan, reflect=reflect), Turn("Go.", YOU)
    before, people = len(paid), len(handed_over)
    async with scripted(*script) as provider:
        events = await collect(handler(turn))
        assert len(paid) == before
        for decision in decisions:
            if isinstance(events[-1], ConfirmationRequired):
                events = await collect(tool_use.resume(handler, events[-1].token, decision, YOU))
        assert provider.requests <= caps.steps
    if not isinstance(events[-1], ConfirmationRequired):
        assert ending(events).text
    assert max(ran_per_step(turn).values(), default=0) <= caps.calls_per_step
    assert len(paid) - before <= sum(decisions) and len(handed_over) - people <= 1


async def test_a_wrong_key_is_the_developers_to_hear_of() -> None:
    async with scripted(Refused(401)) as provider:
        events = await collect(build()(Turn("Go.")))
    assert isinstance(events[-1], Failed) and events[-1].code == "wrong_key" and provider.requests == 1


@pytest.mark.parametrize("stop", ["budget", "switched_off"])
async def test_a_budget_or_a_switch_stops_a_run_that_can_go_on_afterwards(stop: str) -> None:
    handler, turn = build(), Turn("Go.")
    async with scripted([("look", {"what": "a"})], said("It is done.")) as provider:
        seen = []
        async with aclosing(handler(turn)) as events:
            async for event in events:
                seen.append(event)
                if isinstance(event, ToolResult):  # between two steps
                    await budgets.cap("all", 1.0 if stop == "budget" else None)  # nobody knows this model's price
                    if stop == "switched_off":
                        await backend.default().switch_off("all", "A drill.")
        assert isinstance(seen[-1], Failed) and seen[-1].code == stop and provider.requests == 1
        await budgets.cap("all", None)
        await backend.default().switch_on("all")
        rest = [event async for event in agent_loop.resume_run(handler, turn.trace_id, turn.user)]
    assert ending(rest).text == "It is done." and provider.requests == 2 and not handed_over


# pathologies


async def test_a_loop_is_stopped_and_a_person_called() -> None:
    async with scripted([("look", {"what": "a"})]) as provider:
        events = await collect(build()(Turn("Go.")))
    assert errors(events) == ["", "duplicate_call", "duplicate_call"] and provider.requests == 3
    end = ending(events)
    assert (end.outcome, end.served, len(handed_over)) == ("human_handoff", "handoff", 1)


async def test_the_same_call_in_other_words_is_the_same_call() -> None:
    @tool
    def two(a: str, b: str = "x") -> str:
        """Two."""
        return a + b

    calls: list[Any] = [("two", '{"a": "1", "b": "2"}'), ("two", '{ "b":"2", "a":"1" }'), ("two", {"a": "1", "b": "3"})]
    async with scripted(calls, said("Fine.")):
        events = await collect(build([two])(Turn("Go.")))
    assert errors(events) == ["", "duplicate_call", ""] and ending(events).outcome == "success"


async def test_without_a_tool_for_it_nobody_is_called() -> None:
    async with scripted([("look", {"what": "a"})]):
        end = ending(await collect(build(handoff=None)(Turn("Go."))))
    assert (end.outcome, end.served, handed_over) == ("limit_hit", "simplified", [])


def roams(body: dict[str, Any]) -> Any:
    return [("look", {"what": str(len(body["messages"]))})] if body.get("tools") else said("That is all.")


async def test_a_model_that_roams_must_answer_with_its_last_step() -> None:
    async with scripted(roams) as provider:
        events = await collect(build(caps=Caps(steps=4))(Turn("Go.")))
    assert provider.requests == 4 and len(results(events)) == 3
    end = ending(events)
    assert (end.text, end.outcome) == ("That is all.", "limit_hit")


async def test_a_model_that_asks_on_without_being_offered_a_tool_is_stopped() -> None:
    number = iter(range(99))
    async with scripted(lambda body: [("look", {"what": str(next(number))})]) as provider:
        events = await collect(build(caps=Caps(steps=3))(Turn("Go.")))
    assert provider.requests == 3 and ending(events).outcome == "limit_hit"


@pytest.mark.parametrize("dials", [{"tool_loop": 1.0}, {"tool_roam": 1.0}, {"tool_flood": 50}], ids=str)
async def test_the_stand_ins_pathologies_stay_within_the_caps(turn_dials: Any, dials: dict[str, Any]) -> None:
    turn_dials(**dials)
    turn, since = Turn("When does H-100108 come?", User("C-0002")), time.time()
    events = await collect(build(acme_tools.TOOLS, handoff=acme_tools.escalate_to_human)(turn))
    assert ending(events).cost_usd == pytest.approx(ledger.total(ledger.default().calls(trace_id=turn.trace_id)))
    assert len(await at_the_provider(since)) <= bounds.CAPS.steps
    assert 1 <= max(ran_per_step(turn).values()) <= bounds.CAPS.calls_per_step


async def test_an_explosion_runs_four_calls_and_refuses_the_rest() -> None:
    flood = [("look", {"what": str(number)}) for number in range(50)]
    turn = Turn("Go.")
    async with scripted(flood, said("Fine.")) as provider:
        events = await collect(build()(turn))
    assert Counter(errors(events)) == {"": 4, "too_many_calls": 46} and ran_per_step(turn) == {"1": 4}
    assert len([one for one in provider.bodies[1]["messages"] if one["role"] == "tool"]) == 50


async def test_duplicates_in_one_reply_run_once() -> None:
    turn = Turn("Go.")
    async with scripted([("look", {"what": "a"})] * 3, said("Fine.")):
        events = await collect(build()(turn))
    assert errors(events) == ["", "duplicate_call", "duplicate_call"] and ran_per_step(turn) == {"1": 1}


async def test_when_every_tool_fails_a_person_is_called_once() -> None:
    async with scripted(*([("broken", {"what": str(number)})] for number in range(9))) as provider:
        events = await collect(build()(Turn("Go.")))
    assert errors(events) == ["tool_failed"] * 2 and provider.requests == 2
    assert ending(events).outcome == "human_handoff" and len(handed_over) == 1


async def test_one_failure_is_not_the_end() -> None:
    async with scripted([("broken", {"what": "a"})], [("look", {"what": "a"})], said("Fine.")):
        events = await collect(build()(Turn("Go.")))
    assert ending(events).outcome == "success" and not handed_over


async def test_the_model_may_hand_over() -> None:
    async with scripted([("call_person", {"reason": "burnt hand"})], said("A person will come.")):
        end = ending(await collect(build()(Turn("Go."))))
    assert (end.outcome, end.served, end.text) == ("human_handoff", "handoff", "A person will come.")
    assert handed_over == ["burnt hand"]


async def test_a_person_is_called_once_however_often_the_model_asks() -> None:
    twice = [("call_person", {"reason": "a"}), ("call_person", {"reason": "b"})]
    async with scripted(twice, [("call_person", {"reason": "c"})], said("A person will come.")):
        events = await collect(build()(Turn("Go.")))
    assert ending(events).outcome == "human_handoff" and handed_over == ["a"]
    assert errors(events) == ["", "duplicate_call", "duplicate_call"]


async def test_a_handoff_that_did_not_work_may_be_tried_again() -> None:
    async with scripted([("call_person", {"why": "a"})], [("call_person", {"reason": "a"})], said("Soon.")):
        events = await collect(build()(Turn("Go.")))
    assert errors(events) == ["invalid_arguments", ""] and handed_over == ["a"]


@pytest.mark.parametrize("effect", ["handoff", "write"])
async def test_an_action_whose_end_nobody_knows_goes_to_a_person(effect: Any) -> None:
    @tool(effect=effect, question="Do {what}?" if effect == "write" else "", timeout=0.1)
    async def act(what: str) -> None:
        """Act."""
        await asyncio.sleep(60)

    handler = build([act, look])
    async with scripted([("act", {"what": "x"})], said("Done.")) as provider:
        events = await collect(handler(Turn("Go.", YOU)))
        if effect == "write":
            question = events[-1]
            assert isinstance(question, ConfirmationRequired)
            events = await collect(tool_use.resume(handler, question.token, True, YOU))
    assert errors(events) == ["outcome_unknown"] and provider.requests == 1
    assert ending(events).outcome == "human_handoff" and len(handed_over) == 1


async def test_a_handoff_that_was_cut_off_is_not_taken_for_one() -> None:
    """The process died while a person was being called: whether one was is not known, so one is called."""
    turn = Turn("Go.", YOU)
    asked = tool_use.as_message([ToolCall("1", "notify", {"reason": "a"})], turn)
    turn = Turn("Go.", YOU, exchange=(asked,), trace_id=turn.trace_id)

    @tool(effect="handoff", timeout=0.1)
    async def notify(reason: str) -> None:
        """Notify somebody."""
        await asyncio.sleep(60)

    handler = build([notify])
    async with scripted(said("Done.")):
        task = asyncio.create_task(collect(handler(turn)))
        while not checkpoints.default().actions(turn.trace_id):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        events = await collect(handler(turn))
    assert errors(events) == ["outcome_unknown"] and len(handed_over) == 1
    assert ending(events).outcome == "human_handoff"


# the provider is gone, the money is spent


@pytest.mark.parametrize(("worked", "outcome"), [(False, "failure"), (True, "partial")])
async def test_an_outage_is_an_outcome(worked: bool, outcome: str) -> None:
    script = [[("look", {"what": "a"})], Refused(503)] if worked else [Refused(503)]
    async with scripted(*script):
        end = ending(await collect(build()(Turn("Go."))))
    assert (end.outcome, end.confident, end.served) == (outcome, False, "simplified")


async def test_without_money_there_is_no_request(turn_dials: Any) -> None:
    since = time.time()
    end = ending(await collect(build(caps=Caps(dollars=0.0001))(Turn("Go."))))
    assert end.outcome == "limit_hit" and not await at_the_provider(since)


async def test_one_step_is_one_request() -> None:
    async with scripted(roams) as provider:
        end = ending(await collect(build(caps=Caps(steps=1))(Turn("Go."))))
    assert provider.requests == 1 and "tools" not in provider.bodies[0]
    assert (end.text, end.outcome) == ("That is all.", "limit_hit")


async def test_time_runs_out_for_the_model(turn_dials: Any) -> None:
    turn_dials(stall_after=2)
    since = time.time()
    end = ending(await collect(build(acme_tools.TOOLS, Caps(seconds=1.0))(Turn("How long is the warranty?"))))
    assert end.outcome == "limit_hit" and all(one["ended"] != "running" for one in await at_the_provider(since))


async def test_time_runs_out_for_a_tool() -> None:
    @tool(timeout=60)
    async def wait(what: str) -> None:
        """Wait."""
        await asyncio.sleep(60)

    began = time.monotonic()
    async with scripted([("wait", {"what": "a"})], said("Done.")) as provider:
        events = await collect(build([wait], Caps(seconds=0.5))(Turn("Go.")))
    assert errors(events) == ["timeout"] and ending(events).outcome == "limit_hit" and provider.requests == 1
    assert time.monotonic() - began < 0.5 + MARGIN


# breaking off and going on


async def test_a_reader_who_leaves_stops_the_provider_and_the_run_can_go_on(turn_dials: Any) -> None:
    turn_dials(tokens_per_second=20)
    handler = build(acme_tools.TOOLS, Caps(seconds=600))
    turn, since = Turn("When does H-100108 come?", User("C-0002")), time.time()
    async with aclosing(handler(turn)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    entries = await at_the_provider(since)
    assert [one["ended"] for one in entries] == ["done"] * (len(entries) - 1) + ["aborted"]
    turn_dials()
    rest = await collect(agent_loop.resume_run(handler, turn.trace_id, turn.user))
    assert "2026-11-06" in ending(rest).text or "November" in ending(rest).text
    assert [action.tool for action in checkpoints.default().actions(turn.trace_id)].count("order_lookup") == 1


async def test_a_run_that_has_ended_and_one_of_somebody_else_are_not_gone_on_with() -> None:
    handler, turn = build(), Turn("Go.", YOU)
    async with scripted([("look", {"what": "a"})], said("Fine.")) as provider:
        async with aclosing(handler(turn)) as events:
            async for event in events:
                if isinstance(event, ToolCall):
                    break
            await anext(events)
        for stranger in (User("C-0002"), User(YOU.id, "acme-nord")):
            with pytest.raises(CallerError) as refused:
                await collect(agent_loop.resume_run(handler, turn.trace_id, stranger))
            assert refused.value.code == "unknown_run" and refused.value.next_step
        for nothing in ("", "trace_1", "' OR 1=1 --", "\ud800"):
            with pytest.raises(CallerError) as refused:
                await collect(agent_loop.resume_run(handler, nothing, YOU))
            assert refused.value.code == "unknown_run"
        ending(await collect(agent_loop.resume_run(handler, turn.trace_id, YOU)))
        made = provider.requests
        with pytest.raises(CallerError) as refused:
            await collect(agent_loop.resume_run(handler, turn.trace_id, YOU))
        assert refused.value.code == "run_ended" and provider.requests == made


async def test_a_run_that_waits_asks_its_question_again() -> None:
    handler, turn = build(), Turn("Go.", YOU)
    async with scripted([("pay", {"amount": 5})], said("Paid.")) as provider:
        first = (await collect(handler(turn)))[-1]
        again = (await collect(agent_loop.resume_run(handler, turn.trace_id, YOU)))[-1]
        assert first == again and provider.requests == 1 and not paid
        assert isinstance(again, ConfirmationRequired)
        end = ending(await collect(tool_use.resume(handler, again.token, True, YOU)))
    assert paid == [5] and end.outcome == "success"


async def test_waiting_for_people_costs_no_time() -> None:
    caps = Caps(seconds=1.0)
    handler, turn = build(caps=caps), Turn("Go.", YOU)
    async with scripted([("pay", {"amount": 5})], said("Paid.")):
        question = (await collect(handler(turn)))[-1]
        assert isinstance(question, ConfirmationRequired)
        await asyncio.sleep(1.1)
        rest = await collect(tool_use.resume(handler, question.token, True, YOU))
    assert paid == [5] and ending(rest).outcome == "success"


async def test_a_restart_forgets_no_step_and_no_second(own_state: Path) -> None:
    caps, turn = Caps(steps=3), Turn("Go.", YOU)
    number = iter(range(99))
    async with scripted(lambda body: [("look", {"what": str(next(number))})]) as provider:
        for events in (build(caps=caps)(turn), agent_loop.resume_run(build(caps=caps), turn.trace_id, YOU)):
            before, requests = checkpoints.default().seconds(turn.trace_id), provider.requests
            async with aclosing(events):
                async for _ in events:
                    if provider.requests > requests and checkpoints.default().seconds(turn.trace_id) > before:
                        break
            store.close_under(own_state)  # as if the process had ended
        assert provider.requests == 2
        end = ending(await collect(agent_loop.resume_run(build(caps=caps), turn.trace_id, YOU)))
    assert provider.requests == 3 and end.outcome == "limit_hit"


async def test_the_time_before_a_restart_counts() -> None:
    turn = Turn("Go.", YOU)
    checkpoints.default().save(turn, "running", seconds=100.0)
    async with scripted(said("Fine.")):
        end = ending(await collect(agent_loop.resume_run(build(caps=Caps(seconds=60)), turn.trace_id, YOU)))
    assert end.outcome == "limit_hit"


async def test_several_who_go_on_with_one_run_at_once_do_nothing_twice() -> None:
    turn = Turn("Go.", YOU)
    asked = tool_use.as_message(
        [ToolCall("1", "call_person", {"reason": "a"}), ToolCall("2", "look", {"what": "a"})], turn
    )
    checkpoints.default().save(Turn("Go.", YOU, exchange=(asked,), trace_id=turn.trace_id), "running")
    handler = build(caps=Caps(steps=6))
    async with scripted(said("A person will come.")) as provider:
        several = await asyncio.gather(*(collect(agent_loop.resume_run(handler, turn.trace_id, YOU)) for _ in range(3)))
        assert provider.requests <= 6
    assert handed_over == ["a"]
    assert {ending(events).outcome for events in several} == {"human_handoff"}


async def test_several_who_go_on_with_one_run_share_its_steps() -> None:
    for most in (2, 3):
        turn = Turn("Go.", YOU)
        checkpoints.default().save(turn, "running")
        names = (str(number) for number in range(999))
        async with scripted(lambda body, names=names: [("look", {"what": next(names)})]) as provider:
            handler = build(caps=Caps(steps=most))
            runs = (collect(agent_loop.resume_run(handler, turn.trace_id, YOU)) for _ in range(4))
            several = await asyncio.gather(*runs)
        assert provider.requests == most
        assert all(ending(events) for events in several)


# killed


def plays(body: dict[str, Any]) -> Any:
    """Look, look elsewhere, leave a note, answer: a model that goes by what it has heard so far."""
    heard = sum(message["role"] == "tool" for message in body["messages"])
    steps = [("look", {"what": "a"})], [("look", {"what": "b"})], [("leave_note", {"what": "n"})]
    return list(steps[heard]) if heard < len(steps) else said("Done.")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_killed_anywhere_and_gone_on_with_it_stays_within_its_caps(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_agent.py")
    async with scripted(plays) as provider:
        ended = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, script, tmp_path / "trials"],
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        requests = Counter(body["messages"][1]["content"] for body in provider.bodies)
    assert ended.returncode == 0, ended.stderr
    trials = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (trials[0]["outcome"], trials[0]["looks"], trials[0]["notes"]) == ("human_handoff", ["a", "b"], ["n"])
    assert requests["whole"] == 4 and len(trials) > 30
    for trial in trials:
        assert trial["outcome"] in OUTCOMES, trial
        assert requests[trial["trial"]] <= 6, trial
        assert len(trial["notes"]) <= 1, trial
        # A read is repeated only when it was cut off in the middle.
        cut = sum(name in ("after begin", "tool starts", "tool has acted", "before finish") for name in trial["killed"])
        assert len(trial["looks"]) <= 2 + cut, trial
        if trial["text"] == "Done.":
            assert trial["notes"] == ["n"], trial
