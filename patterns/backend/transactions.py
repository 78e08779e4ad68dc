"""Transactions on a SQLite file that other processes write, too. The event loop goes on while they do."""

import asyncio
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .. import store
from ..errors import CallerError
from . import finish

BUSY_SECONDS = 2.0  # how long a request waits for the other processes
TIDY_SECONDS = 60.0  # how often what has run out is removed

T = TypeVar("T")


class Transactions:
    """The file at `path`, called `name` in messages. `tidy` runs before a transaction now and then, in its own.

    Every method raises CallerError (`store_unwritable`) when the file cannot be used.
    """

    def __init__(self, path: Path, schema: str, name: str, tidy: Callable[[sqlite3.Connection], None]) -> None:
        self._path, self._name, self._tidy = path, name, tidy
        self._lock, self._tidied = threading.Lock(), -TIDY_SECONDS
        with store.trouble(path, name):
            self._db = store.connect(path, schema)
            self._db.execute("PRAGMA busy_timeout=0")  # the waiting is done here

    async def read(self, statement: str, *values: Any) -> list[Any]:
        """The rows of one SELECT."""
        return await self._run(lambda: self._db.execute(statement, values).fetchall())

    async def write(self, work: Callable[[sqlite3.Connection], T], *, through: bool = False) -> T:
        """Do all of `work` or, when it raises, nothing. `work` may be tried several times.

        With `through`, a caller that is cancelled while others write leaves, and the work is done nevertheless.
        """

        def transactions() -> T:
            if time.monotonic() - self._tidied >= TIDY_SECONDS:
                self._tidied = time.monotonic()
                self._transaction(self._tidy)
            return self._transaction(work)

        return await self._run(transactions, through)

    def close(self) -> None:
        self._db.close()

    async def _run(self, work: Callable[[], T], through: bool = False) -> T:
        done = self._tried(work)
        if done is None:
            waiting = self._patiently(work)
            done = await (finish(waiting) if through else waiting)
        return done[0]

    async def _patiently(self, work: Callable[[], T]) -> tuple[T]:
        until = time.monotonic() + BUSY_SECONDS
        while True:
            await asyncio.sleep(random.uniform(0.001, 0.01))
            if (done := self._tried(work)) is not None:
                return done
            if time.monotonic() > until:
                raise CallerError(
                    f"The {self._name} at {self._path} cannot be used: another process has been writing to it for "
                    f"{BUSY_SECONDS:g} s.",
                    "End that process, or set PATTERNS_REDIS_URL to share a Redis in place of a file.",
                    "store_unwritable",
                )

    def _tried(self, work: Callable[[], T]) -> tuple[T] | None:
        """What `work` gave, or None where another process was in the way."""
        with store.trouble(self._path, self._name), self._lock:
            try:
                return (work(),)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                return None

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            done = work(self._db)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # not when the disk was full: SQLite has rolled back by itself
                self._db.execute("ROLLBACK")
            raise
        return done
