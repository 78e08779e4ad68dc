"""The bulk jobs of the course: triage of many messages, an eval suite, and the vectors of a help centre.

Each is a plain function of one item, so that it can run anywhere (`bulk.py`).
"""

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import bulk, calls, complete_assistant, evals
from . import triage as tickets
from .chunking import Chunker
from .documents import Article
from .errors import CallerError, LimitHit, PatternsError, ProviderError
from .eval_cases import Case
from .events import Failed, User
from .index import Index, Report
from .index.embedding_cache import BATCH

if TYPE_CHECKING:
    import numpy as np


async def triage(item: Mapping[str, Any]) -> dict[str, Any]:
    """{"text", and "user" and "tenant" of who wrote it} → the fields of a Triage, with how it was served."""
    found = await tickets.triage(item["text"], User(item.get("user", ""), item.get("tenant", "")))
    assert isinstance(found.output, tickets.Triage)
    return {**found.output.model_dump(), "served": found.served, "cost_usd": found.cost_usd}


async def evaluate(item: Mapping[str, Any]) -> dict[str, Any]:
    """{"suite", "case", "through", "tier"} → how that case ended. Raises CallerError for a case that is not there."""
    case = _case(item["suite"], item["case"])
    handler = complete_assistant.build(item.get("through"))
    (outcome,) = await evals.run(handler, [case], tier=item.get("tier"))
    if failed := outcome.timing.failed:  # no verdict on the answer: it is tried again, or counts as failed
        raise _error(failed)
    return {
        "slice": case.slice,
        "passed": not outcome.reason,
        "reason": outcome.reason,
        "unsafe": outcome.unsafe,
        "seconds": round(outcome.timing.total, 3),
        "cost_usd": outcome.cost_usd,
        "text": outcome.text,
    }


def _case(suite: str, case_id: str) -> Case:
    for case in evals.load(suite):
        if case.id == case_id:
            return case
    raise CallerError(f"{suite} has no case {case_id}.", "Give every machine the same data/evals/.", "bad_request")


def _error(failed: Failed) -> PatternsError:
    if failed.code in ("budget", "switched_off"):
        return LimitHit(failed.message, failed.next_step, failed.code)
    return ProviderError(
        failed.message,
        failed.next_step,
        failed.code,
        transient=failed.transient,
        retry_after=failed.retry_after,
    )


async def embed(item: Mapping[str, Any]) -> str:
    """{"texts"} → their vectors, float32, little-endian, row by row, in base64."""
    vectors = await calls.embed(item["texts"], feature="ingest")
    return base64.b64encode(vectors.astype("<f4").tobytes()).decode()


async def ingest(
    index: Index,
    articles: Iterable[Article],
    chunker: Chunker,
    file: Path,
    progress: bulk.Progress = lambda done, all: None,
) -> tuple[bulk.Done, Report | None]:
    """`index.sync`, with the vectors made in bulk before. They go into the embedding cache as they come.

    The report is None when vectors are missing at the end: the index is then left as it was.
    """
    source = tuple(articles)
    texts = index.not_embedded([chunk.text for article in source for chunk in chunker(article)])
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    items = {f"{number:06}": {"texts": batch} for number, batch in enumerate(batches)}

    def keep(name: str, result: str) -> int:
        index.keep_vectors(items[name]["texts"], _rows(result, len(items[name]["texts"])))
        return len(items[name]["texts"])

    done = await bulk.run(embed, items, file, keep=keep, progress=progress)
    if done.left or done.failed:
        return done, None
    return done, await index.sync(source, chunker)


def _rows(text: str, count: int) -> "np.ndarray":
    import numpy as np

    return np.frombuffer(base64.b64decode(text), "<f4").reshape(count, -1)
