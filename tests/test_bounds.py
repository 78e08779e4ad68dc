"""The bounds around the model call: what they count and refuse, and that no text makes a call dearer than that."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scripted import Refused, scripted

from patterns import bounds, calls, checkpoints, models, store, streaming_ux, structured_output
from patterns.bounds import Caps
from patterns.core import model_call, support_prompt
from patterns.course import control
from patterns.errors import LimitHit, PatternsError
from patterns.events import Answer, Document, Event, Handler, Message, Turn, answer, stack
from patterns.tools import tool

core = model_call(support_prompt, max_tokens=50)


def within(caps: Caps) -> Handler:
    return bounds.bounded(caps, max_tokens=50)(core)


async def spent_at_the_provider(since: float) -> float:
    """Dollars, by the provider's own count of what was read and sent."""
    tiers = {tier.model: tier for tier in models.provider().tiers.values()}
    entries = [entry for entry in await control.settled_log() if entry["started"] >= since]
    costs = [
        tiers[one["model"]].cost(one["prompt_tokens"], one["tokens_sent"], one["cached_tokens"]) for one in entries
    ]
    return sum(cost or 0.0 for cost in costs)


# steps


async def test_the_call_after_the_last_is_refused_and_never_made() -> None:
    turn = Turn("Hello?")
    async with scripted("Hi.") as provider:
        for _ in range(3):
            await answer(within(Caps(steps=3)), turn)
        with pytest.raises(LimitHit) as hit:
            await answer(within(Caps(steps=3)), turn)
        assert (hit.value.code, provider.requests) == ("steps", 3) and "3 model calls" in hit.value.message
        await answer(within(Caps(steps=3)), Turn("Another run."))


async def test_repairs_and_second_tries_are_steps() -> None:
    caps = Caps(steps=4)
    handler = stack(
        core, structured_output.structured(repairs=9), streaming_ux.restart(9), bounds.bounded(caps, max_tokens=50)
    )
    async with scripted(Refused(503), "no JSON", Refused(429, headers={"retry-after": "0"}), "no JSON") as provider:
        with pytest.raises(LimitHit):
            await answer(handler, Turn("Hello?"))
    assert provider.requests == 4


async def test_only_calls_of_chat_models_are_steps() -> None:
    turn = Turn("Hello?")
    vectors = {"data": [{"index": 0, "embedding": [1.0, 0.0]}], "usage": {"prompt_tokens": 1, "total_tokens": 1}}

    def either(body: dict[str, Any]) -> Any:
        return vectors if "input" in body else "Hi."

    async with scripted(either):
        for _ in range(3):
            await calls.embed(["a"], trace_id=turn.trace_id)
        assert bounds.steps_used(turn) == 0
        await answer(within(Caps(steps=1)), turn)


async def test_a_restart_forgets_no_step_and_an_open_call_is_one(own_state: Path) -> None:
    turn = Turn("Hello?")
    assert checkpoints.default().take_step(turn.trace_id, 2)  # its process was killed in the middle of the call
    async with scripted("Hi.") as provider:
        await answer(within(Caps(steps=2)), turn)
        store.close_under(own_state)
        with pytest.raises(LimitHit):
            await answer(within(Caps(steps=2)), turn)
    assert provider.requests == 1


# dollars


async def test_a_call_that_could_be_too_dear_is_refused_and_never_made(turn_dials: Any) -> None:
    since = time.time()
    with pytest.raises(LimitHit) as hit:
        await answer(within(Caps(dollars=0.0001)), Turn("Hello?"))
    assert hit.value.code == "dollars" and hit.value.next_step
    assert not [entry for entry in control.provider_log() if entry["started"] >= since]


async def test_a_model_without_a_price_is_capped_by_steps_alone() -> None:
    async with scripted("Hi.") as provider:
        end = await answer(within(Caps(dollars=0.0)), Turn("Hello?"))
    assert (end.text, provider.requests) == ("Hi.", 1)


@tool
def look(what: str) -> str:
    """Look something up."""
    return what


TEXTS = st.text(max_size=400) | st.text("🙂漢字😀%$#\n\t.,;:(){}[]", max_size=2_000) | st.text("aé ", max_size=2_000)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, more=TEXTS, dollars=st.floats(0.0005, 0.02), tries=st.integers(1, 4))
@example(text="漢字!" * 3_000, more="", dollars=0.02, tries=4)
@example(text="?", more="{}[]" * 3_000, dollars=0.02, tries=4)
async def test_no_text_makes_a_run_dearer_than_its_cap(
    turn_dials: Any, text: str, more: str, dollars: float, tries: int
) -> None:
    since = time.time()
    turn = Turn(
        text or "?",
        history=(Message("user", more or "?"),),
        documents=(Document("d1", more, more),),
        tools=(look.wire,),
        exchange=({"role": "user", "content": more or "?"},),
    )
    handler = within(Caps(dollars=dollars, steps=99))
    try:
        for _ in range(tries):
            await answer(handler, turn)
    except LimitHit as hit:
        assert hit.code == "dollars"
    except PatternsError:  # the model has asked for a tool, or the text is longer than it can read
        pass
    assert await spent_at_the_provider(since) <= dollars


async def test_an_answer_in_a_schema_is_within_the_estimate(turn_dials: Any) -> None:
    since = time.time()
    handler = stack(core, structured_output.structured(), bounds.bounded(Caps(dollars=0.005), max_tokens=50))
    with pytest.raises(LimitHit):
        for _ in range(99):
            await answer(handler, replace(Turn("How long is the warranty?"), trace_id="one run"))
    assert 0 < await spent_at_the_provider(since) <= 0.005


# closing


async def test_it_closes_what_it_reads() -> None:
    closed = []

    async def endless(turn: Turn) -> AsyncGenerator[Event, None]:
        try:
            await asyncio.sleep(0)
            yield Answer(text="a")
            yield Answer(text="b")
        finally:
            closed.append(True)

    async with aclosing(bounds.bounded()(endless)(Turn("?"))) as events:
        await anext(events)
    assert closed == [True]
