"""What a model does wrong when its dials say so: broken JSON, values nobody gave, and calls that never end."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from . import shapes, tokens

# structured answers


def spoiled(text: str, dice: random.Random) -> str:
    """JSON that no parser takes as it is: cut short, fenced, or wrapped in prose."""
    return dice.choice((cut_short, _fenced, _in_prose))(text)


def cut_short(text: str) -> str:
    pieces = tokens.split(text)
    return "".join(pieces[: max(1, len(pieces) * 2 // 3)])


def _fenced(text: str) -> str:
    return f"```json\n{text}\n```"


def _in_prose(text: str) -> str:
    return f"Here is the JSON you asked for:\n\n{text}\n\nLet me know if you need anything else."


def with_invalid_enum(value: Any, schema: Any, root: dict[str, Any]) -> Any:
    """The same value with the first enum in it replaced by a word that the schema does not allow."""
    if isinstance(schema, dict) and "$ref" in schema:
        schema = root.get("$defs", root.get("definitions", {})).get(schema["$ref"].rsplit("/", 1)[-1], {})
    if not isinstance(schema, dict):
        return value
    if (allowed := schema.get("enum")) and isinstance(value, str):
        word = f"{value}_other"
        while word in allowed:
            word += "_other"
        return word
    for option in schema.get("anyOf", ()):
        if (changed := with_invalid_enum(value, option, root)) != value:
            return changed
    if isinstance(value, dict):
        for name, child in value.items():
            changed = with_invalid_enum(child, schema.get("properties", {}).get(name), root)
            if changed != child:
                return value | {name: changed}
    if isinstance(value, list):
        for at, child in enumerate(value):
            changed = with_invalid_enum(child, schema.get("items"), root)
            if changed != child:
                return [*value[:at], changed, *value[at + 1 :]]
    return value


def with_invented_citation(value: Any, invented: str) -> Any:
    """The same value with an id that nobody gave in its first list of ids."""
    if isinstance(value, dict):
        for name, child in value.items():
            if isinstance(child, list) and name.endswith(("_ids", "citations", "sources")):
                return value | {name: [*child, invented]}
    return value


# tool calls


def last_call(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """The name and the arguments, as text, of the last tool call in the conversation."""
    for message in reversed(messages):
        if calls := message.get("tool_calls"):
            function = calls[-1]["function"]
            return function["name"], function["arguments"]
    return None


def roamed(arguments: str, parameters: Mapping[str, Any]) -> str:
    """The same arguments with one a little different: the number at the end of a text, or a number, has grown.

    Texts of a fixed form (enum, const, format) stay. Arguments in which nothing can grow come back as they are.
    """
    try:
        values = json.loads(arguments)
    except ValueError:
        return arguments
    if not isinstance(values, dict):
        return arguments
    fields = {name: _field(name, parameters) for name in values}
    free = [name for name, field in fields.items() if not field.keys() & {"enum", "const", "format"}]
    texts = [name for name in free if isinstance(values[name], str)]
    numbers = [name for name in free if isinstance(values[name], int | float) and not isinstance(values[name], bool)]
    for name in texts or numbers:
        value = values[name]
        return json.dumps(
            values | {name: _counted_up(value) if isinstance(value, str) else value + 1}, ensure_ascii=False
        )
    return arguments


def _counted_up(text: str) -> str:
    """ "otter" → "otter 2", "T-09" → "T-10"."""
    stem, digits = re.fullmatch(r"(.*?)([0-9]*)", text, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess]
    digits = digits[-9:]
    return f"{text.removesuffix(digits)}{int(digits) + 1:0{len(digits)}}" if digits else f"{stem} 2"


def with_invented_argument(
    arguments: dict[str, Any], parameters: Mapping[str, Any], dice: random.Random
) -> dict[str, Any]:
    """The arguments with one that breaks the schema: a required one (if any) is missing, or one has the wrong type."""
    required = [name for name in parameters.get("required", ()) if name in arguments]
    if not (names := required or list(arguments)):
        return arguments
    name, leaves_out = dice.choice(names), dice.random() < 0.5
    wrong = _of_wrong_type(_field(name, parameters), parameters)
    if wrong is not None and not (required and leaves_out):
        return arguments | {name: wrong}
    return {one: value for one, value in arguments.items() if one != name} if required else arguments


def _field(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return shapes.resolved(parameters.get("properties", {}).get(name, {}), dict(parameters))


def _of_wrong_type(field: dict[str, Any], root: Mapping[str, Any]) -> Any:
    """A value of a JSON type that the field does not allow; None for a field that allows any."""
    branches = [*field.get("anyOf", ()), *field.get("oneOf", ())]
    options = [shapes.resolved(one, dict(root)) for one in branches] or [field]
    if not all(options):
        return None
    allowed = {kind for option in options for kind in shapes.types(option)}
    others: tuple[tuple[set[str], Any], ...] = (
        ({"number", "integer"}, 7),
        ({"string"}, "unknown"),
        ({"boolean"}, True),
        ({"object"}, {"value": "unknown"}),
        ({"array"}, ["unknown"]),
    )
    return next((value for kinds, value in others if not kinds & allowed), None)
