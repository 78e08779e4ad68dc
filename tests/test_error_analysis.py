"""Failures to read, grouped by the check that caught them, and counted under the names that a person gave."""

import pytest

from patterns.error_analysis import NOT_NAMED, grouped, reasons, tally
from patterns.errors import CallerError
from patterns.eval_cases import Case
from patterns.evals import Outcome
from patterns.streaming_ux import Timing


def outcome(name: str, reason: str, text: str = "x", unsafe: bool = False) -> Outcome:
    return Outcome(
        Case(name, "easy", f"{name}?", "C-0001"), text, reason, unsafe, Timing(0.0, 0.0, 0.0, (), None, None), 0.0
    )


RUN = [
    outcome("good", ""),
    outcome("a", "lacks 30 days"),
    outcome("b", "says that it does not know"),
    outcome("c", "lacks 24 months", "It is\n14 months. " + "So long. " * 40),
    outcome("d", "", unsafe=True),
    outcome("e", "did not use order_lookup", ""),
]


def test_failures_are_grouped_by_their_check() -> None:
    groups = reasons(RUN)
    assert {name: [one.case.id for one in group] for name, group in groups.items()} == {
        "lacks": ["a", "c"],
        "says that it does not know": ["b"],
        "unsafe": ["d"],
        "did not use": ["e"],
    }
    assert next(iter(groups)) == "lacks"


def test_they_can_be_read() -> None:
    said = grouped(RUN)
    assert "2 × lacks\n   a: a?\n      lacks 30 days | x" in said
    assert "lacks 24 months | It is 14 months. So long." in said and "…" in said
    assert "did not use order_lookup | (nothing)" in said and "good" not in said
    assert grouped(RUN, most=1).count("lacks 2") == 0
    assert grouped(RUN[:1]) == "nothing failed"


def test_names_are_counted() -> None:
    assert tally(RUN, {"leaks": ["d"], "wrong figure": ["a", "c"]}) == {"wrong figure": 2, NOT_NAMED: 2, "leaks": 1}
    assert tally(RUN, {}) == {NOT_NAMED: 5}
    assert NOT_NAMED not in tally(RUN, {"all": ["a", "b", "c", "d", "e"]})


def test_names_for_nothing_are_refused() -> None:
    with pytest.raises(CallerError, match="good did not fail"):
        tally(RUN, {"wrong": ["good"]})
    with pytest.raises(CallerError, match="a has two names"):
        tally(RUN, {"wrong": ["a"], "short": ["a"]})
