"""Did you mean: the known phrases nearest to what was typed, by letters and by meaning.

known = await Phrases.build(titles, embed)
await known.suggest("retrun polcy")      # letters find it
await known.suggest("get my money back")   # the vectors do
known.complete("exp")                    # while typing: no model at all
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .embeddings_search import embedded
from .index import Embed

if TYPE_CHECKING:
    import numpy as np

# What is less alike has no say. Of 10 questions about something else, asked against Acme's titles, none came to 0.4 by
# letters and one to 0.3 by cosine. The cosines are MiniLM's; measure them anew for another model.
LEAST_LETTERS, LEAST_COSINE = 0.4, 0.3
SIZE = 3  # letters of an n-gram
TYPED = 0.8  # how much of the weight is on what was typed


def ngrams(text: str) -> frozenset[str]:
    """The runs of three letters of each word, with its ends: "hub" gives "  h", " hu", "hub", "ub "."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
    padded = [f"{' ' * (SIZE - 1)}{word} " for word in words]
    return frozenset(word[at : at + SIZE] for word in padded for at in range(len(word) - SIZE + 1))


def by_letters(typed: str, phrase: str) -> float:
    """How much of `typed` is in `phrase`, from 0 to 1: |both| / (|both| + 0.8 · |typed only| + 0.2 · |phrase only|).

    People type a part of a title, so what they left out counts less than what they typed beside it.
    Source: Tversky, *Features of similarity*, Psychological Review 84, 1977.
    """
    one, other = ngrams(typed), ngrams(phrase)
    both = len(one & other)
    return both / (both + TYPED * len(one - other) + (1 - TYPED) * len(other - one)) if both else 0.0


def _above(floor: float, likeness: float) -> float:
    return likeness if likeness >= floor else 0.0


class Phrases:
    """What somebody may have meant: titles or questions that the user may see, with unit vectors."""

    def __init__(self, phrases: Sequence[str], vectors: "np.ndarray", embed: Embed) -> None:
        self.phrases, self.vectors, self._embed = tuple(phrases), vectors, embed

    @classmethod
    async def build(cls, phrases: Sequence[str], embed: Embed) -> "Phrases":
        unique = tuple(dict.fromkeys(phrases))
        return cls(unique, await embedded(unique, embed), embed)

    async def suggest(self, typed: str, limit: int = 3) -> list[tuple[str, float]]:
        """(phrase, likeness), best first; none when nothing is near enough, or there are no letters in `typed`.

        The likeness is that of the letters or that of the meaning, whichever is higher, and each counts only above a
        floor of its own. A typo spoils the vector, and other words share no letters, so that a mean would lose both.
        """
        if not ngrams(typed):
            return []
        cosines = self.vectors @ (await embedded([typed], self._embed))[0]
        scored = {
            phrase: max(_above(LEAST_LETTERS, by_letters(typed, phrase)), _above(LEAST_COSINE, float(cosine)))
            for phrase, cosine in zip(self.phrases, cosines, strict=True)
        }
        near = [(phrase, round(likeness, 3)) for phrase, likeness in scored.items() if likeness]
        return sorted(near, key=lambda pair: (-pair[1], pair[0]))[:limit]

    def complete(self, begun: str, limit: int = 5) -> list[str]:
        """Phrases with a word that begins with `begun`; where it is the first word, they come first."""
        start = begun.casefold().strip()
        if not start:
            return []
        at = {phrase: re.search(rf"(?<!\w){re.escape(start)}", phrase.casefold()) for phrase in self.phrases}
        found = [(place.start() > 0, phrase) for phrase, place in at.items() if place]
        return [phrase for _, phrase in sorted(found)[:limit]]
