"""What an assistant would cost with N users: from the calls that an eval run took, as a range and never as one number.

    per_question = cost_estimate.tokens(run.calls)
    print(cost_estimate.month(per_question, models.tiers_of("openai"), users=500))

Three things make the range. The questions of a run are a sample, so their mean cost has an interval (95%, bootstrap).
How much a user asks is not known before there are users. And answers from a cache cost next to nothing, so the share of
them counts; a cached answer is counted as free. Prices are list prices, without the discount of a provider's prompt
cache.

The tokens are those of the model that ran. Another model reads the same prompt as other tokens, writes answers of
another length, may think before it answers (and charge for that), and takes its tools more or less often. So for
another provider this is an order of magnitude, until its own eval run has been made.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .errors import CallerError
from .ledger import Call
from .models import Tier
from .ranking import RESAMPLES, SEED

DAYS = 30


@dataclass(frozen=True, slots=True)
class Tokens:
    """Of one call, by tier."""

    tier: str
    read: int
    written: int


@dataclass(frozen=True, slots=True)
class Month:
    """Dollars in 30 days: at the least, in the middle, at the most. `question` is dollars of one question, likewise."""

    question: tuple[float, float, float]
    low: float
    middle: float
    high: float
    questions: int

    def __str__(self) -> str:
        low, middle, high = map(_round, self.question)
        return (
            f"one question ${middle} (95%: ${low} to ${high}, from {self.questions} questions)\n"
            f"30 days ${_round(self.middle)} (between ${_round(self.low)} and ${_round(self.high)})"
        )


def tokens(calls: Sequence[Call]) -> list[list[Tokens]]:
    """The calls of each question. Raises CallerError where there is none."""
    by_trace: dict[str, list[Tokens]] = {}
    for call in calls:
        by_trace.setdefault(call.trace_id, []).append(Tokens(call.tier, call.input_tokens, call.output_tokens))
    if not by_trace:
        raise CallerError("There is no call to estimate from.", "Run some cases first.", "bad_request")
    return list(by_trace.values())


def month(
    questions: Sequence[Sequence[Tokens]],
    tiers: Mapping[str, Tier],
    users: int,
    a_day: tuple[float, float] = (0.5, 3.0),
    cached: tuple[float, float] = (0.0, 0.3),
) -> Month:
    """The cost of `users` people who ask between `a_day` questions each, a share between `cached` of them from a cache.

    Raises CallerError for a price that is not known and for a range that is none.
    """
    if users < 0 or not 0 <= a_day[0] <= a_day[1] or not 0 <= cached[0] <= cached[1] <= 1:
        said = f"{users} users, {a_day} questions a day and {cached} from a cache are no ranges."
        raise CallerError(said, "Give (low, high), and shares between 0 and 1.", "bad_request")
    each = mean([_dollars(one, tiers) for one in questions])
    traffic = users * DAYS
    low = traffic * a_day[0] * (1 - cached[1]) * each[0]
    middle = traffic * sum(a_day) / 2 * (1 - sum(cached) / 2) * each[1]
    high = traffic * a_day[1] * (1 - cached[0]) * each[2]
    return Month(each, low, middle, high, len(questions))


def mean(dollars: Sequence[float]) -> tuple[float, float, float]:
    """The mean with its 95% bootstrap interval: (low, mean, high)."""
    import numpy as np

    values = np.asarray(dollars, dtype=float)
    drawn = np.random.default_rng(SEED).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(values.mean()), float(high)


def _dollars(question: Sequence[Tokens], tiers: Mapping[str, Tier]) -> float:
    total = 0.0
    for one in question:
        tier = tiers.get(one.tier)
        cost = tier.cost(one.read, one.written) if tier else None
        if cost is None:
            name = tier.model if tier else f"a model of the tier {one.tier}"
            said = f"The price of {name} is not known."
            raise CallerError(said, "Name a model with a known price in models.toml.", "unknown_model")
        total += cost
    return total


def _round(dollars: float) -> str:
    """Two digits that count: more would claim to be known."""
    whole = float(f"{dollars:.1e}")
    digits = max(1 - math.floor(math.log10(whole)), 0) if whole else 0
    return f"{whole:,.{digits}f}"
