"""What the results of tools say to each part of a question, and what is left open.

A part that no result is about is answered from the documents. What was found stands in the question's order.
"""

import re
from collections.abc import Sequence

import numpy as np

from . import captions, reading
from .documents import from_value, label
from .extracting import extract
from .fields import asks
from .parting import entities, questions
from .prompt import Prompt, ToolResult
from .recounting import failed, recount
from .relevance import Encode, relevance
from .sheet import rows
from .summarising import PLAIN, Reading, closed
from .words import language

SURE = 0.5
"""The confidence from which the documents answer a part."""

_POLICY = re.compile(
    r"\b(?:would|if|may i|can i|could i|am i allowed|do i (?:get|have|need)|must i|how long|how many days|within|"
    r"darf|dürfen|kann ich|bekomme ich|muss ich|wie lange|wenn|falls)\b",
    re.IGNORECASE,
)
"""What asks for a rule rather than for something in a result, when nothing in the part names a result."""


def answer(prompt: Prompt, meaning: Encode | None) -> Reading:
    """The answer to the prompt; `confidence` is that of the part that is answered worst."""
    told = _results(prompt)
    images = [one for one in prompt.documents if one.source == "image"]
    if images and not told and captions.asked(prompt.question):
        said = " ".join(captions.described(rows(one.text)) for one in images)
        return Reading(said, tuple(one.id for one in images), 1.0, (said,))
    for image in images if not told else ():
        if line := captions.answered(prompt.question, rows(image.text)):
            return Reading(closed(line), (image.id,), 0.8, (line,))
    if prompt.asking or not told:
        return reading.answer(prompt, meaning)
    found = _by_part(prompt, told, meaning)
    if len(told) >= len(found) or not prompt.documents:
        # A part that asks for no field by name is then one that the results are about too.
        found = [one for one in found if one]
    known = [one for one in found if one]
    texts = list(dict.fromkeys(one.text for one in known))
    if len(known) < len(found):
        texts.append(PLAIN.get(prompt.wants_language, PLAIN["en"])["partly"])
    cited = tuple(dict.fromkeys(identity for one in known for identity in one.cited))
    said = tuple(dict.fromkeys(sentence for one in known for sentence in one.sentences))
    sure = min((one.confidence for one in known), default=0.0) if len(known) == len(found) else 0.0
    return Reading(" ".join(texts), cited, sure, said)


def unanswered(prompt: Prompt, meaning: Encode | None) -> list[str]:
    """The parts of the question that neither a result nor a document answers."""
    asked = questions(prompt.question)
    if told := _results(prompt):
        return [part for part, one in zip(asked, _by_part(prompt, told, meaning), strict=True) if one is None]
    if not prompt.documents:
        return asked
    if extract(prompt, prompt.question, meaning).confidence >= SURE:
        return []
    return [part for part in asked if extract(prompt, part, meaning).confidence < SURE]


def _results(prompt: Prompt) -> list[ToolResult]:
    """What this turn's calls gave back, without the documents among it."""
    return [one for one in prompt.tool_results if one.current and not from_value(one.content, "tool")]


def _by_part(prompt: Prompt, told: Sequence[ToolResult], meaning: Encode | None) -> list[Reading | None]:
    """What is known for each part of the question; None for a part that nothing answers."""
    asked = questions(prompt.question) if prompt.question else [""]
    used: set[int] = set()
    found: list[Reading | None] = []
    for part in asked:
        named = {one.upper() for one in entities(part)}
        mine = [at for at, one in enumerate(told) if named & {str(value).upper() for value in one.arguments.values()}]
        general = not mine and bool(_POLICY.search(part))
        hits = [at for at in mine or range(len(told)) if not general and asks(told[at].content, part, bool(mine))]
        # An error stands for what it was about, whatever was asked of it.
        hits += [at for at in mine if at not in hits and failed(told[at].content)]
        if hits or mine:
            used.update(hits or mine)
        kept = [_told([told[at] for at in sorted(hits or mine)], part)] if hits or mine else []
        if not hits and prompt.documents and (read := extract(prompt, part, meaning)).confidence >= SURE:
            kept.append(read)
        found.append(_both(kept) if kept else None)
    for at, result in enumerate(told):
        if at not in used:
            part = _part_of(result, asked, meaning)
            before = found[part]
            found[part] = _both([*([before] if before else []), _told([result], asked[part])])
    return found


def _told(results: Sequence[ToolResult], part: str) -> Reading:
    text = recount(results, part)
    return Reading(text, (), 0.2 if any(failed(one.content) for one in results) else 1.0, (text,))


def _both(found: Sequence[Reading]) -> Reading:
    cited = tuple(identity for one in found for identity in one.cited)
    said = tuple(sentence for one in found for sentence in one.sentences)
    return Reading(" ".join(one.text for one in found), cited, min(one.confidence for one in found), said)


def _part_of(result: ToolResult, asked: Sequence[str], meaning: Encode | None) -> int:
    """The part of the question that a result of an action is about, by what the tool is for."""
    about = f"{label(result.name)} {recount([result], '')}"
    scores = [float(relevance(part, [about], meaning, lang=language(part))[0]) for part in asked]
    return int(np.argmax(np.round(scores, 4)))
