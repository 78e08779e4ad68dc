"""The chunks of one tenant in one SQLite file: text, words, vectors, and who may see them.

A search of a tenant opens this file and no other, so no filter between tenants can be forgotten. Inside it, every
search applies the Scope before it ranks: what a reader may not see takes no place among the hits.

One document is replaced in one transaction. Whoever reads, in this process or in another, sees the old one or the new
one, and a killed process leaves nothing between.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import store
from ..chunking import Chunk
from ..errors import CallerError
from . import vector_scan, word_search
from .scope import Hit, Scope

if TYPE_CHECKING:
    import numpy as np

SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS documents (id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (
    row INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,           -- of this version of this chunk: its id in Chroma
    id TEXT NOT NULL UNIQUE,
    document_id TEXT NOT NULL,
    title TEXT NOT NULL,
    url TEXT NOT NULL,
    tenant TEXT NOT NULL,
    lang TEXT NOT NULL,
    acl TEXT NOT NULL,                  -- JSON list of tags
    updated TEXT NOT NULL,              -- ISO date
    heading TEXT NOT NULL,
    text TEXT NOT NULL,
    vector BLOB NOT NULL                -- float32, little-endian, of length 1
);
CREATE INDEX IF NOT EXISTS chunks_document ON chunks (document_id);
CREATE INDEX IF NOT EXISTS chunks_updated ON chunks (updated);
"""
    + word_search.SCHEMA
)
EMPTY = f"{0:064x}"  # the version of a tenant without documents

_CHUNK = tuple(field.name for field in fields(Chunk))
_COLUMNS = ("key", *_CHUNK, "vector")
_PUT = f"INSERT INTO chunks ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"


@dataclass(frozen=True, slots=True)
class Stored:
    """A chunk, its key in Chroma and its vector, float32 (dimension,)."""

    key: str
    chunk: Chunk
    vector: "np.ndarray"


class ChunkStore:
    """The file at `path`, for one thread at a time. Raises CallerError (`store_unwritable`) when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._block: vector_scan.Block | None = None
        with store.trouble(path, "index"):
            self._db = store.connect(path, SCHEMA)

    def close(self) -> None:
        self._db.close()

    # what is there

    def version(self) -> str:
        """Changes with what is visible; the same content has the same version, however it came about."""
        return self.state("version") or EMPTY

    def state(self, name: str) -> str | None:
        with self._reading() as db:
            row = db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def documents(self) -> dict[str, str]:
        """The fingerprint of every document by id."""
        with self._reading() as db:
            return dict(db.execute("SELECT id, fingerprint FROM documents"))

    def keys(self) -> list[str]:
        with self._reading() as db:
            return [key for (key,) in db.execute("SELECT key FROM chunks ORDER BY key")]

    def count(self) -> int:
        with self._reading() as db:
            return db.execute("SELECT count(*) FROM chunks").fetchone()[0]

    def rows(self, column: str, values: Iterable[str]) -> list[Stored]:
        """The chunks whose `column` ("id" or "key") is one of `values`, in their order."""
        query = f"SELECT {', '.join(_COLUMNS)} FROM chunks WHERE {column} = ?"
        with self._reading() as db:
            return [_stored(row) for value in values for row in db.execute(query, (_storable(value),))]

    # searching

    def search_words(self, question: str, scope: Scope, limit: int) -> list[Hit]:
        with self._reading() as db:
            found = word_search.search(db, question, scope, limit)
            query = "SELECT id, tenant, lang, acl, updated FROM chunks WHERE row = ?"
            rows = [(score, *db.execute(query, (row,)).fetchone()) for row, score in found]
        hits = [
            Hit(chunk_id, score)
            for score, chunk_id, tenant, lang, acl, updated in rows
            if scope.allows(tenant, lang, json.loads(acl), date.fromisoformat(updated))
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))

    def search_vectors(self, vector: "np.ndarray", scope: Scope, limit: int) -> list[Hit]:
        return vector_scan.search(self.block(), vector, scope, limit)

    def block(self) -> vector_scan.Block:
        """The vectors in memory; read again when anybody, in whatever process, changed the file."""
        with self._reading() as db:
            version = self.version()
            if self._block is None or self._block.version != version:
                query = "SELECT id, tenant, lang, acl, updated, vector FROM chunks ORDER BY id"
                self._block = vector_scan.load(version, db.execute(query).fetchall())
        return self._block

    # changing

    def put(self, document_id: str, fingerprint: str, chunks: Sequence[Chunk], vectors: "np.ndarray") -> None:
        """Put `chunks` in place of all that the document had; row i of `vectors` (chunks, dimension) belongs to i.

        `fingerprint` is a hash, in hex, of all that makes the document's chunks and vectors what they are.
        """
        with self._writing() as db:
            self._forget(document_id)
            for chunk, vector in zip(chunks, vectors, strict=True):
                row = self._insert(Stored(f"{chunk.id}@{fingerprint[:16]}", chunk, vector))
                word_search.add(db, row, chunk)
            db.execute("INSERT INTO documents VALUES (?, ?)", (document_id, fingerprint))
            self._add_to_version(int(fingerprint, 16))

    def remove(self, document_ids: Iterable[str]) -> None:
        with self._writing():
            for document_id in document_ids:
                self._forget(document_id)

    def set_state(self, name: str, value: str) -> None:
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    def _insert(self, stored: Stored) -> int:
        chunk = stored.chunk
        values: dict[str, Any] = {name: getattr(chunk, name) for name in _CHUNK}
        values |= {"acl": json.dumps(chunk.acl), "updated": chunk.updated.isoformat()}
        values |= {"key": stored.key, "vector": stored.vector.astype("<f4").tobytes()}
        try:
            return self._db.execute(_PUT, [values[name] for name in _COLUMNS]).lastrowid or 0
        except sqlite3.IntegrityError:
            raise CallerError(
                f"The chunk id {chunk.id} occurs twice.", "Let the chunker number the chunks.", "duplicate_id"
            ) from None

    def _forget(self, document_id: str) -> None:
        old_rows = "SELECT row FROM chunks WHERE document_id = ?"
        self._db.execute(f"DELETE FROM words WHERE rowid IN ({old_rows})", (document_id,))
        self._db.execute("DELETE FROM chunks WHERE document_id = ?", (document_id,))
        for (old,) in self._db.execute("SELECT fingerprint FROM documents WHERE id = ?", (document_id,)).fetchall():
            self._add_to_version(-int(old, 16))
        self._db.execute("DELETE FROM documents WHERE id = ?", (document_id,))

    def _add_to_version(self, number: int) -> None:
        # The version is the sum of all fingerprints, so that a change of one document costs one addition.
        total = (int(self.version(), 16) + number) % (1 << 256)
        self._db.execute("INSERT OR REPLACE INTO state VALUES ('version', ?)", (f"{total:064x}",))

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """One state of the file, however many statements. May be nested, also in `_writing`."""
        with store.trouble(self.path, "index"):
            if self._db.in_transaction:
                yield self._db
                return
            self._db.execute("BEGIN")
            try:
                yield self._db
            finally:
                self._db.execute("COMMIT")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """All or nothing."""
        with store.trouble(self.path, "index"), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db


def _storable(text: str) -> str:
    # Ids may come from a model's answer, and SQLite takes no lone surrogates.
    return text.encode("utf-8", "backslashreplace").decode()


def _stored(row: Sequence[Any]) -> Stored:
    import numpy as np

    values = dict(zip(_COLUMNS, row, strict=True))
    key, vector = values.pop("key"), np.frombuffer(values.pop("vector"), "<f4")
    values |= {"acl": tuple(json.loads(values["acl"])), "updated": date.fromisoformat(values["updated"])}
    return Stored(key, Chunk(**values), vector)
