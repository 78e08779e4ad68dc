"""No personal value leaves over HTTP, in no request of any kind, and the customer and the tools have the real ones."""

import json
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from scripted import scripted

from patterns import acme, calls, checkpoints, complete_assistant, models
from patterns.core import model_call, support_prompt
from patterns.erasing import needles
from patterns.events import ConfirmationRequired, Event, Handler, Message, TextDelta, Turn, stack
from patterns.pseudonyms import pseudonymised
from patterns.tool_use import use_tools
from patterns.tools import tool
from tests.people import People, Planted
from tests.recording_proxy import Asked, recording

ANN = acme.user("C-0001")


def values_in(bodies: Sequence[bytes], planted: Sequence[Planted]) -> set[str]:
    """The values of which a trace is in a body, as they were written or without what stands between the letters."""
    whole = b"\n".join(bodies)
    forms = {value.value: value.value for value in planted}
    forms |= {"".join(filter(str.isalnum, value)): value for value in forms if "@" not in value}
    return {value for form, value in forms.items() if needles([form]).find(whole)}


def conversation(people: People) -> tuple[Turn, list[Planted]]:
    said = [people.said() for _ in range(6)]
    spoken = ((Message("user", one.text), Message("assistant", f"So: {one.text}")) for one in said[:-1])
    turn = Turn(said[-1].text, ANN, tuple(message for pair in spoken for message in pair))
    return turn, [value for one in said for value in one.planted]


async def run(handler: Handler, turn: Turn) -> list[Event]:
    async with aclosing(handler(turn)) as events:
        return [event async for event in events]


def streamed(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@tool
def note(text: str, turn: Turn) -> dict[str, str]:
    """Write something down."""
    noted.append(text)
    return {"noted": text}


noted: list[str] = []


def said_by_customer(body: dict[str, Any]) -> str:
    return "\n".join(message["content"] for message in body["messages"] if message["role"] == "user")


def repeats(body: dict[str, Any]) -> Any:
    """The worst for privacy: the model gives all that it reads to a tool, and then tells it to the customer."""
    if body["messages"][-1]["role"] == "tool":
        return f"You said: {said_by_customer(body)} The tool said: {body['messages'][-1]['content']}"
    return [("note", {"text": said_by_customer(body)})]


async def test_a_model_that_repeats_everything_reads_no_value_and_its_words_hold_them_all() -> None:
    people = People(seed=5)
    handler = stack(model_call(support_prompt), use_tools([note]), pseudonymised())
    async with scripted(repeats) as provider:
        for _ in range(8):
            turn, planted = conversation(people)
            provider.play(repeats)
            noted.clear()
            text = streamed(await run(handler, turn))
            sent = [json.dumps(body, ensure_ascii=False).encode() for body in provider.bodies]
            assert len(sent) == 2 and values_in(sent, planted) == set()
            for value in planted:
                assert value.value in text and value.value in noted[0]
            assert "_1>" not in text + noted[0]


async def test_without_the_layer_they_are_all_on_the_wire() -> None:
    turn, planted = conversation(People(seed=5))
    async with scripted(repeats) as provider:
        await run(stack(model_call(support_prompt), use_tools([note])), turn)
        sent = [json.dumps(body, ensure_ascii=False).encode() for body in provider.bodies]
    assert values_in(sent, planted) == {value.value for value in planted}


# the whole house


WISHES = (
    "I want to talk to a person. {}",
    "{} Within how many days can I return a product?",
    "Please remind me on 2026-12-03. {}",
    "{} What is the tracking number of order H-100098?",
)


async def through_the_house(handler: Handler, environment: pytest.MonkeyPatch) -> tuple[Asked, list[Planted]]:
    people, planted = People(seed=8), list[Planted]()
    with recording(environment) as asked:
        for number, wish in enumerate(WISHES):
            turn, values = conversation(people)
            history = turn.history if number % 2 else ()
            now = turn.text
            planted += values if history else [value for value in values if value.value in now]
            await run(handler, Turn(wish.format(now), ANN, history))
        labels = {"tenant": ANN.tenant, "user": ANN.id}
        await calls.rerank(planted[0].value, ["one text", "another"], **labels)  # the house may rank by a model
        await models.close()
    return asked, planted


async def test_through_the_whole_house_no_request_holds_a_value(
    with_library: Path, turn_dials: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, planted = await through_the_house(complete_assistant.build(), monkeypatch)
    for path in ("/chat/completions", "/embeddings", "/rerank"):
        assert asked.bodies(path), path
    assert len(planted) > 10
    assert values_in(asked.bodies(), planted) == set()
    assert not needles(["Marisol Quintero"]).find(b"\n".join(asked.bodies()))


async def test_the_house_without_the_layer_sends_them_to_the_model_and_to_nobody_else(
    with_library: Path, turn_dials: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, planted = await through_the_house(complete_assistant.build("multimodal"), monkeypatch)
    assert len(values_in(asked.bodies("/chat/completions"), planted)) > len(planted) / 2
    assert values_in([*asked.bodies("/embeddings"), *asked.bodies("/rerank")], planted) == set()


async def test_what_a_yes_is_asked_for_has_the_real_value(
    with_library: Path, turn_dials: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "Please remind me on 2026-12-03 to write to ann.huber@mail.example.org about my refund."
    with recording(monkeypatch) as asked:
        events = await run(complete_assistant.build(), Turn(text, ANN))
        await models.close()
    (question,) = (event for event in events if isinstance(event, ConfirmationRequired))
    assert "ann.huber@mail.example.org" in question.question
    (waiting,) = checkpoints.default()._execute("SELECT arguments FROM confirmations")
    assert "ann.huber@mail.example.org" in waiting[0]
    assert not needles(["ann.huber@mail.example.org"]).find(b"\n".join(asked.bodies()))
