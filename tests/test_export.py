"""An exported folder: what it holds, what is refused, and that it runs by itself in another process."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from patterns import export, own_evals, tool_source
from patterns import your_own_assistant as own
from patterns.errors import CallerError
from patterns.tools import tool

SECONDS = 120
HOURS = {"saturday": "9 to 12", "sunday": "closed"}
Day = Literal["Friday", "Saturday"]
API_KEY = "not-for-others"
booked: list[str] = []


def _usual() -> str:
    return "8 to 20"


def pool_hours(day: Annotated[Day, Field(description="A day of the week.")]) -> str:
    """The opening hours of the pool on a day of the week."""
    return HOURS.get(day.lower(), _usual())


@tool(effect="write", question="Shall I book a lane on {day}?")
def book_lane(day: str, kind: Literal["slow", "fast"] = "slow") -> dict[str, str]:
    """Book a swimming lane for a day."""
    booked.append(day)
    return {"day": day, "until": date(2026, 1, 1).isoformat()}


def with_secret(day: str) -> str:
    """Ask another service."""
    return API_KEY + day


def with_test_module(day: str) -> str:
    """Use what is no package."""
    return str(LOCKED) + day


LOCKED = object()


def with_class(day: str) -> str:
    """Use a class of the same file."""
    return Lane(day).name


class Lane:
    def __init__(self, name: str) -> None:
        self.name = name


def run_module(text: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "written"}
    exec(compile(text, "tools.py", "exec"), space)  # the written module, as a service would import it
    return space


def test_tools_come_with_what_they_use_and_work_by_themselves() -> None:
    text, packages = tool_source.module([tool(pool_hours), book_lane, tool(with_class)])
    space = run_module(text)
    hours, lane, classy = space["TOOLS"]
    assert (hours("Saturday"), hours("Friday"), classy("seven")) == ("9 to 12", "8 to 20", "seven")
    assert (lane.wire, lane.effect, lane.asks({"day": "Monday"})) == (
        book_lane.wire,
        "write",
        "Shall I book a lane on Monday?",
    )
    assert tool(hours).wire == tool(pool_hours).wire
    assert packages == {"pydantic"} and "test_export" not in text


def outer() -> Callable[..., str]:
    found = "secret place"

    def inner(day: str) -> str:
        """A closure."""
        return found + day

    return inner


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (outer(), "inside another function"),
        (with_secret, "called like a secret"),
        (with_test_module, "a object, which cannot be written"),
    ],
)
def test_what_cannot_be_written_down_is_refused_with_the_reason(function: Callable[..., str], why: str) -> None:
    with pytest.raises(CallerError, match=why) as refused:
        tool_source.module([tool(function)])
    assert refused.value.code == "unfit_tool" and refused.value.next_step


def test_a_lambda_is_refused() -> None:
    quick = lambda day: day  # noqa: E731
    quick.__doc__, quick.__annotations__ = "A lambda.", {"day": str}
    with pytest.raises(CallerError, match="is a lambda"):
        tool_source.module([tool(quick)])


def test_requirements_are_names_with_the_installed_versions_and_no_address() -> None:
    lines = export.requirements([export.PACKAGE, "pydantic"]).splitlines()
    import pydantic

    assert f"pydantic=={pydantic.VERSION}" in lines and lines[0].startswith("# llm-production-patterns==")
    assert len(lines) > 20 and all(line.count("==") == 1 and "/" not in line for line in lines[1:])
    assert not any(line.startswith(("pytest==", "ruff==")) for line in lines), "tools of the developers are not needed"


def names(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


CASES = [("When is the sauna for women only?", "Tuesday"), ("Who built the pool?", None)]


@pytest.fixture
async def pool(tmp_path: Path, turn_dials: Callable[..., None]) -> own.Own:
    folder = tmp_path / "papers"
    (folder / "more").mkdir(parents=True)
    (folder / "sauna.md").write_text("# Sauna\n\nThe sauna is for women only on Tuesday.\n")
    (folder / "more" / "water.txt").write_text("The water of the big pool has 27 degrees.\n")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    return await own.assistant(folder, 'The "Grünau" pool', [pool_hours, book_lane])


def test_an_export_holds_what_was_read_and_no_secret(
    pool: own.Own, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-learner")
    done = export.write(pool, tmp_path / "service", own_evals.cases(CASES))
    there = {path.relative_to(done.folder).as_posix() for path in done.folder.rglob("*") if path.is_file()}
    assert there == {*done.files, "documents/sauna.md", "documents/more/water.txt"}
    text = "".join((done.folder / name).read_text() for name in done.files)
    assert "sk-of" not in text and str(tmp_path) not in text and str(Path.home()) not in text
    assert "://" not in (done.folder / "requirements.txt").read_text()
    assert own_evals.cases(done.folder / "evals.yaml") == own_evals.cases(CASES)


def test_an_export_into_the_same_folder_replaces_its_files_and_nothing_else(pool: own.Own, tmp_path: Path) -> None:
    folder = export.write(pool, tmp_path / "service").folder
    (folder / ".state").mkdir()
    (folder / ".state" / "ledger").write_text("kept")
    (folder / "tools.py").write_text("broken")
    (folder / "documents" / "gone.md").write_text("# Gone")
    export.write(pool, folder)
    assert (folder / ".state" / "ledger").read_text() == "kept" and "TOOLS" in (folder / "tools.py").read_text()
    assert not (folder / "documents" / "gone.md").exists()


@pytest.mark.parametrize("place", ["papers", "papers/service", ".", "full", "file"])
def test_no_export_over_other_things_or_into_the_documents(pool: own.Own, tmp_path: Path, place: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("three years")
    (tmp_path / "file").write_text("x")
    before = names(tmp_path)
    with pytest.raises(CallerError):
        export.write(pool, tmp_path / place)
    assert names(tmp_path) == before


async def test_a_refused_tool_leaves_no_half_written_folder(pool: own.Own, tmp_path: Path) -> None:
    broken = await own.assistant(pool.folder, pool.name, [with_secret])
    before = names(tmp_path)
    with pytest.raises(CallerError, match="secret"):
        export.write(broken, tmp_path / "service")
    assert names(tmp_path) == before


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PATTERNS_", "PYTEST_"))}
    return kept | {"PYTHONWARNINGS": "default"}


def test_the_exported_folder_runs_in_a_process_of_its_own(pool: own.Own, tmp_path: Path) -> None:
    """From another folder, with a state of its own: the smoke test, then the service as a client meets it."""
    folder = export.write(pool, tmp_path / "service", own_evals.cases(CASES)).folder
    (pool.folder / "sauna.md").write_text("# Sauna\n\nThe sauna has burnt down.\n")  # it has its own copy
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    smoke = subprocess.run(
        [sys.executable, str(folder / "smoke.py")],
        cwd=elsewhere, env=environment(folder), capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert smoke.returncode == 0 and "Tuesday" in smoke.stdout and "from: sauna.md#1" in smoke.stdout, smoke.stderr
    failed = subprocess.run(
        [sys.executable, str(folder / "smoke.py"), "Who painted the ceiling of the moon?"],
        cwd=elsewhere, env=environment(folder), capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert failed.returncode != 0 and "without a source" in failed.stderr
    log = tmp_path / "log"
    with log.open("w") as out:
        service = subprocess.Popen(
            [sys.executable, str(folder / "app.py"), "--port", "0"],
            cwd=elsewhere, env=environment(folder), stdout=out, stderr=out,
        )  # fmt: skip
    try:
        until = time.monotonic() + SECONDS
        while "listens at" not in log.read_text() and service.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        link = next(line for line in log.read_text().splitlines() if "/login?token=" in line).split("open ")[1]
        url, token = link.split("/login?token=")
        body = json.dumps({"text": "How warm is the water of the big pool?"}).encode()
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json", "accept": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{url}/api/support", body, headers), timeout=60) as reply:
            told = json.load(reply)
    finally:
        service.terminate()
        service.wait(timeout=20)
    assert "27 degrees" in told["text"] and [one["id"] for one in told["sources"]] == ["more-water.txt#1"]
    assert list(elsewhere.iterdir()) == [] and (folder / ".state").is_dir()
