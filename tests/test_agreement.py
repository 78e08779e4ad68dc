"""The arithmetic of agreement against published examples, and what must hold for any decisions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns import agreement
from patterns.errors import CallerError

DECISIONS = st.lists(st.booleans(), min_size=1, max_size=60)
PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def table(both: int, first: int, second: int, neither: int) -> tuple[list[bool], list[bool]]:
    """Two lists of decisions: yes by both, by the first alone, by the second alone, by neither."""
    one = [True] * both + [True] * first + [False] * second + [False] * neither
    other = [True] * both + [False] * first + [True] * second + [False] * neither
    return one, other


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    # Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17, 1998, table I.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_published(hits: int, of: int, low: float, high: float) -> None:
    share = agreement.wilson(hits, of)
    assert (share.low, share.high) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 500), st.data())
def test_a_share_lies_in_its_interval_and_mirrors(of: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, of))
    share, mirrored = agreement.wilson(hits, of), agreement.wilson(of - hits, of)
    assert 0 <= share.low <= share.value <= share.high <= 1
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((share.low, share.high))
    assert share.high - share.low > agreement.wilson(hits * 4, of * 4).high - agreement.wilson(hits * 4, of * 4).low


@pytest.mark.parametrize(("hits", "of"), [(0, 0), (3, 2), (-1, 5)])
def test_what_is_no_share(hits: int, of: int) -> None:
    with pytest.raises(CallerError):
        agreement.wilson(hits, of)


def test_kappa_as_in_the_textbook() -> None:
    one, other = table(20, 5, 10, 15)  # observed 0.7, expected 0.5
    assert agreement.cohens_kappa(one, other) == pytest.approx(0.4)
    found = agreement.kappa(one, other)
    assert found.value == pytest.approx(0.4)
    assert found.low > 0.1 and found.high < 0.7


@given(PAIRS)
def test_kappa_is_bounded_and_symmetric(pairs: list[tuple[bool, bool]]) -> None:
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    value = agreement.cohens_kappa(one, other)
    assert -1 <= value <= 1
    assert value == pytest.approx(agreement.cohens_kappa(other, one))
    if len(set(one)) == 2:
        assert agreement.cohens_kappa(one, one) == pytest.approx(1)
        assert agreement.cohens_kappa(one, [not each for each in one]) < 0


def test_a_judge_that_passes_everything_agrees_often_and_knows_nothing() -> None:
    people, judge = [True] * 90 + [False] * 10, [True] * 100
    assert sum(a == b for a, b in zip(people, judge, strict=True)) == 90
    assert agreement.cohens_kappa(people, judge) == 0.0
    assert agreement.cohens_kappa(judge, judge) == 0.0


def test_difference_as_published() -> None:
    # Fagerland, Lydersen, Laake, Recommended tests and confidence intervals for paired binomial proportions, Statistics
    # in Medicine 33, 2014: airway hyper-responsiveness of 21 children, Newcombe's interval and the exact McNemar test.
    found = agreement.difference(*table(1, 1, 7, 12))
    assert (found.value, found.low, found.high) == pytest.approx((0.2857, 0.026, 0.507), abs=6e-4)
    assert found.p == pytest.approx(0.070, abs=1e-3)
    assert (found.better, found.worse) == (7, 1)
    # The interval leaves out 0, the exact test does not: with eight changed cases that is not enough.
    assert found.says == "no difference"


@given(PAIRS)
def test_a_difference_lies_in_its_interval_and_mirrors(pairs: list[tuple[bool, bool]]) -> None:
    before, after = [a for a, _ in pairs], [b for _, b in pairs]
    there, back = agreement.difference(before, after), agreement.difference(after, before)
    assert -1 - 1e-9 <= there.low <= there.value + 1e-9 and there.value <= there.high + 1e-9 <= 1 + 2e-9
    assert (back.low, back.value, back.high) == pytest.approx((-there.high, -there.value, -there.low))
    assert there.p == back.p and (there.better, there.worse) == (back.worse, back.better)


@given(DECISIONS)
def test_the_same_decisions_make_no_difference(decisions: list[bool]) -> None:
    same = agreement.difference(decisions, decisions)
    assert same.value == 0 and same.p == 1 and not same.real and same.says == "no difference"
    assert same.low <= 0 <= same.high


def test_what_is_real() -> None:
    assert agreement.difference(*table(60, 2, 20, 18)).says == "better"
    assert agreement.difference(*table(60, 20, 2, 18)).says == "worse"
    assert agreement.difference(*table(60, 3, 4, 33)).says == "no difference"


@pytest.mark.parametrize(("better", "worse", "p"), [(0, 0, 1.0), (5, 0, 0.0625), (6, 0, 0.03125), (3, 3, 1.0)])
def test_mcnemar_is_exact(better: int, worse: int, p: float) -> None:
    assert agreement.mcnemar(better, worse) == pytest.approx(p) == agreement.mcnemar(worse, better)


@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_is_a_coin(better: int, worse: int) -> None:
    changed = better + worse
    uneven = abs(better - worse)
    tail = sum(math.comb(changed, k) for k in range(changed + 1) if abs(changed - 2 * k) >= uneven) / 2**changed
    assert agreement.mcnemar(better, worse) == pytest.approx(min(1.0, tail))


def test_the_pass_rate_behind_a_judge() -> None:
    people, judge = table(45, 5, 10, 40)  # of 50 good answers it passes 45, of 50 bad ones 10
    seen = [True] * 60 + [False] * 40
    found = agreement.corrected(seen, people, judge)
    assert found.value == pytest.approx((0.6 + 0.8 - 1) / (0.9 + 0.8 - 1))
    assert found.low < found.value < found.high
    more = agreement.corrected(seen * 10, people * 10, judge * 10)
    assert more.high - more.low < found.high - found.low


def test_a_perfect_judge_needs_no_correction() -> None:
    people = [True] * 30 + [False] * 30
    assert agreement.corrected([True] * 7 + [False] * 3, people, people).value == pytest.approx(0.7)


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_a_corrected_rate_is_a_rate(seen: list[bool]) -> None:
    people, judge = table(30, 10, 12, 20)
    found = agreement.corrected(seen, people, judge)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(
    ("people", "judge"),
    [([True, False], [True, True]), ([True, True], [True, True]), ([True, False], [False, True])],
    ids=["passes all", "saw no bad answer", "the wrong way round"],
)
def test_nothing_can_be_known_through_a_judge_that_tells_nothing_apart(people: list[bool], judge: list[bool]) -> None:
    with pytest.raises(CallerError, match="nothing can be known"):
        agreement.corrected([True, False], people, judge)


def test_lists_must_be_paired() -> None:
    for function in (agreement.cohens_kappa, agreement.difference):
        with pytest.raises(CallerError):
            function([True], [True, False])
        with pytest.raises(CallerError):
            function([], [])


def test_how_they_print() -> None:
    assert str(agreement.wilson(81, 100)) == "0.81 (0.72 to 0.87)"
    assert str(agreement.Estimate(0.5, 0.25, 0.75)) == "0.50 (0.25 to 0.75)"
