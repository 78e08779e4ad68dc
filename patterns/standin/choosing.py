"""Choosing tools: which of them the question needs, by name and description, with arguments from the conversation.

A question is taken part by part ("cancel it and tell me when…"). A tool is not called again with the same arguments
when its result is already there, and not at all when the documents answer or when nothing matches.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import filling, reading, searching
from .evidence import shape
from .matching import FINDS, PRESENT, function_of, name_of, scores
from .parting import entities, parts
from .prompt import Prompt
from .relevance import Encode
from .spans import spans
from .words import humanise, stems

MATCHES = {True: 0.30, False: 0.16}
"""The least score at which a tool is called unasked, with and without meaning."""

SEARCHES = 2
"""Searches made at once for what nothing else answers."""


@dataclass(frozen=True, slots=True)
class Call:
    """One function call; `arguments` keep to the tool's schema."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Wish:
    """A tool for one part of the question, and what is missing to call it."""

    tool: Mapping[str, Any]
    score: float
    part: str
    arguments: dict[str, Any]
    absent: tuple[str, ...]


def choose(
    tools: Sequence[Mapping[str, Any]],
    prompt: Prompt,
    meaning: Encode | None,
    tool_choice: Any = "auto",
    parallel: bool = True,
) -> tuple[Call, ...]:
    """The calls to make now, in the order of the question; none when a plain answer is better."""
    functions = [function_of(tool) for tool in tools]
    if tool_choice == "none" or not functions:
        return ()
    if isinstance(tool_choice, Mapping):
        named = str(function_of(tool_choice).get("name", ""))
        function = next((one for one in functions if one.get("name") == named), None)
        return (_call(_wish(function, 1.0, prompt.question, prompt, meaning)),) if function else ()
    forced = tool_choice == "required"
    answered = not forced and searching.answered(functions, prompt, meaning)
    wishes = [] if answered else _wishes(functions, prompt, meaning, forced)
    calls: list[Call] = []
    done = {_key(result.name, result.arguments) for result in prompt.tool_results}
    for wish in wishes:
        if wish.absent and meaning is not None and not forced:
            continue
        calls += [
            call for call in _each(wish, prompt) if _key(call.name, call.arguments) not in done and call not in calls
        ]
    if forced and not calls and wishes:
        calls = [_call(wishes[0])]
    asks_back = any(wish.absent for wish in wishes)
    if not (forced or answered or calls or asks_back or reading.small_talk(prompt.question)):
        searches = searching.searches(functions, prompt, meaning)
        calls = [Call(name, values) for name, values in searches if _key(name, values) not in done][:SEARCHES]
    return tuple(calls if parallel else calls[:1])


def missing(tools: Sequence[Mapping[str, Any]], prompt: Prompt, meaning: Encode | None) -> str | None:
    """The question to ask back when a tool fits but a required argument is nowhere in the conversation, else None."""
    functions = [function_of(tool) for tool in tools]
    if meaning is None or not functions or searching.answered(functions, prompt, meaning):
        return None
    for wish in _wishes(functions, prompt, meaning, False):
        if wish.absent:
            return _asking(wish.absent[0], wish.tool, prompt.wants_language)
    return None


def _asking(name: str, tool: Mapping[str, Any], lang: str) -> str:
    """Asks for one argument in the words of its description."""
    schema = (tool.get("parameters") or {}).get("properties", {}).get(name, {})
    described = re.split(r"[.;,(]", str(schema.get("description", "")))[0].strip()
    plain = re.sub(r"\bid\b", "ID", humanise(name))
    if lang == "de":
        return f"Welche Angabe gilt für „{described or plain}“?"
    short = described if 0 < len(described.split()) <= 12 else ""
    if short and re.match(r"(?:the|a|an|full|new)\b", short, re.IGNORECASE):
        return (
            f"What is {short[0].lower()}{short[1:]}?"
            if re.match(r"(?:the|a|an)\b", short, re.IGNORECASE)
            else f"What is the {short[0].lower()}{short[1:]}?"
        )
    return (
        f"Which {plain} is it about?"
        if re.search(r"\b(?:ID|number|code|reference)\b", plain)
        else f"What is the {plain}?"
    )


def _wishes(
    functions: Sequence[Mapping[str, Any]], prompt: Prompt, meaning: Encode | None, forced: bool
) -> list[_Wish]:
    """A tool for each part of the question that has one, best match per part, each tool once unless "
    "its arguments differ."""
    question = prompt.question
    if not forced and (not question or reading.small_talk(question)):
        return []
    asked = _in_context(prompt)
    whole = scores(functions, asked, prompt, meaning)
    pieces = parts(question)
    found: list[tuple[int, float, str]] = []
    if len(pieces) > 1:
        for piece in pieces:
            own = scores(functions, piece, prompt, meaning)
            best = int(np.argmax(own))
            # A part is a wish of its own only when it fits its tool nearly as well as the whole question fits its best.
            share = 0.5 if entities(piece) else 0.75
            if own[best] >= max(MATCHES[meaning is not None], share * float(whole.max())):
                found.append((best, float(own[best]), piece))
    found = _joined(found)
    if not found:
        best = int(np.argmax(whole))
        if forced or whole[best] >= MATCHES[meaning is not None]:
            found.append((best, float(whole[best]), question))
    wishes: list[_Wish] = []
    for at, score, piece in found:
        wish = _wish(functions[at], score, piece, prompt, meaning)
        if wish.absent and meaning is not None:
            wish = _before(wish, functions, piece, prompt, meaning) or wish
        if not any(
            _key(name_of(one.tool), one.arguments) == _key(name_of(wish.tool), wish.arguments) for one in wishes
        ):
            wishes.append(wish)
    return wishes


def _joined(found: Sequence[tuple[int, float, str]]) -> list[tuple[int, float, str]]:
    """Parts with the same tool as one, unless both name things of their own."""
    kept: list[tuple[int, float, str]] = []
    for at, score, part in found:
        same = next((number for number, one in enumerate(kept) if one[0] == at), None)
        if same is not None and not (entities(part) - entities(kept[same][2]) and entities(kept[same][2])):
            kept[same] = (at, max(score, kept[same][1]), f"{kept[same][2]} {part}")
        else:
            kept.append((at, score, part))
    return kept


def _in_context(prompt: Prompt) -> str:
    """The question, with the user's message before it when it is only a reply to a question of the assistant."""
    turns = prompt.history
    asked = bool(turns) and turns[-1].role == "assistant" and turns[-1].text.rstrip().endswith("?")
    bare = len(stems(prompt.question)) <= 3
    before = next((one.text for one in reversed(turns) if one.role == "user"), "")
    return f"{before} {prompt.question}" if before and (asked or bare) else prompt.question


def _wish(function: Mapping[str, Any], score: float, part: str, prompt: Prompt, meaning: Encode | None) -> _Wish:
    """The tool with its arguments: from its own part of the question first, then from the whole conversation."""
    schema = function.get("parameters") or {}
    made, support = filling.arguments(schema, replace(prompt, question=part), meaning)
    if part != prompt.question:
        wide, wider = filling.arguments(schema, prompt, meaning)
        weak = [
            name
            for name in wider
            if support.get(name, 0) < PRESENT and wider[name] > support.get(name, 0) and name in wide
        ]
        made |= {name: wide[name] for name in weak}
        support |= {name: wider[name] for name in weak}
    absent = tuple(name for name in schema.get("required", ()) if support.get(name, 0.0) < PRESENT)
    ordered = {name: made[name] for name in [*schema.get("properties", {}), *made] if name in made}
    return _Wish(function, score, part, ordered, absent)


def _before(
    wish: _Wish,
    functions: Sequence[Mapping[str, Any]],
    part: str,
    prompt: Prompt,
    meaning: Encode | None,
    tried: tuple[str, ...] = (),
) -> _Wish | None:
    """A tool that can find out what is missing: it looks something up, speaks of it, and has (or "
    "finds) all it needs."""
    wanted = stems(humanise(wish.absent[0])) - stems("id number code reference")
    tried = (*tried, name_of(wish.tool))
    done = {_key(result.name, result.arguments) for result in prompt.tool_results}
    for function in functions:
        text = f"{humanise(name_of(function))} {function.get('description') or ''}"
        if name_of(function) in tried or not FINDS.match(text) or not wanted & stems(text):
            continue
        other = _wish(function, wish.score, part, prompt, meaning)
        if other.absent and (first := _before(other, functions, part, prompt, meaning, tried)):
            return first
        if other.arguments and not other.absent and _key(name_of(function), other.arguments) not in done:
            return other
    return None


def _each(wish: _Wish, prompt: Prompt) -> list[Call]:
    """One call, or one for each identifier when the part names several of one form ("loans 812 and 907")."""
    call = _call(wish)
    said = list(dict.fromkeys(str(one.value) for one in spans(wish.part) if one.kind == "id"))
    for name in (wish.tool.get("parameters") or {}).get("required", ()):
        value = wish.arguments.get(name)
        alike = [one for one in said if _form(one) == _form(str(value))]
        if str(value) in said and len(alike) > 1 and not isinstance(value, bool):
            return [
                Call(call.name, {**call.arguments, name: int(one) if isinstance(value, int) else one}) for one in alike
            ]
    return [call]


def _form(text: str) -> str:
    return re.sub(r"[A-Za-z]+", "a", shape(text))


def _call(wish: _Wish) -> Call:
    return Call(name_of(wish.tool), wish.arguments)


def _key(name: str, arguments: Mapping[str, Any]) -> tuple[str, str]:
    return name, json.dumps(arguments, sort_keys=True)
