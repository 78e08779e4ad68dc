"""Which fields of a tool's result a question asks for."""

import re
from collections.abc import Mapping
from typing import Any

from .documents import label
from .words import stems

MONEY = re.compile(
    r"price|cost|amount|total|fee|fine|balance|refund|charge|fare|paid|due_amount|deposit|tax", re.IGNORECASE
)
# What common fields are called in a question. General English and German, as a list of function words is.
_CALLED = tuple(
    (re.compile(keys), re.compile(rf"\b(?:{'|'.join(words.split(' | '))})", re.IGNORECASE))
    for keys, words in (
        (r"tracking|shipment_n", r"track | sendungs?(?:nummer|verfolgung) | paketnummer"),
        (r"carrier|courier|shipper",
         r"carrier | courier | who (?:brings|delivers) | versanddienst | paketdienst | wer (?:bringt|liefert)"),
        (r"promised|expected|^eta$|due|estimated|arriv",
         r"(?:when|wh(?:at|ich) day|by when)\b.{0,60}\b(?:comes?|arrives?|here|be|due|get|delivered)\b | expect | "
         r"promis | due\b | (?:wann|wie bald)\b.{0,60}\b(?:kommt|kommen|an|da|geliefert)\b"),
        (r"delivered|arrived|received",
         r"deliver | arrive | came\b | (?:did|has|have).{0,40}\bcome\b | geliefert | zugestellt | angekommen | "
         r"ankam | ka(?:m|men)\b"),
        (r"refund|reimburs|credited", r"refund | reimburs | my money | erstatt | rückerstatt | geld zurück"),
        (r"return", r"return | sen[dt].{0,20} back | zurückge | retour | rücksend"),
        (r"^total$|amount|balance",
         r"total | altogether | sum\b | how much | dearer | cheaper | summe | gesamt | wie (?:hoch|viel) | teuer"),
        (r"^shipping|delivery_(?:fee|cost)|postage",
         r"(?:for|of) (?:the )?(?:shipping|delivery|postage) | shipping (?:fee|cost) | versandkosten | porto"),
        (r"price|cost|fee$", r"price | costs? | how much | preis | kostet | kosten\b"),
        (r"items|contents|lines|products",
         r"what(?:'s| is| was| were) in\b | items?\b | contents?\b | inside | which products | enthalten | artikel | "
         r"inhalt | was (?:ist|war|sind)\b.{0,40}\b(?:drin|in)\b"),
        (r"status|^state$", r"status | state\b | left\b | shipped | dispatched | stand\b | verschickt | versandt"),
        (r"placed|ordered|created|bought",
         r"when\b.{0,30}\b(?:order|buy|bought|place) | wann\b.{0,40}\b(?:bestellt|gekauft)"),
    )
)  # fmt: skip


def asked(key: str, value: Any, question: str) -> float:
    """How far a field is what the question asks for: shared words count 2, the right kind of value 1."""
    shared = len(stems(question, "en") & stems(label(key), "en"))
    shared = max(shared, int(any(keys.search(key) and called.search(question) for keys, called in _CALLED)))
    kind = 0
    if re.search(r"\bwhen\b|what (?:day|date|time)|\bdue\b|\bwann\b|how long", question, re.IGNORECASE):
        kind = bool(isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value))
    if re.search(r"how much|\bcosts?\b|\bprice|kostet|wie viel|\bpay\b", question, re.IGNORECASE):
        kind = kind or bool(MONEY.search(key))
    if re.search(r"\bwhere\b|\bwo\b", question, re.IGNORECASE):
        kind = kind or bool(
            re.search(r"location|place|address|platform|room|shelf|city|station|track|where|status", key)
        )
    if re.search(r"\bstatus\b|\bis\b.*\?|\bwhat happened\b", question, re.IGNORECASE):
        kind = kind or key in {"status", "state"}
    return 2 * min(shared, 2) + kind


def asks(content: Any, question: str, flags: bool = True) -> bool:
    """Whether a question asks for a field of an object, or of what it holds, by name; empty fields do not count.

    `flags`: whether a mere yes or no does.
    """
    if isinstance(content, list):
        return any(asks(one, question, flags) for one in content[:5])
    if not isinstance(content, Mapping):
        return False
    return any(
        (value not in (None, "") and (flags or value not in (True, False)) and asked(str(key), value, question) >= 2)
        or asks(value, question, flags)
        for key, value in content.items()
    )
