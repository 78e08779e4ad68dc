"""Notebook 00."""

from typing import Any

from ...events import Turn
from . import NotYet, exercise
from .watched import QUESTION, Watched, stops_early


@exercise
async def first_token_seconds(solution: Any) -> str:
    watched = Watched()
    seconds = await stops_early(solution(watched, Turn(QUESTION)), watched, most=30)
    if not isinstance(seconds, float):
        raise NotYet(f"it returned {seconds!r}; seconds as a float are expected.")
    if watched.first_token is None:
        raise NotYet("it did not wait for a piece of text.")
    if abs(seconds - watched.first_token) > 0.05 + 0.2 * watched.first_token:
        raise NotYet(f"it returned {seconds:.2f} s, and the first piece came after {watched.first_token:.2f} s.")
    return "The first word was timed, and the provider stopped after it."
