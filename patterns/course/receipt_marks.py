"""How many fields of a receipt were read right, against what was printed on it (`data/images/truth.yaml`)."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import yaml

from .. import acme
from ..receipts import Receipt


@cache
def truth() -> dict[str, dict[str, Any]]:
    """What stands on each picture, by the name of its file."""
    return yaml.safe_load((acme.data_folder() / "images" / "truth.yaml").read_text(encoding="utf-8"))


def marks(name: str, receipt: Receipt | None) -> list[bool]:
    """For each field that was printed or read, whether both are equal; numbers to the cent, texts without case."""
    wanted = dict(_leaves(truth()[name]["fields"]))
    found = dict(_leaves(receipt.model_dump(mode="json"))) if receipt else {}
    return [place in wanted and place in found and wanted[place] == found[place] for place in wanted | found]


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{place}.{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{place}.{number}")
    else:
        yield place, _plain(value)


def _plain(value: Any) -> Any:
    try:
        return round(float(value), 2)
    except (TypeError, ValueError):
        return " ".join(value.casefold().split()) if isinstance(value, str) else value
