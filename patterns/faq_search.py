"""An answer without any model: the passage of the help centre that has the rarest words of the question in it.

It needs no network and no index, only the articles themselves, so it works when nothing else does. It is written first
and tested like the rest: a path that is used once a year, at the worst moment, has to be right.
"""

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from pathlib import Path

import yaml

from . import acme, chunking
from .chunking import Chunk
from .documents import Article
from .events import User

# The part of the question's rarity that the best passage must have; below it, "nothing found" is the better answer.
# On the tune half of data/evals/rag.yaml it shows something for 40 of 80 questions, 35 times what is asked for, and for
# 1 of 35 that have no answer; on the test half for 38 of 76, 32 times, and for 1 of 34.
ENOUGH = 0.65
TITLE_COUNTS = 0.5  # of a word's rarity on top, when it is in the title or heading
LONGEST = 1_200  # characters that are shown

# Words of questions, which say nothing about the article that answers them.
_OF_QUESTIONS = """
am any been could did get got has had he help her his its just many me much need no not often one only our please she
should so some still take tell them then they time under until up us want was we within without would
auf bei bitte bis darf dem den dich es habe hat haben hilfe im ihr ihre kann kein können lange mich mir muss nicht oft
sie sind soll um von wann was welche welcher wenn wer wo wird wollen würde
"""
_ASKING = frozenset(_OF_QUESTIONS.split())
_SUFFIX = re.compile(r"(?:ies|es|s|ing|ed|en|e)$")


Articles = Callable[[], tuple[Article, ...]]


@dataclass(frozen=True, slots=True)
class Found:
    """The best passages of one article, in its order, and the part of the question's rarity that the best has."""

    chunks: tuple[Chunk, ...]
    share: float


@dataclass(frozen=True, slots=True)
class Contact:
    email: str
    phone: str
    hours: str


def stems(text: str) -> frozenset[str]:
    """The words of `text` that say something, without their commonest endings. Words with a digit stay as they are."""
    return frozenset(map(_stem, acme.words(text) - _ASKING))


def _stem(word: str) -> str:
    return word if len(word) < 4 or any(map(str.isdigit, word)) else _SUFFIX.sub("", word)


def search(
    question: str,
    user: User,
    fresh_since: Callable[[], date | None] = lambda: None,
    articles: Articles = acme.articles,
) -> Found | None:
    """The passages that have most of the question, of those that `user` may read; None when none has enough of it."""
    wanted = stems(question)
    library = _library(articles(), user.tenant, user.language)
    since = fresh_since()
    scored = [
        (library.rarity(wanted & one.words) + TITLE_COUNTS * library.rarity(wanted & one.title), one)
        for one in library.passages
        if one.article.visible_to(user) and not (since and one.article.updated < since)
    ]
    scored.sort(key=lambda pair: -pair[0])
    if not scored or not scored[0][0]:
        return None
    best = scored[0][1]
    share = library.rarity(wanted & (best.words | best.title)) / library.rarity(wanted)
    if share < ENOUGH:
        return None
    chosen, room = [], LONGEST
    for _, one in scored:
        if one.article is best.article and (one is best or len(one.chunk.text) <= room):
            chosen.append(one.chunk)
            room -= len(one.chunk.text)
    return Found(tuple(sorted(chosen, key=lambda chunk: int(chunk.id.rpartition("#")[2]))), share)


FindContact = Callable[[str], Contact | None]  # by tenant


def contact(tenant: str) -> Contact | None:
    """How people reach the tenant's support; None for one that is not in the world."""
    found = _contacts(acme.data_folder()).get(tenant) if acme.has_data() else None
    return Contact(**found) if found else None


@dataclass(frozen=True, slots=True)
class _Passage:
    article: Article
    chunk: Chunk
    words: frozenset[str]
    title: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Library:
    passages: tuple[_Passage, ...]
    counts: Counter[str]

    def rarity(self, words: frozenset[str]) -> float:
        """The sum over the words: high for one in few passages, highest for one in none, which no passage can have."""
        return sum(math.log(1 + len(self.passages) / (0.5 + self.counts[word])) for word in words)


@lru_cache(maxsize=32)
def _library(articles: tuple[Article, ...], tenant: str, language: str) -> _Library:
    """The passages of one help centre, taken apart once."""
    cut, passages = chunking.sections(), []
    for article in articles:
        if article.tenant == tenant and article.lang == language:
            for chunk in cut(article):
                title = stems(f"{chunk.title} {chunk.heading}")
                passages.append(_Passage(article, chunk, stems(chunk.text), title))
    return _Library(tuple(passages), Counter(word for one in passages for word in one.words | one.title))


@cache
def _contacts(data: Path) -> dict[str, dict[str, str]]:
    world = yaml.safe_load((data / "world.yaml").read_text(encoding="utf-8"))
    return {name: tenant["contact"] for name, tenant in world["tenants"].items()}
