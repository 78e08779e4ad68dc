"""Whether what is at hand answers the question, and else what to search for with a tool that takes one free text."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import filling, telling
from .evidence import alike
from .extracting import extract
from .matching import FINDS, name_of, owned
from .prompt import Prompt
from .recounting import failed
from .relevance import Encode
from .spans import spans
from .words import humanise, stems

_QUERY = re.compile(r"\b(?:query|question|search|keywords?|text|terms?|topic|q|suchbegriff|frage)\b")


def searches(
    functions: Sequence[Mapping[str, Any]], prompt: Prompt, meaning: Encode | None
) -> list[tuple[str, dict[str, Any]]]:
    """A call of the search tool, by name and arguments, for each part of the question that is still open.

    None when there is no such tool, when the question says nothing to search for, or when the last search, or all that
    was tried, failed.
    """
    function = next((one for one in functions if seeks(one)), None)
    if function is None or not stems(prompt.question):
        return []
    made = [one for one in prompt.tool_results if one.current and one.name == name_of(function)]
    current = [one for one in prompt.tool_results if one.current]
    if any(failed(one.content) for one in made) or (current and all(failed(one.content) for one in current)):
        return []
    found = []
    for part in telling.unanswered(prompt, meaning):
        values, _ = filling.arguments(function.get("parameters") or {}, replace(prompt, question=part), meaning)
        if not any(set(stems(str(values))) <= set(stems(str(dict(one.arguments)))) for one in made):
            found.append((name_of(function), values))
    return found


def seeks(function: Mapping[str, Any]) -> bool:
    """Whether a tool searches with one free text: "Search the help centre", `query`."""
    schema = function.get("parameters") or {}
    properties, required = schema.get("properties", {}), schema.get("required", ())
    if len(required) != 1 or not isinstance(field := properties.get(required[0]), Mapping):
        return False
    described = f"{humanise(name_of(function))} {function.get('description') or ''}".lower()
    return bool(
        field.get("type") == "string"
        and "enum" not in field
        and _QUERY.search(humanise(required[0]))
        and (FINDS.match(described) or re.search(r"\bsearch", described))
    )


def answered(functions: Sequence[Mapping[str, Any]], prompt: Prompt, meaning: Encode | None) -> bool:
    """Whether the documents already say it, so that no tool is needed. An order to do something is
    never answered so.
    """
    if not prompt.documents or not prompt.question:
        return False
    fetched = all(one.source == "tool" for one in prompt.documents)
    orders = re.match(
        (
            r"(?:please |can you |could you )?(?:cancel|book|reserve|renew|send|order|report|change|move|"
            r"create|add|open|close|storniere|buche)\b"
        ),
        prompt.question,
        re.IGNORECASE,
    )
    if orders and not fetched:
        return False
    if owned(prompt.question) and not fetched:
        return False
    if any(_wanted_by(function, one) for function in functions for one in _unmet(prompt)):
        return False
    return extract(prompt, prompt.question, meaning).confidence >= 0.75


def _unmet(prompt: Prompt) -> set[str]:
    """The identifiers in the question that neither a document nor a result speaks of."""
    given = " ".join([*(one.text for one in prompt.documents), *(str(one.content) for one in prompt.tool_results)])
    given += json.dumps([dict(one.arguments) for one in prompt.tool_results])
    said = [one.text for one in spans(prompt.question) if one.kind == "id"]
    return {one for one in said if one.lower() not in given.lower()}


def _wanted_by(function: Mapping[str, Any], identifier: str) -> bool:
    """Whether a tool requires an identifier of this form, going by the examples in its descriptions."""
    schema = function.get("parameters") or {}
    told = [schema.get("properties", {}).get(name, {}) for name in schema.get("required", ())]
    shown = " ".join(str(one.get("description", "")) for one in told if isinstance(one, Mapping))
    return any(alike(identifier, one.text) for one in spans(shown) if one.kind == "id")
