"""The lines of a till receipt without a heading: how many, what, the price for one where there are two amounts, and the
amount of the line. A line below may say how many, or what one costs."""

import re
from collections.abc import Mapping, Sequence

from .entry import PARTS, Entry, number_of, whole
from .sheet import Row, amounts
from .terms import COLUMNS, field_term
from .totals import sum_term

_TIMES = re.compile(
    r"(?<![\w.,-])(?P<n>\d{1,3})\s*(?:pcs?|st(?:k|ück)?\.?|x|×|\*|@|à)\s*(?=[€$£\d@à]|[^\W\d]|$)", re.IGNORECASE
)
_BEHIND = re.compile(r"(?<![\w.,])[x×]\s?(?P<n>\d{1,3})(?![\w.,])", re.IGNORECASE)
_MARK = re.compile(r"(?:\s+|(?<=\d))(?:[A-C]|[12*])$")  # the letter for a tax rate behind an amount
_ABOUT = re.compile(r":|#|@|\d[\d/.-]{5,}")  # a number of the paper, a date, a telephone number: no goods


def sold(page: Sequence[Row], fields: Sequence[str]) -> list[Entry]:
    """The lines of a till receipt that sell something."""
    found: list[Entry] = []
    before = ""  # the line above, when it may be the name of what the numbers of this one are about
    for row in page:
        term = sum_term(row)
        if term in ("subtotal", "total", "tendered") and found:
            break
        if term or not row.amounts:
            before = "" if term or _ABOUT.search(row.text) else row.text
            continue
        parts = parted(row.text)
        if not re.search(r"[^\W\d]{2}", parts["text"]):
            if not before and found:
                found[-1] = _detailed(found[-1], parts, fields)
                continue
            parts = {**parts, "text": before}
        if parts["text"]:
            found.append(whole(row, {}, fields, parts))
        before = ""
    return found


def _detailed(entry: Entry, parts: Mapping[str, str], fields: Sequence[str]) -> Entry:
    """An entry with what the line below it says: `3 x 1.20`, or `1.20 each`, where that gives its amount."""
    names = {field_term(name, COLUMNS): name for name in reversed(fields)}
    many, price, amount = (names.get(term, "") for term in PARTS)
    one, total = number_of(parts["amount"]), number_of(entry.cells.get(amount, ""))
    if not one or total is None:
        return entry
    count = float(parts["quantity"]) if parts["quantity"] else round(total / one)
    if abs(count * one - total) > 0.011:
        return entry
    more = {name: text for name, text in ((many, f"{count:g}"), (price, f"{one:.2f}")) if name}
    return Entry(f"{entry.text} {parts['amount']}", {**entry.cells, **more})


def parted(text: str) -> dict[str, str]:
    """A line of a receipt as quantity, text, price for one and amount, each "" when the line has none."""
    bare = _MARK.sub("", text.strip())
    money = amounts(bare)
    times = _TIMES.search(bare) or _BEHIND.search(bare)
    first = re.match(r"(\d{1,3})\s+(?=[^\W\d]{2})", bare)
    quantity = times["n"] if times else first[1] if first else ""
    said = bare
    for _, start, end in reversed(money):
        said = said[:start] + " " + said[end:]
    said = said.replace(times[0], " ", 1) if times else said[first.end() :] if first else said
    said = re.sub(r"[€$£]|\b(?:EUR|USD|GBP|CHF|each|ea\.?|je)\b|[@×]|(?<!\w)[x*à](?!\w)", " ", said)
    values = [f"{value:.2f}" for value, _, _ in money]
    return {
        "quantity": quantity,
        "text": " ".join(said.split()).strip(" .:-·"),
        "price": values[0] if len(values) > 1 else "",
        "amount": values[-1] if values else "",
    }
