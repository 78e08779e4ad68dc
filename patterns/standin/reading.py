"""Answering from what the prompt says: tool results told, sentences of the documents, or an honest "not in there".

Extractive: nothing is said that is not in the prompt, except the few honest sentences of `PLAIN`.
"""

import re
from collections.abc import Sequence

import numpy as np

from .documents import Document as Document
from .documents import from_value, label
from .extracting import extract
from .orders import gullible_order as gullible_order
from .parting import entities, questions
from .prompt import Prompt as Prompt
from .prompt import Said
from .prompt import ToolResult as ToolResult
from .prompt import read as read
from .recounting import failed
from .recounting import recount as recount
from .relevance import Encode, relevance
from .splitting import split as split
from .summarising import PLAIN, Reading, closed
from .summarising import summarise as summarise
from .summarising import wants_summary as wants_summary
from .words import language, sentences

REMEMBERS = {True: 0.34, False: 0.39}
"""The relevance from which a sentence of the conversation or the instructions answers, with and without meaning."""

_GREETING = re.compile(
    r"(?:hi|hello|hey|good (?:morning|afternoon|evening|day)|hallo|guten (?:morgen|tag|abend)|moin)[\w\s]{0,12}[!.,]*",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"(?:ok(?:ay)?[,.!]? )?(?:many |great,? |perfect,? )?(?:thanks|thank you|thx|cheers|danke|vielen dank)\b.{0,30}",
    re.IGNORECASE,
)


def answer(prompt: Prompt, meaning: Encode | None) -> Reading:
    """What the tools and the documents say to the question; without either, what the conversation says to it.

    A question of several parts gets an answer to each, and `confidence` is that of the part that is answered worst.
    """
    plain = PLAIN.get(prompt.wants_language, PLAIN["en"])
    if prompt.asking:
        return Reading(prompt.asking, (), 0.0, ())
    told = [one for one in prompt.tool_results if one.current and not from_value(one.content, "tool")]
    if told:
        return _with_results(prompt, told, meaning)
    if courtesy := small_talk(prompt.question):
        return Reading(plain[courtesy], (), 1.0, ())
    if not prompt.documents:
        return _from_conversation(prompt, meaning, plain["nothing"])
    found = _by_parts(prompt, meaning)
    if found.confidence >= 0.5 or found.sentences:
        return found
    said = _from_conversation(prompt, meaning, plain["unknown"])
    return said if said.confidence > 0.6 else found


def small_talk(question: str) -> str:
    """`"greeting"`, `"thanks"`, or nothing when there is more to a message."""
    return "greeting" if _GREETING.fullmatch(question) else "thanks" if _THANKS.fullmatch(question) else ""


def _by_parts(prompt: Prompt, meaning: Encode | None) -> Reading:
    """The documents' answer to each part of the question, else to the whole of it."""
    asked = questions(prompt.question)
    if len(asked) < 2:
        return extract(prompt, prompt.question, meaning)
    found = [extract(prompt, one, meaning) for one in asked]
    if all(one.confidence >= 0.5 for one in found):
        return _together(prompt, found) or found[0]
    whole = extract(prompt, prompt.question, meaning)
    return whole if whole.confidence >= 0.5 else _together(prompt, found) or whole


def _together(prompt: Prompt, found: Sequence[Reading]) -> Reading | None:
    """Several answers as one; those that are missing are said to be missing once. None when all are."""
    known = [one for one in found if one.confidence >= 0.5]
    if not known:
        return None
    texts = list(dict.fromkeys(one.text for one in known))
    if len(known) < len(found):
        texts.append(PLAIN.get(prompt.wants_language, PLAIN["en"])["partly"])
    cited = tuple(dict.fromkeys(identity for one in known for identity in one.cited))
    said = tuple(dict.fromkeys(sentence for one in known for sentence in one.sentences))
    return Reading(" ".join(texts), cited, min(one.confidence for one in found), said)


def _with_results(prompt: Prompt, told: Sequence[ToolResult], meaning: Encode | None) -> Reading:
    """Tool results told in the order of the question's parts; a part that none is about is asked of the documents."""
    asked = questions(prompt.question) if prompt.question else [""]
    about: dict[int, list[ToolResult]] = {}
    for result in told:
        about.setdefault(_part_of(result, asked, meaning), []).append(result)
    found: list[Reading] = []
    for at, part in enumerate(asked):
        if results := about.get(at):
            found.append(_recounted(results, part))
        elif prompt.documents and (read := extract(prompt, part, meaning)).confidence >= 0.5:
            found.append(read)
        elif len(told) < len(asked) and prompt.documents:
            found.append(Reading("", (), 0.0, ()))
    return _together(prompt, found) or _recounted(told, prompt.question)


def _recounted(results: Sequence[ToolResult], question: str) -> Reading:
    text = recount(results, question)
    return Reading(text, (), 0.2 if any(failed(one.content) for one in results) else 1.0, (text,))


def _part_of(result: ToolResult, asked: Sequence[str], meaning: Encode | None) -> int:
    """The part of the question that a tool result is about: by what the call named, else by what the tool is for."""
    if len(asked) == 1:
        return 0
    named = {str(value) for value in result.arguments.values()}
    about = f"{label(result.name)} {recount([result], '')}"
    scores = [
        float(relevance(part, [about], meaning, lang=language(part))[0]) + 0.3 * bool(entities(part) & named)
        for part in asked
    ]
    return int(np.argmax(np.round(scores, 4)))


def _from_conversation(prompt: Prompt, meaning: Encode | None, otherwise: str) -> Reading:
    """The sentence of the conversation or the instructions that answers the question, else the plain reply."""
    said = [text for one in prompt.history for text in sentences(one.text) if not text.endswith("?")]
    told = [
        text
        for line in prompt.instructions.splitlines()
        for text in sentences(line)
        if not _FOR_THE_ASSISTANT.search(text)
    ]
    earlier = [recount([one], prompt.question) for one in prompt.tool_results if not one.current]
    texts = said + told + earlier
    if not texts or not prompt.question:
        return Reading(otherwise, (), 0.0, ())
    scores = relevance(prompt.question, texts, meaning, lang=language(prompt.question))
    best = int(np.argmax(scores))
    threshold = REMEMBERS[meaning is not None]
    sure = round(float(1 / (1 + np.exp(-(scores[best] - threshold) / 0.08))), 4)
    if scores[best] < threshold:
        return Reading(otherwise, (), sure, ())
    return Reading(_turned(texts[best], by_user=_by_user(prompt.history, texts[best])), (), sure, (texts[best],))


_FOR_THE_ASSISTANT = re.compile(
    r"\b(?:you|your|answer|reply|respond|cite|use|never|always|do not|don't|assistant)\b", re.IGNORECASE
)


def _by_user(history: Sequence[Said], text: str) -> bool:
    return any(one.role == "user" and text in one.text for one in history)


def _turned(text: str, by_user: bool) -> str:
    """What the user said about themselves, said back to them."""
    if not by_user:
        return closed(text)
    swaps = {"i": "you", "i'm": "you are", "i've": "you have", "my": "your", "me": "you", "mine": "yours", "am": "are",
             "ich": "Sie", "mein": "Ihr", "meine": "Ihre", "bin": "sind", "habe": "haben"}  # fmt: skip
    turned = re.sub(r"[A-Za-zÄÖÜäöüß']+", lambda match: swaps.get(match[0].lower(), match[0]), text)
    return closed(turned[:1].upper() + turned[1:])
