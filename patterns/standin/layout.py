"""Words with boxes, as they stand on a page, put into lines of text, with the columns of a line kept apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

GAP = "   "
"""What stands between two columns of a line: three spaces, so that one or two may be part of a text."""
_APART = 2.0
"""Two words of one piece further apart than this, in letters, belong to different columns."""
_BLOCK = 1.4
"""Two lines further apart than this, as a multiple of the usual distance, have an empty line between them."""
_COLUMN = 1.1
"""Two words further apart than this, in heights of their line, belong to different columns."""


@dataclass(frozen=True, slots=True)
class Box:
    """A piece of text and its corners, shape (4, 2), clockwise from top left, in pixels."""

    text: str
    corners: np.ndarray


@dataclass(frozen=True, slots=True)
class Cell:
    """Text at a place: `left`, `right`, `middle` (of its height) and `height`, in pixels of the page set straight."""

    text: str
    left: float
    right: float
    middle: float
    height: float


Line = tuple[Cell, ...]


def lines(boxes: Sequence[Box]) -> list[Line]:
    """The lines of a page, each with its cells from left to right."""
    if not boxes:
        return []
    cells = _straight(boxes)
    found: list[list[Cell]] = []
    for cell in sorted(cells, key=lambda one: one.middle):
        beside = [line for line in found if _level(line, cell)]
        if beside:
            min(beside, key=lambda line: _distance(line, cell)).append(cell)
        else:
            found.append([cell])
    ordered = [_joined(sorted(line, key=lambda one: one.left)) for line in found]
    return sorted(ordered, key=lambda line: float(np.mean([cell.middle for cell in line])))


def parted(text: str, words: Sequence[Box]) -> list[Box]:
    """A text that was read in one piece, cut where its words stand as far apart as columns do."""
    if not words:
        return []
    letter = sum(_width(word) for word in words) / sum(len(word.text) for word in words)
    found: list[list[Box]] = [[words[0]]]
    for before, word in pairwise(words):
        gap = float(np.hypot(*(word.corners[0] - before.corners[1])))
        if gap > _APART * letter:
            found.append([word])
        else:
            found[-1].append(word)
    cut, at = [], 0
    for group in found:
        start = text.find(group[0].text, at)
        for word in group:
            place = text.find(word.text, at)
            at = place + len(word.text) if place >= 0 else at
        said = text[start:at] if start >= 0 else " ".join(word.text for word in group)
        first, last = group[0].corners, group[-1].corners
        cut.append(Box(said.strip(), np.array([first[0], last[1], last[2], first[3]])))
    return [box for box in cut if box.text]


def _width(box: Box) -> float:
    return float(np.hypot(*(box.corners[1] - box.corners[0])))


def text(page: Sequence[Line]) -> str:
    """The page as text of a fixed width: what stands under each other on the page does so in the text, too."""
    cells = [cell for line in page for cell in line]
    if not cells:
        return ""
    letter = max(1.0, float(np.median([(cell.right - cell.left) / len(cell.text) for cell in cells])))
    edge = min(cell.left for cell in cells)
    written: list[str] = []
    middles = [float(np.mean([cell.middle for cell in line])) for line in page]
    steps = np.diff(middles, prepend=middles[0])
    usual = float(np.median(steps[1:])) if len(page) > 1 else 0.0
    for line, step in zip(page, steps, strict=True):
        if step > _BLOCK * usual:
            written.append("")
        row = ""
        for cell in line:
            column = round((cell.left - edge) / letter)
            row = f"{row}{GAP if row else ''}".ljust(column) + cell.text
        written.append(row)
    return "\n".join(written)


def _straight(boxes: Sequence[Box]) -> list[Cell]:
    """The boxes turned back by the page's slant, which the long ones show best."""
    corners = np.array([box.corners for box in boxes], dtype=float)
    across = (corners[:, 1] - corners[:, 0] + corners[:, 2] - corners[:, 3]) / 2
    lengths = np.hypot(*across.T)
    slants = np.arctan2(across[:, 1], across[:, 0])
    order = np.argsort(slants)
    share = np.cumsum(lengths[order]) / max(lengths.sum(), 1e-9)
    slant = float(slants[order][int(np.searchsorted(share, 0.5).clip(0, len(order) - 1))])
    turn = np.array([[np.cos(slant), -np.sin(slant)], [np.sin(slant), np.cos(slant)]])
    placed = corners @ turn
    left, right = placed[:, [0, 3], 0].mean(axis=1), placed[:, [1, 2], 0].mean(axis=1)
    top, bottom = placed[:, :2, 1].mean(axis=1), placed[:, 2:, 1].mean(axis=1)
    return [
        Cell(box.text, float(left[at]), float(right[at]), float(top[at] + bottom[at]) / 2, float(bottom[at] - top[at]))
        for at, box in enumerate(boxes)
    ]


def _distance(line: Sequence[Cell], cell: Cell) -> float:
    """How far, in heights, a cell is off the level of the nearest cell of a line."""
    nearest = min(line, key=lambda one: max(one.left - cell.right, cell.left - one.right))
    return abs(nearest.middle - cell.middle) / max(1.0, min(nearest.height, cell.height))


def _level(line: Sequence[Cell], cell: Cell) -> bool:
    over = any(min(one.right, cell.right) - max(one.left, cell.left) > 0.5 * cell.height for one in line)
    return not over and _distance(line, cell) < 0.5


def _joined(line: list[Cell]) -> Line:
    """Neighbours that stand as close as words of one text become one cell."""
    kept: list[Cell] = []
    for cell in line:
        last = kept[-1] if kept else None
        if last is not None and cell.left - last.right < _COLUMN * min(last.height, cell.height):
            middle, height = (last.middle + cell.middle) / 2, max(last.height, cell.height)
            kept[-1] = Cell(f"{last.text} {cell.text}", last.left, cell.right, middle, height)
        else:
            kept.append(cell)
    return tuple(kept)
