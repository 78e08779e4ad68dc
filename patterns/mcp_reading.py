"""What an MCP server says, read with care: the schemas and hints of its tools, its questions, its results."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import mcp_types as wire
import referencing
import referencing.exceptions
from jsonschema import Draft202012Validator, SchemaError
from jsonschema.validators import extend
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from . import schemas
from .errors import CallerError
from .tools import Effect, failed

# A pattern of somebody else can keep the whole process busy. The server checks it where it needs it.
Validator = extend(Draft202012Validator, {"pattern": lambda *_: None, "patternProperties": lambda *_: None})


def arguments_model(name: str, schema: Mapping[str, Any]) -> type[BaseModel]:
    """A model class that accepts what fits `schema` and keeps it as it is; its JSON schema is `schema`.

    References are followed within the schema only. Raises CallerError (`unfit_tool`) for what describes no object.
    """
    schema = dict(schema)
    try:
        Validator.check_schema(schema)
    except SchemaError as error:
        raise _unfit(name, error.message[:200]) from None
    if schema.get("type") != "object":
        raise _unfit(name, "it describes no object")
    if any(not reference.startswith("#") for reference in _references(schema)):
        raise _unfit(name, "it refers to another document")
    validator = Validator(schema, registry=referencing.Registry())

    class Arguments(BaseModel):
        model_config = ConfigDict(extra="allow")

        @model_validator(mode="before")
        @classmethod
        def fits(cls, value: Any) -> Any:
            try:
                wrong = next(validator.iter_errors(value), None)
            except (referencing.exceptions.Unresolvable, RecursionError):
                raise PydanticCustomError("schema", "The schema cannot be followed") from None
            if wrong is not None:
                path = "".join(f"{part}: " for part in wrong.absolute_path)
                raise PydanticCustomError("schema", "{what}", {"what": f"{path}{wrong.message[:200]}"})
            return value

        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            return schema

    Arguments.__name__ = Arguments.__qualname__ = name
    return Arguments


def is_strict(schema: Mapping[str, Any]) -> bool:
    """Whether a provider can enforce `schema` without asking for a value that may be left out."""
    return not any(schemas.problems(schema)) and not any(_optional(schema))


def _optional(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        fields = part.get("properties") or {}
        if isinstance(fields, Mapping):
            yield from (
                name
                for name, inner in fields.items()
                if name not in part.get("required", ()) and not (isinstance(inner, Mapping) and "default" in inner)
            )
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _optional(inner)


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        yield from (str(part[key]) for key in ("$ref", "$dynamicRef") if key in part)
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _references(inner)


def _unfit(name: str, why: str) -> CallerError:
    return CallerError(f"The schema of the remote tool {name!r} cannot be used: {why}.", "Mend it there.", "unfit_tool")


def effect_of(hints: wire.ToolAnnotations | None) -> Effect:
    if hints is not None and hints.read_only_hint:
        return "read"
    return "handoff" if hints is not None and hints.destructive_hint is False else "write"


def answer_to(asked: Any, approved: bool) -> wire.ElicitResult:
    """Our customer's yes, to a question that can be answered by it; a no to everything else that a server may ask."""
    params = asked.params if isinstance(asked, wire.ElicitRequest) else None
    if not approved or not isinstance(params, wire.ElicitRequestFormParams):
        return wire.ElicitResult(action="decline")
    fields = params.requested_schema.get("properties") or {}
    if len(fields) > 1 or any(one.get("type") != "boolean" for one in fields.values()):
        return wire.ElicitResult(action="decline")
    return wire.ElicitResult(action="accept", content=dict.fromkeys(fields, True))


def value_of(result: wire.CallToolResult) -> Any:
    """What the tool has returned: the structured value where there is one, else the text, read as JSON if it is."""
    value = result.structured_content
    if value is None:
        parts = [one.text if isinstance(one, wire.TextContent) else f"[{one.type} not shown]" for one in result.content]
        value = "\n".join(parts)
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    if result.is_error and not (isinstance(value, dict) and "error" in value):
        said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return failed("tool_failed", said, "Correct the arguments, or go on without it.")
    return value
