"""Bulk work: every item ends somewhere, a killed run loses nothing and doubles nothing, and budgets hold."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from patterns import budgets, bulk, bulk_jobs, chunking, evals, ledger
from patterns.bulk import Results, run
from patterns.errors import CallerError
from patterns.index import Index
from tests import bulk_items
from tests.bulk_items import asked, items, noted, troubled
from tests.test_index import article, found

Dial = Callable[..., None]
ROOT = Path(__file__).parents[1]


def times(folder: Path) -> Counter[int]:
    """How often each item was done."""
    lines = (folder / "log").read_text().splitlines() if (folder / "log").exists() else []
    return Counter(int(line.split()[0]) for line in lines)


def trouble(folder: Path, how: str, often: int) -> dict[str, Any]:
    return {"how": how, "times": often, "log": str(folder / f"{how}-{often}")}


# on this machine


async def test_every_item_has_its_result_and_progress_counts_up(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    done = await run(noted, items(tmp_path, 30), tmp_path / "r.sqlite3", progress=lambda *told: seen.append(told))
    assert {name: value["square"] for name, value in done.results.items()} == {f"item-{n}": n * n for n in range(30)}
    assert list(done.results) == [f"item-{n}" for n in range(30)]
    assert (done.failed, done.left, done.stopped, done.resumed) == ({}, (), "", 0)
    assert seen == [(number, 30) for number in range(1, 31)]


async def test_no_more_at_a_time_than_asked_for(tmp_path: Path) -> None:
    started = time.perf_counter()
    await run(noted, items(tmp_path, 8, 0.05), tmp_path / "r.sqlite3", at_once=2)
    assert time.perf_counter() - started >= 4 * 0.05


async def test_a_second_run_does_only_what_is_new_or_has_changed(tmp_path: Path) -> None:
    file, work = tmp_path / "r.sqlite3", items(tmp_path, 5)
    await run(noted, work, file)
    work |= {"item-5": {**work["item-0"], "number": 5}, "item-1": {**work["item-1"], "number": 11}}
    done = await run(noted, work, file)
    assert done.resumed == 4 and done.results["item-1"] == {"square": 121} and len(done.results) == 6
    assert times(tmp_path) == {0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 11: 1}


async def test_what_fails_for_the_moment_is_tried_again_and_what_fails_for_good_stops_nobody(tmp_path: Path) -> None:
    work = {
        "soon": trouble(tmp_path, "transient", 2),
        "never": trouble(tmp_path, "transient", 99),
        "refused": trouble(tmp_path, "final", 99),
        "long": trouble(tmp_path, "caller", 99),
        "well": trouble(tmp_path, "transient", 0),
    }
    done = await run(troubled, work, tmp_path / "r.sqlite3")
    assert done.results == {"soon": 2, "well": 0} and not done.left
    assert done.failed == {
        "never": "Too busy. Wait.",
        "refused": "It is refused. Ask for something else.",
        "long": "It is too long. Shorten it.",
    }
    assert (tmp_path / "transient-99").read_text() == "x" * bulk.TRIES
    assert (tmp_path / "final-99").read_text() == (tmp_path / "caller-99").read_text() == "x"
    again = await run(troubled, work, tmp_path / "r.sqlite3")  # what failed is tried again, what is done is not
    assert again.resumed == 2 and (tmp_path / "final-99").read_text() == "xx"


async def test_a_limit_leaves_the_rest_for_another_run(tmp_path: Path) -> None:
    work = {str(n): trouble(tmp_path, "limit" if n == 2 else "transient", n == 2) for n in range(5)}
    done = await run(troubled, work, tmp_path / "r.sqlite3", at_once=1)
    assert list(done.results) == ["0", "1"] and done.left == ("2", "3", "4") and not done.failed
    assert done.stopped == "tenant:a may spend $1 a day. Wait until tomorrow."
    done = await run(troubled, work, tmp_path / "r.sqlite3", at_once=1)
    assert len(done.results) == 5 and not done.left and done.resumed == 2


async def test_a_fault_in_a_job_ends_the_run_and_keeps_what_is_done(tmp_path: Path) -> None:
    work = {**items(tmp_path, 3), "broken": {"log": str(tmp_path / "log")}}
    with pytest.raises(ExceptionGroup):
        await run(noted, work, tmp_path / "r.sqlite3", at_once=1)
    del work["broken"]
    assert (await run(noted, work, tmp_path / "r.sqlite3")).resumed == 3


async def test_a_file_has_one_job_and_one_run_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "r.sqlite3"
    await run(noted, items(tmp_path, 1), file)
    with pytest.raises(CallerError, match="holds the results of"):
        await run(troubled, {}, file)
    held = Results(file, f"{noted.__module__}:{noted.__qualname__}")
    with pytest.raises(CallerError) as caught:
        await run(noted, {}, file)
    held.close()
    assert caught.value.code == "bulk_busy"
    (tmp_path / "no-folder").write_text("")
    with pytest.raises(CallerError) as caught:
        await run(noted, {}, tmp_path / "no-folder" / "r.sqlite3")
    assert caught.value.code == "store_unwritable"


async def test_other_models_are_other_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await run(noted, items(tmp_path, 1), tmp_path / "r.sqlite3")
    monkeypatch.setenv("PATTERNS_MODEL_SMALL", "another")
    assert (await run(noted, items(tmp_path, 1), tmp_path / "r.sqlite3")).resumed == 0


def start(folder: Path, count: int, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, bulk_items.__file__, str(folder), str(count)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    # Its own stand-in would take its time: nothing of it is asked.
    more = {"PYTHONPATH": path, "PATTERNS_STANDIN_URL": "http://127.0.0.1:9/v1", **environment}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **more})


def test_a_run_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    chance, count, kills = random.Random(5), 150, 0
    while True:
        process = start(tmp_path, count)
        assert process.stdout
        last = 0
        stop = chance.randint(5, 40)
        for number, line in enumerate(process.stdout, start=1):
            if kills < 4 and number == stop:
                process.kill()
                kills += 1
                break
            last = line.strip()
        process.wait()
        process.stdout.close()
        if process.returncode == 0:
            break
    assert kills == 4
    told = json.loads(str(last))
    assert told["results"] == count and told["resumed"] > 0
    done = times(tmp_path)
    assert set(done) == set(range(count)), "lost"
    # At most the four items that a killed process was at are done once more; each has one result.
    assert sum(done.values()) - count <= 4 * kills


# what the course does in bulk


async def test_budgets_hold_and_the_rest_is_left(tmp_path: Path, turn_dials: Dial) -> None:
    work = {str(n): {"text": f"A text about parcels, number {n}.", "tenant": "acme-home"} for n in range(40)}
    await run(asked, {"0": work["0"]}, tmp_path / "first.sqlite3")
    one = (await budgets.spending("tenant:acme-home")).settled
    assert one > 0
    await budgets.cap("tenant:acme-home", one * 12)
    done = await run(asked, work, tmp_path / "r.sqlite3", at_once=8)
    spent = await budgets.spending("tenant:acme-home")
    assert spent.cap is not None and spent.settled <= spent.cap and spent.reserved == 0
    assert done.left and done.results and not done.failed and "tenant:acme-home may spend" in done.stopped
    await budgets.cap("tenant:acme-home", None)
    done = await run(asked, work, tmp_path / "r.sqlite3", at_once=8)
    assert len(done.results) == 40 and done.resumed > 0 and not done.left


async def test_many_tickets_are_sorted(tmp_path: Path, turn_dials: Dial) -> None:
    work = {
        "T-1": {"text": "Smoke comes out of the plug, and my hand hurts!", "user": "C-0001", "tenant": "acme-home"},
        "T-2": {"text": "Please cancel my order.", "user": "C-0002", "tenant": "acme-home"},
    }
    done = await run(bulk_jobs.triage, work, tmp_path / "r.sqlite3")
    assert set(done.results["T-1"]) >= {"category", "priority", "served", "cost_usd"} and len(done.results) == 2
    assert {call.tenant for call in ledger.default().calls()} == {"acme-home"}


async def test_an_eval_suite_says_what_the_ordinary_run_says(
    tmp_path: Path, turn_dials: Dial, with_library: Path
) -> None:
    from patterns import complete_assistant

    cases = evals.load("evals")[:3]
    work = {case.id: {"suite": "evals", "case": case.id, "through": "rag"} for case in cases}
    done = await run(bulk_jobs.evaluate, work, tmp_path / "r.sqlite3")
    ordinary = await evals.run(complete_assistant.build("rag"), cases)
    assert not done.failed
    assert [value["reason"] for value in done.results.values()] == [one.reason for one in ordinary]
    with pytest.raises(CallerError, match="has no case"):
        await bulk_jobs.evaluate({"suite": "evals", "case": "none"})


async def test_ingestion_embeds_in_bulk_and_the_sync_asks_nothing(tmp_path: Path, turn_dials: Dial) -> None:
    from patterns import calls

    source = [article(number) for number in range(300)]
    index = Index(tmp_path / "index", calls.embed, "standin-embed-test")
    done, report = await bulk_jobs.ingest(index, source, chunking.whole(), tmp_path / "r.sqlite3")
    assert report and report.embedded == 0 and len(report.added) == 300 and len(done.results) == 3
    assert len(found(index)) == 300
    done, report = await bulk_jobs.ingest(index, [*source, article(300)], chunking.whole(), tmp_path / "r.sqlite3")
    assert report and report.added == ("doc-300",) and report.embedded == 0
    index.close()


async def test_ingestion_without_money_leaves_the_index_as_it_was(tmp_path: Path, turn_dials: Dial) -> None:
    from patterns import calls

    index = Index(tmp_path / "index", calls.embed, "standin-embed-test")
    await budgets.cap("feature:ingest", 0.0)
    done, report = await bulk_jobs.ingest(index, [article(1)], chunking.whole(), tmp_path / "r.sqlite3")
    assert report is None and done.left and found(index) == []
    index.close()
