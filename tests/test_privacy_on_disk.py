"""Conversations full of personal data run through the layers that write, and none of it is in any byte on disk."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from benchmarks import pii_on_disk
from benchmarks.pii_on_disk import NEEDED, everything_written, fold_logs, left_on_disk
from patterns import acme, caching, cascade, cost_control, models
from patterns.eval_production import Trace, promote, traced
from patterns.events import Answer, Event, Handler, Message, TextDelta, Turn, answer, stack
from patterns.forgetting import forget, verify
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
    assert sum(map(len, left.values())) <= 0.02 * len(planted)


async def test_the_search_finds_what_is_there(own_state: Path) -> None:
    traces: list[Trace] = []
    await asyncio.to_thread(own_state.mkdir, parents=True, exist_ok=True)
    planted = await converse(echo, own_state / "traces.txt", traces)
    raw = "\n".join(value.value for value in planted)
    await asyncio.to_thread((own_state / "raw.txt").write_text, raw, encoding="utf-8")
    left, _ = left_on_disk(own_state, planted)
    assert left["raw"] >= {value.value for value in planted}


async def test_the_whole_house_keeps_them_only_where_they_are_needed_and_forgets_them(
    with_library: Path, turn_dials: Callable[..., None]
) -> None:
    with everything_written(with_library):
        said = await pii_on_disk.converse(24)
        await models.close()
    fold_logs(with_library)
    left, size = left_on_disk(with_library, said.values())
    assert len(said.values()) > 40 and size > 1_000_000
    assert {"conversations", "checkpoints"} <= left.keys()  # the search finds what is there
    elsewhere = {name: values for name, values in left.items() if name not in NEEDED}
    assert sum(map(len, elsewhere.values())) <= 0.02 * len(said.values()), elsewhere
    user = acme.user("C-0005")
    assert said.planted[user.id] and await verify(user)
    await forget(user)
    assert await verify(user) == []
    others = {value.value for name, ones in said.planted.items() if name != user.id for value in ones}
    own = [value for value in said.planted[user.id] if value.value not in others]
    assert own and left_on_disk(with_library, own)[0] == {}


async def test_the_answers_that_are_audited_are_kept_without_what_is_personal() -> None:
    async def score(turn: Turn, answer: Answer) -> float:
        return 1.0

    handler = cascade.cascade(score, lambda score: 1.0, audited=1.0)(echo)  # pyright: ignore[reportArgumentType]
    await answer(handler, Turn("Call me at +43 664 1234567.", acme.user("C-0001")))
    (pair,) = await cascade.pairs()
    assert pair.question == pair.small == pair.large == "Call me at <PHONE>."
