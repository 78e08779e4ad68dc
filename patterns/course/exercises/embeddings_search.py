"""Notebook 09."""

from typing import Any

from . import NotYet, exercise

# Tenant, vector. The longest vectors point away from the question, and the best of tenant "b" beat all of "a".
ROWS = (
    ("b", (2.0, 0.0, 0.1)),
    ("a", (9.0, 9.0, 9.0)),
    ("b", (1.0, 0.1, 0.0)),
    ("a", (0.2, 0.02, 0.0)),
    ("b", (3.0, 0.2, 0.1)),
    ("a", (1.0, 0.5, 0.0)),
    ("a", (0.0, 8.0, 1.0)),
)
QUESTION = (0.5, 0.0, 0.0)


@exercise
async def tenant_search(solution: Any) -> str:
    import numpy as np

    tenants, vectors = [tenant for tenant, _ in ROWS], np.array([vector for _, vector in ROWS])
    found = [int(row) for row in solution(np.array(QUESTION), vectors.copy(), tenants, "a", 3)]
    if any(tenants[row] != "a" for row in found):
        raise NotYet("it shows tenant a something of tenant b.")
    if len(found) < 3:
        raise NotYet(f"tenant a has four texts, and 3 were asked for, but {len(found)} came: filter before you cut.")
    if len(found) > 3:
        raise NotYet(f"3 were asked for, and {len(found)} came.")
    if found != [3, 5, 1]:
        raise NotYet(f"the nearest by angle are rows 3, 5, 1, and it gave {found}. Have all vectors the length 1?")
    if [int(row) for row in solution(np.array(QUESTION) * 100, vectors * 0.01, tenants, "a", 3)] != found:
        raise NotYet("the same directions, other lengths, and another result.")
    if list(solution(np.array(QUESTION), vectors, tenants, "c", 3)):
        raise NotYet("tenant c has nothing, so nothing is found.")
    return "The right tenant, before the cut, and by angle."


@exercise
async def neighbour_vote(solution: Any) -> str:
    def ask(neighbours: list[tuple[float, str]], k: int, sure: float) -> Any:
        return solution([one for one, _ in neighbours], [label for _, label in neighbours], k, sure)

    if ask([(0.1, "billing"), (0.9, "returns"), (0.8, "returns"), (0.7, "billing")], 3, 0.5) != "returns":
        raise NotYet("of the three nearest, two say returns, with the greater weight.")
    if ask([(0.7, "billing"), (0.69, "returns"), (0.68, "returns")], 3, 0.6) != "returns":
        raise NotYet("the nearest says billing, and the other two outweigh it: ask all k.")
    if ask([(0.9, "billing"), (0.2, "returns"), (0.2, "returns")], 3, 0.6) != "billing":
        raise NotYet("one very near neighbour weighs more than two far ones: weigh by similarity.")
    if ask([(0.9, "billing"), (0.9, "returns"), (0.1, "account")], 2, 0.8) is not None:
        raise NotYet("one says billing, one says returns: nobody can be 0.8 sure, so return None.")
    if ask([(0.5, "billing"), (0.9, "account"), (0.8, "account")], 1, 1.0) != "account":
        raise NotYet("with k = 1 the nearest decides, and its share is 1.")
    return "Weighed by similarity, and silent where the neighbours do not agree."
