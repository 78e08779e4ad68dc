"""The vectors of every tenant in Chroma, one collection each: for tenants that are too large for an exact search.

Chroma follows the SQLite files of `chunk_store` and never leads: what is visible is decided there, and Chroma can be
made anew from there at any time.

Its PersistentClient is not process-safe. Measured with one process that wrote and one that read: 12,614 of 12,616 reads
failed with "Error finding id". So whoever calls anything here holds the lock of the index, and a client that was opened
before another process wrote is opened again (`generation`).

A server (`chroma_client`) may be read while somebody writes. It can lose what it had, and folders that are copies of
each other share its collections. So a collection says itself which version of the tenant it holds: nothing, while it
is being changed, and whoever holds another version does not ask it.
"""

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CallerError
from . import chroma_client
from .chunk_store import EMPTY, Stored
from .scope import Scope

if TYPE_CHECKING:
    import numpy as np
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

BATCH = 1000  # Chroma takes up to 5461; this many take about two seconds
REST_SECONDS = 15.0  # for which a server that has failed a reader is left alone


class VectorStore:
    """The Chroma database in `folder`, or the server that is set; there, `prefix` tells one index from another.

    Opened on first use. Calls raise whatever Chroma does: wrap them in `trouble`.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder, self.server = folder, chroma_client.of_environment()
        self._prefix = f"{prefix}-" if self.server else ""
        self._clients: dict[float, Any] = {}
        self._generation: str | None = None
        self._rests_until = 0.0

    def exists(self) -> bool:
        return self.server is not None or (self.folder / "chroma.sqlite3").exists()

    def rests(self) -> bool:
        return time.monotonic() < self._rests_until

    def rest(self) -> None:
        """Leave a server that has failed alone for a while, so that not every search waits for it."""
        self.close()
        self._rests_until = time.monotonic() + REST_SECONDS

    def use(self, generation: str | None) -> None:
        """Say which state of the files is meant; a client that knows an older one is opened again."""
        if generation != self._generation and self.server is None:
            self.close()
        self._generation = generation

    def changed(self, generation: str) -> None:
        """Say that this process is about to change the files: its client knows."""
        self._generation = generation

    def version(self, tenant: str) -> str:
        """Which version of the tenant a server says that it holds."""
        return _marks(self._collection(tenant)).get("version", EMPTY)

    def begin(self, tenant: str) -> str:
        """Say on a server that the tenant is being changed. Returns who changes it, for `end`."""
        writer = uuid.uuid4().hex
        if self.server:
            self._collection(tenant).modify(metadata={"version": "", "writer": writer})
        return writer

    def end(self, tenant: str, writer: str, version: str, keys: set[str]) -> None:
        """Say on a server that the tenant is whole again, unless another writer has come between."""
        if not self.server:
            return
        collection = self._collection(tenant)
        if _marks(collection).get("writer") == writer and self.keys(tenant) == keys:
            collection.modify(metadata={"version": version, "writer": writer})

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
        self._open(chroma_client.WRITE_SECONDS).delete_collection(self._collection(tenant).name)

    def nearest(self, vector: "np.ndarray", scope: Scope, limit: int, version: str) -> list[tuple[str, float]] | None:
        """(key, cosine) of about the nearest `limit` chunks that the scope allows: HNSW may miss some.

        None where a server holds another version of the tenant than `version`.
        """
        if not scope.acl:
            return []
        tags: list[Any] = [{"acl": {"$contains": tag}} for tag in sorted(scope.acl)]
        where: list[Any] = [{"$or": tags} if len(tags) > 1 else tags[0]]
        if scope.lang is not None:
            where.append({"lang": scope.lang})
        if scope.updated_since:
            where.append({"updated": {"$gte": scope.updated_since.toordinal()}})
        collection = self._collection(scope.tenant, chroma_client.READ_SECONDS)
        if self.server and _marks(collection).get("version") != version:
            return None
        found = collection.query(
            query_embeddings=vector[None, :],
            n_results=limit,
            where={"$and": where} if len(where) > 1 else where[0],
            include=["distances"],
        )
        distances = (found["distances"] or [[]])[0]
        return [(key, round(1 - distance, 4)) for key, distance in zip(found["ids"][0], distances, strict=True)]

    def close(self) -> None:
        for client in self._clients.values():
            chroma_client.close(client) if self.server else client.close()
        self._clients.clear()

    def _collection(self, tenant: str, seconds: float = chroma_client.WRITE_SECONDS) -> "Collection":
        return self._open(seconds).get_or_create_collection(
            self._prefix + _name(tenant), embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )

    def _open(self, seconds: float) -> "ClientAPI":
        """A client. One of a server waits `seconds`; files are opened once."""
        key = seconds if self.server else 0.0
        if key not in self._clients:
            self._clients[key] = chroma_client.connect(self.server, seconds) if self.server else _files(self.folder)
        return self._clients[key]


def _files(folder: Path) -> "ClientAPI":
    import chromadb
    from chromadb.config import Settings

    return chromadb.PersistentClient(folder, Settings(anonymized_telemetry=False))


def _marks(collection: "Collection") -> dict[str, Any]:
    return dict(collection.metadata or {})


@contextmanager
def trouble(chroma: VectorStore) -> Iterator[None]:
    """Turn what Chroma says into one sentence. Raises CallerError, and for a server ProviderError (`unreachable`)."""
    if chroma.server:
        with chroma_client.trouble(chroma.server):
            yield
        return
    try:
        yield
    except Exception as error:
        from chromadb.errors import ChromaError  # only now: importing it takes a second

        if not isinstance(error, ChromaError):
            raise
        raise CallerError(
            f"Chroma cannot use {chroma.folder}: {error}.",
            "Free some space, or delete that folder and sync again: nothing has to be embedded again.",
            "store_unwritable",
        ) from error


def _name(tenant: str) -> str:
    """A valid collection name, another one for every tenant: Chroma forbids "..", and tenants have no capitals."""
    return f"tenant-{tenant.replace('.', 'D')}-chunks"
