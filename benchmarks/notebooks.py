"""Row 13: what it takes to run all notebooks, and to get from a clone to the first streamed token.

Notebooks: each one executed top to bottom at the stand-in's normal speed, next to a notebook with one `pass` cell, that
is, a bare kernel start-up. A last cell is added to the copies that are run: it reads the stand-in's log, which says for
how long a model call was open.

Clone: `git clone` of HEAD from the local disk, `make setup`, and a script that prints the first streamed token, next to
making an environment and installing openai alone into it with the same installer. Both from a warm package cache.
"""

import copy
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import measure
from .measure import ROOT, Entry, Skipped

LONG_SECONDS, LONG_ROUNDS = 10.0, 3  # what takes longer than this is measured in fewer rounds
MUST_SECONDS = 60.0  # clone → first token, beyond the download
READ_LOG = """\
import json
from patterns.course import control
print(json.dumps([[entry["started"], entry["started"] + entry["seconds"]] for entry in control.provider_log()]))"""
FIRST_TOKEN = """\
import asyncio
from contextlib import aclosing
from patterns import TextDelta, Turn, complete_assistant

async def main():
    async with aclosing(complete_assistant.build(through="start_here")(Turn("How do I return a plug?"))) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                print(event.text, flush=True)
                return

asyncio.run(main())"""


def rounds_enough(contestants: Mapping[str, Callable[[], float]], long: Sequence[str]) -> dict[str, list[float]]:
    """Interleaved rounds: `LONG_ROUNDS` if `long` take more than `LONG_SECONDS` together, else the usual number."""
    measured = measure.interleaved(contestants, LONG_ROUNDS)
    if sum(min(measured[name]) for name in long) <= LONG_SECONDS:
        for name, times in measure.interleaved(contestants, measure.ROUNDS - LONG_ROUNDS).items():
            measured[name] += times
    return measured


# notebooks


def all_notebooks() -> list[Entry]:
    import nbformat

    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    calling: dict[str, list[float]] = {}
    with TemporaryDirectory() as name:
        scratch = Path(name)
        shutil.copytree(ROOT / "notebooks", scratch / "notebooks")
        bare = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("pass")])
        contestants: dict[str, Callable[[], float]] = {}
        for path in paths:
            notebook = nbformat.read(scratch / "notebooks" / path.name, as_version=4)
            notebook.cells.append(nbformat.v4.new_code_cell(READ_LOG))

            def run(notebook: Any = notebook, stem: str = path.stem) -> float:
                seconds, done = execute(notebook, scratch)
                calling.setdefault(stem, []).append(covered(json.loads(done.cells[-1].outputs[-1].text)))
                return seconds

            contestants[path.stem] = run
            contestants[f"kernel {path.stem}"] = lambda: execute(bare, scratch)[0]  # one beside each notebook
        execute(bare, scratch)  # warm
        measured = rounds_enough(contestants, [path.stem for path in paths])

    notebooks = [sum(times) for times in zip(*(measured[path.stem] for path in paths), strict=True)]
    kernels = [sum(times) for times in zip(*(measured[f"kernel {path.stem}"] for path in paths), strict=True)]
    open_calls = sum(statistics.median(times) for times in calling.values())
    total, start = statistics.median(notebooks), statistics.median(kernels) / len(paths)
    rest = (total - open_calls) / statistics.median(kernels)
    note = (
        f"{len(paths)} notebooks, {total:.1f} s, against {start:.2f} s a kernel; {measure.spread(notebooks, kernels)} "
        f"(three are enough where one takes more than {LONG_SECONDS:g} s). A model call was open for "
        f"{open_calls:.1f} s of it: the stand-in answers at its normal speed, for that is what the notebooks show. "
        f"Everything else is {rest:.2f} kernel start-ups each. By notebook: "
        + ", ".join(f"{path.stem} {statistics.median(measured[path.stem]):.1f} s" for path in paths)
    )
    metric = "all notebooks executed ÷ as many bare kernel start-ups"
    packages = measure.versions("nbclient", "ipykernel", "jupyter_client")
    return [Entry(13, metric, measure.ratio(notebooks, kernels), "≤ 4", {}, packages, note)]


def execute(notebook: Any, scratch: Path) -> tuple[float, Any]:
    """Seconds from the start of a kernel to its end, and the notebook as it ran. Its state folder begins empty."""
    from nbclient import NotebookClient

    with TemporaryDirectory(dir=scratch) as state:
        resources = {"metadata": {"path": str(scratch / "notebooks")}}
        client = NotebookClient(copy.deepcopy(notebook), timeout=120, kernel_name="python3", resources=resources)
        started = time.perf_counter()
        done = client.execute(env=measure.clean_environment(Path(state)), stderr=subprocess.DEVNULL)
        return time.perf_counter() - started, done


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of (start, end)."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


# clone


def clone_to_first_token() -> list[Entry]:
    for tool in ("git", "make"):
        if not shutil.which(tool):
            raise Skipped(f"{tool} is not installed")
    if not (ROOT / ".git").exists():
        raise Skipped("this is no git checkout")
    stages: dict[str, list[float]] = {}
    with TemporaryDirectory() as name:
        contestants = {
            "ours": partial(clone_setup_and_ask, Path(name), stages),
            "openai alone": partial(install_openai, Path(name), False),
            "openai alone, uv installed first": partial(install_openai, Path(name), True),
        }
        for warm in contestants.values():  # fills the package caches
            warm()
        stages.clear()
        measured = rounds_enough(contestants, ["ours"])

    ours, theirs = measured["ours"], measured["openai alone"]
    bootstrapped = measured["openai alone, uv installed first"]
    parts = {stage: statistics.median(times) for stage, times in stages.items()}
    whole = statistics.median(ours)
    note = (
        f"{whole:.1f} s against {statistics.median(theirs):.1f} s; {measure.spread(ours, theirs)} (three are "
        f"enough where one takes more than {LONG_SECONDS:g} s); "
        + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in parts.items())
        + f". Under {MUST_SECONDS:g} s with all downloads cached: {'holds' if whole < MUST_SECONDS else 'MISSED'}. "
        "Both make their environment with `python -m venv`. `make setup` also installs its installer with pip; where "
        f"openai alone does that too, the ratio is {measure.ratio(ours, bootstrapped):.2f}. Cloned is the last commit, "
        "without the changes since."
    )
    metric = "clone → first streamed token ÷ environment with openai alone"
    return [Entry(13, metric, measure.ratio(ours, theirs), "≤ 3", {}, measure.versions("openai", "uv"), note)]


def clone_setup_and_ask(folder: Path, stages: dict[str, list[float]]) -> float:
    """Seconds. Adds how long each stage took to `stages`."""
    checkout = folder / "checkout"
    environment = measure.clean_environment(folder / "state")
    environment.pop("PATTERNS_CACHE", None)
    environment.pop("PATTERNS_STATE")
    started = time.perf_counter()
    marks = [("clone", started)]
    try:
        _run(["git", "clone", "--quiet", str(ROOT), str(checkout)], environment, folder)
        make = ["make", "setup", f"PYTHON={base_python()}"]
        steps = (line for line in _lines(make, environment, checkout) if line.startswith("["))
        marks.extend((_stage(line), time.perf_counter()) for line in steps)
        marks.append(("first token", time.perf_counter()))
        script = [str(checkout / ".venv" / "bin" / "python"), "-c", FIRST_TOKEN]
        ended = [time.perf_counter() for _ in _lines(script, environment, checkout)]
        if not ended:
            raise RuntimeError("The clone's assistant streamed nothing.")
        ends = [*(mark for _, mark in marks[1:]), ended[0]]
        for (stage, begun), end in zip(marks, ends, strict=True):
            stages.setdefault(stage, []).append(end - begun)
        return ended[0] - started
    finally:
        shutil.rmtree(checkout, ignore_errors=True)


def install_openai(folder: Path, bootstrap: bool) -> float:
    """Seconds. `bootstrap`: the installer is not there yet and is installed with pip, as `make setup` does."""
    place, environment = folder / "openai", measure.clean_environment(folder / "state")
    python, pinned = str(place / "bin" / "python"), measure.versions("openai", "uv")
    installer = measure.uv()
    started = time.perf_counter()
    try:
        _run([base_python(), "-m", "venv", str(place)], environment, folder)
        if bootstrap:
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"uv=={pinned['uv']}"]
            _run(pip, environment, folder)
            installer = str(place / "bin" / "uv")
        _run(
            [installer, "pip", "install", "--quiet", "--python", python, f"openai=={pinned['openai']}"],
            environment,
            folder,
        )
        return time.perf_counter() - started
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _stage(line: str) -> str:
    """What `make` says that it does: "[2/4] Installing 3 packages ..." is "installing 3 packages"."""
    text = line.partition("] ")[2].partition(" ...")[0]
    return text[:1].lower() + text[1:]


def base_python() -> str:
    """The interpreter that this environment was made from."""
    return os.path.realpath(sys.executable)


def _run(command: list[str], environment: dict[str, str], folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command[:3])} …` failed: {measure.last_line(done.stderr or done.stdout)}")


def _lines(command: list[str], environment: dict[str, str], folder: Path) -> Iterable[str]:
    """What a command prints, line by line as it comes. Raises RuntimeError when it fails."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder
    ) as process:
        assert process.stdout is not None
        last = ""
        for last in process.stdout:
            yield last
    if process.returncode:
        raise RuntimeError(f"`{' '.join(command[:2])} …` failed: {measure.last_line(last)}")


PARTS = (all_notebooks, clone_to_first_token)
