"""SQLite as every store of the project opens it: one file, WAL, safe for several threads and processes."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .errors import CallerError


class Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closable)

BUSY_SECONDS = 2.0  # how long to wait while another process writes
WAL_SECONDS = 10.0
WAL_PAGES = 4_000  # 16 MB, four times SQLite's own: copying the log into the file waits for the disk, commits do not


def connect(path: Path, schema: str) -> sqlite3.Connection:
    """Open the database at `path`, made when it is not there, and run `schema` (CREATE ... IF NOT EXISTS).

    The connection commits each statement by itself and may be used by several threads, one at a time: the caller holds
    a lock. Raises sqlite3.Error and OSError; wrap the call in `trouble`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _switch_to_wal(db)
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        db.executescript(schema)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _switch_to_wal(db: sqlite3.Connection) -> None:
    # SQLite does not wait for another process at this one step, so we do.
    until = time.monotonic() + WAL_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


@contextmanager
def trouble(path: Path, what: str) -> Iterator[None]:
    """Turn what SQLite and the file system say into one sentence. `what` names the store: "ledger", "index"."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise CallerError(
            f"The {what} at {path} cannot be used: {error}.",
            "Free some space or make the folder writable, or set PATTERNS_STATE to another folder.",
            "store_unwritable",
        ) from error


_open: dict[tuple[Path, Any], Any] = {}
_opening = threading.Lock()


def shared(kind: Callable[[Path], T], path: Path) -> T:
    """The one `kind(path)` of this process: opened at the first call, the same object afterwards."""
    with _opening:
        if (path, kind) not in _open:
            _open[path, kind] = kind(path)
        return _open[path, kind]


def close_under(folder: Path) -> None:
    """Close every shared store in `folder`; the next `shared` opens it again."""
    with _opening:
        for path, kind in [place for place in _open if place[0].is_relative_to(folder)]:
            _open.pop((path, kind)).close()
