"""Markdown as chunking needs it: made from HTML, and taken apart into sections and blocks.

Read are headings with `#`, lists with their nested items, tables with `|` and fenced code; all else is prose. That is
less than a Markdown parser knows, and no line is ever lost: what is not understood is prose.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import count, pairwise, repeat
from typing import Literal

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t](.*)")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})[^`]*$")
_ITEM = re.compile(r"\s*([-*+]|\d{1,9}[.)])(\s|$)")


@dataclass(frozen=True, slots=True)
class Block:
    """`parts` are what may not be cut, each a list of lines: an item of a list, a row of a table, all of the others."""

    kind: Literal["prose", "list", "table", "code"]
    parts: list[list[str]]

    @property
    def head(self) -> str:
        """The header row of a table with the rule under it, or nothing."""
        has_one = self.kind == "table" and len(self.parts) > 1 and _is_rule(self.parts[1][0])
        return f"{self.parts[0][0]}\n{self.parts[1][0]}" if has_one else ""

    @property
    def body(self) -> list[str]:
        """The text of every part but the head."""
        return ["\n".join(lines) for lines in self.parts[2 if self.head else 0 :]]


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading, up to the next. `path` are the headings above it and its own."""

    path: tuple[str, ...]
    heading: str = ""  # empty before the first one
    blocks: list[Block] = field(default_factory=list)

    @property
    def heading_path(self) -> str:
        return " › ".join(self.path)

    def within(self, other: "Section") -> bool:
        return len(self.path) > len(other.path) and self.path[: len(other.path)] == other.path


def outline(title: str, text: str) -> list[Section]:
    """The sections in order. Every path begins with the title, which a first heading of the same words only repeats."""
    found = [Section((title,))]
    above: list[tuple[int, str]] = []  # the headings that are open, with their levels
    fence, blank = "", True
    for line, following in pairwise([*text.split("\n"), ""]):
        blocks = found[-1].blocks
        last = blocks[-1] if blocks else Block("prose", [])
        indented, starts = line[:1].isspace(), blank
        blank = not line.strip() and not fence
        if fence:
            last.parts[-1].append(line)
            mark = line.strip()
            fence = "" if len(mark) >= len(fence) and set(mark) == {fence[0]} else fence
        elif blank:
            continue
        elif heading := _heading(line):
            above = [*(pair for pair in above if pair[0] < heading[0]), heading]
            path = tuple(name for _, name in above)
            repeats = path[0].casefold() == title.strip().casefold()
            found.append(Section(path if repeats else (title, *path), heading[1]))
        elif opened := _FENCE.match(line):
            fence = opened[1]
            if last.kind == "list" and indented:
                last.parts[-1].append(line)
            else:
                blocks.append(Block("code", [[line]]))
        elif last.kind == "table" and not starts and "|" in line:
            last.parts.append([line])
        elif line.lstrip().startswith("|") or ("|" in line and _is_rule(following)):
            blocks.append(Block("table", [[line]]))
        elif _ITEM.match(line):
            if last.kind != "list":
                blocks.append(last := Block("list", []))
            last.parts.append([line])
        elif (last.kind == "list" and (indented or not starts)) or (last.kind == "prose" and blocks and not starts):
            last.parts[-1].append(line)
        else:
            blocks.append(Block("prose", [[line]]))
    return found


def _heading(line: str) -> tuple[int, str] | None:
    """(level, text) of a heading line that has words."""
    match = _HEADING.match(line)
    if match is None or not re.search(r"\w", match[2]):
        return None
    text = match[2].strip()
    opened = text.rstrip("#")  # "## Title ##" is closed, "## C#" is not
    return len(match[1]), (opened if opened[-1].isspace() else text).strip()


def _is_rule(line: str) -> bool:
    """Whether this is the line under the header row of a table."""
    return "|" in line and "-" in line and not line.strip("|-: \t\r")


def from_html(page: str) -> str:
    """Headings, lists, tables and `pre` as Markdown, the rest as plain text. Raises AssertionError as html.parser."""
    reader = _HtmlReader()
    reader.feed(page)
    return reader.markdown()


class _HtmlReader(HTMLParser):
    """Writes Markdown blocks. End tags that HTML lets authors leave out (li, p, td, tr) may be missing."""

    DROPPED = frozenset(("script", "style", "nav", "title", "template", "svg"))
    INLINE = frozenset(
        ("a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "em", "font", "i", "img", "input", "ins", "kbd",
         "label", "mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr")
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[tuple[str, str]] = []  # (kind, Markdown)
        self.words: list[str] = []  # of the block that is being read
        self.prefix = ""
        self.dropped, self.depth = "", 0  # the tag whose content is left out, and how often it is open
        self.lists: list[Iterator[str]] = []  # open lists: the markers of their items
        self.cells: list[list[str]] = []  # of the row that is being read
        self.tables, self.verbatim = 0, False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.depth:
            self.depth += tag == self.dropped
        elif tag in self.DROPPED:
            self.handle_data(" ")
            self.dropped, self.depth = tag, 1
        elif tag == "br":
            self.handle_data("\n")
        elif tag in ("td", "th"):
            self.end_block()
            self.cells.append([])
        elif tag not in self.INLINE:
            self.end_block(row=tag in ("tr", "table"))
            if re.fullmatch("h[1-6]", tag):
                self.prefix = "#" * int(tag[1]) + " "
            elif tag in ("ul", "ol"):
                self.lists.append(repeat("-") if tag == "ul" else (f"{n}." for n in count(1)))
            elif tag == "li":
                self.prefix = self.indent(-1) + (next(self.lists[-1]) if self.lists else "-") + " "
            self.tables += tag == "table"
            self.verbatim = self.verbatim or tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if self.depth:
            self.depth -= tag == self.dropped
        elif tag not in self.INLINE | self.DROPPED:
            self.end_block(row=tag in ("tr", "table"))
            self.verbatim = self.verbatim and tag != "pre"
            if tag in ("ul", "ol") and self.lists:
                self.lists.pop()
            self.prefix = self.indent()

    def handle_data(self, data: str) -> None:
        if not self.depth:
            (self.cells[-1] if self.cells else self.words).append(data)

    def indent(self, more: int = 0) -> str:
        return "  " * min(len(self.lists) + more, 8)  # a page may open a million lists

    def end_block(self, row: bool = False) -> None:
        """Blocks inside a cell stay in its one line: only the end of a row ends it."""
        text = "".join(self.words)
        self.words.clear()
        if self.cells and row:
            cells = [" ".join("".join(cell).split()).replace("|", "\\|") for cell in self.cells]
            self.cells.clear()
            kind = f"table {self.tables}"
            first = not self.blocks or self.blocks[-1][0] != kind
            self.blocks.append((kind, f"| {' | '.join(cells)} |" + ("\n|" + "---|" * len(cells)) * first))
        elif self.cells:
            self.cells[-1].append(" ")
        elif self.verbatim and text.strip():
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            self.blocks.append(("code", f"{fence}\n{text.strip(chr(10))}\n{fence}"))
        elif text := " ".join(text.split()):
            self.blocks.append(("item" if self.lists else "block", self.prefix + text))
            self.prefix = self.indent()

    def markdown(self) -> str:
        self.close()
        self.end_block(row=True)
        kinds = ["", *(kind for kind, _ in self.blocks)]
        joints = ["\n" if now == before and now not in ("block", "code") else "\n\n" for before, now in pairwise(kinds)]
        return "".join(joint + block for joint, (_, block) in zip(joints, self.blocks, strict=True))
