"""Whether two questions that sound alike are the same question: what an embedding does not see.

"Cancel order 1" and "cancel order 2" have nearly the same vector, and so have a question and its opposite. These checks
look at the words, in this order:

    numbers     codes, amounts, dates, ids, numbers in words, and what they count
    negation    one says "not", "never", "without" more often than the other
    opposites   on and off, before and after, cheaper and dearer
    asked       one asks when, the other how much, or whether
    words       one has a word for which the other has none that may stand for it
    roles       the same words in another order, from another place, by another person: "can I call you"

All of them err on the side of "another question": a hit that is lost costs a call, a false one is a wrong answer. The
word lists (`question_words.toml`) are English and German. In another language, only questions with the same words pass.

What they do not see: roles that are swapped in other words ("Which products need a hub?", "Which hub do the products
need?"), and a word with two meanings.
"""

import re
import tomllib
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path

_TOKEN = re.compile(r"[^\W_]+(?:['.,:/-][^\W_]+)*")


def difference(a: str, b: str) -> str | None:
    """Why `a` and `b` are two questions, as one of the words above; None when nothing says so."""
    one, other = _read(a), _read(b)
    return next((reason for reason, differ in _CHECKS if differ(one, other)), None)


def stem(word: str) -> str:
    """A word without its commonest English and German endings. Rough: it has to be the same for one word, no more."""
    for endings in (("s", "n"), ("ung", "ing", "er", "es", "ed", "en", "em", "e", "d", "t")):
        for ending in endings:
            if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
                word = word[: -len(ending)]
                break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


class _Lists:
    """`question_words.toml`, ready to be asked. Light words, units, scales and synonyms are stems."""

    def __init__(self) -> None:
        given = tomllib.loads((Path(__file__).parent / "question_words.toml").read_text(encoding="utf-8"))
        self.articles, self.function, self.negations, self.origin, self.before, self.order, self.me = (
            frozenset(given[name].split())
            for name in ("articles", "function", "negations", "origin", "before", "order", "me")
        )
        self.light, self.units = (frozenset(map(stem, given[name].split())) for name in ("light", "units"))
        self.numbers = {word: str(two) for line in given["numbers"] for two, word in enumerate(line.split(), 2)}
        self.persons = {word: person for person in ("i", "you") for word in given[person].split()}
        self.scales: dict[str, dict[int, int]] = {}
        for scale, line in enumerate(given["scales"].strip().splitlines()):
            for end, words in enumerate(line.split("|")):
                for word in words.split():
                    self.scales.setdefault(stem(word), {})[scale] = end
        self.synonyms: dict[str, set[int]] = {}
        for place, line in enumerate(given["synonyms"].strip().splitlines()):
            for word in line.split():
                self.synonyms.setdefault(stem(word), set()).add(place)
        self.asked = [(kind, re.compile(pattern)) for kind, pattern in given["asked"]]
        self.phrases = [(re.compile(pattern), word) for pattern, word in given["phrases"]]
        self.may_meet = frozenset(map(frozenset, given["may_meet"]))


_lists = cache(_Lists)


@dataclass(frozen=True, slots=True)
class _Question:
    """A question, taken apart."""

    words: frozenset[str]
    content: tuple[str, ...]  # the stems of those that carry a subject, in order
    said: frozenset[str]  # the same
    meant: frozenset[int]  # the lines of synonyms that they are in
    light: frozenset[str]  # stems that another question may have alone
    asked: str
    numbers: frozenset[str]
    counted: dict[str, str]  # what a number counts: the word after it
    negations: int
    ends: dict[int, frozenset[int]]  # of which scale it means which end
    origins: frozenset[str]  # the words after "from"
    persons: tuple[str, ...]  # "i" and "you", in order

    def has(self, words: frozenset[str]) -> bool:
        return not words.isdisjoint(self.words)


@lru_cache(maxsize=4096)
def _read(text: str) -> _Question:
    lists, spoken = _lists(), _spoken(text)
    words = tuple(word for word in spoken if word not in lists.articles)
    joined = " ".join(words)
    ends: dict[int, set[int]] = {}
    for word in words:
        for scale, end in lists.scales.get(stem(word), {}).items():
            ends.setdefault(scale, set()).add(end)
    empty = lists.function | lists.negations
    content = tuple(stem(word) for word in _without_of(spoken) if word not in empty)
    return _Question(
        words=frozenset(words),
        content=content,
        said=frozenset(content),
        meant=frozenset().union(*(lists.synonyms.get(word, ()) for word in content)),
        light=lists.light | lists.units if lists.units.isdisjoint(content) else lists.light,
        asked=next((kind or found[0] for kind, pattern in lists.asked if (found := pattern.search(joined))), ""),
        numbers=frozenset(word for word in words if any(sign.isdigit() for sign in word)),
        counted={word: stem(after) for word, after in pairwise(words) if word.isdigit() and after not in empty},
        negations=sum(word in lists.negations for word in words),
        ends={scale: frozenset(found) for scale, found in ends.items()},
        origins=frozenset(stem(after) for word, after in pairwise(words) if word in lists.origin),
        persons=tuple(lists.persons[word] for word in words if word in lists.persons),
    )


def _spoken(text: str) -> list[str]:
    lower = unicodedata.normalize("NFC", text).lower().replace("’", "'")
    lower = re.sub(r"n't\b", " not", lower).replace("cannot", "can not")
    found = " ".join(_TOKEN.findall(re.sub(r"'s\b", "", lower)))
    for pattern, word in _lists().phrases:
        found = pattern.sub(word, found)
    return [_lists().numbers.get(word, word) for word in found.split()]


def _without_of(words: Sequence[str]) -> list[str]:
    """The words with "the gasket of the machine" as "the machine gasket": that is no other order."""
    lists, turned, start = _lists(), list(words), 0
    while "of" in turned[start:]:
        at = start = turned.index("of", start)
        while start > 0 and turned[start - 1] not in lists.function:
            start -= 1
        end = at + 2 if at + 1 < len(turned) and turned[at + 1] in lists.articles else at + 1
        while end < len(turned) and turned[end] not in lists.function:
            end += 1
        turned[start:end] = [*turned[at + 1 : end], *turned[start:at]]
        start = end - 1
    return turned


# the checks: whether two questions differ in one respect


def _numbers(a: _Question, b: _Question) -> bool:
    return a.numbers != b.numbers or any(a.counted[one] != b.counted[one] for one in a.counted.keys() & b.counted)


def _negation(a: _Question, b: _Question) -> bool:
    return a.negations != b.negations


def _opposites(a: _Question, b: _Question) -> bool:
    return any(a.ends[scale] != b.ends[scale] for scale in a.ends.keys() & b.ends.keys())


def _asked(a: _Question, b: _Question) -> bool:
    if not a.asked or not b.asked or a.asked == b.asked:
        return False
    return a.said == b.said or frozenset((a.asked, b.asked)) not in _lists().may_meet


def _words(a: _Question, b: _Question) -> bool:
    return not (_is_said(a, b) and _is_said(b, a))


def _is_said(a: _Question, b: _Question) -> bool:
    """Whether each word of `a` is light, or in `b`, or has a word in `b` that may stand for it."""
    lists = _lists()
    return all(
        not b.meant.isdisjoint(lists.synonyms.get(word, ()))
        or any(b.ends.get(scale) == {end} for scale, end in lists.scales.get(word, {}).items())
        for word in a.said - b.said - b.light
    )


def _roles(a: _Question, b: _Question) -> bool:
    lists = _lists()
    if [word for word in a.content if word in b.said] != [word for word in b.content if word in a.said]:
        return True
    if a.has(lists.before) != b.has(lists.before) or a.has(lists.me) != b.has(lists.me):
        return True
    if not (a.said & b.said).isdisjoint(a.origins ^ b.origins):
        return True
    if a.persons != b.persons and set(a.persons) == set(b.persons) == {"i", "you"}:
        return True
    if a.said - lists.light != b.said - lists.light:
        return False
    by_another = bool(a.persons and b.persons) and a.persons[0] != b.persons[0]
    return by_another or lists.order & a.words != lists.order & b.words


_CHECKS: tuple[tuple[str, Callable[[_Question, _Question], bool]], ...] = (
    ("numbers", _numbers),
    ("negation", _negation),
    ("opposites", _opposites),
    ("asked", _asked),
    ("words", _words),
    ("roles", _roles),
)
