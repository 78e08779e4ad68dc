"""From a score to a chance: a curve fitted on answers whose end is known, and a look at whether it keeps its word.

curve = fit(points of one half)
reliability(points of the other half, curve)     # said 0.87, was 0.90, ...
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

LONGEST_STEP = 4.0  # of Newton's method, which runs away from points that a threshold would part


@dataclass(frozen=True, slots=True)
class Curve:
    """The chance that belongs to a score: 1 / (1 + exp(-(intercept + slope * score)))."""

    intercept: float
    slope: float

    def __call__(self, score: float) -> float:
        return 1 / (1 + math.exp(-max(-700.0, min(700.0, self.intercept + self.slope * score))))

    def score_at(self, chance: float) -> float:
        """The score that has this chance. Raises ZeroDivisionError for a flat curve."""
        return (math.log(chance / (1 - chance)) - self.intercept) / self.slope


@dataclass(frozen=True, slots=True)
class Point:
    """An answer whose end is known. `weight`: how often its like comes in traffic, for each time among the points."""

    score: float
    good: bool
    weight: float = 1.0


def fit(points: Sequence[Point], pull: float = 0.01) -> Curve:
    """The curve under which the points are likeliest: logistic regression, called Platt scaling where it calibrates.

    `pull` draws both numbers towards 0 a little, so that there is an end also where a threshold parts the points.
    """
    a, b = 0.0, 0.0
    for _ in range(100):
        down_a, down_b, h_aa, h_ab, h_bb = pull * a, pull * b, pull, 0.0, pull
        for one in points:
            chance = Curve(a, b)(one.score)
            error, steep = one.weight * (chance - one.good), one.weight * chance * (1 - chance)
            down_a, down_b = down_a + error, down_b + error * one.score
            h_aa, h_ab, h_bb = h_aa + steep, h_ab + steep * one.score, h_bb + steep * one.score**2
        det = h_aa * h_bb - h_ab**2
        step_a, step_b = (h_bb * down_a - h_ab * down_b) / det, (h_aa * down_b - h_ab * down_a) / det
        length = math.hypot(step_a, step_b)
        short = min(1.0, LONGEST_STEP / length) if length else 1.0
        a, b = a - short * step_a, b - short * step_b
        if length < 1e-9:
            break
    return Curve(a, b)


@dataclass(frozen=True, slots=True)
class Bin:
    """Points of neighbouring chances: how good they were said to be, how good they were, and how many there are."""

    said: float
    was: float
    count: int


def reliability(points: Sequence[Point], curve: Curve, bins: int = 4) -> list[Bin]:
    """The points in `bins` of nearly equal number, from the least likely to be good to the likeliest."""
    ordered = sorted(points, key=lambda one: curve(one.score))
    found = []
    for low, high in pairwise(len(ordered) * at // bins for at in range(bins + 1)):
        if part := ordered[low:high]:
            weight = sum(one.weight for one in part)
            said = sum(one.weight * curve(one.score) for one in part) / weight
            was = sum(one.weight * one.good for one in part) / weight
            found.append(Bin(said, was, len(part)))
    return found
