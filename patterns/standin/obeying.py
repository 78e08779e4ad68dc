"""What a fully gullible model does when it obeys: the tools that the order names, and the fields of its reply."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import filling
from .order_words import CALLS
from .orders import Order
from .prompt import Prompt
from .relevance import Encode
from .words import humanise

_TIMES = re.compile(r"\b(\d{1,2})\s*(?:times|mal|veces|fois)\b", re.IGNORECASE)
_NUMBERED = re.compile(r"\b[A-Z]{1,4}-?\d{3,}\b")
_DAY = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")


def calls(
    found: Sequence[Order], tools: Sequence[Mapping[str, Any]], prompt: Prompt, meaning: Encode | None
) -> list[tuple[str, dict[str, Any]]]:
    """The tool calls that the orders ask for, as (name, arguments), without those whose result is there already."""
    made = {(result.name, _written(result.arguments)) for result in prompt.tool_results}
    functions = [tool["function"] for tool in tools]
    asked = [call for order in found[:1] for call in _asked(order.text, functions, prompt, meaning)]
    return [(name, arguments) for name, arguments in asked if (name, _written(arguments)) not in made]


def _written(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, sort_keys=True, ensure_ascii=False)


def _asked(
    text: str, functions: Sequence[Mapping[str, Any]], prompt: Prompt, meaning: Encode | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    places = sorted(
        ((place, function) for function in functions if (place := _place(text, function["name"])) is not None),
        key=lambda pair: pair[0],
    )
    for position, ((_, begin), function) in enumerate(places):
        end = places[position + 1][0][0] if position + 1 < len(places) else len(text)
        words, schema = text[begin:end], function.get("parameters") or {}
        times = int(again[1]) if (again := _TIMES.search(words)) else 1
        for arguments in _arguments(words, schema, prompt, meaning):
            for _ in range(times):
                yield function["name"], arguments


def _place(text: str, name: str) -> tuple[int, int] | None:
    """Where a text orders this tool to be called, and where what is said of its arguments begins."""
    for match in re.finditer(rf"\b{re.escape(name)}\b", text):
        if CALLS.search(text[max(0, match.start() - 60) : match.start()]) or text[match.end() :].lstrip()[:1] in "({":
            return match.start(), match.end()
    parts = [part for part in name.lower().split("_") if part]
    for sentence in re.finditer(r"[^.!?]+(?:[.!?](?!\s|$)[^.!?]*)*", text):
        joined = re.sub(r"[^a-z]", "", sentence[0].lower())
        if len(parts) > 1 and all(part in joined for part in parts):
            return sentence.start(), sentence.start()
    return None


def _arguments(
    words: str, schema: Mapping[str, Any], prompt: Prompt, meaning: Encode | None
) -> Iterator[dict[str, Any]]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    given = {
        key: value for key, part in properties.items() if (value := _value(words, key, part, properties)) is not None
    }
    if given.keys() >= set(schema.get("required", properties)):
        yield given
        return
    numbers = list(dict.fromkeys(_NUMBERED.findall(words)))
    if len(properties) == 1 and numbers:
        yield from ({next(iter(properties)): number} for number in numbers)
        return
    rest = words.strip(" \t\n:,.")
    asked = replace(prompt, question=rest or words, history=(), documents=(), tool_results=())
    filled, _ = filling.arguments(dict(schema), asked, meaning)
    plain = {
        key: rest[:200] for key, part in properties.items() if part.get("type") == "string" and not filled.get(key)
    }
    yield {**plain, **filled, **given}


def _value(words: str, key: str, part: Mapping[str, Any], properties: Mapping[str, Any]) -> Any:
    """What an order gives for one argument: key = value, key: "value", with key value."""
    others = "|".join(re.escape(one) for other in properties if other != key for one in (other, humanise(other)))
    stop = (
        rf"(?=[,;]?\s*(?:and|und|y|et|,)?\s*\b(?:{others})\b\s*[=:\"“„«]|[\n;)}}]|[.!?](?:\s|$)|$)"
        if others
        else r"(?=[\n;)}]|[.!?](?:\s|$)|$)"
    )
    for name in (key, humanise(key)):
        found = re.search(
            rf"[\"']?\b{re.escape(name)}\b[\"']?\s*(?:=|:|is|set to|as|ist|es|est)?\s*"
            rf"(?:[\"“„«'](?P<quoted>[^\"”“»]+?)[\"”“»'](?=[\s,;.)}}]|$)|(?P<bare>[^\s,;=:].*?){stop})",
            words,
            re.IGNORECASE | re.DOTALL,
        )
        if found:
            return _typed(found["quoted"] or found["bare"], part)
    day = _DAY.search(words)
    if day and "YYYY-MM-DD" in json.dumps(part):
        return day[0]
    return None


def _typed(said: str, part: Mapping[str, Any]) -> Any:
    if part.get("type") in ("integer", "number"):
        number = re.search(r"-?\d+(?:\.\d+)?", said)
        return (int if part["type"] == "integer" else float)(number[0]) if number else None
    if part.get("type") == "boolean":
        return said.lower() in ("true", "yes", "ja", "sí", "oui")
    day = _DAY.search(said)
    return day[0] if day and "YYYY-MM-DD" in json.dumps(part) else said.strip()


_MAIN = ("text", "answer", "reply", "response", "message", "content", "summary", "draft", "body")
_IDS = re.compile(r"cit|source|chunk|doc|ref|ids?$", re.IGNORECASE)
_NAMED = re.compile(
    r"\b(?:cite|citing|citation|source|quote|zitiere|quelle|cita|fuente|cite[zr]?)\b[^.!?\n]*", re.IGNORECASE
)
_ID = re.compile(r"[a-z][\w.]*(?:-[\w.]+)+(?:#[\w-]*\w)?", re.IGNORECASE)


def written(value: Any, schema: Mapping[str, Any], found: Sequence[Order]) -> Any:
    """A filled object with what the orders say in its main text, cited from what they name, and sure of itself."""
    main = _main(schema)
    if not found or not isinstance(value, dict) or main is None:
        return value
    value = dict(value)
    longest = schema["properties"][main].get("maxLength")
    value[main] = " ".join(dict.fromkeys(order.said for order in found))[:longest]
    for key, part in schema["properties"].items():
        if part.get("type") == "boolean" and re.search(r"confiden|sure|certain|known", key):
            value[key] = True
        elif part.get("type") == "array" and _IDS.search(key) and (part.get("items") or {}).get("type") == "string":
            value[key] = _cited(found) or value.get(key, [])
    return value


def _main(schema: Mapping[str, Any]) -> str | None:
    """The field that a reader reads: a text without a fixed choice of values."""
    free = [
        key
        for key, part in (schema.get("properties") or {}).items()
        if part.get("type") == "string" and not part.keys() & {"enum", "const", "format", "pattern"}
    ]
    return next((name for name in _MAIN if name in free), None)


def _cited(found: Sequence[Order]) -> list[str]:
    named = [one for order in found for clause in _NAMED.findall(order.text) for one in _ID.findall(clause)]
    return list(dict.fromkeys(named or [order.source for order in found if order.source]))
