"""Budgets: what a day may cost, held before the money is spent.

    await budgets.cap("tenant:acme-home", 5.00)      # dollars a day (UTC)
    await budgets.spending("tenant:acme-home")       # cap, settled, reserved

Every model call, whoever makes it, passes `reserved` (see `booking.py`). Before the call, the most that it can cost is
set aside; after it, that is replaced by what it did cost. So a hundred calls at once cannot pass a cap that each of
them saw with room left. What a killed process had set aside counts as spent.
"""

import logging
import math
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote

from . import backend
from .errors import CallerError, LimitHit, PatternsError

log = logging.getLogger(__name__)

NANODOLLARS = 10**9
LEASE_SECONDS = 300.0  # longer than any call takes; what is not settled by then counts as spent


@dataclass(frozen=True, slots=True)
class Spending:
    """Dollars of one scope on one day. `reserved` is set aside for calls that run now."""

    cap: float | None
    settled: float
    reserved: float


async def cap(scope: str, dollars: float | None) -> None:
    """What `scope` may spend a day (UTC), in dollars; None takes the cap away.

    Scopes: "all", "tenant:<name>", "feature:<name>", "user:<tenant>/<id>", and "tenant:*" and so on for each that has
    no cap of its own. Raises CallerError for a sum that is no amount of money.
    """
    if dollars is not None and not 0 <= dollars < math.inf:
        raise CallerError(f"{dollars} is no cap.", "Give dollars a day, from 0 on, or None.", "bad_request")
    await backend.default().set_cap(scope, None if dollars is None else int(dollars * NANODOLLARS))


async def spending(scope: str, day: str | None = None) -> Spending:
    """Today's figures of `scope`, or those of `day` (YYYY-MM-DD, UTC)."""
    found = await backend.default().spending(scope, day)
    return Spending(
        cap=None if found.cap is None else found.cap / NANODOLLARS,
        settled=found.settled / NANODOLLARS,
        reserved=found.reserved / NANODOLLARS,
    )


def scopes(labels: Mapping[str, str]) -> tuple[str, ...]:
    """What a call with these labels (tenant, feature, user) is charged to."""
    named = [("feature", labels["feature"]), ("tenant", labels["tenant"])]
    user = ("user", f"{quote(labels['tenant'], safe='')}/{labels['user']}" if labels["user"] else "")
    return ("all", *(f"{kind}:{name}" for kind, name in (*named, user) if name))


@dataclass(slots=True)
class Bill:
    """`dollars` is what the call will be charged when it ends: at first the most that it can cost."""

    dollars: float


@asynccontextmanager
async def reserved(most: float | None, labels: Mapping[str, str]) -> AsyncGenerator[Bill, None]:
    """Set `most` dollars aside for the block, and charge `bill.dollars` when it ends.

    Raises LimitHit ("budget") when that could pass a cap, and where the price is not known (`most` is None) although
    there is a cap to hold.
    """
    charged = scopes(labels)
    if most is None:
        await _refuse_unpriced(charged)
        most = 0.0
    bill = Bill(most)
    if not most:  # a model that costs nothing
        yield bill
        return
    store, call = backend.default(), uuid.uuid4().hex
    await store.reserve(call, math.ceil(most * NANODOLLARS), charged, LEASE_SECONDS)
    try:
        yield bill
    finally:
        try:
            await store.settle(call, math.ceil(bill.dollars * NANODOLLARS))
        except PatternsError:
            # All that was set aside counts as spent when the lease ends. An answer that was paid for is still served.
            log.exception("A reservation could not be settled.")


async def _refuse_unpriced(charged: Sequence[str]) -> None:
    if scope := await backend.default().capped(charged):
        raise LimitHit(
            f"{scope} has a budget, and the price of this model is not known.",
            "Take the cap away, or choose a model whose price is known.",
            "budget",
        )
