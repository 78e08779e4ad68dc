"""The onion: stacking, closing, and collecting a stream into an answer."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from patterns.errors import ProviderError
from patterns.events import Answer, Event, Failed, Handler, Layer, TextDelta, Turn, TurnFailed, User, answer, stack


def naming(name: str, seen: list[str]) -> Layer:
    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            seen.append(f"{name} in")
            try:
                async with aclosing(inner(turn)) as events:
                    async for event in events:
                        yield event
            finally:
                seen.append(f"{name} out")

        return handle

    return layer


async def core(turn: Turn) -> AsyncGenerator[Event, None]:
    yield TextDelta("a")
    yield TextDelta("b")
    yield Answer(text="ab")


async def test_layers_read_in_the_order_in_which_a_request_meets_them() -> None:
    seen: list[str] = []
    handler = stack(core, naming("first", seen), naming("second", seen))
    assert (await answer(handler, Turn("?"))).text == "ab"
    assert seen == ["first in", "second in", "second out", "first out"]


async def test_a_reader_who_stops_closes_every_layer() -> None:
    seen: list[str] = []
    handler = stack(core, naming("first", seen), naming("second", seen))
    async with aclosing(handler(Turn("?"))) as events:
        async for _ in events:
            break
    assert seen[-2:] == ["second out", "first out"]


async def test_answer_raises_what_the_turn_failed_with() -> None:
    async def failing(turn: Turn) -> AsyncGenerator[Event, None]:
        yield Failed("overloaded", "The provider failed.", "Try again.", transient=True)

    with pytest.raises(TurnFailed) as caught:
        await answer(failing, Turn("?"))
    assert (caught.value.code, caught.value.next_step) == ("overloaded", "Try again.")


async def test_a_turn_without_an_end_is_an_error_not_none() -> None:
    async def mute(turn: Turn) -> AsyncGenerator[Event, None]:
        yield TextDelta("…")

    with pytest.raises(TurnFailed, match="without an answer"):
        await answer(mute, Turn("?"))


@pytest.mark.parametrize(
    ("plan", "held"), [("basic", {"plan:basic"}), ("pro", {"plan:basic", "plan:plus", "plan:pro"})]
)
def test_a_plan_reads_what_lower_plans_read(plan: str, held: set[str]) -> None:
    user = User(plan=plan, teams=("billing",))  # pyright: ignore[reportArgumentType]
    assert user.scopes == {"public", "team:billing"} | held


def test_an_error_shows_its_sentence_and_its_next_step_in_a_notebook() -> None:
    error = ProviderError("It is busy.", "Try again in 2 s.", "rate_limited", transient=True, retry_after=2)
    assert error._render_traceback_() == ["ProviderError (rate_limited): It is busy.", "Next step: Try again in 2 s."]
    assert str(error) == "It is busy. Try again in 2 s."
