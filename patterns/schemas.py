"""JSON schemas that every provider of the ladder can enforce: a portable subset, made from Pydantic models.

Constrained decoding makes a model's reply fit a schema, but each provider supports another part of JSON Schema. What
all of them share: objects whose fields are all required and closed, arrays, strings, numbers, booleans, null, enum,
const, anyOf, and references that do not recurse. Limits (lengths, ranges) stay in the Pydantic model: they are checked
at the boundary, by `structured_output`, because a provider may not enforce them.
Sources: OpenAI, *Structured outputs: supported schemas*; llama.cpp, *GBNF guide*; Ollama, *Structured outputs* (2026).
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from .errors import CallerError

MAX_DEPTH = 5  # nested objects; OpenAI's documentation long named this limit, and small models lose the thread earlier
# Dropped on the wire, and checked at the boundary instead.
NOT_SENT = {
    "title", "default", "examples", "discriminator", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "uniqueItems",
}  # fmt: skip
PORTABLE = {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "description"}


@cache
def response_format(model: type[BaseModel]) -> dict[str, Any]:
    """The `response_format` for Chat Completions that makes a reply fit `model`.

    Raises CallerError (`schema_not_portable`) that names every part which some provider cannot enforce.
    """
    name = "".join(letter if letter.isalnum() else "_" for letter in model.__name__)[:64]
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": portable(model)}}


def portable(model: type[BaseModel]) -> dict[str, Any]:
    """The strict schema of `model` within the portable subset. Raises CallerError (`schema_not_portable`)."""
    return strict(model.model_json_schema(), model.__name__)


def strict(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`schema` with references resolved, objects closed and all fields required; `name` is for the error."""
    found = list(problems(schema))
    if found:
        raise CallerError(
            f"The schema of {name} is outside the portable subset: {'; '.join(found)}.",
            "Use closed objects, enums and plain types, and check the rest in a Pydantic validator.",
            "schema_not_portable",
        )
    return _strict(schema, schema.get("$defs", {}))


def problems(schema: Mapping[str, Any]) -> Iterator[str]:
    """What in a JSON schema is outside the portable subset, as "path: reason"."""
    yield from _problems(schema, schema.get("$defs", {}), "$", 0, ())
    if not isinstance(_resolved(schema, schema.get("$defs", {})).get("properties"), Mapping):
        yield "$: the root must be an object with named fields"


def _problems(part: Any, definitions: Mapping[str, Any], path: str, depth: int, seen: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(part, Mapping):
        yield f"{path}: anything is allowed here"
        return
    if ref := part.get("$ref"):
        if ref in seen:
            yield f"{path}: the schema contains itself"
            return
        yield from _problems(_resolved(part, definitions), definitions, path, depth, (*seen, ref))
        return
    for key in sorted(part.keys() - PORTABLE - NOT_SENT - {"$defs", "oneOf"}):
        yield f"{path}: {key} is not supported everywhere"
    if isinstance(part.get("type"), list):
        yield f"{path}: several types at once; use anyOf"
    if not part.keys() & {"type", "enum", "const", "anyOf", "oneOf"}:
        yield f"{path}: anything is allowed here"
    if part.get("type") == "object":
        if depth >= MAX_DEPTH:
            yield f"{path}: nested deeper than {MAX_DEPTH} objects"
            return
        if part.get("additionalProperties") or not part.get("properties"):
            yield f"{path}: an object with free keys; use a list of name and value"
    for key, inner in (part.get("properties") or {}).items():
        yield from _problems(inner, definitions, f"{path}.{key}", depth + 1, seen)
    if part.get("type") == "array":
        yield from _problems(part.get("items"), definitions, f"{path}[]", depth, seen)
    for option in (*part.get("anyOf", ()), *part.get("oneOf", ())):
        yield from _problems(option, definitions, path, depth, seen)


def _resolved(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    ref = part.get("$ref")
    if ref is None:
        return part
    target = definitions.get(str(ref).rsplit("/", 1)[-1], {})
    return {**target, **{key: value for key, value in part.items() if key != "$ref"}}


def _strict(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    part = _resolved(part, definitions)
    kept = {key: value for key, value in part.items() if key not in NOT_SENT and key not in ("$defs", "oneOf")}
    if options := part.get("anyOf") or part.get("oneOf"):  # a tagged union is told apart by its constants
        kept["anyOf"] = [_strict(option, definitions) for option in options]
    if "properties" in part:
        kept["properties"] = {name: _strict(inner, definitions) for name, inner in part["properties"].items()}
        kept["required"] = list(part["properties"])
        kept["additionalProperties"] = False
    if "items" in part:
        kept["items"] = _strict(part["items"], definitions)
    return kept
