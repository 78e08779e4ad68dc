"""Answering from what the prompt says: the sentences that fit the question, in order, or an honest "not in there".

Extractive: nothing is said that is not in the prompt, except the few honest sentences of `PLAIN`.
"""

import re
from collections.abc import Sequence

import numpy as np

from .documents import Document as Document
from .documents import Sentence, split
from .orders import gullible_order as gullible_order
from .prompt import Prompt as Prompt
from .prompt import Said
from .prompt import ToolResult as ToolResult
from .prompt import read as read
from .recounting import recount as recount
from .relevance import MEANING, Encode, alike, cosines, relevance
from .summarising import PLAIN, Reading, closed
from .summarising import summarise as summarise
from .summarising import wants_summary as wants_summary
from .words import joined, language, sentences, stems, words

ENOUGH = {True: 0.29, False: 0.34}
"""The least relevance that counts as an answer, with and without meaning."""
WITHOUT_CODE = 0.6
"""What the score of a sentence keeps when the question names a code or number that it lacks and another has."""
NEXT = 0.75
"""A further sentence must be at least so relevant, as a share of the best one."""

_GREETING = re.compile(
    r"(?:hi|hello|hey|good (?:morning|afternoon|evening|day)|hallo|guten (?:morgen|tag|abend)|moin)[\w\s]{0,12}[!.,]*",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"(?:ok(?:ay)?[,.!]? )?(?:many |great,? |perfect,? )?(?:thanks|thank you|thx|cheers|danke|vielen dank)\b.{0,30}",
    re.IGNORECASE,
)
_CITE = re.compile(r"\bcit(?:e|es|ing|ation)|\[id\]|\[doc|cited_chunk_ids|\bzitier|quellenangabe", re.IGNORECASE)


def answer(prompt: Prompt, meaning: Encode | None) -> Reading:
    """What the documents say to the question; without documents, what the conversation says to it."""
    plain = PLAIN.get(prompt.wants_language, PLAIN["en"])
    question = prompt.question
    if courtesy := small_talk(question):
        return Reading(plain[courtesy], (), 1.0, ())
    if not prompt.documents:
        return _from_conversation(prompt, meaning, plain["nothing"])
    found = [one for number, document in enumerate(prompt.documents) for one in split(document, number)]
    if not found:
        return Reading(plain["unknown"], (), 0.0, ())
    asked = _asked(prompt)
    langs = [language(document.text) for document in prompt.documents]
    scores = _scores(asked, found, [langs[one.document] for one in found], meaning)
    threshold = ENOUGH[meaning is not None]
    if scores.max() < threshold:
        told = _from_conversation(prompt, meaning, plain["unknown"])
        return (
            told if told.confidence > 0.6 else Reading(plain["unknown"], (), _sure(float(scores.max()), threshold), ())
        )
    picked = _pick(prompt, found, scores, threshold, meaning)
    cited = tuple(dict.fromkeys(prompt.documents[found[at].document].id for at in picked))
    wants_ids = bool(_CITE.search(f"{prompt.instructions}\n{question}"))
    text = _prose([found[at] for at in picked], prompt.documents if wants_ids else ())
    return Reading(text, cited, _sure(float(scores.max()), threshold), tuple(found[at].text for at in picked))


def small_talk(question: str) -> str:
    """`"greeting"`, `"thanks"`, or nothing when there is more to a message."""
    return "greeting" if _GREETING.fullmatch(question) else "thanks" if _THANKS.fullmatch(question) else ""


def _sure(score: float, threshold: float) -> float:
    """0.5 at the threshold, rising to 1 for a score well above it."""
    return round(float(1 / (1 + np.exp(-(score - threshold) / 0.08))), 4)


def _asked(prompt: Prompt) -> str:
    """The question, with the one before it when it is too short to stand alone ("And on Sundays?")."""
    lang = language(prompt.question)
    before = next((one.text for one in reversed(prompt.history) if one.role == "user"), "")
    pronoun = re.match(r"(?:and|what about|how about|und|was ist mit)\b", prompt.question, re.IGNORECASE)
    short = len(stems(prompt.question, lang)) <= 2 and len(words(prompt.question)) <= 7
    return f"{before} {prompt.question}" if before and (pronoun or short) else prompt.question


def _scores(asked: str, found: Sequence[Sentence], langs: Sequence[str], meaning: Encode | None) -> np.ndarray:
    """Relevance of each sentence in its context, with a little more for one that has the kind of thing asked for."""
    scores = relevance(asked, [one.in_context for one in found], meaning, langs, language(asked))
    if meaning is not None:
        # A sentence may fit better without its context, which other sentences share: the best ones are tried alone too.
        best = np.argsort(-scores, kind="stable")[:24]
        alone = np.clip(cosines(asked, [found[int(at)].text for at in best], meaning), 0, 1)
        within = cosines(asked, [found[int(at)].in_context for at in best], meaning)
        scores[best] += MEANING * np.maximum(0, alone - np.clip(within, 0, 1))
    kinds = [pattern for trigger, pattern in _KINDS if trigger.search(asked)]
    bonus = [0.04 * any(pattern.search(one.text) for pattern in kinds) for one in found]
    scores = scores + np.array(bonus) * (scores > 0)
    # A code or number in the question weighs more than meaning can tell: where a sentence has it, others stand back.
    named = {word for word in words(asked) if any(char.isdigit() for char in word)}
    has = np.array([bool(named) and named <= set(words(one.in_context)) for one in found])
    return np.round(np.where(has | ~has.any(), scores, WITHOUT_CODE * scores), 4)


_KINDS = [
    (re.compile(trigger, re.IGNORECASE), re.compile(pattern, re.IGNORECASE))
    for trigger, pattern in (
        ((
            r"\bhow (?:much|many|long|old|far|big|high|often)\b|\bcosts?\b|\bprice|wie (?:viel|lang|oft|"
            r"hoch|teuer)|kostet"
        ), r"\d|\b(?:two|three|four|five|six|seven|ten|free|once|twice)\b"),
        (r"\bwhen\b|what time|until|\bwann\b|um wie viel uhr", (
            r"\d|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day|\b(?:morning|noon|midnight|days?|weeks?|"
            r"months?)\b"
        )),
    )
]  # fmt: skip


def _pick(
    prompt: Prompt, found: Sequence[Sentence], scores: np.ndarray, threshold: float, meaning: Encode | None
) -> list[int]:
    """Positions of the sentences to say, in document order."""
    order = [int(at) for at in np.argsort(-scores, kind="stable")[:40]]
    if meaning is not None:
        order = _newer(prompt.documents, found, order, scores)
    least = max(threshold * 0.9, float(scores[order[0]]) * NEXT) if prompt.length < 8 else threshold * 0.8
    # What the question names by number or code, a further sentence must name too when the best one does.
    named = {word for word in words(prompt.question) if any(char.isdigit() for char in word)}
    named &= set(words(found[order[0]].in_context))
    order = [at for at in order if named <= set(words(found[at].in_context))]
    picked: list[int] = []
    for at in order:
        if len(picked) >= prompt.length or scores[at] < least:
            break
        if not any(alike(found[at].text, found[other].text) > 0.8 for other in picked):
            picked.append(at)
    for at in list(picked):
        # "It is free on Sundays" needs the sentence before it.
        before = at - 1
        pronoun = re.match(
            r"(?:it|they|this|these|that|those|he|she|otherwise|however|then|er|dies\w*|sonst|dann)\b",
            found[at].text,
            re.IGNORECASE,
        )
        beside = before >= 0 and (found[before].document, found[before].block) == (found[at].document, found[at].block)
        if pronoun and beside and before not in picked and len(picked) < prompt.length:
            picked.append(before)
    return sorted(picked)


def _newer(documents: Sequence[Document], found: Sequence[Sentence], order: list[int], scores: np.ndarray) -> list[int]:
    """Without the sentences that a newer document contradicts: much the same words, other numbers."""
    dropped: set[int] = set()
    for at in order[:12]:
        for other in order[:12]:
            one, two = documents[found[at].document], documents[found[other].document]
            old, new = _updated(one), _updated(two)
            numbers = [set(re.findall(r"\d+(?:[.,]\d+)*", found[each].text)) for each in (at, other)]
            if old and new and old < new and all(numbers) and not numbers[0] & numbers[1]:
                same = [re.sub(r"\d+(?:[.,]\d+)*", " ", found[each].text) for each in (at, other)]
                close = scores[other] >= 0.7 * scores[at]
                if close and alike(same[0], same[1], language(same[0])) >= 0.5:
                    dropped.add(at)
    return [at for at in order if at not in dropped]


def _updated(document: Document) -> str:
    return next(
        (
            document.attributes[key]
            for key in ("updated", "updated_at", "date", "modified")
            if key in document.attributes
        ),
        "",
    )


def _prose(picked: Sequence[Sentence], documents: Sequence[Document]) -> str:
    """Sentences as prose, items of one list after the line that introduces it, `[id]` after what one document says."""
    groups: list[list[Sentence]] = []
    for one in picked:
        last = groups[-1][-1] if groups else None
        if last and last.document == one.document and (last.lead, last.block) == (one.lead, one.block):
            groups[-1].append(one)
        else:
            groups.append([one])
    said: list[str] = []
    for at, group in enumerate(groups):
        lead = group[0].lead
        texts = [one.text.rstrip(".;,") for one in group]
        text = (
            f"{lead} {joined(texts, 'und' if language(lead) == 'de' else 'and')}."
            if lead
            else " ".join(closed(one.text) for one in group)
        )
        following = groups[at + 1][0].document if at + 1 < len(groups) else -1
        said.append(
            f"{text} [{documents[group[0].document].id}]" if documents and following != group[0].document else text
        )
    return " ".join(said)


def _from_conversation(prompt: Prompt, meaning: Encode | None, otherwise: str) -> Reading:
    """The sentence of the conversation or the instructions that answers the question, else the plain reply."""
    said = [text for one in prompt.history for text in sentences(one.text) if not text.endswith("?")]
    told = [
        text
        for line in prompt.instructions.splitlines()
        for text in sentences(line)
        if not _FOR_THE_ASSISTANT.search(text)
    ]
    texts = said + told
    if not texts or not prompt.question:
        return Reading(otherwise, (), 0.0, ())
    scores = relevance(prompt.question, texts, meaning, lang=language(prompt.question))
    best = int(np.argmax(scores))
    threshold = ENOUGH[meaning is not None] + 0.05
    sure = _sure(float(scores[best]), threshold)
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
