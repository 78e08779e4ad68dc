"""Every schema of the strict subset is filled so that it validates, and fields get what the text says."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patterns.standin import filling, reading
from patterns.standin.embedding import encode

TEXTS = (
    "",
    "Hello, I am Ada Brandt. I paid 84.50 EUR on 3 March 2026 for invoice INV-2031. Write to ada@example.org, please.",
    "The radiator in room 12 has been cold for two days. It is not urgent.",
    "Reserve 3 seats, a locker and a bicycle space on the 9:40 to Lindau. See https://rail.example/fares.",
    "Kann ich am 4. Mai um 10 Uhr kommen? Meine Nummer ist K-77.",
)
NAMES = (
    "reasoning",
    "answer",
    "loan_id",
    "amount",
    "due_date",
    "confident",
    "confidence",
    "tags",
    "name",
    "query",
    "rows",
    "x",
)
WORDS = ("low", "high", "billing", "renewal", "lost item", "other", "A-1", "")


def numbers(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    low = st.integers(-50, 50)
    return st.one_of(
        st.just({"type": kind}),
        low.map(lambda least: {"type": kind, "minimum": least, "maximum": least + 7}),
        low.map(lambda least: {"type": kind, "exclusiveMinimum": least, "exclusiveMaximum": least + 2}),
        st.sampled_from([1, 2, 5, 10, 0.5, 0.25]).map(lambda step: {"type": kind, "multipleOf": step}),
        st.tuples(low, st.sampled_from([2, 3, 5])).map(
            lambda both: {"type": kind, "minimum": both[0], "maximum": both[0] + 20, "multipleOf": both[1]}
        ),
    )


STRINGS = st.one_of(
    st.just({"type": "string"}),
    st.tuples(st.integers(0, 12), st.integers(0, 30)).map(
        lambda n: {"type": "string", "minLength": n[0], "maxLength": sum(n)}
    ),
    st.sampled_from(["date", "date-time", "email", "uri", "uuid", "time", "ipv4", "hostname", "duration"]).map(
        lambda form: {"type": "string", "format": form}
    ),
    st.sampled_from(
        [
            r"^[A-Z]{2,3}-\d{4}$",
            r"^\d{5}$",
            r"[a-f0-9]{8}",
            r"^(red|green)$",
            r"^@\w+$",
            r"^\+?\d{1,3}( \d{3}){2}$",
            r"^[^\s,]+$",
        ]
    ).map(lambda pattern: {"type": "string", "pattern": pattern}),
)
SCALARS = st.one_of(
    STRINGS,
    numbers("number"),
    numbers("integer"),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=6, unique=True).map(
        lambda values: {"type": "string", "enum": values}
    ),
    st.sampled_from(["search", 3, True]).map(lambda value: {"const": value}),
    st.sampled_from([["string", "null"], ["integer", "string"], ["number", "boolean", "null"]]).map(
        lambda kinds: {"type": kinds}
    ),
)


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    fields = st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
    return fields.map(
        lambda properties: {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    )


def deeper(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        objects(inner),
        st.tuples(inner, st.integers(0, 3), st.integers(0, 3)).map(
            lambda of: {"type": "array", "items": of[0], "minItems": of[1], "maxItems": of[1] + of[2]}
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
    )


@settings(max_examples=250, deadline=None)
@given(objects(st.recursive(SCALARS, deeper, max_leaves=8)), st.sampled_from(TEXTS), st.booleans())
def test_any_strict_schema_is_filled_so_that_it_validates(schema: dict[str, Any], text: str, pasted: bool) -> None:
    messages = [
        {"role": "user", "content": f'<DOC id="d1" title="Letter">{text}</DOC> What does it say?' if pasted else text}
    ]
    value = filling.fill(schema, reading.read(messages), None)
    jsonschema.validate(value, schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


@settings(max_examples=40, deadline=None)
@given(objects(st.recursive(SCALARS, deeper, max_leaves=6)), st.sampled_from(TEXTS))
def test_it_validates_with_meaning_too(schema: dict[str, Any], text: str) -> None:
    value = filling.fill(schema, reading.read([{"role": "user", "content": text}]), encode)
    jsonschema.validate(value, schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


LETTER = (
    "Hello, my name is Ada Brandt. I was charged 84.50 EUR twice on invoice INV-2031 for my visit on 3 March 2026. "
    "Please send the money back. My mail is ada@example.org."
)
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string", "description": "Why, in one sentence", "maxLength": 200},
        "department": {
            "type": "string",
            "enum": ["billing", "nursing", "appointments", "facilities"],
            "description": "billing: invoices and insurance; nursing: care on the ward; appointments: booking and "
            "moving visits; facilities: rooms, heating, parking",
        },
        "priority": {"type": "string", "enum": ["low", "medium", "high", "urgent"]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "invoice_number": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "Invoice, if any"},
        "amount": {"type": ["number", "null"], "description": "Amount in euros"},
        "visit_date": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        "patient_name": {"type": ["string", "null"]},
        "email": {"type": ["string", "null"], "format": "email"},
        "wants_refund": {"type": "boolean", "description": "The writer asks for money back"},
    },
}
FORM["required"] = list(FORM["properties"])


def read(text: str, system: str = "Sort letters to a hospital.") -> reading.Prompt:
    return reading.read([{"role": "system", "content": system}, {"role": "user", "content": text}])


def test_fields_get_what_the_letter_says() -> None:
    value = filling.fill(FORM, read(LETTER), encode)
    assert value["reasoning"] in LETTER
    assert (value["department"], value["priority"]) == ("billing", "high")
    assert value["confidence"] > 0.8
    assert (value["invoice_number"], value["amount"], value["visit_date"]) == ("INV-2031", 84.5, "2026-03-03")
    assert (value["patient_name"], value["email"], value["wants_refund"]) == ("Ada Brandt", "ada@example.org", True)


def test_what_is_not_said_is_null() -> None:
    value = filling.fill(FORM, read("Could I move my check-up to some other day? No hurry."), encode)
    assert (value["department"], value["priority"], value["wants_refund"]) == ("appointments", "low", False)
    assert {value[name] for name in ("invoice_number", "amount", "visit_date", "patient_name", "email")} == {None}


def test_a_receipt_becomes_rows_without_its_totals() -> None:
    row = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "quantity": {"type": "integer"}, "price": {"type": "number"}},
        "required": ["name", "quantity", "price"],
    }
    schema = {
        "type": "object",
        "properties": {
            "merchant": {"type": "string"},
            "items": {"type": "array", "items": row},
            "total": {"type": "number"},
        },
        "required": ["merchant", "items", "total"],
    }
    text = "Station Kiosk North\n2026-02-11\n2 x Sandwich 4.50 9.00\n1 x Tea 2.20 2.20\nSubtotal 11.20\nTotal EUR 11.20"
    assert filling.fill(schema, read(f"Read this receipt:\n\n{text}"), encode) == {
        "merchant": "Station Kiosk North",
        "items": [{"name": "Sandwich", "quantity": 2, "price": 4.5}, {"name": "Tea", "quantity": 1, "price": 2.2}],
        "total": 11.2,
    }


def test_examples_in_the_prompt_teach_labels_that_mean_nothing_by_themselves() -> None:
    schema = {"type": "object", "properties": {"queue": {"enum": ["Q1", "Q2"]}}, "required": ["queue"]}
    examples = "Text: The heating is broken. -> queue: Q1\nText: My invoice is wrong. -> queue: Q2"
    for text, queue in (("The radiator stays cold.", "Q1"), ("I was billed twice.", "Q2")):
        assert filling.fill(schema, read(text, f"Sort letters.\n{examples}"), encode) == {"queue": queue}


def test_a_union_follows_whether_the_documents_answer() -> None:
    answer = {
        "type": "object",
        "properties": {"kind": {"const": "answer"}, "text": {"type": "string"}},
        "required": ["kind", "text"],
    }
    search = {
        "type": "object",
        "properties": {"kind": {"const": "search"}, "query": {"type": "string"}},
        "required": ["kind", "query"],
    }
    schema = {"type": "object", "properties": {"action": {"anyOf": [answer, search]}}, "required": ["action"]}
    document = '<DOC id="d">The night train to Lindau leaves at ten from track 4.</DOC>'
    known = filling.fill(schema, read(f"{document}\nWhen does the night train to Lindau leave?"), encode)
    assert known == {"action": {"kind": "answer", "text": "The night train to Lindau leaves at ten from track 4."}}
    unknown = filling.fill(schema, read(f"{document}\nWho painted the station hall?"), encode)
    assert unknown["action"]["kind"] == "search"


def test_citations_are_the_documents_that_the_answer_rests_on() -> None:
    names = {
        "text": {"type": "string"},
        "cited_chunk_ids": {"type": "array", "items": {"type": "string"}},
        "confident": {"type": "boolean"},
    }
    schema = {"type": "object", "properties": names, "required": list(names)}
    documents = '<DOC id="a">Dogs ride free.</DOC><DOC id="b">A bicycle needs a ticket of its own.</DOC>'
    value = filling.fill(schema, read(f"{documents}\nDoes a bicycle need a ticket?"), encode)
    assert value == {"text": "A bicycle needs a ticket of its own.", "cited_chunk_ids": ["b"], "confident": True}
    value = filling.fill(schema, read(f"{documents}\nWho invented the telescope?"), encode)
    assert (value["cited_chunk_ids"], value["confident"]) == ([], False)


@pytest.mark.parametrize("optional", [True, False])
def test_a_schema_inside_itself_comes_to_an_end(optional: bool) -> None:
    inner: Any = (
        {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}
        if optional
        else {"type": "array", "items": {"$ref": "#/$defs/node"}}
    )
    node = {"type": "object", "properties": {"name": {"type": "string"}, "next": inner}, "required": ["name", "next"]}
    schema = {"$ref": "#/$defs/node", "$defs": {"node": node}}
    jsonschema.validate(filling.fill(schema, read(LETTER), encode), schema)
