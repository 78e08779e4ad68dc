"""What fields about a page as a whole are filled with: who it is from, its number, its currency, its text, its gist."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .sheet import Row
from .spans import spans
from .terms import MEANS, PAPERS, field_term, label_term
from .totals import sum_term
from .words import stems

SHOWN = 7
"""The lines that a description of an image names."""
_SIGNS = (
    ("EUR", r"€|\beur(?:os?)?\b"), ("GBP", r"£|\bgbp\b"), ("CHF", r"\bchf\b|\bfr\."),
    ("USD", r"\$|\busd\b|\bdollars?\b"),
)  # fmt: skip
_ERROR = re.compile(r"\b(?:errors?|fault|failure|warning|code|fehler|störung|warnung)\b", re.IGNORECASE)
_WHOLE = re.compile(r"\b(?:full|whole|all|raw|ocr)?\s?\b(?:text|transcript(?:ion)?|ocr)\b", re.IGNORECASE)
_SHOWS = re.compile(r"alt\b|caption|descri|what (?:it|the image) shows|bildunterschrift|beschreibung", re.IGNORECASE)
_ASKS = re.compile(
    r"\b(?:what(?:'s| is| does)?\b.{0,30}\b(?:image|picture|photo|screenshot|scan|page)\b|"
    r"what (?:does (?:this|it) show|is this)\b|describe|alt(?:ernative)?[- ]?text|caption|"
    r"what (?:do you|can you) see|read (?:this|the)|transcribe|"
    r"was (?:zeigt|ist auf|steht)|beschreib\w*|lies)\b",
    re.IGNORECASE,
)


def asked(question: str) -> bool:
    """Whether a question is about an image as a whole; an image without a question is, too."""
    return not question.strip() or bool(_ASKS.search(question))


def described(page: Sequence[Row]) -> str:
    """One sentence with the telling lines of an image: its head, whole sentences, what is labelled, the total."""
    if not page:
        return "An image in which no text can be read."
    worded = [row for row in page if re.search(r"[^\W\d]{2}", row.text)] or page
    said = message(worded)
    told = [_plain(row) for at, row in enumerate(worded) if at < 2 or _telling(row)]
    if said:
        told = [*told[:2], said, *(one for one in told[2:] if one not in said)]
    return "An image with the text: " + "; ".join(one.rstrip(".;") for one in told[:SHOWN]) + "."


def _telling(row: Row) -> bool:
    labelled = bool(re.match(r"[^\W\d][^:]{1,24}:\s+\S", row.text)) or bool(_ERROR.search(row.text))
    return labelled or sum_term(row) == "total" or bool(label_term(_plain(row), PAPERS[:1]))


def message(page: Sequence[Row]) -> str | None:
    """The first sentences that a page says, those below a line about an error before others; they may take several
    lines."""
    found: list[tuple[bool, str]] = []
    run, after = "", False
    for row in page:
        text = _plain(row)
        alone = len(row.cells) == 1 and not re.search(r":(?!\d)", text) and not _ERROR.match(text)
        if alone and (run or (len(text.split()) >= 3 and text[:1].isupper())):
            run = f"{run} {text}".strip()
            if text.endswith((".", "!", "?")):
                found.append((after, run))
                run = ""
        else:
            run, after = "", after or bool(_ERROR.search(text))
    return max(found, key=lambda one: one[0])[1] if found else None


def _plain(row: Row) -> str:
    return " ".join(row.text.split())


def answered(question: str, page: Sequence[Row]) -> str | None:
    """The line of a page that answers a question; None when no line has what it asks for."""
    if re.search(r"\b(?:wrong|error message|happened|problem)\b", question, re.IGNORECASE) and (said := message(page)):
        return said
    if re.search(r"\bwho\b|merchant|\bshop\b|\bstore\b|seller|\bwer\b|händler", question, re.IGNORECASE):
        return merchant(page)
    term, wanted = field_term(question), stems(question)
    dated = bool(re.search(r"\bwhen\b|\bdate\b|\bwann\b|\bdatum\b", question, re.IGNORECASE))
    scores = [
        len(wanted & stems(_plain(row)))
        + 2 * bool(term and term == sum_term(row))
        + (dated and any(one.kind == "date" for one in spans(row.text)))
        for row in page
    ]
    # Of two lines that are equally near, one with a number says more.
    best = max(range(len(page)), key=lambda at: (scores[at], bool(re.search(r"\d", page[at].text))), default=-1)
    return _plain(page[best]) if best >= 0 and scores[best] else None


def string(name: str, hint: str, page: Sequence[Row], pairs: Sequence[tuple[str, str]]) -> str | None:
    """The text for a field; None when the field is about something else than the page."""
    if _SHOWS.search(name):
        return described(page)
    if re.search(r"\btext\b|transcript|\bocr\b", name) and _WHOLE.search(f"{name} {hint}"):
        return "\n".join(_plain(row) for row in page)
    if re.search(r"\bmessage\b|meldung", name):
        return message(page)
    if re.search(r"\bapp(?:lication)?\b", name):
        named = (re.fullmatch(r"(.{2,40}?)\s+app(?:lication)?", cell.text) for row in page for cell in row.cells)
        return next((one[1] for one in named if one), None)
    match field_term(name, PAPERS):
        case "merchant":
            return merchant(page)
        case "number":
            return next((said for label, value in pairs if label_term(label, PAPERS) == "number"
                         and (said := _numbered(value))), None)  # fmt: skip
        case "currency":
            return currency(page)
    return None


def merchant(page: Sequence[Row]) -> str | None:
    """Who a paper is from stands at its head, before anything with a number."""
    return page[0].cells[0].text if page else None


def currency(page: Sequence[Row]) -> str | None:
    """The code of the currency that a page names most often, by code, sign or word."""
    text = "\n".join(row.text for row in page)
    counts = {code: len(re.findall(pattern, text, re.IGNORECASE)) for code, pattern in _SIGNS}
    best = max(counts, key=lambda code: counts[code])
    return best if counts[best] else None


def _numbered(value: str) -> str | None:
    found = re.search(r"[\w/-]*\d[\w/-]*", value)
    return found[0] if found else None


def choice(values: Sequence[Any], name: str, page: Sequence[Row], pairs: Sequence[tuple[str, str]]) -> Any:
    """The listed value that a page names outright: behind a label like the field's name, or as its currency or means
    of payment. None when it names none."""
    plain = {str(value).casefold().replace("_", " "): value for value in values}
    labelled = [value for label, value in pairs if label.casefold().strip(" .:") == name.casefold()]
    if said := next((plain[one.casefold()] for one in labelled if one.casefold() in plain), None):
        return said
    match field_term(name, PAPERS):
        case "currency":
            return plain.get((currency(page) or "").casefold())
        case "payment":
            return _means(values, page)
    return None


def _means(values: Sequence[Any], page: Sequence[Row]) -> Any:
    by_term: Mapping[str, Any] = {field_term(str(value).replace("_", " "), MEANS): value for value in reversed(values)}
    named = [_plain(row) for row in page if label_term(_plain(row), PAPERS[1:2])]
    others = [row.label for row in reversed(page)]  # it stands near the end
    terms = [term for text in (*named, *others) if (term := label_term(text, MEANS))]
    return next((by_term[term] for term in terms if term in by_term), None)
