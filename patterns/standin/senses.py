"""Everyday words that may stand for one another, in English and German, and how a word is written to be looked up.

General language only, as a small thesaurus has it: nothing here comes from a text that is answered from.
"""

import unicodedata
from functools import lru_cache

from .words import stem


@lru_cache(maxsize=65_536)
def folded(word: str) -> str:
    """Lower case and without accents, as the tokenizer of the embedding model writes it."""
    return "".join(one for one in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(one) != "Mn")


_SENSES = [
    frozenset(map(folded, group.split()))
    for group in (
        "year yearly annual annually",
        "month monthly",
        "week weekly",
        "day daily",
        "red",
        "green",
        "blue",
        "yellow",
        "black",
        "white",
        "brown",
        "grey gray",
        "pink",
        "orange",
        "rot",
        "grün",
        "blau",
        "gelb",
        "schwarz",
        "weiß",
        "braun",
        "grau",
        "buy purchase order sell sold",
        "cost price fee charge fare rate pay paid expensive cheap amount",
        "free gratis complimentary",
        "refund refunded reimburse money credit back",
        "return send back",
        "rent hire hired borrow lend lent loan lease",
        "penalty fine surcharge fare fee",
        "extra additional surcharge supplement",
        "open opened closed close closing hours",
        "begin start",
        "end finish stop expire expiry valid until last",
        "cancel cancellation withdraw terminate quit leave end",
        "reserve book booking reservation",
        "deliver delivery ship shipping send dispatch post",
        "broken defective damaged faulty damage defect",
        "repair fix mend",
        "change modify alter swap exchange replace",
        "lost lose missing stolen steal steals theft",
        "child children kid kids",
        "bike bicycle",
        "phone telephone call ring",
        "email mail",
        "big large size",
        "small little",
        "sick ill illness",
        "discount reduction reduced percent cheaper off",
        "sign register registration join enrol",
        "car vehicle",
        "dog puppy pet animal",
        "cat kitten pet animal",
        "food eat meal snack",
        "guarantee warranty",
        "instruction manual guide",
        "invoice bill receipt",
        "delete remove erase",
        "power electricity electric",
        "fire campfire",
        "licence license permit",
        "brother sister sibling",
        "gram grams gramme grammes g",
        "kilo kilos kilogram kilograms kg",
        "heavy weigh weight weighs",
        "schwer wiegt wiegen gewicht gesamtgewicht",
        "litre litres liter liters l",
        "metre metres meter meters m",
        "minute minutes min",
        "maximum max limit most",
        "minimum min least",
        "parcel package box shipment",
        "picture photo photograph image",
        "clean cleaning wash rinse",
        "noise noisy sound loud quiet silent silence",
        "install installation mount fit setup",
        "store stored save saved keep storage",
        "run runs last lasts hold holds duration life",
        "crash fall fell fallen accident drop dropped",
        "quick quickly fast soon speed",
        "postpone move moved reschedule shift",
        "pause suspend",
        "need needs require required requirement requirements",
        "shop store shops stores",
        "cash money",
        "help helps support",
        "standard norm",
        "tablet tablets pill pills medicine medication drug drugs",
        "vaccination vaccinate vaccinated jab",
        "instead replacement substitute alternative",
        "hotel accommodation",
        "login log signin",
        "outgoing outbound",
        "member members membership",
        "charge charging charged recharge",
        "update updates upgrade",
        "colour color colours colors",
        "near nearby close nearest",
        "hund tier tiere haustier",
        "katze tier tiere haustier",
        "kaufen bestellen bestellung verkaufen",
        "kosten kostet preis gebühr zahlen",
        "leihen ausleihen geliehen verleih mieten",
        "gültig gilt gelten ablaufen",
        "offen geöffnet öffnungszeiten geschlossen schließen",
        "absagen absage stornieren kündigen kündigung",
        "liefern lieferung geliefert versand versenden",
        "kaputt defekt beschädigt",
        "reparieren reparatur",
        "ändern umtauschen tauschen ersetzen",
        "verloren verlieren gestohlen diebstahl",
        "heiß warm grad temperatur",
        "rabatt ermäßigung ermäßigt prozent",
        "anmelden anmeldung registrieren",
        "geld erstatten erstattung",
        "gratis kostenlos kostenfrei umsonst",
        "rad räder fahrrad fahrräder bike bikes velo",
        "paket pakete sendung lieferung",
        "aufbewahren aufheben hebt speichern gespeichert lagern lagerung lagert",
        "überwintern winter winterlager",
        "sturz gestürzt stürzen unfall gefallen",
        "verschieben verlegen umbuchen",
        "chef vorgesetzte leitung teamleitung",
        "beschwerde beschweren sauer wütend unzufrieden",
        "antworten antwort melden hören höre",
        "zurückgeben rückgabe zurückschicken zurücksenden rücksendung retoure",
        "garantie gewährleistung",
        "rechnung beleg quittung",
        "bezahlen zahlen zahlung überweisen überweisung",
        "laden aufladen ladung geladen akku",
        "voll ladung ladestand geladen prozent",
        "anrufen telefon telefonisch rufnummer",
        "standort position ort",
        "dauer dauern dauert schnell lieferzeit",
        "wohnung haus daheim zuhause",
        "tarif abo plan",
    )
]


STRICT = frozenset(range(22))
"""The first senses: a word of theirs is not supported by one that only means something near it (yearly, monthly)."""


@lru_cache(maxsize=65_536)
def senses(word: str, lang: str) -> frozenset[int]:
    """The everyday senses that a word may have, as positions in the list above."""
    return frozenset(at for at, group in enumerate(_stemmed(lang)) if stem(word, lang) in group)


@lru_cache(maxsize=2)
def _stemmed(lang: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(stem(word, lang) for word in group) for group in _SENSES)
