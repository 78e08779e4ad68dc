"""Personal data in a text: e-mail addresses, telephone numbers, cards, US social security numbers, IBANs, known names.

    find("Call +43 664 1234567")        [Span(kind="phone", start=5, end=19)]
    scrubbed("Call +43 664 1234567")    "Call <PHONE>"

A kind with a checksum is found by it: cards (Luhn), IBANs (mod 97). Telephone numbers have none (`telephones.py`).
Full-width digits, invisible characters and escapes are read as what they stand for (`plain_text.py`). A name is found
when it is known, such as that of the signed-in customer; with an extra, others are found as well (`person_names.py`).

Not found: most names that nobody told us, street addresses, dates of birth, what is spelled out ("john at mail dot
com").
Every step looks at a bounded piece of the text: twice the text takes twice the time, whatever is in it.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from . import person_names
from .checked_numbers import cards, ibans, ssns
from .plain_text import plain
from .telephones import telephones

Kind = Literal["email", "phone", "card", "ssn", "iban", "name"]


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` is personal data of that kind."""

    kind: Kind
    start: int
    end: int


def find(text: str, region: str | None = None, names: Collection[str] = ()) -> list[Span]:
    """All personal data in `text`, in order and without overlaps.

    `region` ("US", "DE") is where a telephone number without a country code belongs to; None tries several. `names` are
    full names that are known; their parts are found where they are written with a capital. With PATTERNS_NAMES=1 other
    names are looked for as well; raises CallerError (`not_set_up`) where the extra for it is missing.
    """
    read = plain(text)
    rest, found = read.text, []
    kinds: tuple[tuple[Kind, Callable[[str], Iterable[tuple[int, int]]]], ...] = (
        ("email", _emails),
        ("iban", ibans),
        ("card", cards),
        ("ssn", ssns),
        ("phone", lambda rest: telephones(rest, region)),
        ("name", lambda rest: _names(rest, names)),
        ("name", lambda rest: person_names.people(rest) if person_names.asked() else ()),
    )
    for kind, finder in kinds:
        if spans := list(finder(rest)):
            found += [Span(kind, *read.original(start, end)) for start, end in spans]
            rest = without(rest, spans)
    return sorted(found, key=lambda span: span.start)


def scrubbed(text: str, region: str | None = None, names: Collection[str] = ()) -> str:
    """`text` with <EMAIL>, <PHONE> ... in place of what was found."""
    parts, end = [], 0
    for span in find(text, region, names):
        parts += (text[end : span.start], f"<{span.kind.upper()}>")
        end = span.end
    return "".join([*parts, text[end:]])


class ScrubbedLogs(logging.Filter):
    """Scrubs what is logged. Add it to a handler: the filter of a logger does not see what its children log."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = scrubbed(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_text = scrubbed(record.exc_text) if record.exc_text else record.exc_text
        return True


def without(text: str, spans: list[tuple[int, int]]) -> str:
    """`text` with nothing to be found in `spans`: one character in two kinds would be replaced twice."""
    parts, end = [], 0
    for start, stop in spans:
        parts += (text[end:start], "\0" * (stop - start))
        end = stop
    return "".join([*parts, text[end:]])


# e-mail addresses

LOCAL, DOMAIN = 64, 255  # the longest there are (RFC 5321)
_LOCAL = re.compile(r"[\w.!#$&'*+/=?^`{|}~-]+\Z")
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,10}[^\W\d_]{2,24}(?![\w@])")


def _emails(text: str) -> Iterator[tuple[int, int]]:
    # From each @ outwards. A pattern that begins with the name looks at "aaaa..." once for every letter in it.
    end = 0
    for sign in re.finditer("@", text):
        domain = _DOMAIN.match(text, sign.end(), sign.end() + DOMAIN)
        before = text[max(end, sign.start() - LOCAL) : sign.start()]
        local = _LOCAL.search(before.rpartition("=")[2].rpartition("//")[2]) if domain else None
        if domain and local and (name := local[0].lstrip("./?&'*`{|}~^!#$")):
            end = domain.end()
            yield sign.start() - len(name), end


# names


def _names(text: str, names: Collection[str]) -> Iterator[tuple[int, int]]:
    whole = sorted({name.strip() for name in names if name.strip()}, key=len, reverse=True)
    if not whole:
        return
    parts = sorted({part for name in whole for part in name.split() if len(part) > 2}, key=len, reverse=True)
    gap = r"[\s.,-]{1,3}"
    alternatives = [f"(?i:{gap.join(map(re.escape, name.split()))})" for name in whole]
    alternatives += [
        f"(?:{re.escape(part.capitalize())}|{re.escape(part)}|{re.escape(part.upper())})" for part in parts
    ]
    for match in re.finditer(rf"(?<!\w)(?:{'|'.join(alternatives)})(?!\w)", text):
        yield match.span()
