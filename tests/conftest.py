"""Every test has a state folder of its own and talks to the stand-in; none needs a key or a network."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from patterns import models, store
from patterns.course import control

FAST: dict[str, Any] = {"time_to_first_token": 0, "tokens_per_second": 1e6}


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "PATTERNS_MODEL_", "OLLAMA_")) or name in ("PATTERNS_PROVIDER", "PATTERNS_DATA"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATTERNS_STATE", str(tmp_path / "state"))
    yield tmp_path / "state"
    store.close_under(tmp_path)


@pytest.fixture
async def turn_dials() -> AsyncIterator[Callable[..., None]]:
    """A stand-in without waiting times. Call the fixture's value to turn further dials; afterwards all are at rest."""
    control.turn(**FAST)
    yield lambda **values: control.turn(**{**FAST, **values})
    control.turn()
    await models.close()
