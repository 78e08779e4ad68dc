"""A process that runs a write, is killed at every point there is, and is started again. Used by test_tool_use.py.

    python killed_and_resumed.py FOLDER      with the environment pointing to a provider that asks for `act`

The provider's model calls `act` once and then answers. Each trial has a state folder of its own. Its first process is
killed (SIGKILL) at one point, in half of the trials a second one at another, and the last may end. Prints one JSON
object a trial: {"killed_at": [...], "lines": how often the effect is in the file, "result": what the model was told}.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import openai.resources.chat  # noqa: F401  once, not in every process

from patterns import checkpoints, tool_use
from patterns.core import model_call, support_prompt
from patterns.events import ConfirmationRequired, ToolResult, Turn, User
from patterns.tools import tool

USER = User()
TRIALS_IN_TIME = 8
TWINS = 4


class Killer:
    """Kills this process when it passes its `at`-th point; `names` are the points passed so far."""

    def __init__(self, at: int) -> None:
        self.at, self.names = at, list[str]()

    def passing(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) - 1 == self.at:
            with Path(os.environ["KILLED"]).open("a") as notes:
                notes.write(name + "\n")
            os.kill(os.getpid(), signal.SIGKILL)


killer = Killer(-1)


def around(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def watched(*arguments: Any, **named: Any) -> Any:
        killer.passing(f"before {name}")
        result = method(*arguments, **named)
        killer.passing(f"after {name}")
        return result

    return watched


for name in ("save", "load", "ask", "decide", "decision", "begin", "finish"):
    setattr(checkpoints.Checkpoints, name, around(name, getattr(checkpoints.Checkpoints, name)))


@tool(effect="write", question="Do {what}?", timeout=0.5)
def act(what: str) -> dict[str, str]:
    """Do something that cannot be undone."""
    killer.passing("tool starts")
    with Path(os.environ["EFFECTS"]).open("a") as effects:
        effects.write(what + "\n")
    killer.passing("tool has acted")
    time.sleep(0.05)
    return {"message": "done"}


handler = tool_use.use_tools([act])(model_call(support_prompt))


async def go() -> Any:
    """Start the turn or go on with it, saying yes; return what the model was told."""
    book, told = checkpoints.default(), None
    turn = Turn("Do it.", USER, trace_id="trace_of_the_trial")
    saved = book._execute("SELECT status FROM runs")  # pyright: ignore[reportPrivateUsage]
    if saved:
        turn = book.load(turn.trace_id, USER).turn
    for _ in range(3):
        tokens = book._execute("SELECT token FROM confirmations")  # pyright: ignore[reportPrivateUsage]
        events = tool_use.resume(handler, tokens[0][0], True, USER) if tokens else handler(turn)
        waits = False
        async with aclosing(events):
            async for event in events:
                match event:
                    case ToolResult():
                        told = event.result
                    case ConfirmationRequired():
                        waits = True
                    case _:
                        pass
        if not waits:
            break
    return told


def process(at: int) -> int:
    """Start a process that is killed at point `at`; its id."""
    child = os.fork()
    if child == 0:
        killer.at = at
        told = asyncio.run(go())
        notes = Path(os.environ["TOLD"])
        if told is not None or not notes.exists():  # a later process finds the result in the saved turn
            notes.write_text(json.dumps({"points": len(killer.names), "told": told}))
        os._exit(0)
    return child


def trial(folder: Path, run: Callable[[], None]) -> dict[str, Any]:
    """A fresh state, `run` with its deaths in it, and then a process that may end."""
    folder.mkdir(parents=True)
    files = {"EFFECTS": "effects", "TOLD": "told.json", "KILLED": "killed", "PATTERNS_STATE": "state"}
    os.environ.update({name: str(folder / file) for name, file in files.items()})
    run()
    os.waitpid(process(-1), 0)
    effects, killed = folder / "effects", folder / "killed"
    notes = json.loads((folder / "told.json").read_text())
    actions = checkpoints.Checkpoints(folder / "state" / "checkpoints.sqlite3").actions("trace_of_the_trial")
    return {
        "killed_at": killed.read_text().splitlines() if killed.exists() else [],
        "lines": len(effects.read_text().splitlines()) if effects.exists() else 0,
        "result": actions[0].result or notes["told"],
        "actions": len(actions),
        "points": notes["points"],
    }


def main(folder: Path) -> None:
    chance = random.Random(7)
    whole = trial(folder / "whole", lambda: None)
    print(json.dumps({"kind": "whole", **whole}))
    for at in range(whole["points"]):

        def die_twice(at: int = at) -> None:
            os.waitpid(process(at), 0)
            if at % 2:
                os.waitpid(process(chance.randrange(whole["points"])), 0)

        print(json.dumps({"kind": "points", **trial(folder / f"at-{at}", die_twice)}))
    for number in range(TRIALS_IN_TIME):

        def die_sometime() -> None:
            child = process(-1)
            time.sleep(chance.random() * 0.4)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

        print(json.dumps({"kind": "time", **trial(folder / f"time-{number}", die_sometime)}))
    for number in range(TWINS):

        def twins() -> None:
            for child in [process(-1) for _ in range(3)]:
                os.waitpid(child, 0)

        print(json.dumps({"kind": "twins", **trial(folder / f"twins-{number}", twins)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
