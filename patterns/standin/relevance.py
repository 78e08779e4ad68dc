"""How much one text has to do with another: word overlap weighted by rarity, blended with meaning when it can be had.

The small tier passes no encoder and has only the words. Scores are between 0 and 1 and rounded to 4 decimals, so that
another processor ranks the same.
"""

import math
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .words import stems

Encode = Callable[[Sequence[str]], np.ndarray]
"""Texts to L2-normalised float32 vectors of shape (texts, 384)."""

REMEMBERED = 20_000
"""Vectors kept per encoder: about 30 MB."""
EMBEDDED = 200
"""At most so many texts are embedded per comparison; the words choose which."""
MEANING = 0.8
"""The share of meaning in a blended score; the rest is word overlap."""


_remembering: dict[Encode, Encode] = {}


def remembering(encode: Encode) -> Encode:
    """The same encoder, which embeds a text once and forgets the least recently used. One cache per encoder."""
    if encode in _remembering.values():
        return encode
    return _remembering.setdefault(encode, _with_cache(encode))


def _with_cache(encode: Encode) -> Encode:
    kept: OrderedDict[str, np.ndarray] = OrderedDict()
    lock = threading.Lock()

    def remembered(texts: Sequence[str]) -> np.ndarray:
        with lock:
            known = {text: kept[text] for text in texts if text in kept}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known |= dict(zip(new, np.asarray(encode(new)), strict=True))
        with lock:
            for text in texts:
                kept[text] = known[text]
                kept.move_to_end(text)
            while len(kept) > REMEMBERED:
                kept.popitem(last=False)
        return np.stack([known[text] for text in texts])

    return remembered


def cosines(query: str, texts: Sequence[str], meaning: Encode) -> np.ndarray:
    """Cosine of the query with each text, shape (texts,)."""
    if not texts:
        return np.zeros(0)
    vectors = remembering(meaning)([query, *texts])
    return vectors[1:] @ vectors[0]


def rarity(stemmed: Sequence[frozenset[str]]) -> dict[str, float]:
    """Inverse document frequency of every stem; `weights.get(stem, rarest)` for one that occurs nowhere."""
    counts = Counter(one for found in stemmed for one in found)
    return {one: math.log(1 + len(stemmed) / count) for one, count in counts.items()}


def overlap(query: frozenset[str], text: frozenset[str], weights: Mapping[str, float], rarest: float) -> float:
    """The share of the query's words, weighted by rarity, that the text has: 0 to 1."""
    total = sum(weights.get(one, rarest) for one in query)
    return sum(weights.get(one, rarest) for one in query & text) / total if total else 0.0


def relevance(
    query: str, texts: Sequence[str], meaning: Encode | None, langs: Sequence[str] = (), lang: str = "en"
) -> np.ndarray:
    """The score of every text against the query, shape (texts,). `langs` are the languages of the texts."""
    stemmed = [stems(text, langs[at] if langs else lang) for at, text in enumerate(texts)]
    weights = rarity(stemmed)
    rarest = math.log(1 + len(stemmed)) if stemmed else 1.0
    by_language = {one: stems(query, one) for one in {lang, *langs}}
    shared = np.array(
        [overlap(by_language[langs[at] if langs else lang], found, weights, rarest) for at, found in enumerate(stemmed)]
    )
    if meaning is None or not len(texts):
        return np.round(shared, 4)
    chosen = np.argsort(-np.round(shared, 4), kind="stable")[:EMBEDDED]
    scores = (1 - MEANING) * shared
    scores[chosen] += MEANING * np.clip(cosines(query, [texts[int(at)] for at in chosen], meaning), 0, 1)
    return np.round(scores, 4)


def alike(one: str, other: str, lang: str = "en") -> float:
    """How far the shorter of two texts is contained in the other by its words: 0 to 1."""
    left, right = stems(one, lang), stems(other, lang)
    return len(left & right) / min(len(left), len(right)) if left and right else 0.0
