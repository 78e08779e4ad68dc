"""The rungs of the ladder: which of them a feature may use, which one each request ended on, and when to worry.

live/large   live/small   cached   stale   simplified   unavailable   handoff   failed
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .ledger import Request
from .models import TierName
from .spending_report import FALLEN_BACK, LIMITS

ALERTS = {0.05: "look at it today", 0.30: "call somebody now"}  # share of requests that fell back
ENOUGH_REQUESTS = 20  # one of three is no alarm


@dataclass(frozen=True, slots=True)
class Rungs:
    """What a feature may fall back to, and for how long (seconds) a request may take until it does.

    `tiers` are asked one after the other in place of the feature's own. Without `apologise` the error goes out, for a
    caller who can come back later. With `careful`, nothing but a live answer is good enough, nothing is shown before it
    is whole, and a person takes over otherwise.
    """

    seconds: float
    tiers: tuple[TierName, ...] = ()
    faq: bool = False
    apologise: bool = True
    careful: bool = False


CHAT = Rungs(45.0, tiers=("small",), faq=True)
LADDERS = {
    "chat": CHAT,
    "batch": Rungs(600.0, apologise=False),  # the queue tries again tomorrow; a small answer would stay for ever
    "background": Rungs(20.0, tiers=("small",), apologise=False),  # a suggestion that nobody waits for is left out
    "high_stakes": Rungs(60.0, careful=True),  # money, safety, law: refuse rather than be nearly right
}


def of(feature: str) -> Rungs:
    """The rungs of `feature`; those of the chat for one that has none of its own."""
    return LADDERS.get(feature, CHAT)


def rung(request: Request) -> str:
    """Where a request ended."""
    if request.served == "live":
        return f"live/{request.tier or '?'}"
    return request.served or "failed"


def distribution(requests: Iterable[Request]) -> dict[str, float]:
    """The share of requests by rung, the most used first, without those that a limit refused or that were left."""
    counts = Counter(map(rung, _counted(requests)))
    return {name: count / counts.total() for name, count in counts.most_common()}


def fallen_back(requests: Iterable[Request]) -> float:
    """The share of requests that had no live or fresh answer."""
    counted = _counted(requests)
    return sum(one.served in FALLEN_BACK or not one.served for one in counted) / len(counted) if counted else 0.0


def alert(requests: Sequence[Request]) -> str:
    """What to do about these requests, for example those of the last ten minutes; empty when there is nothing."""
    share = fallen_back(requests)
    reached = [said for border, said in ALERTS.items() if share >= border]
    if len(_counted(requests)) < ENOUGH_REQUESTS or not reached:
        return ""
    return f"{share:.0%} of the requests fell back: {reached[-1]}."


def _counted(requests: Iterable[Request]) -> list[Request]:
    return [one for one in requests if one.outcome not in (*LIMITS, "aborted", "waiting")]
