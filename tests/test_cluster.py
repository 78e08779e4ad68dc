"""Bulk work on a Dask cluster of our own: real processes on 127.0.0.1, which are killed while they work."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from patterns import budgets, bulk, models, state
from patterns.bulk import run
from patterns.errors import CallerError, ProviderError
from tests.bulk_items import asked, items, noted, troubled
from tests.test_bulk import ROOT, Dial, start, times, trouble

pytest.importorskip("distributed", reason="needs Dask: pip install 'patterns[cluster]'")


class Cluster:
    """A scheduler and two workers. `environment` is what the workers have beside ours."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._folder, self._environment = folder, environment
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        self.workers = [self._worker(), self._worker()]
        _await(lambda: self._log().count("Registered to") >= 2)

    def _worker(self) -> "subprocess.Popen[bytes]":
        # No nanny: the process that we kill is the one that works, and nobody starts it again.
        options = ("--no-nanny", "--nthreads", "2", "--no-dashboard", "--local-directory", str(self._folder))
        return self._start("worker", self.address, "--host", "127.0.0.1", *options)

    def _start(self, what: str, *options: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-W", "ignore", "-m", "dask", what, *options]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        with (self._folder / "dask.log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": path, **self._environment}
            )

    def _log(self) -> str:
        return (self._folder / "dask.log").read_text()

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def _await(true: "object") -> None:
    until = time.monotonic() + 60
    while not true():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path: Path, turn_dials: Dial, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    # The workers ask this process's stand-in, and hold the budgets of its state folder.
    environment = {"PATTERNS_STANDIN_URL": models.provider().base_url, "PATTERNS_STATE": str(state.folder())}
    made = Cluster(tmp_path, **environment)
    monkeypatch.setenv(bulk.VARIABLE, made.address)
    yield made
    with suppress(ProcessLookupError):
        made.close()


async def test_the_cluster_does_what_this_machine_does(cluster: Cluster, tmp_path: Path) -> None:
    seen: list[int] = []
    work = items(tmp_path, 40)
    done = await run(noted, work, tmp_path / "r.sqlite3", progress=lambda done, all: seen.append(done))
    assert {name: value["square"] for name, value in done.results.items()} == {f"item-{n}": n * n for n in range(40)}
    assert seen == list(range(1, 41)) and set(times(tmp_path).values()) == {1}
    pids = {int(line.split()[1]) for line in (tmp_path / "log").read_text().splitlines()}
    assert pids == {worker.pid for worker in cluster.workers}
    assert (await run(noted, work, tmp_path / "r.sqlite3")).resumed == 40

    trials = {how: trouble(tmp_path, how, times) for how, times in {"transient": 2, "final": 99, "caller": 99}.items()}
    done = await run(troubled, trials, tmp_path / "t.sqlite3")
    assert done.results == {"transient": 2}
    assert done.failed == {
        "final": "It is refused. Ask for something else.",
        "caller": "It is too long. Shorten it.",
    }
    done = await run(troubled, {"a": trouble(tmp_path, "limit", 1)}, tmp_path / "l.sqlite3")
    assert done.left == ("a",) and done.stopped == "tenant:a may spend $1 a day. Wait until tomorrow."

    # Budgets hold across the workers, and what was left goes on.
    texts = {str(n): {"text": f"A text about parcels, number {n}.", "tenant": "acme-home"} for n in range(24)}
    await run(asked, {"0": texts["0"]}, tmp_path / "one.sqlite3")
    await budgets.cap("tenant:acme-home", (await budgets.spending("tenant:acme-home")).settled * 10)
    done = await run(asked, texts, tmp_path / "b.sqlite3")
    spent = await budgets.spending("tenant:acme-home")
    assert spent.cap is not None and 0 < spent.settled <= spent.cap and done.left and done.results
    await budgets.cap("tenant:acme-home", None)
    assert len((await run(asked, texts, tmp_path / "b.sqlite3")).results) == 24


async def test_a_worker_that_is_killed_loses_nothing(cluster: Cluster, tmp_path: Path) -> None:
    def kill(done: int, all: int) -> None:
        if done == 10:
            cluster.workers[0].send_signal(signal.SIGKILL)

    done = await run(noted, items(tmp_path, 60, 0.05), tmp_path / "r.sqlite3", progress=kill)
    assert len(done.results) == 60 and not done.failed
    assert set(times(tmp_path)) == set(range(60)) and sum(times(tmp_path).values()) <= 60 + 2


async def test_a_driver_that_is_killed_goes_on_where_it_was(cluster: Cluster, tmp_path: Path) -> None:
    environment = {bulk.VARIABLE: cluster.address, "PATTERNS_STANDIN_URL": models.provider().base_url}
    process = start(tmp_path, 120, **environment)
    assert process.stdout
    for number, _ in enumerate(process.stdout):
        if number == 20:
            process.kill()
            break
    process.wait()
    process.stdout.close()
    process = start(tmp_path, 120, **environment)
    told, _ = process.communicate(timeout=100)
    assert '"results": 120' in told and '"resumed": 0' not in told
    assert set(times(tmp_path)) == set(range(120))


async def test_a_scheduler_that_dies_ends_the_run_and_keeps_what_is_done(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(done: int, all: int) -> None:
        if done == 10:
            cluster.scheduler.kill()

    work = items(tmp_path, 60, 0.05)
    with pytest.raises(ProviderError, match=r"is gone\. Start it again") as caught:
        await run(noted, work, tmp_path / "r.sqlite3", progress=kill)
    assert caught.value.code == "cluster_lost"
    monkeypatch.delenv(bulk.VARIABLE)
    done = await run(noted, work, tmp_path / "r.sqlite3")
    assert len(done.results) == 60 and done.resumed >= 10


async def test_workers_with_other_settings_are_refused(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_STATE", str(tmp_path / "another"))
    with pytest.raises(CallerError, match="has other budgets") as caught:
        await run(noted, items(tmp_path, 3), tmp_path / "r.sqlite3")
    assert caught.value.code == "not_set_up" and not times(tmp_path)


async def test_a_cluster_that_is_away_says_so(
    tmp_path: Path, turn_dials: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patterns.cluster.CONNECT_SECONDS", 0.3)
    for address in ("tcp://127.0.0.1:9", "no address"):
        monkeypatch.setenv(bulk.VARIABLE, address)
        with pytest.raises(ProviderError, match="dask scheduler") as caught:
            await run(noted, items(tmp_path, 3), tmp_path / "r.sqlite3")
        assert caught.value.code == "unreachable"
