"""Routing by neighbours: a text gets the label of the texts nearest to it, and a chance that this is right.

    router = Router(vectors, labels)          # fits its curve on its own examples, each one left out in turn
    router.vote(vectors)[0]                   # label, score, similarity of the nearest
    routed = await route(router, ticket, user)   # neighbours where they are sure, else the model

The score of a vote is the winner's share of the weight times the cosine of the nearest example: neighbours that agree
say little when all are far away.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import acme, calls, triage
from .confidence import Point, fit
from .embeddings_search import DIGITS, Text
from .errors import CallerError
from .events import User

if TYPE_CHECKING:
    import numpy as np

K = 5
POWER = 8  # a neighbour weighs cosine ** POWER. Banking77, left out in turn, k = 5: power 1 0.913, 4 0.915, 8 0.918
SURE = 0.7  # chance from which the neighbours decide alone
FAR_SHARE = 0.02  # of the known examples, so many lie further from the others than `Router.floor`
BLOCK = 1_024  # texts compared at once: 40 MB for 10,000 examples


@dataclass(frozen=True, slots=True)
class Vote:
    """What the neighbours say. `similarity` is the cosine of the nearest, `neighbours` their positions."""

    label: str
    score: float
    similarity: float
    neighbours: tuple[int, ...]


class Router:
    """`vectors`: unit vectors, (examples, dimension), with a label each. Raises CallerError for too few of them."""

    def __init__(self, vectors: "np.ndarray", labels: Sequence[str], k: int = K) -> None:
        import numpy as np

        if k < 1 or len(labels) <= k or len(labels) != len(vectors) or len(set(labels)) < 2:
            raise CallerError(
                f"{len(vectors)} examples with {len(set(labels))} labels do not give {k} neighbours to choose from.",
                "Label more examples, of two kinds at least, or ask fewer neighbours.",
                "bad_request",
            )
        self.vectors, self.labels, self.k = vectors, tuple(labels), k
        self.left_out = self._votes(vectors, themselves=False)
        known = [Point(vote.score, vote.label == label) for vote, label in zip(self.left_out, labels, strict=True)]
        self.curve = fit(known)
        self.floor = float(np.quantile([vote.similarity for vote in self.left_out], FAR_SHARE))

    def vote(self, vectors: "np.ndarray") -> list[Vote]:
        """What the neighbours of each of `vectors`, (texts, dimension), say."""
        return self._votes(vectors, themselves=True)

    def confidence(self, vote: Vote) -> float:
        """The chance that the label is right, as it was for examples left out in turn; 0 far from all of them."""
        return 0.0 if vote.similarity < self.floor else self.curve(vote.score)

    def _votes(self, vectors: "np.ndarray", themselves: bool) -> list[Vote]:
        import numpy as np

        votes: list[Vote] = []
        for start in range(0, len(vectors), BLOCK):
            alike = np.round(vectors[start : start + BLOCK] @ self.vectors.T, DIGITS)
            if not themselves:
                alike[np.arange(len(alike)), np.arange(start, start + len(alike))] = -2
            near = np.argpartition(-alike, self.k - 1, axis=1)[:, : self.k]
            votes += [self._count(row[at], at) for row, at in zip(alike, near, strict=True)]
        return votes

    def _count(self, similarities: "np.ndarray", rows: "np.ndarray") -> Vote:
        nearest = sorted(zip(similarities.tolist(), rows.tolist(), strict=True), key=lambda pair: (-pair[0], pair[1]))
        weights: dict[str, float] = {}
        for similarity, row in nearest:
            label = self.labels[row]
            weights[label] = weights.get(label, 0.0) + max(similarity, 1e-6) ** POWER
        winner = max(weights, key=lambda label: weights[label])  # of equals, the one with the nearest example
        share = weights[winner] / sum(weights.values())
        best = nearest[0][0]
        return Vote(winner, share * max(best, 0.0), best, tuple(row for _, row in nearest))


def calibration_error(chances: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error = Σ |bin| / n · |mean chance − share right|, over `bins` of equal width.

    Source: Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017.
    """
    parts: dict[int, list[tuple[float, bool]]] = {}
    for chance, good in zip(chances, right, strict=True):
        parts.setdefault(min(int(chance * bins), bins - 1), []).append((chance, good))
    # A sum over a bin is |bin| times its mean, so that the sizes cancel out.
    return sum(abs(sum(chance - good for chance, good in part)) for part in parts.values()) / max(len(right), 1)


@dataclass(frozen=True, slots=True)
class Routed:
    """`confidence` is calibrated where the neighbours decided, and the model's own word where it did."""

    category: str
    confidence: float
    by: Literal["neighbours", "model"]
    vote: Vote


async def route(router: Router, text: str, user: User, sure: float = SURE) -> Routed:
    """Sort a ticket: by its neighbours when they are `sure`, else by `triage.triage`, which is a call to a model.

    `router` was made from tickets of the user's tenant. Raises CallerError, ProviderError and LimitHit.
    """
    embed = partial(calls.embed, feature="routing", tenant=user.tenant, user=user.id)
    vote = router.vote(await embed([text]))[0]
    chance = router.confidence(vote)
    if chance >= sure:
        return Routed(vote.label, chance, "neighbours", vote)
    said = (await triage.triage(text, user)).output
    if not isinstance(said, triage.Triage):  # a budget or a switch ended it before there was one
        return Routed(vote.label, chance, "neighbours", vote)
    return Routed(said.category, said.confidence, "model", vote)


@cache
def _tickets(folder: Path, lang: str) -> tuple[Text, ...]:
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
    return tuple(
        Text(row["id"], row["tenant"], row["text"], row["labels"]["category"] if row["labels"]["in_scope"] else "")
        for row in map(json.loads, lines)
        if row["lang"] == lang
    )


def tickets(lang: str = "en") -> tuple[Text, ...]:
    """Acme's tickets in a language, labelled with their category; without a label when support could do nothing."""
    return _tickets(acme.data_folder() / "tickets", lang)
