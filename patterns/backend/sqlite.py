"""The backend of one machine: a SQLite file, which any number of threads and processes share.

A transaction takes some ten microseconds and never spans an await. While another process writes, the event loop goes
on, and the transaction is tried again.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from . import DAYS_KEPT, Entry, Spent, over_budget
from .transactions import Transactions

SCHEMA = """
CREATE TABLE IF NOT EXISTS places (     -- a rate limit is a bucket: what was taken runs out of it evenly
    key TEXT PRIMARY KEY, taken REAL NOT NULL, seen REAL NOT NULL, empty REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS caps (scope TEXT PRIMARY KEY, most INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (      -- nanodollars; a day is YYYY-MM-DD
    day TEXT NOT NULL, scope TEXT NOT NULL, settled INTEGER NOT NULL, reserved INTEGER NOT NULL,
    PRIMARY KEY (day, scope)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservations (   -- of calls that run now; scopes as a JSON list
    call TEXT PRIMARY KEY, day TEXT NOT NULL, most INTEGER NOT NULL, scopes TEXT NOT NULL, until REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unsettled (      -- of calls whose time is over: counted as spent, in full
    call TEXT PRIMARY KEY, day TEXT NOT NULL, most INTEGER NOT NULL, scopes TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, stored REAL NOT NULL, fresh REAL NOT NULL, until REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_until ON entries (until);
CREATE TABLE IF NOT EXISTS tags (tag TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (tag, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_key ON tags (key);
CREATE TABLE IF NOT EXISTS versions (tag TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS latest (one INTEGER PRIMARY KEY, version INTEGER NOT NULL);  -- the highest of all
CREATE TABLE IF NOT EXISTS switches (what TEXT PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;
"""

DAY = 86400

# "tenant:*" holds for each tenant without a cap of its own.
_ROOM = """
SELECT asked.value, coalesce(own.most, general.most), coalesce(spent.settled + spent.reserved, 0)
FROM json_each(?) AS asked
LEFT JOIN caps AS own ON own.scope = asked.value
LEFT JOIN caps AS general ON general.scope = substr(asked.value, 1, instr(asked.value, ':')) || '*'
LEFT JOIN spent ON spent.day = ? AND spent.scope = asked.value
"""
_CAPPED = """
SELECT asked.value FROM json_each(?) AS asked JOIN caps
ON caps.scope IN (asked.value, substr(asked.value, 1, instr(asked.value, ':')) || '*') ORDER BY asked.key LIMIT 1
"""
_SET_ASIDE = """
INSERT INTO spent SELECT ?, value, 0, ? FROM json_each(?) WHERE true
ON CONFLICT DO UPDATE SET reserved = reserved + excluded.reserved
"""
_CHARGE = """
UPDATE spent SET settled = settled + ?, reserved = reserved - ?
WHERE day = ? AND scope IN (SELECT value FROM json_each(?))
"""


class SQLite:
    """The backend at `path`. Every method raises CallerError (`store_unwritable`) when the file cannot be used."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._file = Transactions(path, SCHEMA, "store of budgets and limits", self._tidy)

    async def take(self, key: str, limit: int, seconds: float) -> float:
        def work(db: sqlite3.Connection) -> float:
            if limit < 1:
                return seconds
            now, a_place = self._clock(), seconds / limit
            row = db.execute("SELECT taken, seen FROM places WHERE key = ?", (key,)).fetchone()
            taken, seen = row or (0.0, now)
            # A clock that went back stands still for this key: nobody waits for it, and no place comes back early.
            taken = max(0.0, taken - max(0.0, now - seen) / a_place)
            wait = (taken + 1 - limit) * a_place
            if wait <= 1e-6:  # a microsecond is what the clock can tell
                taken, wait = taken + 1, 0.0
            db.execute("REPLACE INTO places VALUES (?, ?, ?, ?)", (key, taken, now, now + taken * a_place))
            return wait

        return await self._file.write(work)

    async def set_cap(self, scope: str, most: int | None) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM caps WHERE scope = ?", (scope,))
            if most is not None:
                db.execute("INSERT INTO caps VALUES (?, ?)", (scope, most))

        await self._file.write(work)

    async def capped(self, scopes: Sequence[str]) -> str | None:
        rows = await self._file.read(_CAPPED, json.dumps(list(scopes)))
        return rows[0][0] if rows else None

    async def reserve(self, call: str, most: int, scopes: Sequence[str], seconds: float) -> None:
        charged = json.dumps(list(dict.fromkeys(scopes)))

        def work(db: sqlite3.Connection) -> None:
            now = self._clock()
            day = _today(db, now)
            row = (call, day, most, charged, now + seconds)
            if not db.execute("INSERT OR IGNORE INTO reservations VALUES (?, ?, ?, ?, ?)", row).rowcount:
                return  # this call has its reservation
            for scope, cap, used in db.execute(_ROOM, (charged, day)).fetchall():
                if cap is not None and used + most > cap:
                    raise over_budget(scope, most, cap, used)
            db.execute(_SET_ASIDE, (day, most, charged))

        await self._file.write(work)

    async def settle(self, call: str, spent: int) -> None:
        def work(db: sqlite3.Connection) -> None:
            if found := _take_out(db, "reservations", call):
                day, most, scopes = found
                db.execute(_CHARGE, (spent, most, day, scopes))
            elif found := _take_out(db, "unsettled", call):
                day, most, scopes = found
                db.execute(_CHARGE, (spent - most, 0, day, scopes))

        await self._file.write(work, through=True)

    async def spending(self, scope: str, day: str | None = None) -> Spent:
        def work(db: sqlite3.Connection) -> Spent:
            now = self._clock()
            _end_leases(db, now)
            asked = (json.dumps([scope]), day or _today(db, now))
            _, cap, _ = db.execute(_ROOM, asked).fetchone()
            figures = "SELECT settled, reserved FROM spent WHERE scope = ? AND day = ?"
            settled, reserved = db.execute(figures, (scope, asked[1])).fetchone() or (0, 0)
            return Spent(cap, settled, reserved)

        return await self._file.write(work)

    async def get(self, key: str) -> Entry | None:
        found = "SELECT value, stored, fresh FROM entries WHERE key = ? AND until > ?"
        rows = await self._file.read(found, key, self._clock())
        return Entry(*rows[0]) if rows else None

    async def put(
        self, key: str, value: str, fresh_seconds: float, keep_seconds: float, tags: Sequence[str] = ()
    ) -> None:
        def work(db: sqlite3.Connection) -> None:
            now = self._clock()
            row = (key, value, now, now + fresh_seconds, now + keep_seconds)
            before = [tag for (tag,) in db.execute("SELECT tag FROM tags WHERE key = ?", (key,))]
            db.execute("DELETE FROM tags WHERE key = ?", (key,))
            db.execute("REPLACE INTO entries VALUES (?, ?, ?, ?, ?)", row)
            db.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", [(tag, key) for tag in tags])
            _changed(db, {*before, *tags})

        await self._file.write(work)

    async def entries(self, tag: str) -> list[tuple[str, Entry]]:
        found = (
            "SELECT key, value, stored, fresh FROM tags JOIN entries USING (key)"
            " WHERE tag = ? AND until > ? ORDER BY stored, key"
        )
        return [(key, Entry(*rest)) for key, *rest in await self._file.read(found, tag, self._clock())]

    async def version(self, tag: str) -> int:
        found = "SELECT coalesce((SELECT version FROM versions WHERE tag = ?), (SELECT version FROM latest), 0)"
        return (await self._file.read(found, tag))[0][0]

    async def forget(self, tag: str) -> int:
        def work(db: sqlite3.Connection) -> int:
            now = self._clock()
            kept = "SELECT count(*) FROM tags JOIN entries USING (key) WHERE tag = ? AND until > ?"
            (count,) = db.execute(kept, (tag, now)).fetchone()
            gone = "(SELECT key FROM tags WHERE tag = ?)"
            tags = {tag for (tag,) in db.execute(f"SELECT DISTINCT tag FROM tags WHERE key IN {gone}", (tag,))}
            db.execute(f"DELETE FROM entries WHERE key IN {gone}", (tag,))
            db.execute(f"DELETE FROM tags WHERE key IN {gone}", (tag,))
            _changed(db, tags)
            return count

        return await self._file.write(work)

    async def switch_off(self, what: str, reason: str) -> None:
        await self._file.write(lambda db: db.execute("REPLACE INTO switches VALUES (?, ?)", (what, reason)))

    async def switch_on(self, what: str) -> None:
        await self._file.write(lambda db: db.execute("DELETE FROM switches WHERE what = ?", (what,)))

    async def switched_off(self, whats: Sequence[str]) -> str | None:
        found = (
            "SELECT reason FROM json_each(?) AS asked JOIN switches ON what = asked.value ORDER BY asked.key LIMIT 1"
        )
        rows = await self._file.read(found, json.dumps(list(whats)))
        return rows[0][0] if rows else None

    def close(self) -> None:
        self._file.close()

    def _tidy(self, db: sqlite3.Connection) -> None:
        now = self._clock()
        _end_leases(db, now)
        oldest = _date(now - DAYS_KEPT * DAY)
        db.execute("DELETE FROM spent WHERE day < ?", (oldest,))
        db.execute("DELETE FROM unsettled WHERE day < ?", (oldest,))
        db.execute("DELETE FROM places WHERE empty <= ?", (now,))
        db.execute("DELETE FROM tags WHERE key IN (SELECT key FROM entries WHERE until <= ?)", (now,))
        db.execute("DELETE FROM entries WHERE until <= ?", (now,))
        # A tag without a row has the latest version, so its number has still only grown.
        db.execute("DELETE FROM versions WHERE tag NOT IN (SELECT tag FROM tags)")


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _today(db: sqlite3.Connection, now: float) -> str:
    """The day of `now`, or the day after where money was set aside on that already: a clock set back opens no day."""
    next_day = _date(now + DAY)
    return next_day if db.execute("SELECT 1 FROM spent WHERE day = ?", (next_day,)).fetchone() else _date(now)


def _take_out(db: sqlite3.Connection, table: str, call: str) -> tuple[str, int, str] | None:
    found = db.execute(f"SELECT day, most, scopes FROM {table} WHERE call = ?", (call,)).fetchone()
    if found:
        db.execute(f"DELETE FROM {table} WHERE call = ?", (call,))
    return found


def _end_leases(db: sqlite3.Connection, now: float) -> None:
    ended = "SELECT call, day, most, scopes FROM reservations WHERE until <= ?"
    for call, day, most, scopes in db.execute(ended, (now,)).fetchall():
        db.execute("DELETE FROM reservations WHERE call = ?", (call,))
        db.execute("REPLACE INTO unsettled VALUES (?, ?, ?, ?)", (call, day, most, scopes))
        db.execute(_CHARGE, (most, most, day, scopes))


def _changed(db: sqlite3.Connection, tags: set[str]) -> None:
    db.execute("INSERT INTO latest VALUES (1, 1) ON CONFLICT DO UPDATE SET version = version + 1")
    db.executemany("REPLACE INTO versions SELECT ?, version FROM latest", [(tag,) for tag in tags])
