"""Notebook 12."""

from collections.abc import Awaitable, Callable
from typing import Any

from ...errors import CallerError, LimitHit, PatternsError, ProviderError
from . import NotYet, exercise


@exercise
async def next_wait(solution: Any) -> str:
    for attempt in range(1, 8):
        bound = min(2.0, 0.2 * 2 ** (attempt - 1))
        if abs(solution(attempt, None, 1.0) - bound) > 1e-9:
            raise NotYet(f"after attempt {attempt} the longest wait is {bound:g} s; it doubles, up to 2 s.")
        if abs(solution(attempt, None, 0.0)) > 1e-9:
            raise NotYet("with full jitter the wait may be nothing at all: the dice decides about all of it.")
        if abs(solution(attempt, None, 0.5) - bound / 2) > 1e-9:
            raise NotYet("the dice, from 0 to 1, is the share of the longest wait.")
    if solution(1, 30.0, 0.0) < 30.0:
        raise NotYet("the provider asked for 30 s, and it was called before.")
    if solution(1, 30.0, 0.0) == solution(1, 30.0, 1.0):
        raise NotYet("everybody who was told 30 s comes back at the same moment: the jitter belongs on top.")
    return "Never before the provider asked for it, and never all at once."


@exercise
async def first_that_works(solution: Any) -> str:
    if (end := await _outcome(solution, ["live"])) != "live":
        raise NotYet(f"the first rung works, and its answer must be returned; this gave {end!r}.")
    if (end := await _outcome(solution, [_down(), _down(), "simplified"])) != "simplified":
        raise NotYet(f"two rungs are down, so the third answers; this gave {end!r}.")
    tried: list[int] = []
    await _outcome(solution, ["live", "simplified"], tried)
    if tried != [0]:
        raise NotYet("the first rung has answered, and the second was asked as well.")
    for error in (CallerError("x", "y", "bad_request"), LimitHit("x", "y", "budget"), _down("refused", False)):
        if (end := await _outcome(solution, [error, "simplified"])) != error.code:
            raise NotYet(
                f"{type(error).__name__} ({error.code}) is no outage: it must come out, and this gave {end!r}."
            )
    if (end := await _outcome(solution, [_down("timeout"), _down("overloaded")])) != "overloaded":
        raise NotYet(f"when all rungs are down, the last one's error must come out; this gave {end!r}.")
    return "Only an outage moves down, and no rung is asked in vain."


def _down(code: str = "overloaded", transient: bool = True) -> ProviderError:
    return ProviderError("Down.", "Try again.", code, transient=transient)


async def _outcome(solution: Any, plan: list[Any], tried: list[int] | None = None) -> Any:
    def rung(number: int, step: Any) -> Callable[[], Awaitable[str]]:
        async def ask() -> str:
            if tried is not None:
                tried.append(number)
            if isinstance(step, Exception):
                raise step
            return step

        return ask

    try:
        return await solution([rung(number, step) for number, step in enumerate(plan)])
    except PatternsError as error:
        return error.code
