"""Words, stems, sentences and languages: what both tiers of the stand-in read with.

English and German only, by short lists of function words and light suffix rules. Covered: plural and verb endings,
abbreviations, initials, decimals. Not covered: irregular verbs, German compounds and strong plurals.
"""

import re
from collections.abc import Iterable
from functools import lru_cache


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


ENGLISH = _listed(
    """a about above after again all also am an and any are as at be been before being below both but by can could did
    do does doing down during each few for from further had has have having he her here hers him his how i if in into is
    it its just let me more most my no nor not now of off on once only or other our ours out over own please same shall
    she should so some such than that the their them then there these they this those through to too under until up us
    very was we were what when where which while who whom why will with would you your yours i'm i'd i've it's don't
    can't there's what's tell know want need like get got may might must dear hi hello thanks thank"""
)
GERMAN = _listed(
    """aber alle als also am an auch auf aus bei bin bis bitte da dann das dass dem den der des die dies diese dieser
    dieses doch du durch ein eine einem einen einer eines er es euch für gegen hat habe haben hatte hier ich ihr ihre
    ihren ihrer im in ist ja kann kein keine können man mein meine meinem meinen meiner mich mir mit muss nach nicht
    noch nur ob oder ohne sein seine sich sie sind so soll über um und uns unser unsere unter viel vom von vor wann war
    warum was weil welche welcher welches wenn wer werden wie wieder will wir wird wo wurde zu zum zur hallo danke gibt
    möchte"""
)
# Words that only one of the two languages has, so that a short question can still be told apart.
ONLY_GERMAN = GERMAN - ENGLISH - {"war", "die", "hat", "bin", "hier"}
ONLY_ENGLISH = ENGLISH - GERMAN
NEGATIONS = _listed(
    """not no never none without nothing neither nor cannot can't don't doesn't didn't isn't aren't wasn't weren't won't
    wouldn't shouldn't couldn't haven't hasn't hadn't unable kein keine keinen keiner nicht nie niemals ohne"""
)
ABBREVIATIONS = _listed(
    """dr mr mrs ms prof st no nr vs etc approx tel e.g i.e z.b d.h bzw ca usw inkl evtl ggf str min max fig art abs
    jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun inc dept ext vol ed pp a.m p.m u.a s.o
    vgl sog geb"""
)

_WORD = re.compile(r"[^\W_]+(?:[.,’'/:-][^\W_]+)*")
_END = re.compile(r"[.!?…]+[\"”’»)\]*]*\s+")
_NEXT = re.compile(r"[\"“„«(\[*]*[A-ZÄÖÜÉÀ0-9]")


def words(text: str) -> list[str]:
    """Lower-case words in order; a word with a digit in it (`ab-12`, `3.5`) stays whole, other hyphens split."""
    found: list[str] = []
    for match in _WORD.findall(text.lower().replace("’", "'")):
        if any(char.isdigit() for char in match) or ("-" not in match and "/" not in match and ":" not in match):
            found.append(match)
        else:
            found += [part for part in re.split(r"[-/:]", match) if part]
    return found


def language(text: str) -> str:
    """`"de"` or `"en"`, by which function words are more frequent; English when neither is."""
    found = words(text[:4000])
    german = sum(word in ONLY_GERMAN for word in found) + sum(char in "äöüß" for char in text[:400].lower())
    english = sum(word in ONLY_ENGLISH for word in found)
    return "de" if german > english else "en"


@lru_cache(maxsize=65_536)
def stem(word: str, lang: str = "en") -> str:
    """The word without its usual endings."""
    if any(char.isdigit() for char in word):
        return word.replace(",", "")
    return _german(word) if lang == "de" else _english(word)


def _english(word: str) -> str:
    word = word.removesuffix("'s").removesuffix("'")
    if len(word) <= 3:
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif re.search(r"(ss|x|z|ch|sh)es$", word):
        word = word[:-2]
    elif word.endswith("s") and not re.search(r"(ss|us|is)$", word):
        word = word[:-1]
    for suffix in ("ingly", "ation", "ment", "ness", "ing", "ion", "ed", "ly", "er"):
        rest = word[: -len(suffix)]
        if word.endswith(suffix) and len(rest) >= (4 if suffix in {"ion", "er", "ment"} else 3) and _vowel(rest):
            word = rest
            break
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "lse":
        word = word[:-1]
    if len(word) > 5 and word.endswith("y"):
        word = word[:-1]
    if len(word) > 4 and word.endswith("ll"):
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def _vowel(text: str) -> bool:
    return any(char in "aeiouy" for char in text)


def _german(word: str) -> str:
    word = word.replace("ß", "ss").translate(str.maketrans("äöü", "aou"))
    for _ in range(2):
        for suffix in ("ern", "em", "er", "en", "es", "st", "e", "s", "n", "t"):
            if word.endswith(suffix) and len(word) - len(suffix) >= 4:
                word = word[: -len(suffix)]
                break
    return word


def stems(text: str, lang: str = "en") -> frozenset[str]:
    """The distinct stems of the content words of a text."""
    return frozenset(stem(word, lang) for word in words(text) if word not in (GERMAN if lang == "de" else ENGLISH))


def humanise(name: str) -> str:
    """`dueDate`, `due_date` and `due-date` as `due date`."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return " ".join(re.split(r"[\s_.\-]+", spaced)).strip().lower()


def sentences(text: str) -> list[str]:
    """The sentences of one paragraph, not cut after abbreviations, initials, ordinals or inside decimals."""
    found: list[str] = []
    start = 0
    german = language(text) == "de"
    for match in _END.finditer(text):
        before = text[start : match.start()].rsplit(None, 1)
        last = before[-1].lstrip("(\"“„'").lower() if before else ""
        stop = text[match.start() : match.end()].lstrip()[:1] == "."
        # "Dr. Who", "J. Doe" and the German date "3. März" end in a full stop that ends no sentence.
        initial = len(last) == 1 and last.isalpha()
        ordinal = last.isdigit() and len(last) <= 2 and bool(re.match(r"[A-ZÄÖÜ][a-zäöü]+", text[match.end() :]))
        if stop and (last in ABBREVIATIONS or initial or (ordinal and german)):
            continue
        if not _NEXT.match(text, match.end()):
            continue
        found.append(text[start : match.end()].strip())
        start = match.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def negated(text: str) -> bool:
    """Whether the text has an odd number of negations (so that *not without* counts as none)."""
    return sum(word in NEGATIONS for word in words(text)) % 2 == 1


def joined(parts: Iterable[str], word: str = "and") -> str:
    """`a, b and c`."""
    found = list(parts)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} {word} {found[-1]}" if found else ""


def clipped(text: str, limit: int) -> str:
    """At most `limit` characters, cut between words where there is a space to cut at."""
    if len(text) <= limit:
        return text
    cut = text[: limit + 1].rfind(" ")
    return text[: cut if cut > limit // 2 else limit].rstrip(" ,;:")[:limit]
