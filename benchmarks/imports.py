"""Row 9: how long `import patterns` takes, next to `import openai`, each in a fresh interpreter.

`import patterns` is short because it loads nothing before it is used. So two more figures say what comes later: the
assistant itself, and the assistant together with the SDK that its first call loads.
"""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from . import measure
from .measure import Entry, Skipped

ROUNDS = 11
BASE = "import openai"
OURS = "import patterns"
ASSISTANT = "import patterns.complete_assistant"
FIRST_CALL = "import patterns.complete_assistant, openai"
# What one writes to get a client, and the package that brings it.
PEERS = {
    "LangChain": ("langchain-openai==1.7.4", "from langchain_openai import ChatOpenAI"),
    "LiteLLM": ("litellm==1.110.2", "import litellm"),
}
TIMED = "import time\nstarted = time.perf_counter()\n{}\nprint(time.perf_counter() - started)"


def seconds(python: Path, statement: str, folder: Path) -> float:
    """How long `statement` takes in a new interpreter, which starts in `folder` so that it finds what is installed."""
    command = [str(python), "-c", TIMED.format(statement)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=measure.clean_environment(folder), check=False
    )
    if done.returncode:
        raise RuntimeError(f"`{statement}` failed: {measure.last_line(done.stderr)}")
    return float(done.stdout.split()[-1])


def imports() -> list[Entry]:
    here = Path(sys.executable)
    skipped: dict[str, float | str] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        contestants: dict[str, Callable[[], float]] = {
            statement: partial(seconds, here, statement, folder) for statement in (BASE, OURS, ASSISTANT, FIRST_CALL)
        }
        for title, (requirement, statement) in PEERS.items():
            try:
                python = measure.peer(requirement)
            except Skipped as reason:
                skipped[title] = f"skipped: {reason}"
                continue
            contestants[title] = partial(seconds, python, statement, folder)
            contestants[f"{title}'s openai"] = partial(seconds, python, BASE, folder)
        for warm in contestants.values():  # compiles what is not compiled, and brings the files into memory
            warm()
        measured = measure.interleaved(contestants, ROUNDS)

    base = measured[BASE]
    peers = {
        f"{title} ({requirement})": skipped[title]
        if title in skipped
        else round(measure.ratio(measured[title], measured[f"{title}'s openai"]), 2)
        for title, (requirement, _) in PEERS.items()
    }
    versions = measure.versions("openai", "pydantic")

    def entry(statement: str, metric: str, goal: str, peers: dict[str, float | str], remark: str) -> Entry:
        times = measured[statement]
        seconds = f"{measure.milliseconds(times)} against {measure.milliseconds(base)}"
        return Entry(
            9,
            f"{metric} ÷ import openai",
            measure.ratio(times, base),
            goal,
            peers,
            versions,
            f"{seconds}; {measure.spread(times, base)}. {remark}",
        )

    return [
        entry(OURS, OURS, "≤ 0.2", peers, "Nothing is loaded before it is used: the next two lines are the rest."),
        entry(ASSISTANT, ASSISTANT, "", {}, "What `complete_assistant.build()` needs; the SDK is not among it yet."),
        entry(FIRST_CALL, "import patterns.complete_assistant and openai", "", {}, "What a first model call has paid."),
    ]


PARTS = (imports,)
