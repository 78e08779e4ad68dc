"""The parts of a question that may each need an answer of its own ("Is it late, and which track does it stop at?")."""

import re

from .spans import spans
from .words import language, stems

_CUT = re.compile(
    r"(?<=[?.!;])\s+|,?\s+(?:and also|and then|as well as|and|also|then|(?-i:plus)|und außerdem|und|sowie)\s+|"
    r",\s+(?=(?:is|are|does|do|can|what|when|where|who|how|which|please|tell|show|find|book|cancel)\b)",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\?|^(?:please |and |also |und |bitte )*(?:what|when|where|who|whom|whose|how|which|why|is|are|does|do|did|can|"
    r"could|may|will|would|should|must|tell|show|find|give|check|list|look|explain|(?:the )?(?:prices?|costs?)|"
    r"was|wann|wo|wer|wem|wie|warum|welche\w*|"
    r"ist|sind|kann|können|darf|dürfen|muss|gibt|sagen|zeig\w*|finde\w*)\b",
    re.IGNORECASE,
)

_CODE = r"\b[A-Z]{1,4}-?[A-Z]{0,2}\d[\w-]*"
_CODES = re.compile(rf"{_CODE}(?:(?:, | and | und |, and | & ){_CODE})+")


def parts(question: str) -> list[str]:
    """The parts of a question that may each need a tool: a part has a content word that is no name or number."""
    cuts = [0, *(at for one in _CUT.finditer(question) for at in one.span()), len(question)]
    found: list[tuple[int, int]] = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=True):
        before = question[found[-1][0] : found[-1][1]] if found else ""
        if found and not (_says(before) and _says(question[start:end])):
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return [question[start:end].strip(" ,.") for start, end in found]


def questions(text: str) -> list[str]:
    """The parts that ask or order something, each with the parts before it that only tell; at least one.

    What is asked of two codes ("What do L-12 and L-21 mean?") is asked of each.
    """
    return [each for one in _questions(text) for each in _of_each(one)]


def _of_each(question: str) -> list[str]:
    listed = _CODES.search(question)
    if not listed:
        return [question]
    return [question[: listed.start()] + code + question[listed.end() :] for code in re.findall(_CODE, listed[0])]


def _questions(text: str) -> list[str]:
    found: list[str] = []
    told = ""
    for part in parts(text):
        said = f"{told} {part}".strip()
        if _ASKS.search(part):
            found.append(said)
            told = ""
        elif found and not told and not re.search(r"[.!?]$", found[-1]):
            found[-1] = f"{found[-1]} and {part}"
        else:
            told = said
    if told:
        found = [*found[:-1], f"{found[-1]} {told}"] if found else [text]
    return found or [text]


def entities(part: str) -> set[str]:
    """The names, identifiers and dates in a text."""
    return {str(one.text) for one in spans(part) if one.kind in {"name", "id", "date"}}


def _says(part: str) -> bool:
    named = {word for one in entities(part) for word in stems(one)}
    return bool(stems(part, language(part)) - named)
