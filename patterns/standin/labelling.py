"""Choosing among the values of an enum: by what each value means, by worked examples in the prompt, "
"by a reasoning already written."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .evidence import Evidence
from .relevance import cosines, relevance
from .support import met
from .words import humanise, language, sentences, words

SHARPNESS = {True: 0.05, False: 0.12}
"""The score difference that multiplies the odds between two values by e, with and without meaning."""

# What common values mean in plain words; general English, as a list of function words is.
SENSES = {
    "positive": "happy, pleased, thankful, great, works well, love it",
    "negative": "unhappy, angry, disappointed, bad, terrible, complaint, does not work",
    "neutral": "a plain question or information without feeling",
    "other": "something else, none of these",
    "unknown": "unclear, not said",
}
NEITHER = frozenset(["other", "others", "unknown", "none", "misc", "general", "sonstiges", "andere"])
"""Values for what fits no other one."""
# Degrees of urgency are said with a few set phrases, whose negations ("no hurry") embeddings confuse.
_DEGREES = {
    "low": 0, "minor": 0, "trivial": 0, "p4": 0, "medium": 1, "normal": 1, "moderate": 1, "standard": 1, "p3": 1,
    "high": 2, "major": 2, "important": 2, "p2": 2, "urgent": 3, "critical": 3, "severe": 3, "emergency": 3, "p1": 3,
}  # fmt: skip
_CUES = tuple(
    (degree, re.compile(pattern, re.IGNORECASE))
    for degree, pattern in (
        (0,
            r"\b(?:no (?:hurry|rush)|not urgent|whenever|just (?:wondering|curious|asking)|curious|minor|"
            r"small thing|suggestion|"

            r"would be nice|not important|keine eile|nicht eilig|nur eine frage)\b"),
        (3,
            r"\b(?<!not )(?:urgent(?:ly)?|emergency|immediately|at once|right now|right away|asap|as soon "
            r"as possible|danger(?:ous)?|"

            r"fire|smoke|bleeding|unconscious|unsafe|today|deadline|dringend|sofort|notfall|gefahr)\b"),
        (2,
            r"\b(?:cannot|can't|blocked|unacceptable|furious|angry|third time|again and again|lost|stolen|"
            r"twice|still (?:not|no|waiting)|"

            r"important|broken|kaputt|wieder|immer noch)\b"),
        (1, (
            r"\b(?:not work\w*|does not|doesn't|wrong|problem|error|fail\w*|late|delay\w*|missing|fehlt|"
            r"fehler|falsch|verspätet)\b"
        )),
    )
)  # fmt: skip


def chances(scores: np.ndarray, evidence: Evidence) -> np.ndarray:
    """Scores as probabilities that sum to 1: the margin of the best one is how sure the choice is."""
    odds = np.exp((scores - scores.max()) / SHARPNESS[evidence.meaning is not None])
    return np.round(odds / odds.sum(), 4)


def nothing_seen(values: Sequence[Any], scores: np.ndarray) -> int | None:
    """The value for what fits no other one, when no value has anything of the text; None without such a value."""
    if scores.max() > 0:
        return None
    return next((at for at, value in enumerate(values) if humanise(str(value)) in NEITHER), None)


def fitness(values: Sequence[Any], name: str, hint: str, evidence: Evidence) -> np.ndarray:
    """How well each value fits the text the form is about, shape (values,), about 0 to 1."""
    glosses = [_gloss(value, values, name, hint, evidence) for value in values]
    text = evidence.own or evidence.prompt.question
    lang = language(text)
    scores = _likeness(text, glosses, evidence, lang)
    degrees = [_DEGREES.get(humanise(str(value))) for value in values]
    if all(degree is not None for degree in degrees):
        scores = 0.3 * scores + _degree(text, [degree or 0 for degree in degrees])
    elif evidence.earlier:
        # What was reasoned before counts beside the whole text: that is why reasoning goes first.
        scores = 0.7 * scores + 0.3 * _likeness(evidence.earlier[-1], glosses, evidence, lang)
    scores += _taught(values, name, text, evidence)
    said = set(words(text))
    for at, value in enumerate(values):
        named = set(words(humanise(str(value))))
        scores[at] += 0.15 * bool(named and named <= said and degrees[at] is None)
        scores[at] -= 0.08 * (humanise(str(value)) in NEITHER and ":" not in glosses[at])
    return np.round(scores, 4)


def _degree(text: str, degrees: Sequence[int]) -> np.ndarray:
    """The degree that the first matching kind of cue speaks for (else below the middle), spread to its neighbours."""
    said = next((degree for degree, cue in _CUES if cue.search(text)), 0.9)
    return np.array([0.4 / (1 + abs(degree - said)) for degree in degrees])


def _likeness(text: str, glosses: Sequence[str], evidence: Evidence, lang: str) -> np.ndarray:
    """How like the text, and its likest sentence, each gloss is.

    With meaning: how like the text the gloss is, and the value's bare name; how like its sentences, on average, the
    likest of the things that the gloss lists; and how well the text's words are met.
    """
    said = [one for one in sentences(text) if len(words(one)) > 2][:12] if len(text) > 120 else []
    text = text[:1500]
    if evidence.meaning is None:
        scores = np.array([relevance(part, glosses, None, lang=lang) for part in [text, *said]])
        return 0.6 * scores[0] + 0.4 * scores.max(axis=0)
    things = [[one for one in _LISTED.split(gloss) if one.strip()] or [gloss] for gloss in glosses]
    ends = np.cumsum([len(listed) for listed in things])[:-1]
    every = [one.strip() for listed in things for one in listed]
    like = np.array([cosines(part[:1500], every, evidence.meaning) for part in said or [text]])
    likest = np.stack([part.max(axis=1) for part in np.split(like, ends, axis=1)], axis=1).mean(axis=0)
    named = cosines(text, [gloss.partition(":")[0] for gloss in glosses], evidence.meaning)
    whole = relevance(text, glosses, evidence.meaning, lang=lang)
    return np.round((whole + np.clip(likest, 0, 1) + np.clip(named, 0, 1) + met(text, glosses)) / 4, 4)


_LISTED = re.compile(r"[,;:]\s*(?:and\s|or\s|und\s|oder\s)?|\s(?:and|or|und|oder)\s")


def _gloss(value: Any, values: Sequence[Any], name: str, hint: str, evidence: Evidence) -> str:
    """A value with what the schema and the instructions say about it."""
    word = re.escape(str(value))
    others = "|".join(re.escape(str(one)) for one in values if one != value) or r"\Z"
    marks = r"[`'\"*“”_]*"
    pattern = (
        rf"(?<![\w-]){marks}{word}{marks}\s*(?:[:=–—-]+|\(|\bfor\b|\bif\b|\bwhen\b|\bmeans\b|\bis "
        r"for\b)\s*(.+?)(?=[;\n)]|\.\s|[,.]?\s*(?:\bor\b|"
        rf"\band\b)?\s*{marks}(?<![\w-])(?:{others}){marks}\s*(?:[:=–—-]|\(|for\b|if\b|when\b|means\b)|$)"
    )
    # In a list of one value a line, the whole line speaks of it.
    line = rf"(?:^|\. )[ \t*•-]*{marks}{word}{marks}[ \t]*[:=–—][ \t]*([^\n]+)$"
    plain = humanise(str(value))
    listed = re.compile(rf"^[ \t*•-]*{marks}(?:{others}){marks}[ \t]*[:=–—]", re.IGNORECASE | re.MULTILINE)
    said = next(
        (
            one[1].strip(" ;,.")
            for text in (hint, evidence.prompt.instructions)
            for one in (
                re.search(line, text, re.IGNORECASE | re.MULTILINE) if listed.search(text) else None,
                re.search(pattern, text, re.IGNORECASE),
            )
            if one
        ),
        "",
    )
    sense = "" if said else SENSES.get(plain, "")
    return f"{plain} {name if not said and not sense else ''}: {said or sense}".strip(" :").replace(" :", ":")


def _taught(values: Sequence[Any], name: str, text: str, evidence: Evidence) -> np.ndarray:
    """What examples in the prompt add to each value: the likeness of its likest example above chance."""
    shown: list[tuple[str, int]] = []
    for given, output in evidence.examples:
        at = _label(output, values, name)
        if at is not None and given.strip() != text.strip():
            shown.append((given, at))
    gained = np.zeros(len(values))
    if shown:
        like = relevance(text[:1500], [given for given, _ in shown], evidence.meaning, lang=language(text))
        for (_, at), score in zip(shown, like, strict=True):
            gained[at] = max(gained[at], 0.6 * max(0.0, float(score) - 0.2))
    return gained


def _label(output: Any, values: Sequence[Any], name: str) -> int | None:
    """Which value an example's output shows, or None."""
    if isinstance(output, Mapping):
        found = next((item for key, item in output.items() if humanise(str(key)) == name), None)
        return values.index(found) if found in values else None
    text = str(output).lower()
    hits = [
        at for at, value in enumerate(values) if re.search(rf"(?<![\w-]){re.escape(str(value).lower())}(?![\w-])", text)
    ]
    # "category: fines, priority: low" shows several fields: the one after this field's name counts.
    named = re.search(rf"\b{re.escape(name).replace(' ', '[ _]')}\W+([\w-]+)", text)
    if named:
        hits = [at for at in hits if str(values[at]).lower() == named[1]] or hits
    return hits[0] if len(hits) == 1 else None


def plainly(value: Any) -> str:
    """A value as text, for weighing it against a sentence."""
    return value if isinstance(value, str) else json.dumps(value)
