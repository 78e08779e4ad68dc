"""Typed pieces of a text: e-mail addresses, links, dates, numbers, identifiers, names; and which one a field means.

Dates become ISO 8601, see `days`.
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .days import days
from .relevance import Encode, cosines
from .words import ENGLISH, GERMAN, language, stem, words

Kind = Literal["email", "uri", "uuid", "date", "time", "number", "id", "name", "quoted", "phone"]


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text, its value in JSON, and where it starts. `unit` is the word or sign beside a number."""

    kind: Kind
    text: str
    value: str | float
    start: int
    unit: str = ""


_COUNTS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
           "eleven": 11, "twelve": 12, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5, "sechs": 6, "sieben": 7, "acht": 8,
           "neun": 9, "zehn": 10}  # fmt: skip
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URI = re.compile(r"https?://[^\s<>\"')\]]+[^\s<>\"')\].,;:!?]")
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_TIME = re.compile(r"\b(?:([01]?\d|2[0-3])[:.]([0-5]\d)|(1[0-2]|[1-9]))\s*(am|pm|uhr)?\b", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w-])\+?\d[\d ()/-]{7,}\d\b")
_ID = re.compile(r"#\w[\w-]*|\b(?=[\w/-]*\d)(?=[\w/-]*[A-Za-z_-])[A-Za-z0-9_]+(?:[-/][A-Za-z0-9_]+)*\b|\b\d{3,}\b")
_NUMBER = re.compile(
    r"(?P<before>[€$£]|\b(?:EUR|USD|GBP|CHF)\s)?\s?(?<![\w.,-])(?P<n>-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d+(?:[.,]\d+)?)"
    r"(?:st|nd|rd|th)?(?:\s?(?P<after>[€$£%]|[^\W\d_]+))?(?![\d-])"
)
_NAME = re.compile(r"\b[A-ZÄÖÜ][\w'’-]*\.?(?:\s+(?:(?:of|the|de|van|von|der|and)\s+)?[A-ZÄÖÜ][\w'’-]*)*")
_QUOTED = re.compile(r"[\"“„«]([^\"“”„«»]{2,120})[\"”“»]|(?<!\w)['‘]([^'’]{2,80})['’](?!\w)")


def spans(text: str, today: dt.date | None = None) -> list[Span]:
    """Every typed piece of a text, in order; pieces of different kinds may overlap. `today` places relative dates."""
    found = [Span("email", one[0], one[0], one.start()) for one in _EMAIL.finditer(text)]
    found += [Span("uri", one[0], one[0], one.start()) for one in _URI.finditer(text)]
    found += [Span("uuid", one[0], one[0].lower(), one.start()) for one in _UUID.finditer(text)]
    found += [Span("date", said, day, start) for said, day, start in days(text, today)]
    taken = [(one.start, one.start + len(one.text)) for one in found]

    def free(start: int) -> bool:
        return not any(low <= start < high for low, high in taken)

    for one in _TIME.finditer(text):
        if (one[2] or one[4]) and free(one.start()):
            hour = int(one[1] or one[3]) % 24
            hour = (
                hour % 12 + 12
                if (one[4] or "").lower() == "pm"
                else 0
                if (one[4] or "").lower() == "am" and hour == 12
                else hour
            )
            found.append(Span("time", one[0], f"{hour:02d}:{one[2] or '00'}", one.start()))
    found += [Span("phone", one[0], one[0].strip(), one.start()) for one in _PHONE.finditer(text) if free(one.start())]
    found += [
        Span("id", one[0], one[0].lstrip("#"), one.start())
        for one in _ID.finditer(text)
        if free(one.start()) and not _counted(one[0])
    ]
    found += [Span("quoted", one[1] or one[2], one[1] or one[2], one.start()) for one in _QUOTED.finditer(text)]
    for one in _NUMBER.finditer(text):
        if free(one.start("n")):
            found.append(
                Span(
                    "number",
                    one[0].strip(),
                    _number(one["n"]),
                    one.start("n"),
                    (one["before"] or one["after"] or "").strip(),
                )
            )
    for one in re.finditer(r"\b(?:" + "|".join(_COUNTS) + r")\b(?:\s+([^\W\d_]+))?", text, re.IGNORECASE):
        found.append(Span("number", one[0], _COUNTS[one[0].split()[0].lower()], one.start(), one[1] or ""))
    found += [Span("name", name, name, at) for name, at in _names(text)]
    return sorted(found, key=lambda one: (one.start, one.kind))


def _counted(text: str) -> bool:
    """`3rd`, `28-day`, `10am`: numbers with a word, not identifiers."""
    return bool(
        re.fullmatch(
            r"\d+(?:st|nd|rd|th|am|pm|h|km|kg|g|m|cm|mm|min|s|x|p)|\d+-[a-z]+|[a-z]+-[a-z]+", text, re.IGNORECASE
        )
    )


def _names(text: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for one in _NAME.finditer(text):
        name, at = one[0].rstrip("."), one.start()
        first = name.split()[0]
        # A sentence begins with a capital too: drop its first word when that is a function word, or stands alone.
        opens = at == 0 or text[:at].rstrip()[-1:] in {".", "!", "?", ":", "\n", ""}
        if first.lower().split("'")[0] in ENGLISH | GERMAN or (
            opens and len(name.split()) > 1 and first.lower() in _VERBS
        ):
            rest = name[len(first) :].lstrip()
            at, name = at + len(name) - len(rest), rest
        elif opens and len(name.split()) == 1:
            continue
        if len(name) > 1:
            found.append((name, at))
    return found


_VERBS = frozenset(
    [
        "find",
        "show",
        "book",
        "cancel",
        "give",
        "send",
        "check",
        "look",
        "search",
        "add",
        "change",
        "update",
        "tell",
        "list",
        "get",
        "order",
        "reserve",
        "renew",
        "call",
        "please",
        "order",
        "is",
        "are",
        "does",
        "register",
        "schedule",
        "remind",
        "report",
        "move",
        "transfer",
        "open",
        "close",
        "create",
        "make",
        "set",
        "put",
        "translate",
        "compare",
        "zeige",
        "suche",
        "buche",
        "storniere",
    ]
)


def _number(text: str) -> float:
    if re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", text):
        text = text.replace(",", "")
    value = float(text.replace(",", "."))
    return int(value) if value.is_integer() and "." not in text and "," not in text else value


def nearness(found: Sequence[Span], text: str, hint: str, meaning: Encode | None) -> np.ndarray:
    """How well each span's surroundings fit a hint (a field's name and description), shape (spans,), 0 to 1.

    Words count the more, the closer they stand; a word before a value counts more than one after it.
    """
    lang = language(text)
    wanted = {stem(word, lang) for word in words(hint) if word not in ENGLISH}
    scores = np.zeros(len(found))
    around: list[str] = []
    for at, one in enumerate(found):
        end = one.start + len(one.text)
        before, after = text[max(0, one.start - 90) : one.start], text[end : end + 60]
        before, after = re.split(r"[.!?]\s|\n", before)[-1], re.split(r"[.!?]\s|\n", after)[0]
        around.append(f"{before}{one.text}{after}")
        left = [stem(word, lang) for word in reversed(words(before))]
        right = [stem(word, lang) for word in words(f"{one.unit} {after}")]
        hits = [1 / (1 + 0.25 * place) for place, word in enumerate(left) if word in wanted]
        hits += [0.9 / (1 + 0.35 * place) for place, word in enumerate(right) if word in wanted]
        scores[at] = min(1.0, max(hits, default=0.0) + 0.15 * max(0, len(hits) - 1))
    if meaning is not None and len(found):
        scores = 0.6 * scores + 0.4 * np.clip(cosines(hint, around, meaning), 0, 1)
    return np.round(scores, 4)
