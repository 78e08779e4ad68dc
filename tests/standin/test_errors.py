"""Refusals in OpenAI's shape: what the SDK raises, which parameter is named; and no body breaks the server."""

import io
import logging
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standin_requests import FAST, LARGE, SEVERAL, SMALL, TOOLS, chat, schema_format, tool

from patterns.standin.server import Server


def refused(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """The error object of an answer, which must have the shape of all errors."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and error["type"]
    assert answer.headers["x-request-id"].startswith("req_")
    return error


# keys


def test_no_key_is_unauthorised(server: Server) -> None:
    for headers in ({}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Basic standin"}):
        answer = httpx2.post(f"{server.base_url}/chat/completions", json=chat(), headers=headers)
        assert refused(answer, 401)["code"] == "invalid_api_key"


def test_a_real_key_is_refused_and_appears_nowhere(
    server: Server, key: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, logger="patterns.standin")
    caplog.set_level(logging.DEBUG, logger="uvicorn")
    real = f"sk-{key}"
    for path in ("chat/completions", "embeddings"):
        answer = httpx2.post(
            f"{server.base_url}/{path}", json=chat(), headers={"authorization": f"Bearer {real}"}, timeout=30
        )
        assert refused(answer, 401)["code"] == "invalid_api_key"
        assert real not in answer.text
    with openai.OpenAI(base_url=server.base_url, api_key=real, max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as raised:
            client.chat.completions.create(**chat())
        assert real not in str(raised.value)
    assert not any(real in record.getMessage() for record in caplog.records if record.name != "openai")
    assert real not in "".join(capfd.readouterr())


# what the SDK raises


def test_the_sdk_raises_its_own_errors_with_the_request_id(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(**chat(model="standin-huge"))
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert missing.value.request_id
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("standin-huge")
    with pytest.raises(openai.BadRequestError, match="embedding model") as wrong:
        client.chat.completions.create(**chat(model="standin-embed"))
    assert wrong.value.param == "model"
    with pytest.raises(openai.BadRequestError, match="chat model"):
        client.embeddings.create(model=SMALL, input="An otter")


def test_a_prompt_beyond_the_context_is_refused(client: openai.OpenAI, http: httpx2.Client) -> None:
    long = "otter " * 17_000
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**chat(long))
    assert raised.value.code == "context_length_exceeded"
    assert raised.value.param == "messages"
    assert client.chat.completions.create(**chat(long, model=LARGE, max_tokens=1)).usage  # it fits there
    error = refused(http.post("/chat/completions", json=chat(max_tokens=16_384)), 400)
    assert error["code"] == "context_length_exceeded"
    streamed = refused(http.post("/chat/completions", json=chat(long, stream=True)), 400)
    assert streamed["code"] == "context_length_exceeded"


# which parameter is named

CALL = {"id": "call_1", "type": "function", "function": {"name": "feeding_time", "arguments": "{}"}}
USER = {"role": "user", "content": "Hello"}
ASKS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TELLS = {"role": "tool", "tool_call_id": "call_1", "content": "noon"}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"temprature": 1}, "temprature"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"seed": "seven"}, "seed"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": ["Hello"]}, "messages.0"),
        ({"messages": [USER, {"role": "wizard", "content": "Hello"}]}, "messages.1.role"),
        ({"messages": [{"content": "Hello"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages.0.content"),
        ({"messages": [USER, TELLS]}, "messages.1"),
        ({"messages": [USER, ASKS, TELLS | {"tool_call_id": "call_2"}]}, "messages.2"),
        ({"messages": [USER, ASKS, TELLS, USER, TELLS]}, "messages.4"),
        ({"messages": [USER, ASKS, USER]}, "messages"),
        ({"messages": [USER, ASKS]}, "messages"),
        ({"messages": [USER, ASKS | {"tool_calls": [{"id": "call_1"}]}]}, "messages.1.tool_calls.0.type"),
        ({"messages": [USER, ASKS | {"tool_calls": "call_1"}]}, "messages.1.tool_calls"),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"tools": [tool("not a name", "")]}, "tools.0.function.name"),
        ({"tools": [TOOLS[0], TOOLS[0]]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "swim"}}}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": "swim"}}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_object"}}, "messages"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
)
def test_a_wrong_parameter_is_named(http: httpx2.Client, change: dict[str, Any], param: str) -> None:
    error = refused(http.post("/chat/completions", json=chat("Hello", "Be kind.") | change), 400)
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"


def test_a_call_and_its_answer_are_accepted(http: httpx2.Client) -> None:
    assert http.post("/chat/completions", json=chat(messages=[USER, ASKS, TELLS, USER])).status_code == 200


@pytest.mark.parametrize("name", ["model", "messages"])
def test_a_missing_parameter_is_named(http: httpx2.Client, name: str) -> None:
    body = chat()
    del body[name]
    error = refused(http.post("/chat/completions", json=body), 400)
    assert (error["param"], error["code"]) == (name, "missing_required_parameter")


OPEN = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CLOSED = OPEN | {"additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (OPEN, "additionalProperties"),
        (CLOSED | {"required": []}, "'a' is missing"),
        (CLOSED | {"properties": {"a": OPEN}}, "additionalProperties"),
        (CLOSED | {"properties": {"a": {"type": "array", "items": OPEN}}}, "additionalProperties"),
        (CLOSED | {"properties": {"a": {"anyOf": [{"type": "null"}, OPEN]}}}, "additionalProperties"),
        (CLOSED | {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": OPEN}}, "additionalProperties"),
        (CLOSED | {"properties": {"a": {"$ref": "#/$defs/B"}}, "$defs": {"A": CLOSED}}, "can't be resolved"),
        ({"type": "array", "items": CLOSED}, "object"),
    ],
)
def test_strict_schemas_keep_the_strict_rules(http: httpx2.Client, schema: dict[str, Any], reason: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "form", "strict": True, "schema": schema}}
    error = refused(http.post("/chat/completions", json=chat(response_format=form)), 400)
    assert error["code"] == "invalid_json_schema" and error["param"] == "response_format"
    assert reason in error["message"]
    strict_tool = {"type": "function", "function": {"name": "swim", "strict": True, "parameters": schema}}
    error = refused(http.post("/chat/completions", json=chat(tools=[strict_tool])), 400)
    assert error["code"] == "invalid_json_schema" and "swim" in error["param"]
    if "resolved" not in reason:
        form["json_schema"]["strict"] = False
        assert http.post("/chat/completions", json=chat(response_format=form)).status_code == 200


@pytest.mark.parametrize(
    "part",
    [
        5,
        {"type": "text"},
        {"type": 5},
        {"properties": []},
        {"properties": {"a": "string"}},
        {"enum": []},
        {"type": "string", "pattern": "^\\p{L}+$"},
        {"type": "string", "pattern": "(("},
        {"type": "string", "minLength": 5_000_000},
        {"type": "array", "minItems": 200_000},
        {"enum": "a"},
        {"required": "a"},
        {"required": [1]},
        {"items": [1]},
        {"anyOf": {}},
        {"minimum": "1"},
        {"maxItems": True},
        {"description": 5},
    ],
)
def test_a_malformed_schema_is_refused(http: httpx2.Client, part: Any) -> None:
    error = refused(http.post("/chat/completions", json=chat(response_format=schema_format({"a": part}))), 400)
    assert error["code"] == "invalid_json_schema"


# bodies, addresses and methods


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"model": NaN}', b"\xff\xfe", b"[]", b"null", b'"text"', b"[" * 100_000]
)
def test_what_is_not_a_json_object_is_refused(http: httpx2.Client, content: bytes) -> None:
    for path in ("/chat/completions", "/responses", "/embeddings", "/moderations"):
        refused(http.post(path, content=content), 400)


def test_a_body_that_is_too_large_is_refused_however_it_is_sent(http: httpx2.Client) -> None:
    block = b" " * 2**20
    for path in ("/chat/completions", "/audio/transcriptions"):
        boundary = {"content-type": "multipart/form-data; boundary=x"} if "audio" in path else {}
        start = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n' if boundary else b""
        for content in (start + block * 33, iter([start, *[block] * 33])):  # with a length, and in chunks
            refused(http.post(path, content=content, headers=boundary), 413)
    assert http.get("/models").status_code == 200


def test_unknown_addresses_and_wrong_methods(http: httpx2.Client, server: Server) -> None:
    assert refused(http.get("/unicorns"), 404)["code"] == "unknown_url"
    assert refused(http.post(server.base_url.removesuffix("/v1") + "/"), 404)["code"] == "unknown_url"
    wrong = http.get("/chat/completions")
    refused(wrong, 405)
    assert wrong.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("form", "files", "param"),
    [
        ({"model": "standin-transcribe"}, {}, "file"),
        ({}, {"file": b"RIFF"}, "model"),
        ({"model": "standin-transcribe"}, {"file": b"no sound at all"}, "file"),
        ({"model": "standin-transcribe", "response_format": "srt"}, {"file": b"RIFF"}, "response_format"),
        ({"model": SMALL}, {"file": b"RIFF"}, "model"),
    ],
)
def test_wrong_forms_are_refused(
    http: httpx2.Client, form: dict[str, str], files: dict[str, bytes], param: str
) -> None:
    answer = http.post("/audio/transcriptions", data=form, files={name: io.BytesIO(one) for name, one in files.items()})
    assert refused(answer, 400)["param"] == param


def test_a_torn_form_is_refused(http: httpx2.Client) -> None:
    torn = http.post(
        "/audio/transcriptions", content=b"--y", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert "URL" not in refused(torn, 400)["message"]


def test_embedding_inputs_are_checked(http: httpx2.Client) -> None:
    for wrong in ("", [], ["a", ""], [1, 2], None, ["a"] * 2_049):
        assert (
            "input" in refused(http.post("/embeddings", json={"model": "standin-embed", "input": wrong}), 400)["param"]
        )


def test_half_a_surrogate_pair_breaks_nothing(http: httpx2.Client) -> None:
    headers = {"content-type": "application/json"}
    for body in (
        b'{"model": "\\ud83e", "messages": [{"role": "user", "content": "a"}]}',
        b'{"model": "standin-small", "\\ud83e": 1, "messages": [{"role": "user", "content": "a"}]}',
    ):
        assert http.post("/chat/completions", content=body, headers=headers).status_code in (400, 404)
    echo = (
        b'{"model": "standin-large", "messages": [{"role": "user", "content": "<DOC id=1>otter \\ud83e</DOC> Otter?"}]}'
    )
    assert http.post("/chat/completions", content=echo, headers=headers).status_code == 200
    embed = b'{"model": "standin-embed", "input": "\\ud83e"}'
    assert http.post("/embeddings", content=embed, headers=headers).status_code == 200


# no body whatever is an error of the server

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = [USER, ASKS, TELLS, {"role": "user", "content": [{"type": "text", "text": SEVERAL}]}]
FORM = schema_format(
    {
        "kind": {"type": "string", "enum": ["otter", "seal"], "description": "Which animal"},
        "count": {"type": ["integer", "null"], "minimum": 1},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/Tag"}, "maxItems": 3},
        "when": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
    },
    **{"$defs": {"Tag": {"type": "string"}}},
)
VALID: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": chat(messages=MESSAGES, tools=TOOLS, tool_choice="none", response_format=FORM, stop=["x"]),
    "/v1/responses": {
        "model": SMALL,
        "input": [
            USER,
            {"type": "function_call", "call_id": "c", "name": "swim", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "wet"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": SEVERAL}]},
        ],
        "tools": [{"type": "function", **one["function"]} for one in TOOLS],
        "text": {"format": {"type": "json_schema", **FORM["json_schema"]}},
        "tool_choice": {"type": "function", "name": "feeding_time"},
    },
    "/v1/embeddings": {"model": "standin-embed", "input": ["a"], "encoding_format": "base64", "dimensions": 8},
    "/v1/moderations": {"model": "standin-moderate", "input": ["a"]},
    "/v1/audio/transcriptions": {"model": "standin-transcribe", "file": "a"},
    "/standin/dials": {"outage": ["a"], "quirks": ["ping"], "gullibility": 0.5, "cut_after": 3, "buffering": True},
}


def places(value: Any) -> list[tuple[str | int, ...]]:
    """The path of every value inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *[(name, *rest) for name, child in inside for rest in places(child)]]


def with_value(whole: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    pairs = dict(whole) if isinstance(whole, dict) else dict(enumerate(whole))
    pairs[place[0]] = with_value(pairs[place[0]], place[1:], value)
    return pairs if isinstance(whole, dict) else list(pairs.values())


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, Any]:
    """A POST endpoint and a body: a valid one with any JSON in the place of one or two of its values."""
    path = draw(st.sampled_from(list(VALID)))
    body: Any = VALID[path]
    for _ in range(draw(st.integers(1, 2))):
        body = with_value(body, draw(st.sampled_from(places(body))), draw(JSON))
    return path, body


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(requests())
def test_no_json_whatever_is_an_error_of_the_server(
    server: Server, http: httpx2.Client, request_: tuple[str, Any]
) -> None:
    path, body = request_
    root = server.base_url.removesuffix("/v1")
    answer = http.request("PUT" if path == "/standin/dials" else "POST", root + path, json=body)
    if answer.status_code != 200:
        refused(answer, answer.status_code)
    assert answer.status_code in (200, 400, 404), (path, body)
    if path == "/standin/dials":
        http.put(root + path, json=FAST)
