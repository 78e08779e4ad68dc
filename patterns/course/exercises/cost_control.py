"""Notebook 08."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ...errors import LimitHit
from . import NotYet, exercise

# (share that stays small, price of a small call, price of a large call) -> dollars a request
BLENDED = (
    ((0.9, 0.01, 0.30), 0.04, "each request pays 0.01, and one in ten pays 0.30 as well"),
    ((0.0, 0.01, 0.30), 0.31, "nothing stays: every small call is wasted, and it is dearer than without a cascade"),
    ((1.0, 0.01, 0.30), 0.01, "everything stays"),
    ((0.5, 0.10, 0.20), 0.20, "half of it stays, at half the price: nothing is saved"),
)


@exercise
async def blended(solution: Any) -> str:
    for given, expected, why in BLENDED:
        found = solution(*given)
        if found is None or abs(found - expected) > 1e-9:
            raise NotYet(f"blended{given} gave {found!r}; {expected:.2f} is right: {why}.")
    return "The small call is paid every time, the large one where it is needed."


@exercise
async def budget(solution: Any) -> str:
    if (end := await _spend(solution(1.00), 0.30, _costs(0.25))) != 0.25:
        raise NotYet(f"a call that fits must run and its price be returned; spend returned {end!r}.")

    mine, paid = solution(1.00), []
    ends = await asyncio.gather(*(_spend(mine, 0.30, _costs(0.25, paid)) for _ in range(50)))
    if sum(paid) > 1.00:
        raise NotYet(f"of 50 calls at once {len(paid)} ran, for ${sum(paid):.2f}: the cap is $1.00.")
    if len(paid) != 3:
        raise NotYet(f"of 50 calls at once {len(paid)} ran; three may cost $0.30 each, and a fourth could pass $1.00.")
    if ends.count("budget") != 47:
        raise NotYet('the others must raise LimitHit with the code "budget".')
    if await _spend(mine, 0.25, _costs(0.25, paid)) != 0.25:
        raise NotYet("three calls cost $0.75 in the end, so one for $0.25 still fits: give back what was not used.")
    if await _spend(mine, 0.01, _costs(0.01, paid)) != "budget":
        raise NotYet("the cap is used up, and a call for $0.01 still ran.")

    mine, paid = solution(0.50), []
    if await _spend(mine, 0.50, _fails) != "ValueError":
        raise NotYet("what the call raises must come out as it is.")
    if await _spend(mine, 0.50, _costs(0.40, paid)) != 0.40:
        raise NotYet("a call that failed was free here, and its reservation must be given back.")
    return "What may be spent is set aside before, and put right after: no crowd gets past the cap."


async def _spend(mine: Any, most: float, call: Callable[[], Awaitable[float]]) -> Any:
    try:
        return await mine.spend(most, call)
    except LimitHit as error:
        return error.code
    except ValueError:
        return "ValueError"


def _costs(dollars: float, paid: list[float] | None = None) -> Callable[[], Awaitable[float]]:
    async def call() -> float:
        await asyncio.sleep(0.001)
        if paid is not None:
            paid.append(dollars)
        return dollars

    return call


async def _fails() -> float:
    raise ValueError
