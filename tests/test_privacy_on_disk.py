"""Conversations full of personal data run through the layers that write, and none of it is in any byte on disk."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from benchmarks.pii import left_on_disk
from patterns import acme, caching, cost_control
from patterns.eval_production import Trace, promote, traced
from patterns.events import Answer, Event, Handler, Message, TextDelta, Turn, answer, stack
from tests.people import People, Planted
from tests.remembered import recipe

CONVERSATIONS = 200


async def echo(turn: Turn) -> AsyncGenerator[Event, None]:
    """The worst that a model may do for privacy: it repeats all that was said."""
    said = " ".join([turn.text, *(message.text for message in turn.history)])
    yield TextDelta(said)
    yield Answer(text=said)


async def converse(handler: Handler, keep: Path, traces: list[Trace]) -> list[Planted]:
    people, planted = People(seed=3), list[Planted]()
    users = [acme.user(name) for name in acme.customers()]
    for number in range(CONVERSATIONS):
        before, now = people.said(), people.said()
        planted += [*before.planted, *now.planted]
        turn = Turn(now.text, users[number % len(users)], (Message("user", before.text), Message("assistant", "Yes.")))
        await answer(handler, turn)
    text = "".join(f"{trace}\n{promote(trace, f'case-{place}', must=[['x']])}\n" for place, trace in enumerate(traces))
    await asyncio.to_thread(keep.write_text, text, encoding="utf-8")
    return planted


async def test_nothing_personal_is_on_the_disk(own_state: Path) -> None:
    traces: list[Trace] = []
    layers = (
        traced(traces.append),
        cost_control.recorded,
        caching.response_cache(recipe),
        caching.semantic_cache(recipe),
    )
    planted = await converse(stack(echo, *layers), own_state / "traces.txt", traces)
    left, size = left_on_disk(own_state, planted)
    assert len(planted) > CONVERSATIONS and size > 50_000
    assert left <= 0.02 * len(planted)


async def test_the_search_finds_what_is_there(own_state: Path) -> None:
    traces: list[Trace] = []
    await asyncio.to_thread(own_state.mkdir, parents=True, exist_ok=True)
    planted = await converse(echo, own_state / "traces.txt", traces)
    raw = "\n".join(value.value for value in planted)
    await asyncio.to_thread((own_state / "raw.txt").write_text, raw, encoding="utf-8")
    left, _ = left_on_disk(own_state, planted)
    assert left >= len({value.value for value in planted})
