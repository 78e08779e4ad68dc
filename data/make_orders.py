"""Make customers.json and orders.json from world.yaml: `python data/make_orders.py`. Seeded: the same bytes each time.

How this file reads world.yaml where it leaves room:
- Delivery days are calendar days from the day of the order; `promised` is the last of them.
- The express fee replaces the standard fee. Free shipping covers standard delivery only.
- An order with an e-bike goes by freight: the freight fee replaces all others, and there is no express.
- `unit_price` is the list price. Customers with a discount on spare parts (Acme Kitchen plus, pro) buy none here.
- Whole orders are returned. The refund is the goods less the restocking fee; Acme Nord also gives the standard shipping
  back when the goods return within the statutory withdrawal time. A cancelled order is refunded in full.
Times are UTC, amounts in the tenant's currency.
"""

import json
import random
import unicodedata
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
SEED = 127  # chosen among a few hundred: every tenant has orders in every status
DAYS_BACK = 330

# name, country; Acme Nord also names the language, since some of its customers write English
HOME = """
Marisol Quintero, US|Derek Halvorsen, US|Aisha Rahmani, US|Tom Bellweather, US|Priya Venkataraman, US|Luca Ferrante, US
Nkechi Okonjo, US|Grace Lindqvist, CA|Bao Tran Pham, US|Walter Pickering, US|Yuki Morishita, US|Selma Hadzic, US
Connor Gilhooly, US|Fatou Diarra, CA|Ray Castellano, US|Hannah Brightwood, US|Omar Sabbagh, US|Ewa Nowicka, US
Jamal Whitcombe, US|Ingrid Solbakken, CA|Rosa Delgadillo, US|Peter Vandermolen, US|Mei-Ling Chou, US|Dolores Kincaid, US
"""
KITCHEN = """
Camille Desrochers, CA|Theo Papadakis, US|Shanice Merriweather, US|Rafael Montalvo, US|Anneke Dijkstra, US
Kwame Asantewaa, US|Julia Brodzinski, US|Harold Finchley, US|Leila Moghadam, US|Sanjay Kulkarni, US|Beatriz Falcao, US
Owen Tredwell, US|Hye-jin Seong, US|Zeynep Karahan, US|Martha Oglesby, US|Dmitri Volkonin, US|Adaeze Nwosu, US
Pilar Echeverri, US|Simon Attwater, CA|Noor Chaudhary, US|Gus Lindgren, US|Valentina Sorrenti, US|Elias Thorne, US
Ruth Abernethy, US
"""
NORD = """
Annika Bergfelder, DE, de|Jonas Wiesmüller, DE, de|Katharina Obermoser, AT, de|Mehmet Yildirimli, DE, de
Sabine Kortländer, DE, de|Florian Gschwandl, AT, de|Lena Petersdorf, DE, de|Uwe Hagenbrink, DE, de
Elif Demirkan, DE, de|Matthias Rauchegger, AT, de|Birgit Sommerlath, DE, de|Tobias Eckenfels, DE, de
Oksana Hrytsenko, DE, en|Liam Fotheringham, DE, en|Agnieszka Wolanska, DE, de|Henrik Thomsdorf, DE, de
Gudrun Pfefferle, DE, de|Nils Aschenbach, DE, de|Marlene Unterweger, AT, de|Chiara Bonaventi, AT, en
Dirk Möllenkamp, DE, de|Fatma Özgürel, DE, de|Samuel Achterberg, DE, en|Ronja Küppersbusch, DE, de
"""
PEOPLE = {"acme-home": HOME, "acme-kitchen": KITCHEN, "acme-nord": NORD}
PLANS = ["basic"] * 12 + ["plus"] * 8 + ["pro"] * 4
ORDERS_PER_CUSTOMER = [0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 10, 12]  # 110 a tenant
MAIL_DOMAINS = ["mail.example", "post.example", "inbox.example", "family.example"]
CARRIERS = {
    "acme-home": ["Tern Parcel", "Longstride Express"],
    "acme-kitchen": ["Tern Parcel", "Copperline Delivery"],
    "acme-nord": ["Elsterpaket", "Nordwind Kurier"],
}
FREIGHT = "Granit Spedition"
EBIKES = {"ND-E500", "ND-E750"}
SPARE_PARTS = {"KT-D01", "KT-F02", "KT-R25"}


def ascii_name(name: str) -> str:
    """'Jonas Wiesmüller' -> 'jonas.wiesmueller'."""
    for letter, plain in {"ä": "ae", "ö": "oe", "ü": "ue", "Ö": "Oe", "ß": "ss"}.items():
        name = name.replace(letter, plain)
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return folded.lower().replace(" ", ".")


def make_customers(rng: random.Random, today: date) -> list[dict[str, Any]]:
    customers: list[dict[str, Any]] = []
    for tenant, block in PEOPLE.items():
        people = [person.split(", ") for line in block.strip().splitlines() for person in line.split("|")]
        plans = rng.sample(PLANS, len(people))
        for (name, country, *lang), plan in zip(people, plans, strict=True):
            customers.append(
                {
                    "id": f"C-{len(customers) + 1:04d}",
                    "tenant": tenant,
                    "name": name,
                    "email": f"{ascii_name(name)}@{rng.choice(MAIL_DOMAINS)}",
                    "plan": plan,
                    "lang": lang[0] if lang else "en",
                    "country": country,
                    "since": (today - timedelta(days=rng.randint(90, 1900))).isoformat(),
                }
            )
    return customers


def days_range(text: str) -> tuple[int, int]:
    """'3-5' -> (3, 5); '2' -> (2, 2)."""
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def pick_items(
    rng: random.Random, customer: dict[str, Any], products: dict[str, Any], has_bike: bool
) -> list[dict[str, Any]]:
    """One to three different products; cheap ones sometimes in twos and threes, e-bikes one per customer."""
    discounted = customer["tenant"] == "acme-kitchen" and customer["plan"] != "basic"
    skus = [s for s in products if not (s in EBIKES and has_bike) and not (s in SPARE_PARTS and discounted)]
    chosen: list[str] = []
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
        sku = rng.choice(skus)
        if sku not in chosen and not (sku in EBIKES and EBIKES & set(chosen)):
            chosen.append(sku)
    items: list[dict[str, Any]] = []
    for sku in chosen:
        price = float(products[sku]["price"])
        items.append({"sku": sku, "quantity": rng.choice([1, 1, 2, 3]) if price < 65 else 1, "unit_price": price})
    return items


def shipping_cost(subtotal: float, express: bool, freight: bool, policy: dict[str, Any]) -> float:
    if freight:
        return float(policy["bike_freight_fee"])
    if express:
        return float(policy["express_fee"])
    return 0.0 if subtotal >= policy["free_shipping_from"] else float(policy["shipping_fee"])


def refund_for(order: dict[str, Any], delivered: date, returned: date, policy: dict[str, Any]) -> float:
    refund = order["subtotal"] * (1 - policy["restocking_fee_percent"] / 100)
    if (returned - delivered).days <= policy.get("statutory_withdrawal_days", 0):
        # the law gives back the standard fee, not what express cost on top
        standard = shipping_cost(order["subtotal"], False, False, policy)
        refund += standard if order["express"] else order["shipping"]
    return round(refund, 2)


def settle(rng: random.Random, order: dict[str, Any], policy: dict[str, Any], today: date, stuck: str | None) -> None:
    """Play the order forward to `today`: fills status, tracking, delivered, returned, refunded."""
    placed = date.fromisoformat(order["placed"][:10])
    promised = date.fromisoformat(order["promised"])
    tracking = f"{''.join(w[0] for w in order['carrier'].split())}{rng.randint(10**9, 10**10 - 1)}"
    if stuck is not None:
        order["status"] = stuck
        order["tracking"] = tracking if stuck == "shipped" else None
        return
    if rng.random() < 0.07:
        order.update(status="cancelled", refunded=order["total"])
        return
    first, last = days_range(policy["express_delivery_days" if order["express"] else "standard_delivery_days"])
    late = rng.randint(1, 4) if rng.random() < 0.07 else 0
    delivered = promised + timedelta(days=late) if late else placed + timedelta(days=rng.randint(first, last))
    left_warehouse = placed + timedelta(days=min(rng.randint(0, 2), (delivered - placed).days - 1))
    if left_warehouse >= today:
        order["status"] = "placed" if placed >= today - timedelta(days=rng.randint(0, 1)) else "packed"
        return
    order["tracking"] = tracking
    if delivered >= today:
        order["status"] = "shipped"
        return
    order.update(status="delivered", delivered=delivered.isoformat())
    returned = delivered + timedelta(days=rng.randint(2, policy["return_days"]))
    if rng.random() < 0.17 and returned <= today:
        order.update(status="returned", returned=returned.isoformat())
        if returned + timedelta(days=policy["refund_days"]) <= today:
            order.update(status="refunded", refunded=refund_for(order, delivered, returned, policy))


def make_orders(
    rng: random.Random, customers: list[dict[str, Any]], tenant: str, facts: dict[str, Any], today: date
) -> list[dict[str, Any]]:
    """The orders of one tenant, numbered in the order in which they were placed."""
    policy = facts["policy"]
    owners = [c for c in customers if c["tenant"] == tenant]
    counts = rng.sample(ORDERS_PER_CUSTOMER, len(owners))
    drafts: list[tuple[datetime, dict[str, Any]]] = []
    for owner, count in zip(owners, counts, strict=True):
        oldest = min(DAYS_BACK, (today - date.fromisoformat(owner["since"])).days)
        for _ in range(count):
            # a third in the last two weeks, so that enough orders are still under way
            age = rng.randint(0, 13) if rng.random() < 0.33 else rng.randint(14, oldest)
            clock = time(rng.randint(0, 7) if age == 0 else rng.randint(0, 23), rng.randint(0, 59))
            drafts.append((datetime.combine(today - timedelta(days=age), clock), owner))
    drafts.sort(key=lambda draft: (draft[0], draft[1]["id"]))

    orders: list[dict[str, Any]] = []
    with_bike: set[str] = set()
    for number, (placed, owner) in enumerate(drafts, start=100_001):
        items = pick_items(rng, owner, facts["products"], owner["id"] in with_bike)
        freight = any(item["sku"] in EBIKES for item in items)
        if freight:
            with_bike.add(owner["id"])
        express = not freight and rng.random() < 0.2
        subtotal = round(sum(item["quantity"] * item["unit_price"] for item in items), 2)
        shipping = shipping_cost(subtotal, express, freight, policy)
        last_day = days_range(policy["express_delivery_days" if express else "standard_delivery_days"])[1]
        orders.append(
            {
                "id": f"{facts['order_prefix']}-{number}",
                "tenant": tenant,
                "customer": owner["id"],
                "placed": f"{placed.isoformat()}Z",
                "status": "placed",
                "express": express,
                "items": items,
                "subtotal": subtotal,
                "shipping": shipping,
                "total": round(subtotal + shipping, 2),
                "currency": facts["currency"],
                "carrier": FREIGHT if freight else rng.choice(CARRIERS[tenant]),
                "tracking": None,
                "promised": (placed.date() + timedelta(days=last_day)).isoformat(),
                "delivered": None,
                "returned": None,
                "refunded": None,
            }
        )
    # a few parcels are lost and a few never left the warehouse: past their date, and still not there
    overdue = [o["id"] for o in orders if 1 <= (today - date.fromisoformat(o["promised"])).days <= 8]
    stuck = dict(zip(rng.sample(overdue, 3), ["shipped", "shipped", "packed"], strict=True))
    for order in orders:
        settle(rng, order, policy, today, stuck.get(order["id"]))
    return orders


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """A JSON list with one object a line, so that a change shows as one line of a diff."""
    body = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(f"[\n{body}\n]\n", encoding="utf-8", newline="\n")


def main() -> None:
    world = yaml.safe_load((HERE / "world.yaml").read_text(encoding="utf-8"))
    rng = random.Random(SEED)
    customers = make_customers(rng, world["today"])
    orders = [
        order
        for tenant, facts in world["tenants"].items()
        for order in make_orders(rng, customers, tenant, facts, world["today"])
    ]
    write_lines(HERE / "customers.json", customers)
    write_lines(HERE / "orders.json", orders)


if __name__ == "__main__":
    main()
