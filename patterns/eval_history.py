"""The score of every eval run, one line a run: whether answers get better or worse over weeks.

    eval_history.add(outcomes, suite="evals", through="fallbacks", tier="own choice", model="standin-large")
    [run.share.value for run in eval_history.runs("evals")]

A baseline holds one good run with all its cases (`eval_gate.py`); this holds all runs, and of each only the counts.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from . import state
from .agreement import Share, wilson
from .errors import CallerError
from .evals import Outcome


@dataclass(frozen=True, slots=True)
class EvalRun:
    """One run of a suite. `when` is Unix time; `through`, `tier` and `model` say what ran, as a baseline does."""

    when: float
    suite: str
    through: str
    tier: str
    model: str
    passed: int
    of: int
    unsafe: int

    @property
    def share(self) -> Share:
        """The share that passed, with the bounds between which the true one lies (95%)."""
        return wilson(self.passed, self.of)


def add(outcomes: Sequence[Outcome], *, suite: str, through: str, tier: str, model: str) -> EvalRun:
    """Write a run down. Raises CallerError (`store_unwritable`)."""
    passed, unsafe = sum(not one.reason for one in outcomes), sum(one.unsafe for one in outcomes)
    run = EvalRun(time.time(), suite, through, tier, model, passed, len(outcomes), unsafe)
    path = state.file("eval_runs.jsonl")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as lines:  # one short write: two processes do not mix their lines
            lines.write(json.dumps(asdict(run)) + "\n")
    except OSError as error:
        raise CallerError(
            f"The eval run cannot be written to {path}: {error}.", "Make the folder writable.", "store_unwritable"
        ) from None
    return run


def runs(suite: str = "evals") -> list[EvalRun]:
    """The runs of a suite, oldest first. A line that was cut off by a full disk is left out."""
    path = state.file("eval_runs.jsonl")
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            run = EvalRun(**json.loads(line))
        except (ValueError, TypeError):
            continue
        if run.suite == suite:
            found.append(run)
    return sorted(found, key=lambda run: run.when)
