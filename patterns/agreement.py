"""How far two sets of yes-or-no decisions agree, and how far a share of them can be trusted. Pure arithmetic.

    wilson(81, 100)               a share with its 95% interval
    kappa(people, judge)          agreement beyond what chance gives
    difference(before, after)     the same cases decided twice; inside the noise, it says "no difference"
    corrected(...)                the pass rate behind what an imperfect judge passed

All intervals are 95% ones.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .errors import CallerError
from .ranking import RESAMPLES, SEED

if TYPE_CHECKING:
    import numpy as np

Z = 1.959964  # the normal distribution's 97.5% point


class Estimate(NamedTuple):
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


class Share(NamedTuple):
    """`hits` of `of`, with its interval."""

    value: float
    low: float
    high: float
    hits: int
    of: int

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


class Difference(NamedTuple):
    """A share after minus the share before. `better` and `worse` count the cases that changed; `p` is of McNemar."""

    value: float
    low: float
    high: float
    p: float
    better: int
    worse: int

    @property
    def real(self) -> bool:
        """Whether the interval leaves out 0 and the exact test agrees: of few changed cases, either alone is hasty."""
        return (self.low > 0 or self.high < 0) and self.p < 0.05

    @property
    def says(self) -> str:
        return "no difference" if not self.real else "better" if self.value > 0 else "worse"


def wilson(hits: int, of: int) -> Share:
    """Wilson's score interval: holds near 0 and 1 and for small `of`, where ± 1.96 standard errors does not.

    Source: Wilson, *Probable inference, the law of succession, and statistical inference*, JASA 22, 1927.
    """
    if not 0 <= hits <= of or of == 0:
        raise CallerError(f"{hits} of {of} is no share.", "Count at least one case.", "bad_request")
    share, spread = hits / of, Z * Z / of
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    # The ends that are exactly 0 or 1 come out a hair beside them.
    low, high = (0.0 if hits == 0 else middle - half), (1.0 if hits == of else middle + half)
    return Share(share, low, high, hits, of)


def cohens_kappa(one: Sequence[bool], other: Sequence[bool]) -> float:
    """κ = (observed − expected) / (1 − expected) agreement: 1 is perfect, 0 what chance gives, less is worse than it.

    0 when both always say the same single thing: then nothing shows that they can tell cases apart.
    Source: Cohen, *A coefficient of agreement for nominal scales*, Educational and Psychological Measurement 20, 1960.
    """
    cases = _cases(one, other)
    observed = sum(a == b for a, b in zip(one, other, strict=True)) / cases
    yes = sum(one) / cases, sum(other) / cases
    expected = yes[0] * yes[1] + (1 - yes[0]) * (1 - yes[1])
    return 0.0 if expected == 1 else (observed - expected) / (1 - expected)


def kappa(one: Sequence[bool], other: Sequence[bool]) -> Estimate:
    """Cohen's κ with a bootstrap interval over the cases.

    Source: Efron, Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13.
    """
    import numpy as np

    a, b = np.asarray(one, dtype=bool), np.asarray(other, dtype=bool)
    value = cohens_kappa(one, other)
    drawn = np.random.default_rng(SEED).integers(0, len(a), (RESAMPLES, len(a)))
    first, second = a[drawn], b[drawn]
    observed = (first == second).mean(axis=1)
    yes, also = first.mean(axis=1), second.mean(axis=1)
    expected = yes * also + (1 - yes) * (1 - also)
    constant = expected == 1
    draws = np.where(constant, 0.0, (observed - expected) / np.where(constant, 1.0, 1 - expected))
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def difference(before: Sequence[bool], after: Sequence[bool]) -> Difference:
    """The same cases decided twice: how much larger the share of True is `after`.

    Interval: method 10 of Newcombe, *Improved confidence intervals for the difference between binomial proportions
    based on paired data*, Statistics in Medicine 17, 1998. p: the exact form of McNemar, *Note on the sampling error of
    the difference between correlated proportions or percentages*, Psychometrika 12, 1947.
    """
    cases = _cases(before, after)
    both = sum(a and b for a, b in zip(before, after, strict=True))
    neither = sum(not a and not b for a, b in zip(before, after, strict=True))
    worse, better = sum(before) - both, sum(after) - both
    old, new = wilson(sum(before), cases), wilson(sum(after), cases)
    product = math.prod((old.hits, cases - old.hits, new.hits, cases - new.hits))
    crossed = both * neither - better * worse
    if crossed > 0:
        crossed = max(crossed - cases / 2, 0)  # Newcombe's correction for continuity
    phi = crossed / math.sqrt(product) if product else 0.0
    change = new.value - old.value
    down, up = (new.value - new.low, old.high - old.value), (new.high - new.value, old.value - old.low)
    low = change - math.sqrt(max(down[0] ** 2 - 2 * phi * down[0] * down[1] + down[1] ** 2, 0.0))
    high = change + math.sqrt(max(up[0] ** 2 - 2 * phi * up[0] * up[1] + up[1] ** 2, 0.0))
    return Difference(change, low, high, mcnemar(better, worse), better, worse)


def mcnemar(better: int, worse: int) -> float:
    """The probability of a split of the changed cases at least so uneven, if each went either way like a fair coin."""
    changed, fewer = better + worse, min(better, worse)
    tail = sum(math.comb(changed, k) for k in range(fewer + 1)) / 2**changed
    return min(1.0, 2 * tail)


def corrected(passed: Sequence[bool], people: Sequence[bool], judge: Sequence[bool]) -> Estimate:
    """The share that people would pass, where a judge passed `passed`; `people` and `judge` are of its calibration.

    true = (passed share + TNR − 1) / (TPR + TNR − 1), kept within 0 and 1; the interval resamples both samples.
    Raises CallerError for a judge that tells nothing apart: then nothing can be known through it.
    Source: Rogan, Gladen, *Estimating prevalence from the results of a screening test*, American Journal of
    Epidemiology 107, 1978.
    """
    import numpy as np

    _cases(people, judge)
    told = np.asarray(judge, dtype=float)
    truly = np.asarray(people, dtype=bool)
    seen = np.asarray(passed, dtype=float)
    good, bad = told[truly], 1 - told[~truly]
    if not (len(seen) and len(good) and len(bad)) or good.mean() + bad.mean() <= 1:
        raise CallerError(
            "Through this judge nothing can be known: it passes bad answers as often as good ones.",
            "Calibrate it on answers of both kinds, and mend it first.",
            "bad_request",
        )
    dice = np.random.default_rng(SEED)

    def means(values: "np.ndarray") -> "np.ndarray":
        return dice.choice(values, (RESAMPLES, len(values))).mean(axis=1)

    value = _rogan_gladen(seen.mean(), good.mean(), bad.mean())
    draws = _rogan_gladen(means(seen), means(good), means(bad))
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high))


def _rogan_gladen(passed: "float | np.ndarray", tpr: "float | np.ndarray", tnr: "float | np.ndarray") -> "np.ndarray":
    import numpy as np

    informed = np.maximum(tpr + tnr - 1, 1e-9)  # a resample of a weak judge may know nothing: it counts as 0 or 1
    return np.clip((passed + tnr - 1) / informed, 0.0, 1.0)


def _cases(one: Sequence[bool], other: Sequence[bool]) -> int:
    if len(one) != len(other) or not len(one):
        raise CallerError(
            "The two lists must decide the same cases, at least one.", "Pair them by case.", "bad_request"
        )
    return len(one)
