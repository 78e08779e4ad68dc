"""The vectors of every tenant in Chroma, one collection each: for tenants that are too large for an exact search.

Chroma follows the SQLite files of `chunk_store` and never leads: what is visible is decided there, and Chroma can be
made anew from there at any time.

Its PersistentClient is not process-safe. Measured with one process that wrote and one that read: 12,614 of 12,616 reads
failed with "Error finding id". So whoever calls anything here holds the lock of the index, and a client that was opened
before another process wrote is opened again (`generation`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CallerError
from .chunk_store import Stored
from .scope import Scope

if TYPE_CHECKING:
    import numpy as np
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

BATCH = 1000  # Chroma takes up to 5461; this many take about two seconds


class VectorStore:
    """The Chroma database in `folder`. Opened on first use. Raises chromadb.errors.ChromaError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._client: Any = None
        self._generation: str | None = None

    def exists(self) -> bool:
        return (self.folder / "chroma.sqlite3").exists()

    def use(self, generation: str | None) -> None:
        """Say which state of the files is meant; a client that knows an older one is opened again."""
        if generation != self._generation:
            self.close()
        self._generation = generation

    def changed(self, generation: str) -> None:
        """Say that this process is about to change the files: its client knows."""
        self._generation = generation

    def keys(self, tenant: str) -> set[str]:
        return set(self._collection(tenant).get(include=[])["ids"])

    def put(self, tenant: str, rows: Sequence[Stored]) -> None:
        """At most BATCH rows, none of which is there."""
        import numpy as np

        self._collection(tenant).upsert(
            ids=[row.key for row in rows],
            embeddings=np.stack([row.vector for row in rows]),
            metadatas=[
                {"lang": row.chunk.lang, "acl": list(row.chunk.acl), "updated": row.chunk.updated.toordinal()}
                for row in rows
            ],
        )

    def remove(self, tenant: str, keys: Sequence[str]) -> None:
        self._collection(tenant).delete(ids=list(keys))

    def drop(self, tenant: str) -> None:
        self._open().delete_collection(self._collection(tenant).name)

    def nearest(self, vector: "np.ndarray", scope: Scope, limit: int) -> list[tuple[str, float]]:
        """(key, cosine) of about the nearest `limit` chunks that the scope allows: HNSW may miss some."""
        if not scope.acl:
            return []
        tags: list[Any] = [{"acl": {"$contains": tag}} for tag in sorted(scope.acl)]
        where: list[Any] = [{"$or": tags} if len(tags) > 1 else tags[0]]
        if scope.lang is not None:
            where.append({"lang": scope.lang})
        if scope.updated_since:
            where.append({"updated": {"$gte": scope.updated_since.toordinal()}})
        found = self._collection(scope.tenant).query(
            query_embeddings=vector[None, :],
            n_results=limit,
            where={"$and": where} if len(where) > 1 else where[0],
            include=["distances"],
        )
        distances = (found["distances"] or [[]])[0]
        return [(key, round(1 - distance, 4)) for key, distance in zip(found["ids"][0], distances, strict=True)]

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    def _collection(self, tenant: str) -> "Collection":
        return self._open().get_or_create_collection(
            _name(tenant), embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )

    def _open(self) -> "ClientAPI":
        if self._client is None:
            import chromadb
            from chromadb.config import Settings

            self._client = chromadb.PersistentClient(self.folder, Settings(anonymized_telemetry=False))
        return self._client


@contextmanager
def trouble(folder: Path) -> Iterator[None]:
    """Turn what Chroma says into one sentence."""
    try:
        yield
    except Exception as error:
        from chromadb.errors import ChromaError  # only now: importing it takes a second

        if not isinstance(error, ChromaError):
            raise
        raise CallerError(
            f"Chroma cannot use {folder}: {error}.",
            "Free some space, or delete that folder and sync again: nothing has to be embedded again.",
            "store_unwritable",
        ) from error


def _name(tenant: str) -> str:
    """A valid collection name, another one for every tenant: Chroma forbids "..", and tenants have no capitals."""
    return f"tenant-{tenant.replace('.', 'D')}-chunks"
