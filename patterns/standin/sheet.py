"""Text that is laid out in columns, taken apart: cells, labels with their values, amounts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

_CELL = re.compile(r"\S+(?: {1,2}\S+)*")
_AMOUNT = re.compile(
    r"(?<![\w.,/:-])(?P<sign>[-–−]\s?)?(?P<money>[€$£]|\b(?:EUR|USD|GBP|CHF)\s)?\s?(?P<minus>[-–−])?"
    r"(?P<whole>\d{1,3}(?:[.,' ]\d{3})+|\d+)\s?[.,]\s?(?P<cents>\d\d)(?!\d|[.,]\d|\s?%)(?P<behind>\s?[-–−](?!\w))?",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"(?<![\d.,])(\d{1,2}(?:[.,]\d{1,3})?)\s?%")


@dataclass(frozen=True, slots=True)
class Cell:
    """A text in its line, and the columns of letters from `start` up to `end` that it takes."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Row:
    """One line: its cells from left to right."""

    cells: tuple[Cell, ...]

    @cached_property
    def text(self) -> str:
        return "   ".join(cell.text for cell in self.cells)

    @cached_property
    def amounts(self) -> list[float]:
        return [value for value, _, _ in amounts(self.text)]

    @cached_property
    def percents(self) -> list[float]:
        return [float(one.replace(",", ".")) for one in _PERCENT.findall(self.text)]

    @cached_property
    def label(self) -> str:
        """What stands before the first amount."""
        return self.text[: next((start for _, start, _ in amounts(self.text)), len(self.text))].strip(" :.-")


def rows(text: str) -> list[Row]:
    """The lines of a text that are not empty; three spaces or more part two cells."""
    found = [
        Row(tuple(Cell(one[0], one.start(), one.end()) for one in _CELL.finditer(line.replace("\t", "   "))))
        for line in text.splitlines()
    ]
    return [row for row in found if row.cells]


def amounts(text: str) -> list[tuple[float, int, int]]:
    """Amounts of money with two decimals, with either decimal mark, and where each begins and ends."""
    found = []
    for one in _AMOUNT.finditer(text):
        value = float(re.sub(r"\D", "", one["whole"]) + "." + one["cents"])
        negative = any(one[part] for part in ("sign", "minus", "behind"))
        found.append((-value if negative else value, one.start(), one.end()))
    return found


def pairs(text: str) -> Iterator[tuple[str, str]]:
    """Labels with their values: `label: value` in a cell, a label left of its value, a label above it."""
    lines = rows(text)
    for number, row in enumerate(lines):
        for at, cell in enumerate(row.cells):
            inside = re.match(r"([^\W\d][^:=\n]{0,40}?)\s*[:=]\s*(\S.*)", cell.text)
            if inside:
                yield inside[1], inside[2]
            elif (numbered := re.match(r"([^\W\d][^\d:#]{1,30}?)[\s.:#]*#?\s*(\S*\d\S*)$", cell.text)) is not None:
                yield numbered[1].strip(), numbered[2]
            elif not re.search(r"\d", cell.text) and at + 1 < len(row.cells):
                yield cell.text.rstrip(" :"), row.cells[at + 1].text
        if number + 1 < len(lines) and _all_labels(row):
            for cell in row.cells:
                below = [
                    one for one in lines[number + 1].cells if one.start < cell.end + 1 and cell.start < one.end + 1
                ]
                if len(below) == 1:
                    yield cell.text.rstrip(" :"), below[0].text


def _all_labels(row: Row) -> bool:
    return all(re.search(r"[^\W\d]", cell.text) and not re.search(r"\d", cell.text) for cell in row.cells)
