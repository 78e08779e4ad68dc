"""What every answer is made of, and summaries: the sentences closest to the centre of a text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .prompt import Prompt
from .relevance import EMBEDDED, Encode, alike, cosines, rarity
from .splitting import split
from .words import language, sentences, stems, words

PLAIN = {
    "en": {
        "unknown": "I could not find that in the documents I was given.",
        "partly": "I could not find the rest in the documents I was given.",
        "nothing": "I have no documents to answer that from.",
        "greeting": "Hello! What would you like to know?",
        "thanks": "You are welcome.",
    },
    "de": {
        "unknown": "Das konnte ich in den vorliegenden Dokumenten nicht finden.",
        "partly": "Das Übrige konnte ich in den vorliegenden Dokumenten nicht finden.",
        "nothing": "Mir liegen keine Dokumente vor, aus denen ich das beantworten könnte.",
        "greeting": "Hallo! Was möchten Sie wissen?",
        "thanks": "Gern geschehen.",
    },
}


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer: the ids it rests on, in order, how sure it is (0 to 1), and the sentences it is made of."""

    text: str
    cited: tuple[str, ...]
    confidence: float
    sentences: tuple[str, ...]


def closed(text: str) -> str:
    """The text with a full stop, unless it already ends like a sentence."""
    return text if text[-1] in '.!?…"”)' else f"{text.rstrip(';,')}."


def wants_summary(prompt: Prompt) -> bool:
    """Whether the question, or else the instructions, ask for a summary."""
    pattern = r"\b(?:summari[sz]e|summary|tl;?dr|recap|zusammenfass\w*|fass\w* .{0,60}zusammen)\b"
    return bool(
        re.search(pattern, prompt.question, re.IGNORECASE)
        or re.match(rf".{{0,80}}{pattern}", prompt.instructions, re.IGNORECASE | re.DOTALL)
    )


def summarise(prompt: Prompt, meaning: Encode | None) -> Reading:
    """The sentences closest to the centre of the text (or of the conversation when there is none), in order."""
    turns = (
        prompt.history
        if not prompt.documents or re.search(r"conversation|chat|gespräch", prompt.question, re.IGNORECASE)
        else ()
    )
    found = [one for number, document in enumerate(prompt.documents) for one in split(document, number)]
    speakers: list[str] = []
    if turns:
        pairs = [(one.role, text) for one in turns for text in sentences(one.text) if len(words(text)) > 2]
        speakers, texts = [role for role, _ in pairs], [text for _, text in pairs]
    else:
        texts = [one.text for one in found] or sentences(prompt.question.partition(":")[2] or prompt.question)
    if not texts:
        return Reading(PLAIN.get(prompt.wants_language, PLAIN["en"])["nothing"], (), 0.0, ())
    scores = _central(texts, meaning)
    picked: list[int] = []
    for at in (int(at) for at in np.argsort(-scores, kind="stable")):
        if len(picked) < prompt.length and not any(alike(texts[at], texts[other]) > 0.6 for other in picked):
            picked.append(at)
    picked.sort()
    said: list[str] = []
    for at in picked:
        name = speakers[at].capitalize() if speakers else ""
        said.append(
            f"{name}: {closed(texts[at])}"
            if name and (not said or speakers[picked[len(said) - 1]] != speakers[at])
            else closed(texts[at])
        )
    cited = () if speakers else tuple(dict.fromkeys(prompt.documents[found[at].document].id for at in picked if found))
    return Reading(" ".join(said), cited, 1.0, tuple(texts[at] for at in picked))


def _central(texts: Sequence[str], meaning: Encode | None) -> np.ndarray:
    """How central each text is: its mean likeness to the others, with a little more for facts "
    "(numbers) and for the opening."""
    lang = language(" ".join(texts)[:4000])
    stemmed = [stems(text, lang) for text in texts]
    weights = rarity(stemmed)
    common = {one: sum(one in found for found in stemmed) for one in weights}
    scores = np.array([sum(common[one] - 1 for one in found) / (len(found) + 4) for found in stemmed], dtype=float)
    scores /= max(scores.max(), 1e-9)
    if meaning is not None:
        order = np.argsort(-np.round(scores, 4), kind="stable")[:EMBEDDED]
        vectors = [cosines(" ".join(texts)[:1500], [texts[int(at)] for at in order], meaning)]
        scores *= 0.3
        scores[order] += 0.7 * vectors[0]
    facts = np.array([bool(re.search(r"\d", text)) for text in texts])
    return np.round(scores + 0.1 * facts + 0.05 * (np.arange(len(texts)) == 0), 4)
