"""The layouts that paper from tills has; each draws one `Receipt`. `papers` has those of whole sheets."""

from collections.abc import Callable
from decimal import Decimal

from PIL import Image

from .facts import Receipt
from .paper import BOLD, MONO, SANS, SERIF, Paper

Layout = Callable[[Receipt], Image.Image]
PAID = {"cash": "CASH", "card": "VISA **** 4417", "bank_transfer": "BANK TRANSFER"}
BEZAHLT = {"cash": "Bar", "card": "girocard", "bank_transfer": "Überweisung"}
SIGNS = {"USD": "$", "GBP": "£", "EUR": "€"}


def comma(value: Decimal) -> str:
    """1.234,50 as German papers write it."""
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def note(paper: Paper, receipt: Receipt) -> None:
    """What is printed at the end, cut into lines that fit."""
    if not receipt.note:
        return
    room = int((paper.width - 2 * paper.margin) / (0.62 * paper.size))
    paper.down(0.6)
    row = ""
    for word in [*receipt.note.split(), ""]:
        if not word or len(row) + len(word) >= room:
            paper.line(row.strip())
            row = ""
        row += f"{word} "


def head(paper: Paper, receipt: Receipt) -> None:
    paper.centre(receipt.shop.name.upper() if paper.face == MONO else receipt.shop.name, size=paper.size + 8)
    for row in receipt.shop.address:
        paper.centre(row)
    paper.down(0.5)


def till(receipt: Receipt) -> Image.Image:
    """One line an item: `2 x Rye bread   4.20   8.40`."""
    paper = Paper(640, MONO, 22)
    paper.centre(receipt.shop.name, size=30)
    for row in receipt.shop.address:
        paper.centre(row)
    paper.down(0.5)
    paper.line(f"Receipt no. {receipt.number}")
    paper.line(f"Date: {receipt.date:%Y-%m-%d} 09:12")
    paper.rule(dashes=True)
    for one in receipt.items:
        paper.put(paper.margin, f"{one.quantity} x {one.description}")
        paper.put(500, f"{one.unit_price:.2f}", "r")
        paper.line("", f"{one.amount:.2f}")
    paper.rule(dashes=True)
    paper.line("Subtotal", f"{receipt.subtotal:.2f}")
    for rate, _, tax in receipt.taxes:
        paper.line(f"Sales tax {rate}%", f"{tax:.2f}")
    paper.line(f"TOTAL {receipt.shop.currency}", f"{receipt.total:.2f}", size=26)
    paper.line(f"Paid by {receipt.payment.replace('_', ' ')}")
    note(paper, receipt)
    paper.centre("Thank you for your visit")
    return paper.done()


def two_lines(receipt: Receipt) -> Image.Image:
    """The name of an item above its numbers: `3 @ 5.49   16.47`."""
    sign, paper = SIGNS[receipt.shop.currency], Paper(640, SANS, 21)
    head(paper, receipt)
    paper.line(f"{receipt.date:%d/%m/%Y}  17:45", f"Trans #{receipt.number}")
    paper.rule()
    for one in receipt.items:
        paper.line(one.description)
        paper.line(f"      {one.quantity} @ {sign}{one.unit_price:.2f}", f"{sign}{one.amount:.2f}")
    paper.rule()
    if receipt.subtotal is not None:
        paper.line("Sub-total", f"{sign}{receipt.subtotal:.2f}")
    for rate, _, tax in receipt.taxes:
        paper.line(f"{'incl. VAT' if receipt.shop.taxed else 'Tax'} {rate}%", f"{sign}{tax:.2f}")
    paper.line("Balance due", f"{sign}{receipt.total:.2f}", BOLD, 24)
    paper.line(PAID[receipt.payment], f"{sign}{receipt.total:.2f}")
    if receipt.payment == "cash":
        paper.line("Change", f"{sign}0.00")
    note(paper, receipt)
    return paper.done()


def kassenbon(receipt: Receipt) -> Image.Image:
    """A German supermarket's: the letter of the tax rate behind each amount, tax inside the prices."""
    paper, letters = Paper(600, MONO, 21), {19: "A", 7: "B"}
    paper.centre(receipt.shop.name, size=27)
    for row in receipt.shop.address:
        paper.centre(row)
    paper.down(0.5)
    paper.line("", "EUR")
    for one in receipt.items:
        paper.line(one.description, f"{comma(one.amount)} {letters[one.rate]}")
        if one.quantity > 1:
            paper.line(f"   {one.quantity} Stk x {comma(one.unit_price)}")
    paper.rule(dashes=True)
    paper.line("SUMME EUR", comma(receipt.total), size=27)
    paper.line(f"Gegeben {BEZAHLT[receipt.payment]}", comma(receipt.total))
    paper.down(0.5)
    paper.put(250, "Netto", "r")
    paper.put(400, "MwSt", "r")
    paper.line("Satz", "Brutto")
    for rate, base, tax in receipt.taxes:
        paper.put(250, comma(base), "r")
        paper.put(400, comma(tax), "r")
        paper.line(f"{letters[rate]} {rate}%", comma(base + tax))
    paper.down(0.5)
    paper.line(f"Datum {receipt.date:%d.%m.%Y}", "Uhrzeit 18:03")
    paper.line(f"Bon-Nr. {receipt.number}")
    note(paper, receipt)
    paper.centre("Vielen Dank für Ihren Einkauf")
    return paper.done()


def logo(receipt: Receipt) -> Image.Image:
    """White letters in a dark box on top, a serif face, quantity behind the name."""
    paper, sign = Paper(760, SERIF, 23), SIGNS[receipt.shop.currency]
    paper.draw.rectangle((0, 0, 760, 110), fill=40)
    paper.put(380, receipt.shop.name, "m", BOLD, 36, ink=255)
    paper.y = 130
    paper.centre("  ·  ".join(receipt.shop.address), size=18)
    paper.line(f"Receipt: {receipt.number}", f"{receipt.date:%d %B %Y}")
    paper.rule()
    paper.put(490, "Qty", "r", BOLD)
    paper.put(610, "Price", "r", BOLD)
    paper.line("Item", "Total", BOLD)
    for one in receipt.items:
        paper.put(490, str(one.quantity), "r")
        paper.put(610, f"{one.unit_price:.2f}", "r")
        paper.line(one.description, f"{one.amount:.2f}")
    paper.rule()
    if receipt.subtotal is not None:
        paper.line("Subtotal", f"{sign}{receipt.subtotal:.2f}")
    for rate, _, tax in receipt.taxes:
        paper.line(f"{'VAT included' if receipt.shop.taxed else 'Tax'} ({rate}%)", f"{sign}{tax:.2f}")
    paper.line("Total", f"{sign}{receipt.total:.2f}", BOLD, 26)
    paper.line("Payment method", {"card": "Mastercard", "cash": "Cash"}.get(receipt.payment, "Bank transfer"))
    note(paper, receipt)
    return paper.done()


def discounts(receipt: Receipt) -> Image.Image:
    """With a line for the member's discount between the goods and the total."""
    paper = Paper(720, MONO, 21)
    head(paper, receipt)
    paper.line(f"TICKET {receipt.number}")
    paper.line(f"{receipt.date:%b %d, %Y} 11:26 AM")
    paper.rule(dashes=True)
    for one in receipt.items:
        paper.line(f"{one.quantity} {one.description}", f"{one.amount:.2f}")
        if one.quantity > 1:
            paper.line(f"    {one.unit_price:.2f} each")
    paper.rule(dashes=True)
    paper.line("SUBTOTAL", f"{receipt.subtotal:.2f}")
    paper.line("MEMBER DISCOUNT", f"-{receipt.discount:.2f}")
    for rate, _, tax in receipt.taxes:
        paper.line(f"TAX {rate}.00%", f"{tax:.2f}")
    paper.line(f"TOTAL ({receipt.shop.currency})", f"{receipt.total:.2f}", size=25)
    paper.line(f"TENDERED {PAID[receipt.payment]}", f"{receipt.total:.2f}")
    note(paper, receipt)
    return paper.done()


def restaurant(receipt: Receipt) -> Image.Image:
    """A bill with a tip; the number of each dish in front, the date in words."""
    paper = Paper(580, SERIF, 22)
    head(paper, receipt)
    paper.line("Table 14   Guests 2", "Server: Ines")
    paper.line(f"Check {receipt.number}", f"{receipt.date:%B %d, %Y}")
    paper.rule()
    for one in receipt.items:
        paper.put(paper.margin, str(one.quantity))
        paper.put(80, one.description)
        paper.line("", f"{one.amount:.2f}")
    paper.rule()
    paper.line("Subtotal", f"{receipt.subtotal:.2f}")
    for rate, _, tax in receipt.taxes:
        paper.line(f"Tax ({rate}%)", f"{tax:.2f}")
    paper.line("Gratuity", f"{receipt.tip:.2f}")
    paper.line("Amount due", f"${receipt.total:.2f}", BOLD, 24)
    paper.line(f"Paid: {PAID[receipt.payment]}")
    note(paper, receipt)
    paper.centre("We hope to see you again")
    return paper.done()
