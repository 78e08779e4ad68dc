"""Numbers that prove themselves in a text: IBANs, cards, and US social security numbers by how they are given out."""

import re
from collections.abc import Callable, Iterator

from .telephones import Group, groups, sentence_before

# IBANs

# Characters of an IBAN by country (the SWIFT registry).
_IBAN_LENGTHS = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27
GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 MC27 MD24
ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24
TR26 UA29 VA22 VG24 XK20
"""
_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBAN_LENGTHS.split()}
_IBAN = re.compile(r"(?<![^\W_])[A-Za-z]{2}\d{2}")
_NEXT = re.compile(r"[ -]?([A-Za-z0-9])")


def ibans(text: str) -> Iterator[tuple[int, int]]:
    for head in _IBAN.finditer(text):
        wanted = _LENGTHS.get(head[0][:2].upper(), 0)
        end, taken = head.start(), []
        while len(taken) < wanted:
            step = _NEXT.match(text, end)
            if step is None:
                break
            taken.append(step[1])
            end = step.end()
        if wanted and len(taken) == wanted and not text[end : end + 1].isalnum() and _mod_97("".join(taken)) == 1:
            yield head.start(), end


def _mod_97(iban: str) -> int:
    return int("".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])) % 97


# cards and social security numbers

# How a card's number begins, and how long it is then (ISO/IEC 7812).
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}"
    r"|35\d{14}|6(?:011|5\d\d|4[4-9]\d)\d{12}|62\d{14,17}|(?:50|5[6-8]|6[37])\d{11,17}"
)
_CARD_GAPS = (" ", "-", "  ", " - ", ".")


def cards(text: str) -> Iterator[tuple[int, int]]:
    def is_card(digits: str, parts: list[Group]) -> bool:
        small = any(part.end - part.start < 3 for part in parts[:-1])
        gaps = {part.gap for part in parts[1:]}
        even = len(gaps) <= 1 and all(gap in _CARD_GAPS for gap in gaps)
        return even and not small and bool(_ISSUERS.fullmatch(digits)) and luhn(digits)

    return _windows(text, range(13, 20), 6, is_card)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1)."""
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(number - 9 * (number > 9) for number in doubled)) % 10 == 0


_SSN_IS_MEANT = re.compile(r"\b(?:ssn|social security|sozialversicherung\w*)\b", re.IGNORECASE)


def ssns(text: str) -> Iterator[tuple[int, int]]:
    def is_ssn(digits: str, parts: list[Group]) -> bool:
        area, middle, last = digits[:3], digits[3:5], digits[5:]
        if area in ("000", "666") or area[0] == "9" or middle == "00" or last == "0000":
            return False  # never given out
        if len(parts) == 1:
            return bool(_SSN_IS_MEANT.search(sentence_before(text, parts[0].start)))
        sizes = [part.end - part.start for part in parts]
        return sizes == [3, 2, 4] and len({part.gap for part in parts[1:]}) == 1 and parts[1].gap in (" ", "-", ".")

    return _windows(text, range(9, 10), 3, is_ssn)


def _windows(
    text: str, lengths: range, most: int, fits: Callable[[str, list[Group]], bool]
) -> Iterator[tuple[int, int]]:
    """The runs of up to `most` neighbouring groups of digits that `fits` accepts, without overlaps."""
    every = groups(text)
    position = 0
    while position < len(every):
        parts, digits = [every[position]], 0
        taken = 0
        before = text[max(0, parts[0].start - 2) : parts[0].start]
        while not re.search(r"[^\W_]-?\Z", before):
            digits += parts[-1].end - parts[-1].start
            after = position + len(parts)
            ends = not text[parts[-1].end : parts[-1].end + 1].isalpha()
            if digits in lengths and ends:
                said = "".join([text[part.start : part.end] for part in parts])
                if fits(said, parts):
                    yield parts[0].start, parts[-1].end
                    taken = len(parts)
                    break
            if digits >= lengths[-1] or len(parts) == most or after == len(every) or every[after].gap is None:
                break
            parts.append(every[after])
        position += taken or 1
