"""Topics: what a heap of texts is about, and which of them are like none of the others.

    found = topics(vectors, texts, 12)      # the largest first, each with its typical words
    anomalies(vectors)                      # (position, similarity), the oddest first

k-means on unit vectors, with a stated seed: the same texts give the same topics. Another seed gives others, of about
the same worth; a topic is a help for the eye and no fact.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .embeddings_search import DIGITS
from .errors import CallerError

if TYPE_CHECKING:
    import numpy as np

SEED, STARTS, ROUNDS = 9, 8, 50
NEIGHBOURS = 5
LEAST_TEXTS = 2  # of a topic that a word must stand in to name it
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True, slots=True)
class Topic:
    """`rows`: positions of its texts, the most typical first. `words`: what they say more often than the others."""

    words: tuple[str, ...]
    rows: tuple[int, ...]


def topics(vectors: "np.ndarray", texts: Sequence[str], count: int, seed: int = SEED) -> list[Topic]:
    """`count` topics of `texts`, the largest first. Raises CallerError for more topics than texts."""
    import numpy as np

    label, centres = kmeans(vectors, count, seed)
    found: list[Topic] = []
    for number in range(count):
        rows = np.flatnonzero(label == number)
        near = np.round(vectors[rows] @ centres[number], DIGITS)
        ordered = tuple(int(row) for row in rows[np.argsort(-near, kind="stable")])
        found.append(Topic(typical_words([texts[row] for row in ordered], texts), ordered))
    return sorted(found, key=lambda topic: (-len(topic.rows), topic.rows))


def kmeans(vectors: "np.ndarray", count: int, seed: int = SEED) -> "tuple[np.ndarray, np.ndarray]":
    """(cluster of each vector, unit centres (count, dimension)): the best of 8 starts of k-means++.

    Sources: Arthur, Vassilvitskii, *k-means++*, SODA 2007; Dhillon, Modha, *Concept decompositions*, 2001, for the
    unit length of the centres.
    """
    import numpy as np

    if not 1 <= count <= len(vectors):
        raise CallerError(
            f"{len(vectors)} texts do not make {count} topics.", "Ask for at least 1 and no more than that.",
            "bad_request",
        )  # fmt: skip
    draw = np.random.default_rng(seed)
    runs = [_run(vectors, _first_centres(vectors, count, draw)) for _ in range(STARTS)]
    _, label, centres = max(runs, key=lambda run: run[0])
    return label, centres


def _first_centres(vectors: "np.ndarray", count: int, draw: "np.random.Generator") -> "np.ndarray":
    import numpy as np

    chosen = [int(draw.integers(len(vectors)))]
    while len(chosen) < count:
        far = 1 - np.round(vectors @ vectors[chosen].T, DIGITS).max(axis=1).astype(float)
        far[chosen] = 0
        far = np.maximum(far, 0) + 1e-12 * ~np.isin(np.arange(len(vectors)), chosen)  # equal texts may be chosen last
        chosen.append(int(draw.choice(len(vectors), p=far / far.sum())))
    return vectors[chosen]


def _run(vectors: "np.ndarray", centres: "np.ndarray") -> "tuple[float, np.ndarray, np.ndarray]":
    import numpy as np

    label = np.full(len(vectors), -1)
    for _ in range(ROUNDS):
        alike = np.round(vectors @ centres.T, DIGITS)
        nearest = alike.argmax(axis=1)
        for empty in set(range(len(centres))) - set(nearest.tolist()):  # it takes the text that is worst off
            own = np.where(np.bincount(nearest, minlength=len(centres))[nearest] > 1, alike.max(axis=1), np.inf)
            nearest[own.argmin()] = empty
            alike[own.argmin()] = 1
        if (nearest == label).all():
            break
        label = nearest
        sums = np.array([vectors[label == number].sum(axis=0) for number in range(len(centres))])
        centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return float(np.vecdot(vectors, centres[label]).sum()), label, centres


def typical_words(inside: Sequence[str], all_texts: Sequence[str], limit: int = 4) -> tuple[str, ...]:
    """The words by which the texts `inside` differ most from all: share inside · log(share inside / share of all).

    A share is of texts that have the word. Words that are common everywhere come out near 0, so no list of them is
    needed.
    """
    own, everywhere = _counts(inside), _counts(all_texts)
    worth = {
        word: count / len(inside) * math.log(count / len(inside) / (everywhere[word] / len(all_texts)))
        for word, count in own.items()
        if count >= min(LEAST_TEXTS, len(inside))
    }
    return tuple(sorted(worth, key=lambda word: (-worth[word], word))[:limit])


def _counts(texts: Sequence[str]) -> Counter[str]:
    return Counter(word for text in texts for word in set(_WORD.findall(text.lower())))


def anomalies(vectors: "np.ndarray", neighbours: int = NEIGHBOURS) -> list[tuple[int, float]]:
    """(position, mean cosine of its `neighbours` nearest others), the one that is least like any other first."""
    import numpy as np

    if len(vectors) <= neighbours:
        raise CallerError("There are too few texts to call one odd.", "Give more of them.", "bad_request")
    alike = np.round(vectors @ vectors.T, DIGITS)
    np.fill_diagonal(alike, -2)
    near = np.sort(alike, axis=1)[:, -neighbours:].mean(axis=1)
    return [(int(row), round(float(near[row]), DIGITS)) for row in np.argsort(np.round(near, DIGITS), kind="stable")]
