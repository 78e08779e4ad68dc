"""What the course shows: views, widgets, quizzes, exercise checks, charts, the environment check."""

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient.exceptions import CellExecutionError

from patterns import acme, calls, complete_assistant
from patterns.course import charts, control, doctor, exercises, quiz, refresh
from patterns.course.view import View
from patterns.course.widgets import StreamPanel, race
from patterns.errors import CallerError
from patterns.events import Answer, Failed, Reset, Status, TextDelta, Turn
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


WRONG: list[tuple[str, Any, str]] = [
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
    printed = capsys.readouterr().out
    assert all(alt in printed for alt in alts)
    assert all(data["image/png"] and data["text/plain"].startswith("[chart: ") for data, _ in shown)


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
