"""Keeping an index like its source: what is new is added, what changed is replaced, what is gone is deleted.

A document counts as changed when its chunks do, metadata included, or the embedding model: the fingerprint is a hash of
both, so that another chunker, or a mended one, shows by itself. Only texts that were never embedded are sent to the
model.
"""

import asyncio
import hashlib
import json
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from .. import documents
from ..chunking import Chunk, Chunker
from ..documents import Article
from ..errors import CallerError, PatternsError, ProviderError
from . import vector_store
from .chunk_store import EMPTY
from .embedding_cache import BATCH, Embed, EmbeddingCache, checked
from .folder import IndexFolder

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]  # (documents done, documents in all)

OF_ONE_DOCUMENT = ("bad_request", "context_too_long", "duplicate_id")  # after these errors the others can go on


@dataclass(frozen=True, slots=True)
class Report:
    """What a sync did. Ids of documents; `failed` holds (id, what is wrong and what to do): the old version stays.

    `chunks`: how many are in the index now. `embedded`: how many texts the model was asked for. `behind`: why a Chroma
    server has not followed, or empty. Until the next sync the exact scan answers in its place.
    """

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    deleted: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    chunks: int
    embedded: int
    behind: str = ""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A document to embed and store."""

    article: Article
    chunks: list[Chunk]
    fingerprint: str
    is_new: bool


@dataclass(slots=True)
class Ingest:
    """One sync. The caller holds the lock of `folder`. Raises CallerError, and what `embed` raises."""

    folder: IndexFolder
    embed: Embed
    cache: EmbeddingCache
    model: str
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    embedded: int = 0

    async def run(self, articles: Sequence[Article], chunker: Chunker, progress: Progress | None) -> Report:
        self._delete_all_but(articles)
        known = {tenant: self._documents(tenant) for tenant in self.folder.tenants()}
        waiting: list[_Waiting] = []
        for number, article in enumerate(articles, start=1):
            if work := self._prepare(article, chunker, known):
                waiting.append(work)
            if number == len(articles) or sum(len(work.chunks) for work in waiting) >= BATCH:
                await self._store(waiting)
                waiting = []
            if progress:
                progress(number - len(waiting), len(articles))
        behind = await self._let_server_follow() if self.folder.chroma.server else await self._let_chroma_follow()
        return Report(
            tuple(self.added),
            tuple(self.changed),
            tuple(self.unchanged),
            tuple(self.deleted),
            tuple(self.failed),
            sum(self._count(tenant) for tenant in self.folder.tenants()),
            self.embedded,
            behind,
        )

    def _documents(self, tenant: str) -> dict[str, str]:
        with self.folder.tenant(tenant) as chunks:
            return chunks.documents()

    def _count(self, tenant: str) -> int:
        with self.folder.tenant(tenant) as chunks:
            return chunks.count()

    def _delete_all_but(self, articles: Sequence[Article]) -> None:
        given = {(article.tenant, article.id) for article in articles}
        for tenant in self.folder.tenants():
            with self.folder.tenant(tenant) as chunks:
                gone = [document_id for document_id in chunks.documents() if (tenant, document_id) not in given]
                chunks.remove(gone)
            self.deleted += gone

    def _prepare(self, article: Article, chunker: Chunker, known: dict[str, dict[str, str]]) -> _Waiting | None:
        """Sort out what is unchanged or unfit."""
        try:
            documents.check(article)
            chunks = chunker(article)
            if not chunks:
                raise CallerError("The chunker made no chunk of it.", "Check the chunker.", "empty_document")
        except PatternsError as error:
            self.failed.append((article.id, str(error)))
            return None
        fingerprint = _fingerprint(self.model, chunks)
        before = known.get(article.tenant, {}).get(article.id)
        if before == fingerprint:
            self.unchanged.append(article.id)
            return None
        return _Waiting(article, chunks, fingerprint, before is None)

    async def _store(self, works: Sequence[_Waiting]) -> None:
        """Embed several documents together, then put each in place in a transaction of its own."""
        if not works:
            return
        try:
            vectors = await self._vectors([chunk.text for work in works for chunk in work.chunks])
        except CallerError as error:
            if error.code not in OF_ONE_DOCUMENT:
                raise
            if len(works) == 1:
                self.failed.append((works[0].article.id, str(error)))
                return
            for work in works:
                await self._store([work])
            return
        start = 0
        for work in works:
            end = start + len(work.chunks)
            self._put(work, vectors[start:end])
            start = end

    def _put(self, work: _Waiting, vectors: "np.ndarray") -> None:
        try:
            with self.folder.tenant(work.article.tenant) as chunks:
                chunks.put(work.article.id, work.fingerprint, work.chunks, vectors)
        except CallerError as error:
            if error.code not in OF_ONE_DOCUMENT:
                raise
            self.failed.append((work.article.id, str(error)))
        else:
            (self.added if work.is_new else self.changed).append(work.article.id)

    async def _vectors(self, texts: Sequence[str]) -> "np.ndarray":
        """One row a text, from the cache or from the model."""
        import numpy as np

        if (dimension := self.folder.setting("dimension")) is None:
            dimension = len((await self._ask(texts[:1]))[texts[0]])  # not known before the first answer
        found = self.cache.get(self.model, int(dimension), texts)
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        for start in range(0, len(missing), BATCH):
            found |= await self._ask(missing[start : start + BATCH])
        return np.stack([found[text] for text in texts])

    async def _ask(self, texts: Sequence[str]) -> dict[str, "np.ndarray"]:
        vectors = checked(await self.embed(texts), len(texts))
        self.embedded += len(texts)
        self.folder.refuse_other_embeddings(self.model, vectors.shape[1])
        self.folder.set(model=self.model, dimension=str(vectors.shape[1]))
        found = dict(zip(texts, vectors, strict=True))
        self.cache.put(self.model, found)
        return found

    async def _let_chroma_follow(self) -> str:
        """Make every collection in the folder like its tenant's file. Searches do not wait for it."""
        chroma = self.folder.chroma
        with vector_store.trouble(chroma):
            chroma.use(self.folder.setting("generation"))
            for tenant in self.folder.tenants():
                with self.folder.tenant(tenant) as chunks:
                    version, wanted = chunks.version(), set(chunks.keys())
                    if version == (chunks.state("in_chroma") or EMPTY) and (chroma.exists() or not wanted):
                        continue
                    chunks.set_state("in_chroma", "")  # a sync that is killed now leaves neither version there
                self._announce_change()
                await self._make_like(tenant, wanted)
                with self.folder.tenant(tenant) as chunks:
                    chunks.set_state("in_chroma", version)
        return ""

    async def _let_server_follow(self) -> str:
        """The same with a server. Returns why it could not follow: the index answers without it."""
        chroma = self.folder.chroma
        try:
            with vector_store.trouble(chroma):
                for tenant in self.folder.tenants():
                    with self.folder.tenant(tenant) as chunks:
                        version, wanted = chunks.version(), set(chunks.keys())
                    if version == chroma.version(tenant):
                        continue
                    writer = chroma.begin(tenant)
                    await self._make_like(tenant, wanted)
                    chroma.end(tenant, writer, version, wanted)
        except ProviderError as error:
            log.warning("The index does without Chroma: %s", error)
            return str(error)
        return ""

    async def _make_like(self, tenant: str, wanted: set[str]) -> None:
        chroma = self.folder.chroma
        there = chroma.keys(tenant)
        for keys in _batches(there - wanted):
            chroma.remove(tenant, keys)
        for keys in _batches(wanted - there):
            with self.folder.tenant(tenant) as chunks:
                rows = chunks.rows("key", keys)
            chroma.put(tenant, rows)
            await asyncio.sleep(0)

    def _announce_change(self) -> None:
        # Written down before the change: if we are killed in the middle of it, the others know nevertheless.
        generation = uuid.uuid4().hex
        self.folder.set(generation=generation)
        self.folder.chroma.changed(generation)


def refuse_duplicates(articles: Sequence[Article]) -> None:
    """Raise CallerError `duplicate_id` when two articles of a tenant share an id."""
    counts = Counter((article.tenant, article.id) for article in articles)
    if twice := sorted(f"{document_id} ({tenant})" for (tenant, document_id), count in counts.items() if count > 1):
        raise CallerError(
            f"{len(twice)} ids belong to more than one document: {', '.join(twice)[:500]}.",
            "Give each document of a tenant an id of its own; nothing was changed.",
            "duplicate_id",
        )


def _fingerprint(model: str, chunks: Sequence[Chunk]) -> str:
    rows = [[str(getattr(chunk, entry.name)) for entry in fields(chunk)] for chunk in chunks]
    return hashlib.sha256(json.dumps([model, rows]).encode()).hexdigest()


def _batches(keys: set[str]) -> list[list[str]]:
    ordered, size = sorted(keys), vector_store.BATCH
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]
