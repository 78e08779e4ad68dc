"""The provider reads stand-ins, the customer and the tools read what was said, and nothing of it is kept."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from patterns import acme
from patterns.events import Answer, Event, Message, Partial, Reset, TextDelta, ToolCall, Turn, User, answer
from patterns.pseudonyms import Mending, StandIns, name_of, pseudonymised

MAIL, PHONE, CARD = "ann@mail.example", "+43 664 1234567", "4111 1111 1111 1111"
SAID = f"I am Marisol Quintero, write to {MAIL} or call {PHONE}."
PIECES = st.sampled_from(
    [
        *(MAIL, PHONE, CARD, "Ann Lee", "<EMAIL_1>", "<TEXT_1>", "EMAIL_1", "TEXT_1", "PHONE_", "NAM", "x", "1"),
        *("<", ">", "<EMAIL_", "1>", "\\", '"', "@", "\u200b", " "),
    ]
)


class Model:
    """A handler that writes down its turn and says what a test gives it."""

    def __init__(self, *events: Event) -> None:
        self.events, self.turn = events, Turn("")

    async def __call__(self, turn: Turn) -> AsyncGenerator[Event, None]:
        self.turn = turn
        for event in self.events:
            yield event


async def run(model: Model, turn: Turn) -> list[Event]:
    return [event async for event in pseudonymised()(model)(turn)]


@given(st.lists(st.text() | PIECES).map("".join))
@example("<EMAIL_1> ann@mail.example <TEXT_1><TEXT_2>")
def test_what_was_hidden_is_shown_again_letter_by_letter(text: str) -> None:
    stand_ins = StandIns(names=["Ann Lee"])
    assert stand_ins.show(stand_ins.hide(text)) == text


@given(st.lists(st.text(max_size=5) | PIECES).map("".join), st.lists(st.integers(1, 5)))
def test_a_stream_cut_anywhere_gives_the_same_text(text: str, cuts: list[int]) -> None:
    stand_ins = StandIns()
    hidden = stand_ins.hide(text)
    mending, said, place = Mending(stand_ins), [], 0
    for cut in [*cuts, len(hidden)]:
        said.append(mending.more(hidden[place : place + cut]))
        place += cut
    assert "".join([*said, mending.more(hidden[place:]), mending.rest()]) == text


async def test_the_model_reads_stand_ins_and_the_customer_reads_the_values() -> None:
    model = Model(
        TextDelta("We write to <EM"), TextDelta("AIL_1"), TextDelta("> today, <NAME_1>."), Answer(text="To <EMAIL_1>.")
    )
    events = await run(model, Turn(SAID, history=(Message("user", f"My card is {CARD}"),)))
    assert model.turn.text == "I am <NAME_1>, write to <EMAIL_1> or call <PHONE_1>."
    assert model.turn.history == (Message("user", "My card is <CARD_1>"),)
    said = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert said == f"We write to {MAIL} today, Marisol Quintero."
    assert isinstance(events[-1], Answer) and events[-1].text == f"To {MAIL}."


async def test_tools_get_the_real_values_and_their_results_are_hidden() -> None:
    asked = {"id": "a", "type": "function", "function": {"name": "note", "arguments": json.dumps({"to": MAIL})}}
    result = {"role": "tool", "tool_call_id": "a", "content": json.dumps({"phone": PHONE})}
    exchange: tuple[dict[str, Any], ...] = ({"role": "assistant", "content": None, "tool_calls": [asked]}, result)
    model = Model(ToolCall("b", "note", {"to": ["<EMAIL_1>"], "call": "<PHONE_1>"}), ToolCall("c", "note", "<EMAIL_1>"))
    events = await run(model, Turn("Note it.", exchange=exchange))
    assert MAIL not in str(model.turn) and PHONE not in str(model.turn)
    assert events == [ToolCall("b", "note", {"to": [MAIL], "call": PHONE}), ToolCall("c", "note", MAIL)]


async def test_what_was_personal_once_is_hidden_where_nothing_says_that_it_is() -> None:
    result = {"role": "tool", "tool_call_id": "a", "content": '{"message": "There is no order 078051120."}'}
    model = Model(Answer(text=""))
    await run(model, Turn("My SSN is 078051120, where is it?", exchange=(result,)))
    assert model.turn.exchange[0]["content"] == '{"message": "There is no order <SSN_1>."}'


def test_the_beginning_of_a_longer_value_is_not_taken_for_one_that_is_known() -> None:
    stand_ins = StandIns()
    stand_ins.hide("My SSN is 078051120.")
    assert stand_ins.hide("I paid with 4111 1111 1111 1111 and 078051120x") == "I paid with <CARD_1> and 078051120x"
    assert (
        stand_ins.hide(f"Write to {MAIL}, to x{MAIL} and to {MAIL}")
        == "Write to <EMAIL_1>, to <EMAIL_2> and to <EMAIL_1>"
    )


class Reply(BaseModel):
    text: str


async def test_a_structured_value_stays_valid_json_whatever_is_put_back() -> None:
    said = 'Is {"a": "x\\u0040y.example"} right?'
    model = Model(
        Partial({"text": "<EMAIL_1>"}), TextDelta('{"text": "<EMAIL_1>"}'), Answer(text='{"text": "<EMAIL_1>"}')
    )
    partial, delta, end = await run(model, Turn(said, output=Reply))
    assert isinstance(partial, Partial) and isinstance(delta, TextDelta) and isinstance(end, Answer)
    assert json.loads(delta.text) == json.loads(end.text) == partial.value == {"text": "x\\u0040y.example"}


async def test_what_somebody_types_stands_for_nothing_of_others() -> None:
    model = Model(Answer(text="<EMAIL_1> <TEXT_1> <EMAIL_2>"))
    first = await answer(pseudonymised()(model), Turn(SAID))
    other = await answer(pseudonymised()(model), Turn("What is <EMAIL_1>?", User("C-0002")))
    assert MAIL in first.text and MAIL not in other.text
    assert other.text == "<EMAIL_1> <EMAIL_1> <EMAIL_2>"
    assert model.turn.text == "What is <TEXT_1>?"


async def test_a_stand_in_keeps_its_value_while_the_conversation_grows() -> None:
    model = Model(Answer(text=""))
    await run(model, Turn(f"First {MAIL}"))
    before = model.turn.text
    await run(model, Turn(f"Then b@mail.example and {MAIL}", history=(Message("user", f"First {MAIL}"),)))
    assert model.turn.history[0].text == before == "First <EMAIL_1>"
    assert model.turn.text == "Then <EMAIL_2> and <EMAIL_1>"


async def test_a_reset_in_the_middle_of_a_stand_in_drops_it() -> None:
    model = Model(TextDelta("To <EMA"), Reset("again"), TextDelta("Yes"), Answer(text="Yes"))
    assert await run(model, Turn(SAID)) == [TextDelta("To "), Reset("again"), TextDelta("Yes"), Answer(text="Yes")]


async def test_a_model_that_leaves_the_brackets_out_is_understood() -> None:
    said = ("To EMA", "IL_1", ", or PHONE_1")
    events = await run(Model(*map(TextDelta, said), Answer(text="To EMAIL_1, or PHONE_1")), Turn(SAID))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == f"To {MAIL}, or {PHONE}"
    assert isinstance(events[-1], Answer) and events[-1].text == f"To {MAIL}, or {PHONE}"
    assert StandIns().hide("EMAIL_1") == "<TEXT_1>"


async def test_a_longer_word_is_no_stand_in() -> None:
    words = "E-MAIL EMAIL_12 MY_EMAIL_1 EMAIL_1x <EMAIL_1"
    events = await run(Model(TextDelta("MY_"), TextDelta("EMAIL_1"), TextDelta(" " + words)), Turn(SAID))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == f"MY_EMAIL_1 {words}"


async def test_text_that_only_began_like_a_stand_in_is_not_lost() -> None:
    events = await run(Model(TextDelta("a <EMAIL"), Answer(text="a <EMAIL")), Turn("hi"))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "a <EMAIL"


def test_the_name_is_that_of_the_account() -> None:
    assert name_of(acme.user("C-0001")) == ("Marisol Quintero",)
    assert name_of(User("C-0001", "acme-nord")) == name_of(User("nobody")) == ()


@pytest.mark.parametrize("length", [10_000_000])
def test_a_text_of_ten_megabytes_comes_back(length: int) -> None:
    text = "x" * length + MAIL
    stand_ins = StandIns()
    assert stand_ins.show(stand_ins.hide(text)) == text
