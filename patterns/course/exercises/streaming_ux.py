"""Notebook 01."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ...events import Answer, Event, Message, TextDelta, Turn, answer
from . import NotYet, exercise
from .watched import QUESTION, Watched, stops_early


@exercise
async def at_most(solution: Any) -> str:
    watched = Watched()

    async def run() -> list[Any]:
        async with aclosing(solution(5)(watched)(Turn(QUESTION))) as events:
            return [event async for event in events]

    events = await stops_early(run(), watched, most=30)
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    if len(texts) != 5:
        raise NotYet(f"{len(texts)} pieces came through where 5 are allowed.")
    if not isinstance(events[-1], Answer):
        raise NotYet("the last event is not an Answer.")
    if events[-1].text != "".join(texts):
        raise NotYet("the Answer's text is not what the pieces say together.")

    async def three_words(turn: Turn) -> AsyncGenerator[Event, None]:
        for word in ("one ", "two ", "three"):
            yield TextDelta(word)
        yield Answer(text="one two three", tier="large")

    for most in (3, 10):
        whole = await answer(solution(most)(three_words), Turn("?"))
        if whole != Answer(text="one two three", tier="large"):
            raise NotYet(f"an answer of 3 pieces must come through unchanged where {most} are allowed.")
    return "Five pieces, an honest Answer, and a provider that stopped."


@exercise
async def cap_characters(solution: Any) -> str:
    passed_on: list[tuple[Message, ...]] = []

    async def inner(turn: Turn) -> Any:
        passed_on.append(turn.history)
        yield Answer(text="")

    history = tuple(Message("user" if at % 2 == 0 else "assistant", "x" * (at + 1)) for at in range(10))
    for characters, kept in ((0, 0), (9, 0), (10, 1), (19, 2), (26, 2), (27, 3), (1_000, 10)):
        await answer(solution(characters)(inner), Turn("hello", history=history))
        expected = history[len(history) - kept :]
        if passed_on[-1] != expected:
            raise NotYet(
                f"with {characters} characters, the newest {kept} of 10 messages fit, not {len(passed_on[-1])}."
            )
    return "The newest messages that fit, in their order."
