"""Forgetting a person in Redis: limits, budgets, and a look at everything that is ours there."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as aioredis

from .erasing import Needles


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[aioredis.Redis]:
    client = aioredis.Redis.from_url(url, decode_responses=True)
    try:
        yield client
    finally:
        await client.aclose()


async def forget(url: str, scope: str, whose: str) -> int:
    """Remove the limits whose key holds `whose`, and the budgets of `scope`. Returns how many there were."""
    async with _connected(url) as client:
        count = int(await client.hdel("patterns:caps", scope))
        async for key in client.scan_iter("patterns:*", count=1_000):
            if key.startswith("patterns:places:") and whose in key:
                count += int(await client.delete(key))
            elif key.startswith("patterns:spent:"):
                count += int(await client.hdel(key, f"settled {scope}", f"reserved {scope}"))
            elif key.startswith("patterns:call:"):
                scopes = json.loads(await client.hget(key, "scopes") or "[]")
                if scope in scopes:  # what runs now is settled for all others that it is charged to
                    await client.hset(key, "scopes", json.dumps([one for one in scopes if one != scope]))
                    count += 1
        if (await client.info("persistence")).get("aof_enabled"):
            await client.bgrewriteaof()  # the log on its disk still holds what was deleted
        return count


async def containing(url: str, wanted: Needles) -> list[tuple[str, str]]:
    """The keys of ours in whose name or value one of `wanted` is, each with the first that is."""
    async with _connected(url) as client:
        keys = [key async for key in client.scan_iter("patterns:*", count=1_000)]
        found = {key: wanted.find(f"{key}\n{await _value(client, key)}".encode()) for key in keys}
    return [(key, what) for key, what in found.items() if what is not None]


async def _value(client: aioredis.Redis, key: str) -> str:
    match await client.type(key):
        case "hash":
            return "\n".join(f"{name}\n{value}" for name, value in (await client.hgetall(key)).items())
        case "zset":
            return "\n".join(map(str, await client.zrange(key, 0, -1)))
        case "string":
            return str(await client.get(key))
        case _:
            return ""
