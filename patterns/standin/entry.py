"""One entry of a list that is read from a page, and what can be told of it from the rest of its row."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .sheet import Row, amounts
from .terms import COLUMNS, field_term

PARTS = ("quantity", "price", "amount")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its text, and the text for each field that has one."""

    text: str
    cells: Mapping[str, str]


def whole(row: Row, cells: Mapping[str, str], fields: Sequence[str], parts: Mapping[str, str] | None = None) -> Entry:
    """An entry with what can be told from the rest: one piece when no number is given, a price from the amount."""
    made = dict(cells)
    for name in fields:
        term = field_term(name, COLUMNS)
        if name not in made and parts and parts.get(term):
            made[name] = parts[term]
    by_term = {field_term(name, COLUMNS): name for name in reversed(fields)}
    many, price, amount = (by_term.get(term, "") for term in PARTS)
    if many and many not in made:
        made[many] = "1"
    count = number_of(made.get(many, "1")) or 1.0
    if price and price not in made and amount in made and (total := number_of(made[amount])) is not None:
        made[price] = f"{total / count:.2f}"
    if amount and amount not in made and price in made and (one := number_of(made[price])) is not None:
        made[amount] = f"{one * count:.2f}"
    return Entry(row.text, made)


def number_of(text: str) -> float | None:
    money = amounts(text)
    if money:
        return money[-1][0]
    plain = re.search(r"-?\d+(?:[.,]\d+)?", text)
    return float(plain[0].replace(",", ".")) if plain else None
