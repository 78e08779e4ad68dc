"""Judging an answer by a criterion that the prompt gives: which traits it asks for, how much of them, and the verdict.

The criterion's words choose the traits by meaning. Worked examples in the prompt move the threshold and the weights: a
logistic regression that starts from the criterion (its prior) and gives way as the examples disagree with it. The
verdict goes into whatever schema is asked for. Nothing is said of an answer that its own texts do not show, and much is
missed: a criterion without a trait below is taken as something that the answer should mention.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import traits
from .criteria import chosen, measure
from .relevance import Encode
from .rubric import Case
from .words import clipped

DOUBT, BIAS = 0.5, 1.5
"""How far examples move a trait's weight, as a share of it, and the threshold: prior standard deviations."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`probability` that a person would pass the item, and why."""

    probability: float
    reason: str

    @property
    def passed(self) -> bool:
        return self.probability >= 0.5


def judge(case: Case, meaning: Encode | None) -> Verdict:
    weights = chosen(case, meaning)
    names = list(weights)
    if case.item.answer and traits.declines(case.item.answer) and not traits.claims(case.item.answer):
        known = [
            passed for item, passed in case.examples if traits.declines(item.answer) and not traits.claims(item.answer)
        ]
        if known:
            return Verdict(float(np.mean(known)) * 0.8 + 0.1, "It admits what it cannot tell, as in the examples.")
    measured = [measure(name, case, case.item, meaning) for name in names]
    prior = np.array([weights[name] for name in names])
    gains, bias = _learnt(case, names, prior, meaning)
    odds = float(gains @ np.array([one.value for one in measured]) + bias)
    probability = round(1 / (1 + math.exp(-max(-20.0, min(20.0, odds)))), 4)
    main = int(np.argmax(prior))
    return Verdict(probability, _reason(names[main], probability >= 0.5, measured[main].shown))


def _learnt(case: Case, names: Sequence[str], prior: np.ndarray, meaning: Encode | None) -> tuple[np.ndarray, float]:
    """The traits' weights and the threshold that fit the examples best, as far as the prior lets them."""
    rows = [
        ([measure(name, case, item, meaning).value for name in names], passed)
        for item, passed in case.examples
        if not item.answer or traits.claims(item.answer)
    ]
    start = np.r_[prior, 0.0]
    if not rows:
        return prior, 0.0
    seen = np.array([[*row, 1.0] for row, _ in rows])
    told = np.array([passed for _, passed in rows], dtype=float)
    precision = 1 / np.r_[DOUBT * prior, BIAS] ** 2
    found = start.copy()
    for _ in range(30):
        odds = np.clip(seen @ found, -30, 30)
        chance = 1 / (1 + np.exp(-odds))
        slope = seen.T @ (told - chance) - precision * (found - start)
        curve = (seen.T * (chance * (1 - chance))) @ seen + np.diag(precision)
        found = found + np.clip(np.linalg.solve(curve, slope), -1, 1)
    return found[:-1], float(found[-1])


_REASONS = {
    "supported": ("The documents say all that the answer says.", "The documents do not say this: {}"),
    "responds": ("It answers the question: {}", "It does not answer what was asked: {}"),
    "informed": ("The documents answer this: {}", "The documents do not answer this: {}"),
    "focused": ("It keeps to the question.", "This was not asked: {}"),
    "complete": ("Every part of the question is answered.", "This part is not answered: {}"),
    "brief": ("It is short.", "It is long."),
    "same_language": ("It is in the language of the question.", "It is in another language than the question."),
    "refuses": ("It fits what the criterion says of refusing.", "It does not fit what the criterion says of refusing."),
    "polite": ("The tone is polite.", "The tone is not polite: {}"),
    "mentions": ("It fits the criterion: {}", "It does not fit the criterion: {}"),
}


def _reason(name: str, passed: bool, shown: str) -> str:
    return _REASONS[name][not passed].format(clipped(" ".join(shown.split()), 200))
