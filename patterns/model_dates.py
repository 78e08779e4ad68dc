"""Warns before a hosted model that `models.toml` names is shut down.

    python -m patterns.model_dates

The dates are those that the installed OpenAI SDK lists in `openai/types/shared/chat_model.py`. Exit code 1 when a named
model has 60 days or less to live, or when no date can be read any more. Run by the calendar, not by `make test`.
"""

import importlib.util
import re
import sys
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

from .models import catalogue

NOTICE = timedelta(days=60)

_ENTRY = re.compile(r"^- (.*?)(?=^- |\Z)", re.MULTILINE | re.DOTALL)
_DATE = re.compile(r"Announced shutdown\s+date:\s+(\d{4}-\d{2}-\d{2})")


def shutdown_dates(text: str) -> dict[str, date]:
    """Model to announced shutdown date, from the SDK's list of deprecated values."""
    found: dict[str, date] = {}
    for entry in _ENTRY.findall(text):
        if announced := _DATE.search(entry):
            names = re.findall(r'"([^"]+)"', entry[: announced.start()])
            found |= dict.fromkeys(names, date.fromisoformat(announced[1]))
    return found


def warnings(dates: Mapping[str, date], today: date) -> list[str]:
    """One sentence for each model of `models.toml` that is gone or has `NOTICE` or less to live."""
    lines = []
    for provider, settings in catalogue().items():
        for tier, values in settings["tiers"].items():
            ends = dates.get(values["model"])
            if ends is not None and ends - today <= NOTICE:
                lines.append(f"[{provider}.tiers] {tier}: {values['model']} shuts down on {ends}. Name another model.")
    return lines


def _sdk_list() -> str:
    spec = importlib.util.find_spec("openai")
    assert spec is not None and spec.origin is not None
    return (Path(spec.origin).parent / "types" / "shared" / "chat_model.py").read_text(encoding="utf-8")


def main() -> None:
    dates = shutdown_dates(_sdk_list())
    if not dates:
        sys.exit("The SDK lists no shutdown dates where they used to be. Mend patterns/model_dates.py.")
    lines = warnings(dates, date.today())
    print("\n".join(lines) or f"None of the named models is about to be shut down ({len(dates)} dates read).")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
