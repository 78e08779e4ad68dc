"""A Chroma server of our own: what it holds is found, what it lacks the scan finds, and nobody waits for it long."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from patterns import metrics
from patterns.chunking import whole
from patterns.errors import CallerError, ProviderError
from patterns.events import User
from patterns.forgetting_index import forget
from patterns.index import Index, Report, Scope, chroma_client, vector_store
from tests.test_index import Model, article, found, near

Opening = Callable[..., Index]


class ChromaServer:
    """`chroma run` on a free port of 127.0.0.1, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        binary = Path(sys.executable).with_name("chroma")
        command = [str(binary), "run", "--path", str(self._folder), "--host", "127.0.0.1", "--port", str(self.port)]
        with (self._folder.parent / "chroma.log").open("ab") as log:
            # Its own folder, because the command looks for settings in the one where it runs.
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder.parent)
        until = time.monotonic() + 90
        while True:
            with suppress(httpx.TransportError), httpx.Client(timeout=1, trust_env=False) as http:
                http.get(f"{self.url}/api/v2/heartbeat").raise_for_status()
                return
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self._folder.parent / "chroma.log").read_text()[-2000:])
            time.sleep(0.1)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaServer]:
    server = ChromaServer(tmp_path_factory.mktemp("server") / "data")
    yield server
    server.process.send_signal(signal.SIGCONT)
    server.kill()


@pytest.fixture
async def opened(tmp_path: Path, running: ChromaServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opening]:
    """Opens the index of the test, again and again if need be, with the server or without."""
    monkeypatch.setattr(vector_store, "REST_SECONDS", 0.0)
    indexes: list[Index] = []

    def open_index(folder: str = "index", url: str | None = running.url) -> Index:
        with pytest.MonkeyPatch.context() as environment:
            if url:
                environment.setenv(chroma_client.URL, url)
            indexes.append(Index(tmp_path / folder, Model(), "random-16", scan_rows=0))
        return indexes[-1]

    yield open_index
    for index in indexes:
        index.close()


def failures() -> float:
    return metrics.value("index.chroma_failed")


def keys(index: Index, tenant: str = "acme") -> set[str]:
    return index._folder.chroma.keys(tenant)


def wanted(index: Index, tenant: str = "acme") -> set[str]:
    with index._folder.tenant(tenant) as chunks:
        return set(chunks.keys())


async def sync(index: Index, *numbers: int, **changes: Any) -> Report:
    return await index.sync([article(number, **changes) for number in numbers], whole())


def from_server(index: Index, expected: int) -> None:
    """The server has the say: what is taken from it is not found, and what it is given back is."""
    key = min(wanted(index))
    with index._folder.tenant("acme") as chunks:
        rows = chunks.rows("key", [key])
    index._folder.chroma.remove("acme", [key])
    assert len(near(index)) == expected - 1, "the scan answered"
    index._folder.chroma.put("acme", rows)
    assert len(near(index)) == expected


# the server follows


async def test_the_server_is_asked_and_finds_what_the_scan_finds(opened: Opening) -> None:
    before = failures()
    index = opened()
    report = await sync(index, *range(20))
    assert report.behind == "" and keys(index) == wanted(index)
    assert not (index._folder.path / "chroma").exists()
    scan = Index(index._folder.path, Model(), "random-16")
    assert near(index) == near(scan) and len(near(scan)) == 20
    scan.close()
    from_server(index, 20)
    assert failures() == before


async def test_a_second_process_with_the_same_folder_reads_what_the_first_has_written(opened: Opening) -> None:
    first, second = opened(), opened()
    await sync(first, 1, 2)
    assert near(first) == near(second)
    await sync(first, 2, 3)
    assert sorted(near(second)) == ["doc-2#1", "doc-3#1"]
    from_server(second, 2)


async def test_turning_the_setting_on_and_off_loses_nothing(opened: Opening) -> None:
    files = opened(url=None)
    await sync(files, 1, 2)
    served = opened()
    assert len(near(served)) == 2, "the server is empty, and nobody believes it"
    assert (await sync(served, 1, 2)).embedded == 0
    from_server(served, 2)
    await sync(served, 2, 3)
    assert sorted(near(files)) == sorted(near(served)) == ["doc-2#1", "doc-3#1"]


async def test_indexes_share_a_server_and_nothing_else(opened: Opening) -> None:
    one, other = opened("one"), opened("other")
    await sync(one, 1)
    await sync(other, 2)
    assert near(one) == ["doc-1#1"] and near(other) == ["doc-2#1"]
    from_server(one, 1)
    from_server(other, 1)


async def test_copies_of_a_folder_never_believe_each_others_version(opened: Opening, tmp_path: Path) -> None:
    mine = opened("mine")
    await sync(mine, 1, 2)
    shutil.copytree(tmp_path / "mine", tmp_path / "copy")
    copy = opened("copy")
    assert sorted(near(copy)) == ["doc-1#1", "doc-2#1"]
    await sync(copy, 3)
    assert near(copy) == ["doc-3#1"]
    assert sorted(near(mine)) == ["doc-1#1", "doc-2#1"], "the scan answers for the old version"
    await sync(mine, 3)
    from_server(mine, 1)


async def test_a_writer_that_another_one_has_overtaken_does_not_say_that_it_is_whole(opened: Opening) -> None:
    index = opened()
    await sync(index, 1)
    chroma, there = index._folder.chroma, wanted(index)
    writer = chroma.begin("acme")
    other = chroma.begin("acme")
    chroma.end("acme", writer, index.version("acme"), there)
    assert chroma.version("acme") == ""
    chroma.end("acme", other, index.version("acme"), there | {"one more"})
    assert chroma.version("acme") == ""
    chroma.end("acme", other, index.version("acme"), there)
    assert chroma.version("acme") == index.version("acme")


async def test_a_sync_that_ends_in_the_middle_leaves_the_scan_in_charge(
    opened: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in (None, "server"):
        index = opened(f"cut-{url}", *([None] if url is None else []))
        await sync(index, 1, 2)
        with monkeypatch.context() as patch:
            patch.setattr(index._folder.chroma, "put", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):  # as if it were killed: nothing after this point runs
                await sync(index, 3)
        assert near(index) == ["doc-3#1"]
        with monkeypatch.context() as patch:
            patch.setattr(vector_store, "BATCH", 1)
            await sync(index, 1, 2)  # back to what Chroma had, and has no more
        assert keys(index) == wanted(index) and sorted(near(index)) == ["doc-1#1", "doc-2#1"]


async def test_a_scope_is_applied_by_the_server_as_well(opened: Opening) -> None:
    index = opened()
    secret = article(3, acl=("team:staff",))
    await index.sync([article(1), article(2, lang="de"), secret, article(4, tenant="acme-nord")], whole())
    everybody = frozenset(["public"])
    assert near(index, Scope("acme", everybody, lang="de")) == ["doc-2#1"]
    assert near(index, Scope("acme", everybody), limit=1) != ["doc-3#1"]
    assert sorted(near(index, Scope("acme", everybody))) == ["doc-1#1", "doc-2#1"]
    assert near(index, Scope("acme", frozenset(["team:staff"]))) == ["doc-3#1"]
    assert near(index, Scope("acme-nord", everybody)) == ["doc-4#1"]


async def test_who_is_forgotten_is_gone_from_the_server(opened: Opening, own_state: Path) -> None:
    index = opened("state/index/model")
    await index.sync([article(1, "Written by Ada Lovelace."), article(2)], whole())
    assert len(keys(index)) == 2
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(chroma_client.URL, _url(index))
        assert await forget(User("ada", "acme"), ["Ada Lovelace"]) == ("doc-1",)
    assert keys(index) == set() and near(index) == ["doc-2#1"]


def _url(index: Index) -> str:
    server = index._folder.chroma.server
    assert server
    return f"http://{server.host}:{server.port}"


# the server is away, slow, broken


async def test_while_the_server_is_away_syncs_and_searches_go_on_and_say_why(
    opened: Opening, running: ChromaServer, caplog: pytest.LogCaptureFixture
) -> None:
    index = opened()
    await sync(index, 1, 2)
    running.kill()
    try:
        assert sorted(near(index)) == ["doc-1#1", "doc-2#1"] and found(index)
        report = await sync(index, 2, 3)
        assert report.added == ("doc-3",) and sorted(near(index)) == ["doc-2#1", "doc-3#1"]
        for words in (f"The Chroma server at 127.0.0.1:{running.port} does not answer", "chroma run", "unset"):
            assert words in report.behind and words in caplog.text
        assert len(near(opened())) == 2, "a process that starts meanwhile"
    finally:
        running.start()
    assert sorted(near(index)) == ["doc-2#1", "doc-3#1"]
    assert (await sync(index, 2, 3)).behind == ""
    from_server(index, 2)


async def test_a_server_that_hangs_is_waited_for_once_and_then_left_alone(
    opened: Opening, running: ChromaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = opened()
    await sync(index, 1, 2)
    assert len(near(index)) == 2  # the client is open, so that it is the exchange that hangs
    monkeypatch.setattr(vector_store, "REST_SECONDS", 60.0)
    running.process.send_signal(signal.SIGSTOP)
    try:
        before, started = failures(), time.monotonic()
        assert len(near(index)) == 2 and failures() == before + 1
        assert time.monotonic() - started < 15, "the client waits for ever unless it is told not to"
        assert len(near(index)) == 2 and failures() == before + 1, "it was asked again at once"
        fresh = opened()
        assert len(near(fresh)) == 2 and failures() == before + 2, "a client that is not open yet"
    finally:
        running.process.send_signal(signal.SIGCONT)


async def test_what_answers_in_its_place_need_not_be_chroma(opened: Opening) -> None:
    with socket.socket() as silent:  # it takes connections, and never says a word
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        index = opened(url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        report = await sync(index, 1)
        assert "it took too long" in report.behind and near(index) == ["doc-1#1"]


async def test_a_server_that_has_lost_everything_is_filled_again(opened: Opening) -> None:
    index = opened()
    await sync(index, 1, 2)
    index._folder.chroma.drop("acme")
    assert len(near(index)) == 2, "the scan answers"
    assert (await sync(index, 1, 2)).embedded == 0
    from_server(index, 2)


async def test_too_many_chunks_to_scan_say_so(opened: Opening, running: ChromaServer) -> None:
    index = opened()
    await sync(index, 1, 2)
    index.most_scanned = 1
    assert len(near(index)) == 2, "Chroma answers"
    index._folder.chroma.begin("acme")  # as if a sync were at it
    with pytest.raises(ProviderError, match="too many to scan") as caught:
        near(index)
    assert caught.value.transient and "Start Chroma again" in caught.value.next_step and len(found(index)) == 2


# settings


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "http://", "ftp://x", "http://h:99999", "http://h/path", "http://a:secret@h", "http://h?x"],
)
def test_an_address_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv(chroma_client.URL, url)
    with pytest.raises(CallerError, match=r"http://127\.0\.0\.1:8000") as caught:
        Index(tmp_path / "index", Model(), "random-16")
    assert caught.value.code == "not_set_up" and "secret" not in str(caught.value)


def test_chroma_cloud_needs_a_key_and_no_other_setting_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(chroma_client.KEY, raising=False)
    monkeypatch.setenv(chroma_client.CLOUD, "1")
    with pytest.raises(CallerError, match="CHROMA_API_KEY"):
        chroma_client.of_environment()
    monkeypatch.setenv(chroma_client.KEY, "ck-test")
    server = chroma_client.of_environment()
    assert server and server.cloud and str(server) == "Chroma Cloud"
    monkeypatch.setenv(chroma_client.URL, "http://127.0.0.1:8000")
    with pytest.raises(CallerError, match="both"):
        chroma_client.of_environment()


def test_chroma_cloud_is_reached_with_the_key_of_the_environment(
    running: ChromaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's own cloud client, pointed to the server on this machine: it takes the key and the address."""
    import chromadb

    made: list[Any] = []
    real = chromadb.CloudClient

    def nearby(**options: Any) -> Any:
        made.append(real(**options, cloud_host="127.0.0.1", cloud_port=running.port, enable_ssl=False))
        return made[-1]

    monkeypatch.setattr(chromadb, "CloudClient", nearby)
    monkeypatch.setenv(chroma_client.KEY, "ck-test")
    server = chroma_client.Server("127.0.0.1", running.port, False, cloud=True)
    with chroma_client.trouble(server):
        client = chroma_client.connect(server, 1.0)
    assert client._server.get_request_headers()["x-chroma-token"] == "ck-test"
    chroma_client.close(client)
