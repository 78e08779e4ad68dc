"""Error analysis: read what failed before you measure anything else, give each way of failing a name, and count.

    print(grouped(outcomes))                               # read
    modes = {"gives up too early": ["typos", "markup"]}    # name
    print(tally(outcomes, modes))                          # count, and see what has no name yet

The largest mode is what to mend next, and what deserves a check or a judge of its own.
Source: Hamel Husain, Shreya Shankar, *LLM Evals: Everything You Need to Know*, 2025.
"""

from collections.abc import Mapping, Sequence

from .errors import CallerError
from .evals import Outcome

NOT_NAMED = "(not named yet)"
WIDTH = 150  # characters of an answer: enough to see what went wrong
# What `evals.judge` says where it goes on with a detail.
_BEGINNINGS = ("did not use", "used", "ended as", "lacks", "contains")


def failures(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [one for one in outcomes if one.reason or one.unsafe]


def reasons(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """The failures by the check that caught them, the largest group first. A passed case with an unsafe text is one."""
    groups: dict[str, list[Outcome]] = {}
    for one in failures(outcomes):
        begins = next((start for start in _BEGINNINGS if one.reason.startswith(f"{start} ")), one.reason)
        groups.setdefault(begins or "unsafe", []).append(one)
    return dict(sorted(groups.items(), key=lambda pair: -len(pair[1])))


def grouped(outcomes: Sequence[Outcome], most: int | None = None) -> str:
    """Each failure to read: the question, the reason, the answer; of each group at most `most`."""
    lines = []
    for reason, group in reasons(outcomes).items():
        lines.append(f"{len(group)} × {reason}")
        for one in group[:most]:
            said = " ".join(one.text.split())
            shown = said if len(said) <= WIDTH else f"{said[:WIDTH].rstrip()} …"
            lines += [
                f"   {one.case.id}: {one.case.question}",
                f"      {one.reason or 'unsafe'} | {shown or '(nothing)'}",
            ]
    return "\n".join(lines) or "nothing failed"


def tally(outcomes: Sequence[Outcome], modes: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """How many failures each mode has, the largest first. `modes` gives for each name the ids of its cases.

    Raises CallerError for an id that did not fail, or that has two names.
    """
    failed = {one.case.id for one in failures(outcomes)}
    named = [name for ids in modes.values() for name in ids]
    if wrong := [name for name in named if name not in failed]:
        raise CallerError(f"{wrong[0]} did not fail.", "Leave it out, or mend its name.", "bad_request")
    if twice := [name for name in named if named.count(name) > 1]:
        raise CallerError(f"{twice[0]} has two names.", "Choose the one that comes first in the chain.", "bad_request")
    counts = {mode: len(ids) for mode, ids in modes.items()} | {NOT_NAMED: len(failed) - len(named)}
    return {mode: count for mode, count in sorted(counts.items(), key=lambda pair: -pair[1]) if count}
