"""JSON schemas for every provider: what is let through keeps the strictest rules; what cannot is refused by name."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from patterns import schemas
from patterns.errors import CallerError
from patterns.structured_output import ChatAnswer
from patterns.triage import Triage

ALLOWED = {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "description"}
TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}


def broken_rules(schema: Any, path: str = "$", depth: int = 0) -> Iterator[str]:
    """OpenAI's rules for strict schemas, written down once more and without looking at `patterns.schemas`."""
    if not isinstance(schema, dict) or not schema:
        yield f"{path}: no schema"
        return
    if extra := schema.keys() - ALLOWED:
        yield f"{path}: {sorted(extra)}"
    kinds = [key for key in ("type", "enum", "const", "anyOf") if key in schema]
    if not kinds or schema.get("type", "string") not in TYPES:
        yield f"{path}: no type"
    if "anyOf" in schema and (path == "$" or not schema["anyOf"]):
        yield f"{path}: anyOf"
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            yield f"{path}: open"
        if not schema.get("properties") or sorted(schema["properties"]) != sorted(schema.get("required", ())):
            yield f"{path}: not all required"
        if depth >= 5:
            yield f"{path}: too deep"
        for name, inner in schema.get("properties", {}).items():
            yield from broken_rules(inner, f"{path}.{name}", depth + 1)
    if schema.get("type") == "array":
        yield from broken_rules(schema.get("items"), f"{path}[]", depth)
    for option in schema.get("anyOf", ()):
        yield from broken_rules(option, f"{path}|", depth)
    if path == "$" and schema.get("type") != "object":
        yield "$: the root is no object"


# models of all shapes, and a value's worth of limits that no provider is told about

words = st.text("abcdefghij", min_size=1, max_size=6)
plain = st.sampled_from(
    [
        str,
        int,
        float,
        bool,
        str | None,
        Literal["one", "two"],
        Literal["only"],
        Literal[1, 2, 3],
        Annotated[str, Field(min_length=1, max_length=9)],
        Annotated[int, Field(ge=0, lt=100, multiple_of=2)],
        Annotated[float, Field(gt=0, le=1, description="A share.")],
        Annotated[list[str], Field(min_length=1, max_length=3)],
    ]
)


def model_of(fields: dict[str, Any]) -> type[BaseModel]:
    """Fields named a... have a default: Pydantic does not call them required, a strict schema must."""
    given: Any = {f"{name}_": (kind | None, None) if name[0] == "a" else (kind, ...) for name, kind in fields.items()}
    return create_model("Made", **given)


def larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    model = st.dictionaries(words, inner, min_size=1, max_size=4).map(model_of)
    return st.one_of(
        model,
        inner.map(lambda kind: list[kind]),
        inner.map(lambda kind: kind | None),
        inner.map(lambda kind: Annotated[kind, Field(description="What it is.", title="Dropped")]),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
    )


models = st.dictionaries(words, st.recursive(plain, larger, max_leaves=8), min_size=1, max_size=5).map(model_of)


@settings(max_examples=150, deadline=None)
@given(models)
def test_every_schema_that_is_let_through_keeps_the_strict_rules(model: type[BaseModel]) -> None:
    try:
        schema = schemas.portable(model)
    except CallerError as error:
        assert error.code == "schema_not_portable" and "nested deeper" in error.message
        return
    assert not list(broken_rules(schema))


@pytest.mark.parametrize("model", [ChatAnswer, Triage])
def test_our_own_models_are_portable_and_keep_their_field_order(model: type[BaseModel]) -> None:
    wire = schemas.response_format(model)
    assert wire["type"] == "json_schema" and wire["json_schema"]["strict"] is True
    assert wire["json_schema"]["name"] == model.__name__
    schema = wire["json_schema"]["schema"]
    assert not list(broken_rules(schema))
    assert list(schema["properties"]) == schema["required"] == list(model.model_fields)
    assert schemas.response_format(model) is wire  # made once: it costs more than the call's other client work


def test_the_rules_in_this_file_find_what_pydantic_alone_gets_wrong() -> None:
    found = "; ".join(broken_rules(Triage.model_json_schema()))
    assert "maxLength" in found and "title" in found and "minimum" in found


# refused, by the path of what is wrong


class Leaf(BaseModel):
    value: int


class Free(BaseModel):
    names: list[dict[str, int]]


class Anything(BaseModel):
    inner: list[Any]


class Patterned(BaseModel):
    code: Annotated[str, Field(pattern=r"^\d+$")]


class Dated(BaseModel):
    days: list[date]


class Node(BaseModel):
    name: str
    children: list["Node"]


class Pair(BaseModel):
    both: tuple[int, str]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Nothing(BaseModel):
    pass


class Holder(BaseModel):
    leaf: Leaf
    bad: Open


class Root(BaseModel):
    l1: "L1"


class L1(BaseModel):
    l2: "L2"


class L2(BaseModel):
    l3: "L3"


class L3(BaseModel):
    l4: "L4"


class L4(BaseModel):
    l5: Leaf


@pytest.mark.parametrize(
    ("model", "path", "reason"),
    [
        (Free, "$.names[]", "free keys"),
        (Anything, "$.inner[]", "anything is allowed"),
        (Patterned, "$.code", "pattern is not supported"),
        (Dated, "$.days[]", "format is not supported"),
        (Node, "$.children[]", "contains itself"),
        (Pair, "$.both", "prefixItems"),
        (Holder, "$.bad", "free keys"),
        (Nothing, "$", "free keys"),
        (Root, "$.l1.l2.l3.l4.l5", "nested deeper"),
    ],
)
def test_what_some_provider_cannot_enforce_is_refused_by_name(model: type[BaseModel], path: str, reason: str) -> None:
    with pytest.raises(CallerError) as caught:
        schemas.response_format(model)
    assert caught.value.code == "schema_not_portable" and caught.value.next_step
    assert model.__name__ in caught.value.message
    assert f"{path}: " in caught.value.message and reason in caught.value.message


def test_all_that_is_wrong_is_told_at_once() -> None:
    class Both(BaseModel):
        code: Annotated[str, Field(pattern="x")]
        rest: dict[str, str]

    with pytest.raises(CallerError, match=r"\$\.code: .*\$\.rest: "):
        schemas.portable(Both)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "null"}]},
        {"type": ["object", "null"], "properties": {"a": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": ["string", "null"]}}},
        {"type": "object", "properties": {"a": {"not": {"type": "string"}}}},
        {"type": "object", "properties": {"a": {"allOf": [{"type": "string"}]}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/missing"}}},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
    ],
)
def test_schemas_from_elsewhere_are_held_to_the_same_rules(schema: dict[str, Any]) -> None:
    with pytest.raises(CallerError, match=r"\$"):
        schemas.strict(schema, "tool")


def test_a_field_may_have_the_name_of_a_keyword() -> None:
    class Odd(BaseModel):
        title: str
        default: int
        pattern: bool
        format: Literal["pdf", "html"]

    schema = schemas.portable(Odd)
    assert set(schema["properties"]) == set(schema["required"]) == {"title", "default", "pattern", "format"}
    assert not list(broken_rules(schema))


def test_a_tagged_union_stays_apart_by_its_constants() -> None:
    class Search(BaseModel):
        action: Literal["search"]
        query: str

    class Escalate(BaseModel):
        action: Literal["escalate"]
        team: Literal["billing", "hardware"]

    class Step(BaseModel):
        step: Annotated[Search | Escalate, Field(discriminator="action")]

    schema = schemas.portable(Step)
    assert not list(broken_rules(schema))
    options = schema["properties"]["step"]["anyOf"]
    assert [option["properties"]["action"]["const"] for option in options] == ["search", "escalate"]


def test_descriptions_of_a_shared_type_are_those_of_the_field() -> None:
    class Two(BaseModel):
        first: Annotated[Leaf, Field(description="The first one.")]
        second: Leaf

    fields = schemas.portable(Two)["properties"]
    assert fields["first"]["description"] == "The first one." and "description" not in fields["second"]


# what is not sent is checked all the same


@pytest.mark.parametrize(
    "change", [{"reasoning": "x" * 401}, {"confidence": 1.01}, {"confidence": -0.1}, {"category": "Shipping"}, {"x": 1}]
)
def test_limits_that_are_not_sent_hold_at_the_boundary(change: dict[str, Any]) -> None:
    good = {"reasoning": "r", "category": "other", "priority": "low", "confidence": 0.5, "response_template": None}
    wire = str(schemas.portable(Triage))
    assert not any(word in wire for word in ("maxLength", "maximum", "minimum"))
    Triage.model_validate(good)
    with pytest.raises(ValidationError):
        Triage.model_validate(good | change)
