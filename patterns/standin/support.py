"""Whether a sentence answers a question, or only speaks of the same thing.

A sentence answers when each thing that the question names is found in it or beside it: by the same word, by a word of
the same everyday sense, or by a word that means much the same where it stands (vectors of words in their context). What
the question asks for must be there too: an amount for "how much", a time for "when", a person for "who".
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from . import embedding
from .asking import COUNT, DOERS, KINDS, LIGHT, NUMBER, OWN, SMALL, UNIT, WHICH, Kind
from .senses import STRICT, folded, senses
from .splitting import Sentence
from .words import language, sentences, stem

REMEMBERED = 3_000
"""Texts whose words are kept: about 100 MB when each is a long sentence."""
CENTRED = 0.25
"""How much of what all words of a text have in common is taken out of each."""
SAME, ALIKE, GIVEN, TOLD = 0.9, 0.85, 0.5, 0.8
"""The support for a thing by its own word, by one of the same sense, by the instructions, by a thing of its kind."""
BESIDE, TOLD_BESIDE = 0.3, 0.6
"""What support loses when it stands elsewhere in the same article; a code loses nothing in the heading."""
WEIGHT = {"kind": 0.15, "light": 0.2, "own": 0.4, "verb": 0.6, "which": 1.5, "told": 0.3, "depends": 0.7}
"""How much of a word must be found that says little, or that names a thing of the asker's; of any other, all."""
FOUND, SPREAD = 0.35, 0.13
"""The support at which a thing is as likely found as not, and the difference that multiplies those odds by e."""
SURE = (1.81, 6.28, 4.51, -4.68)
"""The log odds that a sentence answers: weights of the second, fourth and fifth of `features`, and a constant.

Fitted by logistic regression on the houses of tests/standin/unseen/documents.yaml that are marked for it and on the
half of the course's own cases that is marked for tuning; the constant is 0.4 lower than fitted, because an answer
beside the question is worse than none.
"""
_CODE = re.compile(r"\b[A-Za-z]{1,4}-?[A-Za-z]{0,2}\d[\w-]*")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text, folded, and a vector for each in its context: float32 (words, 384), normalised."""

    words: tuple[str, ...]
    vectors: np.ndarray


_kept: OrderedDict[str, Words] = OrderedDict()
_lock = threading.Lock()


def support(
    asked: str, found: Sequence[Sentence], given: str, relevant: np.ndarray, articles: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """How well each sentence answers (to rank by), and how sure that is, 0 to 1: both of shape (sentences,).

    `given` is what goes without saying, because the instructions name it; `relevant` is each sentence's relevance, and
    `articles` says what it is from: chunks of one article stand beside one another.
    """
    seen = features(asked, found, given, relevant, articles)
    odds = seen[:, [1, 3, 4]] @ np.array(SURE[:-1]) + SURE[-1]
    rank = 0.15 * seen[:, 0] + 2 * seen[:, 2] + relevant
    return np.round(rank, 4), np.round(1 / (1 + np.exp(-odds)), 4)


def features(
    asked: str, found: Sequence[Sentence], given: str, relevant: np.ndarray, articles: Sequence[str]
) -> np.ndarray:
    """What tells an answer from a sentence on its topic, shape (sentences, 5).

    The log likelihood that all is found, that of the thing least found, the mean support, the mean support by the
    sentence alone, and the relevance.
    """
    lang = language(asked)
    question, *told = read([asked, *(one.in_context for one in found)])
    kinds = [kind for kind in KINDS if kind.asked.search(asked)]
    counted = COUNT.search(asked)
    own = np.zeros((len(found), len(question.words)))
    wide = np.zeros_like(own)
    kind = np.zeros((len(found), len(kinds) + bool(counted)))
    codes = _codes(asked, question.words)
    for at, (one, whole) in enumerate(zip(found, told, strict=True)):
        like = _likeness(question, whole, lang, codes)
        like[[at for at, code in codes.items() if code not in _squeezed(one.in_context)]] = 0
        ahead = 0 if one.lead else len(whole.words) - len(_plain(one.text))
        wide[at] = like.max(axis=1)
        own[at] = like[:, ahead if 0 < ahead < like.shape[1] else 0 :].max(axis=1)
        own[at, list(codes)] = wide[at, list(codes)]
        kind[at, : len(kinds)] = [TOLD * bool(each.told.search(one.text)) for each in kinds]
        if counted:
            kind[at, -1] = _counted(question, whole, like)
    weights = np.r_[_weights(asked, question.words, lang, kinds, codes), np.ones(kind.shape[1])]
    made = np.zeros((len(found), 5))
    made[:, 4] = relevant
    if not weights.size:  # a question without a word
        return made
    if not weights.any():
        weights[:] = WEIGHT["light"]
    known = {stem(word, lang) for word in _plain(given)}
    floor = [GIVEN * (stem(word, lang) in known) for word in question.words]
    for article in dict.fromkeys(articles):
        here = np.array([one == article for one in articles])
        near = np.maximum(np.maximum(own[here], wide[here].max(axis=0) - BESIDE), floor)
        near = np.c_[near, np.maximum(kind[here], kind[here].max(axis=0) - TOLD_BESIDE)]
        likely = -weights * np.log1p(np.exp(-(near - FOUND) / SPREAD))
        alone = np.c_[own[here], kind[here]] @ weights / weights.sum()
        made[here, :4] = np.c_[likely.sum(axis=1), likely.min(axis=1), near @ weights / weights.sum(), alone]
    return made


def met(text: str, others: Sequence[str]) -> np.ndarray:
    """How well the words of a text are met by the words of each other text, on average: shape (others,), to 1."""
    said, *whole = read([text, *others])
    counts = [at for at, word in enumerate(said.words) if word not in SMALL[language(text)]] or list(
        range(len(said.words))
    )
    if not counts:
        return np.zeros(len(others))
    return np.array([(said.vectors[counts] @ one.vectors.T).max(axis=1).mean() if one.words else 0.0 for one in whole])


def read(texts: Sequence[str]) -> list[Words]:
    """The words of each text. A text is embedded once; the least recently used are forgotten."""
    with _lock:
        known = {text: _kept[text] for text in texts if text in _kept}
    new = [text for text in dict.fromkeys(texts) if text not in known]
    for at, _, vectors in embedding.token_vectors(new):
        known[new[at]] = _whole(embedding.pieces(new[at]), vectors)
    with _lock:
        for text in texts:
            _kept[text] = known[text]
            _kept.move_to_end(text)
        while len(_kept) > REMEMBERED:
            _kept.popitem(last=False)
    return [known[text] for text in texts]


def _whole(pieces: Sequence[str], vectors: np.ndarray) -> Words:
    """Word pieces ("screen", "##s") joined to words, without signs."""
    words: list[str] = []
    starts: list[int] = []
    for at, piece in enumerate(pieces):
        if piece.startswith("##") and words:
            words[-1] += piece[2:]
        else:
            words.append(piece)
            starts.append(at)
    kept = [at for at, word in enumerate(words) if word[0].isalnum()]
    if not kept:
        return Words((), np.zeros((0, embedding.DIMENSIONS), np.float32))
    means = np.add.reduceat(vectors, starts, axis=0)[kept]
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    means = means - CENTRED * means.mean(axis=0)
    return Words(tuple(words[at] for at in kept), means / np.linalg.norm(means, axis=1, keepdims=True))


def _codes(asked: str, words: Sequence[str]) -> dict[int, str]:
    """The code that each word is part of ("ND", "G05"), by position: nothing near it will do, and no half of it."""
    parts = {part: _squeezed(code) for code in _CODE.findall(asked) for part in _plain(code)}
    return {at: parts[word] for at, word in enumerate(words) if word in parts}


def _squeezed(text: str) -> str:
    return "".join(_plain(text))


def _told(asked: str, words: Sequence[str]) -> np.ndarray:
    """Which words of a message only say how things stand, before or after what it asks; shape (words,)."""
    said = sentences(asked)
    asks = [one.endswith("?") for one in said]
    marks = [not ask and any(asks) for one, ask in zip(said, asks, strict=True) for _ in _plain(one)]
    return np.array((marks + [False] * len(words))[: len(words)], dtype=bool)


def _weights(
    asked: str, words: Sequence[str], lang: str, kinds: Sequence[Kind], codes: Mapping[int, str]
) -> np.ndarray:
    """How much of each word of the question must be found."""
    stand = frozenset(word for kind in kinds for word in kind.words)
    weights = np.ones(len(words))
    for at, word in enumerate(words):
        before = words[at - 1] if at else ""
        if at in codes:
            continue
        if word in SMALL[lang]:
            weights[at] = 0
        elif word in stand:
            weights[at] = WEIGHT["kind"]
        elif (word.isdigit() and len(word) < 3) or (word in LIGHT and not before.startswith(("which", "welche"))):
            weights[at] = WEIGHT["light"]
        elif before in OWN:
            weights[at] = WEIGHT["own"]
        elif before in DOERS:
            weights[at] = WEIGHT["verb"]
        elif before in WHICH:
            weights[at] = WEIGHT["which"]
        if word in words[:at]:
            weights[at] = 0
    # "It is torn. Can I send it back?" leans on what was told, a question that says all by itself does not.
    told = _told(asked, words)
    weights[told] *= WEIGHT["told" if weights[~told].sum() >= 2 else "depends"]
    return weights


def _likeness(question: Words, whole: Words, lang: str, codes: Mapping[int, str]) -> np.ndarray:
    """How far each word of the question is found in each word of a text, shape (question, text)."""
    if not whole.words:
        return np.zeros((len(question.words), 1))
    like = question.vectors @ whole.vectors.T
    stemmed = [stem(word, lang) for word in whole.words]
    meant = [senses(word, lang) for word in whole.words]
    for at, word in enumerate(question.words):
        if word in SMALL[lang] and at not in codes:
            continue
        one, mine = stem(word, lang), senses(word, lang)
        code = at in codes or (any(char.isdigit() for char in word) and not word.isdigit())
        if code or mine & STRICT:
            like[at] = np.minimum(like[at], 0.1)
        for to, other in enumerate(stemmed):
            if one == other or (lang == "de" and min(len(one), len(other)) > 3 and (one in other or other in one)):
                like[at, to] = max(like[at, to], SAME)
            elif mine & meant[to]:
                like[at, to] = max(like[at, to], ALIKE)
    return like


def _counted(question: Words, whole: Words, like: np.ndarray) -> float:
    """Whether a number stands beside the thing that "how many" asks to count, and does not count something else."""
    noun = next((at for at, word in enumerate(question.words) if word in {"many", "viele", "viel"}), -2) + 1
    if not 0 < noun < len(question.words):
        return 0.0
    best = 0.0
    for at, word in enumerate(whole.words):
        after = whole.words[at + 1] if at + 1 < len(whole.words) else ""
        elsewhere = UNIT.fullmatch(after) and like[noun, at + 1] < ALIKE
        if NUMBER.search(word) and not elsewhere:
            best = max(best, float(like[noun, max(0, at - 2) : at + 5].max()))
    return TOLD if best >= 0.5 else best


def _plain(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", folded(text))
