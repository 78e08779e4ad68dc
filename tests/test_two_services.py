"""Two services, as two machines behind a load balancer would run them: they share a store, and behave as one.

Real processes on 127.0.0.1, with one Redis and a state folder each, or with one state folder.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from engines import ENGINES, RedisServer, redis_binary

from patterns import backend, budgets, ledger, models, store
from patterns.cost_control import REQUESTS, SECONDS
from patterns.course import control
from patterns.events import User
from patterns.service.identity import Keys, Person
from tests.conftest import FAST
from tests.service_client import Client

ROOT = Path(__file__).parents[1]
KEY = "two-services-sign-with-the-same-key"
ALICE = User("C-0001", "acme-home")


@dataclass
class Pair:
    """Two services. `environment` is what a third process needs in order to share their store."""

    clients: list[Client]
    processes: "list[subprocess.Popen[str]]"
    states: list[Path]
    environment: dict[str, str]

    def signed_in(self, user: User) -> list[Client]:
        token = Keys([KEY.encode()]).sign(Person(user, "Somebody"))
        return [Client(f"http://{client.host}:{client.port}", token) for client in self.clients]

    def calls(self) -> list[list[ledger.Call]]:
        return [store.shared(ledger.Ledger, state / "ledger.sqlite3").calls() for state in self.states]


@pytest.fixture(scope="module", params=ENGINES)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, acme_library: Path
) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("two")
    control.turn(**FAST)  # of the stand-in's usual key, which the services have
    environment = {"PATTERNS_STANDIN_URL": models.provider().base_url, "PATTERNS_SIGNING_KEY": KEY}
    engine: RedisServer | None = None
    states = [folder / "state"] * 2
    if request.param == "redis":
        (folder / "redis").mkdir()
        engine = RedisServer(redis_binary(), folder / "redis")
        environment["PATTERNS_REDIS_URL"] = engine.url
        states = [folder / "state-1", folder / "state-2"]
    shared = environment | {"PATTERNS_STATE": str(states[0])}
    processes: list[subprocess.Popen[str]] = []
    clients: list[Client] = []
    try:
        for state in states:
            if not state.exists():
                shutil.copytree(acme_library, state)
            command = [sys.executable, "-m", "patterns.serve", "--port", "0"]
            own = {**os.environ, **environment, "PATTERNS_STATE": str(state)}
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=own, cwd=ROOT))
        for process in processes:
            assert process.stdout
            listening = next(found for line in process.stdout if (found := re.search(r"listens at (\S+)\. ", line)))
            clients.append(Client(listening[1]))
        yield Pair(clients, processes, states, shared)
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        if engine:
            engine.kill()
        control.turn()
        store.close_under(folder)


@pytest.fixture
async def pair(running: Pair, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    """The pair, with this process as the third that shares their store."""
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    yield running
    await backend.close()


async def told(client: Client, text: str) -> tuple[int, Any]:
    return await client.told("POST", "/api/support", {"text": text}, {"accept": "application/json"})


async def test_what_one_has_answered_the_other_has_in_its_cache(pair: Pair) -> None:
    one, other = pair.signed_in(ALICE)
    status, first = await told(one, "How long is the warranty?")
    assert status == 200 and first["served"] == "live", first
    before = sum(map(len, pair.calls()))
    status, second = await told(other, "How long is the warranty?")
    assert status == 200 and second["served"] == "cached" and second["text"] == first["text"]
    assert sum(map(len, pair.calls())) == before, "it was paid for twice"


async def test_a_limit_counts_the_requests_of_both(pair: Pair) -> None:
    clients = pair.signed_in(replace(ALICE, id="C-0003"))
    started, accepted = time.monotonic(), [0, 0]
    for number in range(2 * REQUESTS + 1):
        status, said = await told(clients[number % 2], "How long is the warranty?")
        if status == 429:
            break
        assert status == 200, said
        accepted[number % 2] += 1
    back = (time.monotonic() - started) * REQUESTS / SECONDS  # places that have come back meanwhile
    assert sum(accepted) <= REQUESTS + back + 1 and min(accepted) > REQUESTS // 3
    statuses = [(await told(client, "How long is the warranty?"))[0] for client in clients]
    assert 429 in statuses  # one of them may have got a place that has just come back
    assert (await told(pair.signed_in(ALICE)[0], "How long is the warranty?"))[0] == 200


async def test_a_budget_is_held_by_both_together(pair: Pair) -> None:
    scope = "tenant:acme-home"
    before = await budgets.spending(scope)
    one_costs = before.settled / max(1, sum(map(len, pair.calls())))
    cap = before.settled + 12 * one_costs  # a request makes one or two calls and holds the most that each can cost
    calls = [len(mine) for mine in pair.calls()]
    await budgets.cap(scope, cap)
    try:
        people = [pair.signed_in(replace(ALICE, id=f"C-000{number}")) for number in range(4, 8)]
        asked = [
            told(clients[(number + place) % 2], f"How do I return item number {number}{place} that I do not like?")
            for place, clients in enumerate(people)
            for number in range(4)
        ]
        await asyncio.gather(*asked)
        spent = await budgets.spending(scope)
        assert spent.cap is not None and spent.settled <= spent.cap and spent.reserved == 0, spent
        made = [len(mine) - before for mine, before in zip(pair.calls(), calls, strict=True)]
        assert sum(made) > 0
        await budgets.cap(scope, spent.settled)  # not a cent is left
        for number, client in enumerate(pair.signed_in(replace(ALICE, id="C-0009"))):
            status, said = await told(client, f"What is the range of the garden sensor {number}?")
            assert status == 402 or said["served"] != "live", said
        assert (await budgets.spending(scope)).settled == spent.settled
    finally:
        await budgets.cap(scope, None)


async def test_a_switch_stops_both_at_once(pair: Pair) -> None:
    clients = pair.signed_in(replace(ALICE, id="C-0010"))
    for client in clients:
        assert (await told(client, "How long is the warranty?"))[0] == 200
    took: list[float] = []
    for _ in range(3):
        flipped = time.monotonic()
        await backend.default().switch_off("all", "The answers are wrong since noon.")
        answers = await asyncio.gather(*(told(client, "How long is the warranty?") for client in clients))
        took.append(time.monotonic() - flipped)
        assert [status for status, _ in answers] == [503, 503]
        await backend.default().switch_on("all")
        assert [(await told(client, "How long is the warranty?"))[0] for client in clients] == [200, 200]
    assert min(took) < 1


async def test_when_one_is_killed_the_other_goes_on(pair: Pair) -> None:
    clients = pair.signed_in(replace(ALICE, id="C-0011"))
    pair.processes[0].send_signal(signal.SIGKILL)
    pair.processes[0].wait()
    status, said = await told(clients[1], "How long is the warranty?")
    assert status == 200 and said["served"] == "cached"
    status, said = await told(clients[1], "How do I pair a bulb with the hub?")
    assert status == 200 and said["text"]
