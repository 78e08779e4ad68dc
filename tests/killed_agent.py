"""An agent's process that is killed at every point there is, and started again. Used by test_agent_loop.py.

    python killed_agent.py FOLDER      with the environment pointing to a provider that plays the model

In each trial the first process is killed (SIGKILL) at one point, in every second trial the next one at another, and the
last may end. The question names the trial, so that the provider can tell whose requests it gets. Prints one JSON object
a trial:
{"trial": ..., "killed_at": [...], "outcome": ..., "text": ..., "notes": side effects, "looks": reads}.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai.resources.chat  # noqa: F401  once, not in every process

from patterns import agent_loop, bounds, checkpoints, ledger, structured_output
from patterns.bounds import Caps
from patterns.core import model_call, support_prompt
from patterns.errors import CallerError
from patterns.events import Answer, Turn, User, stack
from patterns.tools import tool

USER = User()
CAPS = Caps(steps=6)


class Killer:
    """Kills this process when it passes its `at`-th point, and notes where that was."""

    def __init__(self) -> None:
        self.at, self.passed, self.notes = -1, 0, Path()

    def passing(self, name: str) -> None:
        self.passed += 1
        if self.passed - 1 == self.at:
            with self.notes.open("a") as notes:
                notes.write(name + "\n")
            os.kill(os.getpid(), signal.SIGKILL)


killer = Killer()


def around(kind: type, name: str) -> None:
    method: Callable[..., Any] = getattr(kind, name)

    def watched(*arguments: Any, **named: Any) -> Any:
        killer.passing(f"before {name}")
        result = method(*arguments, **named)
        killer.passing(f"after {name}")
        return result

    setattr(kind, name, watched)


for name in ("save", "begin", "finish"):
    around(checkpoints.Checkpoints, name)
for name in ("begin", "settle"):
    around(ledger.Ledger, name)


def append(file: str, line: str) -> None:
    with (Path(os.environ["FOLDER"]) / file).open("a") as lines:
        lines.write(line + "\n")


@tool
def look(what: str) -> str:
    """Look something up."""
    append("looks", what)
    return f"{what} is fine"


@tool(effect="handoff", timeout=0.5)
def leave_note(what: str) -> dict[str, str]:
    """Leave a note for a person."""
    killer.passing("tool starts")
    append("notes", what)
    killer.passing("tool has acted")
    return {"message": "left"}


handler = stack(
    model_call(support_prompt),
    agent_loop.agent([look, leave_note], CAPS),
    structured_output.structured(),
    bounds.bounded(CAPS),
)


async def go(folder: Path) -> Answer:
    """Go on with the run, or begin it where there is none."""
    turn = Turn(folder.name, USER, trace_id=f"trace-{folder.name}")
    answers = []
    try:
        events = [event async for event in agent_loop.resume_run(handler, turn.trace_id, USER)]
    except CallerError as error:
        if error.code == "run_ended":  # killed after its end was written down: the run is over, only its text is lost
            return Answer(text="", outcome="success", served="unavailable")
        assert error.code == "unknown_run"
        events = [event async for event in handler(turn)]
    answers = [event for event in events if isinstance(event, Answer)]
    assert len(answers) == 1 and events[-1] is answers[0]
    return answers[0]


def process(folder: Path, at: int) -> None:
    """A process that is killed at point `at`, and waited for."""
    child = os.fork()
    if child == 0:
        killer.at, killer.notes = at, folder / "killed"
        os.environ |= {"FOLDER": str(folder), "PATTERNS_STATE": str(folder / "state")}
        end = asyncio.run(go(folder))
        (folder / "end.json").write_text(json.dumps({"outcome": end.outcome, "text": end.text, "all": killer.passed}))
        os._exit(0)
    os.waitpid(child, 0)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def trial(folder: Path, *deaths: int) -> dict[str, Any]:
    folder.mkdir(parents=True)
    for at in (*deaths, -1):
        if not (folder / "end.json").exists():
            process(folder, at)
    found = {name: lines(folder / name) for name in ("killed", "notes", "looks")}
    return {"trial": folder.name, **found, **json.loads((folder / "end.json").read_text())}


def main(folder: Path) -> None:
    chance = random.Random(7)
    whole = trial(folder / "whole")
    print(json.dumps(whole))
    for at in range(whole["all"]):
        again = [chance.randrange(whole["all"])] if at % 2 else []
        print(json.dumps(trial(folder / f"at-{at}", at, *again)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
