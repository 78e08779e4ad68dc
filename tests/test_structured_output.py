"""Structured output: fields as they land, nothing that does not fit, a bounded number of repairs, an honest way out."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from itertools import pairwise
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from scripted import Cut, scripted

from patterns import complete_assistant, ledger, metrics
from patterns.core import model_call
from patterns.course import control
from patterns.errors import CallerError
from patterns.events import Answer, Event, Handler, Partial, Reset, Status, TextDelta, ToolCall, Turn, answer, stack
from patterns.structured_output import REPAIRS, ChatAnswer, InvalidReply, bare, partial, read, structured

Dial = Callable[..., None]


class Card(BaseModel):
    """A model without a field `text`."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(min_length=1, max_length=40)]
    colour: Literal["red", "green", "greenish"]
    share: Annotated[float, Field(ge=0, le=1)]
    tags: list[str]
    note: str | None


CARD: dict[str, Any] = {"title": "A", "colour": "green", "share": 0.25, "tags": ["x", "y"], "note": None}
CHAT: dict[str, Any] = {"text": "It takes 30 days.", "cited_chunk_ids": ["a#1"], "confident": True}
GOOD = json.dumps(CHAT)


def prompt(turn: Turn) -> list[dict[str, Any]]:
    return [{"role": "user", "content": turn.text}]


CORE = model_call(prompt)


async def collect(handler: Handler, turn: Turn = Turn("hello")) -> list[Event]:
    async with aclosing(handler(turn)) as events:
        return [event async for event in events]


def seen(events: Sequence[Event]) -> str:
    """The text that a reader has at the end."""
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


def kinds(events: Sequence[Event]) -> list[str]:
    """The events' kinds without statuses, runs of the same kind as one."""
    found = [event.kind for event in events if not isinstance(event, Status)]
    return [kind for at, kind in enumerate(found) if at == 0 or found[at - 1] != kind]


def pieces(text: str, *cuts: int) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in pairwise(places)]


# what has arrived so far

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6)
)
values = st.recursive(leaves, lambda some: st.lists(some) | st.dictionaries(st.text(max_size=4), some), max_leaves=8)
objects = st.dictionaries(st.text(max_size=4), values, max_size=5)


def part_of(begun: Any, whole: Any) -> bool:
    """Whether `begun` is a beginning of `whole`: lists and objects may be short, all else is there or is not."""
    if isinstance(whole, dict):
        return isinstance(begun, dict) and all(key in whole and part_of(begun[key], whole[key]) for key in begun)
    if isinstance(whole, list):
        return isinstance(begun, list) and len(begun) <= len(whole) and all(map(part_of, begun, whole))
    return type(begun) is type(whole) and begun == whole


@settings(deadline=None)
@given(objects, st.booleans(), st.sampled_from([None, 2]))
def test_fields_land_one_by_one_and_never_half(value: dict[str, Any], escaped: bool, indent: int | None) -> None:
    text = "Sure: " + json.dumps(value, ensure_ascii=escaped, indent=indent)
    before: Any = {}
    for end in range(len(text) + 1):
        now = partial(text[:end])
        assert part_of(before, now) and part_of(now, value)
        before = now
    assert before == value


@settings(deadline=None)
@given(st.text(min_size=1), st.booleans())
def test_an_open_string_grows(words: str, escaped: bool) -> None:
    text = json.dumps({"text": words, "confident": True}, ensure_ascii=escaped)
    before = ""
    for end in range(len(text) + 1):
        now = partial(text[:end], open_strings=True).get("text", "")
        assert now.startswith(before) and words.startswith(now)
        before = now
    assert before == words


@settings(deadline=None)
@given(st.text() | st.text('{}[]",:\\0123456789.eE-+ntrufals \n'), st.booleans())
def test_no_text_breaks_the_partial_reader(text: str, open_strings: bool) -> None:
    assert isinstance(partial(text, open_strings), dict)
    assert isinstance(partial("{" + text, open_strings), dict)


# the boundary


def dressed(text: str) -> list[str]:
    """A reply as models dress it up."""
    return [
        text,
        f"\n {text}\n",
        f"```json\n{text}\n```",
        f"```\n{text}\n```",
        f"Here is what you asked for:\n\n{text}\n\nAnything else?",
        f"Of course!\n```json\n{text}\n```\nI hope this helps {{really}}.",
    ]


@settings(deadline=None)
@given(
    st.builds(
        ChatAnswer,
        text=st.text(min_size=1, max_size=60).filter(lambda text: "```" not in text),
        cited_chunk_ids=st.lists(st.text("ab#1{}", max_size=5), max_size=3).map(tuple),
        confident=st.booleans(),
    ),
    st.integers(0, 5),
)
def test_a_reply_that_fits_is_read_however_it_is_dressed(value: ChatAnswer, dress: int) -> None:
    assert read(ChatAnswer, dressed(value.model_dump_json())[dress]) == value


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "blue"},
        {"colour": "Green"},
        {"colour": "green "},
        {"share": 1.5},
        {"share": "0.25"},
        {"share": True},
        {"share": None},
        {"title": ""},
        {"title": "x" * 41},
        {"title": 7},
        {"tags": "x"},
        {"tags": [1]},
        {"note": False},
        {"more": 1},
    ],
)
@pytest.mark.parametrize("dress", range(6))
def test_nothing_inside_the_json_is_forgiven(change: dict[str, Any], dress: int) -> None:
    before = metrics.value("structured_output.invalid", schema="Card")
    with pytest.raises(InvalidReply) as caught:
        read(Card, dressed(json.dumps(CARD | change))[dress])
    assert next(iter(change)) in caught.value.complaint
    assert metrics.value("structured_output.invalid", schema="Card") == before + 1


@pytest.mark.parametrize("field", CARD)
def test_no_field_is_made_up(field: str) -> None:
    with pytest.raises(InvalidReply, match=f"{field}: Field required"):
        read(Card, json.dumps({name: value for name, value in CARD.items() if name != field}))


@settings(deadline=None)
@given(st.text())
def test_other_text_is_refused_and_only_in_our_words(text: str) -> None:
    with pytest.raises(InvalidReply):
        read(Card, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '"green"',
        json.dumps([CARD, CARD]),
        json.dumps(CARD)[:-1],
        json.dumps(CARD).replace("0.25", "NaN"),
        json.dumps(CARD).replace('"A"', '"\ud800"'),
        json.dumps(CARD) + json.dumps(CARD | {"colour": "red"}),
        '{"title":' * 10_000,
        "I cannot do that.",
    ],
)
def test_what_is_not_exactly_one_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidReply):
        read(Card, text)


def test_a_schema_without_extra_forbid_is_closed_all_the_same() -> None:
    class Loose(BaseModel):
        number: int

    assert read(Loose, '{"number": 1}').number == 1
    with pytest.raises(InvalidReply, match="more"):
        read(Loose, '{"number": 1, "more": 2}')


def test_a_long_list_of_complaints_is_cut() -> None:
    with pytest.raises(InvalidReply) as caught:
        read(Card, json.dumps(CARD | {"tags": list(range(100))}))
    assert len(caught.value.complaint) < 500


def test_bare_leaves_an_object_alone() -> None:
    fence_inside = json.dumps({"text": "```json\n{}\n```"})
    assert bare(fence_inside) == fence_inside
    assert bare("no braces") == "no braces"


# the layer, around any handler


def replaying(replies: Sequence[Sequence[str]], calls: list[Turn]) -> Handler:
    """A model call that gives these replies, each in these pieces."""

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        reply = replies[min(len(calls), len(replies) - 1)]
        calls.append(turn)
        yield Status("drafting")
        for piece in reply:
            yield TextDelta(piece)
        yield Answer(text="".join(reply))

    return handle


chats = st.builds(
    ChatAnswer,
    text=st.text(min_size=1, max_size=30),
    cited_chunk_ids=st.lists(st.text(max_size=3), max_size=2).map(tuple),
    confident=st.booleans(),
).map(lambda value: value.model_dump_json())
replies = st.one_of(
    chats,
    chats.map(lambda text: text[: len(text) // 2]),
    chats.map(lambda text: text.replace('"confident":', '"sure":')),
    chats.map(lambda text: text[:-1] + ', "text": "Another."}'),
    st.tuples(chats, st.integers(0, 5)).map(lambda made: dressed(made[0])[made[1]]),
    st.text(max_size=20),
)
streams = st.tuples(replies, st.lists(st.integers(0, 200), max_size=8)).map(lambda made: pieces(made[0], *made[1]))


@settings(deadline=None)
@given(st.lists(streams, min_size=1, max_size=4), st.integers(0, 3), st.booleans())
def test_whatever_the_model_says_the_end_is_valid_and_what_was_shown(
    script: list[list[str]], repairs: int, with_fallback: bool
) -> None:
    calls: list[Turn] = []
    spare = ChatAnswer(text="Spare.", cited_chunk_ids=(), confident=False)
    layer = structured(ChatAnswer, repairs=repairs, fallback=(lambda turn: spare) if with_fallback else None)
    events = asyncio.run(collect(layer(replaying(script, calls))))
    *_, end = events
    assert 1 <= len(calls) <= 1 + repairs
    assert all(call.output is ChatAnswer for call in calls)
    assert isinstance(end, Answer) and sum(isinstance(event, Answer) for event in events) == 1
    if end.served == "live":
        assert isinstance(end.output, ChatAnswer)
        assert end.text == end.output.text == seen(events)
    else:
        assert len(calls) == 1 + repairs
        assert end.output == (spare if with_fallback else None)
        assert end.text and not end.confident and seen(events) == ""
        assert end.outcome == ("partial" if with_fallback else "failure")


@settings(deadline=None)
@given(st.lists(st.integers(0, 200), max_size=12))
def test_fields_of_a_model_without_text_come_one_by_one(cuts: list[int]) -> None:
    events = asyncio.run(collect(structured(Card)(replaying([pieces(json.dumps(CARD), *cuts)], []))))
    shown = [event.value for event in events if isinstance(event, Partial)]
    assert shown and shown[-1] == CARD and not any(isinstance(event, TextDelta) for event in events)
    for before, after in pairwise(shown):
        assert part_of(before, after) and list(after)[: len(before)] == list(before)


def test_a_card_said_word_by_word_shows_every_stage() -> None:
    events = asyncio.run(collect(structured(Card)(replaying([list(json.dumps(CARD))], []))))
    stages = [list(event.value) for event in events if isinstance(event, Partial)]
    assert [len(stage) for stage in stages] == sorted(len(stage) for stage in stages)
    assert {len(stage) for stage in stages} >= {1, 2, 3, 4, 5}


# the layer, with a provider


async def test_the_schema_is_on_the_wire_and_a_good_reply_is_asked_for_once() -> None:
    async with scripted(GOOD) as provider:
        events = await collect(structured()(CORE))
    end = events[-1]
    assert provider.requests == 1 and provider.bodies[0]["response_format"]["json_schema"]["name"] == "ChatAnswer"
    assert isinstance(end, Answer) and end.output == ChatAnswer(**CHAT) and end.served == "live"
    assert (end.text, end.cited_chunk_ids, end.confident) == (CHAT["text"], ("a#1",), True)
    assert kinds(events) == ["text_delta", "answer"] and seen(events) == end.text


@pytest.mark.parametrize("repairs", [0, 1, REPAIRS, 4])
async def test_there_are_never_more_repairs_than_allowed(repairs: int) -> None:
    before = metrics.value("structured_output.invalid", schema="ChatAnswer")
    gave_up = metrics.value("structured_output.fallback", schema="ChatAnswer")
    async with scripted("I would rather not.") as provider:
        end = await answer(structured(repairs=repairs)(CORE), Turn("hello"))
        assert provider.requests == 1 + repairs
    assert (end.served, end.outcome, end.output, end.confident) == ("simplified", "failure", None, False) and end.text
    assert metrics.value("structured_output.invalid", schema="ChatAnswer") == before + 1 + repairs
    assert metrics.value("structured_output.fallback", schema="ChatAnswer") == gave_up + 1


async def test_a_repair_carries_the_reply_and_the_reason() -> None:
    wrong = json.dumps(CARD | {"colour": "blue"})
    async with scripted(wrong, json.dumps(CARD)) as provider:
        end = await answer(structured(Card)(CORE), Turn("hello"))
    first, second = (body["messages"] for body in provider.bodies)
    assert end.output == Card(**CARD) and second[: len(first)] == first
    said, complaint = second[len(first) :]
    assert said == {"role": "assistant", "content": wrong}
    assert complaint["role"] == "user" and "colour" in complaint["content"] and "'greenish'" in complaint["content"]
    outcomes = [call.outcome for call in ledger.default().calls()]
    assert outcomes == ["done", "done"]  # the wasted call is paid for, and in the book


async def test_each_repair_sees_the_ones_before_it() -> None:
    async with scripted("one", "two", GOOD) as provider:
        await answer(structured()(CORE), Turn("hello"))
    said = [message["content"] for message in provider.bodies[-1]["messages"] if message["role"] == "assistant"]
    assert said == ["one", "two"]


async def test_a_reply_that_was_cut_off_is_asked_for_shorter() -> None:
    async with scripted(Cut(GOOD[:-10]), GOOD) as provider:
        end = await answer(structured()(CORE), Turn("hello"))
    assert "be shorter" in provider.bodies[1]["messages"][-1]["content"]
    assert end.served == "live" and not end.truncated


async def test_an_empty_reply_is_repaired_too() -> None:
    async with scripted("", GOOD) as provider:
        assert (await answer(structured()(CORE), Turn("hello"))).served == "live"
    assert provider.bodies[1]["messages"][-2]["content"]  # some providers refuse an empty message


async def test_a_reset_comes_before_text_is_said_again() -> None:
    wrong = json.dumps(CHAT | {"text": "Wrong words.", "confident": "perhaps"})
    async with scripted(wrong, GOOD):
        events = await collect(structured()(CORE))
    assert kinds(events) == ["text_delta", "reset", "text_delta", "answer"]
    assert seen(events) == CHAT["text"]


async def test_nothing_is_taken_back_when_nothing_was_shown() -> None:
    async with scripted("No JSON here.", GOOD):
        assert kinds(await collect(structured()(CORE))) == ["text_delta", "answer"]


async def test_the_fallback_is_made_from_the_turn() -> None:
    def by_hand(turn: Turn) -> Card:
        return Card(title=turn.text, colour="red", share=0, tags=[], note=None)

    async with scripted("no"):
        end = await answer(structured(Card, fallback=by_hand)(CORE), Turn("hello"))
    assert isinstance(end.output, Card) and end.output.title == "hello"
    assert (end.served, end.outcome, end.confident) == ("simplified", "partial", False)
    assert json.loads(end.text) == end.output.model_dump()


@pytest.mark.parametrize("before", [[], ["Let me see. "]])
async def test_tool_calls_pass_through(before: list[str]) -> None:
    async with scripted([*before, ("find", {"id": "H-1"}), ("find", "{broken")]) as provider:
        events = await collect(structured()(CORE))
    assert provider.requests == 1  # not taken for an invalid reply
    assert [event for event in events if not isinstance(event, Status)] == [
        ToolCall("call_1_0", "find", {"id": "H-1"}),
        ToolCall("call_1_1", "find", "{broken"),
    ]


async def test_a_schema_outside_the_portable_subset_never_reaches_the_provider() -> None:
    class Free(BaseModel):
        rest: dict[str, str]

    async with scripted(GOOD) as provider:
        with pytest.raises(CallerError, match=r"\$\.rest"):
            await answer(structured(Free)(CORE), Turn("hello"))
        assert provider.requests == 0


async def test_closing_in_the_middle_stops_the_provider(turn_dials: Dial) -> None:
    turn_dials(tokens_per_second=20)
    handler = stack(complete_assistant.core, structured())
    async with aclosing(handler(Turn("Explain in detail how returns and refunds work."))) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    entry = (await control.settled_log())[-1]
    assert entry["ended"] == "aborted" and entry["tokens_sent"] < entry["tokens_planned"]
    assert ledger.default().calls()[-1].outcome == "aborted"
