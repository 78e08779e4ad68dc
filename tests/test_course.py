"""What the course shows: views, widgets, quizzes, exercise checks, charts, the environment check."""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient.exceptions import CellExecutionError
from pydantic import BaseModel, Field, model_validator

from patterns import acme, acme_tools, calls, complete_assistant, ranking, structured_output, tool_use, tools, triage
from patterns.course import charts, control, doctor, exercises, quiz, refresh
from patterns.course.view import Fields, View
from patterns.course.widgets import ConfirmationCard, FieldPanel, ProgressBar, StreamPanel, race
from patterns.errors import CallerError
from patterns.events import (
    Answer,
    ConfirmationRequired,
    Document,
    Event,
    Failed,
    Partial,
    Reset,
    Status,
    TextDelta,
    ToolCall,
    Turn,
)
from patterns.streaming_ux import safe_html

QUESTION = Turn("Explain in detail, step by step, how returns and refunds work.")
Dial = Callable[..., None]


# the view


def view_of(*events: Any) -> View:
    view = View()
    for second, event in enumerate(events):
        view = view.after(event, float(second))
    return view


def test_a_view_follows_a_turn() -> None:
    view = view_of(Status("received"), Status("drafting"), TextDelta("Hel"), TextDelta("lo"), Answer(text="Hello"))
    assert (view.first_event, view.first_token, view.ended, view.tokens) == (0.0, 2.0, 4.0, 2)
    assert (view.text, view.state, view.chunks) == ("Hello", "done", (2.0, 3.0))
    assert view.times() == "done     · first token 2.00 s · total 4.00 s · 2 pieces"


def test_a_reset_takes_the_words_back_and_says_why() -> None:
    view = view_of(TextDelta("wrong"), Reset("It broke."), TextDelta("right"))
    assert view.text == "right" and "starting over: It broke." in view.steps


def test_a_failure_shows_its_sentence_and_its_next_step() -> None:
    view = view_of(TextDelta("half"), Failed("x", "It broke.", "Try <again>.", True))
    assert view.state == "failed" and view.body_html() == "<b>It broke.</b> Try &lt;again&gt;."


@given(st.text())
def test_no_text_gets_out_of_its_place(text: str) -> None:
    hostile = f"<script>{text}</script>"
    view = view_of(Status("working", hostile), TextDelta(hostile))
    assert "<script" not in view.chips_html() + view.body_html()


# a structured value as it lands


def fields_of(*events: Any) -> Fields:
    fields = Fields()
    for second, event in enumerate(events):
        fields = fields.after(event, float(second))
    return fields


SORTED = triage.by_rules(Turn("Where is my parcel?"))


def test_fields_land_one_by_one() -> None:
    fields = fields_of(Status("drafting"), Partial({"a": "x"}), Partial({"a": "x", "b": None}), Partial({"a": "x"}))
    assert fields.lines() == " 1.00 s  a: x"  # what is taken back is gone
    fields = fields_of(Partial({"a": "x"}), Partial({"a": "y", "b": None, "c": [1]}))
    assert fields.lines() == " 0.00 s  a: y\n 1.00 s  b: none\n 1.00 s  c: [1]"


def test_a_reset_takes_all_fields_back() -> None:
    assert fields_of(Partial({"a": "x"}), Reset("It did not fit.")) == Fields()


def test_short_fields_are_chips_and_long_ones_are_folded_away() -> None:
    fields = fields_of(Answer(text="", output=SORTED))
    assert "category: shipping" in fields.chips_html() and "reasoning" not in fields.chips_html()
    assert "<summary>reasoning</summary>" in fields.details_html() and SORTED.reasoning[:20] in fields.details_html()


def test_a_value_by_rules_says_so() -> None:
    assert "decided by rules" in fields_of(Answer(text="", output=SORTED, served="simplified")).chips_html()
    assert "decided by rules" not in fields_of(Answer(text="", output=SORTED)).chips_html()


def test_a_failure_takes_the_place_of_the_chips() -> None:
    fields = fields_of(Partial({"a": "x"}), Failed("x", "It broke.", "Try <again>.", True))
    assert fields.chips_html() == "<b>It broke.</b> Try &lt;again&gt;."


@given(st.text(), st.integers(0, 60))
def test_no_field_gets_out_of_its_place(text: str, length: int) -> None:
    hostile = f"<script>{text}" + "x" * length
    fields = fields_of(Partial({hostile: hostile, "n": [hostile]}))
    assert "<script" not in fields.chips_html() + fields.details_html()


async def test_a_field_panel_shows_the_value_and_returns_it(turn_dials: Dial) -> None:
    panel = FieldPanel("A title")
    for _ in range(2):  # a cell run twice
        fields = await panel.run(triage.handler(), Turn("You charged me twice for order H-100007."))
        assert fields.answer and fields.answer.output and [name for name, _ in fields.landed] == list(fields.value)
        assert list(fields.value) == list(triage.Triage.model_fields)
        assert fields.chips_html() in panel._chips.value and panel._details.value == fields.details_html()
    assert "run the cell" in repr(panel)


# the panel


async def test_a_panel_shows_the_answer_and_returns_its_view(turn_dials: Dial) -> None:
    panel = StreamPanel("A title")
    view = await panel.run(complete_assistant.build(through="streaming_ux"), QUESTION)
    assert view.state == "done" and view.answer and safe_html(view.answer.text) in panel._text.value
    assert panel.button.disabled and "run the cell" in repr(panel)
    again = await panel.run(complete_assistant.build(through="streaming_ux"), QUESTION)
    assert again.text == view.text  # a cell run twice


async def test_stop_from_another_thread_stops_the_provider(turn_dials: Dial) -> None:
    turn_dials(tokens_per_second=40)
    panel = StreamPanel("A title")
    threading.Timer(1.0, panel.button.click).start()
    view = await panel.run(complete_assistant.build(through="streaming_ux"), QUESTION)
    assert view.state == "stopped" and view.tokens > 0
    entry = (await control.settled_log())[-1]
    assert entry["ended"] == "aborted" and entry["tokens_sent"] <= view.tokens + 10
    panel.stop()  # nothing runs: nothing happens


async def test_a_panel_that_shows_the_whole_reports_what_the_reader_saw(turn_dials: Dial) -> None:
    turn_dials(tokens_per_second=200)
    view = await StreamPanel("A title", whole=True).run(complete_assistant.build(through="streaming_ux"), QUESTION)
    assert view.first_token == view.ended and len(view.chunks) == 1 and "1 piece" in view.times()


async def test_an_interrupted_cell_leaves_nothing_running(turn_dials: Dial) -> None:
    turn_dials(tokens_per_second=40)
    cell = asyncio.create_task(StreamPanel("A title").run(complete_assistant.build(through="streaming_ux"), QUESTION))
    await asyncio.sleep(0.7)
    cell.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cell
    assert (await control.settled_log())[-1]["ended"] == "aborted"
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_race_shows_one_answer_twice(turn_dials: Dial, capsys: pytest.CaptureFixture[str]) -> None:
    whole, streamed = await race(complete_assistant.build(through="streaming_ux"), QUESTION)
    assert whole.text == streamed.text and whole.state == streamed.state == "done"


# the card that asks


async def wants_a_call(turn: Turn) -> AsyncGenerator[Event, None]:
    if turn.exchange:
        yield Answer(text="<b>Noted.</b>")
    else:
        yield ToolCall("1", "schedule_follow_up", {"when": "2026-11-10", "note": "<script>"})


@pytest.mark.parametrize(("button", "left"), [("yes", 1), ("no", 0)])
async def test_a_card_decides_once_and_shows_the_rest(own_state: Path, button: str, left: int) -> None:
    handler = tool_use.use_tools(acme_tools.TOOLS)(wants_a_call)
    turn = Turn("Call me.")
    waiting = [event async for event in handler(turn)][-1]
    assert isinstance(waiting, ConfirmationRequired)
    card: Any = ConfirmationCard(waiting, lambda yes: tool_use.resume(handler, waiting.token, yes, turn.user))
    assert "<script>" not in card.children[0].value and "Yes / No" in repr(card)
    threading.Thread(target=getattr(card, button).click).start()
    view = await card.decided()
    card.yes.click()  # after the decision, a press changes nothing
    await asyncio.sleep(0)
    assert view.state == "done" and "&lt;b&gt;Noted." in card.children[2].value
    assert len(acme_tools.desk().work("follow_up")) == left
    assert card.yes.disabled and card.no.disabled


async def test_a_card_shows_why_it_cannot_go_on(own_state: Path) -> None:
    waiting = ConfirmationRequired("gone", "Really?")
    card = ConfirmationCard(waiting, lambda yes: tool_use.resume(wants_a_call, waiting.token, yes, Turn("").user))
    card.yes.click()
    with pytest.raises(CallerError, match="not known"):
        await card.decided()
    assert "not known" in card._text.value


def test_a_progress_bar_follows_a_sync_and_reads_well_as_text() -> None:
    progress = ProgressBar("Index")
    assert repr(progress) == "[progress · Index · run the cell to see it move]"
    progress(0, 0)  # nothing to do is no error
    progress(3, 12)
    assert (progress.bar.value, progress.bar.max) == (3, 12)
    assert repr(progress) == "[progress · Index · 3 of 12]"
    assert progress._repr_mimebundle_()["text/plain"] == repr(progress)


# the controls


async def test_dials_are_at_rest_after_the_block_even_when_it_fails(turn_dials: Dial) -> None:
    with pytest.raises(ZeroDivisionError), control.dials(rate_limited=1.0):
        raise ZeroDivisionError
    assert [piece async for piece in calls.stream([{"role": "user", "content": "hello"}], max_tokens=1)]


def test_a_block_of_dials_inside_another_gives_the_outer_ones_back(turn_dials: Dial) -> None:
    with control.dials(jitter=0.5):
        with control.dials(rate_limited=1.0):
            assert control._ask("GET", "dials")["jitter"] == 0.5
        assert control._ask("GET", "dials")["rate_limited"] == 0.0
        assert control._ask("GET", "dials")["jitter"] == 0.5


def test_an_unknown_dial_is_named() -> None:
    with pytest.raises(CallerError, match="no dial 'warp'"), control.dials(warp=9):
        pass


def test_a_real_provider_has_no_dials(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATTERNS_PROVIDER", "ollama")
    with control.dials(rate_limited=1.0) as turned:
        assert not turned
    assert "A real provider has no dials" in capsys.readouterr().out
    assert control.provider_log() == []


# quizzes


@pytest.mark.parametrize("path", sorted(acme.data_folder().glob("quizzes/*.yaml")), ids=lambda path: path.stem)
def test_every_quiz_loads_and_points_to_a_section_of_its_notebook(path: Path) -> None:
    notebook = (acme.data_folder().parent / "notebooks" / f"{path.stem}.ipynb").read_text(encoding="utf-8")
    for question in quiz.load(path.stem):
        assert len(set(question.options)) == len(question.options) >= 3
        assert f"## {question.section.split(',')[0]}" in notebook


def test_quiz_feedback() -> None:
    question = quiz.Question("?", ("a", "b"), 1, "Since b.", "The shape")
    assert quiz.feedback(question, None) == "Choose an answer first."
    assert quiz.feedback(question, 1) == "✓ Right. Since b."
    assert quiz.feedback(question, 0) == "✗ Not quite. Since b. Read again: The shape."


def test_a_quiz_answers_in_its_widget() -> None:
    panel: Any = quiz.quiz("00_start_here")
    card = panel.children[0]
    choice, (button, said) = card.children[1], card.children[2].children
    choice.value = panel.questions[0].answer
    button.click()
    assert "✓ Right" in said.value
    assert panel.questions[0].text in repr(panel)


def test_a_broken_quiz_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quizzes").mkdir()
    (tmp_path / "quizzes" / "x.yaml").write_text("- {question: a, options: [b, c], answer: 7, why: d, section: e}")
    monkeypatch.setenv("PATTERNS_DATA", str(tmp_path))
    with pytest.raises(CallerError, match=r"x\.yaml"):
        quiz.load("x")
    with pytest.raises(CallerError, match=r"missing\.yaml"):
        quiz.load("missing")


# exercises: every check accepts its solution (the notebooks run those) and refuses these


async def read_it_all(handler: Any, turn: Turn) -> float:
    async for _ in handler(turn):
        pass
    return 0.1


async def no_request(handler: Any, turn: Turn) -> float:
    return 0.1


async def leaves_it_open(handler: Any, turn: Turn) -> float:
    async for event in handler(turn):
        if isinstance(event, TextDelta):
            break
    return 0.1


async def made_up(handler: Any, turn: Turn) -> float:
    async with aclosing(handler(turn)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    return 7.0


def pass_everything(_: int) -> Any:
    return lambda inner: inner


class NoRule(BaseModel):
    reasoning: Annotated[str, Field(max_length=300)]
    decision: Literal["refund", "partial_refund", "refuse"]
    amount: Annotated[float, Field(gt=0)] | None


class NoWords(NoRule):
    @model_validator(mode="after")
    def rule(self) -> "NoWords":
        if (self.amount is None) != (self.decision == "refuse"):
            raise ValueError("wrong")
        return self


class Patterned(NoRule):
    decision: Annotated[str, Field(pattern="refund|partial_refund|refuse")]  # pyright: ignore[reportIncompatibleVariableOverride]


class Uncapped(NoRule):
    reasoning: str

    @model_validator(mode="after")
    def rule(self) -> "Uncapped":
        if (self.amount is None) != (self.decision == "refuse"):
            raise ValueError("the amount does not go with the decision")
        return self


class Reordered(BaseModel):
    decision: Literal["refund", "partial_refund", "refuse"]
    reasoning: str
    amount: float | None


class TooNarrow(NoRule):
    decision: Literal["refund", "refuse"]  # pyright: ignore[reportIncompatibleVariableOverride]


def at_the_end(pieces: Iterator[str]) -> Iterator[Any]:
    yield from json.loads("".join(pieces)).items()


def all_so_far(pieces: Iterator[str], known: Callable[[dict[str, Any]], list[Any]]) -> Iterator[Any]:
    text, told = "", 0
    for piece in pieces:
        text += piece
        fields = known(structured_output.partial(text))
        yield from fields[told:]
        told = max(told, len(fields))


def half_lists(pieces: Iterator[str]) -> Iterator[Any]:
    return all_so_far(pieces, lambda value: list(value.items()))


def never_the_last(pieces: Iterator[str]) -> Iterator[Any]:
    return all_so_far(pieces, lambda value: list(value.items())[:-1])


def again_and_again(pieces: Iterator[str]) -> Iterator[Any]:
    text = ""
    for piece in pieces:
        text += piece
        yield from list(structured_output.partial(text).items())[:-1]


def last_without_its_end(pieces: Iterator[str]) -> Iterator[Any]:
    text, told = "", 0
    for piece in pieces:
        text += piece
        complete = list(structured_output.partial(text).items())[:-1]
        yield from complete[told:]
        told = max(told, len(complete))
    yield from list(structured_output.partial(text).items())[told:]


def drops_but_serves(end: Answer, documents: tuple[Document, ...]) -> Answer:
    kept = [one for one in dict.fromkeys(end.cited_chunk_ids) if one in {document.id for document in documents}]
    return end.model_copy(update={"cited_chunk_ids": tuple(kept), "confident": bool(kept)})


def drops_but_trusts(end: Answer, documents: tuple[Document, ...]) -> Answer:
    checked = drops_but_serves(end, documents)
    if end.cited_chunk_ids and not checked.cited_chunk_ids:
        return checked.model_copy(update={"text": "I could not find that."})
    return checked.model_copy(update={"confident": True})


def as_text(exchange: list[dict[str, Any]]) -> list[int]:
    *before, latest = [message["tool_calls"] for message in exchange if message.get("tool_calls")]
    seen = [call["function"] for calls in before for call in calls]
    return [at for at, call in enumerate(latest) if call["function"] in seen]


def last_step_only(exchange: list[dict[str, Any]]) -> list[int]:
    *_, latest = [message["tool_calls"] for message in exchange if message.get("tool_calls")]
    made = [call["function"] for call in latest]
    return [at for at, call in enumerate(made) if call in made[:at]]


def counts_all_failures(tool: tools.Tool, most: int, opens: str = "circuit_open") -> tools.Tool:
    failures = 0

    def watched(**given: Any) -> Any:
        nonlocal failures
        if failures >= most:
            raise CallerError("It is out of order.", "Go on without it.", opens)
        try:
            return tool.function(**given)
        except CallerError:
            failures += 1
            raise

    return replace(tool, function=watched)


WRONG: list[tuple[str, Any, str]] = [
    ("refund_model", lambda: 7, "a Pydantic model class is expected"),
    ("refund_model", lambda: Patterned, "$.decision: pattern is not supported"),
    ("refund_model", lambda: Reordered, "expected, in this order: reasoning, decision, amount"),
    ("refund_model", lambda: NoRule, "it accepts a refund without an amount"),
    ("refund_model", lambda: NoWords, "does not say what is wrong with the amount"),
    ("refund_model", lambda: Uncapped, "it accepts a reasoning of 301 characters"),
    ("refund_model", lambda: TooNarrow, "it refuses {'reasoning'"),
    ("landed", at_the_end, "it was complete long before"),
    ("landed", half_lists, "tags came as []"),
    ("landed", never_the_last, "these came: category, confidence, tags, note;"),
    ("landed", again_and_again, "category came twice"),
    ("landed", last_without_its_end, "has no complete tags"),
    ("rank_fusion", lambda rankings, k: rankings[0] if rankings else [], "is right: c is first in one list"),
    ("rank_fusion", lambda rankings, k: [name for name, _ in ranking.fuse(*rankings, k=60)], "with k=1 gave"),
    ("rank_fusion", lambda rankings, k: sorted({name for one in rankings for name in one}), "is right"),
    ("only_given", lambda end, documents: end, "and ('a#1',) was given"),
    ("only_given", drops_but_serves, "do not serve it"),
    ("only_given", drops_but_trusts, "without any source is not confident"),
    ("repeated", lambda exchange: None, "it returned None; [] is expected"),
    ("repeated", lambda exchange: [], "the same call in two messages: it returned []"),
    ("repeated", last_step_only, "the same call in two messages: it returned []"),
    ("repeated", as_text, "the same call three times in one message: it returned []"),
    ("circuit", lambda tool, most: None, "it must return a tool"),
    ("circuit", lambda tool, most: tool, "of five calls to a tool that fails, 5 ran it; expected 3"),
    ("circuit", counts_all_failures, "a success starts the count anew"),
    ("first_token_seconds", read_it_all, "generated all"),
    ("first_token_seconds", no_request, "saw no request"),
    ("first_token_seconds", leaves_it_open, "goes on generating"),
    ("first_token_seconds", made_up, "it returned 7.00 s"),
    ("at_most", pass_everything, "generated all"),
    ("cap_characters", pass_everything, "newest 0 of 10 messages fit, not 10"),
    ("cap_characters", lambda n: 1 / 0, "ZeroDivisionError"),
]


@pytest.mark.parametrize(("name", "solution", "said"), WRONG)
async def test_a_wrong_solution_hears_what_was_seen(
    turn_dials: Dial, capsys: pytest.CaptureFixture[str], name: str, solution: Any, said: str
) -> None:
    turn_dials(tokens_per_second=100)
    await exercises.check(name, solution)
    line = capsys.readouterr().out
    assert line.startswith("○ Not yet") and said in line


# of notebook 03


def cancelling(allowed: tuple[str, ...] = ("placed", "packed"), **flaws: bool) -> Callable[[], tools.Tool]:
    """A solution of the exercise `cancel_order`, with flaws."""

    def cancel_order(order_id: str, turn: Turn) -> dict[str, str]:
        """Cancel an order."""
        order = acme.orders().get(order_id if flaws.get("letter") else order_id.upper())
        if order is None:
            if flaws.get("crash"):
                raise KeyError(order_id)
            raise CallerError("There is no such order.", "Ask for the number.", "not_found")
        if order["customer"] != turn.user.id and not flaws.get("anybody"):
            raise CallerError("Not yours.", "Ask for the number.", "forbidden" if flaws.get("tells") else "not_found")
        if flaws.get("early"):
            acme_tools.desk().leave("cancellation", turn, order_id, "")
        if order["status"] not in allowed:
            raise CallerError("Too late.", "Offer a return.", "too_late")
        if not flaws.get("early") and not flaws.get("idle"):
            acme_tools.desk().leave("cancellation", turn, order_id, "")
        return {"cancelled": order_id}

    question = "Shall we cancel it?" if flaws.get("mute") else "Shall we cancel {order_id}?"
    made = (
        tools.tool(cancel_order) if flaws.get("read") else tools.tool(effect="write", question=question)(cancel_order)
    )
    return lambda: made


def chopped(size: int) -> Callable[[list[Any], int, int], dict[str, Any]]:
    """A solution of the exercise `paged` that counts items, not characters."""

    def paged(items: list[Any], page: int, limit: int) -> dict[str, Any]:
        pages = max(1, -(-len(items) // size))
        return {"items": items[(page - 1) * size : page * size], "page": page, "pages": pages}

    return paged


async def test_the_right_tool_passes(own_state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await exercises.check("cancel_order", cancelling())
    assert capsys.readouterr().out.startswith("✓")


@pytest.mark.parametrize(
    ("name", "solution", "said"),
    [
        ("cancel_order", lambda: print, "a function under @tool"),
        ("cancel_order", cancelling(read=True), 'its effect is "read"'),
        ("cancel_order", cancelling(mute=True), "does not name the order"),
        ("cancel_order", cancelling(anybody=True), "C-0001 could cancel an order that is not in this account"),
        ("cancel_order", cancelling(tells=True), "worth guessing"),
        ("cancel_order", cancelling(crash=True), "Raise a CallerError"),
        ("cancel_order", cancelling(("placed", "packed", "shipped")), "H-100098 could be cancelled, and it is shipped"),
        ("cancel_order", cancelling(("placed", "packed", "cancelled")), "H-100085 could be cancelled"),
        ("cancel_order", cancelling(("packed",)), "h-100109 belongs to C-0009"),
        ("cancel_order", cancelling(letter=True), "h-100109 belongs to C-0009"),
        ("cancel_order", cancelling(early=True), "left the cancellation on the desk all the same"),
        ("cancel_order", cancelling(idle=True), "has 0 more; expected 1"),
        ("paged", lambda items, page, limit: items, "a dict with items, page and pages"),
        ("paged", lambda items, page, limit: {"items": items, "page": 1, "pages": 1}, "400 are allowed"),
        ("paged", chopped(2), "fill each page"),
        ("paged", chopped(6), "page 0 does not exist"),
        ("paged", lambda items, page, limit: {**chopped(6)(items, page, limit), "page": 1}, "page 1 of 10"),
        (
            "paged",
            lambda items, page, limit: {**chopped(6)(items, 1, limit), "page": page},
            "each of the 60 must come once",
        ),
    ],
)
async def test_a_wrong_solution_of_notebook_03_hears_what_was_seen(
    own_state: Path, capsys: pytest.CaptureFixture[str], name: str, solution: Any, said: str
) -> None:
    await exercises.check(name, solution)
    line = capsys.readouterr().out
    assert line.startswith("○ Not yet") and said in line


# charts and the environment


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = []
    monkeypatch.setattr(charts, "display", lambda data, metadata, raw: seen.append((data, metadata)))
    return seen


def test_charts_say_their_data_in_words(shown: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    charts.gantt({"blocking": [4.0], "streaming": [0.5, 1.0], "nothing": []})
    charts.lines({"all": {0: 0.5, 10: 2.0}}, "First token", "turns", "s", target=0.8)
    alts = [metadata["image/png"]["alt"] for _, metadata in shown]
    assert "streaming: 2 pieces, first after 0.50 s, last after 1.00 s" in alts[0]
    assert "all goes from 0.50 s at 0 to 2.00 s at 10" in alts[1] and "target is 0.80 s" in alts[1]
    charts.bars({"rules": 0.4, "model": 0.25}, "Right", "share", {"rules": (0.3, 0.5), "model": (0.15, 0.35)})
    charts.bars({"fenced": 4}, "Broken", "replies")
    said = [("a", "a"), ("a", "b"), ("b", "a"), ("b", "a"), ("c", "c"), ("c", "a")]
    charts.confusion({"small": said, "sure": [("a", "a")]}, ["a", "b", "c"], "Is and said")
    alts = [metadata["image/png"]["alt"] for _, metadata in shown]
    assert alts[2] == "Right, share: rules 0.40 (from 0.30 to 0.50); model 0.25 (from 0.15 to 0.35)."
    assert alts[3] == "Broken, replies: fenced 4."
    small = "small: 2 of 6 right, most often b taken for a (2 times) and a taken for b (1 time)"
    assert alts[4] == f"Is and said. {small}; sure: 1 of 1 right."
    took = {"healthy": {"calls": [2, 3, 2], "time": [0.5, 1.0, 2.0]}, "loops": {"calls": [6, 6], "time": [3.0, 5.0]}}
    charts.spread(took, "Runs", {"calls": "{:.0f}", "time": "{:.2f} s"})
    alts = [metadata["image/png"]["alt"] for _, metadata in shown]
    calls = "calls, median: healthy 2 (at most 3), loops 6 (at most 6)"
    assert alts[5] == f"Runs. {calls}; time, median: healthy 1.00 s (at most 2.00 s), loops 4.00 s (at most 5.00 s)."
    printed = capsys.readouterr().out
    assert all(alt in printed for alt in alts)
    assert all(data["image/png"] and data["text/plain"].startswith("[chart: ") for data, _ in shown)


def test_dots_count_what_is_below_the_border(shown: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    charts.dots({"known": [0.4, 0.6, 0.8], "unknown": [0.2, 0.7]}, "Best match", "cosine", border=("threshold", 0.5))
    [(_, metadata)] = shown
    alt = metadata["image/png"]["alt"]
    assert "known: 3 from 0.40 to 0.80, median 0.60, 1 below the threshold" in alt
    assert "unknown: 2 from 0.20 to 0.70, median 0.45, 1 below the threshold" in alt
    assert alt in capsys.readouterr().out


async def test_the_environment_check_finds_all_well(turn_dials: Dial, capsys: pytest.CaptureFixture[str]) -> None:
    assert await doctor.check_environment()
    assert "All is well." in capsys.readouterr().out


async def test_the_environment_check_names_the_fix(
    turn_dials: Dial, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    with monkeypatch.context() as broken:
        broken.setenv("PATTERNS_STATE", str(tmp_path / "file"))
        broken.setenv("PATTERNS_PROVIDER", "openai")
        assert not await doctor.check_environment()
    said = capsys.readouterr().out
    assert said.count("✗") >= 2 and "PATTERNS_STATE" in said and "OPENAI_API_KEY" in said


# keeping notebooks


def notebook_at(path: Path, *sources: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources]), path)
    return path


def test_refresh_keeps_outputs_and_drops_what_is_volatile(tmp_path: Path) -> None:
    path = notebook_at(tmp_path / "a.ipynb", "print('x')\nprint('y')", "from ipywidgets import Button\nButton()")
    refresh.refresh(path)
    cells = json.loads(path.read_text())["cells"]
    assert cells[0]["outputs"][0]["text"] == ["x\n", "y\n"] and not cells[0]["metadata"]
    assert set(cells[1]["outputs"][0]["data"]) == {"text/plain"}


def test_refresh_leaves_a_failing_notebook_as_it_was(tmp_path: Path) -> None:
    path = notebook_at(tmp_path / "a.ipynb", "print(1)", "1/0")
    before = path.read_bytes()
    with pytest.raises(CellExecutionError):
        refresh.refresh(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
