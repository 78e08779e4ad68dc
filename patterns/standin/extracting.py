"""The sentences of the documents that answer a question, in order and with their ids.

The small tier takes the sentences that share the most words with the question. The large one compares meanings, and
asks of each sentence whether all that the question names is found in it (`support`).
"""

import re
from collections.abc import Sequence

import numpy as np

from .asking import KINDS
from .documents import Document
from .prompt import Prompt
from .relevance import MEANING, Encode, alike, cosines, relevance
from .spans import spans
from .splitting import Sentence, split
from .summarising import PLAIN, Reading, closed
from .support import support
from .words import joined, language, stems, words

ENOUGH = 0.34
"""The share of its words, by rarity, that a sentence must have of the question for the small tier to take it."""
WITHOUT_CODE = 0.6
"""What the score of a sentence keeps when the question names a code or number that it lacks and another has."""
NEXT = {True: 0.8, False: 0.75}
"""A further sentence must be at least so good, as a share of the best one, with and without meaning."""
SIBLING, LISTED = 0.6, 8
"""The same for the items of one list, of which at most so many are told."""
CONSIDERED = 40
"""Sentences whose words are compared one by one; relevance chooses which."""

_CITE = re.compile(r"\bcit(?:e|es|ing|ation)|\[id\]|\[doc|cited_chunk_ids|\bzitier|quellenangabe", re.IGNORECASE)


def extract(prompt: Prompt, question: str, meaning: Encode | None) -> Reading:
    """What the documents say to the question, or the plain "not found" with what confidence is left."""
    unknown = PLAIN.get(prompt.wants_language, PLAIN["en"])["unknown"]
    found = [one for number, document in enumerate(prompt.documents) for one in split(document, number)]
    if not found or not question:
        return Reading(unknown, (), 0.0, ())
    scores, sure = _weighed(prompt, in_context(prompt, question), found, meaning)
    best = int(np.argmax(scores))
    if sure[best] < 0.5:
        return Reading(unknown, (), round(float(sure[best]), 4), ())
    picked = _pick(prompt, question, found, scores, sure, meaning)
    cited = tuple(dict.fromkeys(prompt.documents[found[at].document].id for at in picked))
    wants_ids = bool(_CITE.search(f"{prompt.instructions}\n{question}"))
    text = _prose([found[at] for at in picked], prompt.documents if wants_ids else ())
    return Reading(text, cited, round(float(sure[best]), 4), tuple(found[at].text for at in picked))


def in_context(prompt: Prompt, question: str) -> str:
    """The question, with the one before it when it is too short to stand alone ("And on Sundays?")."""
    lang = language(question)
    before = next((one.text for one in reversed(prompt.history) if one.role == "user"), "")
    pronoun = re.match(r"(?:and|what about|how about|und|was ist mit)\b", question, re.IGNORECASE)
    short = len(stems(question, lang)) <= 2 and len(words(question)) <= 7
    return f"{before} {question}" if before and (pronoun or short) else question


def _weighed(
    prompt: Prompt, asked: str, found: Sequence[Sentence], meaning: Encode | None
) -> tuple[np.ndarray, np.ndarray]:
    """How good an answer each sentence is, and how sure it is that it is one (0 to 1), both of shape (sentences,)."""
    langs = [language(document.text) for document in prompt.documents]
    scores = relevance(
        asked, [one.in_context for one in found], meaning, [langs[one.document] for one in found], language(asked)
    )
    # A code or number in the question weighs more than meaning can tell: where a sentence has it, others stand back.
    named = {word for word in words(asked) if any(char.isdigit() for char in word)}
    has = np.array([bool(named) and named <= set(words(one.in_context)) for one in found])
    kept = np.where(has | ~has.any(), 1.0, WITHOUT_CODE)
    if meaning is None:
        told = [kind.told for kind in KINDS if kind.asked.search(asked)]
        bonus = np.array([0.04 * any(pattern.search(one.text) for pattern in told) for one in found])
        scores = np.round((scores + bonus * (scores > 0)) * kept, 4)
        return scores, np.round(1 / (1 + np.exp(-(scores - ENOUGH) / 0.08)), 4)
    # A sentence may fit better without its context, which other sentences share: the best ones are tried alone too.
    best = np.argsort(-scores, kind="stable")[:24]
    alone = np.clip(cosines(asked, [found[int(at)].text for at in best], meaning), 0, 1)
    within = cosines(asked, [found[int(at)].in_context for at in best], meaning)
    scores[best] += MEANING * np.maximum(0, alone - np.clip(within, 0, 1))
    considered = np.sort(np.argsort(-np.round(scores, 4), kind="stable")[:CONSIDERED])
    given = " ".join(str(one.value) for one in spans(prompt.instructions) if one.kind == "name")
    chosen = [found[int(at)] for at in considered]
    articles = [prompt.documents[one.document].title or prompt.documents[one.document].id for one in chosen]
    rank, odds = support(asked, chosen, given, scores[considered], articles)
    good, sure = np.zeros(len(found)), np.zeros(len(found))
    good[considered], sure[considered] = rank, odds
    return np.round(good * kept, 4), np.round(sure * kept, 4)


def _pick(
    prompt: Prompt,
    question: str,
    found: Sequence[Sentence],
    scores: np.ndarray,
    sure: np.ndarray,
    meaning: Encode | None,
) -> list[int]:
    """Positions of the sentences to say, in document order."""
    order = [int(at) for at in np.argsort(-scores, kind="stable")[:CONSIDERED]]
    if meaning is not None:
        order = _newer(prompt.documents, found, order, scores)
    whole = prompt.length >= 8
    share, least = (0.6, 0.25) if whole else (NEXT[meaning is not None], 0.4)
    # What the question names by number or code, a further sentence must name too when the best one does.
    named = {word for word in words(question) if any(char.isdigit() for char in word)}
    named &= set(words(found[order[0]].in_context))
    order = [at for at in order if named <= set(words(found[at].in_context))]
    picked: list[int] = []
    for at in order:
        if len(picked) >= prompt.length or scores[at] < share * scores[order[0]] or sure[at] < least:
            break
        if not any(alike(found[at].text, found[other].text) > 0.8 for other in picked):
            picked.append(at)
    if picked and (lead := found[picked[0]].lead):
        # An item that was found by the line that introduces its list does not come without the others.
        block = (found[picked[0]].document, found[picked[0]].block, lead)
        items = [at for at in order if (found[at].document, found[at].block, found[at].lead) == block]
        near = [at for at in items if scores[at] >= SIBLING * scores[order[0]]]
        picked += [at for at in near if at not in picked][: max(0, LISTED - len(picked))]
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
