"""Addresses in a text: where it could make a reader write, call, pay or click.

`find` reads a text as a person sees it: without zero-width and direction marks, full-width letters as plain ones, and
letters of other scripts as the Latin ones that they look like. So "раypal.example" is found, and is not mistaken for
the real one. Covered: links with and without a scheme, script and data links, e-mail addresses (also "x at y dot z"),
numbers of seven digits and more as telephone and account numbers, IBANs, wallets, handles, Markdown images, HTML tags.
Not covered: an address in words ("five five five"), numbers of six digits or less, and text in a picture.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["link", "email", "number", "iban", "wallet", "handle", "image", "html"]

# Letters that look like Latin ones, and signs that look like those of an address.
_LOOK = dict(
    zip(
        "абеорсухікмтвнԁһјѕԛԝгАВЕКМНОРСТУХІЈЅαοντρικυΑΒΕΖΗΙΚΜΝΟΡΤΥΧıɡɑ⁄∕‐‑‒–—−。٫",
        "a6eopcyxikmtbhdhjsqwrABEKMHOPCTYXIJSaovtpikuABEZHIKMNOPTYXiga//------..",
        strict=True,
    )
)
_FILES = r"(?!(?:pdf|png|jpe?g|txt|csv|mp[34]|json|html?|docx?|xlsx?)\b)"
_SHORT = r"(?:me|com|co|io|ly|org|net|de|eu|example)"
_DOMAIN = rf"(?:[^\W_](?:[\w-]*[^\W_])?\.)+{_FILES}[^\W\d_]{{2,24}}"
_BARE = (
    rf"(?<![\w@.-])(?<![^\W\d_]/)(?:(?:[^\W_][\w-]*[^\W_]\.)+{_FILES}[^\W\d_]{{2,24}}|[^\W_](?:\.[^\W_][\w-]*)*\.{_SHORT})"
    r"(?![\w-])(?::\d+)?(?:[/?#][^\s<>\"']*)?"
)
_AT = r"(?:[ \t]*(?:@|[(\[{][ \t]?at[ \t]?[)\]}])[ \t]*|[ \t]+(?:at|arroba|arobase)[ \t]+)"
_DOT = r"(?:[ \t]*[(\[{][ \t]?dot[ \t]?[)\]}][ \t]*|[ \t]+(?:dot|punkt|punto|point)[ \t]+|\.)"
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("image", re.compile(r"!\[[^\]\n]{0,300}\]\([^)\n]{0,2000}\)")),
    ("html", re.compile(r"<[a-zA-Z/!][^>\n]{0,500}>")),
    ("link", re.compile(r"\[[^\]\n]{0,300}\]\((?P<target>[^)\n]{0,2000})\)")),
    ("link", re.compile(r"(?<![\w])[a-z][a-z0-9+.-]{1,20}(?:://|\[?:\]?//|:\\\\)[^\s<>\"'|]+", re.IGNORECASE)),
    (
        "link",
        re.compile(
            r"(?<![\w])(?:(?:javascript|vbscript|blob|intent):[^\s<>\"]+|data:[\w/+.-]*[;,][^\s<>\"]*|file:/[^\s<>\"]*|"
            r"(?:tel|sms|mailto):[^\s<>\"\])]+)",
            re.IGNORECASE,
        ),
    ),
    ("email", re.compile(rf"[\w.+%'-]*[\w+%]{_AT}[^\W_][\w-]*(?:{_DOT}[^\W_][\w-]*)+", re.IGNORECASE)),
    ("link", re.compile(_BARE, re.IGNORECASE)),
    ("link", re.compile(r"(?<![\w.-])[\w-]{2,}(?:[ \t]*[(\[{][ \t]?dot[ \t]?[)\]}][ \t]*[\w-]{2,})+", re.IGNORECASE)),
    ("link", re.compile(r"(?<![\w-])[\w-]{2,}(?:\[\.\]|\(\.\))[\w-]{2,}[^\s<>\"']*", re.IGNORECASE)),
    ("link", re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])(?:[:/][^\s<>\"']*)?")),
    ("iban", re.compile(r"(?<![\w-])[A-Z]{2}\d{2}(?:[ \t-]?[A-Z0-9]{1,4}){3,9}(?!\w)")),
    ("iban", re.compile(r"(?<!\w)[a-z]{2}\d{2}(?=(?:[a-z]*\d){8})[a-z0-9]{11,30}(?!\w)", re.IGNORECASE)),
    ("wallet", re.compile(r"(?<!\w)(?:0x[0-9a-f]{40}|(?:bc1|[13])[a-z0-9]{25,60})(?!\w)", re.IGNORECASE)),
    (
        "number",
        re.compile(r"(?<![\w-])(?<!\d[.,])(?:\+?\(\d{1,5}\)|\+?\d)(?:[ \t./-]{0,3}(?:\(\d{1,5}\)|\d)){5,}(?!\w)"),
    ),
    ("handle", re.compile(r"(?<![\w@.])@[^\W\d]\w{2,}")),
)
_DATES = re.compile(
    r"(?<!\d)(?:\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}|(?:19|20)\d\d[ \t]*[-/][ \t]*(?:19|20)?\d\d|"
    r"\d{1,2}\.\d{2}[ \t]*-[ \t]*\d{1,2}\.\d{2}|\d{1,6}\.\d{2})(?!\d)"
)


@dataclass(frozen=True, slots=True)
class Address:
    """`text` as it stands between `start` and `end`; `key` is equal for two ways to write one address.

    `plain`: it is written in ASCII as it is, without a letter that only looks like another.
    """

    kind: Kind
    text: str
    start: int
    end: int
    key: str
    plain: bool


_ALONE = r"(?<![\w.+%@/:-]){}(?![\w@/]|[.-]\w)"


def find(text: str, known: tuple[str, ...] = ()) -> list[Address]:
    """Every address in `text`, in order, without overlaps: of two, the one that begins first, or the longer.

    `known` are addresses to pass over where they stand exactly so and nothing is joined to them.
    """
    masked = text
    for one in known:
        masked = re.sub(_ALONE.format(re.escape(one)), "\0" * len(one), masked, flags=re.IGNORECASE)
    seen, places = looks(masked)
    found = sorted(_found(text, seen, places), key=lambda one: (one.start, -one.end))
    kept: list[Address] = []
    for one in found:
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


def _found(text: str, seen: str, places: list[int]) -> Iterator[Address]:
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(seen):
            said = match[0].rstrip(".,;:!?") if kind in ("link", "email", "handle") else match[0]
            if (kind == "number" and _is_date(said)) or (kind == "iban" and not 15 <= len(_key(kind, said)) <= 34):
                continue
            start, end = places[match.start()], places[match.start() + len(said) - 1] + 1
            target = match.groupdict().get("target")
            key = _key(kind, said if target is None else target.strip().split(" ")[0])
            yield Address(kind, text[start:end], start, end, key, text[start:end].isascii())


def looks(text: str) -> tuple[str, list[int]]:
    """`text` as a reader sees it, and for each of its characters the place in `text` that it comes from."""
    if text.isascii():
        return text, list(range(len(text) + 1))
    shown = [(letter, place) for place, one in enumerate(text) for letter in _look(one)]
    return "".join(letter for letter, _ in shown), [*(place for _, place in shown), len(text)]


@lru_cache(maxsize=4_096)
def _look(one: str) -> str:
    if one.isascii():
        return one
    if unicodedata.category(one) in ("Cf", "Mn", "Me"):  # nothing to see, or an accent upon a letter
        return ""
    return "".join(_LOOK.get(letter, letter) for letter in unicodedata.normalize("NFKC", one))


def _key(kind: Kind, said: str) -> str:
    said = said.casefold()
    if kind in ("number", "iban"):
        return re.sub(r"[^a-z0-9]", "", said)
    if kind == "email":
        return re.sub(r"\s", "", re.sub(_DOT, ".", re.sub(_AT, "@", said)))
    return said.rstrip("/")


def _is_date(said: str) -> bool:
    rest = _DATES.sub("", said)
    return sum(map(str.isdigit, rest)) < 7


def host_of(link: str) -> str:
    """The host of a link, in lower case; empty for one that has none or may lead elsewhere than it seems to."""
    if re.search(r"[\\\s@]", link) or not link.isascii():
        return ""
    try:
        parts = urlsplit(link if "://" in link else f"https://{link}")
        return (parts.hostname or "") if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


# while a text is still coming

_JOINING = ("@", "at", "(at)", "[at]", "{at}", "arroba", "arobase", "dot", "(dot)", "[dot]", "{dot}", "punkt", "punto")
_JOINTS = (*_JOINING, "point", ".")
# Words that may be of one number or account, and how the next one begins.
_RUNS = (
    (re.compile(r".*[\d()./+-]"), re.compile(r"[\d()./+-]")),
    (re.compile(r".*[A-Z0-9-]"), re.compile(r"[A-Z0-9-]")),
)
_OPEN = re.compile(r"!?\[[^\]\n]{0,300}(?:$|\](?:$|\([^)\n]{0,2000}$))|<(?:$|[a-zA-Z/!][^>\n]{0,500}$)")


def open_from(text: str) -> int:
    """Where the part of `text` begins that may still become an address, or another one, with what comes next."""
    line = text.rfind("\n") + 1
    seen, places = looks(text[line:])
    tokens = list(re.finditer(r"\S+", seen))
    current, begin = "", len(seen)
    if tokens and tokens[-1].end() == len(seen):
        last = tokens.pop()
        current, begin = last[0], last.start()
    for token in reversed(tokens):
        if not _may_join(token[0], current):
            break
        current, begin = token[0], token.start()
    if opened := _OPEN.search(seen):
        begin = min(begin, opened.start())
    spans = [match.span() for _, pattern in _PATTERNS for match in pattern.finditer(seen)]
    while inside := [start for start, end in spans if start < begin < end]:  # an address may hold spaces
        begin = min(inside)
    return line + places[begin]


def _may_join(before: str, after: str) -> bool:
    """Whether two words with a space between may be of one address. `after` may be the beginning of a word."""
    low = after.lower()
    joins = any(one.startswith(low) or low.startswith(("@", "(", "[", "{")) for one in _JOINTS)
    if joins or before.lower().endswith(_JOINTS):
        return True
    return any(all_.fullmatch(before) and first.match(after) for all_, first in _RUNS)
