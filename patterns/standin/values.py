"""Numbers and truth values for fields, and the lines that the entries of a list are read from."""

import re

import numpy as np

from . import totals
from .entry import number_of
from .evidence import Candidate, Evidence
from .relevance import relevance
from .shapes import Schema, number_in
from .terms import field_term
from .words import language, negated, sentences, stems, words

SUPPORTS = {True: 0.42, False: 0.34}
"""The relevance from which a sentence supports a description, with and without meaning."""
_CURRENCIES = frozenset(
    ["€", "$", "£", "eur", "usd", "gbp", "chf", "euro", "euros", "dollar", "dollars", "pound", "pounds", "franken"]
)
_MONEY = r"price|amount|total|cost|fee|sum\b|paid|refund|fine|betrag|preis|charge|tax|tip"
_QUANTITY = r"quantity|qty|count|pieces|units|anzahl|menge|how many"
_TOTALS = re.compile(
    (
        r"^\W*(?:sub-?\s?total|total|sum|vat|tax|tip|cash|card|change|balance|amount|gesamt|summe|mwst|"
        r"date|receipt|invoice|order|tel)\b"
    ),
    re.IGNORECASE,
)


def number(schema: Schema, name: str, hint: str, whole: bool, evidence: Evidence) -> Candidate:
    """The number that the texts give for a field, moved to the nearest one that the schema allows."""
    if re.search(r"confiden|certain|probab|sicherheit", name):
        about = [sure for other, sure in evidence.chosen.items() if re.search(rf"\b{re.escape(other)}\b", hint)]
        sure = min(about) if about else evidence.margins[-1] if evidence.margins else evidence.reading.confidence
        top = float(schema.get("maximum", 1))
        return Candidate(number_in(sure if top <= 1 else round(sure * top), schema, whole), 0.9)
    if evidence.cells is not None:
        said = number_of(evidence.cells.get(name, ""))
        return Candidate(number_in(said, schema, whole), 0.1 if said is None else 0.9)
    if evidence.sheet and evidence.row is None and (term := field_term(name)):
        sum_ = totals.figure(term, evidence.sheet)
        return Candidate(number_in(sum_, schema, whole), 0.1 if sum_ is None else 0.9)
    if evidence.row is not None:
        return _in_row(schema, name, whole, evidence.row)
    for one in evidence.labelled(name):
        written = (
            re.fullmatch(r"\D{0,4}(-?\d+(?:[.,]\d+)?)\D{0,6}", str(one.value))
            if not isinstance(one.value, bool)
            else None
        )
        if written and one.support >= 0.6:
            return Candidate(number_in(float(written[1].replace(",", ".")), schema, whole), one.support)
    near = evidence.nearest({"number"}, hint, alone=0.4)
    near = [one for one in near if not whole or float(one.value).is_integer()]
    if re.search(_MONEY, name):
        pieces = [one for _, _, found in evidence.pieces for one in found if one.kind == "number"]
        priced = {one.value for one in pieces if one.unit.lower() in _CURRENCIES}
        raised = [Candidate(one.value, min(1.0, one.support + 0.3 * (one.value in priced))) for one in near]
        near = sorted(raised, key=lambda one: -one.support)
    inside = [one for one in near if number_in(float(one.value), schema, whole) == one.value]
    if inside and inside[0].support >= 0.3:
        return Candidate(number_in(float(inside[0].value), schema, whole), inside[0].support)
    if isinstance(schema.get("default"), int | float):
        return Candidate(number_in(schema["default"], schema, whole), 0.3)
    return Candidate(number_in(None, schema, whole), 0.1)


def _in_row(schema: Schema, name: str, whole: bool, row: str) -> Candidate:
    """A number of one line of a list: how many comes first or before a cross, the line's amount last."""
    plain = [float(one.replace(",", ".")) for one in re.findall(r"(?<![\w.,])\d+(?:[.,]\d+)?(?![\w.,-]*\d)", row)]
    times = re.search(r"(?<![\d.,])(\d+)\s*[x×*](?!\w)|[x×]\s*(\d+)\b(?![.,])", row)
    if re.search(_QUANTITY, name):
        first = re.match(r"\W*(\d{1,3})\s+[^\W\d]", row)
        said = next((one for found in (times, first) if found for one in found.groups() if one), None)
        return Candidate(number_in(float(said or 1), schema, whole), 0.7 if said else 0.5)
    amounts = [float(one.replace(",", ".")) for one in re.findall(r"\d+[.,]\d\d(?!\d)", row)] or plain
    if not amounts:
        return Candidate(number_in(None, schema, whole), 0.1)
    unit = len(amounts) > 1 and re.search(r"unit|each|single|per|\bprice\b|einzel", name)
    return Candidate(number_in(amounts[0] if unit else amounts[-1], schema, whole), 0.7)


def boolean(schema: Schema, name: str, hint: str, evidence: Evidence) -> Candidate:
    """Whether the text supports the description; a negation on one side only turns it round."""
    if not evidence.calling and re.search(
        r"confident|answered|answerable|found|grounded|supported|known|beantwort", name
    ):
        return Candidate(evidence.reading.confidence >= 0.5, 0.9)
    said = [*(sentences(evidence.own) if evidence.own else ()), *evidence.earlier[-1:]]
    if said and stems(hint):
        scores = relevance(hint, said, evidence.meaning, lang=language(evidence.own))
        best = int(np.argmax(scores))
        named = [at for at, one in enumerate(said) if stems(name) and stems(name) <= stems(one)]
        if named or scores[best] >= SUPPORTS[evidence.meaning is not None]:
            at = named[0] if named else best
            return Candidate(negated(said[at]) == negated(name), 0.7)
    return Candidate(bool(schema.get("default", False)), 0.3)


def rows(evidence: Evidence, objects: bool) -> list[str]:
    """The lines, list items or clauses that a list may be read from; lines of totals are none."""
    text = evidence.own
    mark = re.compile(r"\s*(?:[-*•]\s*|\d{1,2}[.)]\s(?=\s*\D))")
    marked = [mark.sub("", line, count=1).strip() for line in text.splitlines() if mark.match(line)]
    if marked:
        return [line for line in marked if line]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if objects and len(lines) > 2:
        return [
            line
            for line in lines
            if re.search(r"\d", line) and re.search(r"[^\W\d]{2}", line) and not _TOTALS.match(line)
        ]
    listed = re.search(r"((?:[^,.;:?!]{2,40},\s*)+(?:and|und|or|oder)?\s*[^,.;:?!]{2,40})", text)
    parts = re.split(r",\s*(?:and\s|und\s)?|\s(?:and|und)\s", listed[1]) if listed else []
    return [part.strip() for part in parts if len(words(part)) > 0]
