"""Every test has a state folder of its own and talks to the stand-in; none needs a key or a network."""

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from patterns import models, rag, state, store
from patterns.course import control

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # Two notebooks that run side by side would empty each other's caches.
    os.environ["PATTERNS_STATE"] = str(state.folder() / worker)

PATTERNS = ("PATTERNS_PROVIDER", "PATTERNS_DATA", "PATTERNS_REDIS_URL", "PATTERNS_TRACES", "PATTERNS_NAMES")
PATTERNS += ("PATTERNS_CHROMA_URL", "PATTERNS_CHROMA_CLOUD", "PATTERNS_DASK")
FAST: dict[str, Any] = {"time_to_first_token": 0, "tokens_per_second": 1e6}


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "PATTERNS_MODEL_", "OLLAMA_", "OTEL_", "CHROMA_")) or name in PATTERNS:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATTERNS_STATE", str(tmp_path / "state"))
    # The stand-in keeps dials and log by key, and of the log only the latest requests.
    monkeypatch.setattr(models, "_STANDIN_KEY", f"standin-{uuid.uuid4().hex[:12]}")
    yield tmp_path / "state"
    store.close_under(tmp_path)


@pytest.fixture
async def turn_dials() -> AsyncIterator[Callable[..., None]]:
    """A stand-in without waiting times. Call the fixture's value to turn further dials; afterwards all are at rest."""
    control.turn(**FAST)
    yield lambda **values: control.turn(**{**FAST, **values})
    control.turn()
    await models.close()


@pytest.fixture(scope="session")
def acme_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with the index of Acme's help centres, built once: embedding 460 chunks takes a while."""
    folder = tmp_path_factory.mktemp("library")

    async def build() -> None:
        control.turn(**FAST)
        await rag.acme_index()
        await models.close()

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PATTERNS_STATE", str(folder))
        asyncio.run(build())
        store.close_under(folder)
    return folder


@pytest.fixture
def with_library(acme_library: Path, own_state: Path) -> Path:
    """This test's own state folder, with a copy of the index in it."""
    shutil.copytree(acme_library, own_state, dirs_exist_ok=True)
    return own_state
