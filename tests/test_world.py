"""Is the Acme world consistent? Everything under data/ is compared with world.yaml, and with itself.

The checks are functions of a data folder that return problems, each beginning with `file:line` or a record's id. The
tests run them on data/ and, at the end of this file, on copies with a planted error, to see that they can fail.
"""

import json
import math
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from patterns import acme, documents
from patterns.documents import Article
from patterns.errors import CallerError
from patterns.events import User

DATA = Path(__file__).parents[1] / "data"
Problems = list[str]
Facts = dict[str, Any]


# --- Reading ---


@dataclass(frozen=True)
class Page:
    """An article with what the checks need besides: its front matter, and its lines with their numbers in the file."""

    path: Path
    head: Facts
    article: Article
    lines: tuple[tuple[int, str], ...]

    def at(self, line: int) -> str:
        return f"{self.path.parent.name}/{self.path.name}:{line}"

    def sentences(self) -> Iterator[tuple[int, str]]:
        """Sentences and rows of tables, with the numbers of their lines; links are reduced to their text.

        A lone number of one or two digits ends no sentence, since it may be a German ordinal: "am 31. Tag".
        """
        for number, line in self.lines:
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line)
            for sentence in [plain] if plain.startswith("|") else re.split(r"(?<=[.!?])(?<! \d\.)(?<! \d\d\.) ", plain):
                yield number, sentence


@cache
def facts(data: Path = DATA) -> Facts:
    return yaml.safe_load((data / "world.yaml").read_text(encoding="utf-8"))


@cache
def pages(data: Path = DATA) -> tuple[Page, ...]:
    found: list[Page] = []
    for path in sorted((data / "help_center").glob("*/*.md")):
        lines = path.read_text(encoding="utf-8").split("\n")
        end = lines.index("---", 1)
        body = tuple((number, line) for number, line in enumerate(lines, start=1) if number > end + 1)
        found.append(Page(path, yaml.safe_load("\n".join(lines[1:end])), documents.read(path), body))
    return tuple(found)


@cache
def customers(data: Path = DATA) -> dict[str, Facts]:
    return {row["id"]: row for row in json.loads((data / "customers.json").read_text(encoding="utf-8"))}


@cache
def orders(data: Path = DATA) -> dict[str, Facts]:
    return {row["id"]: row for row in json.loads((data / "orders.json").read_text(encoding="utf-8"))}


@cache
def tickets(data: Path = DATA) -> dict[str, Facts]:
    """Tickets by id, with `words`, the subject and text together."""
    found: dict[str, Facts] = {}
    for path in sorted((data / "tickets").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            assert row["id"] not in found, f"{path.name}: {row['id']} is there twice"
            found[row["id"]] = row | {"words": f"{row['subject'] or ''}\n{row['text']}"}
    return found


def report(problems: Iterable[str]) -> None:
    listed = list(problems)
    assert not listed, "\n" + "\n".join(listed)


# --- The help centre ---


def front_matter_problems(data: Path) -> Problems:
    world, problems = facts(data), Problems()
    tags = {"public", *(f"plan:{plan}" for plan in world["plans"]), *(f"team:{team}" for team in world["teams"])}
    ids = Counter(page.article.id for page in pages(data))
    by_id = {page.article.id: page for page in pages(data)}
    for page in pages(data):
        article, head = page.article, page.head
        expected = f"{article.tenant.removeprefix('acme-')}-{page.path.stem}"
        tests = {
            "its id is used twice": ids[article.id] > 1,
            f"its id is not {expected}": article.id != expected,
            "it lies in the folder of another tenant": page.path.parent.name != article.tenant,
            f"there is no tenant {article.tenant}": article.tenant not in world["tenants"],
            "its url is not help.<tenant>.example/<file name>": article.url
            != f"https://help.{article.tenant}.example/{page.path.stem}",
            "its language is not one of the tenant's": article.lang
            not in world["tenants"][article.tenant]["languages"],
            "acl is not a list, or is empty": not (isinstance(head["acl"], list) and head["acl"]),
            f"acl has tags that world.yaml does not know: {set(article.acl) - tags}": bool(set(article.acl) - tags),
            "it shows internal things to customers": any(t.startswith("team:") for t in article.acl)
            and "public" in article.acl,
            "updated is not a date of the past": type(article.updated) is not date or article.updated > world["today"],
            "its heading is not its title": not article.text.startswith(f"# {article.title}\n"),
        }
        problems += [f"{page.at(1)} {problem}" for problem, found in tests.items() if found]
        for label in ("superseded_by", "near_duplicate_of"):
            target = by_id.get(head.get(label, article.id))
            if target is None or (target.article.tenant, target.article.lang) != (article.tenant, article.lang):
                problems.append(f"{page.at(1)} {label} names no article of this tenant and language")
            elif label == "superseded_by" and target is not page and target.article.updated <= article.updated:
                problems.append(f"{page.at(1)} is newer than the article that supersedes it")
        known = {other.article.url for other in pages(data) if other.article.tenant == article.tenant}
        for number, line in page.lines:
            links = set(re.findall(r"https?://[^\s)]+", line))
            problems += [f"{page.at(number)} links to {link}, which is not there" for link in links - known]
    return problems


def test_front_matter() -> None:
    report(front_matter_problems(DATA))


def test_help_centre_has_what_the_course_needs() -> None:
    seen = Counter((page.article.tenant, page.article.lang) for page in pages())
    assert seen.total() >= 80
    assert set(seen) == {(tenant, lang) for tenant, f in facts()["tenants"].items() for lang in f["languages"]}
    assert min(seen.values()) >= 10, seen
    labels = Counter(label for page in pages() for label in page.head)
    assert labels["superseded_by"] >= 1 and labels["poisoned"] >= 1 and labels["near_duplicate_of"] >= 2
    # readers with rights have something of their own to read, in every tenant
    for tenant in facts()["tenants"]:
        held = {tag for page in pages() if page.article.tenant == tenant for tag in page.article.acl}
        assert {"public", "plan:plus", "plan:pro", "team:support", "team:billing", "team:warehouse"} <= held, tenant


def test_tables_codes_and_products_are_explained() -> None:
    tables = [page for page in pages() if any(re.fullmatch(r"\|(---\|)+", line) for _, line in page.lines)]
    assert len(tables) >= 40
    for tenant, fact in facts()["tenants"].items():
        text = "\n".join(page.article.text for page in pages() if page.article.tenant == tenant)
        missing = [name for name in [*fact["products"], *fact["errors"]] if not re.search(rf"\b{name}\b", text)]
        assert not missing, f"no article of {tenant} mentions {missing}"


def error_table_problems(data: Path) -> Problems:
    """The English tables of error codes use the very words of world.yaml; the German one is a translation."""
    problems: Problems = []
    for page in pages(data):
        if page.path.stem != "error-codes":
            continue
        for code, meaning in facts(data)["tenants"][page.article.tenant]["errors"].items():
            rows = [(number, line) for number, line in page.lines if line.startswith(f"| {code} |")]
            problems += [] if rows else [f"{page.at(1)} has no row for {code}"]
            problems += [
                f"{page.at(number)} {code} means: {meaning}"
                for number, row in rows
                if meaning.lower() not in row.lower()
            ]
    return problems


def test_error_tables() -> None:
    report(error_table_problems(DATA))


def grams(text: str, n: int) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def similarities() -> dict[frozenset[str], tuple[float, float]]:
    """Two measures for each pair of a tenant's articles in one language.

    The cosine of their words weighted by rarity (log tf x idf), and the part of the shorter one's word 3-grams that the
    longer one has as well.
    """
    counts = {page.article.id: Counter(re.findall(r"\w+", page.article.text.lower())) for page in pages()}
    spread = Counter(word for count in counts.values() for word in count)
    vectors: dict[str, dict[str, float]] = {}
    for name, count in counts.items():
        weights = {w: (1 + math.log(n)) * math.log(len(counts) / spread[w]) for w, n in count.items()}
        norm = math.hypot(*weights.values())
        vectors[name] = {word: weight / norm for word, weight in weights.items()}
    found: dict[frozenset[str], tuple[float, float]] = {}
    for one, two in combinations([page.article for page in pages()], 2):
        if (one.tenant, one.lang) == (two.tenant, two.lang):
            cosine = sum(weight * vectors[two.id].get(word, 0) for word, weight in vectors[one.id].items())
            a, b = grams(one.text, 3), grams(two.text, 3)
            found[frozenset({one.id, two.id})] = round(cosine, 4), round(len(a & b) / min(len(a), len(b)), 4)
    return found


def test_near_duplicates_are_near_and_nothing_else_is() -> None:
    def labelled(label: str) -> set[frozenset[str]]:
        return {frozenset({page.article.id, page.head[label]}) for page in pages() if label in page.head}

    pairs = similarities()
    duplicates, superseded = labelled("near_duplicate_of"), labelled("superseded_by")
    near = {pair for pair, (cosine, _) in pairs.items() if cosine >= 0.45}
    assert near - superseded == duplicates, "measured and declared near-duplicates differ"
    # two kinds: copied with small changes, and said in other words, which overlap of words alone does not find
    copied = {pair for pair in duplicates if pairs[pair][1] >= 0.6}
    assert len(copied) >= 2 and len(duplicates - copied) >= 2
    assert all(pairs[pair][1] < 0.1 for pair in duplicates - copied)


# --- Names, prices and contacts in the articles ---

CODE = re.compile(r"\b(?:HX|KT|ND)-\w+|\b[EKF]-\d{1,5}\b")  # an order id has six digits
MONEY = r"(?:(?:\$|EUR )\d[\d,]*\.\d\d|\d[\d.]*,\d\d EUR)"


def amount(text: str) -> float:
    """'$1,028.00', 'EUR 79.00' or '2.499,00 EUR' -> a number."""
    digits = re.sub(r"[^\d.,]", "", text)
    return float(digits.replace(".", "").replace(",", ".") if text.endswith("EUR") else digits.replace(",", ""))


def unknown_codes(text: str, fact: Facts) -> list[str]:
    return [name for name in CODE.findall(text) if name not in fact["products"] and name not in fact["errors"]]


def code_problems(data: Path) -> Problems:
    problems: Problems = []
    for page in pages(data):
        fact = facts(data)["tenants"][page.article.tenant]
        for number, line in [(2, f"{page.article.title} {page.article.url}"), *page.lines]:
            problems += [f"{page.at(number)} {page.article.tenant} has no {name}" for name in unknown_codes(line, fact)]
    for ticket in tickets(data).values():
        fact = facts(data)["tenants"][ticket["tenant"]]
        problems += [
            f"{ticket['id']} {ticket['tenant']} has no {name}" for name in unknown_codes(ticket["words"], fact)
        ]
    return problems


def test_skus_and_error_codes_exist() -> None:
    report(code_problems(DATA))


def price_claims(page: Page, fact: Facts) -> Iterator[tuple[int, str, float, float]]:
    """Line, product, stated and true price, wherever an amount follows a SKU or product name with no other between."""
    prices: dict[str, float] = {}
    for sku, product in fact["products"].items():
        name = product["name"].lower().removesuffix(" e-bike")  # the articles say "Fjell 500"
        prices |= {sku.lower(): product["price"], name: product["price"]}
    names = "|".join(re.escape(name) for name in sorted(prices, key=len, reverse=True))
    for number, sentence in page.sentences():
        mentions = list(re.finditer(rf"\b(?:{names})\b", sentence, re.IGNORECASE))
        for mention, following in zip(mentions, [*mentions, None][1:], strict=True):
            until = following.start() if following else len(sentence)
            if stated := re.search(MONEY, sentence[mention.end() : until]):
                yield number, mention[0], amount(stated[0]), prices[mention[0].lower()]


def price_problems(data: Path) -> Problems:
    return [
        f"{page.at(number)} {name} costs {true:.2f}, not {stated:.2f}"
        for page in pages(data)
        for number, name, stated, true in price_claims(page, facts(data)["tenants"][page.article.tenant])
        if stated != true
    ]


def test_prices_of_products() -> None:
    report(price_problems(DATA))
    for tenant, fact in facts()["tenants"].items():
        claims = [claim for page in pages() if page.article.tenant == tenant for claim in price_claims(page, fact)]
        assert len(claims) >= 8, f"{tenant}: the pattern hardly finds a price any more"


# Amounts that are no fact of world.yaml but a rule of this one article.
HOUSE_RULES: dict[str, set[float]] = {
    "home-chargebacks": {15, 20, 300},
    "home-express-delivery": {300},
    "home-fraud-signals": {400},
    "home-goodwill-refunds": {25, 25.01, 75},
    "kitchen-chargebacks": {25},
    "kitchen-goodwill-limits": {40, 80, 120, 240, 400},
    "kitchen-returns-inspection": {500},
    "nord-kulanz": {50, 100, 200, 400, 800},
    "nord-mobility-guarantee": {15, 60, 150},
    "nord-rechnungen": {1000},
}


def worked_out(world: Facts) -> dict[str, set[float]]:
    """Amounts that articles work out from facts: differences, sums, discounts."""
    home, kitchen = world["tenants"]["acme-home"], world["tenants"]["acme-kitchen"]
    plus, pro = home["plan_price_month"]["plus"], home["plan_price_month"]["pro"]
    step = kitchen["plan_price_month"]["pro"] - kitchen["plan_price_month"]["plus"]
    plug, pack = home["products"]["HX-P110"]["price"], home["products"]["HX-P114"]["price"]
    crema = kitchen["products"]["KT-E20"]["price"]
    parts = [kitchen["products"][sku]["price"] for sku in ("KT-D01", "KT-F02")]
    fee = crema * kitchen["policy"]["restocking_fee_percent"] / 100
    found = {
        "home-change-your-plan": {pro - plus, (pro - plus) / 2},
        "home-chargebacks": {5 * plus},
        "home-compare-plans": {plus + pro, 12 * plus, 12 * pro},
        "home-set-up-the-smart-plug": {4 * plug - pack},
        "kitchen-billing": {step, step / 2},
        "kitchen-goodwill-limits": {fee},
        "kitchen-parts-discount": {price * part for price in parts for part in (0.95, 0.85)},
        "kitchen-returns": {fee, crema - fee},
    }
    return {name: {round(value, 2) for value in values} for name, values in found.items()}


def amount_problems(data: Path) -> Problems:
    """Every amount is a fact, is worked out from facts, or is a rule of that article alone; the currency is right."""
    world, problems = facts(data), Problems()
    for page in pages(data):
        fact = world["tenants"][page.article.tenant]
        known = {fact["policy"][key] for key in fact["policy"] if key.endswith("_fee") or key == "free_shipping_from"}
        known |= {product["price"] for product in fact["products"].values()} | set(fact["plan_price_month"].values())
        known |= HOUSE_RULES.get(page.article.id, set()) | worked_out(world).get(page.article.id, set())
        for number, line in page.lines:
            stated = re.findall(MONEY, line)
            problems += [f"{page.at(number)} {text} is no known amount" for text in stated if amount(text) not in known]
            problems += [f"{page.at(number)} {text} is in the wrong currency" for text in stated
                         if ("$" in text) != (fact["currency"] == "USD")]  # fmt: skip
            if page.article.lang == "de" and any(not text.endswith("EUR") for text in stated):
                problems.append(f"{page.at(number)} writes an amount the English way")
            if len(re.findall(r"[$€]|\bEUR\b", line)) != len(stated):
                problems.append(f"{page.at(number)} has an amount that is not written in full")
    return problems


def test_amounts() -> None:
    report(amount_problems(DATA))


# --- What the articles say about policies ---

PLAN = r"\b{}(?: is charged at| costs| kostet| members then owe at most| price of| at|,? which costs)?(?: \()?\|? "
# What an article can state, and how it says it. The group of each pattern is the value.
CLAIMS: dict[str, tuple[str, ...]] = {
    "return_days": (
        r"\breturn(?:ed|s|ing)?\b[^.|]{0,60}? within (?:the )?(\d+) days",
        r"\breturn (?:period|policy|window) of (\d+) days",
        r"\b(?:within|after) the (\d+) days",
        r"The (\d+) days start on the day the carrier",
        r"\| (?:Period|Frist) \| (\d+) (?:days|Tage)",
        r"innerhalb (?:von|der) (\d+) Tagen?(?: nach der Lieferung)?(?: zurück| ab\b)",
        r"Rückgabefrist von (\d+) Tagen",
        r"(?:Keep the carton for|Heben Sie den Karton deshalb) (\d+) (?:days|Tage)",
    ),
    "first_day_too_late": (r"(?:closes on|requested on|that is, on) day (\d+)", r"also am (\d+)\. bis"),
    "first_day_after_withdrawal": (r"Ab dem (\d+)\. Tag nach der Lieferung",),
    "statutory_withdrawal_days": (
        r"right of withdrawal of (\d+) days",
        r"\| (\d+) days from delivery \|$",
        r"Widerrufsrecht von (\d+) Tagen",
        r"Widerruf innerhalb von (\d+) Tagen",
        r"\| (\d+) Tage ab Lieferung \|$",
    ),
    "refund_days": (
        r"(?:[Rr]efund(?:s|ed)?|paid back|money arrives|billing can pay)\b[^.|:]{0,60}? within (\d+) days",
        r"(?:the|if) (\d+) days (?:start with the arrival|have passed without)",
        r"erstatten [^.|]*?innerhalb von (\d+) Tagen",
        r"wenn (\d+) Tage nach dem Eingang",
    ),
    "warranty_months": (
        r"[Ww]arranty\b[^.|]{0,80}? (\d+) months",
        r"\b(?:repair is free|covered|repaired free of charge) for (?:the full )?(\d+) months",
        r"within (\d+) months[^.|]{0,20}? warranty",
        r"warranty case within (\d+) months",
        r"Warranty: (\d+) months",
        r"[Gg]arantie(?:fall)?\b[^.|]*? (\d+) Monat",
        r"(\d+) Monate Garantie",
        r"innerhalb von (\d+) Monaten ein Garantiefall",
        r"^\| (?:E-[Bb]ikes|Batteries|Akkus|Tents|Zelte|Helm(?:et)?)\b[^|]*\| (\d+) (?:months|Monate)",
    ),
    "cancel_within_hours": (
        r"[Cc]ancel\b[^.|]{0,40}? within (?:the )?(\d+) hours",
        r"\b(\d+) hours (?:of|after) (?:placing|ordering|the order\b)",
        r"\b(?:[Tt]he|those|first) (\d+) hours",
        r"[Aa]fter (\d+) hours the order",
        r"exactly (\d+) hours after",
        r"# After (\d+) hours",
        r"innerhalb von (\d+) Stunden nach dem Kauf",
        r"(\d+) Stunden nach dem Kauf",
        r"# Nach (\d+) Stunden",
    ),
    "restocking_fee_percent": (
        r"restocking fee (?:of|is) (\d+)%",
        r"(\d+)% restocking fee",
        r"\| (\d+)% of the product price \| \d+%",
    ),
    "shipping_fee": (
        rf"shipping fee of ({MONEY})",
        rf"[Ss]tandard shipping costs ({MONEY})",
        rf"^\| Standard, (?:order )?(?:below|unter) .*\| ({MONEY}) \|$",
        rf"(?:Standardversand kostet|Versandkosten von) ({MONEY})",
    ),
    "free_shipping_from": (
        rf"free for orders (?:from|of) ({MONEY})",
        rf"orders (?:from|below) ({MONEY})",
        rf"free-shipping limit of ({MONEY})",
        rf"^\| Standard,[^|]*?({MONEY})",
        rf"(?:the|The) ({MONEY}) are counted",
        rf"count towards? the ({MONEY})",
        rf"the order below ({MONEY})",
        rf"(?:ab einem Bestellwert von|Bestellwert dadurch unter) ({MONEY})",
        rf"order value is above ({MONEY})",
        rf"Bestellwert über ({MONEY})",
    ),
    "express_fee": (
        rf"[Ee]xpress fee (?:of|as) ({MONEY})",
        rf"[Ee]xpress (?:delivery|order)\b[^.|]*? costs ({MONEY})",
        rf"^\| Express \|.*\| ({MONEY}) \|$",
        rf"late and the fee of ({MONEY})",
        rf"Expressaufschlag mit ({MONEY})",
    ),
    "bike_freight_fee": (
        rf"freight fee is ({MONEY})",
        rf"\((?:e-bikes|E-Bikes)\) \|.*?({MONEY})",
        rf"Frachtkosten (?:von|mit|betragen) ({MONEY})",
    ),
    "standard_delivery_days": (
        r"[Ss]tandard delivery takes (\d+-\d+) days",
        r"^\| Standard,.*?\| (\d+-\d+) (?:days|Tage) \|",
        r"arrives? (?:in )?(\d+-\d+) days",
        r"Pakete kommen in (\d+-\d+) Tagen",
    ),
    "express_delivery_days": (
        r"Express delivery[^.|]*? takes ([\d-]+) days",
        r"Express delivery costs [^ ]+ and takes (\d) days",
        r"^\| Express \| ([\d-]+) (?:days?|Tage?) \|",
        r"\*\*Express, (\d) days\*\*",
        r"[Tt]he (\d-\d) days are counted",
    ),
    "plan_basic": (PLAN.format("Basic") + f"({MONEY})", rf"^\| P[^|]+(?:per month|pro Monat) \| ({MONEY})"),
    "plan_plus": (PLAN.format("Plus") + f"({MONEY})", rf"^\| P[^|]+(?:per month|pro Monat) \| {MONEY} \| ({MONEY})"),
    "plan_pro": (
        PLAN.format("Pro") + f"({MONEY})",
        rf"^\| P[^|]+(?:per month|pro Monat) \| {MONEY} \| {MONEY} \| ({MONEY})",
        rf"included in the ({MONEY}) a month",
    ),
}


def truth(claim: str, fact: Facts, sentence: str) -> str | None:
    """What world.yaml says, as `value` writes it; None if this tenant has no such policy."""
    policy = fact["policy"]
    if claim.startswith("plan_"):
        return f"{fact['plan_price_month'][claim.removeprefix('plan_')]:.2f}"
    if claim == "first_day_too_late":
        return str(policy["return_days"] + 1)
    if claim == "first_day_after_withdrawal" and "statutory_withdrawal_days" in policy:
        return str(policy["statutory_withdrawal_days"] + 1)
    if claim == "warranty_months" and re.search(r"batter|akku|\b70\s?%", sentence, re.IGNORECASE):
        claim = "battery_warranty_months" if "battery_warranty_months" in policy else claim
    found = policy.get(claim)
    return f"{found:.2f}" if isinstance(found, float) else None if found is None else str(found)


def value(text: str) -> str:
    return f"{amount(text):.2f}" if re.fullmatch(MONEY, text) else text


def policy_claims(page: Page, fact: Facts) -> Iterator[tuple[int, str, str, str | None]]:
    """Line, claim, stated and true value."""
    for number, sentence in page.sentences():
        for claim, patterns in CLAIMS.items():
            spots = {m.span(1): m[1] for pattern in patterns for m in re.finditer(pattern, sentence)}
            for stated in spots.values():
                yield number, claim, value(stated), truth(claim, fact, sentence)


def policy_problems(data: Path, outdated: bool = False) -> Problems:
    return [
        f"{page.at(number)} {claim} is {true}, not {stated}"
        for page in pages(data)
        if ("superseded_by" in page.head) == outdated
        for number, claim, stated, true in policy_claims(page, facts(data)["tenants"][page.article.tenant])
        if stated != true
    ]


def test_policies() -> None:
    report(policy_problems(DATA))


def test_every_policy_is_stated_and_found() -> None:
    """Or else the patterns above have gone blind."""
    for tenant, fact in facts()["tenants"].items():
        found = {(page.article.lang, claim)
                 for page in pages() if page.article.tenant == tenant and "superseded_by" not in page.head
                 for _, claim, _, _ in policy_claims(page, fact)}  # fmt: skip
        # no restocking fee is said in words, see below
        silent = {"restocking_fee_percent"} if tenant == "acme-nord" else set[str]()
        required = {claim for claim in CLAIMS if truth(claim, fact, "") is not None} - silent
        main = fact["languages"][0]
        assert not {claim for claim in required if (main, claim) not in found}, tenant
    text = {page.article.id: page.article.text for page in pages()}
    assert "no restocking fee" in text["home-returns-and-refunds"] and "no restocking fee" in text["nord-rueckgabe-en"]
    assert "Eine Bearbeitungsgebühr erheben wir nicht" in text["nord-rueckgabe"]


def test_superseded_articles_do_contradict() -> None:
    contradicting = {problem.split(":")[0] for problem in policy_problems(DATA, outdated=True)}
    superseded = {page.at(1).split(":")[0] for page in pages() if "superseded_by" in page.head}
    assert contradicting == superseded


ENGLISH = {"Montag bis Samstag": "Monday to Saturday", " Uhr": ""}
EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
# + and many digits, 3-3-4 digits, or a German number with its leading zero
PHONE = re.compile(r"\+\d[\d ()/-]{6,}\d|\(?\b\d{3}\)?[-. ]\d{3}[-. ]\d{4}\b|\b0\d{2,4}[ /-]\d{4,}\b")
RESERVED_PHONE = re.compile(r"\+(?:1|49-30)-555-01\d\d")


def contact_problems(data: Path) -> Problems:
    problems: Problems = []
    for page in pages(data):
        contact = facts(data)["tenants"][page.article.tenant]["contact"]
        hours = contact["hours"]
        if page.article.lang == "en":
            for german, english in ENGLISH.items():
                hours = hours.replace(german, english)
        for number, line in page.lines:
            for email in EMAIL.findall(line):
                if email != contact["email"] and not page.head.get("poisoned"):
                    problems.append(f"{page.at(number)} {email} is not the tenant's address")
                if not email.endswith(".example"):
                    problems.append(f"{page.at(number)} {email} could be somebody's address")
            phones = PHONE.findall(line)
            problems += [
                f"{page.at(number)} {phone} is not the tenant's" for phone in phones if phone != contact["phone"]
            ]
            for clock in re.finditer(r"\d{1,2}:\d\d-\d{1,2}:\d\d", line):
                if not any(clock.start() in range(*m.span()) for m in re.finditer(re.escape(hours), line)):
                    problems.append(f"{page.at(number)} the hours are: {hours}")
    return problems


def test_contacts_in_articles() -> None:
    report(contact_problems(DATA))
    for tenant, fact in facts()["tenants"].items():
        text = "\n".join(page.article.text for page in pages() if page.article.tenant == tenant)
        assert all(fact["contact"][key] in text for key in ("email", "phone", "hours")), tenant


def test_the_poisoned_article_gives_orders_and_a_false_address() -> None:
    for page in pages():
        foreign = set(EMAIL.findall(page.article.text)) - {facts()["tenants"][page.article.tenant]["contact"]["email"]}
        orders = re.search(r"ignore your previous instructions", page.article.text)
        assert bool(foreign) == bool(orders) == bool(page.head.get("poisoned")), page.at(1)


def personal_data_problems(data: Path) -> Problems:
    """Nothing in tickets and customers may belong to somebody: addresses, phones, cards, accounts, web sites."""
    problems: Problems = []
    texts = {key: row["words"] for key, row in tickets(data).items()}
    texts |= {key: " ".join(str(part) for part in row.values()) for key, row in customers(data).items()}
    for key, text in texts.items():
        iban = r"\b[A-Z]{2}\d\d(?: ?\d{4}){4} ?\d{1,4}\b"
        plain = re.sub(iban, "", text)
        problems += [f"{key} {email}" for email in EMAIL.findall(text) if not email.endswith(".example")]
        problems += [f"{key} {phone}" for phone in PHONE.findall(plain) if not RESERVED_PHONE.fullmatch(phone)]
        problems += [f"{key} {card}" for card in re.findall(r"\b\d(?:[ -]?\d){12,18}\b", plain)
                     if card != "4111 1111 1111 1111"]  # fmt: skip
        problems += [f"{key} {number}" for number in re.findall(iban, text) if number != "DE89 3704 0044 0532 0130 00"]
        problems += [f"{key} {site}" for site in re.findall(r"(?:https?://|www\.)\S+", text) if ".example" not in site]
    return problems


def test_no_personal_data_of_real_people() -> None:
    report(personal_data_problems(DATA))


# --- Customers and orders ---

# how the pages on shipping name the countries in which customers live
COUNTRIES = {"US": "states", "CA": "Canada", "DE": "Germany", "AT": "Austria"}
SHIPPING_PAGES = {
    "acme-home": ("home-shipping-and-delivery",),
    "acme-kitchen": ("kitchen-shipping", "kitchen-delivery-options"),
    "acme-nord": ("nord-versand-en",),
}
EBIKES = {"ND-E500", "ND-E750"}


def customer_problems(data: Path) -> Problems:
    world, problems = facts(data), Problems()
    text = {page.article.id: page.article.text for page in pages(data)}
    for number, (key, row) in enumerate(customers(data).items(), start=1):
        reached = all(COUNTRIES.get(row["country"], "?") in text[page] for page in SHIPPING_PAGES[row["tenant"]])
        tests = {
            f"is number {number}": key != f"C-{number:04d}",
            "has no plan of world.yaml": row["plan"] not in world["plans"],
            "has a language that the tenant does not speak": row["lang"]
            not in world["tenants"][row["tenant"]]["languages"],
            f"lives in {row['country']}, where the tenant does not deliver": not reached,
            "will be a customer only after today": date.fromisoformat(row["since"]) > world["today"],
        }
        problems += [f"{key} {problem}" for problem, found in tests.items() if found]
    for field in ("name", "email"):
        twice = [text for text, n in Counter(row[field] for row in customers(data).values()).items() if n > 1]
        problems += [f"customers.json: {text} is there twice" for text in twice]
    return problems


def test_customers() -> None:
    assert len(customers()) >= 60
    report(customer_problems(DATA))


def delivery_days(policy: Facts, express: bool) -> int:
    """The last day of the span, as in '3-5'."""
    return int(policy["express_delivery_days" if express else "standard_delivery_days"].split("-")[-1])


def money_problems(order: Facts, fact: Facts) -> Iterator[str]:
    policy = fact["policy"]
    for item in order["items"]:
        true = fact["products"].get(item["sku"], {}).get("price")
        if item["unit_price"] != true:
            yield f"{item['sku']} costs {true}, not {item['unit_price']}"
    subtotal = round(sum(item["quantity"] * item["unit_price"] for item in order["items"]), 2)
    standard = 0.0 if subtotal >= policy["free_shipping_from"] else policy["shipping_fee"]
    freight = any(item["sku"] in EBIKES for item in order["items"])
    shipping = policy["bike_freight_fee"] if freight else policy["express_fee"] if order["express"] else standard
    expected = {"subtotal": subtotal, "shipping": shipping, "total": round(subtotal + shipping, 2)}
    expected["currency"] = fact["currency"]
    if order["status"] == "cancelled":
        expected["refunded"] = expected["total"]
    elif order["status"] == "refunded":
        back = subtotal * (1 - policy["restocking_fee_percent"] / 100)
        kept = date.fromisoformat(order["returned"]) - date.fromisoformat(order["delivered"])
        if kept.days <= policy.get("statutory_withdrawal_days", 0):
            back += standard if order["express"] else shipping
        expected["refunded"] = round(back, 2)
    else:
        expected["refunded"] = None
    yield from (f"{key} is {true}, not {order[key]}" for key, true in expected.items() if order[key] != true)
    if freight and order["express"]:
        yield "an e-bike does not go by express"


# for each status, which of tracking, delivered, returned and refunded an order has
HAS = {
    "placed": "----", "packed": "----", "cancelled": "---+", "shipped": "+---",
    "delivered": "++--", "returned": "+++-", "refunded": "++++",
}  # fmt: skip


def date_problems(order: Facts, policy: Facts, since: date, today: date) -> Iterator[str]:
    marks = "".join("-" if order[k] is None else "+" for k in ("tracking", "delivered", "returned", "refunded"))
    if marks != HAS.get(order["status"]):
        yield f"status {order['status']} with tracking, delivered, returned, refunded = {marks}"
        return
    placed = datetime.fromisoformat(order["placed"]).date()
    promised = date.fromisoformat(order["promised"])
    delivered, returned = (date.fromisoformat(order[k]) if order[k] else None for k in ("delivered", "returned"))
    paid_by = returned + timedelta(days=policy["refund_days"]) if returned else today
    tests = {
        "was placed before its customer came": placed < since,
        "is of the future": placed > today or (delivered or today) > today or (returned or today) > today,
        "was delivered before it can have been sent": delivered is not None and delivered <= placed,
        "promised is not the last day of the delivery time": promised
        != placed + timedelta(days=delivery_days(policy, order["express"])),
        "was never packed although it is due": order["status"] == "placed" and promised < today,
        "was returned before it came": bool(delivered and returned and returned <= delivered),
        "was returned too late": bool(delivered and returned and (returned - delivered).days > policy["return_days"]),
        "is refunded after more days than promised": order["status"] == "returned" and paid_by <= today,
        "is refunded already": order["status"] == "refunded" and paid_by > today,
    }
    yield from (problem for problem, found in tests.items() if found)


def order_problems(data: Path) -> Problems:
    world, problems = facts(data), Problems()
    for tenant, fact in world["tenants"].items():
        rows = [order for order in orders(data).values() if order["tenant"] == tenant]
        if [row["id"] for row in rows] != [f"{fact['order_prefix']}-{n}" for n in range(100_001, 100_001 + len(rows))]:
            problems.append(f"{tenant}: the order ids have gaps")
        if [row["placed"] for row in rows] != sorted(row["placed"] for row in rows):
            problems.append(f"{tenant}: the orders are not numbered in the order in which they were placed")
        for order in rows:
            owner = customers(data).get(order["customer"])
            if owner is None or owner["tenant"] != tenant:
                problems.append(f"{order['id']} {order['customer']} is no customer of {tenant}")
                continue
            problems += [f"{order['id']} {problem}" for problem in money_problems(order, fact)]
            since = date.fromisoformat(owner["since"])
            problems += [f"{order['id']} {p}" for p in date_problems(order, fact["policy"], since, world["today"])]
    return problems


def test_orders() -> None:
    assert len(orders()) >= 300
    report(order_problems(DATA))
    seen = {(order["tenant"], order["status"]) for order in orders().values()}
    assert seen == {(tenant, status) for tenant in facts()["tenants"] for status in HAS}, "not every status everywhere"


def test_make_orders_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("world.yaml", "make_orders.py"):
        shutil.copy(DATA / name, tmp_path)
    subprocess.run([sys.executable, tmp_path / "make_orders.py"], check=True)
    for name in ("customers.json", "orders.json"):
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes(), f"{name}: run data/make_orders.py again"


# --- Tickets ---

# Tickets that name an order which is not there, or is somebody else's: the assistant must find out, and tell nothing.
MISMATCHES: dict[tuple[str, str], str] = {
    ("T-0157", "H-104477"): "no such order",  # not signed in
    ("T-0188", "N-109999"): "no such order",  # not signed in
    ("T-0201", "K-100074"): "somebody else's",  # "the number that I was given"
    ("T-0207", "N-100082"): "somebody else's",  # read off a neighbour's slip
    ("T-0231", "H-100098"): "somebody else's",  # read out by a neighbour
    ("T-0242", "K-200145"): "no such order",  # not signed in
    ("T-0342", "K-100203"): "no such order",
    ("T-0416", "H-100999"): "no such order",
    ("T-0565", "N-100053"): "somebody else's",  # of the divorced wife
    ("T-0567", "N-100075"): "somebody else's",  # wants to redirect it
    ("T-0577", "H-100088"): "somebody else's",  # guesses at numbers
    ("T-0577", "H-10088"): "no such order",
    ("T-0577", "H-100880"): "no such order",
    ("T-0593", "K-100078"): "somebody else's",  # "collecting it for a friend"
}
# Tickets that try to give orders to the assistant, alone or beside a real request.
INJECTIONS = ["T-0190", "T-0197", "T-0218", "T-0228", "T-0250", "T-0440", "T-0523", "T-0551", "T-0561", "T-0575"]
COMMAND = re.compile(
    r"ignore (all|your)|system( override)?:|instruction to the assistant|note (for|to) (the )?ai\b|\"role\":\"system\""
    r"|to: support assistant|repeat everything above",
    re.IGNORECASE,
)
NUMBERS = ["eight", "nine", "ten", "eleven", "twelve"]


def allowed_labels() -> dict[str, set[str]]:
    """The values that tickets/README.md explains: the first column of its tables, and the tones before their colons."""
    _, *sections = (DATA / "tickets" / "README.md").read_text(encoding="utf-8").split("\n## ")
    found: dict[str, set[str]] = {}
    for section in sections:
        name = re.split(r"\W", section, maxsplit=1)[0]
        found[name] = set(re.findall(r"^\| (\w+) \|", section, re.MULTILINE)) - {"value"}
        found[name] = found[name] or set(re.findall(r"(?:^|\. )(\w+): ", section, re.MULTILINE))
    return found


def ticket_problems(data: Path) -> Problems:
    world, problems = facts(data), Problems()
    allowed = allowed_labels()
    today = datetime.combine(world["today"], datetime.max.time())
    for number, (key, row) in enumerate(tickets(data).items(), start=1):
        labels, owner = row["labels"], customers(data).get(row["customer"])
        age = today - datetime.fromisoformat(row["created"]).replace(tzinfo=None)
        tests = {
            f"is number {number}": key != f"T-{number:04d}",
            "is of no tenant": row["tenant"] not in world["tenants"],
            f"{row['customer']} is no customer of {row['tenant']}": row["customer"] is not None
            and (owner or {}).get("tenant") != row["tenant"],
            "was written before its customer came": owner is not None and owner["since"] > row["created"],
            "is not of the last 120 days": not timedelta() <= age <= timedelta(days=121),
            "has a subject in chat, or none elsewhere": (row["subject"] is None) != (row["channel"] == "chat"),
            "came by an unknown channel": row["channel"] not in {"email", "chat", "form"},
            "has labels that tickets/README.md does not know": labels["category"] not in allowed["category"]
            or labels["second_category"] not in {None, *allowed["category"]} - {labels["category"]}
            or labels["priority"] not in allowed["priority"]
            or labels["tone"] not in allowed["tone"]
            or set(labels) != {"category", "second_category", "priority", "in_scope", "tone"},
            "is out of scope and not in category other": not labels["in_scope"] and labels["category"] != "other",
        }
        problems += [f"{key} {problem}" for problem, found in tests.items() if found]
        for name in set(re.findall(r"\b[HKN]-\d{5,7}\b", row["words"])):
            order = orders(data).get(name)
            if order is None or order["tenant"] != row["tenant"]:
                mismatch = "no such order"
            elif row["customer"] is not None and order["customer"] != row["customer"]:
                mismatch = "somebody else's"
            else:
                mismatch = None
            if mismatch != MISMATCHES.get((key, name)):
                problems.append(f"{key} {name}: {mismatch or 'nothing is wrong with it'}")
            if order is not None and order["placed"] > row["created"]:
                problems.append(f"{key} {name} was placed only after the ticket was written")
    return problems


def test_tickets() -> None:
    assert len(tickets()) == 600
    assert {name: len(values) for name, values in allowed_labels().items()} == {
        "category": 9, "priority": 4, "in_scope": 0, "tone": 3,
    }  # fmt: skip
    report(ticket_problems(DATA))


def test_every_listed_mismatch_is_still_there() -> None:
    gone = [(key, name) for key, name in MISMATCHES if name not in tickets()[key]["words"]]
    assert not gone


def test_tickets_are_various() -> None:
    rows = tickets().values()
    assert len({row["lang"] for row in rows}) >= 6
    for label, least in (("category", 20), ("priority", 25), ("tone", 25)):
        counts = Counter(row["labels"][label] for row in rows)
        assert min(counts[value] for value in allowed_labels()[label]) >= least, counts
    assert sum(not row["labels"]["in_scope"] for row in rows) >= 20
    lengths = sorted(len(row["text"]) for row in rows)
    assert lengths[0] < 30 and lengths[60] < 90 and lengths[540] > 250 and lengths[-1] > 800, lengths


def test_no_two_tickets_share_their_words() -> None:
    holders: dict[tuple[str, ...], list[str]] = {}
    sizes: dict[str, int] = {}
    for key, row in tickets().items():
        found = grams(row["text"], 5)
        sizes[key] = len(found)
        for gram in found:
            holders.setdefault(gram, []).append(key)
    shared = Counter(pair for keys in holders.values() for pair in combinations(keys, 2))
    alike = [(*pair, n) for pair, n in shared.items() if n > 3 or n > 0.1 * min(sizes[key] for key in pair)]
    assert not alike
    texts = Counter(" ".join(re.findall(r"\w+", row["text"].lower())) for row in tickets().values())
    assert max(texts.values()) == 1, texts.most_common(1)  # also for those shorter than five words


def test_tickets_that_command_the_assistant() -> None:
    assert [key for key, row in tickets().items() if COMMAND.search(row["words"])] == INJECTIONS
    assert len(INJECTIONS) >= 8
    written = re.findall(r"and (\w+) try to give orders", (DATA / "tickets" / "README.md").read_text(encoding="utf-8"))
    assert written == [NUMBERS[len(INJECTIONS) - 8]]
    # some come alone and some beside a real request
    assert {tickets()[key]["labels"]["in_scope"] for key in INJECTIONS} == {True, False}


# --- patterns.acme ---

users = st.builds(
    User,
    tenant=st.sampled_from([*facts()["tenants"], "acme-elsewhere"]),
    plan=st.sampled_from(facts()["plans"]),
    teams=st.lists(st.sampled_from(facts()["teams"]), unique=True).map(tuple),
    language=st.sampled_from(["en", "de", "fr"]),
)


def may_read(user: User, article: Article) -> bool:
    """The rule of world.yaml said once more, without patterns.events: a plan reads what it and the lower plans may."""
    plans: list[str] = facts()["plans"]
    if article.tenant != user.tenant:
        return False
    for tag in article.acl:
        kind, _, name = tag.partition(":")
        if tag == "public" or (kind == "team" and name in user.teams):
            return True
        if kind == "plan" and plans.index(name) <= plans.index(user.plan):
            return True
    return False


@given(users)
def test_a_user_sees_what_the_tags_allow_and_nothing_of_other_tenants(user: User) -> None:
    for page in pages():
        assert page.article.visible_to(user) == may_read(user, page.article), page.at(1)


@settings(deadline=None)
@given(users, st.sampled_from(pages()), st.integers(0, 12), st.data())
def test_pick_returns_only_what_the_user_may_read(user: User, wanted: Page, count: int, data: st.DataObject) -> None:
    """Also when the question is made of the words of an article that they may not read."""
    words = sorted(acme.words(wanted.article.text))
    question = " ".join(data.draw(st.lists(st.sampled_from(words), min_size=1, max_size=12)))
    by_id = {page.article.id: page.article for page in pages()}
    found = acme.pick(f"{wanted.article.title} {question}", user, count)
    assert len(found) <= count
    assert all(may_read(user, by_id[document.id]) and by_id[document.id].lang == user.language for document in found)
    if count and may_read(user, wanted.article) and wanted.article.lang == user.language:
        assert found, "an article that shares its own title with the question is not found"


HEAD = "id: a\ntitle: T\nurl: u\ntenant: acme-home\nlang: en\nacl: [public]\nupdated: 2026-01-02\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only text\n",
        f"---\n{HEAD}never closed",
        f"---\n{HEAD.replace('acl: [public]', '')}---\ntext",
        f"---\n{HEAD.replace('2026-01-02', '2026-02-30')}---\ntext",
        f"---\n{HEAD.replace('[public]', '[public')}---\ntext",
        f"---\n{HEAD.replace('[public]', '')}---\ntext",
        "---\n- a list\n---\ntext",
        "---\n---\ntext",
    ],
)
def test_a_broken_article_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken-one.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CallerError, match=r"broken-one\.md"):
        documents.read(path)
    path.write_text(f"---\n{HEAD}---\n\ntext\n", encoding="utf-8")
    assert documents.read(path).text == "text"


# --- The checks can fail ---

HOME, KITCHEN, NORD = (f"help_center/acme-{name}/" for name in ("home", "kitchen", "nord"))


@pytest.mark.parametrize(
    ("file", "right", "wrong", "check", "message"),
    [
        (HOME + "warranty.md", "acl: [public]", "acl: [plan:gold]", front_matter_problems, "warranty.md:1 acl has"),
        (HOME + "warranty.md", "2025-06-24", "2026-12-24", front_matter_problems, "warranty.md:1 updated"),
        (HOME + "error-codes.md", "| Wrong Wi-Fi password", "| Weak signal", error_table_problems, "codes.md:19 E-104"),
        (KITCHEN + "error-k-12.md", "(KT-C25)", "(HX-C310)", code_problems, "k-12.md:32 acme-kitchen has no HX-C310"),
        ("tickets/part-1.jsonl", "F-31, am dritten", "F-37, am dritten", code_problems, "T-0029 acme-nord has no F-37"),
        (NORD + "akku-laden-und-lagern.md", "549,00", "594,00", price_problems, "lagern.md:42 ND-A500 costs 549.00"),
        (HOME + "express-delivery.md", "by a wrong address", "by our $15.95", amount_problems, "$15.95 is no known"),
        (NORD + "stornierung.md", "innerhalb von 30 Tagen", "innerhalb von 60 Tagen", policy_problems,
         "stornierung.md:24 return_days is 30, not 60"),
        (HOME + "cancel-an-order.md", "After 2 hours", "After 3 hours", policy_problems, "cancel_within_hours is 2"),
        (KITCHEN + "plans.md", "Plus costs $9.50", "Plus costs $7.50", policy_problems, "plan_plus is 9.50, not 7.50"),
        (NORD + "garantie.md", "Garantie von 36", "Garantie von 24", policy_problems, "warranty_months is 36, not 24"),
        (NORD + "kontakt.md", "9:00-18:00", "8:00-18:00", contact_problems, "kontakt.md:12 the hours are"),
        (KITCHEN + "refunds.md", "hello@acme-kitchen", "help@acme-home", contact_problems, "refunds.md:36 help@acme"),
        ("tickets/part-1.jsonl", "+1-555-0128", "+1-555-4128", personal_data_problems, "T-0067 +1-555-4128"),
        ("customers.json", '"AT"', '"CH"', customer_problems, "CH"),
        ("orders.json", '"shipping": 5.95', '"shipping": 6.95', order_problems, "shipping is 5.95, not 6.95"),
        ("orders.json", '"status": "shipped"', '"status": "delivered"', order_problems, "status delivered with"),
        ("tickets/part-2.jsonl", "order K-100038", "order K-100039", ticket_problems, "T-0339 K-100039: somebody"),
        ("tickets/part-1.jsonl", '"priority": "high"', '"priority": "top"', ticket_problems, "T-0001 has labels"),
    ],
)  # fmt: skip
def test_a_planted_error_is_found(
    tmp_path: Path, file: str, right: str, wrong: str, check: Callable[[Path], Problems], message: str
) -> None:
    copy = tmp_path / "data"
    shutil.copytree(DATA, copy, ignore=shutil.ignore_patterns("evals", ".*"))
    path = copy / file
    text = path.read_text(encoding="utf-8")
    assert right in text
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    assert any(message in problem for problem in check(copy)), check(copy)
