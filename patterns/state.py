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
    if given := os.environ.get("PATTERNS_STATE"):
        return Path(given).expanduser()
    return (checkout() or Path.home()) / ".state"
