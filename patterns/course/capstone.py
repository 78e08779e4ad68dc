"""The capstone: every promise tried on the learner's assistant, and what is to be read where one is not kept.

    await examine(repaired)     # `repaired()` returns a handler

It needs the stand-in, since no hosted model fails on request.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .. import caching
from ..errors import CallerError, PatternsError
from . import control, promises
from .promises import Build
from .witness import Broken

PATIENCE = 90.0  # seconds for one promise, on a slow machine


@dataclass(frozen=True, slots=True)
class Promise:
    """`where` is the notebook and the section to read."""

    says: str
    where: str
    check: Callable[[Build], Awaitable[None]]


PROMISES = (
    Promise("answers, and is not paid twice", "07_caching.ipynb, Worked example", promises.answers),
    Promise("keeps readers apart", "07_caching.ipynb, Watch out for", promises.keeps_apart),
    Promise("holds its limit in a crowd", "08_cost_control.ipynb, Why it matters", promises.holds_the_limit),
    Promise("survives an outage", "12_fallbacks.ipynb, Watch out for", promises.survives_an_outage),
    Promise("mends a broken stream", "01_streaming_ux.ipynb, Worked example", promises.mends_a_broken_stream),
    Promise("stops a model that runs away", "05_agent_loop.ipynb, Worked example", promises.stops_a_runaway),
    Promise("cannot be talked round", "11_safety_privacy.ipynb, Worked example", promises.is_not_talked_round),
    Promise("knows where a document ends", "11_safety_privacy.ipynb, Worked example", promises.keeps_documents_apart),
    Promise("stops when told", "01_streaming_ux.ipynb, Worked example", promises.stops),
)


async def examine(build: Build) -> tuple[list[str], int]:
    """Try every promise on a fresh `build()`. Returns a report, one line a promise, and how many were not kept.

    Raises CallerError where the provider is not the stand-in.
    """
    if not control.has_dials():
        raise CallerError("The capstone needs the stand-in's faults.", "Set PATTERNS_PROVIDER=standin.", "not_set_up")
    lines: list[str] = []
    missed = 0
    for promise in PROMISES:
        if reason := await broken_by(promise, build):
            missed += 1
            lines += [f"  broken  {promise.says}: {reason}", f"          Read {promise.where}."]
        else:
            lines.append(f"  kept    {promise.says}")
    return lines, missed


async def broken_by(promise: Promise, build: Build) -> str:
    """Why the promise is not kept, or an empty text."""
    for tenant in ("acme-home", "acme-kitchen"):
        await caching.forget(tenant)
    try:
        with control.dials(**promises.FAST):
            async with asyncio.timeout(PATIENCE):
                await promise.check(build)
    except Broken as reason:
        return str(reason)
    except NotImplementedError:
        return "the function still raises NotImplementedError."
    except TimeoutError:
        return f"it had not ended after {PATIENCE:g} seconds."
    except PatternsError as error:
        return f"the reader saw an exception, {type(error).__name__} ({error.code}), and no last event."
    except Exception as error:
        return f"it raised {type(error).__name__}: {error}"
    return ""
