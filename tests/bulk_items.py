"""Jobs for `test_bulk.py`, and a process that runs one, for a test to kill.

python bulk_items.py FOLDER COUNT
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from patterns import bulk, calls
from patterns.errors import CallerError, LimitHit, ProviderError


async def noted(item: Any) -> dict[str, Any]:
    """Leaves a line for each time that it is done; takes `seconds`."""
    await asyncio.sleep(item.get("seconds", 0))
    log = os.open(item["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, f"{item['number']} {os.getpid()}\n".encode())
    os.close(log)
    return {"square": item["number"] ** 2}


def counted(path: Path) -> int:
    """How often this was called for `path` before."""
    before = path.read_text().count("x") if path.exists() else 0
    path.write_text("x" * (before + 1))
    return before


async def troubled(item: Any) -> Any:
    """Fails as told, as often as told: `log` counts."""
    before = counted(Path(item["log"]))
    if before < item["times"]:
        match item["how"]:
            case "transient":
                raise ProviderError("Too busy.", "Wait.", "overloaded", transient=True, retry_after=0.01)
            case "final":
                raise ProviderError("It is refused.", "Ask for something else.", "refused", transient=False)
            case "caller":
                raise CallerError("It is too long.", "Shorten it.", "context_too_long")
            case "limit":
                raise LimitHit("tenant:a may spend $1 a day.", "Wait until tomorrow.", "budget")
            case "dies":
                os._exit(9)
    return before


async def asked(item: Any) -> int:
    """Costs something: one text is embedded."""
    return (await calls.embed([item["text"]], tenant=item["tenant"])).shape[1]


def items(folder: Path, count: int, seconds: float = 0.0) -> dict[str, Any]:
    log = str(folder / "log")
    return {f"item-{number}": {"number": number, "log": log, "seconds": seconds} for number in range(count)}


async def main(folder: Path, count: int) -> None:
    done = await bulk.run(
        noted,
        items(folder, count, 0.01),
        folder / "results.sqlite3",
        at_once=4,
        progress=lambda done, all: print(done, flush=True),
    )
    print(json.dumps({"results": len(done.results), "resumed": done.resumed}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
