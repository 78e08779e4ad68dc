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


@cache
def _folder(given: str | None) -> Path:
    return Path(given).expanduser() if given else (checkout() or Path.home()) / ".state"
