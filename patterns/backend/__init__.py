"""What several requests, or several processes, must agree on: rate limits, budgets, cached answers, switches.

By default all of it lives in one SQLite file in the state folder, and every process that shares that folder agrees.
With PATTERNS_REDIS_URL set (for example redis://127.0.0.1:6379/0) it lives in Redis, and every machine that shares the
Redis agrees. Both do the same, and the same tests run against both.

    await default().take("chat tenant/user", limit=20, seconds=60)

A backend that cannot be reached raises CallerError (`store_unwritable`) or ProviderError (`unreachable`): no request
gets past a limit that cannot be read.
"""

import asyncio
import os
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .. import state, store
from ..errors import LimitHit

if TYPE_CHECKING:
    from .redis import Redis

T = TypeVar("T")

DAYS_KEPT = 35  # for how long the figures of a day can be asked for


@dataclass(frozen=True, slots=True)
class Spent:
    """One scope on one day (UTC), in nanodollars. `reserved` is set aside for calls that have not been settled."""

    cap: int | None
    settled: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored value. `stored` is Unix time in seconds; after `fresh` (Unix time) it is only good as a stale answer."""

    value: str
    stored: float
    fresh: float


class Backend(Protocol):
    """Every method is atomic, also between processes. Times are Unix seconds, money is nanodollars."""

    async def take(self, key: str, limit: int, seconds: float) -> float:
        """Take one of `limit` places, each of which comes back `seconds / limit` after the one before it.

        Returns 0.0, or the seconds until there is a place. So `limit` may pass at once, and no more than `limit` in
        `seconds` in the long run. A clock that goes back neither frees places nor keeps anybody waiting.
        """
        ...

    async def set_cap(self, scope: str, most: int | None) -> None:
        """What `scope` may spend a day; None: no cap. "tenant:*" is the cap of each tenant that has none of its own."""
        ...

    async def capped(self, scopes: Sequence[str]) -> str | None:
        """The first of `scopes` that has a cap, of its own or as one of its kind; None while none has."""
        ...

    async def reserve(self, call: str, most: int, scopes: Sequence[str], seconds: float) -> None:
        """Set `most` aside in all `scopes`, or in none. Raises LimitHit (`budget`) where a cap would be passed.

        What is not settled within `seconds` counts as spent, in full; settled later, it is corrected, once. A second
        reservation for the same call changes nothing, and a caller who is cancelled leaves nothing aside.
        """
        ...

    async def settle(self, call: str, spent: int) -> None:
        """Replace what was set aside for `call` by what was spent, on the day on which it was set aside.

        A second settlement changes nothing. It arrives although its caller is cancelled in the meantime.
        """
        ...

    async def spending(self, scope: str, day: str | None = None) -> Spent:
        """The figures of `scope` today, or on `day` (YYYY-MM-DD, UTC)."""
        ...

    async def get(self, key: str) -> Entry | None:
        """What is stored under `key` and has not passed the time for which it is kept."""
        ...

    async def put(
        self, key: str, value: str, fresh_seconds: float, keep_seconds: float, tags: Sequence[str] = ()
    ) -> None:
        """Store `value`. `tags` group entries, for `entries` and `forget`."""
        ...

    async def entries(self, tag: str) -> list[tuple[str, Entry]]:
        """All entries that carry `tag` and are still kept, oldest first, with their keys."""
        ...

    async def version(self, tag: str) -> int:
        """A number that grows whenever an entry with `tag` is stored or forgotten, and at times besides."""
        ...

    async def forget(self, tag: str) -> int:
        """Remove every entry that carries `tag`. Returns how many there were."""
        ...

    async def switch_off(self, what: str, reason: str) -> None:
        """Turn the kill switch of `what` ("all", "feature:chat", "tenant:acme-home") off, for every process."""
        ...

    async def switch_on(self, what: str) -> None: ...

    async def switched_off(self, whats: Sequence[str]) -> str | None:
        """The reason why one of `whats` is switched off; None while none is."""
        ...


# Redis's connections belong to an event loop, so each loop has its own.
_clients: "dict[asyncio.AbstractEventLoop, dict[str, Redis]]" = {}


def default() -> Backend:
    """Redis at PATTERNS_REDIS_URL where that is set, else the file in the state folder."""
    if not (url := os.environ.get("PATTERNS_REDIS_URL")):
        from .sqlite import SQLite

        return store.shared(SQLite, state.file("backend.sqlite3"))
    mine = _clients.get(loop := asyncio.get_running_loop())
    if mine is None:
        for closed in [other for other in _clients if other.is_closed()]:
            del _clients[closed]
        mine = _clients[loop] = {}
    if url not in mine:
        from .redis import Redis

        mine[url] = Redis(url)
    return mine[url]


async def close() -> None:
    """Close this event loop's connections to Redis. Scripts and tests want it; a notebook keeps its loop."""
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(task for task in _kept if task.get_loop() is loop), return_exceptions=True)
    for opened in _clients.pop(loop, {}).values():
        await opened.close()


def over_budget(scope: str, most: int, cap: int, used: int) -> LimitHit:
    """What a reservation of `most` is told that would take `scope` past its cap; `used` is spent or set aside."""
    return LimitHit(
        f"{scope} may spend {_dollars(cap)} a day: {_dollars(used)} of it is spent or set aside, "
        f"and this call may cost {_dollars(most)}.",
        f"Raise the cap with `budgets.cap({scope!r}, dollars)`, or wait until the next day begins, at 00:00 UTC.",
        "budget",
    )


def _dollars(nanodollars: int) -> str:
    return f"${nanodollars / 10**9:,.9f}".rstrip("0").rstrip(".")


_kept: set[asyncio.Task[Any]] = set()


def keep(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start `work` as a task of its own, which lives until it is done: the loop itself keeps no task alive."""
    task = asyncio.create_task(work)
    _kept.add(task)
    task.add_done_callback(_kept.discard)
    return task


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, which goes on to its end when the caller is cancelled."""
    return await asyncio.shield(keep(work))
