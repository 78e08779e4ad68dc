"""Where things are kept: one git-ignored folder for everything that the project writes while it runs."""

import os
from functools import cache
from pathlib import Path


@cache
def checkout() -> Path | None:
    """The folder that holds `notebooks/`, `patterns/` and `data/`, or None for an installed package."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() else None


def folder() -> Path:
    """`$PATTERNS_STATE`, else `.state` in the checkout, else in the home folder."""
    return _folder(os.environ.get("PATTERNS_STATE"))


def file(name: str) -> Path:
    """What is called `name` in the folder: the same object each time, since every request asks several times."""
    return _file(os.environ.get("PATTERNS_STATE"), name)


@cache
def _folder(given: str | None) -> Path:
    return Path(given).expanduser() if given else (checkout() or Path.home()) / ".state"


@cache
def _file(given: str | None, name: str) -> Path:
    return _folder(given) / name
