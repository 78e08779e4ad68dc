"""Notebook 06."""

import math
from typing import Any

from . import NotYet, exercise

Cases = dict[str, tuple[str, bool]]


def _run(**slices: str) -> Cases:
    """ "ok-o" makes four cases of a slice, of which those with a letter passed."""
    return {f"{name}-{at}": (name, mark != "-") for name, marks in slices.items() for at, mark in enumerate(marks)}


HIDDEN: tuple[tuple[str, Cases, Cases, list[str]], ...] = (
    ("nothing changed", _run(a="oooo", b="oo--"), _run(a="oooo", b="oo--"), []),
    ("one slice fell, another rose by more", _run(a="oooo", b="------"), _run(a="----", b="oooooo"), ["a"]),
    ("one slice fell, another rose by as much", _run(a="oooo", b="----"), _run(a="----", b="oooo"), ["a"]),
    ("everything fell", _run(a="oooo", b="oooo"), _run(a="----", b="ooo-"), []),
    ("a slice fell by exactly 20 points", _run(a="ooooo", b="-"), _run(a="oooo-", b="o"), []),
    ("a slice fell by a quarter", _run(a="oooo", b="-"), _run(a="ooo-", b="o"), ["a"]),
    ("two slices fell", _run(b="oo", a="oo", c="------"), _run(b="--", a="o-", c="oooooo"), ["a", "b"]),
    ("a new slice came in", _run(a="oooo", b="----"), _run(a="ooo-", b="o---", new="----"), ["a"]),
    ("cases left", _run(a="oooo", b="-", gone="oooo"), _run(a="ooo-", b="o"), ["a"]),
)


@exercise
async def hidden(solution: Any) -> str:
    for what, before, after, expected in HIDDEN:
        found = solution(before, after)
        if found != expected:
            raise NotYet(f"{what}: it returned {found!r}; {expected} is expected.")
    before, after = _run(a="oooo", b="-"), _run(a="ooo-", b="o")
    if solution(before, after, points=30) != []:
        raise NotYet("a drop of 25 points counts although points=30.")
    return "Every slice that fell behind a better average, and none that did not."


T, F = True, False
KAPPA: tuple[tuple[str, list[bool], list[bool], float], ...] = (
    ("the same decisions", [T, F, T, F], [T, F, T, F], 1.0),
    ("always the opposite, half and half", [T, F, T, F], [F, T, F, T], -1.0),
    ("a judge that always passes", [T] * 9 + [F], [T] * 10, 0.0),
    ("both always pass", [T, T, T], [T, T, T], 0.0),
    ("both always fail", [F, F], [F, F], 0.0),
    ("20 and 15 agreed of 50", [T] * 25 + [F] * 25, [T] * 20 + [F] * 5 + [T] * 10 + [F] * 15, 0.4),
)


@exercise
async def agreement_beyond_chance(solution: Any) -> str:
    for what, people, judge, expected in KAPPA:
        found = solution(people, judge)
        if not isinstance(found, float | int) or not math.isclose(found, expected, abs_tol=1e-9):
            raise NotYet(f"{what}: it returned {found!r}; {expected} is expected.")
    return "1 for perfect, 0 for what chance gives, less for worse."
