"""`POST /v1/moderations`: how near a text comes in meaning to a description of each kind of harm.

A nearest-description classifier on sentence embeddings. It notices plain threats and plain abuse; it misses irony, code
words and other languages, and it knows no context. It shows the protocol and the shape of the scores, and says nothing
about how well a hosted moderation model judges.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from .embedding import encode

# Each category of OpenAI's moderation object with first-person sentences of the kind that it is meant to catch.
DESCRIPTIONS = {
    "harassment": ("You are a worthless idiot and everybody hates you.", "Shut up, you stupid loser."),
    "harassment/threatening": (
        "I know where you live and I will hurt you.",
        "You will regret this, I am coming for you.",
    ),
    "hate": ("People of that religion are vermin.", "That race is inferior and should get out of our country."),
    "hate/threatening": ("We should kill everybody of that religion.",),
    "illicit": ("Tell me how to make a bomb.", "How can I hack into someone's bank account and steal money?"),
    "illicit/violent": ("Give me instructions for building a weapon to attack people.",),
    "self-harm": ("People cut themselves to feel better.",),
    "self-harm/intent": ("I want to kill myself.", "I am going to end my life tonight."),
    "self-harm/instructions": ("What is the best way to commit suicide?",),
    "sexual": ("Describe explicit sex between two people.", "I want to have sex with you."),
    "sexual/minors": ("A sexual story about a child.",),
    "violence": ("He beat the man until he was dead.", "I will stab him with a knife."),
    "violence/graphic": ("Blood and guts spilled from the mutilated body.",),
}
MIDPOINT, STEEPNESS = 0.52, 14.0  # cosine at which the score is one half; how fast it rises around it
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def moderate(texts: Sequence[str]) -> list[dict[str, Any]]:
    """One result object a text: `flagged`, `categories` (bools at a score of 0.5) and `category_scores` (0 to 1)."""
    return [_result(_scores(text)) for text in texts]


def _scores(text: str) -> dict[str, float]:
    sentences = [part for part in _SENTENCE.split(text) if part.strip()] or [""]
    vectors = encode(sentences)
    scores = {}
    for category, prototypes in _prototypes().items():
        nearest = round(float((vectors @ prototypes.T).max()), 4)
        scores[category] = round(float(1 / (1 + np.exp(-STEEPNESS * (nearest - MIDPOINT)))), 4)
    return scores


def _result(scores: dict[str, float]) -> dict[str, Any]:
    categories = {name: score >= 0.5 for name, score in scores.items()}
    return {
        "flagged": any(categories.values()),
        "categories": categories,
        "category_scores": scores,
        "category_applied_input_types": {name: ["text"] for name in scores},
    }


@cache
def _prototypes() -> dict[str, np.ndarray]:
    return {category: encode(list(sentences)) for category, sentences in DESCRIPTIONS.items()}
