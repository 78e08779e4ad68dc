"""How alike two questions must be to get one answer: the threshold of the semantic cache, from labelled pairs.

The pairs (`data/evals/paraphrases.yaml`) say which questions are the same in other words, and which only sound alike. A
threshold is chosen on the split `tune` and measured once on `test`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from . import acme, calls
from .semantic_guard import difference

if TYPE_CHECKING:
    import numpy as np

BOUND = 0.01  # of the pairs that are not the same question, how many may be served, at most
# The word lists of the guard were written with the split `tune` in view, where it looks better than it is. So there,
# half of the bound is asked.
TUNE_BOUND = BOUND / 2
LEAST, STEP = 0.70, 0.01  # no threshold below LEAST is considered: what is less alike was never looked at
BATCH = 128  # texts a call
NOT_THE_SAME = ("entity", "negated", "reversed", "other")


@dataclass(frozen=True, slots=True)
class Pair:
    """`kind` is paraphrase, or why `b` must not get the answer of `a`."""

    a: str
    b: str
    kind: str

    @property
    def is_same(self) -> bool:
        return self.kind == "paraphrase"


def pairs(split: str) -> list[Pair]:
    """The pairs of `split`: each question with its paraphrases, and each of these with all that only sounds alike."""
    found: list[Pair] = []
    path = acme.data_folder() / "evals" / "paraphrases.yaml"
    for row in yaml.safe_load(path.read_text(encoding="utf-8")):
        if row["split"] != split:
            continue
        same = [row["q"], *row["paraphrase"]]
        found += [Pair(a, b, "paraphrase") for place, a in enumerate(same) for b in same[place + 1 :]]
        found += [Pair(a, b, kind) for a in same for kind in NOT_THE_SAME for b in row.get(kind, ())]
    return found


async def embed(found: Sequence[Pair]) -> "dict[str, np.ndarray]":
    """The vector of every question of the pairs. Raises CallerError and ProviderError."""
    texts = list(dict.fromkeys(text for pair in found for text in (pair.a, pair.b)))
    vectors: dict[str, np.ndarray] = {}
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        vectors |= zip(batch, await calls.embed(batch, feature="calibration"), strict=True)
    return vectors


@dataclass(frozen=True, slots=True)
class Measured:
    """What a cache would do with some pairs: `hits` of `same` paraphrases, `false` hits of `different` pairs."""

    hits: int
    same: int
    false: int
    different: int

    @property
    def hit_rate(self) -> float:
        return self.hits / self.same

    @property
    def false_rate(self) -> float:
        return self.false / self.different

    @property
    def false_bound(self) -> float:
        """The false rate is not above this, with a probability of 95%."""
        return upper_bound(self.false, self.different)


def measure(
    found: Sequence[Pair], vectors: Mapping[str, "np.ndarray"], threshold: float, guarded: bool = True
) -> Measured:
    """`vectors` holds the vector, of length 1, of every question."""
    served = [
        pair
        for pair in found
        if float(vectors[pair.a] @ vectors[pair.b]) >= threshold
        and not (guarded and difference(pair.a, pair.b) is not None)
    ]
    hits, same = (sum(pair.is_same for pair in listed) for listed in (served, found))
    return Measured(hits, same, len(served) - hits, len(found) - same)


def calibrate(found: Sequence[Pair], vectors: Mapping[str, "np.ndarray"], bound: float = TUNE_BOUND) -> float | None:
    """The lowest threshold, in steps of STEP from LEAST, at which the false rate is not above `bound`; None: there is
    none, and nothing should be served."""
    for step in range(round((1 - LEAST) / STEP) + 1):
        threshold = round(LEAST + step * STEP, 4)
        if measure(found, vectors, threshold).false_bound <= bound:
            return threshold
    return None


def upper_bound(events: int, trials: int, confidence: float = 0.95) -> float:
    """The one-sided upper limit of a rate after `events` in `trials`: Clopper and Pearson, The use of confidence or
    fiducial limits, Biometrika 26 (1934) 404-413. It assumes that the trials are independent."""
    if events >= trials:
        return 1.0
    low, high = events / trials, 1.0
    for _ in range(60):
        rate = (low + high) / 2
        low, high = (rate, high) if _at_most(events, trials, rate) > 1 - confidence else (low, rate)
    return high


def _at_most(events: int, trials: int, rate: float) -> float:
    """The probability of at most `events` in `trials`, where each happens with `rate`."""
    logs = (
        math.lgamma(trials + 1)
        - math.lgamma(count + 1)
        - math.lgamma(trials - count + 1)
        + (count * math.log(rate) if count else 0.0)
        + (trials - count) * math.log1p(-rate)
        for count in range(events + 1)
    )
    return sum(map(math.exp, logs))
