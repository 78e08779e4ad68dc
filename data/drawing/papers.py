"""The layouts of whole sheets: invoices with tables, in English and German."""

from PIL import Image

from .facts import Receipt
from .layouts import BEZAHLT, SIGNS, comma, note
from .paper import BOLD, SANS, SERIF, Paper

A4 = 1_600  # pixels high; 1,130 wide


def invoice(receipt: Receipt) -> Image.Image:
    """An A4 invoice with a table under a heading, the article's code below its name."""
    paper, sign = Paper(1_130, SANS, 22, 80), SIGNS[receipt.shop.currency]
    paper.line(receipt.shop.name, "INVOICE", BOLD, 36)
    for row in receipt.shop.address:
        paper.line(row)
    paper.down(1.5)
    paper.line(f"Invoice number: {receipt.number}", f"Date: {receipt.date:%d %b %Y}")
    paper.line("Bill to: Rowan Ashdown, 3 Pine Court, Eastmouth")
    paper.down(1.5)
    columns = (720, 880, 1_050)
    _heading(paper, ("Description", "Qty", "Unit price", "Amount"), columns)
    for one in receipt.items:
        _row(
            paper,
            (one.description, str(one.quantity), f"{sign}{one.unit_price:,.2f}", f"{sign}{one.amount:,.2f}"),
            columns,
        )
        if one.code:
            paper.line(one.code, size=17)
    paper.rule()
    for label, value in (("Subtotal", receipt.subtotal), *[(f"Sales tax {r}%", tax) for r, _, tax in receipt.taxes]):
        _sum(paper, label, f"{sign}{value:,.2f}")
    _sum(paper, "Total due", f"{sign}{receipt.total:,.2f}", BOLD)
    paper.down(2)
    paper.line(f"Payment: {receipt.payment.replace('_', ' ')}")
    note(paper, receipt)
    return paper.done(A4)


def rechnung(receipt: Receipt) -> Image.Image:
    """A German invoice: positions numbered, net sums, VAT by rate, decimal commas."""
    paper = Paper(1_130, SANS, 22, 80)
    paper.line(receipt.shop.name, face=BOLD, size=34)
    for row in receipt.shop.address:
        paper.line(row)
    paper.down(1.5)
    paper.line("Rechnung", face=BOLD, size=30)
    paper.line(f"Rechnungsnummer: {receipt.number}")
    paper.line(f"Rechnungsdatum: {receipt.date:%d.%m.%Y}")
    paper.down(1.0)
    columns = (560, 720, 900, 1_050)
    _heading(paper, ("Bezeichnung", "MwSt", "Menge", "Einzelpreis", "Betrag"), columns)
    for one in receipt.items:
        cells = (one.description, f"{one.rate} %", str(one.quantity), comma(one.unit_price), comma(one.amount))
        _row(paper, cells, columns)
    paper.rule()
    if receipt.shop.taxed:
        for rate, _, tax in receipt.taxes:
            _sum(paper, f"enthaltene MwSt {rate} %", f"{comma(tax)} €")
    else:
        _sum(paper, "Nettobetrag", f"{comma(receipt.subtotal or receipt.total)} €")
        for rate, _, tax in receipt.taxes:
            _sum(paper, f"zzgl. {rate} % MwSt", f"{comma(tax)} €")
    _sum(paper, "Gesamtbetrag", f"{comma(receipt.total)} €", BOLD)
    paper.down(2)
    paper.line(f"Zahlungsart: {BEZAHLT[receipt.payment]}")
    note(paper, receipt)
    return paper.done(A4)


def two_column(receipt: Receipt) -> Image.Image:
    """Seller and buyer side by side; labels above their values; the quantity in the first column."""
    paper, sign = Paper(1_130, SERIF, 22, 70), SIGNS[receipt.shop.currency]
    paper.line(receipt.shop.name, face=BOLD, size=32)
    paper.down(0.6)
    for left, right in zip(("From", *receipt.shop.address), ("To", "Greta Lowell", "9 Orchard Close"), strict=False):
        paper.put(paper.margin, left)
        paper.put(620, right)
        paper.down()
    paper.down()
    for x, text in ((70, "Receipt no."), (420, "Date"), (760, "Paid with")):
        paper.put(x, text, face=BOLD, size=19)
    paper.down()
    method = {"card": "Debit card", "cash": "Cash", "bank_transfer": "Bank transfer"}[receipt.payment]
    for x, text in ((70, receipt.number), (420, f"{receipt.date:%Y-%m-%d}"), (760, method)):
        paper.put(x, text)
    paper.down(2)
    xs = (70, 190, 820, 1_060)
    for x, text, align in zip(xs, ("Quantity", "Article", "Each", "Line total"), "llrr", strict=True):
        paper.put(x, text, align, BOLD, 20)
    paper.down()
    paper.rule()
    for one in receipt.items:
        cells = (str(one.quantity), one.description, f"{one.unit_price:.2f}", f"{one.amount:.2f}")
        for x, text, align in zip(xs, cells, "llrr", strict=True):
            paper.put(x, text, align)
        paper.down(1.2)
    paper.rule()
    if receipt.subtotal is not None:
        _sum(paper, "Net total", f"{sign}{receipt.subtotal:.2f}")
    for rate, _, tax in receipt.taxes:
        _sum(paper, f"VAT @ {rate}%", f"{sign}{tax:.2f}")
    _sum(paper, "Grand total", f"{sign}{receipt.total:.2f}", BOLD)
    note(paper, receipt)
    return paper.done(1_300)


def multi_tax(receipt: Receipt) -> Image.Image:
    """A tax column in the table, and a summary of the taxes below the total."""
    paper, code = Paper(900, SANS, 22, 50), receipt.shop.currency
    paper.centre(receipt.shop.name, BOLD, 32)
    paper.centre(", ".join(receipt.shop.address), size=19)
    paper.down()
    paper.line(f"Bill no: {receipt.number}", f"Issued {receipt.date:%d.%m.%Y}")
    paper.down(0.5)
    columns = (470, 600, 740, 850)
    _heading(paper, ("Product", "Qty", "Rate", "Price", "Sum"), columns)
    for one in receipt.items:
        cells = (one.description, str(one.quantity), f"{one.rate}%", f"{one.unit_price:.2f}", f"{one.amount:.2f}")
        _row(paper, cells, columns)
    paper.rule()
    paper.line(f"Total {code}", f"{receipt.total:.2f}", BOLD, 26)
    for rate, base, tax in receipt.taxes:
        paper.line(f"VAT {rate}% of {base:.2f}", f"{tax:.2f}")
    paper.down(0.6)
    paper.line(f"Settled by {receipt.payment.replace('_', ' ')}")
    note(paper, receipt)
    return paper.done()


def _heading(paper: Paper, cells: tuple[str, ...], columns: tuple[int, ...]) -> None:
    _row(paper, cells, columns, BOLD, 20)
    paper.rule()


def _row(paper: Paper, cells: tuple[str, ...], columns: tuple[int, ...], face: str = "", size: int = 0) -> None:
    """The first cell at the left margin, the others with their right edges at `columns`."""
    paper.put(paper.margin, cells[0], face=face, size=size)
    for x, text in zip(columns, cells[1:], strict=True):
        paper.put(x, text, "r", face, size)
    paper.down(1.15)


def _sum(paper: Paper, label: str, value: str, face: str = "") -> None:
    paper.put(0.6 * paper.width, label, face=face)
    paper.line("", value, face)
