"""Tool results as sentences: keys become words, dates readable, amounts carry their currency, the "
"field asked for comes first."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .documents import label
from .fields import MONEY, asked, asks
from .prompt import ToolResult
from .words import joined, language

FIELDS = 9
"""Fields told of one object."""
ROWS = 5
"""Objects told of one list."""

_MONTHS = {
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
           "December"),
    "de": ("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
           "Dezember"),
}  # fmt: skip
_TEXT = {
    "en": {
        "is": "is", "are": "are", "and": "and", "yes": "yes", "no": "no", "at": "at", "none": "nothing",
        "found": "I found", "more": "and {} more", "failed": "I could not do that with {tool}: {why}.",
        "empty": "I looked with {tool} and found nothing.",
    },
    "de": {
        "is": "ist", "are": "sind", "and": "und", "yes": "ja", "no": "nein", "at": "um", "none": "nichts",
        "found": "Ich fand", "more": "und {} weitere", "failed": "Das ging mit {tool} nicht: {why}.",
        "empty": "Ich habe mit {tool} gesucht und nichts gefunden.",
    },
}  # fmt: skip
_SUFFIX = re.compile(r"_(eur|usd|gbp|chf)$", re.IGNORECASE)
_NAMES = ("name", "title", "label", "subject", "reference", "number", "code", "id")
_ERRORS = ("message", "detail", "details", "reason", "hint", "error")


def recount(tool_results: Sequence[ToolResult], question: str) -> str:
    """What the tools found, told for the question: one or two sentences a result."""
    lang = language(question)
    return " ".join(_told(one, question, lang) for one in tool_results)


def failed(content: Any) -> bool:
    """Whether a tool result is an error, or nothing at all."""
    return content in (None, "", [], {}) or (isinstance(content, Mapping) and bool(content.get("error")))


def _told(result: ToolResult, question: str, lang: str) -> str:
    text, tool, content = _TEXT[lang], label(result.name) or "the tool", result.content
    if isinstance(content, Mapping) and content.get("error"):
        error = content["error"] if isinstance(content["error"], Mapping) else content
        why = next((str(error[key]) for key in _ERRORS if isinstance(error.get(key), str) and error[key]), "")
        return text["failed"].format(tool=tool, why=(why if " " in why else label(why)).rstrip(".!"))
    if content is None or content == "" or content == [] or content == {}:
        return text["empty"].format(tool=tool)
    if isinstance(content, str):
        return content if content.rstrip()[-1:] in ".!?" else f"{content}."
    if isinstance(content, list):
        return _rows(content, "", question, lang)
    if not isinstance(content, Mapping):
        return f"{_capital(tool)}: {_value(result.name, content, {}, lang)}."
    said = content.get("message")
    if isinstance(said, str) and " " in said:
        # What a tool says in words comes before the values that belong to it.
        rest = {key: value for key, value in content.items() if key != "message"}
        told = [said if said.rstrip()[-1:] in ".!?" else f"{said}.", _object(rest, question, lang) if rest else ""]
        return " ".join(filter(None, told))
    wrapped = {key: value for key, value in content.items() if isinstance(value, Mapping) and value}
    if wrapped and len(content) <= 2:
        # {"order": {…}} is told as the order that it holds.
        flat = {key: value for key, value in content.items() if key not in wrapped}
        told = [_object(value, question, lang) for value in wrapped.values()]
        return " ".join(one for one in [*told, _object(flat, question, lang) if flat else ""] if one)
    rows = [
        (key, value)
        for key, value in content.items()
        if isinstance(value, list) and value and isinstance(value[0], Mapping)
    ]
    flat = {key: value for key, value in content.items() if (key, value) not in rows}
    told = [_object(flat, question, lang, _noun(result.name))] if flat else []
    if asks(flat, question):
        rows = [(key, value) for key, value in rows if asked(key, value, question) >= 2 or asks(value[0], question)]
    told += [_rows(value, key, question, lang) for key, value in rows]
    return " ".join(one for one in told if one)


def _object(value: Mapping[str, Any], question: str, lang: str, noun: str = "") -> str:
    """An object as one sentence: what it is about, then its fields, the asked ones first. `noun`: what it is."""
    about = next((key for key in _NAMES if _scalar(value.get(key))), None) or next(
        (key for key in value if key.endswith(("_id", "_number", "_code")) and _scalar(value[key])), None
    )
    # The currency is told with the amounts, when there are any to tell it with.
    money = any(MONEY.search(key) and isinstance(item, int | float) for key, item in value.items())
    shown = [
        key for key, item in value.items() if key != about and item is not None and not (money and key == "currency")
    ]
    scored = {key: asked(key, value[key], question) for key in shown}
    order = sorted(shown, key=lambda key: -scored[key])
    if order and scored[order[0]] >= 2:
        order = [key for key in order if scored[key] >= 1][:4]
    fields = [
        f"{_name(key)} {_TEXT[lang][_be(value[key])]} {_value(key, value[key], value, lang)}" for key in order[:FIELDS]
    ]
    if about is None:
        return f"{_capital(joined(fields, _TEXT[lang]['and']))}." if fields else ""
    kind = noun if about == "id" and noun else label(about)
    subject = f"{_capital(kind)} {value[about]}" if about not in {"name", "title"} else str(value[about])
    return f"{subject}: {joined(fields, _TEXT[lang]['and'])}." if fields else f"{subject}."


def _noun(tool: str) -> str:
    """What a tool is about, when its name says so beside a verb: `order_lookup` is about an order."""
    left = [word for word in label(tool).split() if not _VERBS.fullmatch(word.lower())]
    return left[0] if len(left) == 1 else ""


_VERBS = re.compile(r"get|fetch|find|look|lookup|up|search|check|show|read|list|status|details?|info|by|id|the")


def _rows(rows: Sequence[Any], key: str, question: str, lang: str) -> str:
    text = _TEXT[lang]
    if not all(isinstance(row, Mapping) for row in rows):
        told = joined([str(_value(key, row, {}, lang)) for row in rows[:ROWS]], text["and"])
        return f"{_capital(label(key)) or text['found']}: {told}."
    told = " ".join(_object(row, question, lang) for row in rows[:ROWS])
    rest = f" ({text['more'].format(len(rows) - ROWS)}.)" if len(rows) > ROWS else ""
    count = f"{text['found']} {len(rows)}{' ' + label(key) if key else ''}: " if len(rows) > 1 else ""
    return f"{count}{told}{rest}"


def _scalar(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _be(value: Any) -> str:
    return "are" if isinstance(value, list) and len(value) > 1 else "is"


def _name(key: str) -> str:
    return label(_SUFFIX.sub("", key))


def _value(key: str, value: Any, beside: Mapping[str, Any], lang: str) -> str:
    text = _TEXT[lang]
    if isinstance(value, bool):
        return text["yes"] if value else text["no"]
    if isinstance(value, int | float):
        suffix = _SUFFIX.search(key)
        currency = suffix[1].upper() if suffix else str(beside.get("currency", "")) if MONEY.search(key) else ""
        if currency or (isinstance(value, float) and MONEY.search(key)):
            return f"{value:.2f} {currency}".strip()
        return str(value)
    if isinstance(value, str):
        return _date(value, lang) or (label(value) if re.fullmatch(r"[a-z]+(?:_[a-z]+)+", value) else value.rstrip("."))
    if isinstance(value, list):
        return joined([_value(key, item, {}, lang) for item in value[:ROWS]], text["and"]) or text["none"]
    if isinstance(value, Mapping):
        if name := next((value[one] for one in _NAMES[:4] if isinstance(value.get(one), str)), None):
            return str(name)
        return ", ".join(
            f"{_name(name)} {_value(name, item, value, lang)}"
            for name, item in value.items()
            if not isinstance(item, Mapping)
        )
    return json.dumps(value)


def _date(value: str, lang: str) -> str:
    found = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d:\d\d)(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", value)
    if not found or not 1 <= int(found[2]) <= 12:
        return ""
    dot = "." if lang == "de" else ""
    day = f"{int(found[3])}{dot} {_MONTHS[lang][int(found[2]) - 1]} {found[1]}"
    return f"{day} {_TEXT[lang]['at']} {found[4]}" if found[4] else day


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
