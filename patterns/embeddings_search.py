"""Embeddings search: what vectors are good for without any chat model.

    find_articles(index, query, user)         help articles by meaning, or by words
    more_like_this(index, article_id, user)   what to read next
    library = await Library.build(texts, embed, model)
    library.nearest(vector, model, tenant)    texts of one tenant, nearest first
    library.duplicates(tenant, at_least)      pairs that say nearly the same
    library.changed(texts)                    texts whose vector is of an older wording

`knn_router.py` sorts tickets by their neighbours, `topics.py` groups them and finds the odd ones, `did_you_mean.py`
mends what was typed. All of them take unit vectors, so that a dot product is a cosine.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .chunking import Chunk
from .errors import CallerError
from .events import User
from .index import Embed, Index, Scope
from .index.embedding_cache import BATCH, checked
from .retrieval import CANDIDATES, Mode, search

if TYPE_CHECKING:
    import numpy as np

CHUNKS_AN_ARTICLE = 5  # so many chunks are looked at for each article wanted: the first few are often of one article
MOST_CHUNKS = 64  # of one article
DIGITS = 4  # of a cosine: beyond them the same texts in another batch differ


@dataclass(frozen=True, slots=True)
class Text:
    """Something to be found: a ticket, a macro, a product. `label` is what somebody sorted it as, or empty."""

    id: str
    tenant: str
    text: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Near:
    """What was found, and its cosine: 1 the same direction, 0 nothing in common."""

    id: str
    title: str
    similarity: float


class Library:
    """Texts with their unit vectors, float32 (texts, dimension), and the name of the model that made them."""

    def __init__(self, texts: Sequence[Text], vectors: "np.ndarray", model: str) -> None:
        if len({text.id for text in texts}) < len(texts):
            raise CallerError("Two texts have one id.", "Give each its own.", "duplicate_id")
        self.texts, self.vectors, self.model = tuple(texts), checked(vectors, len(texts)), model
        self._made_from = {text.id: _digest(text.text) for text in texts}

    @classmethod
    async def build(cls, texts: Sequence[Text], embed: Embed, model: str) -> "Library":
        """Embed `texts`. `model` names what `embed` uses. Raises CallerError and what `embed` raises."""
        return cls(texts, await embedded([text.text for text in texts], embed), model)

    def nearest(
        self, vector: "np.ndarray", model: str, tenant: str, limit: int = 5, without: Collection[str] = ()
    ) -> list[Near]:
        """The `limit` texts of `tenant` nearest to `vector` (dimension,), which `model` made; nearest first.

        The tenant is chosen before the nearest are: a filter afterwards would leave too few. Raises CallerError
        `mixed_embeddings` for a vector of another model: its numbers mean something else.
        """
        import numpy as np

        query = checked(vector[None, ...], 1)[0]
        if model != self.model or len(query) != self.vectors.shape[1]:
            raise CallerError(
                f"The texts were embedded by {self.model} ({self.vectors.shape[1]} numbers), the question by {model} "
                f"({len(query)}).",
                "Embed both with one model.",
                "mixed_embeddings",
            )
        rows = np.array([at for at in self.rows(tenant) if self.texts[at].id not in without], int)
        scores = np.round(np.vecdot(self.vectors[rows], query), DIGITS)
        best = np.argsort(-scores, kind="stable")[: max(limit, 0)]
        found = [(self.texts[rows[at]], float(scores[at])) for at in best]
        return [Near(text.id, text.text, score) for text, score in found]

    def rows(self, tenant: str) -> list[int]:
        """Where the texts of `tenant` stand."""
        return [at for at, text in enumerate(self.texts) if text.tenant == tenant]

    def duplicates(self, tenant: str, at_least: float) -> list[tuple[Text, Text, float]]:
        """Pairs of the tenant's texts with a cosine of `at_least`, the most alike first. Compares all with all."""
        import numpy as np

        rows = self.rows(tenant)
        vectors = self.vectors[rows]
        alike = np.round(vectors @ vectors.T, DIGITS)
        pairs = [(float(alike[a, b]), a, b) for a, b in np.argwhere(np.triu(alike >= at_least, k=1)).tolist()]
        return [(self.texts[rows[a]], self.texts[rows[b]], score) for score, a, b in sorted(pairs, key=_most_alike)]

    def changed(self, texts: Sequence[Text]) -> list[Text]:
        """Those of `texts` that have no vector here, or that of another wording."""
        return [text for text in texts if self._made_from.get(text.id) != _digest(text.text)]

    async def refreshed(self, texts: Sequence[Text], embed: Embed) -> "Library":
        """A library of exactly `texts`; only what has changed is embedded."""
        import numpy as np

        changed = self.changed(texts)
        known = dict(zip((text.id for text in self.texts), self.vectors, strict=True))
        if changed:
            new = await embedded([text.text for text in changed], embed)
            known |= dict(zip((text.id for text in changed), new, strict=True))
        return Library(texts, np.array([known[text.id] for text in texts]), self.model)


def _most_alike(pair: tuple[float, int, int]) -> tuple[float, int, int]:
    return -pair[0], pair[1], pair[2]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


async def embedded(texts: Sequence[str], embed: Embed) -> "np.ndarray":
    """The unit vectors of `texts`, embedded in batches. Raises CallerError `bad_vectors` and what `embed` raises."""
    import numpy as np

    if not texts:
        raise CallerError("There are no texts to embed.", "Give at least one.", "bad_request")
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    return np.vstack([checked(await embed(batch), len(batch)) for batch in batches])


def without_boilerplate(texts: Sequence[str], most: int = 3) -> list[str]:
    """The texts without lines that stand in more than `most` of them: greetings, signatures, disclaimers.

    Such lines make two tickets of one sender alike, whatever they are about. Blanks and capitals do not count. A text
    of nothing else stays as it is.
    """
    seen = Counter(line for text in texts for line in {_line(line) for line in text.splitlines()})
    kept = ["\n".join(line for line in text.splitlines() if seen[_line(line)] <= most).strip() for text in texts]
    return [own or text for own, text in zip(kept, texts, strict=True)]


def _line(line: str) -> str:
    return re.sub(r"\W+", " ", line).strip().lower()


# the help centre, whose index filters by tenant, ACL and language


async def find_articles(
    index: Index, query: str, user: User, limit: int = 5, mode: Mode = "vectors", embed: Embed | None = None
) -> list[Near]:
    """The `limit` articles that `user` may read whose best chunk is nearest to `query`; each article once.

    `mode` "words" is keyword search (then `similarity` is 0), "hybrid" is both. `embed` None: as the index does it, and
    charged to nobody; else a function of the same model.
    """
    wide = max(CANDIDATES, limit * CHUNKS_AN_ARTICLE)
    found = await search(index, query, user, keep=wide, candidates=wide, mode=mode, lang=user.language, embed=embed)
    return _articles([(one.chunk, one.similarity or 0.0) for one in found], limit)


async def more_like_this(index: Index, article_id: str, user: User, limit: int = 3) -> list[Near]:
    """The articles nearest to one that the user is reading, by the mean of its chunks' vectors.

    Raises CallerError `not_found` also when the article exists and the user may not read it: that it exists is no
    business of theirs.
    """
    scope = Scope.of(user)
    chunks = index.chunks([f"{article_id}#{number}" for number in range(1, MOST_CHUNKS + 1)], scope)
    if not chunks:
        raise CallerError(f"There is no article {article_id}.", "Choose one from a search.", "not_found")
    vectors = await embedded([chunk.text for chunk in chunks], index.embed)  # the index gives away no vectors
    wide = (limit + 1) * CHUNKS_AN_ARTICLE + len(chunks)
    hits = index.search_vectors(vectors.mean(axis=0), scope, wide)
    scores = {hit.chunk_id: hit.score for hit in hits}
    others = [chunk for chunk in index.chunks(scores, scope) if chunk.document_id != article_id]
    return _articles([(chunk, scores[chunk.id]) for chunk in others], limit)


def _articles(found: Sequence[tuple[Chunk, float]], limit: int) -> list[Near]:
    best: dict[str, Near] = {}
    for chunk, similarity in found:
        best.setdefault(chunk.document_id, Near(chunk.document_id, chunk.title, similarity))
    return list(best.values())[:limit]
