"""How well each document answers a query, by MiniLM's vectors of the whole texts and of their word pieces.

Half of the score is the cosine of the two whole texts. The other half is late interaction (MaxSim): every word piece of
the query looks for the piece of the document that is most like it in its context, and the mean of these cosines counts
(Khattab and Zaharia, ColBERT, https://arxiv.org/abs/2004.12832; here without their training). Pieces see a single word
that has to be there, such as an error code, and the whole sees what it is about.

A document's score depends on no other document, as with a hosted model. Weighting the query's pieces by their rarity
among the documents would break that, and gained nothing sure on the Cranfield collection (nDCG@10 of the best 50 by
whole texts, 225 queries: 0.374 before, 0.380 by pieces alone, 0.390 by both, 0.393 by both with weights).
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from . import embedding, tokens, wire

CACHE_BYTES = 96 * 2**20
WHOLE = 0.5
"""The share of the whole texts in a score; the rest is that of the pieces."""


def _texts(value: Any) -> Any:
    """Documents as their texts, where they are `{"text": …}`."""
    if not isinstance(value, list):
        return value
    return [one["text"] if isinstance(one, dict) and one.keys() == {"text"} else one for one in value]


class RerankRequest(wire.Strict):
    """`POST /v1/rerank`, which is not OpenAI's but the shape that Jina, Cohere and vLLM share."""

    model: str
    query: Annotated[str, Field(min_length=1)]
    documents: Annotated[
        list[Annotated[str, Field(min_length=1)]], BeforeValidator(_texts), Field(min_length=1, max_length=1_000)
    ]
    top_n: Annotated[int, Field(ge=1)] | None = None
    return_documents: bool = False


class Cache:
    """Vectors by text; forgets the least recently used beyond `capacity` bytes. Safe to use from threads."""

    def __init__(self, capacity: int = CACHE_BYTES) -> None:
        self._kept: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._capacity, self.size = capacity, 0
        self._lock = threading.Lock()

    def get(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The vectors of each text: float16 [1 + pieces, 384], L2-normalised, the whole text first.

        Texts that are not kept are encoded together.
        """
        keys = [hashlib.sha256(text.encode(errors="surrogatepass")).digest() for text in texts]
        found: dict[bytes, np.ndarray] = {}
        with self._lock:
            for key in keys:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    found[key] = self._kept[key]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        order = list(new)
        for at, whole, pieces in embedding.token_vectors(list(new.values())):
            found[order[at]] = _normalised(np.vstack([whole[None], pieces]))
        with self._lock:
            for key in new:
                self._keep(key, found[key])
        return [found[key] for key in keys]

    def _keep(self, key: bytes, vectors: np.ndarray) -> None:
        if key not in self._kept:  # another thread may have been faster
            self._kept[key] = vectors
            self.size += vectors.nbytes
        while self.size > self._capacity:
            _, dropped = self._kept.popitem(last=False)
            self.size -= dropped.nbytes


_documents = Cache()


def rerank_object(asked: RerankRequest) -> dict[str, Any]:
    """The answer: the documents' positions and scores, best first, equal ones in their order."""
    relevance = scores(asked.query, asked.documents)
    best = sorted(range(len(relevance)), key=lambda index: -relevance[index])[: asked.top_n]
    results = [
        {"index": index, "relevance_score": relevance[index]}
        | ({"document": {"text": asked.documents[index]}} if asked.return_documents else {})
        for index in best
    ]
    return {
        "id": f"rerank-{wire.digest(asked.model, asked.query, asked.documents)}",
        "model": asked.model,
        "results": results,
        "usage": {"total_tokens": sum(map(tokens.count, [asked.query, *asked.documents]))},
    }


def scores(query: str, documents: Sequence[str], cache: Cache = _documents) -> list[float]:
    """The relevance of each document in the order given: 0 to 1, rounded to 4 decimals; 0 for one without words."""
    [wanted] = Cache(0).get([query])
    wanted = wanted.astype(np.float32)
    return [_score(wanted, vectors.astype(np.float32)) for vectors in cache.get(documents)]


def _score(wanted: np.ndarray, offered: np.ndarray) -> float:
    if len(wanted) < 2 or len(offered) < 2:
        return 0.0
    best = (wanted[1:] @ offered[1:].T).max(axis=1)
    return round(float(np.clip(WHOLE * (wanted[0] @ offered[0]) + (1 - WHOLE) * best.mean(), 0, 1)), 4)


def _normalised(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
