"""Answers as they lie in the backend: how one is stored, found, and served again.

A cache is a help and no condition: where the backend cannot be used, or what lies in it cannot be read any more, that
is logged and counted (`cache.failed`), and there is no kept answer.
"""

import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from . import backend, metrics
from .backend import Entry
from .cache_keys import Freshness
from .errors import PatternsError
from .events import Answer, Event, Status, TextDelta, Turn

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that was made at `stored` and may be served as cached until `fresh`, both Unix time."""

    answer: Answer
    stored: float
    fresh: float

    @property
    def is_fresh(self) -> bool:
        return time.time() < self.fresh

    def replay(self, turn: Turn, served: Literal["cached", "stale"] = "cached") -> list[Event]:
        """The answer as the events of `turn`: it costs nothing, and says how old it is."""
        own = {"served": served, "cost_usd": 0.0, "trace_id": turn.trace_id}
        told = Status("drafting", f"answered {age(time.time() - self.stored)}")
        return [told, TextDelta(self.answer.text), self.answer.model_copy(update=own)]


def age(seconds: float) -> str:
    """For people: "just now", "5 minutes ago"."""
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return "just now"


def pack(answer: Answer, **more: Any) -> str:
    """The answer as text; `more` is kept beside it."""
    output = answer.output and answer.output.model_dump(mode="json")
    return json.dumps({"answer": answer.model_dump(mode="json", exclude={"output"}), "output": output, **more})


def unpack(entry: Entry, turn: Turn) -> Kept | None:
    """The answer in `entry`, with the value that `turn` asks for; None when it cannot be read any more."""
    try:
        return Kept(_answer(entry.value, turn.output), entry.stored, entry.fresh)
    except (ValueError, TypeError, KeyError, ValidationError) as error:
        _failed("unreadable", error)
        return None


@lru_cache(maxsize=1024)  # an Answer cannot be changed, so it may be given to several
def _answer(packed: str, wanted: type[BaseModel] | None) -> Answer:
    value = json.loads(packed)
    return Answer(**value["answer"], output=wanted.model_validate(value["output"]) if wanted else None)


async def look_up(key: str, turn: Turn) -> Kept | None:
    """The answer under `key`, fresh or stale."""
    try:
        entry = await backend.default().get(key)
    except PatternsError as error:
        _failed(error.code, error)
        return None
    return unpack(entry, turn) if entry else None


async def store(key: str, value: str, lives: Freshness, tags: Sequence[str]) -> None:
    with failing_softly():
        await backend.default().put(key, value, lives.fresh, lives.keep, tags)


@contextmanager
def failing_softly() -> Iterator[None]:
    """Leave the block when the backend cannot be used."""
    try:
        yield
    except PatternsError as error:
        _failed(error.code, error)


def _failed(reason: str, error: Exception) -> None:
    metrics.count("cache.failed", reason=reason)
    log.warning("The cache cannot be used, the answer is made anew: %s", error)
