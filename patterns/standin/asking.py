"""What a question asks for, in words: which of its words must be found in an answer, and what kind of thing answers it.

General English and German, as lists of function words are: nothing here comes from a text that is answered from.
"""

import re
from dataclasses import dataclass

from .senses import folded
from .words import ENGLISH, GERMAN


def _folded(text: str) -> frozenset[str]:
    return frozenset(map(folded, text.split()))


SMALL = {
    "en": frozenset(map(folded, ENGLISH))
    | _folded(
        "s t d m ll re ve don doesn didn isn aren wasn won can couldn besides between within per explain describe "
        "detail details step steps"
    ),
    "de": frozenset(map(folded, GERMAN))
    | _folded(
        "welchen welchem hab habt ihn ihm ihnen ihr euch dir dich was da dort doch schon denn mal eben halt etwa so "
        "wieder weiter noch sehr zu wen wem deren dessen lässt lassen würde würden könnte könnt wollen beim ins ans"
    ),
}
"""Function words, which need no support, and what is left of short forms ("what's")."""
LIGHT = _folded(
    """
    able actually allow allowed also always anybody anyone anything available back because bring brings come
    comes currently else even everybody everyone everything exactly far first generally give go goes going good
    happen happens keep kept kind let make makes many mean means mine much new often ones ought ours please
    possible put really somebody someone something soon sort start still take taken takes thing things try type
    under use used uses using usually whole work works wrong normal meaning help helps problem really say says
    show shows stand stands get gets getting look looks ok okay fine way case right happening one two three four
    five six seven eight nine ten bringen bekomme bekommen bekommt brauche braucht daheim gerade gut sieht tun
    tut überhaupt wirklich jetzt darf durfen eigentlich geben gehen geht gibts lange lang machen mehr mitbringen
    moglich muss mussen noch passiert soll sollen viel viele
    """
)
"""Words that say little, so that an answer may well do without them."""
WHICH = _folded("what which welche welcher welches welchen welchem")
"""What stands after these is the very thing that is asked for."""
OWN = _folded("my our mein meine meinem meinen meiner unser unsere unseren")
"""What stands after these is the asker's: an answer speaks of its kind ("my umbrella" of "an item")."""
DOERS = _folded("i we you they to he she it wir ich sie man")
"""What stands after these is most often a verb, which an answer may well put in other words."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of answer: how it is asked for, the words of the question that stand for it, and how it looks."""

    asked: re.Pattern[str]
    words: frozenset[str]
    told: re.Pattern[str]


_NUMBER = (
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|once|twice|dozen|zwei|drei|vier|fünf|sechs|"
    r"sieben|acht|neun|zehn|elf|zwölf|einmal|zweimal)\b"
)
_SHARE = r"\d[\d.,]*\s?(?:percent|prozent|%)(?!\w)"
_PRICE = (
    r"[€$£]\s?\d|\d[\d.,]*\s?(?:€|\$|£|eur|usd|gbp|chf|euros?|dollars?|pounds?|crowns?|cents?)(?!\w)|"
    r"\bfree\b|\bno charge\b|\bwithout (?:extra )?charge\b|\b(?:kostenlos|kostenfrei|gratis|umsonst)"
)
_LENGTH = (
    r"\b(?:seconds?|minutes?|hours?|days?|nights?|weeks?|months?|years?|life|sekunden?|minuten?|stunden?|tage?n?|"
    r"wochen?|monate?n?|jahre?n?)\b"
)
_MOMENT = (
    r"\d\d?[:.]\d\d|\b\d{1,2} ?(?:am|pm|uhr)\b|\b\d{4}\b|\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b|"
    r"\b(?:morning|afternoon|evening|noon|midnight|night|daily|days?|weeks?|months?|year|weekends?|holidays?|january|"
    r"february|march|april|may|june|july|august|september|october|november|december|after|before|until|o'clock)\b|"
    r"\b(?:montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag|wochenende|feiertag)|\b(?:januar|februar|märz|"
    r"april|mai|juni|juli|august|september|oktober|november|dezember|uhr|(?:werk)?tage?n?|wochen?|monate?n?|jahre?n?)\b|"
    r"\b\d+ (?:hours?|minutes?|stunden?|minuten?)\b"
)
_TIMES = (
    "January|February|March|April|May|June|July|August|September|October|November|December|Monday|Tuesday|Wednesday|"
    "Thursday|Friday|Saturday|Sunday"
)
_PLACE = (
    r"\b(?:[Aa]t|[Ii]n|[Oo]n|[Nn]ear|[Bb]ehind|[Bb]eside|[Oo]pposite|[Nn]ext to|[Uu]nder|[Ff]rom|to|into|[Aa]m|[Ii]m|"
    rf"[Bb]ei|hinter|neben) (?:(?:the|our|your|a|an|any|der|dem|den) \w{{3,}}|(?!{_TIMES})[A-ZÄÖÜ]\w+)"
)
_PERSON = (
    r"\b(?:Dr|Mr|Mrs|Ms|Prof|Herr|Frau)\b|(?<=[a-zäöü,] )[A-ZÄÖÜ][a-zäöü]+ [A-ZÄÖÜ][a-zäöü]+|"
    rf"\b(?:by|bei|von|from) (?!{_TIMES})[A-ZÄÖÜ][a-zäöü]+"
)
_SIZE = (
    r"\d[\d.,]*\s?(?:mm|cm|km|m|ft|m²|l|(?:centi|milli|kilo)?met(?:re|er)s?|(?:zenti|kilo)?metern?|inch(?:es)?|feet|"
    r"lit(?:re|er)s?|[kmgt]b)(?!\w)|\b(?:hours?|days?|weeks?|months?) (?:ahead|before|in advance)"
)
KINDS = tuple(
    Kind(re.compile(asked, re.IGNORECASE), _folded(words), told)
    for asked, words, told in (
        (
            r"\bhow much\b(?! \w+ (?:do|does|is|are|will)\b)(?!.*\b(?:weigh|costs?|prices?)\b)",
            "much",
            re.compile(f"{_PRICE}|{_SHARE}", re.IGNORECASE),
        ),
        (
            r"\bcosts?\b|\bprices?\b|\bexpensive\b|"
            r"\bwhat (?:is|are) the (?:\w+ )?(?:fee|charge|fare|fine|penalty)|\bdo you charge\b|\bkoste[nt]\b|\bpreis|"
            r"\bgebühr|\bteuer\b|\bwie ?viel (?:zahle|bezahle)",
            "much cost costs price prices charge fee fare fine penalty expensive kostet kosten preis gebühr teuer viel",
            re.compile(_PRICE, re.IGNORECASE),
        ),
        (
            r"\bwhat (?:does|do|is the meaning of)\b.*\b(?:mean|meaning|stand for)\b|\bwhat is the meaning of\b|"
            r"\bwas (?:bedeutet|bedeuten|heißt|heißen)\b|\bmeaning\?",
            "mean means meaning stand stands bedeutet bedeuten heißt heißen",
            re.compile(
                r"\b(?:means?|stands? for|says that|bedeute[nt]|heißt)\b|\b(?:meaning|bedeutung):", re.IGNORECASE
            ),
        ),
        (
            r"\bhow often\b|\bmaximum number\b|\bwie oft\b",
            "often maximum number oft",
            re.compile(_NUMBER, re.IGNORECASE),
        ),
        (r"\bhow long\b|\bwie lange?\b", "long last lange lang dauert", re.compile(_LENGTH, re.IGNORECASE)),
        (
            r"^\W*when\b|[,.] when\b|\bfrom when\b|\bwhat time\b|\bwann\b|\bwie ?viel uhr|\b(?:what|which) days?\b|"
            r"\bhow (?:late|early)\b|\ban welche[nm] tag",
            "when time day days wann uhr late early tagen tag",
            re.compile(_MOMENT, re.IGNORECASE),
        ),
        (r"^\W*where\b|^\W*wo\b", "where wo", re.compile(_PLACE)),
        (r"^\W*(?:who|wer|wem)\b", "who wer wem", re.compile(_PERSON)),
        (
            r"\b(?:which|what) (?:\w+ )?(?:compan(?:y|ies)|carriers?|brands?|makes?|manufacturers?|firms?|insurers?|"
            r"banks?|suppliers?)\b|\bwelche[rs]? (?:firma|marke|bank|hersteller|versicherung)\b",
            "brand brands make makes",
            re.compile(r"(?<=[a-zäöü,] )[A-ZÄÖÜ][a-zäöü]+"),
        ),
        (
            r"\bhow (?:deep|large|big|tall|high|wide|thick|far)\b|\bwie (?:tief|groß|hoch|breit|dick|weit)\b|"
            r"\b(?:what|which|what is the|what's the) (?:diameter|width|height|depth|length)\b|"
            r"\bwelche[nr]? (?:durchmesser|breite|höhe|tiefe|länge)\b",
            "deep large big tall high wide thick far tief groß hoch breit dick weit",
            re.compile(_SIZE, re.IGNORECASE),
        ),
        (
            r"\bhow heavy\b|\bweighs?\b|\bwie schwer\b|\bwiegt\b",
            "much",
            re.compile(r"\d\s?(?:kg|g|kilos?|gram(?:me)?s?|gramm|kilogram\w*|tonnes?|tonnen?)(?!\w)", re.IGNORECASE),
        ),
        (
            r"\bhow fast\b|\bwie schnell\b",
            "fast schnell",
            re.compile(r"\d\s?(?:km/h|mph|knots?|knoten|mbit\S*|seconds?|minutes?|hours?|days?)(?!\w)", re.IGNORECASE),
        ),
        (
            r"\bhow (?:hot|warm|cold)\b|\bwie (?:heiß|warm|kalt)\b|\b(?:what|which) (?:\w+ )?(?:temperature|angle)\b|"
            r"\bwelche[rn]? (?:temperatur|winkel)\b",
            "hot warm cold heiß warm kalt temperature temperatur",
            re.compile(r"\d\s?(?:°|degrees?|grad)", re.IGNORECASE),
        ),
    )
)  # fmt: skip
COUNT = re.compile(
    r"\b(?:how many|wie ?viele?)\s+(?!(?:kost|zahl|bezahl|wieg|muss|soll|darf|ist|uhr|geld|prozent)\w*)([^\W\d]+)",
    re.IGNORECASE,
)
"""Asks for a number of something: that must stand beside it."""
NUMBER = re.compile(_NUMBER, re.IGNORECASE)
UNIT = re.compile(
    r"percent|prozent|eur|euros?|usd|gbp|chf|dollars?|pounds?|cents?|minutes?|hours?|days?|nights?|weeks?|months?|years?|"
    r"minuten?|stunden?|tage?n?|wochen?|monate?n?|jahre?n?|uhr|am|pm|00|cm|mm|m|km|kg|g"
)
"""What stands after a number that counts nothing else."""
