"""What every row shares: the entry of a scoreboard, interleaved rounds, medians of ratios, versions, peers.

A row is a module with `PARTS`, functions that measure and return entries. A part that cannot be measured here says so
with `Skipped`; any other exception is a crash. Either shows in the table, and the other parts still run.
"""

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".cache" / "bench"
ROUNDS = 5  # the least number of interleaved rounds behind a median


class Skipped(Exception):
    """This cannot be measured here. The message says why, and what would make it possible."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the scoreboard. `goal` is "≤ 0.2" or "≥ 5" and so on, or empty where there is none.

    `value` is None where nothing was measured; then `note` begins with "skipped: " or "crashed: ". `peers` holds the
    same metric of others, or why it is missing.
    """

    row: int | str
    metric: str
    value: float | None
    goal: str = ""
    peers: Mapping[str, float | str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met. None: there is no goal, or it was skipped. A crash holds nothing."""
        if self.value is None:
            return False if self.note.startswith("crashed: ") else None
        return holds(self.value, self.goal)

    def to_json(self) -> dict[str, Any]:
        value = None if self.value is None else float(f"{self.value:.7g}")
        return asdict(self) | {"value": value, "holds": self.holds}


def holds(value: float, goal: str) -> bool | None:
    """Whether `value` meets `goal`; None for an empty goal. Raises ValueError for a goal of another form."""
    if not goal:
        return None
    sign, _, limit = goal.partition(" ")
    if sign not in ("≤", "≥", "="):
        raise ValueError(f"A goal is '≤ number', '≥ number' or '= number', not {goal!r}.")
    bound = float(limit)
    return value <= bound if sign == "≤" else value >= bound if sign == "≥" else value == bound


def interleaved(contestants: Mapping[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Run all contestants once a round; the order turns round every time. Returns what each gave, by name.

    A contestant returns its own seconds, so that what it prepares is not counted.
    """
    measured: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name in list(contestants)[:: 1 if number % 2 == 0 else -1]:
            measured[name].append(contestants[name]())
    return measured


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round: a machine that was slow for a while was slow for both."""
    return [a / b for a, b in zip(above, below, strict=True)]


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(ratios(above, below))


def spread(above: Sequence[float], below: Sequence[float]) -> str:
    """The middle half of the rounds' ratios, as text."""
    low, _, high = statistics.quantiles(ratios(above, below), n=4, method="inclusive")
    return f"middle half of {len(above)} rounds {low:.3g} to {high:.3g}"


def milliseconds(times: Sequence[float]) -> str:
    """The median of `times` (seconds), as text."""
    middle = 1000 * statistics.median(times)
    return f"{middle:,.0f} ms" if middle >= 100 else f"{middle:.3g} ms"


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of `packages` in this environment."""
    found = {"python": sys.version.split()[0]}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def clean_environment(state: Path) -> dict[str, str]:
    """The environment variables of a learner who has set nothing: the stand-in answers, and `state` is empty."""
    ours = ("PATTERNS_", "OPENAI_", "OLLAMA_", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours) or name == "PATTERNS_CACHE"}
    return kept | {"PATTERNS_STATE": str(state)}


@contextmanager
def standin() -> Iterator[None]:
    """This process with `clean_environment`, for as long as the block lasts."""
    with TemporaryDirectory() as state, patch.dict(os.environ, clean_environment(Path(state)), clear=True):
        yield


def bench_data(name: str) -> Path:
    """A folder of public bench data (benchmarks/README.md says how to get it). Raises Skipped."""
    folder = Path(os.environ.get("BENCH_DATA") or ROOT.parent / "shared" / "data") / name
    if not folder.is_dir():
        raise Skipped(f"there is no bench data in {name}/; benchmarks/README.md says how to get it")
    return folder


def uv() -> str:
    """The installer that `make` uses. Raises Skipped."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if not found:
        raise Skipped("uv is not installed; `make setup` installs it")
    return found


def peer(requirement: str) -> Path:
    """The Python of an environment that holds `requirement` and nothing of ours. Made once. Raises Skipped."""
    folder = PEERS / requirement.replace("==", "-")
    python, ready = folder / "bin" / "python", folder / ".ready"
    if not ready.is_file():
        for command in (
            [uv(), "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
            [uv(), "pip", "install", "--quiet", "--python", str(python), requirement],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Skipped(f"{requirement} could not be installed ({last_line(done.stderr)})")
        ready.touch()
    return python


def last_line(text: str) -> str:
    """The last line that says something, shortened."""
    lines = text.strip().splitlines() or ["no message"]
    return lines[-1].strip()[:200]
