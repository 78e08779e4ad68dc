"""What a criterion asks for: which traits of an answer, by the meaning of its words, and how much each counts.

A criterion that is like none of the traits is taken as something that the answer should mention, or should not.
"""

import re

import numpy as np

from . import traits
from .relevance import Encode, cosines, relevance
from .rubric import Case, Item
from .words import sentences, stems, words

# What a criterion may be about, in sentences to compare it with, and word stems that it then most often has.
_GLOSSES = {
    "supported": (
        r"support|ground|faithful|hallucinat|invent|made up|claim|state|fact|contradict|consisten|evidence|backed|"
        r"absent from|found in|passages|sources|articles|belegt|erfunden",
        "Every claim in the answer is stated in the documents.",
        "The answer is grounded in the sources and invents nothing.",
        "No statement contradicts the context or goes beyond it.",
        "Jede Aussage der Antwort ist durch die Dokumente belegt.",
    ),
    "responds": (
        r"address(?:es|ed)? (?:the|what)|relevan|on topic|respond|question|asked?\b|beantwortet",
        "The answer gives what the question asks for.",
        "The answer is relevant to the question and on topic.",
        "Die Antwort beantwortet die Frage.",
    ),
    "informed": (
        r"contain|suffic|enough|needed|relevan|enthalten",
        "The documents contain the information needed to answer the question.",
        "The retrieved context is relevant and sufficient for the question.",
        "Die Dokumente enthalten, was für die Antwort nötig ist.",
    ),
    "focused": (
        r"nobody asked|not asked|unnecessary|beside the point|only what|nothing (?:but|else|more)|extra|padding|"
        r"digress|focus|überflüssig",
        "The answer contains nothing that was not asked for.",
        "No unnecessary details or facts beside the point.",
        "The answer keeps to the question without digressing or padding.",
    ),
    "complete": (
        r"every part|all parts|complete|cover|left out|leaves? .{0,12}out|missing|thorough|vollständig",
        "The answer covers every part of the question.",
        "Nothing that was asked is left out.",
        "The answer is complete and thorough.",
    ),
    "brief": (
        r"short|brief|concise|long|length|words|sentences?\b|terse|kurz",
        "The answer is short and concise.",
        "The reply has at most a few sentences or words.",
    ),
    "same_language": (
        r"language|sprache",
        "The answer is written in the language of the question.",
        "The reply uses the same language as the user.",
    ),
    "refuses": (
        r"refus|declin|does ?n[o']t know|cannot help|admit",
        "The answer refuses, or says that it does not know.",
        "The reply declines to answer and admits that it cannot help.",
    ),
    "polite": (
        r"polite|friendl|courte|respect|tone|rude|kind\b|apolog|thank|empath|höflich|freundlich",
        "The answer is polite, friendly and respectful.",
        "The tone is courteous and kind, not rude.",
    ),
}
_NEEDS = {
    "supported": ("answer", "documents"),
    "responds": ("question", "answer"),
    "informed": ("question", "documents"),
    "focused": ("question", "answer"),
    "complete": ("question", "answer"),
    "same_language": ("question", "answer"),
}
CUE, NO_CUE, LATER = 0.15, -0.15, -0.1
"""What a trait's own words add to its likeness to the criterion, what their lack takes away; and a later sentence."""
ANYTHING = 0.45
"""The likeness below which a criterion is taken as something to be mentioned."""
HELD_AGAINST = 0.15
"""What that is less, and support more, when documents are shown beside the answer: most likely to hold it to them."""
SHARP, LEAST = 0.07, 0.12
"""How sharply the likest trait is preferred, and the weight below which one is left out."""

_DOCUMENTS_ARE = re.compile(
    r"\W*(?:the |all |does |do |die )?(?:\w+ )?(?:documents?|context|passages?|sources?|dokumente)\b", re.IGNORECASE
)
_NOT = re.compile(r"\b(?:not|never|no|without|avoids?|n't|free of|kein\w*|nicht|ohne)\b", re.IGNORECASE)
_GENERIC = frozenset(
    [
        *("answer", "answers", "reply", "replies", "response", "responses", "assistant", "bot", "text", "message"),
        *("mention", "mentions", "contain", "contains", "name", "names", "include", "includes", "say", "says"),
        *("give", "gives", "tell", "tells", "state", "states", "customer", "user", "pass", "passes", "fail", "fails"),
        *("must", "should", "criterion", "least", "one", "any", "avoid"),
    ]
)
"""Words of a criterion that are not what it asks to be mentioned."""


def chosen(case: Case, meaning: Encode | None) -> dict[str, float]:
    """The traits that the criterion asks for, by weight; together 1."""
    item = case.item
    shown = {"question": item.question, "answer": item.answer, "documents": item.documents}
    said = [one for line in case.criterion.splitlines() for one in sentences(line) if len(words(one)) > 1]
    said = said[:6] or [case.criterion]
    against = HELD_AGAINST if item.answer and item.documents else 0.0
    scores = {"mentions": ANYTHING - against}
    for name, (cue, *glosses) in _GLOSSES.items():
        if not all(shown[part] for part in _NEEDS.get(name, ("answer",))):
            continue
        best = -1.0
        for at, sentence in enumerate(said):
            like = cosines(sentence, glosses, meaning) if meaning else relevance(sentence, glosses, None)
            clue = CUE if re.search(cue, sentence, re.IGNORECASE) else NO_CUE
            best = max(best, float(like.max()) + clue + (LATER if at else 0.0))
        if name == "supported":
            best += against
        if name == "informed" and item.answer and not _DOCUMENTS_ARE.match(said[0]):
            best -= 0.3  # the documents are then only what the answer is held against
        scores[name] = best
    values = np.array(list(scores.values()))
    share = np.exp((values - values.max()) / SHARP)
    share /= share.sum()
    kept = {name: float(one) for name, one in zip(scores, share, strict=True) if one >= LEAST}
    return {name: round(one / sum(kept.values()), 4) for name, one in kept.items()}


def measure(name: str, case: Case, item: Item, meaning: Encode | None) -> traits.Measure:
    if name != "mentions":
        found = traits.TRAITS[name](item, meaning)
        return traits.Measure(-found.value, found.shown) if name == "refuses" and _NOT.search(case.criterion) else found
    what = " ".join(
        word for word in words(case.criterion) if word not in _GENERIC and stems(word) and not _NOT.match(word)
    )
    found = traits.mentions(item, what, meaning)
    return traits.Measure(-found.value, found.shown) if _NOT.search(case.criterion) else found
