"""How well each tool fits a part of a question."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import filling
from .evidence import shape
from .parting import entities
from .prompt import Prompt
from .relevance import Encode, cosines, relevance
from .spans import spans
from .words import humanise, language

PRESENT = 0.3
"""The least support at which a required argument counts as given."""


def function_of(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """The function of a tool in OpenAI's shape, or the function itself."""
    return tool.get("function", tool)


def name_of(function: Mapping[str, Any]) -> str:
    """A function's name."""
    return str(function.get("name", ""))


def scores(functions: Sequence[Mapping[str, Any]], part: str, prompt: Prompt, meaning: Encode | None) -> np.ndarray:
    """How well each tool fits a part of a question, shape (tools,).

    With meaning, a tool is compared with the question as it reads when the tool's arguments are replaced by their names
    ("Is RE-14 late?" as "Is the train late?"), and what it requires must be there.
    """
    brief = [f"{humanise(name_of(one))}: {one.get('description') or ''}" for one in functions]
    if meaning is None:
        return relevance(part, [f"{text} {_parameters(one)}" for text, one in zip(brief, functions, strict=True)], None)
    shared = relevance(part, brief, None, lang=language(part))
    named = entities(part)
    # An identifier belongs to the tools whose descriptions show one of its form, when there are such tools.
    forms = [{shape(one.text) for one in spans(_parameters(function)) if one.kind == "id"} for function in functions]
    owners = {one: _owners(one, forms) for one in named}
    owners = {one: tools for one, tools in owners.items() if tools}
    found = np.zeros(len(functions))
    for at, function in enumerate(functions):
        schema = function.get("parameters") or {}
        made, support = filling.arguments(schema, replace(prompt, question=part), None)
        texts = [brief[at], str(function.get("description") or brief[at]), humanise(name_of(function))]
        like = [cosines(text, texts, meaning) for text in dict.fromkeys([part, _masked(part, made, named)])]
        # A listed value is chosen, not told: its absence from the words says nothing.
        listed = {
            name for name, one in schema.get("properties", {}).items() if isinstance(one, Mapping) and "enum" in one
        }
        required = [name for name in schema.get("required", ()) if name not in listed]
        if part != prompt.question and any(support.get(name, 0.0) < PRESENT for name in required):
            support = filling.arguments(schema, prompt, None)[1]
        given = [support.get(name, 0.0) for name in required]
        used = " ".join(str(value) for value in made.values())
        misused = sum(one in owners and at not in owners[one] and one in used for one in named)
        ready = 0.0 if not given else -0.1 if min(given) < PRESENT else 0.4 * (sum(given) / len(given) - 0.5)
        seeks = FINDS.match(humanise(name_of(function))) and _SEEKS.search(part)
        unused = sum(one not in used for one in named)
        found[at] = (
            0.75 * np.max(like) + 0.25 * np.mean(like) + ready + 0.15 * bool(seeks) - 0.06 * unused - 0.2 * misused
        )
    return np.round(found + 0.15 * shared, 4)


def _owners(identifier: str, forms: Sequence[set[str]]) -> set[int]:
    """The tools that show an identifier with the same letters, else those with as many letters."""
    exact = {at for at, form in enumerate(forms) if shape(identifier) in form}
    letters = re.sub(r"[A-Za-z]", "a", shape(identifier))
    return exact or {at for at, form in enumerate(forms) if letters in {re.sub(r"[A-Za-z]", "a", one) for one in form}}


FINDS = re.compile(r"(?:find|search|look ?up|list|get|resolve|identify)\b")
_SEEKS = re.compile(
    (
        r"\b(?:do you have|(?:am|i'm) looking for|look (?:for|up)|anything (?:about|on|by)|find|search|"
        r"suche|finde|gibt es)\b"
    ),
    re.IGNORECASE,
)


def _masked(part: str, made: Mapping[str, Any], named: set[str]) -> str:
    """The question with the names, identifiers and listed values that are arguments replaced by what they are."""
    for name, value in made.items():
        noun = re.sub(r"\s*\b(?:id|number|code|reference)\b", "", humanise(name)) or humanise(name)
        if isinstance(value, str) and value and (value in named or len(value.split()) == 1):
            said = re.search(
                rf"(?:\bthe )?(?:\b{re.escape(noun)}\w* )?(?<!\w){re.escape(value)}(?!\w)", part, re.IGNORECASE
            )
            part = part.replace(said[0], f"the {noun}", 1) if said and said[0] != part else part
    return part


def _parameters(function: Mapping[str, Any]) -> str:
    properties = (function.get("parameters") or {}).get("properties", {})
    return " ".join(
        f"{humanise(name)} {part.get('description', '') if isinstance(part, Mapping) else ''}"
        for name, part in properties.items()
    )
