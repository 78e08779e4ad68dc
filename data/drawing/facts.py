"""What stands on each receipt: seeded, with Acme's products and prices from world.yaml, and fictional shops otherwise.

Sums are exact (cents as Decimal). A receipt that does not add up is made so here, and says so in its truth.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

CENT = Decimal("0.01")
PAYMENTS = ("cash", "card", "bank_transfer")


@dataclass(frozen=True, slots=True)
class Item:
    quantity: int
    description: str
    unit_price: Decimal
    rate: int = 0  # percent of tax
    code: str = ""

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.unit_price


@dataclass(frozen=True, slots=True)
class Shop:
    """`goods` maps a description to its price and its tax in percent; `taxed`: the prices contain the tax."""

    name: str
    address: tuple[str, ...]
    currency: str
    goods: Mapping[str, tuple[str, int]]
    taxed: bool
    codes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Everything that is printed. `subtotal` is None where the layout prints none; `note` is printed at the end."""

    id: str
    shop: Shop
    date: date
    number: str
    items: tuple[Item, ...]
    subtotal: Decimal | None
    discount: Decimal | None
    taxes: tuple[tuple[int, Decimal, Decimal], ...]  # percent, what it is a share of, tax
    tip: Decimal | None
    total: Decimal
    payment: str
    note: str = ""
    adds_up: bool = True

    @property
    def tax(self) -> Decimal:
        return sum((tax for _, _, tax in self.taxes), Decimal(0))

    def truth(self) -> dict[str, Any]:
        """The receipt as an application wants it; amounts in the receipt's currency."""
        return {
            "merchant": self.shop.name,
            "date": self.date.isoformat(),
            "receipt_number": self.number,
            "currency": self.shop.currency,
            "items": [
                {"quantity": one.quantity, "description": one.description, "unit_price": float(one.unit_price),
                 "amount": float(one.amount)}
                for one in self.items
            ],
            "subtotal": _number(self.subtotal),
            "discount": _number(self.discount),
            "tax": float(self.tax),
            "tip": _number(self.tip),
            "total": float(self.total),
            "payment_method": self.payment,
        }  # fmt: skip


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def cents(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)


def make(
    identity: str,
    shop: Shop,
    dice: random.Random,
    lines: int,
    *,
    subtotal: bool = True,
    discount: int = 0,
    tip: int = 0,
    payment: str = "card",
    many: int = 4,
) -> Receipt:
    """A receipt of `lines` items. `discount` and `tip` are percents of the goods; `many` bounds quantities."""
    names = list(shop.goods)
    chosen = dice.sample(names, lines) if lines <= len(names) else [dice.choice(names) for _ in range(lines)]
    items = tuple(
        Item(dice.choice([1, 1, 2, dice.randint(1, many)]), name, Decimal(shop.goods[name][0]), shop.goods[name][1],
             shop.codes.get(name, ""))
        for name in chosen
    )  # fmt: skip
    goods = sum((one.amount for one in items), Decimal(0))
    off = cents(goods * discount / 100) if discount else None
    rates = sorted({one.rate for one in items})
    taxes = []
    for rate in rates:
        gross = sum((one.amount for one in items if one.rate == rate), Decimal(0)) * (100 - discount) / 100
        tax = cents(gross * rate / (100 + rate)) if shop.taxed else cents(gross * rate / 100)
        taxes.append((rate, cents(gross - tax if shop.taxed else gross), tax))
    gratuity = cents(goods * tip / 100) if tip else None
    added = Decimal(0) if shop.taxed else sum((tax for _, _, tax in taxes), Decimal(0))
    total = goods - (off or 0) + added + (gratuity or 0)
    day = date(2026, 1, 13) + timedelta(days=dice.randrange(285))
    day = day.replace(day=13 + day.day % 15)  # above 12, so that no date can be read in two ways
    number = f"{dice.choice('ABCDEFHKLMNPRSTUVWX')}{dice.randrange(10, 100)}-{dice.randrange(1000, 10000)}"
    return Receipt(
        identity, shop, day, number, items, goods if subtotal else None, off, tuple(taxes), gratuity, total, payment
    )


def wrong(receipt: Receipt, dice: random.Random) -> Receipt:
    """The receipt with a total that its items do not give."""
    return replace(receipt, total=receipt.total + Decimal(dice.choice([9, 10, 27])), adds_up=False)
