"""Notebook 13."""

from typing import Any

from . import NotYet, exercise

BOOKS = (
    ("all is well", ["a", "b"], ["b", "a"], {"missing": [], "twice": [], "unknown": []}),
    ("a call that nobody wrote down", ["a", "b"], ["a"], {"missing": ["b"], "twice": [], "unknown": []}),
    ("a call that was charged twice", ["a"], ["a", "a"], {"missing": [], "twice": ["a"], "unknown": []}),
    ("charged three times, named once", ["a"], ["a", "a", "a"], {"missing": [], "twice": ["a"], "unknown": []}),
    ("a row that the provider knows nothing of", ["a"], ["a", "c"], {"missing": [], "twice": [], "unknown": ["c"]}),
    ("a row that was left open has no id", ["a"], ["", "a", ""], {"missing": [], "twice": [], "unknown": []}),
    ("all of it", ["b", "a"], ["c", "c", ""], {"missing": ["a", "b"], "twice": ["c"], "unknown": ["c"]}),
)


@exercise
async def reconcile(solution: Any) -> str:
    for what, provider, ledger, expected in BOOKS:
        found = solution(list(provider), list(ledger))
        if not isinstance(found, dict) or set(found) != set(expected):
            raise NotYet("return a dict with the keys missing, twice and unknown, each a sorted list.")
        for name, right in expected.items():
            if list(found[name]) != right:
                raise NotYet(f"{what}: {name!r} should be {right}, and is {list(found[name])}.")
    return "What is missing, what is there twice, and what nobody knows."


@exercise
async def tail(solution: Any) -> str:
    even = [0.2] * 20
    cases = (
        ("all are quick", even, 2.0, []),
        ("one in twenty is slow, and 95 of 100 are not", [*[0.2] * 19, 9.0], 2.0, []),
        ("one in ten is slow", [*[0.2] * 18, 9.0, 9.0], 2.0, ["large"]),
        ("the slow ones came first", [9.0, 9.0, *[0.2] * 18], 2.0, ["large"]),
        ("the mean is within the limit", [*[0.1] * 36, *[4.0] * 4], 2.0, ["large"]),
        ("19 requests are too few to tell", [9.0] * 19, 2.0, []),
        ("exactly at the limit", [2.0] * 40, 2.0, []),
    )
    for what, times, most, expected in cases:
        found = solution({"large": list(times), "cached": even}, most)
        if list(found) != expected:
            raise NotYet(f"{what}: this should give {expected}, and gives {list(found)}.")
    both = solution({"small": [9.0] * 30, "large": [9.0] * 30}, 2.0)
    if list(both) != ["large", "small"]:
        raise NotYet("two tiers are slow: both names, sorted.")
    return "Those who wait are seen, whatever the mean says, and a handful is no alarm."
