"""Quick checks: a few questions at the end of a notebook, graded on this machine.

    quiz("01_streaming_ux")

The questions are in `data/quizzes/<stem>.yaml`. Without widgets the cell shows them as text.
"""

from dataclasses import dataclass
from functools import partial
from html import escape

import ipywidgets
import yaml

from .. import acme
from ..errors import CallerError
from .widgets import PlainText


@dataclass(frozen=True, slots=True)
class Question:
    """`answer` is the right option's position, `why` is shown after every try, `section` is where to read again."""

    text: str
    options: tuple[str, ...]
    answer: int
    why: str
    section: str


def load(stem: str) -> tuple[Question, ...]:
    """The questions of a notebook. Raises CallerError that names the file and the reason."""
    path = acme.data_folder() / "quizzes" / f"{stem}.yaml"
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
        questions = tuple(
            Question(row["question"], tuple(map(str, row["options"])), row["answer"], row["why"], row["section"])
            for row in rows
        )
        if bad := [question.text for question in questions if not 0 <= question.answer < len(question.options)]:
            raise ValueError(f"the answer to {bad[0]!r} is none of its options")
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise CallerError(f"The quiz {path.name} cannot be read: {error}.", "Mend that file.", "bad_request") from None
    return questions


def feedback(question: Question, choice: int | None) -> str:
    """What to say to a choice, in plain text."""
    if choice is None:
        return "Choose an answer first."
    if choice == question.answer:
        return f"✓ Right. {question.why}"
    return f"✗ Not quite. {question.why} Read again: {question.section}."


class Quiz(PlainText, ipywidgets.VBox):
    def __init__(self, questions: tuple[Question, ...]) -> None:
        self.questions = questions
        super().__init__([_card(number, question) for number, question in enumerate(questions, 1)])

    def __repr__(self) -> str:
        blocks = []
        for number, question in enumerate(self.questions, 1):
            options = "\n".join(f"   ( ) {option}" for option in question.options)
            blocks.append(f"{number}. {question.text}\n{options}")
        return "\n\n".join(blocks)


def quiz(stem: str) -> Quiz:
    return Quiz(load(stem))


def _card(number: int, question: Question) -> ipywidgets.VBox:
    options = [(option, position) for position, option in enumerate(question.options)]
    choice = ipywidgets.RadioButtons(options=options, value=None, layout={"width": "100%"})
    button, said = ipywidgets.Button(description="Check", tooltip=f"Check question {number}"), ipywidgets.HTML()
    button.on_click(partial(_answer, question, choice, said))
    heading = ipywidgets.HTML(f"<b>{number}. {escape(question.text)}</b>")
    return ipywidgets.VBox([heading, choice, ipywidgets.HBox([button, said])])


def _answer(question: Question, choice: ipywidgets.RadioButtons, said: ipywidgets.HTML, _: ipywidgets.Button) -> None:
    position: int | None = choice.value  # pyright: ignore[reportAssignmentType]
    said.value = f'<span role="status">{escape(feedback(question, position))}</span>'
