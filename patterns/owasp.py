"""The OWASP Top 10 for LLM applications (2025) as a table: risk, where it is held, which test shows it."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import yaml

from . import acme


@dataclass(frozen=True, slots=True)
class Risk:
    """`held` are dotted names in the code; `tests` are files under tests/, or one test in a file."""

    id: str
    risk: str
    held: tuple[str, ...]
    tests: tuple[str, ...]


def risks() -> tuple[Risk, ...]:
    """All ten, from `data/owasp_llm_2025.yaml`."""
    rows = yaml.safe_load((acme.data_folder() / "owasp_llm_2025.yaml").read_text(encoding="utf-8"))
    return tuple(Risk(row["id"], row["risk"], tuple(row["held"]), tuple(row["tests"])) for row in rows)


def held_by(name: str) -> Any:
    """What a dotted name stands for. Raises AttributeError or ImportError."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found: Any = import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


def table() -> str:
    """One line a risk, in Markdown."""
    head = "| risk | held by | shown by |\n|---|---|---|"
    rows = []
    for one in risks():
        held = "<br>".join(f"`{name.removeprefix('patterns.')}`" for name in one.held if held_by(name) is not None)
        tests = "<br>".join(f"`{name.rpartition('::')[2]}`" for name in one.tests)
        rows.append(f"| {one.id} {one.risk} | {held} | {tests} |")
    return "\n".join([head, *rows])
