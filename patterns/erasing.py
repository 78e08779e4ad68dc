"""Deleting so that the bytes are gone, and looking whether they are.

A plain DELETE takes a row out of SQLite's lists. Its bytes stay in free pages, in the log beside the file (`-wal`) and,
for a search table, in its old segments, until something happens to be written over them.

What is not covered: copies that a disk or file system keeps by itself (SSDs, snapshots), and backups.
"""

import base64
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from . import store

BUSY_SECONDS = 20.0  # how long to wait for others who read and write
_DATABASE = (b"SQLite format 3", b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")  # the file, and its log (-wal)
PIECE = 48  # characters of a long text that are looked for at once: SQLite may keep it in several places


def erased(path: Path, work: Callable[[sqlite3.Connection], int], again: bool = True) -> int:
    """Do `work` on the database at `path` in one transaction, then write the file anew without what was deleted.

    Returns what `work` returns. Others may read and write meanwhile. It can be killed anywhere and done again: with
    `again` the file is written anew also when nothing was left to delete. Raises CallerError (`store_unwritable`).
    """
    with store.trouble(path, "store"):
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            db.execute("PRAGMA secure_delete=ON")
            db.execute("BEGIN IMMEDIATE")
            try:
                count = work(db)
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise
            if count or again:
                _write_anew(db)
        finally:
            db.close()
    return count


def _write_anew(db: sqlite3.Connection) -> None:
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%fts5%'").fetchall():
        db.execute(f'INSERT INTO "{name}" ("{name}") VALUES (\'optimize\')')  # its segments keep deleted words
    db.execute("VACUUM")
    until = time.monotonic() + BUSY_SECONDS
    while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:  # somebody reads an older state
        if time.monotonic() > until:
            raise sqlite3.OperationalError("somebody has been reading from it for too long")
        time.sleep(0.02)


# looking for what should be gone


@dataclass(frozen=True, slots=True)
class Needles:
    """What to look for in raw bytes, in lower case; of a `whole` one, nothing may go on to the left or right."""

    whole: tuple[bytes, ...]
    anywhere: tuple[bytes, ...]

    def find(self, data: bytes) -> str | None:
        """The first of them that is in `data`."""
        low = data.lower()
        # In a database columns stand side by side with nothing between: only a number can be seen to go on.
        goes_on = bytes.isdigit if data.startswith(_DATABASE) else bytes.isalnum
        for needle in self.anywhere:
            if needle in low:
                return needle.decode("utf-8", "replace")
        for needle in self.whole:
            place = low.find(needle)
            while place >= 0:
                before, after = low[max(0, place - 1) : place], low[place + len(needle) : place + len(needle) + 1]
                if not (goes_on(needle[:1]) and goes_on(before)) and not (goes_on(needle[-1:]) and goes_on(after)):
                    return needle.decode("utf-8", "replace")
                place = low.find(needle, place + 1)
        return None


def needles(words: Iterable[str]) -> Needles:
    """`words` as they may be written: as text, in UTF-16, in base64, escaped for JSON and for a URL.

    A word is found whole: "C-0001" is not in "C-00012". Long texts are looked for in pieces.
    """
    whole: dict[bytes, None] = {}
    anywhere: dict[bytes, None] = {}
    for word in words:
        for start in range(0, max(1, len(word) - PIECE // 2), PIECE):
            piece = word[start : start + PIECE]
            raw = piece.encode("utf-8", "replace")
            (whole if len(word) <= PIECE else anywhere).update(
                dict.fromkeys((raw, json.dumps(piece)[1:-1].encode(), quote(piece, errors="replace").encode()))
            )
            anywhere.update(dict.fromkeys(_encoded(piece, raw)))
    return Needles(tuple(one.lower() for one in whole), tuple(one.lower() for one in anywhere))


def _encoded(piece: str, raw: bytes) -> Iterator[bytes]:
    yield piece.encode("utf-16-le", "replace")
    yield piece.encode("utf-16-be", "replace")
    if len(raw) >= 8:  # of less, too little is left to be sure
        for shift in range(3):  # where it begins among the three bytes that base64 makes four letters of
            coded = base64.b64encode(b"\0" * shift + raw)
            yield coded[(0, 2, 3)[shift] : len(coded) - (0, 4, 4)[(len(raw) + shift) % 3]]


def containing(wanted: Needles, files: Iterable[Path]) -> list[tuple[Path, str]]:
    """The files in which one of `wanted` is, each with the first that is."""
    places = []
    for path in files:
        try:
            found = wanted.find(path.read_bytes())
        except FileNotFoundError:  # it was deleted meanwhile, as SQLite's log is when the last reader leaves
            continue
        if found is not None:
            places.append((path, found))
    return places


def files_under(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
