"""The command `python -m patterns.evals`: run a suite, print the scores, compare them with a baseline.

It ends with 0 when all is well, with 1 for a regression (see `eval_gate.py`) and with 2 for input that cannot be used.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import complete_assistant, eval_gate, eval_history, evals, models
from .agreement import wilson
from .errors import CallerError, PatternsError
from .eval_cases import SPLITS, Case, path_of
from .evals import Outcome
from .models import TierName

TIERS: tuple[TierName, ...] = ("small", "large")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(options))
    except PatternsError as error:
        print(f"{error.message}\nNext step: {error.next_step}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m patterns.evals", description=__doc__)
    parser.add_argument("--suite", default="evals", help="a name under data/evals/, or a path (default: evals)")
    parser.add_argument("--through", help="the assistant as it stands after this pattern (default: all there are)")
    parser.add_argument("--tier", choices=TIERS, help="which model answers (default: the assistant's own choice)")
    parser.add_argument("--split", choices=SPLITS, help="only this half of the cases")
    parser.add_argument("--sample", type=int, metavar="N", help="at most N cases of each slice")
    parser.add_argument("--concurrency", type=int, default=6, metavar="N", help="cases at a time (default: 6)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every outcome to this file")
    parser.add_argument("--baseline", type=Path, metavar="PATH", help="compare with this file (default: the kept one)")
    parser.add_argument("--update-baseline", action="store_true", help="keep this run as the baseline")
    return parser


async def _run(options: argparse.Namespace) -> int:
    cases = _chosen(options)
    kept = options.baseline or _kept(options)
    whole = options.split is None and options.sample is None
    if options.json and not options.json.parent.is_dir():
        raise CallerError(f"There is no folder {options.json.parent}.", "Make it first.", "bad_request")
    if options.update_baseline and not whole:
        raise CallerError("A part of a suite is no baseline.", "Leave out --split and --sample.", "bad_request")
    baseline = None
    if not options.update_baseline and (options.baseline or kept.exists()):
        baseline = eval_gate.read(kept)  # before anything is paid for
    handler = complete_assistant.build(options.through)
    try:
        outcomes = await evals.run(handler, cases, options.concurrency, options.tier)
    finally:
        await models.close()
    _refuse_outage(outcomes, options.update_baseline)
    if whole:
        eval_history.add(outcomes, **_made(options))
    print(f"{len(cases)} cases · {' · '.join(f'{name} {value}' for name, value in _made(options).items())}\n")
    print(scores_with_intervals(outcomes))
    gate = eval_gate.compare(baseline, outcomes) if baseline else None
    if options.json:
        _write_json(options, outcomes, gate)
    if options.update_baseline:
        eval_gate.write(kept, eval_gate.baseline_of(outcomes, **_made(options)))
        print(f"\nkept as {kept}")
    if gate is None:
        if not options.update_baseline:
            print("\nno baseline to compare with: keep this run with --update-baseline")
        return 0
    print(f"\n{gate.report()}")
    return 1 if gate.regressions else 0


def _chosen(options: argparse.Namespace) -> tuple[Case, ...]:
    for name in ("sample", "concurrency"):
        number = getattr(options, name)
        if number is not None and number < 1:
            raise CallerError(f"--{name} {number} leaves nothing to run.", "Use 1 or more.", "bad_request")
    cases = evals.load(options.suite)
    if options.split:
        cases = tuple(case for case in cases if case.split == options.split)
    if options.sample:
        cases = evals.sample(cases, options.sample)
    if not cases:
        raise CallerError(
            f"{options.suite} has no case of the split {options.split}.", "Leave out --split.", "bad_request"
        )
    return cases


def _kept(options: argparse.Namespace) -> Path:
    """Where the baseline of a suite is kept: beside it, with what is not usual in its name."""
    suite = path_of(options.suite)
    unusual = [suite.stem] if options.suite != "evals" else []
    unusual += [options.tier] if options.tier else []
    return suite.with_name("_".join(["baseline", *unusual]) + ".json")


def _refuse_outage(outcomes: Sequence[Outcome], to_keep: bool) -> None:
    """A run in which no model answered says nothing about answers, and one with gaps is no baseline."""
    failed = [one.timing.failed for one in outcomes if one.timing.failed]
    if len(failed) == len(outcomes) or (failed and to_keep):
        said = f"{len(failed)} of {len(outcomes)} cases could not be run: {failed[0].message}"
        raise CallerError(said, failed[0].next_step, failed[0].code)


def _made(options: argparse.Namespace) -> dict[str, str]:
    """What ran, as a baseline says it."""
    return {
        "suite": Path(options.suite).stem,
        "through": options.through or complete_assistant.CHAPTERS[-1],
        "tier": options.tier or "own choice",
        "model": models.provider().tier(options.tier or "large").model,
    }


def scores_with_intervals(outcomes: Sequence[Outcome]) -> str:
    """One row a slice: how many passed, and between what bounds the true share lies (95%, Wilson)."""
    scores = evals.scores(outcomes)
    passed, every = (sum(column) for column in zip(*scores.by_slice.values(), strict=True))
    rows = [*scores.by_slice.items(), (eval_gate.WHOLE, (passed, every))]
    width = max(len(name) for name, _ in rows)
    lines = []
    for name, counts in rows:
        share = wilson(*counts)
        lines.append(
            f"{name:{width}}  {counts[0]:3} of {counts[1]:3}  {share.value:4.0%}  ({share.low:.0%} to {share.high:.0%})"
        )
    cost = "unknown" if scores.cost_per_resolved is None else f"${scores.cost_per_resolved:.5f}"
    failed = sum(one.timing.failed is not None for one in outcomes)
    kept = sum(one.timing.answer is not None and one.timing.answer.served in ("cached", "stale") for one in outcomes)
    lines.append(f"unsafe answers {scores.unsafe} · could not be run {failed} · answered from a cache {kept}")
    lines.append(f"cost per resolved case {cost}")
    return "\n".join([*lines, f"first token {scores.first_token:.2f} s · whole answer {scores.total:.2f} s (medians)"])


def _write_json(options: argparse.Namespace, outcomes: Sequence[Outcome], gate: eval_gate.Gate | None) -> None:
    scores = evals.scores(outcomes)
    report: dict[str, Any] = _made(options)
    report["slices"] = {name: wilson(*counts)._asdict() for name, counts in scores.by_slice.items()}
    report["cost_per_resolved_usd"] = scores.cost_per_resolved
    report["regressions"] = gate.regressions if gate else None
    report["cases"] = [
        {
            "id": one.case.id,
            "slice": one.case.slice,
            "passed": not one.reason,
            "reason": one.reason,
            "unsafe": one.unsafe,
            "seconds": round(one.timing.total, 3),
            "cost_usd": one.cost_usd,
            "text": one.text,
        }
        for one in outcomes
    ]
    try:
        options.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise CallerError(
            f"{options.json} cannot be written: {error}.", "Choose another path.", "bad_request"
        ) from None
