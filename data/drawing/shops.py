"""Who sells: Acme's three brands, from world.yaml, and invented shops."""

from collections.abc import Mapping
from typing import Any

from .facts import Shop

_SALES_TAX, _VAT_FULL, _VAT_LOW = 8, 19, 7

ACME_ADDRESSES = {
    "acme-home": ("400 Foundry Street, Dayton", "help@acme-home.example", "+1-555-0110"),
    "acme-kitchen": ("18 Mill Avenue, Duluth", "hello@acme-kitchen.example", "+1-555-0122"),
    "acme-nord": ("Hafenstraße 12, Flensburg", "hilfe@acme-nord.example", "+49-30-555-0133"),
}


def acme(world: Mapping[str, Any]) -> dict[str, Shop]:
    """Acme's brands by tenant, with list prices: with tax in Germany, before tax in the United States."""
    found = {}
    for tenant, facts in world["tenants"].items():
        german = facts["currency"] == "EUR"
        rate = _VAT_FULL if german else _SALES_TAX
        goods = {one["name"]: (f"{one['price']:.2f}", rate) for one in facts["products"].values()}
        codes = {one["name"]: sku for sku, one in facts["products"].items()}
        found[tenant] = Shop(facts["name"], ACME_ADDRESSES[tenant], facts["currency"], goods, german, codes)
    return found


def _shop(name: str, address: tuple[str, ...], currency: str, taxed: bool, goods: str) -> Shop:
    """Goods as lines of `description | price | tax in percent`."""
    lines = [[part.strip() for part in line.split("|")] for line in goods.strip().splitlines()]
    return Shop(name, address, currency, {text: (price, int(rate)) for text, price, rate in lines}, taxed)


BAKERY = _shop("Korvat Bakery", ("12 Harbour Lane, Eastmouth", "+1-555-0141"), "USD", False, """
Rye bread | 4.20 | 6
Oat roll | 1.35 | 6
Cinnamon knot | 2.90 | 6
Poppy seed bagel | 1.80 | 6
Filter coffee | 2.60 | 6
Apricot tart | 3.75 | 6
Sourdough loaf | 6.40 | 6
Lemon slice | 3.15 | 6
""")  # fmt: skip
HARDWARE = _shop("Moss & Vane Hardware", ("77 Quarry Road, Linfield", "+1-555-0147"), "USD", False, """
Wood screws 4x40 | 5.49 | 7
Claw hammer | 18.90 | 7
Paint roller set | 12.25 | 7
Masking tape | 3.60 | 7
LED bulb E27 | 4.75 | 7
Sandpaper P120 | 2.35 | 7
Garden hose 15 m | 27.80 | 7
Door hinge brass | 6.15 | 7
Wall anchors | 7.05 | 7
""")  # fmt: skip
TRATTORIA = _shop("Trattoria Belmora", ("5 Chapel Square, Westbrook", "+1-555-0153"), "USD", False, """
Tagliatelle al limone | 16.50 | 9
Margherita | 13.00 | 9
Caprese salad | 9.75 | 9
Grilled sea bass | 24.00 | 9
Sparkling water | 3.50 | 9
House red glass | 7.25 | 9
Tiramisu | 8.00 | 9
Espresso | 2.80 | 9
""")  # fmt: skip
BOOKS = _shop("Linden Rask Books", ("31 Canal Street, Oldbridge", "+1-555-0158"), "GBP", True, """
The Glass Orchard | 9.99 | 5
Maps of the North Sea | 24.50 | 5
A Short History of Salt | 12.75 | 5
Fountain pen blue | 18.20 | 20
Notebook A5 dotted | 6.80 | 20
Wrapping paper | 2.95 | 20
Postcards set of ten | 4.45 | 20
""")  # fmt: skip
MARKT = _shop("Frischmarkt Sonnkorn", ("Lindenweg 8, Talheim", "Tel. +49-30-555-0161"), "EUR", True, """
Vollmilch 1 L | 1.19 | 7
Roggenbrot | 3.45 | 7
Bergkäse 200 g | 4.29 | 7
Äpfel lose | 2.87 | 7
Spülmittel | 1.95 | 19
Küchenrolle | 3.15 | 19
Orangensaft | 2.49 | 19
Butter | 2.29 | 7
Batterien AA | 5.99 | 19
Haferflocken | 1.09 | 7
""")  # fmt: skip
DRUCK = _shop("Druckerei Wellenkamp", ("Am Speicher 3, Altenried", "kontakt@wellenkamp.example"), "EUR", False, """
Visitenkarten matt | 0.35 | 19
Plakat A2 | 12.50 | 19
Broschüre 16 Seiten | 3.80 | 19
Gestaltung je Stunde | 68.00 | 19
Aufkleber rund | 0.55 | 19
Fachbuch Satzlehre | 29.90 | 7
Kalender A4 | 11.20 | 7
""")  # fmt: skip
GARDEN = _shop("Juniper Garden Centre", ("2 Meadow Rise, Fernley", "+1-555-0166"), "GBP", True, """
Lavender 2 L pot | 7.99 | 20
Tomato seeds | 2.49 | 20
Potting compost 40 L | 8.75 | 20
Bird feeder | 14.30 | 20
Terracotta pot | 5.60 | 20
Hand trowel | 9.25 | 20
Plant labels | 3.05 | 20
""")  # fmt: skip
ORBIT = ("900 Birch Parkway, Norvale", "billing@orbit-office.example")
STATIONERY = _shop("Orbit Office Supply", ORBIT, "USD", False, """
Desk lamp | 34.90 | 8
Printer paper A4 | 6.75 | 8
Stapler | 11.40 | 8
Whiteboard marker | 1.95 | 8
Ring binder | 3.30 | 8
Ballpoint pens, box | 8.60 | 8
Desk organiser | 21.15 | 8
Envelope C5 | 0.45 | 8
""")  # fmt: skip
