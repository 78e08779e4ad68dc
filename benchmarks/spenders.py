"""The callers of row 8: they ask a model, all at once, until the budget refuses, and some leave in the middle.

python -m benchmarks.spenders       a process of them; reads a JSON order a line, answers each with a JSON line
"""

import asyncio
import json
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

from . import measure

CALLERS = 100
CAP = 0.0155  # dollars; a call may cost 0.00074, and does cost 0.00035
TOKENS = 32  # a reply; the model would write more, so it always writes as many
FACTS = ("Returns are free", "Lamps ship", "Refunds take", "Gift cards last", "Repairs need", "Spare parts come")


class Callers:
    """A process of callers."""

    def __init__(self) -> None:
        command, pipe = [sys.executable, "-m", "benchmarks.spenders"], subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=measure.ROOT, text=True)
        assert self._process.stdin and self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._stdout.readline()

    def begin(self, **order: Any) -> None:
        self._stdin.write(json.dumps({"peer": False, "drain": False, "leaves": True, **order}) + "\n")
        self._stdin.flush()

    def end(self) -> dict[str, float]:
        if not (line := self._stdout.readline()):
            raise RuntimeError("the callers have ended; their traceback is above")
        return json.loads(line)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()


# inside the process


def _question(number: int) -> list[dict[str, Any]]:
    facts = [f"{fact} within {number} days." for fact in FACTS]
    return [{"role": "user", "content": f"Summarise in detail: {' '.join(facts)}"}]


async def _call(number: int, leave_after: int | None = None) -> float:
    """Dollars of one call, as our own code counts them; a caller who leaves gets only so many pieces."""
    from patterns import calls

    pieces = 0
    async with aclosing(calls.stream(_question(number), max_tokens=TOKENS, tenant="acme")) as stream:
        async for piece in stream:
            if isinstance(piece, calls.Completion):
                return piece.cost_usd or 0.0
            pieces += 1
            if pieces == leave_after:
                break
    return 0.0


class CheckThenRecord:
    """The peer: reads the sum, makes the call, then adds its cost. The sum is in a file, so processes share it."""

    def __init__(self) -> None:
        path = Path(os.environ["PATTERNS_STATE"]) / "peer.sqlite3"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._db.execute("CREATE TABLE IF NOT EXISTS spent (dollars REAL)")

    async def __call__(self, number: int, leave_after: int | None = None) -> None:
        from patterns.errors import LimitHit

        if (self._db.execute("SELECT sum(dollars) FROM spent").fetchone()[0] or 0.0) >= CAP:
            raise LimitHit("The budget is used up.", "Wait.", "budget")
        cost = await _call(number, leave_after)
        self._db.execute("INSERT INTO spent VALUES (?)", (cost,))


async def _caller(call: Callable[..., Coroutine[Any, Any, Any]], dice: random.Random, leaves: bool) -> None:
    """Ask until the budget refuses."""
    from patterns.errors import LimitHit

    while True:
        fate = dice.random() if leaves else 1.0
        asking = asyncio.create_task(call(dice.randrange(100, 1000), 1 + int(fate * 100) if fate < 0.15 else None))
        if 0.15 <= fate < 0.25:
            asyncio.get_running_loop().call_later(dice.random() / 10, asking.cancel)
        try:
            await asking
        except LimitHit:
            return
        except asyncio.CancelledError:
            continue


async def _obey(order: dict[str, Any]) -> dict[str, float]:
    from patterns import backend, budgets, models

    os.environ.update(order["environment"])
    dice, call = random.Random(order["seed"]), _call
    if order["peer"]:
        call = CheckThenRecord()
    else:
        await budgets.cap("tenant:*", CAP)
    callers = 1 if order["drain"] else CALLERS
    await asyncio.gather(*(_caller(call, dice, order["leaves"]) for _ in range(callers)))
    found = await budgets.spending("tenant:acme")
    await backend.close()
    await models.close()
    return {"settled": found.settled, "reserved": found.reserved}


async def work() -> None:
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await _obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(work())
