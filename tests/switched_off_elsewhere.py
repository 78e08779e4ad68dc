"""A second process for `test_cost_control.py`: asks until it is refused; prints when it was let through for the last
time (Unix time), and how often it was."""

import asyncio
import time
from collections.abc import AsyncGenerator

from patterns.cost_control import kill_switch
from patterns.errors import LimitHit
from patterns.events import Answer, Event, Turn, answer


async def yes(turn: Turn) -> AsyncGenerator[Event, None]:
    yield Answer(text="yes")


async def ask() -> None:
    accepted, last, until = 0, 0.0, time.monotonic() + 20
    while time.monotonic() < until:
        try:
            await answer(kill_switch(yes), Turn("?"))
        except LimitHit:
            break
        accepted, last = accepted + 1, time.time()
        if accepted == 1:
            print("asking", flush=True)
        await asyncio.sleep(0.001)
    print(last, accepted)


asyncio.run(ask())
