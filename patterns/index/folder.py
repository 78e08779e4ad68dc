"""The folder of an index: one SQLite file a tenant, Chroma, the settings, and the lock of those who write."""

import asyncio
import re
import sqlite3
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from .. import store
from ..errors import CallerError
from .chunk_store import ChunkStore
from .vector_store import VectorStore, trouble

LOCK_SECONDS = 60.0  # how long a sync waits for another one
OPEN_TENANTS = 100  # files and vectors that are kept at hand

_TENANT = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")  # what `documents.check` lets through; it becomes a file name
_NAME = "name_in_chroma"
_SETTINGS = "CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);"


class IndexFolder:
    """Everything in the folder at `path`. Safe for several threads, and `alone` for several processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._open: OrderedDict[str, ChunkStore] = OrderedDict()
        with store.trouble(path, "index"):
            self._db = store.connect(path / "index.sqlite3", _SETTINGS)
            # What a server knows this index by. A copy of the folder keeps it, and shares what is there.
            self._db.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (_NAME, uuid.uuid4().hex[:12]))
        self.chroma = VectorStore(path / "chroma", self.setting(_NAME) or "")

    def setting(self, name: str) -> str | None:
        with self._lock, store.trouble(self.path, "index"):
            row = self._db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set(self, **settings: str) -> None:
        with self._lock, store.trouble(self.path, "index"), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", settings.items())

    def refuse_other_embeddings(self, model: str, dimension: int | None = None) -> None:
        """Raise CallerError `mixed_embeddings` unless the index was made with this model and number of dimensions."""
        known_model, known_dimension = self.setting("model"), self.setting("dimension")
        if known_model is None or (known_model == model and str(dimension or known_dimension) == known_dimension):
            return
        known = f"{known_model} with {known_dimension} dimensions"
        given = f"{model} with {dimension} dimensions" if dimension else model
        raise CallerError(
            f"The index in {self.path} holds vectors of {known}, not of {given}.",
            f"Use {known_model}, or make the index anew with Index.rebuild or by deleting the folder.",
            "mixed_embeddings",
        )

    def tenants(self) -> list[str]:
        return sorted(path.name[len("tenant-") : -len(".sqlite3")] for path in self.path.glob("tenant-*.sqlite3"))

    def has(self, tenant: str) -> bool:
        return self._file(tenant).exists()

    @contextmanager
    def tenant(self, tenant: str) -> Generator[ChunkStore, None, None]:
        """The tenant's file, made when it is not there. Nobody else in this process has it meanwhile: do not await."""
        with self._lock:
            if tenant not in self._open:
                self._open[tenant] = ChunkStore(self._file(tenant))
            self._open.move_to_end(tenant)
            while len(self._open) > OPEN_TENANTS:
                self._open.popitem(last=False)[1].close()
            yield self._open[tenant]

    def empty(self) -> None:
        """Delete everything. The files stay, because other processes may have them open. The caller is `alone`."""
        with trouble(self.chroma):
            for name in self.tenants():
                with self.tenant(name) as chunks:
                    chunks.remove(chunks.documents())
                if self.chroma.exists():
                    self.chroma.drop(name)
        with self._lock, store.trouble(self.path, "index"):
            self._db.execute("DELETE FROM settings WHERE name <> ?", (_NAME,))

    def _file(self, tenant: str) -> Path:
        if not _TENANT.fullmatch(tenant):
            raise CallerError(
                f"{tenant[:200]!r} is no name of a tenant.",
                "Use 1 to 128 of a-z, 0-9 and ._- that begin with a letter or digit.",
                "bad_request",
            )
        return self.path / f"tenant-{tenant}.sqlite3"

    @contextmanager
    def try_lock(self) -> Generator[bool, None, None]:
        """Whether nobody else writes; nobody will until this ends. The system gives it back when a process dies."""
        with store.trouble(self.path, "index"):
            db = sqlite3.connect(self.path / "lock.sqlite3", timeout=0, isolation_level=None)
        try:
            with store.trouble(self.path, "index"):
                try:
                    db.execute("BEGIN EXCLUSIVE")
                    got = True
                except sqlite3.OperationalError as error:
                    if "locked" not in str(error):
                        raise
                    got = False
            yield got
        finally:
            db.close()

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None, None]:
        """Hold the lock. Raises CallerError `index_busy` after LOCK_SECONDS."""
        until = time.monotonic() + LOCK_SECONDS
        while True:
            with self.try_lock() as got:
                if got:
                    yield
                    return
            if time.monotonic() > until:
                raise CallerError(
                    f"The index in {self.path} is being changed by another process for over {LOCK_SECONDS:g} s.",
                    "Wait until it is done, or end it, and try again.",
                    "index_busy",
                )
            await asyncio.sleep(0.05)

    def close(self) -> None:
        with self._lock:
            self.chroma.close()
            for tenant in self._open.values():
                tenant.close()
            self._open.clear()
            self._db.close()
