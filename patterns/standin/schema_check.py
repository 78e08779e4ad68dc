"""Whether a JSON schema is one, and keeps strict mode's rules where a request asks for them."""

import re
from typing import Any

from .api_error import APIError

# What a keyword's value must be, where a schema gives it.
_KEYWORDS: dict[type | tuple[type, ...], tuple[str, ...]] = {
    str: ("$ref", "title", "description", "format", "pattern"),
    (str, list): ("type",),
    dict: ("properties", "$defs", "definitions"),
    list: ("required", "enum", "anyOf", "allOf", "oneOf", "prefixItems", "examples"),
    (int, float): ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    int: ("minLength", "maxLength", "minItems", "maxItems"),
    (dict, bool): ("items", "additionalProperties"),
}
# What has to be written at least: a bound on the work that a schema can ask for.
_MOST = {"minLength": 10_000, "minItems": 500}
_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")


def check_schema(schema: dict[str, Any], strict: bool, param: str) -> None:
    """A JSON schema well formed all the way down, and in strict mode an object at the root."""
    if strict and schema.get("type") != "object":
        raise _schema_error(param, "schema must be a JSON Schema of 'type: \"object\"'")
    _check_part(schema, schema, strict, param)


def _check_part(schema: Any, root: dict[str, Any], strict: bool, param: str) -> None:
    """One schema of a schema. Strict mode has two rules: every object closed, every property required."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise _schema_error(param, f"{schema!r} is not a schema")
    for kinds, names in _KEYWORDS.items():
        for name in names:
            wrong = isinstance(schema.get(name), bool) and not (isinstance(kinds, tuple) and bool in kinds)
            if name in schema and (wrong or not isinstance(schema[name], kinds)):
                raise _schema_error(param, f"the value of '{name}' has the wrong type")
    types = schema.get("type", [])
    if unknown := [one for one in ([types] if isinstance(types, str) else types) if one not in _TYPES]:
        raise _schema_error(param, f"{unknown[0]!r} is not valid under any of the given schemas for 'type'")
    if schema.get("enum") == [] or schema.get("anyOf") == []:
        raise _schema_error(param, "'enum' and 'anyOf' must not be empty")
    if any(not isinstance(name, str) for name in schema.get("required", [])):
        raise _schema_error(param, "'required' is a list of names")
    for name, most in _MOST.items():
        if schema.get(name, 0) > most:
            raise _schema_error(param, f"'{name}' is at most {most}")
    if "pattern" in schema:
        try:
            re.compile(schema["pattern"])
        except re.error as error:
            raise _schema_error(param, f"{schema['pattern']!r} is not a regular expression here: {error}") from None
    if "$ref" in schema and not _resolves(schema["$ref"], root):
        raise _schema_error(param, f"reference {schema['$ref']!r} can't be resolved")
    if strict and (schema.get("type") == "object" or "properties" in schema):
        if schema.get("additionalProperties") is not False:
            raise _schema_error(param, "'additionalProperties' is required to be supplied and to be false")
        if missing := [name for name in schema.get("properties", {}) if name not in schema.get("required", [])]:
            raise _schema_error(param, f"'required' must list every property; {missing[0]!r} is missing")
    for name in ("properties", "$defs", "definitions"):
        for child in schema.get(name, {}).values():
            _check_part(child, root, strict, param)
    for name in ("anyOf", "allOf", "oneOf", "prefixItems"):
        for child in schema.get(name, []):
            _check_part(child, root, strict, param)
    if "items" in schema:
        _check_part(schema["items"], root, strict, param)


def _resolves(reference: str, root: Any) -> bool:
    at = root
    for step in reference.removeprefix("#").split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(at, dict) or step not in at:
            return False
        at = at[step]
    return reference.startswith("#") and isinstance(at, dict)


def _schema_error(param: str, reason: str) -> APIError:
    return APIError(400, f"Invalid schema for '{param}': {reason}.", param=param, code="invalid_json_schema")
