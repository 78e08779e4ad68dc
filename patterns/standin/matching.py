"""How well each tool fits a part of a question."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import filling
from .evidence import alike, shape
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
    forms = [{one.text for one in spans(_parameters(function)) if one.kind == "id"} for function in functions]
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
        # Where the asker's own thing is, is looked up, even when its number has yet to be asked for.
        looks = owned(part) and FINDS.search(brief[at]) and any(_NUMBER.search(humanise(name)) for name in required)
        ready = 0.4 * (sum(given) / len(given) - 0.5) if given else 0.0
        if given and min(given) < PRESENT:
            ready = 0.1 if looks else -0.1
        seeks = FINDS.match(humanise(name_of(function))) and _SEEKS.search(part)
        unused = sum(one not in used for one in named)
        callable_now = min(given, default=1.0) >= PRESENT
        later = _LATER.search(part) and callable_now and any(_DAY.search(one) for one in _described(schema))
        person = _PERSON.search(part) and callable_now and _HANDS_OVER.search(brief[at])
        cues = 0.45 * bool(later) + 0.3 * bool(person) + 0.15 * bool(seeks) - 0.06 * unused - 0.2 * misused
        found[at] = 0.75 * np.max(like) + 0.25 * np.mean(like) + ready + cues
    return np.round(found + 0.15 * shared, 4)


def _owners(identifier: str, forms: Sequence[set[str]]) -> set[int]:
    """The tools that show an identifier with the same letters, else those with as many letters and digits."""
    exact = {at for at, form in enumerate(forms) if shape(identifier) in {shape(one) for one in form}}
    return exact or {at for at, form in enumerate(forms) if any(alike(identifier, one) for one in form)}


FINDS = re.compile(r"(?:find|search|look ?up|list|get|resolve|identify)\b")
_SEEKS = re.compile(
    (
        r"\b(?:do you have|(?:am|i'm) looking for|look (?:for|up)|anything (?:about|on|by)|find|search|"
        r"suche|finde|gibt es)\b"
    ),
    re.IGNORECASE,
)


_OWN_STATE = re.compile(
    r"\b(?:where|status|track\w*|shipped|dispatched|arrived?|arrives|here|come|comes|left|wo|kommt|angekommen|verschickt|"
    r"unterwegs|versandt)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\b(?:id|number|code|reference|nummer)\b")


def owned(part: str) -> bool:
    """Whether it asks where something of the asker's is, without naming which: "Has my order shipped?"."""
    mine = re.search(r"\b(?:my|mein\w*)\b", part, re.IGNORECASE)
    return bool(mine and _OWN_STATE.search(part) and not any(one.kind == "id" for one in spans(part)))


# Who wants to be called or reminded on a later day, and the arguments that say on which.
_LATER = re.compile(
    r"\b(?:remind|(?:call|ring|phone|get|check|come) (?:me )?back|follow(?:ing)? up|"
    r"erinner\w*|ruf\w* .{0,30}(?:zurück|an)\b|meld\w* .{0,30}(?:wieder|bei mir))",
    re.IGNORECASE,
)
_DAY = re.compile(r"\b(?:day|date|datum|tag)\b", re.IGNORECASE)


def _described(schema: Mapping[str, Any]) -> list[str]:
    """The required arguments with their descriptions."""
    told = {name: schema.get("properties", {}).get(name, {}) for name in schema.get("required", ())}
    return [f"{humanise(name)} {one.get('description', '')}" for name, one in told.items() if isinstance(one, Mapping)]


# Who asks for a person, and the tools that get one.
_PERSON = re.compile(
    r"\b(?:want|need|speak|speaking|talk|talking|chat|connect|transfer|hand|put|get|give|pass|real|actual|living|"
    r"möchte|will|brauche|sprechen|reden|verbind\w*|stell\w* .{0,20}durch|echte\w*|richtige\w*)\b.{0,50}"
    r"\b(?:humans?|persons?|somebody|someone|people|agent|representative|colleague|manager|staff|operator|advis[oe]r|"
    r"menschen?|mitarbeiter\w*|kolleg\w+|berater\w*|jemande?[mn]?)\b",
    re.IGNORECASE | re.DOTALL,
)
_HANDS_OVER = re.compile(
    r"\b(?:hand\w*|escalat\w*|transfer\w*|connect\w*|forward\w*|pass\w*|call\w*)\b.{0,60}"
    r"\b(?:human|person|people|agent|staff|representative|colleague|operator)\b",
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
