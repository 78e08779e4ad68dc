"""The question bank: every question has a true place to read again, and a draw can be repeated and graded by hand."""

from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patterns import acme
from patterns.course import bank, quiz
from patterns.errors import CallerError

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = ["In one line", "The shape", "Why it matters", "Worked example", "Watch out for", "Scorecard", "2026 stack"]
BANK = bank.questions()


def headings(notebook: str) -> list[str]:
    """Those of the notebook; the usual ones of a notebook that is not there yet."""
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    if not path.is_file():
        return SECTIONS
    cells = nbformat.read(path, as_version=4).cells
    lines = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown").splitlines()
    return [line.lstrip("#").strip() for line in lines if line.startswith("#")]


def test_there_are_four_questions_for_each_of_the_twelve_patterns() -> None:
    counts = Counter(one.notebook for one in BANK)
    assert len(BANK) >= 48 and set(counts.values()) == {4}
    assert [name[:2] for name in counts] == [f"{number:02}" for number in range(1, 13)]


@pytest.mark.parametrize("one", BANK, ids=lambda one: f"{one.notebook[:2]}-{one.question.text[:40]}")
def test_a_question_is_whole_and_its_link_leads_to_a_heading(one: bank.Banked) -> None:
    question = one.question
    assert len(set(question.options)) == len(question.options) == 3
    assert question.text.endswith("?") and question.why.endswith(".")
    assert question.section in headings(one.notebook)
    assert one.link == f"{one.notebook}.ipynb#{question.section.replace(' ', '-')}"


def test_no_question_is_asked_twice_and_none_was_in_a_quick_check() -> None:
    quick = {
        question.text for path in (acme.data_folder() / "quizzes").glob("*.yaml") for question in quiz.load(path.stem)
    }
    ours = [one.question.text for one in BANK]
    assert len(set(ours)) == len(ours) and not quick & set(ours)


def test_nobody_passes_by_the_look_of_the_options() -> None:
    """Neither by always taking the same place, nor the longest, the middle or the shortest option."""
    places = Counter(one.question.answer for one in BANK)
    lengths = Counter(
        sorted(range(3), key=lambda place: len(one.question.options[place])).index(one.question.answer) for one in BANK
    )
    assert max(places.values()) < 0.5 * len(BANK) and max(lengths.values()) < 0.5 * len(BANK)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_a_seed_draws_the_same_five_of_five_patterns(seed: int) -> None:
    paper = bank.draw(seed)
    assert repr(paper) == repr(bank.draw(seed)) and f"seed {seed}:" in repr(paper)
    assert len({one.notebook for one in paper.banked}) == bank.DRAWN == 5


def test_again_draws_others_as_long_as_there_are_any_and_can_be_repeated() -> None:
    def drawn() -> list[tuple[str, ...]]:
        papers, paper = [], bank.draw(14)
        for _ in range(12):
            papers.append(tuple(one.question.text for one in paper.banked))
            paper = paper.again()
        return papers

    papers = drawn()
    assert papers == drawn()
    first = [text for paper in papers[:6] for text in paper]
    assert len(set(first)) == len(first) == 30
    assert all(len(set(paper)) == 5 for paper in papers)


def test_without_a_seed_one_is_made_up_and_shown() -> None:
    paper = bank.draw()
    assert repr(bank.draw(paper.seed)) == repr(paper)
    assert len({bank.draw().seed for _ in range(20)}) > 1


def letters(paper: bank.Paper, right: int) -> str:
    """Answers of which the first `right` are right."""
    places = [
        one.question.answer if number < right else (one.question.answer + 1) % 3
        for number, one in enumerate(paper.banked)
    ]
    return " ".join("abc"[place] for place in places)


@pytest.mark.parametrize(("right", "passed"), [(0, False), (2, False), (3, True), (5, True)])
def test_three_of_five_pass_and_each_miss_has_its_link(right: int, passed: bool) -> None:
    paper = bank.draw(14)
    result = paper.grade(letters(paper, right))
    assert (result.right, result.passed) == (right, passed)
    assert result.missed == paper.banked[right:]
    assert repr(result).startswith(f"{right} of 5: {'passed' if passed else 'not passed yet'}.")
    for one in paper.banked:
        missed = one in result.missed
        assert (f"[{one.name}]({one.link})" in result._repr_markdown_()) == missed
        assert (one.link in repr(result)) == missed
        assert one.question.why in repr(result)


def test_what_is_left_out_is_missed_and_not_given_away() -> None:
    paper = bank.draw(14)
    result = paper.grade("- - - - -")
    assert result.right == 0 and len(result.missed) == 5
    assert all(one.link in repr(result) and one.question.why not in repr(result) for one in paper.banked)


@pytest.mark.parametrize("answers", ["", "a b c", "a b c a b c", "a b c a z", "1 2 3 1 2", "✓ ✓ ✓ ✓ ✓", "passed"])
def test_what_is_no_answer_is_refused_with_a_way_on(answers: str) -> None:
    with pytest.raises(CallerError, match="one letter for each"):
        bank.draw(14).grade(answers)


@pytest.mark.parametrize("answers", ["acbba", "A C B B A", "a, c, b, b, a"])
def test_letters_may_be_typed_as_one_likes(answers: str) -> None:
    assert bank.draw(14).grade(answers).choices == (0, 2, 1, 1, 0)


def test_the_widget_grades_all_five_at_once_like_the_text() -> None:
    paper: Any = bank.draw(14)
    cards, grade, said = paper.children[1:6], paper.children[6], paper.children[7]
    assert all(len(card.children) == 2 for card in cards), "a button of its own would give an answer away"
    for card, one in zip(cards, paper.banked, strict=True):
        card.children[1].value = one.question.answer
    cards[0].children[1].value = (paper.banked[0].question.answer + 1) % 3
    grade.click()
    grade.click()
    (shown,) = said.outputs
    typed = " ".join("abc"[card.children[1].value] for card in cards)
    assert shown["data"]["text/plain"] == repr(paper.grade(typed))
    assert "4 of 5: passed." in shown["data"]["text/markdown"]


def test_the_text_form_says_all_that_is_needed() -> None:
    paper = bank.draw(14)
    for one in paper.banked:
        for letter, option in zip("abc", one.question.options, strict=True):
            assert f"{letter}) {option}" in repr(paper)
        assert one.question.why not in repr(paper)
    assert repr(paper) == paper._repr_mimebundle_()["text/plain"]
