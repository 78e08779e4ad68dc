"""Whether documents hold a claim: by its words, its meaning, its numbers and its negations.

No inference: what follows from a sentence without standing in it counts as much as its words are met, and a claim of
the right words in the wrong order passes.
"""

import math
from collections.abc import Sequence

import numpy as np

from .asking import LIGHT, SMALL
from .relevance import Encode, cosines, rarity
from .senses import folded, senses
from .splitting import Sentence
from .support import ALIKE, read
from .words import language, negated, stem, stems, words

NEAREST = 12
"""Sentences of the documents that a claim is held against: those that share the most words with it."""
SUPPORT = (2.5, 3.0, 5.0, -4.0, -2.5, -0.5, -6.2)
"""What makes up the log odds that a claim is held: words in common, meaning, the word that is met least, a number that
is missing, a negation too many, that it took two sentences to say it, and a constant."""
_ANSWERING = frozenset(("yes", "no", "ja", "nein"))


def held(claim: str, found: Sequence[Sentence], meaning: Encode | None) -> float:
    """The log odds that the documents say this: one sentence of theirs, or it with another of the same document."""
    lang = language(claim)
    wanted = _meant(claim, lang)
    have = [_meant(one.text, lang) | _meant(one.in_context, lang) for one in found]
    weights = rarity(have)
    rarest = math.log(1 + len(have))
    total = sum(weights.get(one, rarest) for one in wanted) or 1.0

    def share(said: frozenset[str]) -> float:
        return sum(weights.get(one, rarest) for one in said) / total

    every = np.round([share(wanted & each) for each in have], 4)
    order = [int(at) for at in np.argsort(-every, kind="stable")[:NEAREST]]
    near, said, covered = [found[at] for at in order], [wanted & have[at] for at in order], every[order]
    if meaning is None or covered[0] == 1.0:  # word for word: there is no meaning to compare
        like, met = covered, covered[:, None]
    else:
        like, met = cosines(claim, [one.text for one in near], meaning), _met(claim, [one.in_context for one in near])
    best = -20.0
    for at, one in enumerate(near):
        turned = bool(covered[at] > 0.5) and negated(one.text) != negated(claim)
        beside = [number for number, other in enumerate(near) if other.document == one.document]
        least = float(met[beside].max(axis=0).min(initial=1.0))
        for other in (frozenset[str](), *(said[number] for number in beside)):
            both = said[at] | other
            missing = any(char.isdigit() for word in wanted - both for char in word)
            seen = (share(both), float(like[at]), least, missing, turned, bool(other - said[at]), 1)
            best = max(best, round(sum(weight * float(part) for weight, part in zip(SUPPORT, seen, strict=True)), 4))
    return best


_COUNTED = {
    word: str(at)
    for listed in (
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
        ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"),
    )
    for at, word in enumerate(listed)
}


def _meant(text: str, lang: str) -> frozenset[str]:
    """The stems of a text, numbers as digits."""
    return stems(text, lang) | {_COUNTED[word] for word in words(text) if word in _COUNTED}


def _met(claim: str, texts: Sequence[str]) -> np.ndarray:
    """How well each text meets each word of the claim that says something: shape (texts, words), to 1."""
    lang = language(claim)
    said, *others = read([claim, *texts])
    kept = [
        at for at, word in enumerate(said.words) if word not in SMALL[lang] | LIGHT | _ANSWERING and not word.isdigit()
    ]
    met = np.zeros((len(texts), len(kept)))
    for row, other in enumerate(others):
        if not other.words or not kept:
            continue
        near = said.vectors[kept] @ other.vectors.T
        same = {stem(word, lang) for word in other.words}
        sense = {number for word in other.words for number in senses(word, lang)}
        met[row] = near.max(axis=1)
        for column, at in enumerate(kept):
            if stem(said.words[at], lang) in same:
                met[row, column] = 1.0
            elif senses(folded(said.words[at]), lang) & sense:
                met[row, column] = max(met[row, column], ALIKE)
    return np.round(met, 4)
