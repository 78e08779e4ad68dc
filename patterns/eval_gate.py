"""The baseline and the gate: is this change worse than what was there, case by case?

    baseline = eval_gate.read(path)                        # of the last good run, kept with the code
    gate = eval_gate.compare(baseline, outcomes)
    print(gate.report()); gate.regressions                 # empty: let it through

Two runs answer the same cases, so they are compared in pairs: what is hard for both cancels out. A suite regresses when
its pass rate falls by more than `MOST_DROP`, a slice when it falls by as much and that is no accident, and either way
when an unsafe answer is new. Whatever lies inside the noise is called that.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from .agreement import Difference, Share, difference, wilson
from .errors import CallerError
from .evals import Outcome

MOST_DROP = 5  # percentage points of the pass rate
WHOLE = "all cases"


class Baseline(BaseModel):
    """`passed` holds for each case id whether it passed, `unsafe` the ids of unsafe answers. The rest says what ran."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    suite: str
    through: str
    tier: str
    model: str
    passed: Mapping[str, bool]
    unsafe: tuple[str, ...] = ()


def baseline_of(outcomes: Sequence[Outcome], *, suite: str, through: str, tier: str, model: str) -> Baseline:
    passed = {one.case.id: not one.reason for one in outcomes}
    unsafe = tuple(one.case.id for one in outcomes if one.unsafe)
    return Baseline(suite=suite, through=through, tier=tier, model=model, passed=passed, unsafe=unsafe)


def read(path: Path) -> Baseline:
    """Raises CallerError when there is none, or when it is none."""
    try:
        return Baseline.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CallerError(
            f"There is no baseline {path.name}.", "Make one of a good run with --update-baseline.", "bad_request"
        ) from None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise CallerError(
            f"The baseline {path.name} cannot be read: {reason}.",
            "Make it again with --update-baseline.",
            "bad_request",
        ) from None


def write(path: Path, baseline: Baseline) -> None:
    """Replace the file at once. One case a line, so that a diff of it shows which cases changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    text = json.dumps(baseline.model_dump(mode="json"), indent=1, ensure_ascii=False)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


@dataclass(frozen=True, slots=True)
class Change:
    """One slice, or all of it, in both runs."""

    name: str
    before: Share
    now: Share
    difference: Difference

    @property
    def dropped(self) -> bool:
        return 100 * (self.difference.worse - self.difference.better) > MOST_DROP * self.now.of

    def __str__(self) -> str:
        change = f"{self.name}: {self.before.value:.0%} to {self.now.value:.0%}"
        worse = f"{self.difference.worse} {'case' if self.difference.worse == 1 else 'cases'} worse"
        if not self.difference.worse + self.difference.better:
            return f"{change}, the same cases"
        noise = "beyond the noise" if self.difference.real else "inside the noise, no difference shown"
        return f"{change}; {worse}, {self.difference.better} better: {noise}"


@dataclass(frozen=True, slots=True)
class Gate:
    """`changes` begin with the whole suite. `compared` counts the cases that both runs have, `new` the others."""

    changes: tuple[Change, ...]
    worse: tuple[str, ...]
    better: tuple[str, ...]
    newly_unsafe: tuple[str, ...]
    compared: int
    new: int

    @property
    def regressions(self) -> list[str]:
        """Why not to let the change through, in words."""
        whole, *slices = self.changes
        found = [str(whole)] if whole.dropped else []
        found += [str(one) for one in slices if one.dropped and one.difference.real]
        return found + [f"unsafe now and not before: {name}" for name in self.newly_unsafe]

    def report(self) -> str:
        lines = [f"compared with the baseline in {self.compared} cases" + (f", {self.new} are new" if self.new else "")]
        lines += [f"  {change}" for change in self.changes]
        lines += [f"worse:  {', '.join(self.worse) or 'none'}", f"better: {', '.join(self.better) or 'none'}"]
        verdict = "\n".join(f"REGRESSION  {line}" for line in self.regressions)
        return "\n".join([*lines, verdict or "no regression"])


def compare(baseline: Baseline, outcomes: Sequence[Outcome]) -> Gate:
    """Raises CallerError when the two have no case in common."""
    shared = [one for one in outcomes if one.case.id in baseline.passed]
    if not shared:
        raise CallerError(
            f"The baseline of {baseline.suite} has none of these cases.",
            "Name its suite, or make a new one.",
            "bad_request",
        )
    groups: dict[str, list[Outcome]] = {WHOLE: shared}
    for one in shared:
        groups.setdefault(one.case.slice, []).append(one)
    changes = tuple(_change(name, baseline, group) for name, group in groups.items())
    was, now = baseline.passed, {one.case.id: not one.reason for one in shared}
    return Gate(
        changes=changes,
        worse=tuple(name for name in now if was[name] and not now[name]),
        better=tuple(name for name in now if now[name] and not was[name]),
        newly_unsafe=tuple(one.case.id for one in outcomes if one.unsafe and one.case.id not in baseline.unsafe),
        compared=len(shared),
        new=len(outcomes) - len(shared),
    )


def _change(name: str, baseline: Baseline, group: Sequence[Outcome]) -> Change:
    before, now = [baseline.passed[one.case.id] for one in group], [not one.reason for one in group]
    return Change(name, wilson(sum(before), len(group)), wilson(sum(now), len(group)), difference(before, now))
