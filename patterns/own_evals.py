"""Eval cases of your own: from a YAML file or from a list, run against your assistant, with every call that they took.

    cases = own_evals.cases([("How long may I keep a film?", "7 days"), ("Where can I park?", None)])
    run = await own_evals.run(mine, cases)
    print(run.table())

A case of the list is a question and what its answer must hold: a text, several (all of them), or None, where no
document says it and the assistant must say so.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import eval_cases, evals, ledger
from .agreement import wilson
from .errors import CallerError
from .eval_cases import Case
from .evals import Outcome
from .events import Handler
from .ledger import Call
from .your_own_assistant import VISITOR, Own

Pair = tuple[str, str | Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class Run:
    """What came of the cases, and every model call that was made for them, in the order of the cases."""

    outcomes: tuple[Outcome, ...]
    calls: tuple[Call, ...]

    def table(self) -> str:
        """One row a slice: how many passed, and between what bounds the true share lies (95%, Wilson)."""
        counts = evals.scores(self.outcomes).by_slice
        width = max(map(len, counts))
        rows = []
        for name, (passed, every) in counts.items():
            share = wilson(passed, every)
            rows.append(f"{name:{width}}  {passed:2} of {every:2}   95%: {share.low:.0%} to {share.high:.0%}")
        return "\n".join(rows)

    def failed(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.reason]


def cases(source: str | Path | Sequence[Pair]) -> tuple[Case, ...]:
    """The cases of a YAML file (see `eval_cases.py`; `customer` may be left out) or of a list of pairs.

    Raises CallerError that names what is wrong.
    """
    if isinstance(source, str | Path):
        return eval_cases.load(Path(source), customer=VISITOR)
    if not source:
        raise CallerError(
            "There is no case.", "Give at least one (question, what the answer must hold).", "bad_request"
        )
    return tuple(_case(number, pair) for number, pair in enumerate(source, start=1))


def _case(number: int, pair: Pair) -> Case:
    question, wanted = pair
    must = () if wanted is None else (wanted,) if isinstance(wanted, str) else tuple(wanted)
    if (
        not question.strip()
        or (wanted is not None and not all(one.strip() for one in must))
        or (wanted is not None and not must)
    ):
        said = f"Case {number} has no question, or nothing that its answer must hold."
        raise CallerError(said, "Write (question, text), or (question, None) where no document says it.", "bad_request")
    name = "own" if must else "not there"
    return Case(f"own-{number}", name, question, VISITOR, must=tuple((one,) for one in must), unknown=not must)


async def run(mine: Own, cases: Sequence[Case], handler: Handler | None = None) -> Run:
    """Put the cases to the assistant, or to another `handler` in its place."""
    started = time.time()
    outcomes = await evals.run(handler or mine.handler, cases, user=mine.visitor)
    answers = [one.timing.answer for one in outcomes]
    place = {answer.trace_id: number for number, answer in enumerate(answers) if answer}
    calls = [one for one in ledger.default().calls(since=started) if one.tenant == mine.tenant]
    calls.sort(key=lambda one: place.get(one.trace_id, len(cases)))  # they ran several at a time, in any order
    return Run(tuple(outcomes), tuple(calls))
