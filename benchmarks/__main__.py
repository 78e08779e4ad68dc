"""`python -m benchmarks`: measure the rows, print the scoreboard, write benchmarks/results/latest.json.

The exit code is 1 when something crashed, and 0 otherwise, also when a goal is missed: this measures, it does not gate.
"""

import argparse
import importlib
import json
import sys
import textwrap
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from .measure import Entry, Skipped

# Rows of the scoreboard, each with the module that measures it.
ROWS = {
    "first token": "first_token",
    "1": "guards",
    "2": "tool_loop",
    "3": "structured_output",
    "4": "sse_relay",
    "5": "retrieval",
    "retrieval": "cranfield",
    "6": "caching",
    "7": "false_hits",
    "8": "spending",
    "9": "imports",
    "10": "embeddings",
    "11": "cascade",
    "12": "fault_drill",
    "13": "notebooks",
    "banking77": "banking77",
    "routing": "knn_routing",
    "many streams": "many_streams",
    "sizing": "unit_costs",
    "load": "load",
    "receipts": "receipts",
    "calls": "calls",
    "injection": "injection",
    "pii": "pii",
}
LATEST = Path(__file__).parent / "results" / "latest.json"
WIDTH = 118


def run(rows: Mapping[str, str]) -> list[Entry]:
    """Measure every part of every row, one after the other. A crash becomes an entry, with its traceback on stderr."""
    entries = []
    for row, module in rows.items():
        number = int(row) if row.isdigit() else row
        try:
            parts = importlib.import_module(f"benchmarks.{module}").PARTS
        except Exception as error:
            entries.append(_crash(number, module, error))
            continue
        for part in parts:
            metric = part.__name__.replace("_", " ")
            print(f"row {row}: {metric} ...", file=sys.stderr, flush=True)
            try:
                entries += part()
            except Skipped as reason:
                entries.append(Entry(number, metric, None, note=f"skipped: {reason}"))
            except Exception as error:
                entries.append(_crash(number, metric, error))
    return entries


def _crash(row: int | str, metric: str, error: Exception) -> Entry:
    traceback.print_exception(error)
    return Entry(row, metric, None, note=f"crashed: {type(error).__name__}: {error}")


def verdict(entry: Entry) -> str:
    """One word for the table."""
    if entry.value is None:
        return entry.note.partition(":")[0]
    return {True: "holds", False: "MISSED", None: "no goal"}[entry.holds]


def table(entries: Sequence[Entry]) -> str:
    """The scoreboard as text: one aligned line per entry, with peers and note indented below it."""
    head = ("row", "metric", "value", "goal", "result")
    lines = [
        (str(entry.row), entry.metric, "" if entry.value is None else f"{entry.value:.4g}", entry.goal, verdict(entry))
        for entry in entries
    ]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    indent = " " * (widths[0] + 2)

    def aligned(line: Sequence[str]) -> str:
        row, metric, value, *rest = (
            cell.rjust(width) if index == 2 else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return "  ".join([row, metric, value, *rest]).rstrip()

    text = [aligned(head), "  ".join("-" * width for width in widths)]
    for entry, line in zip(entries, lines, strict=True):
        text.append(aligned(line))
        peers = ", ".join(
            f"{name} {value if isinstance(value, str) else f'{value:.4g}'}" for name, value in entry.peers.items()
        )
        for said in (peers and f"peers: {peers}", entry.note):
            text += textwrap.wrap(said, WIDTH, initial_indent=indent, subsequent_indent=indent)
    used = {f"{name} {version}" for entry in entries for name, version in entry.versions.items()}
    text += textwrap.wrap("versions: " + (", ".join(sorted(used)) or "none"), WIDTH, subsequent_indent="  ")
    missed = sum(verdict(entry) == "MISSED" for entry in entries)
    held = sum(entry.holds is True for entry in entries)
    crashed, skipped = (sum(verdict(entry) == word for entry in entries) for word in ("crashed", "skipped"))
    text.append(f"{held} goals hold, {missed} missed, {skipped} skipped, {crashed} crashed")
    return "\n".join(text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the scoreboard.")
    parser.add_argument("--row", action="append", choices=list(ROWS), help="only this row; may be given several times")
    parser.add_argument("--json", type=Path, default=LATEST, metavar="PATH", help="where to write what was measured")
    options = parser.parse_args(arguments)
    entries = run({row: module for row, module in ROWS.items() if row in (options.row or ROWS)})
    options.json.parent.mkdir(parents=True, exist_ok=True)
    measured = json.dumps([entry.to_json() for entry in entries], indent=1, ensure_ascii=False)
    options.json.write_text(measured + "\n", encoding="utf-8")
    print(table(entries))
    return 1 if any(verdict(entry) == "crashed" for entry in entries) else 0


if __name__ == "__main__":
    sys.exit(main())
