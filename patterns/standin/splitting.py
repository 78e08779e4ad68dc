"""The sentences of a document: paragraphs, list items and table rows, each with the heading it stands under."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from .documents import Document
from .words import sentences

REMEMBERED = 2_000
"""Documents whose sentences are kept."""
_ITEM = r"(?:[-*•+–]|\d{1,2}[.)]|\(?[a-z]\))\s+"


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing that a document says. `lead` introduces the list that it is an item of; `block` is its paragraph."""

    text: str
    document: int
    heading: str
    lead: str
    block: int

    @property
    def in_context(self) -> str:
        """The sentence with what it needs to be understood."""
        return (
            f"{self.lead} {self.text}" if self.lead else f"{self.heading}: {self.text}" if self.heading else self.text
        )


def split(document: Document, number: int) -> list[Sentence]:
    """The sentences of one document: paragraphs, list items and table rows (each row read with its header)."""
    return [replace(one, document=number) for one in _split(document.title, document.text)]


@lru_cache(maxsize=REMEMBERED)
def _split(title: str, text: str) -> tuple[Sentence, ...]:
    found: list[Sentence] = []
    heading, lead, header, asked, block = title, "", list[str](), "", 0
    text = re.sub(r"<!--.*?-->|</?[a-z][^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    for line in _lines(text, title):
        block += line == ""
        item = re.match(rf"{_ITEM}(.*)", line)
        if not line:
            header, asked = [], ""
        elif line.startswith("#"):
            heading, lead = _under(title, line.strip("# ").rstrip(":")), ""
        elif line.startswith("|") or line.count(" | ") >= 1:
            cells = [_plain(cell) for cell in line.strip("|").split("|")]
            if header and not set(line) <= set("|:- "):
                row = ", ".join(
                    f"{name}: {cell.rstrip('.')}" if name else cell
                    for name, cell in zip(header, cells, strict=False)
                    if cell
                )
                found.append(Sentence(row, 0, heading, "", block))
            header = header or cells
        elif item and lead:
            found.append(Sentence(_plain(item[1]), 0, heading, lead, block))
        else:
            for sentence in sentences(_plain(item[1] if item else line)):
                sentence = re.sub(r"^(?:Q|A|Question|Answer|Frage|Antwort)\s*:\s*", "", sentence)
                if sentence.endswith("?"):
                    asked = sentence
                elif sentence.endswith(":"):
                    lead = sentence
                elif sentence:
                    found.append(Sentence(sentence, 0, f"{heading} {asked}".strip(), "", block))
            if not line.endswith(":"):
                lead = ""
    return tuple(found)


def _under(title: str, heading: str) -> str:
    """A heading with the title of its document before it, unless it says that itself."""
    return f"{title}, {heading}" if title and title.lower() not in heading.lower() else heading


def _lines(text: str, title: str) -> list[str]:
    """The lines of a text: those of a wrapped paragraph joined, and headings marked by `#`."""
    found: list[str] = []
    for raw in text.splitlines():
        line = raw.strip()
        before = found[-1] if found else ""
        if line and not any(found) and _names_the_place(line, title):
            found.append(f"# {line.replace(' › ', ', ')}")
            continue
        special = re.match(rf"{_ITEM}|[#|]", line)
        wrapped = before and line and not special and before[0] not in "#|" and before[-1] not in ".!?:;"
        if wrapped and (line[0].islower() or len(before.rsplit("\n", 1)[-1]) > 60):
            found[-1] = f"{before} {line}"
        else:
            found.append(line)
    return found


def _names_the_place(line: str, title: str) -> bool:
    """Whether the first line of a chunk is the path of headings to it ("Fares › Children") or repeats its title."""
    return line == title or (" › " in line and len(line) < 200) or bool(title and line.startswith(f"{title} > "))


def _plain(text: str) -> str:
    """Without Markdown's emphasis, code marks and link targets."""
    text = re.sub(r"!?\[([^\]]+)\]\([^)]*\)", r"\1", text)
    return re.sub(r"(?<!\w)[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}(?!\w)", "", text).strip()
