"""Evals: cases with checks that a program can make, run against a handler, and the scorecard that compares two.

Cases are in `data/evals/<stem>.yaml` (`eval_cases.py`). A case passes when the answer contains one of each group in
`must`, nothing of `must_not`, and says that it does not know exactly when `unknown` is set (by `Answer.confident`, or
in words). It may also ask for tools that were called or were not, and for the outcome of the run. An answer that
contains something of `unsafe` fails and is counted apart: no average may hide it.

    python -m patterns.evals --help

runs a suite and compares it with a kept baseline (`eval_gate.py`). Judges are in `judges.py`.
"""

import asyncio
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import acme, ledger, models
from .errors import CallerError, PatternsError
from .eval_cases import Case, load
from .events import Failed, Handler, Turn, User
from .models import TierName
from .streaming_ux import Timing, measure

# What models say when they do not know. Read your own model's refusals and extend it: a program cannot read intent.
NOT_KNOWN = re.compile(
    r"\b(?:could|can|did|do|does|was|am)(?:'t|n't| ?not|’t|n’t)(?: be)?(?: \w+)? "
    r"(?:find|found|know|say|help|answer|provide|able|have)"
    r"|\b(?:documents?|articles?|sources?|context|information)\b.{0,30}(?:not|n't|n’t) "
    r"(?:contain|mention|cover|include|say)"
    r"|\bno information\b|\bunable to\b|\bnot (?:covered|mentioned|able)\b"
    r"|\b(?:konnte|kann|weiß)\b.{0,60}\bnicht\b|\bnichts (?:dazu |darüber )?(?:gefunden|finden)"
    r"|\bkeine (?:Information|Angabe)",
    re.IGNORECASE,
)


WARMING = 10  # cases at once that nobody measures; with many more, requests run out of time on a slow machine


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reason` is empty when the case passed.

    `cost_usd` covers every call of the turn at list price, without the discount of a provider's prompt cache, so that
    whoever is measured second has no advantage. None: a price is not known.
    """

    case: Case
    text: str
    reason: str
    unsafe: bool
    timing: Timing
    cost_usd: float | None


def judge(case: Case, timing: Timing) -> str:
    """Why the turn fails the case; empty when it passes."""
    end = timing.answer
    if end is None and timing.question is None:
        return timing.failed.message if timing.failed else "no answer"
    # A search that would find what is in the prompt already need not be asked for.
    for name in case.calls:
        if name not in timing.tools and name != "search_help":
            return f"did not use {name}"
    for name in case.no_calls:
        if name in timing.tools:
            return f"used {name}"
    if end is None:
        return "" if not (case.must or case.unknown) else "waits for a confirmation"
    if case.outcome and end.outcome != case.outcome:
        return f"ended as {end.outcome}"
    lower = end.text.lower()
    not_known = not end.confident or bool(NOT_KNOWN.search(end.text))
    if case.unknown and not not_known:
        return "should have said that it does not know"
    if case.must and not case.unknown and not_known:
        return "says that it does not know"
    for group in case.must:
        if not any(option.lower() in lower for option in group):
            return f"lacks {' / '.join(group)}"
    for wrong in (*case.must_not, *case.unsafe):
        if wrong.lower() in lower:
            return f"contains {wrong}"
    return ""


async def run(
    handler: Handler,
    cases: Sequence[Case],
    concurrency: int = 6,
    tier: TierName | None = None,
    user: Callable[[str], User] = acme.user,
) -> list[Outcome]:
    """Put every case to the handler, at most `concurrency` at a time. Results come in the order of the cases.

    `tier` asks for another model than the handler's own. `user` finds the person that a case names.
    """
    places = asyncio.Semaphore(concurrency)

    async def one(case: Case) -> Outcome:
        turn = Turn(case.question, user(case.customer), case.history, feature="evals", tier=tier)
        try:
            async with places:
                timing = await measure(handler, turn)
        except PatternsError as error:  # a handler without report_failures: this case fails, the others go on
            failed = Failed(error.code, error.message, error.next_step, False)
            timing = Timing(0.0, 0.0, 0.0, (), None, failed)
        cost = _list_price(turn.trace_id)
        text = timing.answer.text if timing.answer else ""
        unsafe = any(phrase.lower() in text.lower() for phrase in case.unsafe)
        return Outcome(case, text, judge(case, timing), unsafe, timing, cost)

    async with asyncio.TaskGroup() as group:  # one that raises stops the others, and what they cost
        tasks = [group.create_task(one(case)) for case in cases]
    return [task.result() for task in tasks]


def _list_price(trace_id: str) -> float | None:
    provider = models.provider()
    calls = ledger.default().calls(trace_id=trace_id)
    costs = [provider.tiers[call.tier].cost(call.input_tokens, call.output_tokens) for call in calls]
    return None if None in costs else sum(cost or 0.0 for cost in costs)


@dataclass(frozen=True, slots=True)
class Scores:
    """`by_slice` maps a slice to (passed, all). Dollars per passed case; seconds are medians."""

    by_slice: dict[str, tuple[int, int]]
    cost_per_resolved: float | None
    first_token: float
    total: float
    unsafe: int


def scores(outcomes: Sequence[Outcome]) -> Scores:
    """Raises CallerError when there is nothing to score."""
    if not outcomes:
        raise CallerError("There is no case to score.", "Add cases to the file under data/evals/.", "bad_request")
    slices: dict[str, tuple[int, int]] = {}
    for outcome in outcomes:
        passed, every = slices.get(outcome.case.slice, (0, 0))
        slices[outcome.case.slice] = (passed + (not outcome.reason), every + 1)
    resolved = sum(passed for passed, _ in slices.values())
    costs = [outcome.cost_usd for outcome in outcomes]
    known = resolved > 0 and None not in costs
    return Scores(
        by_slice=slices,
        cost_per_resolved=sum(cost or 0.0 for cost in costs) / resolved if known else None,
        first_token=statistics.median(outcome.timing.first_token for outcome in outcomes),
        total=statistics.median(outcome.timing.total for outcome in outcomes),
        unsafe=sum(outcome.unsafe for outcome in outcomes),
    )


def table(runs: dict[str, Scores]) -> str:
    """A text table: one row a figure, one column a run."""
    slices = list(dict.fromkeys(name for run in runs.values() for name in run.by_slice))
    rows = [["", *runs]]
    rows += [[f"passed: {name}", *(_share(run.by_slice.get(name)) for run in runs.values())] for name in slices]
    rows += [
        ["unsafe answers", *(str(run.unsafe) for run in runs.values())],
        ["cost per resolved case", *(_dollars(run.cost_per_resolved) for run in runs.values())],
        ["first token, median", *(f"{run.first_token:.2f} s" for run in runs.values())],
        ["whole answer, median", *(f"{run.total:.2f} s" for run in runs.values())],
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def sample(cases: Sequence[Case], per_slice: int) -> tuple[Case, ...]:
    """At most `per_slice` cases of each slice, evenly spread over it, in the order of the file: the same each time."""
    slices: dict[str, list[Case]] = {}
    for case in cases:
        slices.setdefault(case.slice, []).append(case)
    chosen = {group[place * len(group) // per_slice].id for group in slices.values() for place in range(per_slice)}
    return tuple(case for case in cases if case.id in chosen)


async def scorecard(stem: str, cases: Sequence[Case] | None = None, /, **handlers: Handler) -> dict[str, list[Outcome]]:
    """Run the cases of `stem` (or those `cases` of it) against each handler, one after the other, and print the table.

    A first pass that is not measured warms the provider's caches, so that whoever comes second gains nothing by it.
    Returns the outcomes, for a closer look at what failed.
    """
    every = load(stem)
    cases = every if cases is None else cases
    await run(next(iter(handlers.values())), cases, concurrency=WARMING)
    outcomes = {name.replace("_", " "): await run(handler, cases) for name, handler in handlers.items()}
    print(f"{len(cases)}{'' if len(cases) == len(every) else f' of {len(every)}'} cases from data/evals/{stem}.yaml\n")
    print(table({name: scores(results) for name, results in outcomes.items()}))
    return outcomes


def _share(counts: tuple[int, int] | None) -> str:
    return f"{counts[0]} of {counts[1]}" if counts else "–"


def _dollars(amount: float | None) -> str:
    return "unknown" if amount is None else f"${amount:.5f}"


if __name__ == "__main__":
    from .eval_command import main

    sys.exit(main())
