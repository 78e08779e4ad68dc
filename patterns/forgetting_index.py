"""Forgetting a person in the index: documents that came from them, with their words, vectors and cached vectors."""

import asyncio
import hashlib
import shutil
import sqlite3
import uuid
from collections.abc import Sequence
from pathlib import Path

from . import state, store
from .erasing import erased, needles
from .events import User
from .index import vector_store
from .index.folder import IndexFolder


async def forget(user: User, words: Sequence[str]) -> tuple[str, ...]:
    """Remove every document of the user's tenant in which one of `words` stands. Returns the ids, sorted.

    Chroma's files are deleted: the next sync fills them again without embedding, and until then the exact search
    answers. Raises CallerError (`index_busy`, `store_unwritable`), and ProviderError (`unreachable`) for a Chroma
    server that is away: then some of it is still there, and the call is to be made again.
    """
    gone: set[str] = set()
    for file in (state.folder() / "index").rglob(f"tenant-{user.tenant}.sqlite3"):
        folder = IndexFolder(file.parent)
        try:
            async with folder.alone():
                gone |= await _forget(folder, user.tenant, words)
        finally:
            folder.close()
        await asyncio.to_thread(_write_anew, file)
    return tuple(sorted(gone))


async def _forget(folder: IndexFolder, tenant: str, words: Sequence[str]) -> set[str]:
    wanted = needles(words)
    with folder.tenant(tenant) as chunks:
        rows = chunks.rows("key", chunks.keys())
        gone = {row.chunk.document_id for row in rows if wanted.find(f"{row.chunk}".encode("utf-8", "replace"))}
        _forget_vectors([row.chunk.text for row in rows if row.chunk.document_id in gone])  # found by the texts
        chunks.remove(gone)
    _drop_chroma(folder)
    return gone


def _drop_chroma(folder: IndexFolder) -> None:
    """Chroma's files hold deleted vectors, and pieces of memory besides. They are made anew from the tenants' files.

    A server is told to delete the collections; when its own files let go of them is up to it.
    """
    if folder.chroma.server:
        with vector_store.trouble(folder.chroma):
            for tenant in folder.tenants():
                folder.chroma.drop(tenant)
    if not folder.chroma.folder.exists():
        return
    generation = uuid.uuid4().hex
    folder.set(generation=generation)
    folder.chroma.changed(generation)
    for tenant in folder.tenants():
        with folder.tenant(tenant) as chunks:
            chunks.set_state("in_chroma", "")
    with store.trouble(folder.chroma.folder, "index"):
        shutil.rmtree(folder.chroma.folder)


def _forget_vectors(texts: Sequence[str]) -> None:
    path = state.file("embeddings.sqlite3")
    digests = [(hashlib.sha256(text.encode()).digest(),) for text in texts]

    def work(db: sqlite3.Connection) -> int:
        return db.executemany("DELETE FROM embeddings WHERE text_sha256 = ?", digests).rowcount

    if path.exists() and digests:
        erased(path, work)


def _write_anew(file: Path) -> None:
    erased(file, lambda db: 0)
