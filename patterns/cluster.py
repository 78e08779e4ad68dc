"""Jobs on a Dask cluster: `dask scheduler` on one machine, and `dask worker tcp://host:8786` on each.

Dask comes with `pip install "patterns[cluster]"`. It places the jobs, and gives those of a worker that dies to another.
Each worker needs this package in the same version, and in its own environment the same settings as here: the provider,
its key, and PATTERNS_REDIS_URL (or, on one machine, the same PATTERNS_STATE). Whether it shares our budgets is asked
before the first job.

A scheduler runs whatever reaches it, so it belongs on a private network, or behind Dask's own TLS settings.
"""

import asyncio
import hashlib
import os
import socket
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any

from . import models, state
from .errors import CallerError, LimitHit, PatternsError, ProviderError

Job = Callable[[Any], Awaitable[Any]]
CONNECT_SECONDS = 10.0
KINDS: dict[str, type[PatternsError]] = {
    kind.__name__: kind for kind in (PatternsError, CallerError, ProviderError, LimitHit)
}


@asynccontextmanager
async def opened(address: str, job: Job) -> AsyncGenerator[tuple[Job, int], None]:
    """`job` as the cluster at `address` does it, and how many threads that has.

    Raises CallerError (`not_set_up`) and ProviderError (`unreachable`).
    """
    try:
        from distributed import Client
    except ImportError:
        raise CallerError(
            "PATTERNS_DASK is set, and Dask is not installed.", 'Run: pip install "patterns[cluster]"', "not_set_up"
        ) from None
    client: Any = Client(address, asynchronous=True, timeout=CONNECT_SECONDS, set_as_default=False)
    try:
        try:
            await client
        except (OSError, TimeoutError, ValueError) as error:
            raise _away(address, str(error)) from error
        threads: int = sum((await client.nthreads()).values())
        if not threads:
            raise _away(address, "it has no worker")
        _refuse_other_settings(await client.run(settings))
        yield partial(_on_cluster, client, address, job), threads
    finally:
        await client.close()


async def _on_cluster(client: Any, address: str, job: Job, item: Any) -> Any:
    from distributed import KilledWorker

    # pure=False: the same item twice is two jobs. A worker that dies costs no try of ours; three of them do.
    future = client.submit(here, job, item, pure=False)
    try:
        told = await _result(future, client)
    except KilledWorker as error:
        raise ProviderError(
            f"The workers that were given this item died: {str(error)[:200]}.",
            "Look at their logs and their memory, and run it again.",
            "worker_died",
            transient=False,
        ) from error
    except _Lost:
        raise ProviderError(
            f"The Dask scheduler at {address} is gone.",
            "Start it again and run the same once more: what is done is kept.",
            "cluster_lost",
            transient=False,
        ) from None
    if "result" in told:
        return told["result"]
    kind = KINDS[told.pop("kind")]
    raise kind(**told)


class _Lost(Exception):
    pass


async def _result(future: Any, client: Any) -> Any:
    from distributed.client import FutureCancelledError

    try:
        return await future
    except (FutureCancelledError, asyncio.CancelledError):
        if client.status != "running" or future.cancelled():
            raise _Lost from None
        raise
    except OSError:  # the connection broke while the result came
        raise _Lost from None


def here(job: Job, item: Any) -> dict[str, Any]:
    """On a worker: do one job. Errors of ours travel as what they were made of: they cannot be pickled."""
    return asyncio.run_coroutine_threadsafe(_told(job, item), _loop()).result()


async def _told(job: Job, item: Any) -> dict[str, Any]:
    try:
        return {"result": await job(item)}
    except PatternsError as error:
        fields = {name: getattr(error, name) for name in ("message", "next_step", "code")}
        fields |= {name: getattr(error, name) for name in ("transient", "retry_after") if hasattr(error, name)}
        kind = next(name for name, kind in reversed(KINDS.items()) if isinstance(error, kind))
        return {"kind": kind, **fields}


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One loop for all jobs of a worker process, so that they share their connections."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="patterns jobs", daemon=True).start()
    return loop


def settings() -> dict[str, str]:
    """What every process of a run must agree on. The address of a Redis travels as a hash: it may hold a password."""
    url = os.environ.get("PATTERNS_REDIS_URL", "")
    books = (
        f"redis {hashlib.sha256(url.encode()).hexdigest()[:12]}" if url else f"{socket.gethostname()}:{state.folder()}"
    )
    chosen = models.provider()
    return {"budgets": books, "provider": chosen.name, "models": ", ".join(t.model for t in chosen.tiers.values())}


def _refuse_other_settings(told: dict[str, dict[str, str]]) -> None:
    mine = settings()
    for worker, theirs in told.items():
        if other := [name for name in mine if mine[name] != theirs[name]]:
            raise CallerError(
                f"The worker at {worker} has other {' and '.join(other)} than this process.",
                "Start it with the same PATTERNS_PROVIDER, and PATTERNS_REDIS_URL or PATTERNS_STATE, as here.",
                "not_set_up",
            )


def _away(address: str, why: str) -> ProviderError:
    return ProviderError(
        f"The Dask cluster at {address} cannot be used: {why[:200] or 'it does not answer'}.",
        "Start `dask scheduler` and a `dask worker` there, or unset PATTERNS_DASK to work on this machine.",
        "unreachable",
        transient=True,
    )
