"""The Acme world as the code sees it: help articles, customers and orders from `data/`. All of it is fiction."""

import json
import os
import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from . import state
from .errors import CallerError
from .events import Document, Plan, User


@dataclass(frozen=True, slots=True)
class Article:
    """A page of a help centre. `acl` holds tags as in `User.scopes`; a reader needs any one of them."""

    id: str
    title: str
    url: str
    tenant: str
    lang: str
    acl: tuple[str, ...]
    updated: date
    text: str

    def visible_to(self, user: User) -> bool:
        return self.tenant == user.tenant and not user.scopes.isdisjoint(self.acl)

    def document(self) -> Document:
        return Document(self.id, self.title, self.text, self.url, self.updated.isoformat())


def data_folder() -> Path:
    """`$PATTERNS_DATA`, else `data/` of the checkout. Raises CallerError when there is none."""
    root = state.checkout()
    folder = Path(os.environ.get("PATTERNS_DATA") or (root / "data" if root else "data"))
    if not folder.is_dir():
        raise CallerError(
            f"There is no folder {folder}.",
            "Run from a checkout, or set PATTERNS_DATA to its data/ folder.",
            "not_set_up",
        )
    return folder


def articles() -> tuple[Article, ...]:
    """Every article of every tenant, in the order of their ids. Filter with `visible_to` before showing any."""
    return _articles(data_folder())


@cache
def _articles(data: Path) -> tuple[Article, ...]:
    paths = (data / "help_center").glob("*/*.md")
    return tuple(sorted((read_article(path) for path in paths), key=lambda article: article.id))


def read_article(path: Path) -> Article:
    """Parse one Markdown file with YAML front matter. Raises CallerError that names the file and the reason."""
    try:
        parts = path.read_text(encoding="utf-8").split("---\n", 2)
        if len(parts) != 3:
            raise ValueError("it has no front matter between two lines of ---")
        head = yaml.safe_load(parts[1])
        if not isinstance(head["acl"], list) or not isinstance(head["updated"], date):
            raise ValueError("acl is a list of tags and updated is a date")
        return Article(
            head["id"], head["title"], head["url"], head["tenant"], head["lang"], tuple(head["acl"]), head["updated"],
            parts[2].strip(),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise CallerError(
            f"The article {path.name} cannot be read: {error}.", "Mend its front matter.", "bad_request"
        ) from None


_WORD = re.compile(r"\w+")
_COMMON_WORDS = """
a about an and are as at be can do does for from have how i if in is it long me my of on or that the there this to what
when where which who why will with you your der die das ein eine ich ist wie und zu für mit mein
"""
_COMMON = frozenset(_COMMON_WORDS.split())


def words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower())) - _COMMON


def pick(question: str, user: User, count: int) -> tuple[Document, ...]:
    """The `count` articles that share the most words with the question, among those that `user` may read.

    This is the simplest thing that works. It knows no synonyms and no word forms, and it cannot tell an old article
    from a new one.
    """
    wanted = words(question)
    scored = [
        (3 * len(wanted & title) + len(wanted & text), article)
        for article, title, text in _words_of_articles(data_folder())
        if article.visible_to(user) and article.lang == user.language
    ]
    best = sorted(scored, key=lambda pair: (-pair[0], pair[1].id))[:count]
    return tuple(article.document() for score, article in best if score)


@cache
def _words_of_articles(data: Path) -> tuple[tuple[Article, frozenset[str], frozenset[str]], ...]:
    """Every article with the words of its title and of its text: taken apart once, not at every question."""
    return tuple((article, words(article.title), words(article.text)) for article in _articles(data))


def customers() -> dict[str, dict[str, Any]]:
    """Customers by id."""
    return _rows(data_folder() / "customers.json")


def orders() -> dict[str, dict[str, Any]]:
    """Orders by id."""
    return _rows(data_folder() / "orders.json")


def user(customer_id: str) -> User:
    """The authenticated user for a customer. Raises CallerError for an unknown id."""
    row = customers().get(customer_id)
    if row is None:
        raise CallerError(f"There is no customer {customer_id}.", "See data/customers.json.", "bad_request")
    plan: Plan = row["plan"]
    return User(row["id"], row["tenant"], plan, (), row["lang"])


@cache
def _rows(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return {row["id"]: row for row in json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CallerError(
            f"The file {path.name} cannot be read: {error}.", "See data/README.md.", "bad_request"
        ) from None
