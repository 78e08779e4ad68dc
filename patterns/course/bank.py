"""The question bank: five questions, each of another pattern, drawn by a seed and graded on this machine.

    paper = bank.draw(seed=14)      # the same five for everybody in the room; without a seed, any five
    paper                           # to click at; as text where there are no widgets
    paper.grade("a c b b a")        # the same in one line
    paper.again()                   # five others

The questions are in `data/quizzes/bank/`, a file for each notebook. Display and feedback are those of `quiz.py`.
"""

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import ipywidgets

from .. import acme
from ..errors import CallerError
from .quiz import Question, Quiz, feedback, load

DRAWN, TO_PASS = 5, 0.6
SEEDS = 100_000


@dataclass(frozen=True, slots=True)
class Banked:
    """A question and the notebook that it is about; `question.section` is a heading of that notebook."""

    notebook: str
    question: Question

    @property
    def name(self) -> str:
        return f"{self.notebook[:2]} · {self.question.section}"

    @property
    def link(self) -> str:
        return f"{self.notebook}.ipynb#{self.question.section.replace(' ', '-')}"


def questions() -> tuple[Banked, ...]:
    """All questions of the bank, in the order of the notebooks. Raises CallerError, see `quiz.load`."""
    return _questions(acme.data_folder())


@cache
def _questions(data: Path) -> tuple[Banked, ...]:
    stems = sorted(path.stem for path in (data / "quizzes" / "bank").glob("*.yaml"))
    return tuple(Banked(stem, question) for stem in stems for question in load(f"bank/{stem}"))


@dataclass(frozen=True)
class Result:
    """The grade of a paper: a table with links in a notebook, lines of text elsewhere."""

    banked: tuple[Banked, ...]
    choices: tuple[int | None, ...]

    @property
    def right(self) -> int:
        return sum(one.question.answer == choice for one, choice in zip(self.banked, self.choices, strict=True))

    @property
    def passed(self) -> bool:
        return self.right >= TO_PASS * len(self.banked)

    @property
    def missed(self) -> tuple[Banked, ...]:
        return tuple(
            one for one, choice in zip(self.banked, self.choices, strict=True) if one.question.answer != choice
        )

    def _lines(self, linked: bool) -> list[str]:
        lines = [f"{self.right} of {len(self.banked)}: {'passed' if self.passed else 'not passed yet'}."]
        for number, (one, choice) in enumerate(zip(self.banked, self.choices, strict=True), 1):
            where = f"[{one.name}]({one.link})" if linked else f"{one.name}, {one.link}"
            said = f"– No answer. Read {where}."
            lines.append(
                f"{number}. {said if choice is None else feedback(replace(one.question, section=where), choice)}"
            )
        return lines

    def __repr__(self) -> str:
        return "\n".join(self._lines(linked=False))

    def _repr_markdown_(self) -> str:
        return "\n\n".join(line.replace("$", r"\$") for line in self._lines(linked=True))


class Paper(Quiz):
    """Five questions to answer. With the same `seed`, the same papers are drawn in the same order."""

    def __init__(self, banked: Sequence[Banked], seed: int, number: int, used: frozenset[str]) -> None:
        super().__init__(tuple(one.question for one in banked))
        self.banked, self.seed, self._number, self._used = tuple(banked), seed, number, used
        self._title = f"Paper {number} of seed {seed}: {len(banked)} questions, {TO_PASS:.0%} passes."
        self._choices = [card.children[1] for card in self.children]
        self._button = ipywidgets.Button(description="Grade", tooltip="Grade all five answers", button_style="primary")
        self._said = ipywidgets.Output()
        self._button.on_click(lambda _: self._show())
        for card in self.children:  # graded all at once: the single ones would give the others away
            card.children = card.children[:2]
        heading = ipywidgets.HTML(f"<b>{self._title}</b>")
        self.children = [heading, *self.children, self._button, self._said]

    def __repr__(self) -> str:
        blocks = [self._title]
        for number, one in enumerate(self.banked, 1):
            options = zip(string.ascii_lowercase, one.question.options, strict=False)
            lines = "\n".join(f"   {letter}) {option}" for letter, option in options)
            blocks.append(f"{number}. ({one.notebook[:2]}) {one.question.text}\n{lines}")
        return "\n\n".join(blocks)

    def grade(self, answers: str) -> Result:
        """Grade one letter for each question, such as "a c b b a"; "-" leaves one out. Raises CallerError."""
        letters = [letter for letter in answers.lower() if not letter.isspace() and letter != ","]
        choices = [None if letter == "-" else string.ascii_lowercase.find(letter) for letter in letters]
        sizes = [len(one.question.options) for one in self.banked]
        if len(choices) != len(sizes) or any(
            choice is not None and not 0 <= choice < size for choice, size in zip(choices, sizes, strict=True)
        ):
            raise CallerError(
                f"{answers!r} is no answer to {len(sizes)} questions.",
                'Give one letter for each, such as "a c b b a".',
                "bad_request",
            )
        return Result(self.banked, tuple(choices))

    def again(self) -> "Paper":
        """Five others: none that was drawn before, until fewer than five patterns have one left."""
        return _drawn(self.seed, self._number + 1, self._used)

    def _show(self) -> None:
        choices = tuple(choice.value for choice in self._choices)
        self._said.outputs = ()
        self._said.append_display_data(Result(self.banked, choices))


def draw(seed: int | None = None) -> Paper:
    """Five questions of five patterns. The seed is shown: with it, others get the same."""
    return _drawn(random.randrange(SEEDS) if seed is None else seed, 1, frozenset())


def _drawn(seed: int, number: int, used: frozenset[str]) -> Paper:
    dice = random.Random(f"{seed}/{number}")
    by_notebook: dict[str, list[Banked]] = {}
    for one in questions():
        if one.question.text not in used:
            by_notebook.setdefault(one.notebook, []).append(one)
    if len(by_notebook) < DRAWN:
        return _drawn(seed, number, frozenset())
    chosen = [dice.choice(by_notebook[notebook]) for notebook in sorted(dice.sample(sorted(by_notebook), DRAWN))]
    return Paper(chosen, seed, number, used | {one.question.text for one in chosen})
