"""Retrieval: two searches, one fused list, a second look at the top.

    question ─┬─ vectors: what means the same  ─┐
              └─ words: what is called the same ─┴─ fuse by rank ── check again ── rerank ── the best few

What a user may not see is filtered before either search, and what comes out is checked once more. The filter is made of
the authenticated user alone; no text has a say in it.

Fusion and the measures are in `ranking.py`, the second looks in `rerankers.py`.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Literal

from . import metrics
from .chunking import Chunk
from .errors import ProviderError
from .events import Message, User
from .index import Embed, Hit, Index, Scope
from .ranking import SEARCH_K, fuse, interval, ndcg_at, recall_at, reciprocal_rank
from .rerankers import (
    Reranker,
    blended,
    chat_reranker,
    checked,
    cross_encoder,
    default_reranker,
    endpoint_reranker,
)

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Found", "Mode", "Reranker", "blended", "chat_reranker", "cross_encoder", "decompose", "default_reranker",
    "endpoint_reranker", "fuse", "interval", "ndcg_at", "recall_at", "reciprocal_rank", "rewrite", "search",
]  # fmt: skip

log = logging.getLogger(__name__)

CANDIDATES, KEEP = 50, 5
RERANK_SECONDS = 10.0  # a second look that takes longer is not worth the wait

Mode = Literal["hybrid", "vectors", "words"]


@dataclass(frozen=True, slots=True)
class Found:
    """A chunk and how it was found. Ranks count from 1; None: that search did not find it.

    `score` is what the list is ordered by, and means nothing outside it. `similarity` is the cosine of the question and
    the chunk, which can be compared between questions; None: the vector search did not find it.
    """

    chunk: Chunk
    score: float
    vector_rank: int | None
    word_rank: int | None
    similarity: float | None


async def search(
    index: Index,
    question: str,
    user: User,
    *,
    parts: Sequence[str] = (),
    candidates: int = CANDIDATES,
    keep: int = KEEP,
    reranker: Reranker | None = None,
    lang: str | None = None,
    updated_since: date | None = None,
    mode: Mode = "hybrid",
    embed: Embed | None = None,
) -> list[Found]:
    """The `keep` chunks that answer best, best first, among those that `user` may see.

    Each search gives up to `candidates` chunks. `parts` are searched for as well, each by itself (`decompose`).
    `lang` None: in the user's own language; when fewer than `keep` chunks are found in it, in any, the own one first.
    `embed` None: as the index does it; another function has to use the same model.
    A reranker that fails or hangs is logged and counted (`rerank.failed`), and the order of the search stands.

    Raises CallerError, and ProviderError when the question cannot be embedded.
    """
    texts = [text for text in (question, *parts) if text.strip()]
    if not texts:
        return []
    vectors = list(await (embed or index.embed)(texts)) if mode != "words" else []
    texts = texts if mode != "vectors" else []
    scope = replace(Scope.of(user), lang=lang or user.language, updated_since=updated_since)
    listed = _fused(index, texts, vectors, scope, candidates)
    if lang is None and len(listed) < keep:
        anything = _fused(index, texts, vectors, replace(scope, lang=None), candidates)
        listed = sorted(anything, key=lambda found: found.chunk.lang != user.language)
    if reranker is not None and len(listed) > 1:
        listed = await _reranked(reranker, question, listed)
    return listed[:keep]


def _fused(
    index: Index, texts: Sequence[str], vectors: Sequence["np.ndarray"], scope: Scope, candidates: int
) -> list[Found]:
    by_vector = [index.search_vectors(vector, scope, candidates) for vector in vectors]
    by_words = [index.search_words(text, scope, candidates) for text in texts]
    rankings = [[hit.chunk_id for hit in hits] for hits in (*by_vector, *by_words)]
    fused = fuse(*rankings, k=SEARCH_K)[:candidates]
    similarity: dict[str, float] = {}  # to the question; to a part, where only that one found the chunk
    for hit in (hit for hits in reversed(by_vector) for hit in hits):
        similarity[hit.chunk_id] = hit.score
    vector_rank, word_rank = (_best_ranks(hits) for hits in (by_vector, by_words))
    visible = {chunk.id: chunk for chunk in index.chunks([found for found, _ in fused], scope)}
    return [
        Found(visible[found], score, vector_rank.get(found), word_rank.get(found), similarity.get(found))
        for found, score in fused
        if found in visible
    ]


def _best_ranks(searches: Sequence[Sequence[Hit]]) -> dict[str, int]:
    ranks: dict[str, int] = {}
    for hits in searches:
        for rank, hit in enumerate(hits, start=1):
            ranks[hit.chunk_id] = min(rank, ranks.get(hit.chunk_id, rank))
    return ranks


async def _reranked(reranker: Reranker, question: str, listed: list[Found]) -> list[Found]:
    texts = [found.chunk.text for found in listed]
    try:
        async with asyncio.timeout(RERANK_SECONDS):
            scores = checked(await reranker(question, texts), texts)
    except (ProviderError, TimeoutError) as error:
        reason = error.code if isinstance(error, ProviderError) else "timeout"
        metrics.count("rerank.failed", reason=reason)
        log.info("Reranking failed, the order of the search stands: %s", error or reason)
        return listed
    order = sorted(range(len(listed)), key=lambda place: -scores[place])
    return [replace(listed[place], score=scores[place]) for place in order]


# understanding the question: cheap, the same every time, and no call to a model

_WORD = re.compile(r"\w+(?:[-.]\w+)*")
_FUNCTION_WORDS = """
a about again all also am an and any are as at be been but by can could did do does else for from get had has have
hello hi how i if in into is it its just let many may me much my need no not now of off on one ones or our out
please same should so some thank thanks than that the their them then there these they this those to too until us
want was we were what when where which who why will with work would yes you your
aber als am an auch auf aus bei bis bitte da dafür damit danke dann daran darauf das davon dazu dem den denn der des
die dies diese dieser dieses doch dort du ein eine einem einen einer er es euch euer für geht gibt hab habe haben
hallo hat ich ihm ihn ihr ihre im in ist ja kann kein keine können lange man mein meine mich mir mit muss nach nein
nicht noch nur ob oder schon sein sich sie sind so um und uns unser viel viele vom von vor wann war warum was welche
welcher welches wem wen wenn wer werden wie wieder will wird wir wo zu zum zur über
"""
_FUNCTION = frozenset(_FUNCTION_WORDS.split())
# "das" and "that" stand for something only where no noun follows.
_LEANS = re.compile(
    r"\b(?:it|its|they|them|their|those|these|there|es|ihn|ihm|davon|dafür|damit|dazu|daran|darauf|dort"
    r"|(?:that|this|das|dies)(?=\s*(?:[?!.,]|$)))\b|^\W*(?:and|or|what about|how about|und|oder|was ist mit)\b",
    re.IGNORECASE,
)
_QUESTION_WORDS = "how|what|when|where|which|who|why|wie|was|wann|wo|welche[rs]?|wer|warum"
_SEAM = re.compile(rf"(?<=\?)\s+(?=\w)|,?\s+(?:and|und)\s+(?=(?:{_QUESTION_WORDS})\b)", re.IGNORECASE)
CARRIED_WORDS = 12


def rewrite(question: str, history: Sequence[Message]) -> str:
    """The question, able to stand alone: what it leans on is put in front of it.

    A question leans on the one before when it has fewer than 3 content words, or fewer than 6 and a word such as "it"
    or "davon". Then the content words of that question come first: after "How do I return a plug?", "And what does it
    cost?" becomes "return plug And what does it cost?". A question that names a code or a number is never changed.
    """
    standing = ""
    for asked in [*(message.text for message in history if message.role == "user"), question]:
        standing = _on_its_own(asked, standing)
    return standing


def _on_its_own(question: str, before: str) -> str:
    own = _content(question)
    leans = len(own) < 3 or (len(own) < 6 and _LEANS.search(question))
    if not leans or any(letter.isdigit() for letter in question):
        return question
    carried = [word for word in _content(before) if word not in own][:CARRIED_WORDS]
    return " ".join([*carried, question])


def _content(text: str) -> list[str]:
    """The words that carry meaning, in order, once each."""
    words = dict.fromkeys(_WORD.findall(text))
    return [word for word in words if word.lower() not in _FUNCTION]


def decompose(question: str) -> list[str]:
    """The parts of a question that asks for several things, each able to stand alone; else the question itself."""
    parts = [part.strip() for part in _SEAM.split(question) if part.strip()]
    return [parts[0], *(_on_its_own(part, parts[0]) for part in parts[1:])] if len(parts) > 1 else [question]
