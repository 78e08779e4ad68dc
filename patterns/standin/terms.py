"""What the parts of receipts, invoices and other papers with sums are called, in English and German.

A field of a schema and a label on a page meet in a term: `sub_total` and "Zwischensumme" are both "subtotal". What no
term covers is compared by its words.
"""

import re
from dataclasses import dataclass

from .words import stems


@dataclass(frozen=True, slots=True)
class Term:
    """`field` is how schemas name it, `label` how papers do."""

    name: str
    field: re.Pattern[str]
    label: re.Pattern[str]


def _term(name: str, field: str, label: str) -> Term:
    return Term(name, re.compile(field, re.IGNORECASE), re.compile(label, re.IGNORECASE))


# In this order, because "total tax" is a tax and "subtotal" no total.
SUMS = (
    _term(
        "subtotal",
        r"\bsub ?total\b|\bnet(?:to)?\b|zwischensumme|before tax",
        r"\bsub\s?-?\s?tota[l1]\b|zwischensumme|zw\.?-?\s?summe|\bnett?o?(?:betrag|summe|wert)?\b|\bbefore tax\b|"
        r"\bexcl\.? (?:tax|vat)\b|\bmerchandise\b|\bgoods\b",
    ),
    _term("tip", r"\btips?\b|gratuity|trinkgeld", r"\btips?\b|gratuity|trinkgeld|\bservice (?:charge|fee)\b"),
    _term(
        "discount",
        r"discount|rebate|savings?\b|rabatt|nachlass",
        r"discount|rebate|\bsavings?\b|\byou saved\b|rabatt|nachlass|coupon|voucher|gutschein|skonto|\bpromo",
    ),
    _term(
        "shipping",
        r"shipping|delivery|postage|freight|versand",
        r"\bshipping\b|\bdelivery\b|postage|freight|versand(?:kosten)?|porto|lieferung",
    ),
    _term(
        "tax",
        r"\btax(?:es)?\b|\bvat\b|\bgst\b|\bmwst\b|\bust\b|steuer",
        r"\b(?:sales )?tax(?:es)?\b|\bv\.?a\.?t\b|\b[ghp]st\b|m\.?w\.?st|\bu\.?st\b|steuer",
    ),
    _term("change", r"\bchange\b|rückgeld", r"\bchange\b|rückgeld|wechselgeld|\bzurück\b"),
    _term(
        "tendered",
        r"tendered|cash given|received|gegeben",
        r"tender(?:ed)?|\breceived\b|gegeben|\bpaid\b|bezahlt|\bcash\b|\bbar\b|\bcards?\b|\bkarte\b|girocard|"
        r"\bvisa\b|\bmaster ?card\b|\bcredit\b|\bdebit\b|\bpayment\b|zahlung|lastschrift|contactless|kontaktlos",
    ),
    _term(
        "total",
        r"\btotal\b|amount due|gesamt|\bsumme?\b|\bendbetrag\b|\bto pay\b",
        r"\btota[l1]\b|amount due|balance due|\bto pay\b|zu zahlen|gesamt|\bsumme?\b|betrag|brutto",
    ),
)

COLUMNS = (
    _term("quantity", r"quantity|\bqty\b|\bcount\b|pieces|\bunits\b|anzahl|menge|how many",
          r"^qty\.?$|quantity|^anz(?:ahl)?\.?$|menge|^units?$|^pcs\.?$|^stk?\.?$|^count$|stück"),
    _term("price", r"unit|\beach\b|single|\bprice\b|\brate\b|einzel",
          r"unit|price|\beach\b|\brate\b|einzel|\bpreis\b|^e-?preis$|^à$"),
    _term("amount", r"amount|total|\bsum\b|betrag|gesamt|line",
          r"amount|total|\bsum\b|betrag|gesamt|^value$|summe|^(?:eur|usd|gbp|chf|€|\$|£)$"),
    _term("code", r"\bsku\b|\bcode\b|\bid\b|article n|item n|product n",
          r"\bsku\b|\bcode\b|art\.?-?\s?n|item (?:no|#)|^no\.?$|^nr\.?$|^#$|^pos\.?$"),
    _term("text", r"description|\bname\b|\bitem\b|product|article|\btext\b|title|bezeichnung|artikel|service",
          r"description|\bitems?\b|product|article|bezeichnung|artikel|beschreibung|service|leistung|position|ware"),
)  # fmt: skip


PAPERS = (
    _term(
        "number",
        r"(?:receipt|invoice|bill|document|transaction|voucher|ticket|check|paper) (?:number|no|nr|id|code)\b|"
        r"(?:beleg|rechnungs?|bon|quittungs?)\s?-?(?:nummer|nr)",
        r"(?:receipt|invoice|bill|trans(?:action)?|document|ticket|check|voucher|beleg|rechnungs?|bon|kassenbon|quittungs?)"
        r"\W*(?:(?:number|num|no|nr|nummer|id)\b\W*|#\s*)?$",
    ),
    _term("payment", r"pa(?:y|id|yment)\b.{0,12}(?:method|type|by|with|means)|\btender\b|zahlung|^payment$",
          r"\bpay(?:ment)?\b|\bpaid\b|settled|tender|zahl|gegeben|bezahlt"),
    _term("merchant", r"merchant|vendor|seller|\bshop\b|\bstore\b|supplier|issuer|händler|verkäufer",
          r"^seller$|^vendor$|^from$"),
    _term("currency", r"\bcurrency\b|währung", r"\bcurrency\b|währung"),
)  # fmt: skip

MEANS = (
    _term("card", r"\bcards?\b|credit|debit|karte",
          r"\bcards?\b|visa|master ?card|maestro|amex|american express|girocard|\bec\b|"
          r"\b(?:ec-?|kredit|debit|bank)?karten?(?:zahlung)?\b|contactless|credit|debit"),
    _term("transfer", r"transfer|\bwire\b|überweisung", r"transfer|überweis|\bwire\b|\bsepa\b"),
    _term("invoice", r"invoice|on account|rechnung", r"on account|auf rechnung"),
    _term("cash", r"\bcash\b|\bbar", r"\bcash\b|\bbar(?:geld|zahlung)?\b|\bcoins?\b"),
)  # fmt: skip
"""What one pays with: how a schema's values and how papers name it."""


def field_term(name: str, terms: tuple[Term, ...] = SUMS) -> str:
    """The term that a field's name (in words) stands for, or ""."""
    return next((term.name for term in terms if term.field.search(name)), "")


def label_term(label: str, terms: tuple[Term, ...] = SUMS) -> str:
    """The term that a label on a page stands for, or ""."""
    return next((term.name for term in terms if term.label.search(label)), "")


def likeness(name: str, label: str) -> float:
    """How far a field's name and a label on a page are the same words, 0 to 1."""
    wanted, have = stems(name), stems(label)
    return len(wanted & have) / len(wanted | have) if wanted and have else 0.0
