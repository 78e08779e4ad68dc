"""What can be told of an answer, its question and its documents: one number a trait, positive where it is so.

Each is about the log odds that a person would say so. Support compares every sentence of the answer with the documents:
words, meaning, numbers, negation. Relevance is the reader's own test of whether a sentence answers (`support`).
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .asking import KINDS
from .documents import Document
from .extracting import extract
from .holding import held
from .parting import questions
from .prompt import Prompt
from .relevance import Encode, alike, cosines, relevance
from .rubric import Item
from .spans import spans
from .splitting import Sentence, split
from .support import support
from .words import language, words

MEASURED = 4_000
"""Measurements kept: examples come again with every judgement."""
SAME = 0.7
"""The share of words in common from which two sentences of an answer count as one."""
_DECLINES = re.compile(
    r"\b(?:i|we)\b[^.]{0,12}\b(?:could|can|did|do|was|am|are)(?:n't|n’t| ?not) (?:be )?(?:\w+ )?"
    r"(?:find|found|know|say|tell|answer|help|provide|able|have)\b|\b(?:i|we) (?:am|are) unable to\b|"
    r"\b(?:documents?|articles?|sources?|context|information)\b.{0,30}(?:not|n't|n’t) (?:contain|mention|cover|say)|"
    r"\bno information (?:on|about)\b|\b(?:konnte|kann|weiß) (?:ich|wir)\b.{0,60}\bnicht\b|"
    r"\b(?:ich|wir) (?:konnte|kann|weiß)\w*\b.{0,60}\bnicht|\bkeine (?:information|angabe)|"
    r"\bkonnte ich\b.{0,60}\bnicht finden",
    re.IGNORECASE,
)
_COURTESY = re.compile(
    r"\b(?:thank(?:s| you)|please (?:do not hesitate|feel free|let)|feel free|let (?:us|me) know|hope (?:that )?this|"
    r"welcome|sorry|apologi[sz]e|apologies|glad|happy to|pleasure|kind regards|(?:great|excellent|good) question|"
    r"appreciate|vielen dank|danke|gerne?|entschuldig\w*|tut (?:mir|uns) leid|freundlichen? grüße|"
    r"(?:i am|i'm|we are) (?:\w+ )?(?:sure|certain|confident))\b",
    re.IGNORECASE,
)
_RUDE = re.compile(
    r"\b(?:stupid|idiot\w*|shut up|dumb|whatever|obviously|your (?:own )?fault|not my problem|go away|nonsense|"
    r"ridiculous|stop (?:asking|bothering)|read the manual|dumm|unsinn|selbst schuld)\b|!{2,}",
    re.IGNORECASE,
)
# What a criterion may ask to be named, by the kinds of pieces that name it.
_NAMED = {
    "number amount figure": "number", "date day deadline": "date", "time hour": "time", "mail email e-mail": "email",
    "phone telephone": "phone", "link url website": "uri", "code identifier id reference": "id",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measure:
    """`value` is about log odds; `shown` is what it rests on most, for the reason."""

    value: float
    shown: str = ""


def claims(answer: str) -> list[Sentence]:
    """The sentences of an answer that say something: no courtesies, no questions, no "I do not know"."""
    found = split(Document("answer", "", answer, "user"), 0)
    return [one for one in found if not (_COURTESY.search(one.text) or declines(one.text) or one.text.endswith("?"))]


def declines(text: str) -> bool:
    return bool(_DECLINES.search(text))


@lru_cache(maxsize=MEASURED)
def supported(item: Item, meaning: Encode | None) -> Measure:
    """Whether the documents say everything that the answer says: its worst sentence decides."""
    found = _sentences(item.documents)
    said = claims(item.answer)
    if not said:
        return Measure(3.0)
    if not found:
        return Measure(-3.0, said[0].text)
    odds = [held(one.text, found, meaning) for one in said]
    return Measure(min(odds), said[int(np.argmin(odds))].text)


@lru_cache(maxsize=MEASURED)
def responds(item: Item, meaning: Encode | None) -> Measure:
    """Whether some sentence of the answer answers some part of the question."""
    said = claims(item.answer)
    if not said or not item.question:
        return Measure(-2.0, item.answer)
    sure, like = _answering(item.question, item.answer, said, meaning)
    return Measure(2.1 * float(sure.max()) + 4 * float(like.max()) - 2.9, said[int(np.argmax(like))].text)


@lru_cache(maxsize=MEASURED)
def focused(item: Item, meaning: Encode | None) -> Measure:
    """Whether every sentence of the answer serves the question: the more different ones, the less likely."""
    said: list[Sentence] = []
    for one in claims(item.answer):
        if not any(alike(one.text, other.text, language(one.text)) > SAME for other in said):
            said.append(one)
    if not said or not item.question:
        return Measure(1.0)
    sure, like = _answering(item.question, item.answer, said, meaning)
    value = 1.85 * float(sure.min()) + 0.9 * float(like.min()) - 1.6 * math.log(len(said)) - 1.5
    return Measure(value, said[int(np.argmin(like))].text)


@lru_cache(maxsize=MEASURED)
def complete(item: Item, meaning: Encode | None) -> Measure:
    """Whether each part of the question is answered."""
    said = claims(item.answer)
    if not said or not item.question:
        return Measure(-2.0, item.question)
    parts = questions(item.question)
    worst = min((responds(Item(part, item.answer, ()), meaning).value, at) for at, part in enumerate(parts))
    return Measure(worst[0], parts[worst[1]])


@lru_cache(maxsize=MEASURED)
def informed(item: Item, meaning: Encode | None) -> Measure:
    """Whether the documents hold the answer to every part of the question."""
    if not item.question or not item.documents:
        return Measure(-3.0, item.question)
    given = tuple(Document(str(at), "", text, "user") for at, text in enumerate(item.documents))
    prompt = Prompt("", given, item.question, (), (), language(item.question), 3)
    sure = [(extract(prompt, part, meaning).confidence, part) for part in questions(item.question)]
    worst = min(sure)
    return Measure(5 * worst[0] - 1.9, worst[1])


def _answering(
    question: str, answer: str, said: Sequence[Sentence], meaning: Encode | None
) -> tuple[np.ndarray, np.ndarray]:
    """How sure each sentence answers some part of the question, and how like the question it is; both (sentences,)."""
    texts = [one.text for one in said]
    like = cosines(question, texts, meaning) if meaning else relevance(question, texts, None, lang=language(question))
    if meaning is None:
        return np.clip(like, 0, 1), like
    # A code of the question goes without saying, unless the answer speaks of another one.
    codes = (
        [] if any(one.kind == "id" for one in spans(answer)) else [o.text for o in spans(question) if o.kind == "id"]
    )
    near = relevance(question, texts, meaning, lang=language(question))
    sure = [support(part, said, " ".join(codes), near, ["answer"] * len(said))[1] for part in questions(question)]
    return np.max(sure, axis=0), like


def brief(item: Item, meaning: Encode | None) -> Measure:
    return Measure(2.0 * math.log(40 / max(len(words(item.answer)), 1)), item.answer)


def same_language(item: Item, meaning: Encode | None) -> Measure:
    return Measure(3.0 if language(item.answer) == language(item.question or item.answer) else -3.0, item.answer)


def refuses(item: Item, meaning: Encode | None) -> Measure:
    return Measure(3.0 if declines(item.answer) else -3.0, item.answer)


def polite(item: Item, meaning: Encode | None) -> Measure:
    """Courtesies less rude words; with meaning, also how near it is to plain politeness and to plain rudeness."""
    value = 1.5 * min(2, len(_COURTESY.findall(item.answer))) - 3.0 * min(2, len(_RUDE.findall(item.answer)))
    if meaning is not None:
        kind, rude = cosines(item.answer, [KIND, RUDE], meaning)
        value += 6 * float(kind - rude)
    return Measure(value, item.answer)


KIND = "Thank you very much for your question. We are sorry for the trouble and are glad to help you."
RUDE = "That is a stupid question and not our problem. Stop bothering us and read the manual."


def mentions(item: Item, what: str, meaning: Encode | None) -> Measure:
    """Whether the answer (without one: the documents) has what a criterion names."""
    text = item.answer or "\n".join(item.documents)
    said = [one.text for one in split(Document("answer", "", text, "user"), 0)]
    if not said or not what:
        return Measure(-2.0, text)
    asked = set(words(what))
    kinds = {kind for names, kind in _NAMED.items() if asked & set(names.split())}
    looks = [kind.told for kind in KINDS if kind.asked.search(what)]
    if kinds or looks:
        has = bool(kinds & {one.kind for one in spans(text)}) or any(look.search(text) for look in looks)
        return Measure(2.5 if has else -2.5, text)
    score = relevance(what, said, meaning, lang=language(text))
    return Measure(8 * float(score.max()) - 3.0, said[int(np.argmax(score))])


TRAITS: dict[str, Callable[[Item, Encode | None], Measure]] = {
    "supported": supported,
    "responds": responds,
    "informed": informed,
    "focused": focused,
    "complete": complete,
    "brief": brief,
    "same_language": same_language,
    "refuses": refuses,
    "polite": polite,
}


def _sentences(texts: Sequence[str]) -> list[Sentence]:
    return [one for at, text in enumerate(texts) for one in split(Document(str(at), "", text, "user"), at)]
