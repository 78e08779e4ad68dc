"""Names of people that nobody told us: where somebody is introduced, and where a first name stands that is in a list.

    people("My name is Ada Lovelace.")      (11, 23)

Needs the extra `pii`: the package `names` with the first names of the US census of 1990. So it knows what is common in
the USA, and of the rest only what is introduced ("ich heiße ...", "Mrs ..."). It reads no sentence: a street, a city or
a firm that is called like a person is taken for one. `pii.find` asks it where PATTERNS_NAMES=1 is set.
"""

import os
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

from .errors import CallerError

MOST_WORDS = 3  # of one name
COMMON = 0.004  # percent of people who have a first name, for it to count alone
CONTEXT = 32  # characters before a word that are looked at

# First names that are words, months or places more often than people, in English or German.
_OTHER_WORDS = """
an april art august autumn bo carry chance china chin christian dale dallas dann dawn do don drew dusty else faith
florida france georgia glen grace grant guy hang holly hope houston hunter in india iris israel ivory january ja jade
jewel joy june kam king kit lake lang lance london long love lucky man manual many mark max may mercy merry my numbers
olive page paris pat pearl penny prince rich royal ruby rusty sandy see short so son star summer sun sunny sunshine
sky stormy treasure tu tuesday van victor violet virginia von washington will winter won young
"""
_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|['’-](?=[^\W\d_]))*")
_INTRODUCED = re.compile(
    r"(?:\b(?i:my (?:(?:full|last|first) )?name(?:['’]s| is)?|name is|calls? me|i am called|ich hei(?:ß|ss)e|ich bin"
    r"|mein name(?: ist)?|named|namens|genannt|signed|regards|sincerely|cheers|gr(?:ü|ue)(?:ß|ss)en?|dear|lieber?)"
    r"|\b(?i:mr|mrs|ms|dr|prof|miss|herrn?|frau))[.,:]?\s{1,3}\Z"
)
_GAP = re.compile(r"[ \t\xa0]")


def asked() -> bool:
    """Whether the environment asks for names."""
    return os.environ.get("PATTERNS_NAMES") == "1"


def people(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each name. Raises CallerError (`not_set_up`) where the package is missing."""
    known, end = first_names(), 0
    for word in _WORD.finditer(text):
        if word.start() < end or not _is_capital(word[0]):
            continue
        introduced = bool(_INTRODUCED.search(text[max(end, word.start() - CONTEXT) : word.start()]))
        share, stop = known.get(word[0].casefold(), 0.0), _rest(text, word.end())
        if introduced or share >= COMMON or (share and stop > word.end()):
            yield word.start(), stop
            end = stop


def _rest(text: str, end: int) -> int:
    """Where a name ends whose first word ends at `end`: with the capital words behind it, in the same line."""
    for _ in range(MOST_WORDS - 1):
        gap = _GAP.match(text, end)
        word = _WORD.match(text, gap.end()) if gap else None
        if not word or not _is_capital(word[0]):
            break
        end = word.end()
    return end


def _is_capital(word: str) -> bool:
    return len(word) > 1 and word[0].isupper() and (word[1:] != word[1:].upper() or len(word) > 3)


@cache
def first_names() -> dict[str, float]:
    """First names in lower case, with the percent of people of one sex who have them."""
    try:
        files = import_module("names").FILES
    except ImportError:
        raise CallerError(
            "Names of people need the package `names`, and it is not installed.",
            "Install the extra `pii`, or unset PATTERNS_NAMES.",
            "not_set_up",
        ) from None
    found, others = dict[str, float](), frozenset(_OTHER_WORDS.split())
    for kind in ("first:male", "first:female"):
        for line in Path(files[kind]).read_text(encoding="ascii").splitlines():
            name, percent, *_ = line.split()
            found[name.lower()] = max(float(percent), found.get(name.lower(), 0.0))
    return {name: share for name, share in found.items() if len(name) > 2 and name not in others}
