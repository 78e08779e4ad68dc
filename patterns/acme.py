"""The Acme world as the code sees it: help articles, customers and orders from `data/`. All of it is fiction."""

import json
import os
import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from . import documents, state
from .documents import Article
from .errors import CallerError
from .events import Document, Plan, User


def has_data() -> bool:
    """Whether there is an Acme here. There is none where the package serves somebody's own documents."""
    return _folder().is_dir()


def data_folder() -> Path:
    """`$PATTERNS_DATA`, else `data/` of the checkout. Raises CallerError when there is none."""
    folder = _folder()
    if not folder.is_dir():
        raise CallerError(
            f"There is no folder {folder}.",
            "Run from a checkout, or set PATTERNS_DATA to its data/ folder.",
            "not_set_up",
        )
    return folder


def _folder() -> Path:
    root = state.checkout()
    return Path(os.environ.get("PATTERNS_DATA") or (root / "data" if root else "data"))


def articles() -> tuple[Article, ...]:
    """Every article of every tenant, in the order of their ids. Filter with `visible_to` before showing any."""
    return _articles(data_folder())


@cache
def _articles(data: Path) -> tuple[Article, ...]:
    paths = (data / "help_center").glob("*/*.md")
    return tuple(sorted((documents.read(path) for path in paths), key=lambda article: article.id))


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


@cache
def _today(data: Path) -> date:
    return yaml.safe_load((data / "world.yaml").read_text(encoding="utf-8"))["today"]


def today() -> date:
    """The day on which the fiction stands still: its orders and articles are dated against it."""
    return _today(data_folder())


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
