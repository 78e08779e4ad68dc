"""What a field may be filled from: the texts of a prompt in order of trust, the pieces in them, "
"key-value pairs, examples."""

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from . import reading, telling
from .days import stated_today
from .prompt import Prompt
from .relevance import Encode
from .sheet import Row, pairs, rows
from .spans import Kind, Span, nearness, spans
from .words import humanise, stems

FOUND = 0.6
"""The trust in documents that were found, beside what the user said."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value for a field and how well it is supported, 0 to 1."""

    value: Any
    support: float


@dataclass
class Evidence:
    """The material for one form. `row` is the one line that a list entry is read from, when there is one, and `cells`
    what stands in it for each field when it is a row of a table.

    `earlier` and `margins` are what was written and how clearly it was chosen so far; `taken` are the arguments so far,
    `chosen` how clearly each listed value was chosen, by the field's name.
    """

    prompt: Prompt
    meaning: Encode | None
    calling: bool = False
    row: str | None = None
    cells: Mapping[str, str] | None = None
    earlier: list[str] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    chosen: dict[str, float] = field(default_factory=dict)

    @cached_property
    def reading(self) -> reading.Reading:
        return telling.answer(self.prompt, self.meaning)

    @cached_property
    def today(self) -> dt.date | None:
        said = [self.prompt.instructions, self.prompt.question, *(one.text for one in self.prompt.history)]
        return next((day for text in said if (day := stated_today(text))), None)

    @cached_property
    def sheet(self) -> list[Row]:
        """The lines of the images that the prompt came with."""
        return [row for one in self.prompt.documents if one.source == "image" for row in rows(one.text)]

    @cached_property
    def own(self) -> str:
        """The text the form is about: what the user wrote or pasted, or the images that the user sent."""
        if self.row is not None:
            return self.row
        if self.sheet and not self.calling:
            return "\n".join(one.text for one in self.prompt.documents if one.source == "image")
        pasted = [one.text for one in self.prompt.documents if one.source == "user"]
        if self.calling or not pasted:
            return self.prompt.question
        return "\n".join([self.prompt.question, *pasted])

    @cached_property
    def texts(self) -> list[tuple[str, float]]:
        """Texts with the trust in each, most trusted first."""
        if self.row is not None:
            return [(self.row, 1.0)]
        told = [(self.prompt.question, 1.0)]
        told += [
            (one.text, 1.0 if one.source in ("user", "image") and not self.calling else FOUND)
            for one in self.prompt.documents
        ]
        told += [(one.text, 0.9 if one.role == "user" else 0.8) for one in reversed(self.prompt.history)]
        told += [(one.content, 0.8) for one in self.prompt.tool_results if isinstance(one.content, str)]
        return [(text, trust) for text, trust in told if text]

    @cached_property
    def pieces(self) -> list[tuple[str, float, list[Span]]]:
        return [(text, trust, spans(text[:60_000], self.today)) for text, trust in self.texts]

    @cached_property
    def pairs(self) -> list[tuple[str, Any, float]]:
        """Keys with their values and trust: of earlier tool results and arguments, and of `Label: value` lines."""
        found: list[tuple[str, Any, float]] = []
        if self.row is None:
            for result in reversed(self.prompt.tool_results):
                found += [
                    (key, value, 0.9)
                    for key, value in _leaves(result.content, humanise(result.name).rpartition(" ")[2])
                ]
                found += [(key, value, 0.8) for key, value in _leaves(result.arguments, "")]
        found += [
            (key, value, 0.95)
            for one in self.prompt.documents
            if one.source == "image"
            for key, value in pairs(one.text)
        ]
        images = [one.text for one in self.prompt.documents if one.source == "image"]
        for text, trust in self.texts:
            if text in images:
                continue
            for line in re.finditer(
                r"^[ \t*_-]*([^\W\d][\w '/-]{1,40}?)[ \t*_]*[:=][ \t*_]*(\S[^\n]*)$", text, re.MULTILINE
            ):
                found.append((line[1], line[2].strip("*_ "), trust))
        return found

    @cached_property
    def examples(self) -> list[tuple[str, Any]]:
        """Worked examples in the prompt: input text, and output as text or parsed JSON."""
        lines = re.finditer(
            r"^[ \t\d.*-]*(?:\w+ ?\w*:[ \t]*)?[\"“']?(.+?)[\"”']?[ \t]*(?:->|=>|→)[ \t]*(.+)$",
            self.prompt.instructions,
            re.MULTILINE,
        )
        found = [(line[1], line[2]) for line in lines]
        pattern = r"^(?:text|input|ticket|message|question|user|example)\b[^:\n]*:[ \t]*(.+)\n(?:[\w ]+:[ \t]*)(.+)$"
        found += [
            (one[1], one[2]) for one in re.finditer(pattern, self.prompt.instructions, re.MULTILINE | re.IGNORECASE)
        ]
        turns = self.prompt.history
        found += [(one.text, two.text) for one, two in pairwise(turns) if (one.role, two.role) == ("user", "assistant")]
        return [(one, _json(two)) for one, two in found]

    def nearest(self, kinds: set[Kind], hint: str, alone: float = 0.5) -> list[Candidate]:
        """Pieces of some kinds, best first. One that stands alone of its kind has at least the support `alone`."""
        found: list[Candidate] = []
        shapes = [one.text for one in spans(hint) if one.kind == "id"]
        for text, trust, pieces in self.pieces:
            if self.calling and "date" in kinds and trust <= FOUND:
                continue  # the day on which something shall be done is said by the user, not by a document
            wanted = [one for one in pieces if one.kind in kinds]
            near = nearness(wanted, text, hint, self.meaning)
            floor = alone if len({str(one.value) for one in wanted}) == 1 else alone * 0.6
            found += [
                Candidate(one.value, round(trust * float(max(score, floor + 0.1 * score) + _shaped(one, shapes)), 4))
                for one, score in zip(wanted, near, strict=True)
            ]
        return sorted(found, key=lambda one: -one.support)

    def labelled(self, name: str) -> list[Candidate]:
        """Values whose key is named like the field, best first."""
        wanted = stems(name)
        found = []
        for key, value, trust in self.pairs:
            have = stems(key)
            if wanted and have and wanted & have:
                share = len(wanted & have) / len(wanted | have)
                if share >= 0.5 or wanted <= have:
                    found.append(Candidate(value, round(trust * (0.6 + 0.4 * share), 4)))
        order = np.argsort([-one.support for one in found], kind="stable")
        return [found[int(at)] for at in order]


def shape(text: str) -> str:
    """The form of an identifier: its letters, with every run of digits as one 0."""
    return re.sub(r"\d+", "0", text)


def alike(one: str, other: str) -> bool:
    """Whether two identifiers have the same form, with about as many digits; the letters may be others."""
    forms = [re.sub(r"[A-Za-z]", "a", shape(text)) for text in (one, other)]
    digits = [sum(char.isdigit() for char in text) for text in (one, other)]
    return forms[0] == forms[1] and abs(digits[0] - digits[1]) <= 1


def _shaped(one: Span, shown: list[str]) -> float:
    """What the likeness of an identifier to the examples in a description adds to its support."""
    if one.kind != "id" or not shown:
        return 0.0
    if shape(one.text) in map(shape, shown):
        return 0.4
    if any(alike(one.text, other) for other in shown):
        return 0.1
    runs = [re.sub(r"[A-Za-z]+", "a", shape(text)) for text in (one.text, *shown)]
    digits = [sum(char.isdigit() for char in text) for text in (one.text, *shown)]
    return -0.1 if runs[0] in runs[1:] and min(digits[1:]) <= digits[0] + 1 else -0.4


def _leaves(value: Any, above: str) -> Iterator[tuple[str, Any]]:
    """Every scalar with its key; a bare `id` or `name` takes the name of what it belongs to."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            name = humanise(str(key))
            bare = name in {"id", "number", "code", "name", "title", "date", "status"}
            yield from _leaves(item, f"{above.removesuffix('s')} {name}".strip() if bare and above else name)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, above)
    elif value is not None and above:
        yield above, value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
