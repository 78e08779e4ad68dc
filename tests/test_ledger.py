"""The ledger: nothing lost, nothing counted twice, and one sentence when its file cannot be used."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from patterns.errors import CallerError
from patterns.ledger import Ledger, total

CALL: dict[str, Any] = {
    "trace_id": "t",
    "feature": "chat",
    "tenant": "acme-home",
    "user": "C-0001",
    "provider": "standin",
    "model": "m",
    "tier": "large",
}


@pytest.fixture
def book(tmp_path: Path):
    opened = Ledger(tmp_path / "ledger.sqlite3")
    yield opened
    opened.close()


def test_a_call_is_open_until_it_is_settled_once(book: Ledger) -> None:
    call_id = book.begin(**CALL)
    assert book.calls()[0].outcome == "open"
    book.settle(call_id, outcome="done", output_tokens=5, cost_usd=0.25, estimated=False)
    book.settle(call_id, outcome="done", output_tokens=500, cost_usd=25.0, estimated=False)
    (call,) = book.calls(trace_id="t")
    assert (call.outcome, call.output_tokens, call.cost_usd, call.estimated) == ("done", 5, 0.25, False)
    assert total(book.calls()) == 0.25


def test_an_unknown_price_stays_unknown(book: Ledger) -> None:
    book.settle(book.begin(**CALL), outcome="done", cost_usd=None)
    assert book.calls()[0].cost_usd is None and total(book.calls()) == 0


def test_calls_since_a_moment(book: Ledger) -> None:
    book.begin(**CALL)
    assert book.calls(since=time.time() + 1) == [] and len(book.calls(since=time.time() - 60)) == 1


def test_threads_and_two_ledgers_on_one_file_lose_nothing(book: Ledger, tmp_path: Path) -> None:
    other = Ledger(book.path)

    def work(target: Ledger) -> None:
        for _ in range(50):
            target.settle(target.begin(**CALL), outcome="done", cost_usd=1.0)

    threads = [threading.Thread(target=work, args=(target,)) for target in (book, other) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total(book.calls()) == 400 and {call.outcome for call in other.calls()} == {"done"}
    other.close()


def test_many_processes_may_open_a_fresh_file_at_once(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\nfrom patterns.ledger import Ledger\n"
        "for n in range(10): Ledger(pathlib.Path(sys.argv[1]) / f'{n}.sqlite3').close()"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(5)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 5


def test_a_killed_process_leaves_its_call_in_the_book(tmp_path: Path) -> None:
    path = tmp_path / "killed.sqlite3"
    code = (
        "import os, signal, sys, pathlib\nfrom patterns.ledger import Ledger\n"
        f"book = Ledger(pathlib.Path({str(path)!r}))\n"
        f"for n in range(20): book.settle(book.begin(**{CALL!r}), outcome='done', cost_usd=1.0)\n"
        f"book.begin(**{CALL!r})\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    ran = subprocess.run([sys.executable, "-c", code], timeout=60)
    assert ran.returncode == -9
    survivor = Ledger(path)
    outcomes = [call.outcome for call in survivor.calls()]
    survivor.close()
    assert outcomes == ["done"] * 20 + ["open"]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(CallerError) as caught:
        Ledger(tmp_path / "state" / "ledger.sqlite3")
    assert caught.value.code == "store_unwritable" and "PATTERNS_STATE" in caught.value.next_step


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    path.write_text("this is not a database, it only has its name " * 100)
    with pytest.raises(CallerError, match="not a database"):
        Ledger(path)
    assert path.read_text().startswith("this is not")  # nothing of the user's is overwritten


def test_a_full_disk_refuses_the_call_before_it_is_made(book: Ledger) -> None:
    book._db.execute(f"PRAGMA max_page_count = {book._db.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(CallerError, match="full"):
        for _ in range(10_000):
            book.begin(**CALL)
    assert all(call.outcome == "open" for call in book.calls())


def test_the_state_folder_is_where_the_environment_says(own_state: Path) -> None:
    from patterns import ledger

    ledger.default().begin(**CALL)
    with sqlite3.connect(own_state / "ledger.sqlite3") as db:
        assert db.execute("SELECT count(*) FROM calls").fetchone() == (1,)
    db.close()
    assert os.environ["PATTERNS_STATE"] == str(own_state)
