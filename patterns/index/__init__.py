"""The index: articles in, chunks out, found by words or by vectors, and only what the reader may see.

    index = Index(folder, embed, model)
    await index.sync(articles, chunker)             # the articles are the whole source
    index.search_words(question, scope, 50)
    index.search_vectors(vector, scope, 50)

In the folder (`folder`): one SQLite file a tenant (`chunk_store`), which holds all that is visible; Chroma
(`vector_store`), which follows it and serves tenants that are too large for an exact scan; the name of the embedding
model; the lock of those who write. One process syncs at a time (`ingest`). Any number may search meanwhile, and see
each document as it was or as it will be.
"""

import logging
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from .. import metrics, state
from ..chunking import Chunk, Chunker
from ..documents import Article
from ..errors import CallerError, PatternsError, ProviderError
from . import vector_store
from .chunk_store import EMPTY, ChunkStore
from .embedding_cache import Embed, EmbeddingCache, checked
from .folder import IndexFolder
from .ingest import Ingest, Progress, Report, refuse_duplicates
from .scope import Hit, Scope

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Embed", "Hit", "Index", "Report", "Scope"]

log = logging.getLogger(__name__)

SCAN_ROWS = 100_000  # chunks of a tenant; a scan of more takes over 150 MB of memory at 384 dimensions
MOST_SCANNED = 1_000_000  # where Chroma does not answer: 1.5 GB of memory at 384 dimensions, in every process


class Index:
    """The index in `folder`. `model` names what `embed` uses, uniquely: its vectors are cached under that name.

    Raises CallerError: `mixed_embeddings` when the folder holds vectors of another model, `store_unwritable`.
    """

    def __init__(self, folder: Path, embed: Embed, model: str, scan_rows: int = SCAN_ROWS) -> None:
        self.model, self.scan_rows, self.most_scanned = model, scan_rows, MOST_SCANNED
        self.embed, self._folder = embed, IndexFolder(folder)
        try:
            self._folder.refuse_other_embeddings(model)
            self._cache = EmbeddingCache(state.file("embeddings.sqlite3"))
        except CallerError:
            self._folder.close()
            raise

    @classmethod
    async def rebuild(cls, folder: Path, embed: Embed, model: str, scan_rows: int = SCAN_ROWS) -> "Index":
        """An empty index in place of the one in `folder`, whatever its model was. `sync` fills it."""
        old = IndexFolder(folder)
        try:
            async with old.alone():
                old.empty()
        finally:
            old.close()
        return cls(folder, embed, model, scan_rows)

    async def sync(self, articles: Iterable[Article], chunker: Chunker, progress: Progress | None = None) -> Report:
        """Make the index hold exactly `articles`; what is in it and not among them is deleted, for every tenant.

        Waits while another process syncs. Raises CallerError `duplicate_id` and `mixed_embeddings` before anything is
        changed, `index_busy`, `bad_vectors`, and what `embed` raises: what was done until then stays, and the next
        sync goes on from there. One document that cannot be used is reported, and the others go on.
        """
        source = tuple(articles)
        refuse_duplicates(source)
        async with self._folder.alone():
            self._folder.refuse_other_embeddings(self.model)
            return await Ingest(self._folder, self.embed, self._cache, self.model).run(source, chunker, progress)

    def not_embedded(self, texts: Sequence[str]) -> list[str]:
        """Those of `texts` that a sync would have to ask the model for, each once."""
        dimension = self._folder.setting("dimension")
        known = self._cache.get(self.model, int(dimension), texts) if dimension else {}
        return [text for text in dict.fromkeys(texts) if text not in known]

    def keep_vectors(self, texts: Sequence[str], vectors: "np.ndarray") -> None:
        """Take vectors that the same model made elsewhere, float32 (texts, dimension). A sync then asks no more.

        Raises CallerError `mixed_embeddings` and `bad_vectors`.
        """
        rows = checked(vectors, len(texts))
        self._folder.refuse_other_embeddings(self.model, rows.shape[1])
        self._folder.set(model=self.model, dimension=str(rows.shape[1]))
        self._cache.put(self.model, dict(zip(texts, rows, strict=True)))

    def search_words(self, question: str, scope: Scope, limit: int) -> list[Hit]:
        """The best `limit` chunks for the words of `question` (BM25), best first; any text is a question."""
        if not self._folder.has(scope.tenant):
            return []
        with self._folder.tenant(scope.tenant) as chunks:
            return chunks.search_words(question, scope, limit)

    def search_vectors(self, vector: "np.ndarray", scope: Scope, limit: int) -> list[Hit]:
        """The `limit` chunks nearest to `vector`, shape (dimension,), nearest first.

        Exact up to `scan_rows` chunks of a tenant. Beyond that Chroma is asked, unless it is being changed: HNSW may
        miss some. Where Chroma has no say, the scan answers, up to MOST_SCANNED chunks. Raises CallerError
        `mixed_embeddings` and `bad_vectors`, and ProviderError `unreachable` for more than that without Chroma.
        """
        query = checked(vector[None, ...], 1)[0]
        self._folder.refuse_other_embeddings(self.model, len(query))
        if not self._folder.has(scope.tenant):
            return []
        with self._folder.tenant(scope.tenant) as chunks:
            count = chunks.count()
            found = self._ask_chroma(chunks, query, scope, limit) if count > self.scan_rows else None
            if found is None and count > self.most_scanned:
                raise ProviderError(
                    f"Chroma has no answer for {scope.tenant}, and its {count} chunks are too many to scan.",
                    "Start Chroma again, or wait until the sync is done. A search by words works meanwhile.",
                    "unreachable",
                    transient=True,
                )
            return chunks.search_vectors(query, scope, limit) if found is None else found

    def _ask_chroma(self, chunks: ChunkStore, vector: "np.ndarray", scope: Scope, limit: int) -> list[Hit] | None:
        """None when Chroma is being changed, is not up to date, is away or is broken: then it has no say."""
        chroma, version = self._folder.chroma, chunks.version()
        # Files are read by whoever holds the lock, a server by anybody.
        with nullcontext(not chroma.rests()) if chroma.server else self._folder.try_lock() as may:
            if not may or not chroma.exists() or not (chroma.server or chunks.state("in_chroma") == version):
                return None
            chroma.use(self._folder.setting("generation"))
            try:
                with vector_store.trouble(chroma):
                    nearest = chroma.nearest(vector, scope, limit, version)
            except PatternsError as error:
                metrics.count("index.chroma_failed", tenant=scope.tenant)
                if chroma.server:
                    chroma.rest()
                    log.warning("The index scans instead: %s", error)
                return None
            if nearest is None or chunks.version() != version:
                return None
            found = dict(nearest)
            rows = chunks.rows("key", found)
        hits = [Hit(row.chunk.id, found[row.key]) for row in rows if scope.allows_chunk(row.chunk)]
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))

    def chunks(self, ids: Iterable[str], scope: Scope) -> list[Chunk]:
        """The chunks with these ids, in their order, without those that `scope` does not allow."""
        if not self._folder.has(scope.tenant):
            return []
        with self._folder.tenant(scope.tenant) as chunks:
            found = [row.chunk for row in chunks.rows("id", ids)]
        return [chunk for chunk in found if scope.allows_chunk(chunk)]

    def version(self, tenant: str) -> str:
        """Changes with what is visible to anybody in the tenant; the same content has the same version again."""
        if not self._folder.has(tenant):
            return EMPTY
        with self._folder.tenant(tenant) as chunks:
            return chunks.version()

    def close(self) -> None:
        self._cache.close()
        self._folder.close()
