"""Rows of aligned text as the entries of a list: which cell of a row belongs to which field.

With a header, a cell belongs to the column that it stands under, and a column to the field that its heading names.
Without one, as on a till receipt, an entry is a line with an amount before the first sum (`till`).
"""

import re
from collections.abc import Sequence

from . import till
from .entry import PARTS, Entry, whole
from .sheet import Cell, Row, amounts
from .terms import COLUMNS, field_term, label_term, likeness
from .totals import sum_term


def entries(page: Sequence[Row], fields: Sequence[str]) -> list[Entry]:
    """The entries of the list that fits the fields (names in words) best; none when the page has no such list."""
    at, columns = _header(page, fields)
    if columns:
        return _under(page[at + 1 :], columns, fields)
    if any(field_term(name, COLUMNS) in PARTS for name in fields):
        return till.sold(page, fields)
    return []


def _header(page: Sequence[Row], fields: Sequence[str]) -> tuple[int, list[tuple[Cell, str]]]:
    """The row that names at least two of the fields, and for each of its cells the field, or ""."""
    best: tuple[int, list[tuple[Cell, str]]] = (-1, [])
    for at, row in enumerate(page):
        if row.amounts or len(row.cells) < 2 or at + 1 >= len(page):
            continue
        close = len(page[at + 1].cells) > len(row.cells)
        named = _named(_split(row.cells, fields) if close else row.cells, fields)
        if sum(bool(name) for _, name in named) > max(1, sum(bool(name) for _, name in best[1])):
            best = at, named
    return best


def _split(cells: Sequence[Cell], fields: Sequence[str]) -> list[Cell]:
    """The cells of a heading, with two headings that stand so close that they look like one told apart."""
    found: list[Cell] = []
    for cell in cells:
        for space in re.finditer(r"\s+", cell.text):
            parts = cell.text[: space.start()], cell.text[space.end() :]
            left, right = (max(fields, key=lambda name, part=part: _fit(name, part), default="") for part in parts)
            if left != right and _fit(left, parts[0]) > 0 and _fit(right, parts[1]) > 0:
                middle = cell.start + space.end()
                found += [Cell(parts[0], cell.start, middle - 1), Cell(parts[1], middle, cell.end)]
                break
        else:
            found.append(cell)
    return found


def _named(cells: Sequence[Cell], fields: Sequence[str]) -> list[tuple[Cell, str]]:
    """Each cell of a heading with the field that it names; every field at most once, the best match first."""
    scores = sorted(
        (
            (_fit(name, cell.text), -place, -at)
            for at, cell in enumerate(cells)
            for place, name in enumerate(fields)
            if _fit(name, cell.text) > 0
        ),
        reverse=True,
    )
    taken: dict[int, str] = {}
    for _, place, at in scores:
        if -at not in taken and fields[-place] not in taken.values():
            taken[-at] = fields[-place]
    return [(cell, taken.get(at, "")) for at, cell in enumerate(cells)]


def _fit(name: str, heading: str) -> float:
    term = field_term(name, COLUMNS)
    same = bool(term) and term == label_term(heading, COLUMNS)
    return likeness(name, heading) + same


def _under(body: Sequence[Row], columns: Sequence[tuple[Cell, str]], fields: Sequence[str]) -> list[Entry]:
    """The rows below a heading, up to the first sum; a row without numbers goes on with the text of the one before."""
    found: list[Entry] = []
    for row in body:
        if sum_term(row) and (found or not row.percents):
            if label_term(row.label) == "discount":
                continue
            break
        cells = _placed(row, columns)
        if len(cells) >= max(2, len(columns) // 2):
            found.append(whole(row, cells, fields))
        elif found and not row.amounts and len(row.cells) == 1 and not _code(row.text):
            break_off = len(found[-1].cells) < 2
            if break_off:
                break
            found[-1] = _longer(found[-1], row.text, fields)
        elif len(row.cells) > 1 and found:
            break
    return found


def _placed(row: Row, columns: Sequence[tuple[Cell, str]]) -> dict[str, str]:
    """The texts of a row by the field of the column that each stands under."""
    cells: dict[str, str] = {}
    for cell in row.cells:
        column = max(columns, key=lambda one: _overlap(one[0], cell))
        if column[1]:
            cells[column[1]] = f"{cells[column[1]]} {cell.text}" if column[1] in cells else cell.text
    names = {field_term(name, COLUMNS): name for _, name in columns if name}
    said, price = cells.get(names.get("text", ""), ""), names.get("price", "")
    money = amounts(said)
    if price and price not in cells and money and money[-1][2] == len(said):
        # A long text ran up to the price, and both were read as one.
        cells |= {names["text"]: said[: money[-1][1]].strip(), price: said[money[-1][1] :]}
    return cells


def _overlap(heading: Cell, cell: Cell) -> float:
    """Letters in common; where there are none, minus how far apart they are."""
    return min(heading.end, cell.end) - max(heading.start, cell.start)


def _code(text: str) -> bool:
    return bool(re.search(r"\d", text)) and len(text.split()) <= 3


def _longer(entry: Entry, text: str, fields: Sequence[str]) -> Entry:
    name = next((name for name in fields if field_term(name, COLUMNS) == "text"), None)
    if name is None or name not in entry.cells:
        return entry
    return Entry(f"{entry.text} {text}", {**entry.cells, name: f"{entry.cells[name]} {text}"})
