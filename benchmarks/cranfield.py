"""Row "retrieval": `retrieval.search` on Cranfield, from words alone to the default reranker.

1,400 abstracts of aerodynamics, one chunk each, and 225 questions with judgements (`benchmarks/README.md`). The
stand-in's models are called without HTTP between, and the reranker keeps what it has read: the same scores, sooner. The
numbers are nDCG@10 (`ranking.ndcg_at`) with 95% intervals; differences are paired, question by question.
"""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from . import measure
from .embeddings import CUTOFF, judgements, records
from .measure import Entry

VERSIONS = ("numpy", "onnxruntime")
DEFAULT = "hybrid, default reranker"
LEAST = 0.43  # known here before: BM25 0.369, vectors 0.400, fused by rank 0.431
TENANT, LANGUAGE = "cranfield", "en"
ALL_ABSTRACTS = 2**30  # bytes of token vectors to keep: more than there are


async def each_ndcg(folder: Path) -> dict[str, np.ndarray]:
    """One nDCG a question, shape (questions,), by way of searching."""
    from patterns.chunking import whole
    from patterns.documents import Article
    from patterns.events import User
    from patterns.index import Index
    from patterns.retrieval import Mode, Reranker, blended, ndcg_at, search
    from patterns.standin import embedding, reranking

    data = measure.bench_data("cranfield")
    abstracts, questions = (
        records((data / name).read_text(encoding="utf-8")) for name in ("cran.all.1400", "cran.qry")
    )
    relevant = judgements((data / "cranqrel.fixed").read_text(encoding="utf-8"))
    articles = [
        Article(f"{number:04}", "Abstract", "", TENANT, LANGUAGE, ("public",), date(1968, 1, 1), text)
        for number, text in enumerate(abstracts)
        if text
    ]
    read = reranking.Cache(ALL_ABSTRACTS)

    async def embed(texts: Sequence[str]) -> np.ndarray:
        return embedding.encode(texts)

    async def reranker(question: str, texts: Sequence[str]) -> list[float]:
        return reranking.scores(question, texts, read)

    ways: dict[str, tuple[Mode, Reranker | None]] = {
        "words only": ("words", None),
        "vectors only": ("vectors", None),
        "hybrid": ("hybrid", None),
        "hybrid, reranked": ("hybrid", reranker),
        DEFAULT: ("hybrid", blended(reranker)),
    }
    measured: dict[str, list[float]] = {name: [] for name in ways}
    with closing(Index(folder, embed, "minilm")) as index:
        await index.sync(articles, whole())
        for query, found in relevant.items():
            wanted = {f"{number:04}" for number in found}
            for name, (mode, second_look) in ways.items():
                top = await search(
                    index,
                    questions[query],
                    User(tenant=TENANT, language=LANGUAGE),
                    keep=CUTOFF,
                    mode=mode,
                    reranker=second_look,
                )
                measured[name].append(ndcg_at(CUTOFF, [one.chunk.document_id for one in top], wanted))
    return {name: np.array(values) for name, values in measured.items()}


def quality() -> list[Entry]:
    from patterns import metrics
    from patterns.retrieval import interval

    failed = metrics.value("rerank.failed")
    with measure.standin(), TemporaryDirectory() as folder:
        ndcg = asyncio.run(each_ndcg(Path(folder)))
    if metrics.value("rerank.failed") > failed:
        raise RuntimeError("Some questions were not reranked, so the numbers would not be those of a reranker.")
    hybrid, versions, entries = ndcg["hybrid"], measure.versions(*VERSIONS), []
    for name, values in ndcg.items():
        low, high = interval(values)
        note = f"{len(values)} questions; 95% interval {low:.3f} to {high:.3f}"
        if name != "hybrid":
            worse, better = interval(values - hybrid)
            note += f"; less hybrid {(values - hybrid).mean():+.4f} ({worse:+.4f} to {better:+.4f})"
        goal = f"≥ {LEAST}" if name == "hybrid" else ""
        metric = f"nDCG@{CUTOFF} on Cranfield, {name}"
        entries.append(Entry("retrieval", metric, float(values.mean()), goal, {}, versions, note))
    gain = float((ndcg[DEFAULT] - hybrid).mean())
    note = "an interval that holds 0 (above) says only that it does no harm"
    entries.append(Entry("retrieval", f"{DEFAULT}, less hybrid", gain, "≥ 0", {}, versions, note))
    return entries


PARTS = (quality,)
