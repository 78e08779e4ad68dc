"""A day of a support service in a minute or less: customers come, faults come and go, and the process is killed.

    drill = await load_drill.run(customers=80, seconds=20)
    drill.asked             what each customer saw
    drill_books.check(...)  what the books say afterwards

The service is a process of its own on this process's state folder and provider. It is killed with SIGKILL in the middle
of the day and started again. Only the day is made shorter: what the assistant does with time, such as a breaker that
waits ten seconds, is as it ships.
"""

import asyncio
import atexit
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import budgets, rag, state
from ..events import new_id
from ..service import identity
from . import control
from .customers import HOURS, Asked, Customer, ask, customers
from .drill_process import Service

REST: dict[str, Any] = {"time_to_first_token": 0.05, "tokens_per_second": 2_000}
PATIENCE, AGAIN = 90.0, 1.0  # seconds for which a customer asks anew when the connection breaks, and how often
SAMPLE = 0.5  # seconds between two looks at spending and at the provider's log
KILLED = "killed"  # the phase that begins with the end of the service's process
SUPPORT, CONFIRM = "/api/support", "/api/support/confirm"


@dataclass(frozen=True, slots=True)
class Phase:
    """From the hour `begins` on, the provider is as `dials` say."""

    begins: float
    name: str
    dials: Mapping[str, Any] = field(default_factory=dict)


# The kill comes where calls are long, so that it meets many of them; the outage of all models comes last, since the
# breaker leaves the provider alone for ten seconds afterwards, and in a short day these are hours.
DAY = (
    Phase(0, "all is well"),
    Phase(6, "slow", {"time_to_first_token": 1.5}),
    Phase(8, KILLED),
    Phase(11, "rate limits", {"rate_limited": 0.25, "retry_after": 0.1}),
    Phase(13, "streams break", {"cut_after": 15, "only_first": 8}),
    Phase(15, "large is down", {"outage": ("standin-large",)}),
    Phase(17, "well again"),
    Phase(19, "all are down", {"outage": ("*",)}),
    Phase(22, "afterwards"),
)


@dataclass(slots=True)
class Drill:
    """What happened. Hours are those of the day; `since` and `log` are in Unix time; `spent` is in dollars."""

    customers: Sequence[Customer]
    phases: Sequence[Phase]
    seconds: float
    since: float
    before: float = 0.0  # dollars that all together had been charged when it began
    killed: float = 0.0
    back: float = 0.0
    asked: list[Asked] = field(default_factory=list)
    log: dict[str, dict[str, Any]] = field(default_factory=dict)
    spent: list[tuple[float, str, budgets.Spending]] = field(default_factory=list)

    def phase_of(self, hour: float) -> str:
        return [phase.name for phase in self.phases if phase.begins <= hour][-1]

    def by_phase(self) -> dict[str, list[Asked]]:
        found: dict[str, list[Asked]] = {phase.name: [] for phase in self.phases}
        for one in self.asked:
            found[self.phase_of(one.hour)].append(one)
        return {name: some for name, some in found.items() if some}


async def run(
    customers: int, seconds: float, caps: Mapping[str, float] | None = None, day: Sequence[Phase] = DAY, seed: int = 13
) -> Drill:
    """Run a day in `seconds`. `caps` are set for it, in dollars; they stay. Raises CallerError where it cannot run."""
    return await _Day(customers, seconds, caps or {}, day, seed).run()


class _Day:
    def __init__(self, count: int, seconds: float, caps: Mapping[str, float], day: Sequence[Phase], seed: int) -> None:
        self._caps, self._service = caps, Service()
        self._drill = Drill(customers(count, seed), day, seconds, time.time())
        self._begun = 0.0

    async def run(self) -> Drill:
        import httpx2

        await rag.acme_index()
        drill = self._drill
        for scope, dollars in self._caps.items():
            await budgets.cap(scope, dollars)
        self._turn({})
        await self._service.start()
        await self._warm()
        drill.since, drill.before = time.time(), await charged()
        self._begun = time.monotonic()
        try:
            # Keep-alive is off: a killed server must not be met on an old connection.
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
            async with httpx2.AsyncClient(base_url=self._service.url, trust_env=False, limits=limits) as client:
                beside = [asyncio.ensure_future(work) for work in (self._faults(), self._watch())]
                await asyncio.gather(*(self._visit(client, customer) for customer in drill.customers))
                await beside[0]
                beside[1].cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await beside[1]
        finally:
            self._turn({})
            await self._service.stop()
        drill.asked.sort(key=lambda one: one.hour)
        await self._sample()
        return drill

    async def _warm(self) -> None:
        """One question before the day: a service that has just started loads what it needs with the first one."""
        import httpx2

        first = replace(self._drill.customers[0], number=-1)
        bearer = self._service.keys.sign(identity.Person(first.user))
        async with httpx2.AsyncClient(base_url=self._service.url, trust_env=False) as client:
            await ask(client, SUPPORT, {"text": first.asks[0][1]}, bearer, first, 0.0)

    # time

    def _hour(self) -> float:
        return (time.monotonic() - self._begun) * HOURS / self._drill.seconds

    async def _until(self, hour: float) -> None:
        await asyncio.sleep(max(0.0, (hour - self._hour()) * self._drill.seconds / HOURS))

    # what happens beside the customers

    async def _faults(self) -> None:
        for phase in self._drill.phases:
            await self._until(phase.begins)
            if phase.name == KILLED:
                self._drill.killed = self._hour()
                await self._service.kill()
                self._turn(phase.dials)
                await self._service.start()
                self._drill.back = self._hour()
            else:
                self._turn(phase.dials)
        await self._until(HOURS)

    def _turn(self, dials: Mapping[str, Any]) -> None:
        if control.has_dials():
            control.turn(**{**REST, **dials})

    async def _watch(self) -> None:
        while True:
            await self._sample()
            await asyncio.sleep(SAMPLE)

    async def _sample(self) -> None:
        # The log holds only the latest thousand requests, so it is read again and again.
        for entry in await asyncio.to_thread(control.provider_log):
            if entry["started"] >= self._drill.since:
                self._drill.log[entry["request_id"]] = entry
        for scope in self._caps:
            self._drill.spent.append((self._hour(), scope, await budgets.spending(scope)))

    # a customer

    async def _visit(self, client: Any, customer: Customer) -> None:
        await self._until(customer.begins)
        bearer = self._service.keys.sign(identity.Person(customer.user))
        conversation = new_id("conv")
        for thinks, text in customer.asks:
            await asyncio.sleep(thinks * self._drill.seconds / HOURS)
            end = await self._asked(client, customer, SUPPORT, {"text": text, "conversation": conversation}, bearer)
            if end.token:
                agreed = {"token": end.token, "approved": True}
                await self._asked(client, customer, CONFIRM, agreed, bearer)

    async def _asked(self, client: Any, customer: Customer, path: str, body: dict[str, Any], bearer: str) -> Asked:
        """Ask until there is an end: a customer whose connection breaks tries again."""
        until = time.monotonic() + PATIENCE
        while True:
            one = await ask(client, path, body, bearer, customer, self._hour())
            self._drill.asked.append(one)
            if one.end != "broken" or time.monotonic() > until:
                return one
            await asyncio.sleep(AGAIN)


async def charged() -> float:
    """Dollars that all calls of today have been charged, or that are set aside for them."""
    spending = await budgets.spending("all")
    return spending.settled + spending.reserved


def own_state() -> Path:
    """From now on, this process keeps everything in a new folder, with a copy of the index in it. Its path."""
    index, folder = state.folder() / "index", Path(tempfile.mkdtemp(prefix="patterns-"))
    if index.is_dir():
        shutil.copytree(index, folder / "index")
    os.environ["PATTERNS_STATE"] = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
