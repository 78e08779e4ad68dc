"""What comes in and goes out over the wire: OpenAI's request fields, response objects and error shape.

Requests are checked as a hosted API checks them: an unknown field, a wrong type or a value out of range is a 400 that
names the parameter. Response objects are plain dicts. Nothing in them depends on the clock, so that the same request
gives the same bytes, but for `cached_tokens` in its usage; what is unique to a request is its `x-request-id` header.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from . import seeing
from .api_error import APIError
from .catalogue import MODELS
from .schema_check import check_schema

CREATED = 1_767_225_600  # 2026-01-01T00:00:00Z, on every object: see the module docstring
FINGERPRINT = "fp_standin_1"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Function(Strict):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = None


class Tool(Strict):
    type: Literal["function"]
    function: Function


class JsonSchema(Strict):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class ResponseFormat(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Strict):
    include_usage: bool = False
    include_obfuscation: bool = False


def _stops(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Temperature = Annotated[float, Field(ge=0, le=2, strict=False)]
TokenLimit = Annotated[int, Field(ge=1)]


class ChatRequest(Strict):
    """`POST /v1/chat/completions`. Fields that change nothing here (such as `user`) are accepted all the same."""

    model: str
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    temperature: Temperature | None = None
    top_p: Annotated[float, Field(ge=0, le=1, strict=False)] | None = None
    seed: int | None = None
    max_tokens: TokenLimit | None = None
    max_completion_tokens: TokenLimit | None = None
    stop: Annotated[list[str] | None, BeforeValidator(_stops), Field(max_length=4)] = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None


CHANGES_NOTHING = {"stream", "stream_options", "user", "metadata", "store", "service_tier", "prompt_cache_key",
                   "safety_identifier"}  # fmt: skip


class CalledFunction(Strict):
    name: str
    arguments: str


class ToolCall(Strict):
    model_config = ConfigDict(extra="allow")  # SDKs send back what they were given, and add to it

    id: str
    type: Literal["function"]
    function: CalledFunction


class Message(Strict):
    """One chat message, for checking only; `content` is checked by hand, because its errors depend on the role."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Any = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class EmbeddingRequest(Strict):
    model: str
    input: Annotated[list[str], BeforeValidator(_stops), Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None


class ModerationRequest(Strict):
    model: str | None = None
    input: Annotated[list[str], BeforeValidator(_stops), Field(min_length=1)]


Checked = TypeVar("Checked", bound=BaseModel)


def parse(kind: type[Checked], body: Any) -> Checked:
    """Check a decoded JSON body. Raises APIError 400 that names the first wrong parameter."""
    if not isinstance(body, dict):
        raise APIError(400, "The request body must be a JSON object.")
    request = _validated(kind, body)
    if isinstance(request, ChatRequest):
        _check_chat(request)
    return request


def _validated(kind: type[Checked], value: Any, *where: str) -> Checked:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
    param = ".".join(map(str, (*where, *first["loc"])))
    if first["type"] == "missing":
        message, code = f"Missing required parameter: '{param}'.", "missing_required_parameter"
    elif first["type"] == "extra_forbidden":
        message, code = f"Unrecognized request argument supplied: {param}.", "unknown_parameter"
    else:
        message, code = f"Invalid value for '{param}': {first['msg']}.", "invalid_value"
    raise APIError(400, message, param=param, code=code)


def _check_chat(request: ChatRequest) -> None:
    _check_messages(request)
    names = [tool.function.name for tool in request.tools or []]
    if len(set(names)) < len(names):
        raise APIError(400, "Two tools have the same name.", param="tools")
    if request.tool_choice not in (None, "none", "auto") and not names:
        raise APIError(400, "'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if isinstance(request.tool_choice, dict):
        function = request.tool_choice.get("function")
        wanted = function.get("name") if isinstance(function, dict) else None
        if wanted not in names:
            message = f"'tool_choice' names the tool {wanted!r}, which is not in 'tools'."
            raise APIError(400, message, param="tool_choice")
    form = request.response_format
    if form and form.type == "json_schema" and form.json_schema is None:
        raise APIError(400, "Missing required parameter: 'response_format.json_schema'.", param="response_format")
    if form and form.json_schema:
        check_schema(form.json_schema.schema_, form.json_schema.strict is True, "response_format")
    for tool in request.tools or []:
        check_schema(tool.function.parameters, tool.function.strict is True, f"tools.{tool.function.name}")
    if form and form.type == "json_object" and "json" not in json.dumps(request.messages).lower():
        message = "'messages' must contain the word 'json' to use 'response_format' of type 'json_object'."
        raise APIError(400, message, param="messages")
    if request.stream_options and not request.stream:
        raise APIError(400, "'stream_options' is only allowed when 'stream' is true.", param="stream_options")


def _check_messages(request: ChatRequest) -> None:
    """Every message well formed, every tool call answered, and every answer to a call just before it."""
    asked: set[str] = set()  # the calls of the last assistant message
    waiting: set[str] = set()  # those of them that have no answer yet
    for position, raw in enumerate(request.messages):
        where = f"messages.{position}"
        message = _validated(Message, raw, where)
        _check_content(message, where, request.model)
        if message.role != "tool":
            _check_answered(waiting)
            waiting = {call.id for call in message.tool_calls or []} if message.role == "assistant" else set()
            asked = set(waiting)
        elif message.tool_call_id in asked:
            waiting.discard(message.tool_call_id)
        else:
            sentence = f"'{where}' has role 'tool' but answers no tool_call of the assistant message before it."
            raise APIError(400, sentence, param=where)
    _check_answered(waiting)


def _check_answered(waiting: set[str]) -> None:
    if waiting:
        raise APIError(
            400,
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. These have no response: {', '.join(sorted(waiting))}.",
            param="messages",
        )


def _check_content(message: Message, where: str, model: str) -> None:
    content, where = message.content, f"{where}.content"
    if content is None and not (message.role == "assistant" and message.tool_calls):
        raise APIError(400, f"Invalid value for '{where}': it may be null only beside tool_calls.", param=where)
    if content is not None and not isinstance(content, str | list):
        raise APIError(400, f"Invalid value for '{where}': give a string or a list of parts.", param=where)
    sees = message.role == "user" and model in MODELS and MODELS[model].sees
    for at, part in enumerate(content if isinstance(content, list) else []):
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        if sees and kind in ("image_url", "file"):
            seeing.check_part(part, f"{where}.{at}")
            continue
        if kind not in ("text", "refusal"):
            takes = "images in user messages only" if model in MODELS and MODELS[model].sees else "text parts only"
            sentence = f"The model '{model}' takes {takes}, not '{kind}'."
            raise APIError(400, sentence, param=where, code="unsupported_content")
        if not isinstance(part.get(kind), str):
            raise APIError(400, f"Invalid value for '{where}': a part has no '{kind}'.", param=where)


def digest(*parts: object) -> str:
    """24 hex digits that stand for `parts`: ids that are the same whenever the request is the same."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


def usage(prompt: int, completion: int, cached: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def has_images(request: ChatRequest) -> bool:
    parts = [part for one in request.messages if isinstance(one.get("content"), list) for part in one["content"]]
    return any(part.get("type") in ("image_url", "file") for part in parts)


def images(message: Mapping[str, Any]) -> list[seeing.Seen]:
    """The images of one message, once they are read."""
    content = message.get("content")
    return [part["seen"] for part in content if part.get("type") == "seen"] if isinstance(content, list) else []


def plain_text(message: dict[str, Any]) -> str:
    """The text of one chat message: its content, its parts, and the tool calls it makes."""
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "\n".join(part.get("text") or part.get("refusal") or "" for part in content)
    calls = [call.get("function") or {} for call in message.get("tool_calls") or [] if isinstance(call, dict)]
    return "\n".join([content, *(f"{call.get('name')}({call.get('arguments')})" for call in calls)]).strip()
