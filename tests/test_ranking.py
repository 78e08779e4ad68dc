"""Fusion and the measures: properties for any lists, and values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns.errors import CallerError
from patterns.ranking import fuse, interval, ndcg_at, recall_at, reciprocal_rank

RANKINGS = st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), max_size=4)


@given(RANKINGS)
def test_fusion_loses_nothing_and_invents_nothing(rankings: list[list[str]]) -> None:
    fused = fuse(*rankings)
    assert sorted(found for found, _ in fused) == sorted({found for ranking in rankings for found in ranking})
    scores = [score for _, score in fused]
    assert scores == sorted(scores, reverse=True) and all(score > 0 for score in scores)


@given(RANKINGS)
def test_fused_scores_do_not_depend_on_the_order_of_the_rankings(rankings: list[list[str]]) -> None:
    assert dict(fuse(*rankings)) == dict(fuse(*reversed(rankings)))


@given(st.lists(st.sampled_from("abcdefgh"), unique=True), st.integers(1, 4))
def test_agreeing_rankings_change_nothing(ranking: list[str], times: int) -> None:
    assert [found for found, _ in fuse(*[ranking] * times)] == ranking


@given(RANKINGS)
def test_what_is_nowhere_behind_and_once_ahead_stays_ahead(rankings: list[list[str]]) -> None:
    order = [found for found, _ in fuse(*rankings)]

    def place(ranking: list[str], found: str) -> int:
        return ranking.index(found) if found in ranking else len("abcdefgh")

    for ahead in order:
        for behind in order:
            places = [(place(ranking, ahead), place(ranking, behind)) for ranking in rankings]
            if all(a <= b for a, b in places) and any(a < b for a, b in places):
                assert order.index(ahead) < order.index(behind)


def test_fusion_by_hand() -> None:
    fused = fuse(["a", "b"], ["c", "b"])
    assert [found for found, _ in fused] == ["b", "a", "c"]  # a and c are equal: a came first
    assert dict(fused) == pytest.approx({"b": 2 / 62, "a": 1 / 61, "c": 1 / 61})
    assert dict(fuse(["a"], k=1)) == {"a": 0.5}
    assert fuse(["a", "a", "b"]) == fuse(["a", "b"])
    assert fuse() == fuse([], []) == []


def test_measures_by_hand() -> None:
    assert recall_at(2, ["x", "b", "c"], [["a", "b"], ["c"]]) == 0.5
    assert recall_at(3, ["x", "b", "c"], [["a", "b"], ["c"]]) == 1
    assert reciprocal_rank(["x", "b", "c"], {"b", "c"}) == 0.5
    assert reciprocal_rank(["x"], {"b"}) == 0
    assert ndcg_at(10, [4, 7, 9], {4, 7}) == pytest.approx(1)
    # one of two, in second place: (1 / log2 3) / (1 + 1 / log2 3)
    assert ndcg_at(10, [1, 4, 9], {4, 7}) == pytest.approx(0.38685, abs=1e-5)
    assert ndcg_at(10, [*range(10), 99], {99}) == 0
    assert ndcg_at(10, range(20), set(range(20))) == pytest.approx(1)


def test_the_interval_is_repeatable_and_holds_the_mean() -> None:
    values = np.linspace(0, 1, 200)
    low, high = interval(values)
    assert (low, high) == interval(list(values))
    assert low < 0.5 < high and high - low == pytest.approx(2 * 1.96 * 0.29 / 200**0.5, rel=0.1)


def test_nothing_to_measure_against_is_refused() -> None:
    for measure in (
        lambda: recall_at(5, ["a"], []),
        lambda: reciprocal_rank(["a"], []),
        lambda: ndcg_at(5, ["a"], []),
        lambda: interval([]),
    ):
        with pytest.raises(CallerError):
            measure()
