"""The sums of a page: subtotal, tax, tip, total and the like, each found by what its line is called."""

import re
from collections.abc import Sequence

from .sheet import Row
from .terms import label_term

_GRAND = re.compile(r"grand|due|to pay|zu zahlen|gesamt|end|brutto|rechnungs|paid", re.IGNORECASE)
_OF_TAXES = re.compile(
    r"(?:total|sum|summe|gesamt)\W*(?:\w+\W+)?(?:tax|vat|mwst|ust|steuer)|steuer\w* gesamt", re.IGNORECASE
)


def sum_term(row: Row) -> str:
    """The term that a line with an amount stands for, or ""."""
    return label_term(row.label) if row.amounts else ""


def figure(term: str, page: Sequence[Row]) -> float | None:
    """The amount for a term of `terms.SUMS`; None when the page has none."""
    lines = [row for row in page if sum_term(row) == term or (term == "tax" and _of_rate(row) is not None)]
    if not lines:
        return None
    match term:
        case "tax":
            whole = [row for row in lines if _OF_TAXES.search(row.label)]
            taxes = [tax_of(row) for row in whole[-1:] or lines]
            return round(sum(taxes), 2)
        case "discount":
            return round(sum(abs(row.amounts[-1]) for row in lines), 2)
        case "total":
            return max(lines, key=lambda row: (bool(_GRAND.search(row.label)), row.amounts[-1])).amounts[-1]
        case _:
            return lines[-1].amounts[-1]


def tax_of(row: Row) -> float:
    """The tax in a line that may also have what it is a share of, before or after tax."""
    tax = _of_rate(row)
    return row.amounts[-1] if tax is None else tax


def _of_rate(row: Row) -> float | None:
    """The amount that is as many percent of another one as the line says; None when there is none."""
    for rate in row.percents:
        for base in row.amounts:
            for tax in row.amounts:
                if 0 < tax < base and abs(base * rate / 100 - tax) <= 0.011:
                    return tax
    return None
