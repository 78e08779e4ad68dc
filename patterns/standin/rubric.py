"""A prompt that asks for a judgement, taken apart: the criterion, the worked examples, and what is to be judged.

Parts are told by their names, in tags (`<answer>…</answer>`) or in labels and headings (`Answer:`, `## Answer`).
Examples are earlier exchanges whose reply is a verdict, or blocks that hold a verdict of their own.
"""

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .prompt import content_text
from .words import humanise

_ROLES = {
    "question": "question query inquiry ask asked user customer message request ticket input frage anfrage kunde",
    "answer": "answer response reply output assistant completion candidate submission bot text summary antwort",
    "documents": "document documents doc docs context contexts source sources passage passages evidence reference "
    "references article articles knowledge excerpt excerpts fact facts chunk chunks kontext dokumente quellen",
    "criterion": "criterion criteria rubric rule requirement principle standard guideline check kriterium regel",
    "verdict": "verdict label grade judgement judgment decision passed rating urteil",
    "reason": "reason reasoning critique explanation rationale why because grund begründung",
    "example": "example examples beispiel",
}
_ROLE = {word: role for role, listed in _ROLES.items() for word in listed.split()}
_GIVEN = {"reference", "expected", "gold", "ideal", "correct"}  # a reference answer is evidence, not what is judged
_JUDGED = {"question", "answer", "documents"}
_TAG = re.compile(r"<([A-Za-z][\w-]*)\b[^<>]*>(.*?)</\1>", re.DOTALL)
_LABEL = re.compile(
    r"^[ \t]*(?:(?P<marks>#{1,6})[ \t]*)?[*_]{0,2}(?P<name>[^\W\d_][\w' ()-]{1,40}?)[*_]{0,2}[ \t]*"
    r"(?P<colon>:[*_]{0,2}|$)",
    re.MULTILINE,
)

_GOOD = re.compile(
    r"\b(?:pass(?:e[sd])?|yes|true|good|ok(?:ay)?|fine|correct|right|met|meets|accept\w*|approved?|valid|safe|compl\w+|"
    r"supported|faithful|relevant|grounded|polite|clear|satisf\w+|ja|bestanden|richtig|gut|erfüllt)\b",
    re.IGNORECASE,
)
_BAD = re.compile(
    r"\b(?:fail\w*|no|not|false|bad|wrong|poor|reject\w*|violat\w*|invalid|unsafe|un\w{5,}|in(?:correct|accurate|complete|"
    r"sufficient)\w*|irrelevant|hallucinat\w*|impolite|rude|missing|contradict\w*|error\w*|problem\w*|issues?|broken|"
    r"toxic|refus\w*|nein|nicht|falsch|schlecht|durchgefallen)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Item:
    """What is judged. Parts that the prompt does not show are empty."""

    question: str
    answer: str
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    criterion: str
    item: Item
    examples: tuple[tuple[Item, bool], ...]


def read(messages: Sequence[Mapping[str, Any]]) -> Case | None:
    """The judgement that the messages ask for; None when they do not ask for one."""
    said = [(str(one.get("role", "user")), content_text(one.get("content"))) for one in messages]
    parts = [_sections(text) if role == "user" else {} for role, text in said]
    asked = [at for at, (role, _) in enumerate(said) if role == "user"]
    # A complaint about the form of a reply comes after what is to be judged, and names no part of it.
    subject = next((at for at in reversed(asked) if parts[at].keys() & _JUDGED), asked[-1] if asked else -1)
    instructions = "\n\n".join(text for role, text in said if role in {"system", "developer"})
    told = _sections(instructions)
    criterion = next((part for found in (parts[subject], told) for part in found.get("criterion", ())), "")
    named = parts[subject].keys() & _JUDGED
    if not asked or not (criterion or "answer" in named or len(named) > 1):
        return None
    examples = [
        (_item(parts[at]), verdict)
        for at, (role, reply) in enumerate(said[1:])
        if at in asked and at != subject and role == "assistant" and (verdict := decided(reply)) is not None
    ]
    for block in (*told.get("example", ()), *parts[subject].get("example", ())):
        found = _sections(block)
        if (verdict := decided(" ".join(found.get("verdict", ())))) is not None:
            examples.append((_item(found), verdict))
    unnamed = "\n".join((*told.get("", ()), *parts[subject].get("", ())))
    return Case(criterion or unnamed, _item(parts[subject]), tuple(examples))


def decided(text: str) -> bool | None:
    """Whether a verdict, as JSON or in words, is for the answer; None when it is neither."""
    try:
        value = json.loads(text)
    except ValueError:
        return polarity(text[:200])
    values = value.values() if isinstance(value, dict) else [value]
    for name, one in zip(value if isinstance(value, dict) else [""], values, strict=True):
        if isinstance(one, bool):
            return one != turned(humanise(name))
        if isinstance(one, str) and len(one) <= 30 and (found := polarity(one)) is not None:
            return found
    return None


def polarity(text: str) -> bool | None:
    """Whether a word or two speak for or against; None when they do neither."""
    if _BAD.search(text):
        return False
    return True if _GOOD.search(text) else None


def turned(name: str) -> bool:
    """Whether a yes in a field of this name speaks against the answer (`hallucinated`, `has_error`)."""
    return bool(_BAD.search(name)) and not re.search(r"\b(?:no|not|without|free of)\b", name, re.IGNORECASE)


def _item(found: Mapping[str, Sequence[str]]) -> Item:
    # A text without any named part is itself what is judged.
    answer = "\n".join(found.get("answer", ())) or ("" if found.keys() - {""} else "\n".join(found.get("", ())))
    return Item("\n".join(found.get("question", ())), answer, tuple(found.get("documents", ())))


def _sections(text: str) -> dict[str, list[str]]:
    """The parts of a text by role, "" for what has none."""
    found: dict[str, list[str]] = {}
    rest, end = [], 0
    for tag in _TAG.finditer(text):
        role = _role(tag[1])
        if not role:
            continue
        rest.append(text[end : tag.start()])
        end = tag.end()
        inner = [one[2] for one in _TAG.finditer(tag[2]) if _role(one[1]) == role]
        found.setdefault(role, []).extend(inner or [tag[2]])
    for role, part in _labelled("\n".join([*rest, text[end:]])):
        found.setdefault(role, []).append(part)
    return {
        role: [html.unescape(part).strip() for part in parts if part.strip()]
        for role, parts in found.items()
        if any(part.strip() for part in parts)
    }


def _labelled(text: str) -> Iterator[tuple[str, str]]:
    labels = [one for one in _LABEL.finditer(text) if (one["colon"] or one["marks"]) and _role(one["name"])]
    yield "", text[: labels[0].start()] if labels else text
    ends = [*(one.start() for one in labels[1:]), len(text)]
    for one, stop in zip(labels, ends, strict=False):
        yield _role(one["name"]), text[one.end() : stop]


def _role(name: str) -> str:
    """The role that a name of up to four words speaks of, by its last word that speaks of one; "" for none."""
    words = humanise(name).split()
    roles = [_ROLE[word] for word in words if word in _ROLE]
    if not roles or len(words) > 4:
        return ""
    return "documents" if roles[-1] == "answer" and _GIVEN & set(words) else roles[-1]
