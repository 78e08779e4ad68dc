"""Making a value fit a JSON schema: resolving references, merging `allOf`, limits of strings and "
"numbers, strings for a pattern."""

import json
import math
import re
import string
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

Schema = Mapping[str, Any]
_LARGER = {"minimum", "exclusiveMinimum", "minLength", "minItems"}
_SMALLER = {"maximum", "exclusiveMaximum", "maxLength", "maxItems"}


def resolved(schema: Any, root: Schema) -> dict[str, Any]:
    """The schema with its `$ref` followed and its `allOf` merged in; `True` is the empty schema."""
    if not isinstance(schema, Mapping):
        return {}
    merged = {key: value for key, value in schema.items() if key not in {"$ref", "allOf"}}
    if "$ref" in schema:
        merged = _merged(resolved(_target(str(schema["$ref"]), root), root), merged)
    for part in schema.get("allOf", ()):
        merged = _merged(merged, resolved(part, root))
    return merged


def _target(ref: str, root: Schema) -> Any:
    node: Any = root
    for part in ref.lstrip("#").strip("/").split("/"):
        if part:
            node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def _merged(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    for key, value in two.items():
        if key not in merged:
            merged[key] = value
        elif key == "properties":
            same = {name: {"allOf": [merged[key][name], value[name]]} for name in merged[key] if name in value}
            merged[key] = {**merged[key], **value, **same}
        elif key == "required":
            merged[key] = [*merged[key], *(name for name in value if name not in merged[key])]
        elif key == "enum":
            merged[key] = [item for item in merged[key] if item in value]
        elif key in _LARGER:
            merged[key] = max(merged[key], value)
        elif key in _SMALLER:
            merged[key] = min(merged[key], value)
        else:
            merged[key] = value
    return merged


def types(schema: Schema) -> list[str]:
    """The JSON types that a resolved schema allows, as it names them or as its keywords imply."""
    named = schema.get("type")
    if isinstance(named, str):
        return [named]
    if isinstance(named, list) and named:  # an empty list says nothing
        return [str(one) for one in named]
    for keys, implied in (
        (("properties", "required", "additionalProperties"), "object"),
        (("items", "minItems", "maxItems", "prefixItems"), "array"),
        (("minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"), "number"),
    ):
        if any(key in schema for key in keys):
            return [implied]
    return ["string"]


def number_in(value: float | None, schema: Schema, whole: bool) -> int | float:
    """The number closest to `value` (or to 0) that the schema allows."""
    step = schema.get("multipleOf")
    unit = Fraction(str(step)) if step else Fraction(1) if whole else None
    if unit and whole:
        unit = Fraction(unit.numerator)  # the smallest whole multiple of the step
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    least = max((Fraction(str(one)) for one in (low, above) if one is not None), default=None)
    most = min((Fraction(str(one)) for one in (high, below) if one is not None), default=None)
    wanted = Fraction(str(value)) if value is not None and math.isfinite(value) else Fraction(0)
    wanted = (
        min(max(wanted, least) if least is not None else wanted, most)
        if most is not None
        else max(wanted, least)
        if least is not None
        else wanted
    )
    shut = {Fraction(str(one)) for one in (above, below) if one is not None}
    if unit:
        number = round(wanted / unit) * unit
        number = math.ceil(least / unit) * unit if least is not None and number < least else number
        number = math.floor(most / unit) * unit if most is not None and number > most else number
        if number in shut:
            number += unit if above is not None and number == Fraction(str(above)) else -unit
    else:
        number = wanted
        if number in shut:
            room = (most - least) / 2 if least is not None and most is not None else Fraction(1)
            number += room if above is not None and number == Fraction(str(above)) else -room
    return int(number) if number.denominator == 1 and (whole or not isinstance(value, float)) else float(number)


def fits(text: str, schema: Schema) -> bool:
    """Whether a string keeps to the schema's length and pattern."""
    pattern = schema.get("pattern")
    return schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", math.inf) and (
        pattern is None or re.search(pattern, text) is not None
    )


_EXAMPLES = {
    "email": "nobody@example.com", "uri": "https://example.com/", "uuid": "00000000-0000-4000-8000-{:012x}",
    "date": "1970-01-01", "date-time": "1970-01-01T00:00:00Z", "time": "00:00:00Z",
    "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "hostname": "example.com", "duration": "P0D",
}  # fmt: skip
_FORMS = {
    "email": r"[^@\s]+@[^@\s]+\.[^@\s]+", "uri": r"[a-z][a-z\d+.-]*:\S+", "date": r"\d{4}-\d\d-\d\d",
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "uuid": r"[0-9a-f-]{36}", "time": r"\d\d:\d\d:\d\dZ",
}  # fmt: skip


def formatted(text: str, schema: Schema) -> bool:
    """Whether a string has the schema's format, as far as it is a known one."""
    form = schema.get("format")
    return form not in _EXAMPLES or (form in _FORMS and re.fullmatch(_FORMS[form], text, re.IGNORECASE) is not None)


def spare(schema: Schema, number: int = 0) -> str:
    """A string that says nothing and fits; another one for each `number` where the schema leaves room."""
    form = schema.get("format")
    if form in _EXAMPLES and "pattern" not in schema:
        return _EXAMPLES[form].format(number)
    least = int(schema.get("minLength", 0))
    if "pattern" in schema:
        text = built(schema["pattern"], least)
        return text if number == 0 else _varied(text, schema, number)
    return (str(number) if number else "").rjust(least, "-")[: int(schema.get("maxLength", 10**9))]


def _varied(text: str, schema: Schema, number: int) -> str:
    """The string with one of its last characters exchanged, still matching."""
    for at in range(len(text) - 1, -1, -1):
        for char in string.digits + string.ascii_letters:
            other = text[:at] + char + text[at + 1 :]
            if other != text and fits(other, schema):
                number -= 1
                if number == 0:
                    return other
    return text


def smallest(schema: Any, root: Schema, number: int = 0, depth: int = 0) -> Any:
    """A value that says nothing and fits; another one for each `number` where the schema leaves room.

    Raises `RecursionError` when a schema requires itself without end, which no value can satisfy.
    """
    whole = resolved(schema, root)
    if "const" in whole:
        return whole["const"]
    if whole.get("enum"):
        return whole["enum"][number % len(whole["enum"])]
    branches = whole.get("anyOf") or whole.get("oneOf")
    if branches:
        ordered = sorted(branches, key=lambda one: _ORDER.get(_kind(resolved(one, root)), 2))
        return smallest(ordered[0], root, number, depth + 1)
    match types(whole)[0] if "null" not in types(whole) else "null":
        case "object":
            known = whole.get("properties", {})
            extra = whole.get("additionalProperties", {})
            names = list(whole.get("required", ()))
            names += [f"item_{one}" for one in range(int(whole.get("minProperties", 0)) - len(names))]
            return {name: smallest(known.get(name, extra), root, number, depth + 1) for name in names}
        case "array":
            prefix = list(whole.get("prefixItems", ()))
            rest = [whole.get("items", {})] * int(whole.get("minItems", 0))
            parts = [*prefix, *rest][: max(len(prefix), len(rest))]
            return [smallest(part, root, number + at, depth + 1) for at, part in enumerate(parts)]
        case "boolean":
            return number % 2 == 1
        case "number" | "integer" as kind:
            step = float(whole.get("multipleOf", 1))
            first = whole.get("minimum", whole.get("exclusiveMinimum"))
            if first is None:
                first = min(0.0, float(whole.get("maximum", whole.get("exclusiveMaximum", 0))))
                step = -step
            return number_in(float(first) + number * step, whole, kind == "integer")
        case "null":
            return None
        case _:
            return spare(whole, number)


_ORDER = {"null": 0, "boolean": 1, "number": 1, "integer": 1, "string": 1, "array": 2, "object": 3}


def _kind(whole: Schema) -> str:
    value = whole["const"] if "const" in whole else whole["enum"][0] if whole.get("enum") else 0
    return "null" if value is None else "string" if value != 0 else types(whole)[0]


def built(pattern: str, least: int = 0) -> str:
    """A short string that a simple pattern matches: literals, classes, groups, alternatives and counts."""
    text, _ = _alternatives(pattern, 0, 0)
    if len(text) < least:
        text, _ = _alternatives(pattern, 0, least)
    return text


def _alternatives(pattern: str, at: int, more: int) -> tuple[str, int]:
    """The first alternative from `at` to the closing bracket or the end, and where that is."""
    text, at = _sequence(pattern, at, more)
    while at < len(pattern) and pattern[at] == "|":
        _, at = _sequence(pattern, at + 1, 0)
    return text, at


def _sequence(pattern: str, at: int, more: int) -> tuple[str, int]:
    said = ""
    while at < len(pattern) and pattern[at] not in "|)":
        char = pattern[at]
        if char in "^$":
            at += 1
            continue
        if char == "(":
            start = re.compile(r"\((?:\?:|\?P<\w+>)?").match(pattern, at)
            piece, at = _alternatives(pattern, start.end() if start else at + 1, 0)
            at += 1
        elif char == "[":
            piece, at = _class(pattern, at)
        elif char == "\\":
            piece, at = (
                {"d": "0", "w": "a", "s": " ", "b": "", "D": "a", "S": "a"}.get(pattern[at + 1], pattern[at + 1]),
                at + 2,
            )
        else:
            piece, at = "a" if char == "." else char, at + 1
        count = re.compile(r"\{(\d+)(,?)(\d*)\}\??|[*+?]\??").match(pattern, at)
        times = 1
        if count:
            at = count.end()
            least = int(count[1]) if count[1] is not None else int(count[0][0] == "+")
            most = (
                int(count[3])
                if count[3]
                else least
                if count[1] is not None and not count[2]
                else 1
                if count[0][0] == "?"
                else least + more
            )
            times = min(most, max(least, more))
        said += piece * times
    return said, at


def _class(pattern: str, at: int) -> tuple[str, int]:
    inside = re.compile(r"\[(\^?)((?:\\.|[^\]\\])+)\]").match(pattern, at)
    if not inside:
        return pattern[at], at + 1
    allowed = re.compile(inside[0])
    candidates = "a0A-_ .,@/" + "".join(chr(code) for code in range(33, 127)) + "äß "
    return next((char for char in candidates if allowed.fullmatch(char)), ""), inside.end()


def key(value: Any) -> str:
    """Equal for values that JSON Schema calls equal (1 and 1.0 are)."""
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value, sort_keys=True)
