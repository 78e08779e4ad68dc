"""The backend of many machines: one Redis, and one clock, which is Redis's own.

Whatever must be atomic is a Lua script, which Redis runs as a whole (see `scripts.py`). Nothing is sent twice: when no
answer comes, it is not known whether the script has run, and the request fails. Configure that Redis to keep what it
has (`appendonly yes`, `maxmemory-policy noeviction`), else budgets are forgotten with it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import date
from typing import Any

import redis.asyncio as aioredis
from redis.exceptions import AuthenticationError, ConnectionError, RedisError, TimeoutError

from ..errors import CallerError, PatternsError, ProviderError
from . import DAYS_KEPT, Entry, Spent, finish, keep, over_budget, scripts

WAIT_SECONDS = 2.0  # for the whole of an exchange, connecting included
CONNECTIONS = 16  # enough to keep one Redis busy
EPOCH = date(1970, 1, 1).toordinal()


class Redis:
    """The backend at `url`, for one event loop. Every method raises ProviderError (`unreachable`) and CallerError.

    Each exchange is a task of its own, which a cancelled caller leaves alone: a settlement has to arrive, and a client
    that is torn out of an exchange may lose its connection for good.
    """

    def __init__(self, url: str, clock: Callable[[], float] | None = None) -> None:
        try:
            pool = aioredis.BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=None,  # the waiting is bounded in `_exchange`, as a whole
                socket_timeout=None,
                decode_responses=True,
            )
        except ValueError:  # it may show a part of the password
            raise CallerError(
                "PATTERNS_REDIS_URL is not the address of a Redis.",
                "Write it like redis://127.0.0.1:6379/0.",
                "not_set_up",
            ) from None
        self._redis, self._clock = aioredis.Redis(connection_pool=pool), clock
        at = pool.connection_kwargs  # without the password
        self._where = at.get("path") or f"{at.get('host', 'localhost')}:{at.get('port', 6379)}"
        self._scripts = {name: self._redis.register_script(text) for name, text in scripts.ALL.items()}

    async def take(self, key: str, limit: int, seconds: float) -> float:
        return float(await finish(self._script("take", key, limit, seconds)))

    async def set_cap(self, scope: str, most: int | None) -> None:
        if most is None:
            await finish(self._exchange(self._redis.hdel, "patterns:caps", scope))
        else:
            await finish(self._exchange(self._redis.hset, "patterns:caps", scope, str(most)))

    async def capped(self, scopes: Sequence[str]) -> str | None:
        if not scopes:
            return None
        asked = [name for scope in scopes for name in (scope, f"{scope[: scope.find(':') + 1]}*")]
        found = await finish(self._exchange(self._redis.hmget, "patterns:caps", asked))
        return next((scope for scope, *caps in zip(scopes, found[::2], found[1::2], strict=True) if any(caps)), None)

    async def reserve(self, call: str, most: int, scopes: Sequence[str], seconds: float) -> None:
        asked = json.dumps(list(dict.fromkeys(scopes)))
        making = keep(self._script("reserve", call, most, asked, seconds, DAYS_KEPT * 86400))
        try:
            refused = await asyncio.shield(making)
        except asyncio.CancelledError:
            keep(self._undo(making, call))
            raise
        if refused:
            scope, cap, used = refused
            raise over_budget(scope, most, int(cap), int(used))

    async def _undo(self, making: asyncio.Task[Any], call: str) -> None:
        with suppress(PatternsError):
            await making
            await self._script("settle", call, 0)

    async def settle(self, call: str, spent: int) -> None:
        await finish(self._script("settle", call, spent))

    async def spending(self, scope: str, day: str | None = None) -> Spent:
        number = "" if day is None else date.fromisoformat(day).toordinal() - EPOCH
        cap, settled, reserved = await finish(self._script("spending", scope, number))
        return Spent(None if cap is None else int(cap), int(settled), int(reserved))

    async def get(self, key: str) -> Entry | None:
        found = await finish(self._exchange(self._redis.hmget, f"patterns:entry:{key}", ["value", "stored", "fresh"]))
        value, stored, fresh = found
        return None if value is None else Entry(value, float(stored), float(fresh))

    async def put(
        self, key: str, value: str, fresh_seconds: float, keep_seconds: float, tags: Sequence[str] = ()
    ) -> None:
        await finish(self._script("put", key, value, fresh_seconds, keep_seconds, json.dumps(list(tags))))

    async def entries(self, tag: str) -> list[tuple[str, Entry]]:
        found = [
            (key, Entry(value, float(stored), float(fresh)))
            for key, value, stored, fresh in await finish(self._script("entries", tag))
        ]
        return sorted(found, key=lambda pair: (pair[1].stored, pair[0]))

    async def version(self, tag: str) -> int:
        own, latest = await finish(self._exchange(self._redis.mget, f"patterns:version:{tag}", "patterns:version"))
        return int(own or latest or 0)

    async def forget(self, tag: str) -> int:
        return int(await finish(self._script("forget", tag)))

    async def switch_off(self, what: str, reason: str) -> None:
        await finish(self._exchange(self._redis.hset, "patterns:switches", what, reason))

    async def switch_on(self, what: str) -> None:
        await finish(self._exchange(self._redis.hdel, "patterns:switches", what))

    async def switched_off(self, whats: Sequence[str]) -> str | None:
        if not whats:
            return None
        found = await finish(self._exchange(self._redis.hmget, "patterns:switches", list(whats)))
        return next((reason for reason in found if reason is not None), None)

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    def _script(self, name: str, *values: Any) -> Coroutine[Any, Any, Any]:
        # Redis tells the time, so that machines whose clocks differ agree. A test may bring its own clock.
        now = "" if self._clock is None else self._clock()
        return self._exchange(self._scripts[name], args=[now, *values])

    async def _exchange(self, command: Callable[..., Awaitable[Any]], *values: Any, **named: Any) -> Any:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await command(*values, **named)
        except AuthenticationError as error:
            raise self._refused(error) from error
        except (ConnectionError, TimeoutError, OSError) as error:
            raise ProviderError(
                f"The Redis at {self._where} does not answer: {error or 'it took too long'}.",
                "Start it again, or unset PATTERNS_REDIS_URL to use a file on this machine.",
                "unreachable",
                transient=True,
            ) from error
        except RedisError as error:
            raise self._refused(error) from error

    def _refused(self, error: RedisError) -> CallerError:
        return CallerError(
            f"The Redis at {self._where} refuses: {error}.",
            "Look at its memory and its disk, and at the password and rights in PATTERNS_REDIS_URL.",
            "store_unwritable",
        )
