"""A process that spends until its budget is used up, or until it is killed. Used by test_budgets.py.

    python spender.py LOG       with the environment saying where the budgets are

Fifty callers at once. What the provider charges is written to LOG as it happens: a line with the call's number, what
was held for it, and what it did cost (0 while it runs), in nanodollars.
"""

import asyncio
import os
import random
import sys
import uuid

from patterns import backend, budgets

LABELS = {"feature": "chat", "tenant": "a", "user": "1"}
CALLERS = 50


async def main() -> None:
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(call: str, held: int, spent: int) -> None:
        os.write(log, f"{call} {held} {spent}\n".encode())

    async def spend() -> None:
        while True:
            call, held = uuid.uuid4().hex, random.randint(1, 1000)
            async with budgets.reserved(held / budgets.NANODOLLARS, LABELS) as bill:
                note(call, held, 0)
                await asyncio.sleep(random.uniform(0, 0.01))
                spent = random.randint(1, held)
                note(call, held, spent)
                await asyncio.sleep(0)
                bill.dollars = spent / budgets.NANODOLLARS

    await asyncio.gather(*(spend() for _ in range(CALLERS)), return_exceptions=True)
    await backend.close()


if __name__ == "__main__":
    asyncio.run(main())
