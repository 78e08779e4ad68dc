"""A prompt taken apart: instructions, documents, question, history, tool results, and what the answer "
"should look like."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import documents
from .documents import Document
from .words import language


@dataclass(frozen=True, slots=True)
class Said:
    """An earlier message of the user or the assistant, without its documents."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave back. `content` is parsed when it is JSON; `current` when it came after the "
    "last user message."""

    name: str
    content: Any
    call_id: str
    arguments: Mapping[str, Any]
    current: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """Everything the model is told. `length` is the most sentences that the answer should have.

    `asking` is what must be asked back before anything can be answered, if so.
    """

    instructions: str
    documents: tuple[Document, ...]
    question: str
    history: tuple[Said, ...]
    tool_results: tuple[ToolResult, ...]
    wants_language: str
    length: int
    asking: str = ""


def content_text(content: Any) -> str:
    """The text of a message: a string, or the text parts of a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part if isinstance(part, str) else part.get("text") or "" for part in content if part]
    return "\n".join(part for part in parts if isinstance(part, str) and part)


def _seen(content: Any, before: Sequence[Document]) -> list[Document]:
    """What was read in the images of a message: text to answer from, as documents are, and never an instruction."""
    read = [part["seen"] for part in content if part.get("type") == "seen"] if isinstance(content, list) else []
    first = 1 + sum(one.source == "image" for one in before)
    return [Document(f"image-{first + at}", "", one.text, "image") for at, one in enumerate(read)]


# "Text inside <DOC> is data": a tag that is spoken of opens no document.
_MENTIONED = re.compile(r"(?<=[\w,] )<(\w+)>(?= [a-z])(?![^<]*</\1>)")


def read(messages: Sequence[Mapping[str, Any]]) -> Prompt:
    """The prompt in a list of chat messages; complaints about the form of a reply are read past to what was asked."""
    messages = _without_complaints(messages)
    last = max((at for at, one in enumerate(messages) if one.get("role") == "user"), default=-1)
    instructions: list[str] = []
    found: list[Document] = []
    history: list[Said] = []
    results: list[ToolResult] = []
    calls: dict[str, tuple[str, Mapping[str, Any]]] = {}
    question = ""
    for at, message in enumerate(messages):
        role, text = str(message.get("role", "user")), content_text(message.get("content"))
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            calls[str(call.get("id"))] = (str(function.get("name", "")), _parsed(function.get("arguments"), {}))
        if role == "tool":
            identity = str(message.get("tool_call_id", ""))
            name, arguments = calls.get(identity, (str(message.get("name", "")), {}))
            content = _parsed(text, text)
            results.append(ToolResult(name, content, identity, arguments, at > last))
            tagged, _ = documents.extract(text, "tool") if isinstance(content, str) else ([], "")
            found += documents.from_value(content, "tool") + tagged
            continue
        source = "system" if role in {"system", "developer"} else role
        text = _MENTIONED.sub(r"\1", text)
        inside, rest = documents.extract(text, source) if role != "assistant" else ([], text)
        found += inside
        found += _seen(message.get("content"), found)
        if source == "system":
            instructions.append(rest)
        elif at == last:
            passage, question = _passage(rest) if not found else ("", rest)
            if passage:
                found.append(Document("text", "", passage, source))
        elif rest:
            history.append(Said(role, rest))
    system = "\n\n".join(instructions).strip()
    unlabelled = re.sub(
        r"^[\s*_#]*(?:(?:user |customer )?question|query|user|customer|frage|kunde)[\s*_]*:[\s*_]*",
        "",
        question,
        flags=re.IGNORECASE,
    )
    return Prompt(
        instructions=system,
        documents=tuple(_numbered_apart(found)),
        question=unlabelled.strip(),
        history=tuple(history),
        tool_results=tuple(results),
        wants_language=_wanted_language(system, unlabelled),
        length=_length(unlabelled) or _length(system) or 3,
    )


_WRONG = re.compile(
    r"\b(?:not valid|invalid|malformed|unparseable|(?:does|did|do)(?:n't| not) (?:match|validate|conform|parse|follow)|"
    r"could(?:n't| not) (?:be )?(?:parsed?|read|validated?)|validation (?:error|failed)|failed (?:the )?validation|"
    r"should (?:be|have|match)|must (?:be|have|match)|is (?:missing|required)|field required|not allowed|"
    r"expect(?:ed|ing)|ungültig|fehlerhaft|kein gültiges|entspricht nicht|muss .{1,40} sein|fehlt)\b",
    re.IGNORECASE,
)
_FORM = re.compile(
    r"\b(?:json|schema|format|formatted|fields?|propert(?:y|ies)|keys?|enum|reply|response|output|antwort|ausgabe|felde?r?)\b",
    re.IGNORECASE,
)
_ONCE_MORE = re.compile(
    r"\b(?:reply|respond|answer|return|try|send|write|generate|produce|output|give|provide|fix|correct|redo|repeat|"
    r"antworte|sende|schreibe|korrigiere|versuche|bitte)\b[^.!?\n]{0,60}\b(?:again|once more|only|valid|corrected|json|"
    r"schema|errors?|fields?|it|nothing else|erneut|noch ?(?:ein)?mal|nur)\b",
    re.IGNORECASE,
)


def _without_complaints(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The messages without each reply whose form the user complained about next, and without the complaint."""
    kept: list[Mapping[str, Any]] = []
    for message in messages:
        replied = bool(kept) and kept[-1].get("role") == "assistant" and not kept[-1].get("tool_calls")
        asked = any(one.get("role") == "user" for one in kept)
        if replied and asked and message.get("role") == "user" and _complains(content_text(message.get("content"))):
            kept.pop()
        else:
            kept.append(message)
    return kept


def _complains(text: str) -> bool:
    """Whether a message says that a reply has the wrong form and asks for another; a question of its own does not."""
    return bool(_WRONG.search(text) and _FORM.search(text) and _ONCE_MORE.search(text)) and not text.rstrip().endswith(
        "?"
    )


def _parsed(text: Any, otherwise: Any) -> Any:
    if not isinstance(text, str):
        return text if text is not None else otherwise
    try:
        return json.loads(text)
    except ValueError:
        return otherwise


def _numbered_apart(found: list[Document]) -> list[Document]:
    """Without repeats: the same document given twice is one."""
    return list({(one.id, one.text): one for one in found}.values())


def _passage(text: str) -> tuple[str, str]:
    """A long passage and the question before or after it; no passage when nothing in the text asks or orders."""
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    if len(paragraphs) == 1:
        first, _, rest = text.partition("\n")
        paragraphs = [first, rest] if rest else paragraphs
    if len(paragraphs) == 1:
        colon = re.match(r"([^.?!\n]{8,120}:)\s+(.+)", text, re.DOTALL)
        paragraphs = [colon[1], colon[2]] if colon else paragraphs
    if len(paragraphs) < 2:
        return "", text
    for at in (-1, 0):
        asked = paragraphs[at]
        rest = "\n\n".join(paragraphs[:-1] if at else paragraphs[1:])
        long = len(rest.split()) >= 40 or (rest.count("\n") >= 3 and len(rest.split()) >= 12)
        if long and len(asked.split()) <= 60 and (asked.endswith("?") or _ORDER.match(asked)):
            return rest, asked
    return "", text


_ORDER = re.compile(
    r"(?:please |can you |could you |bitte )?(?:summari[sz]e|tl;?dr|explain|list|answer|tell|find|"
    r"extract|classify|what|who|"
    r"when|where|why|how|which|give|describe|translate|compare|name|read|fass|erkläre|nenne|liste|"
    r"finde|was|wer|wann|wo|"
    r"wie|welche|question|frage)\b",
    re.IGNORECASE,
)


def _wanted_language(instructions: str, question: str) -> str:
    told = re.search(
        r"\b(?:in|auf|always|only|reply|answer|respond)\s+(?:in\s+)?(german|english|deutsch|englisch)\b",
        f"{question}\n{instructions}",
        re.IGNORECASE,
    )
    if told:
        return "de" if told[1].lower() in {"german", "deutsch"} else "en"
    return language(question or instructions)


_NUMBERS = {
    "one": 1, "a": 1, "a single": 1, "single": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "einem": 1, "einen": 1, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5,
}  # fmt: skip


def _length(text: str) -> int | None:
    """How many sentences a text asks for, or None."""
    exact = re.search(
        r"\b(\d{1,2}|a single|"
        + "|".join(_NUMBERS)
        + r")\s+(?:short |brief |kurzen? )?(?:sentences?|bullet points?|bullets|sätzen?|satz)\b",
        text,
        re.IGNORECASE,
    )
    if exact:
        return max(1, int(exact[1]) if exact[1].isdigit() else _NUMBERS[exact[1].lower()])
    if re.search(
        r"\b(?:in detail|detailed|step[- ]by[- ]step|everything|at length|thorough(?:ly)?|all (?:the|of|"
        r"steps|about)|"

                 r"ausführlich|schritt für schritt|alles|im detail)\b", text, re.IGNORECASE):  # fmt: skip
        return 8
    if re.search(r"\b(?:brief(?:ly)?|short(?:ly)?|concise(?:ly)?|tl;?dr|in a word|kurz|knapp)\b", text, re.IGNORECASE):
        return 1
    return None
