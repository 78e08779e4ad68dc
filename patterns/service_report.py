"""What an operator looks at: speed by tier, how requests ended, which tools ran, how good the answers are; alerts.

    found = await report()          since the day began (UTC), from the ledger, the checkpoints and the eval history
    found.alerts                    what somebody must be told, in sentences
    python -m patterns.service_report

Dollars are in `spending_report.py` and rungs in `rungs.py`; here they stand beside the rest. All of it outlasts the
process but invented citations: those are counted in memory (`metrics.py`), so each process knows its own only.
"""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from . import alerts, checkpoints, eval_history, metrics, rungs
from .agreement import wilson
from .checkpoints import Action
from .eval_history import EvalRun
from .ledger import Request
from .spending_report import Day, days

FIRST_TEXT_TARGET = 0.8  # seconds, for half of the requests; the notebook on streaming says why
SLOWEST = 3 * FIRST_TEXT_TARGET  # for 95 of 100
MOST_ESCALATED = 0.15  # of the requests; look at what they have in common before hiring
MOST_INVENTED = 0.02  # citations that nobody gave, per live answer
EVAL_DROP = 0.05  # of the pass rate, against the best run before
ENOUGH = rungs.ENOUGH_REQUESTS  # one of three is no alarm


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds until the first words: of half of the requests, of 95 in 100."""

    p50: float
    p95: float
    of: int


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of one day. Shares are None where there was nothing to have a share in."""

    day: Day
    speeds: Mapping[str, Speed]
    rungs: Mapping[str, float]
    escalated: float | None
    invented: float | None
    tools: Mapping[str, tuple[int, int]]
    evals: Sequence[EvalRun]
    caps: Sequence[alerts.Cap]

    @property
    def alerts(self) -> list[str]:
        """What somebody must be told."""
        found = [str(cap) for cap in self.caps if cap.share >= alerts.ALERT_AT]
        found += filter(None, [rungs.alert(self.day.requests)])
        for tier, speed in self.speeds.items():
            if speed.of >= ENOUGH and speed.p95 > SLOWEST:
                found.append(
                    f"The first words of {tier} come after {speed.p95:.1f} s for 1 of 20: look at its provider."
                )
        enough = len(self.day.requests) >= ENOUGH
        if enough and (self.escalated or 0.0) > MOST_ESCALATED:
            found.append(f"{self.escalated:.0%} of the requests went to a person: look at what they ask.")
        if enough and (self.invented or 0.0) > MOST_INVENTED:
            found.append(f"{self.invented:.1%} citations per answer are invented: look at the model and its prompt.")
        return found + [said for said in [_eval_alert(self.evals)] if said]


def _eval_alert(runs: Sequence[EvalRun]) -> str:
    """Only a drop that noise does not explain: the intervals of the two runs do not touch."""
    if len(runs) < 2:
        return ""
    *before, latest = runs
    best = max(before, key=lambda run: run.share.value)
    if best.share.value - latest.share.value <= EVAL_DROP or latest.share.high >= best.share.low:
        return ""
    return f"The evals fell from {best.share.value:.0%} to {latest.share.value:.0%}: compare the two runs case by case."


async def report(now: float | None = None) -> Report:
    """The figures of the day (UTC) in which `now` (Unix time) lies."""
    now = time.time() if now is None else now
    [today] = days(count=1, now=now)
    return Report(
        day=today,
        speeds=speeds(today.requests),
        rungs=rungs.distribution(today.requests),
        escalated=escalated(today.requests),
        invented=invented(today.requests),
        tools=tools(checkpoints.default().actions_since(now // 86_400 * 86_400)),
        evals=eval_history.runs(),
        caps=await alerts.caps(today),
    )


def speeds(requests: Iterable[Request]) -> dict[str, Speed]:
    """Time to the first words by the tier that answered; caches are a tier of their own."""
    found: dict[str, list[float]] = {}
    for one in requests:
        if one.first_token_seconds > 0:
            found.setdefault(one.tier if one.served == "live" else one.served, []).append(one.first_token_seconds)
    return {tier or "?": _speed(times) for tier, times in sorted(found.items())}


def _speed(times: Sequence[float]) -> Speed:
    if len(times) == 1:
        return Speed(times[0], times[0], 1)
    cuts = statistics.quantiles(times, n=20, method="inclusive")
    return Speed(cuts[9], max(cuts[9], cuts[18]), len(times))  # `max`: the two are rounded apart


def escalated(requests: Sequence[Request]) -> float | None:
    """The share of requests that a person took over."""
    return _share(sum(one.outcome == "human_handoff" or one.served == "handoff" for one in requests), len(requests))


def invented(requests: Sequence[Request]) -> float | None:
    """Citations that nobody gave, counted in this process, per live answer."""
    return _share(metrics.value("rag.invented_citations"), sum(one.served == "live" for one in requests))


def tools(actions: Iterable[Action]) -> dict[str, tuple[int, int]]:
    """How often each tool ran, and how often it gave an error or no end is known; the most used first."""
    made, failed = Counter[str](), Counter[str]()
    for one in actions:
        made[one.tool] += 1
        failed[one.tool] += one.result is None or (isinstance(one.result, dict) and "error" in one.result)
    return {tool: (count, failed[tool]) for tool, count in made.most_common()}


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None


# as text


def text(found: Report) -> str:
    lines = [f"{found.day.date} (UTC), {len(found.day.requests)} requests"]
    lines += [
        f"first words, {tier}: {speed.p50:.2f} s for half, {speed.p95:.2f} s for 95 of 100 ({speed.of})"
        for tier, speed in found.speeds.items()
    ]
    lines.append(
        "dollars by tenant: " + _listed(f"{name} ${cost:,.4f}" for name, cost in found.day.by("tenant").items())
    )
    lines.append("rungs: " + _listed(f"{name} {share:.0%}" for name, share in found.rungs.items()))
    lines.append("tools: " + _listed(f"{name} {made} ({bad} failed)" for name, (made, bad) in found.tools.items()))
    for title, value in (("handed to a person", found.escalated), ("invented citations per answer", found.invented)):
        lines.append(f"{title}: {'–' if value is None else f'{value:.1%}'}")
    if found.evals:
        lines.append(f"evals: {wilson(found.evals[-1].passed, found.evals[-1].of).value:.0%} of {found.evals[-1].of}")
    return "\n".join([*lines, *(f"ALERT  {said}" for said in found.alerts)])


def _listed(said: Iterable[str]) -> str:
    return ", ".join(said) or "–"


if __name__ == "__main__":
    print(text(asyncio.run(report())))
