"""Telephone numbers in a text, and what only looks like one: dates, order and tracking numbers, hosts.

Groups of digits with little between them form a chain ("+43 (664) 123-4567"). A chain, or its beginning, is a number
when it has a country code, when the plan of numbers of a region knows it, or when the words before it say so.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

REGIONS = ("US", "DE", "AT", "GB")  # that are tried for a number without a country code
MOST_GROUPS = 8
DIGITS = range(7, 16)  # of a number; 15 is the most (ITU-T E.164)
CONTEXT = 40  # characters before a number that are read for what it is

_GROUP = re.compile(r"\d+")
_GAP = re.compile(r"[ ()./\-]{1,3}")
_OPENING = re.compile(r"(?:\+ ?)?\(?\+?\Z")
_EXTENSION = re.compile(r" ?(?:x|ext\.? ?|DW ?)\d{1,5}(?!\w)", re.IGNORECASE)
_IS_NUMBER = re.compile(
    r"\b(?:phone|telephone|tel|call\w*|mobile|cell|handy|ring|dial|fax|text me|whatsapp|sms|reach|telefon\w*|my number"
    r"|mobil\w*|office|(?:meine|ihre) nummer|rückruf|rufen|erreich\w*)\b",
    re.IGNORECASE,
)
_IS_OTHER = re.compile(
    r"\b(?:orders?|bestell\w*|auftrag\w*|tracking|sendung\w*|parcel|paket\w*|tickets?|invoice|rechnung\w*|serial"
    r"|serien\w*|ref|reference|referenz|sku|article|artikel\w*|imei|isbn|ean|gtin|kunden\w*|account|konto\w*|version|firmware"
    r"|transaction|vorgang\w*|case|id)\b",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(?:19|20)\d\d[-./](?:0?[1-9]|1[0-2])[-./](?:0?[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?:0?[1-9]|[12]\d|3[01])[-./](?:0?[1-9]|[12]\d|3[01])[-./](?:19|20)\d\d(?!\d)"
)
_SENTENCE_END = re.compile(r"[.!?;)](?=\s+[^\W\d_])(?<!(?i:tel)\.)|\n")
_HOST = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}\Z")


@dataclass(frozen=True, slots=True)
class Group:
    """Some digits. `gap` is what stands between them and the group before; None where that is not near."""

    start: int
    end: int
    gap: str | None


def groups(text: str) -> list[Group]:
    found: list[Group] = []
    for digits in _GROUP.finditer(text):
        before = found[-1].end if found else 0
        gap = text[before : digits.start()] if found and digits.start() - before <= 3 else ""
        found.append(Group(*digits.span(), gap if _GAP.fullmatch(gap) else None))
    return found


def telephones(text: str, region: str | None = None) -> Iterator[tuple[int, int]]:
    """Start and end of each number. `region` is where one without a country code belongs to; None: any of REGIONS."""
    regions = (region,) if region else REGIONS
    every = groups(text)
    position = 0
    while position < len(every):
        start, taken = every[position].start, 0
        for last in _ends(every, position):
            opening = _opening(text, start)
            if _is_telephone(text, opening, every[position : last + 1], regions):
                end = every[last].end
                extension = _EXTENSION.match(text, end)
                yield opening, extension.end() if extension else end
                taken = last + 1 - position
                break
        position += taken or 1


def _ends(every: list[Group], first: int) -> Iterator[int]:
    """Where a number that begins with group `first` may end, the farthest first."""
    last = first
    while last + 1 < len(every) and last + 1 - first < MOST_GROUPS and every[last + 1].gap is not None:
        last += 1
    for end in range(last, first - 1, -1):
        gap = every[end + 1].gap if end + 1 < len(every) else None
        if gap is None or len(gap) > 1:
            yield end


def _opening(text: str, start: int) -> int:
    """Where a number begins whose first digit stands at `start`: with its + or its bracket."""
    sign = _OPENING.search(text[max(0, start - 3) : start])
    return start - len(sign[0]) if sign else start


def _is_telephone(text: str, opening: int, parts: list[Group], regions: tuple[str, ...]) -> bool:
    start, end = parts[0].start, parts[-1].end
    written = text[opening:end]
    digits = "".join([text[part.start : part.end] for part in parts])
    if len(digits) not in DIGITS or (text[end : end + 1].isalnum() and not _EXTENSION.match(text, end)):
        return False
    if "+" in written[:3]:
        return _is_possible(digits) and not text[max(0, opening - 1) : opening].isalnum()
    before = sentence_before(text, opening)
    if _is_part_of_word(before) or (parts[0].gap is not None and len(parts[0].gap) == 1 and "(" not in written[:1]):
        return False
    if _DATE.match(text, start) or _HOST.match(text[start:end]):
        return False
    told = _told(before)
    if told is not None:
        return told and (len(digits) >= 9 or len(parts) > 1)
    sizes = [part.end - part.start for part in parts]
    if digits.startswith("00"):
        return _is_possible(digits[2:])
    if sizes[-3:] == [3, 3, 4] and digits[:-10] in ("", "1"):
        return "US" in regions  # nothing else is written like this
    return any(_is_valid(digits, region) for region in regions)


def _is_part_of_word(before: str) -> bool:
    """Whether the digits go on from letters: "H-100001", "TP98", "order_12", "#12"."""
    return bool(re.search(r"[\w#][-./]?\Z", before)) and not re.search(r"(?i)\b(?:tel|phone|fax|mobil)[.-]?\Z", before)


def sentence_before(text: str, place: int) -> str:
    """What stands before `place` in the same sentence, as far as it is near."""
    near = text[max(0, place - CONTEXT) : place]
    ends = list(_SENTENCE_END.finditer(near))
    return near[ends[-1].end() :] if ends else near


def _told(before: str) -> bool | None:
    """What the last word that tells says: a telephone number, something else, or nothing."""
    places = [
        (match.end(), kind)
        for kind, words in ((True, _IS_NUMBER), (False, _IS_OTHER))
        for match in words.finditer(before)
    ]
    return max(places)[1] if places else None


@lru_cache(maxsize=4096)
def _is_possible(digits: str) -> bool:
    import phonenumbers

    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_possible_number_with_reason(number) == phonenumbers.ValidationResult.IS_POSSIBLE


@lru_cache(maxsize=4096)
def _is_valid(digits: str, region: str) -> bool:
    """As dialled within `region`: in the Americas ten digits, elsewhere with the 0 in front."""
    import phonenumbers

    if (region in ("US", "CA")) == digits.startswith("0") or len(digits) < 9:
        return False
    try:
        return phonenumbers.is_valid_number_for_region(phonenumbers.parse(digits, region), region)
    except phonenumbers.NumberParseException:
        return False
