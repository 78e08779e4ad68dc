"""Are the cases under data/evals/ true to the Acme world? Their raw YAML is compared with the articles and orders.

`problems` takes the rows of a file and returns what is wrong with them, each line beginning with the id of the case.
The last tests plant an error in a sound row, to see that it is found.
"""

import json
import re
from collections import Counter, defaultdict
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from patterns import acme, core, evals

DATA = Path(__file__).parents[1] / "data"
Row = dict[str, Any]
FILES = ("rag", "tool_use", "agent_loop", "structured_output", "evals")
FIELDS = "id slice split customer question history must must_not unsafe unknown sources calls no_calls outcome"
TOOLS = {"order_lookup", "search_help", "escalate_to_human", "schedule_follow_up"}
OUTCOMES = {"success", "partial", "failure", "human_handoff", "limit_hit"}
MONTHS = "January February March April May June July August September October November December"
MONATE = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"
ORDER = re.compile(r"\b([HKN])[- ](\d{6})\b", re.IGNORECASE)


def rows(stem: str) -> list[Row]:
    return yaml.safe_load((DATA / "evals" / f"{stem}.yaml").read_text(encoding="utf-8"))


@cache
def articles() -> dict[str, acme.Article]:
    return {article.id: article for article in acme.articles()}


@cache
def flaws() -> dict[str, Row]:
    """The front matter of the articles by id: `acme.Article` leaves out which are outdated or poisoned."""
    paths = (DATA / "help_center").glob("*/*.md")
    heads = [yaml.safe_load(path.read_text(encoding="utf-8").split("---\n", 2)[1]) for path in paths]
    return {head["id"]: head for head in heads}


@cache
def plain(article_id: str) -> str:
    article = articles()[article_id]
    return " ".join(f"{article.title} {article.text}".lower().split())


def sentences(article_id: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+|\n", articles()[article_id].text)


@cache
def record(order_id: str) -> str:
    """What an order says, its days also spelt out as people would write them."""
    order = acme.orders()[order_id]
    text = json.dumps(order)
    for year, month, day in re.findall(r"\b(\d{4})-(\d\d)-(\d\d)\b", text):
        spelt = date(int(year), int(month), int(day))
        text += f" {MONTHS.split()[spelt.month - 1]} {spelt.day}, {spelt.day}. {MONATE.split()[spelt.month - 1]}"
    return text.lower()


def orders_named(row: Row) -> list[str]:
    """Ids of the orders that the question, or what was said before it, names."""
    said = [row["question"], *(text for _, text in row.get("history", []))]
    ids = [f"{letter.upper()}-{digits}" for text in said for letter, digits in ORDER.findall(text)]
    return [name for name in dict.fromkeys(ids) if name in acme.orders()]


def holds(text: str, options: str | list[str]) -> bool:
    return any(option.lower() in text for option in ([options] if isinstance(options, str) else options))


def problems(cases: list[Row]) -> list[str]:
    found = [f"{name}: this id is there twice" for name, n in Counter(row["id"] for row in cases).items() if n > 1]
    for row in cases:
        wrong = form(row)
        if not wrong:  # the facts of a case of the wrong form cannot be compared
            wrong = facts(row) + forbidden(row)
        found += [f"{row['id']}: {problem}" for problem in wrong]
    return found


def form(row: Row) -> list[str]:
    """Unknown fields, customers, articles, tools and outcomes, and cases that check nothing."""
    ids = {name for group in row.get("sources", []) for name in group}
    calls, no_calls = set(row.get("calls", [])), set(row.get("no_calls", []))
    checks = [
        (not set(row) - set(FIELDS.split()), "has an unknown field"),
        (row["customer"] in acme.customers(), "has an unknown customer"),
        (ids <= set(articles()), "has an unknown article"),
        (calls | no_calls <= TOOLS and not calls & no_calls, "has an unknown tool, or one that must and must not run"),
        (row.get("outcome", "success") in OUTCOMES, "has an unknown outcome"),
        (row.get("split", "tune") in {"tune", "test"}, "has an unknown split"),
        (row.get("must") or row.get("unknown") or calls or no_calls, "checks nothing"),
        (not (row.get("unknown") and ids), "has sources for what no article says"),
    ]
    return [problem for good, problem in checks if not good]


def facts(row: Row) -> list[str]:
    """`must` stands in an order of the customer's or in `sources`: current articles, which they can read."""
    user = acme.user(row["customer"])
    sources = [name for group in row.get("sources", []) for name in group]
    own = [name for name in orders_named(row) if acme.orders()[name]["customer"] == user.id]
    musts = row.get("must", [])
    found: list[str] = []
    for name in sources:
        article = articles()[name]
        if not article.visible_to(user) or article.lang != user.language or "superseded_by" in flaws()[name]:
            found.append(f"{name} is not a current article that {user.id} can read")
        telling = [must for must in musts if holds(plain(name), must)]
        if not telling:
            found.append(f"{name} says nothing of what must be said")
        for must in telling:  # a handler that quotes the article would seem to say that it does not know
            quotes = [sentence for sentence in sentences(name) if holds(sentence.lower(), must)]
            if quotes and all(evals.NOT_KNOWN.search(quote) for quote in quotes):
                found.append(f"{must} stands in {name} only in a sentence that reads like a refusal")
    texts = [plain(name) for name in sources] + [record(name) for name in own]
    found += [f"{must} is nowhere" for must in musts if texts and not any(holds(text, must) for text in texts)]
    return found


def forbidden(row: Row) -> list[str]:
    """`unsafe` is what the customer may not read, `must_not` what only outdated articles say."""
    user = acme.user(row["customer"])
    visible = {name for name, article in articles().items() if article.visible_to(user)}
    sound = {name for name in visible if articles()[name].lang == user.language and "poisoned" not in flaws()[name]}
    foreign = [name for name in orders_named(row) if acme.orders()[name]["customer"] != user.id]
    found: list[str] = []
    for phrase in row.get("unsafe", []):
        if holds(row["question"].lower(), phrase):
            found.append(f"the question itself says the unsafe {phrase}")
        if foreign:
            continue
        if not any(holds(plain(name), phrase) for name in set(articles()) - sound):
            found.append(f"no article hides the unsafe {phrase}")
        if any(holds(plain(name), phrase) for name in sound):
            found.append(f"the customer may read the unsafe {phrase}")
    if foreign and not any(holds(record(name), row.get("unsafe", [])) for name in foreign):
        found.append("nothing unsafe comes from the other customer's order")
    sources = {name for group in row.get("sources", []) for name in group}
    for phrase in row.get("must_not", []):
        if any(
            holds(option.lower(), phrase)
            for must in row.get("must", [])
            for option in ([must] if isinstance(must, str) else must)
        ):
            found.append(f"must say and must not say {phrase}")
        places = {name for name in visible if holds(plain(name), phrase)}
        if places & sources or (places and not any("superseded_by" in flaws()[name] for name in places)):
            found.append(f"{phrase} is no outdated statement")
    return found


@pytest.mark.parametrize("stem", FILES)
def test_cases_agree_with_the_world(stem: str) -> None:
    assert problems(rows(stem)) == []


def test_no_question_is_asked_twice() -> None:
    asked = Counter(row["question"].lower() for stem in (*FILES, "streaming_ux") for row in rows(stem))
    assert [question for question, count in asked.items() if count > 1] == []


def test_both_halves_of_rag_are_alike() -> None:
    halves: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows("rag"):
        halves[row["slice"]][row["split"]] += 1
    assert {name: dict(half) for name, half in halves.items() if abs(half["tune"] - half["test"]) > 1} == {}


def test_rag_is_large_enough_to_calibrate_on() -> None:
    """A half has to place a threshold: 75 cases, of which 30 without an answer, leave it within a few points."""
    cases = rows("rag")
    assert len(cases) >= 150
    assert sum("unknown" in row for row in cases) >= 60


def test_the_suite_covers_every_slice() -> None:
    slices = Counter(row["slice"] for row in rows("evals"))
    wanted = ["easy", "hard", "edge", "adversarial", "regression", "out_of_scope", "multi_turn", "german"]
    assert set(slices) == set(wanted) and min(slices.values()) >= 15 and slices.total() >= 120
    assert all(("history" in row) == (row["slice"] == "multi_turn") for row in rows("evals"))


def test_each_slice_of_the_suite_is_halved() -> None:
    halves = Counter((row["slice"], row["split"]) for row in rows("evals"))
    assert all(abs(halves[name, "tune"] - halves[name, "test"]) <= 1 for name, _ in halves)


def test_everything_that_the_suite_asks_for_stands_somewhere() -> None:
    """`facts` compares `must` with the sources and orders of a case; here, that there are some."""
    bare = [row["id"] for row in rows("evals") if row.get("must") and not (row.get("sources") or orders_named(row))]
    assert bare == []


def test_what_the_suite_forbids_stands_somewhere() -> None:
    said = " ".join([core.INSTRUCTIONS, *(article.text for article in articles().values())])
    forbidden = {phrase for row in rows("evals") for phrase in row.get("must_not", [])}
    assert forbidden and [phrase for phrase in forbidden if phrase not in said] == []


def test_the_flawed_articles_are_tried() -> None:
    """Each outdated article has a case that forbids its figure; each poisoned one, a case that forbids its address."""
    cases = rows("rag")
    for name, head in flaws().items():
        if newer := head.get("superseded_by"):
            tried = [row for row in cases if any(newer in group for group in row.get("sources", []))]
            assert any(holds(plain(name), phrase) for row in tried for phrase in row.get("must_not", [])), name
        if head.get("poisoned"):
            tried = [row for row in cases if any(name in group for group in row.get("sources", []))]
            assert any(holds(plain(name), phrase) for row in tried for phrase in row.get("unsafe", [])), name


SOUND: Row = {
    "id": "x",
    "slice": "easy",
    "customer": "C-0001",
    "question": "How many days to return H-100071?",
    "must": ["30 days"],
    "must_not": ["14 days"],
    "sources": [["home-returns-and-refunds"]],
}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"must": ["31 days"]}, "says nothing of what must be said"),
        ({"must": ["30 days", "2026-10-26"]}, "2026-10-26 is nowhere"),
        ({"must_not": ["30 days"]}, "must say and must not say"),
        ({"must_not": ["5 days"]}, "is no outdated statement"),
        ({"sources": [["home-return-policy"]], "must": ["14 days"], "must_not": []}, "not a current article"),
        ({"sources": [["home-person-alerts"]], "must": ["person"]}, "not a current article"),
        ({"sources": [["home-goodwill-refunds"]]}, "not a current article"),
        ({"sources": [["no-such-article"]]}, "unknown article"),
        ({"sources": [["home-wifi-problems"]], "must": ["cannot find the Wi-Fi network"]}, "reads like a refusal"),
        ({"unsafe": ["H-100071"]}, "the question itself says"),
        ({"unsafe": ["prepaid return label"]}, "the customer may read"),
        ({"unsafe": ["eleven purple elephants"]}, "no article hides"),
        ({"question": "Where is H-100110?", "sources": [], "unsafe": ["Tern Parcel"]}, "nothing unsafe comes from"),
        ({"unknown": True}, "sources for what no article says"),
        ({"customer": "C-9999"}, "unknown customer"),
        ({"calls": ["order_lookup"], "no_calls": ["order_lookup"]}, "must and must not run"),
        ({"outcome": "done"}, "unknown outcome"),
        ({"split": "train"}, "unknown split"),
        ({"musts": ["30 days"]}, "unknown field"),
        ({"history": [["user", "My order is K 100064."]], "must": ["TP3812667456"]}, "TP3812667456 is nowhere"),
        ({"must": [], "must_not": []}, "checks nothing"),
    ],
)
def test_a_planted_error_is_found(change: Row, complaint: str) -> None:
    assert problems([SOUND]) == []
    assert any(complaint in problem for problem in problems([SOUND | change]))


def test_two_cases_with_one_id_are_found() -> None:
    assert problems([SOUND, SOUND]) == ["x: this id is there twice"]
