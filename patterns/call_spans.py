"""The spans of model calls and of tools, in the words of OpenTelemetry's conventions for generative AI.

`booking.booked` opens one around every model call and `tools.run` one around every tool, whoever makes them. Their
parent is the layer or the tool that is at work. Where tracing is off, they do nothing.

What people, models and tools said is personal data, so no span holds it. With `true`, `span_only` or `span_and_event`
in OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT it does, with what `pii.scrubbed` finds taken out.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import genai_names as names

if TYPE_CHECKING:
    from opentelemetry.trace import Span
    from pydantic import BaseModel

    from .booking import Entry
    from .models import Provider, Tier

LONGEST = 20_000  # characters of one captured text


def end(span: "Span", outcome: str, failed: bool = False) -> None:
    """End a span, with how the work ended; an error's code is its status, its message stays out."""
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute(names.OUTCOME, outcome)
    if failed:
        span.set_attribute(names.ERROR, outcome)
        span.set_status(Status(StatusCode.ERROR))
    span.end()


# model calls


def call_begun(chosen: "Provider", model: "Tier", labels: Mapping[str, str], most_written: int) -> "Span | None":
    """The span of a call that is about to be made; None where tracing is off."""
    from . import tracing

    on = tracing.pipeline
    if on is None:
        return None
    from opentelemetry.trace import SpanKind

    operation, address = names.operation(model.name), urlsplit(chosen.base_url)
    attributes: dict[str, Any] = {
        names.OPERATION: operation,
        names.PROVIDER: chosen.name,
        names.REQUEST_MODEL: model.model,
        names.SERVER: address.hostname or "",
        names.PORT: address.port or (443 if address.scheme == "https" else 80),
        names.TIER: model.name,
        names.FEATURE: labels.get("feature", ""),
        names.TRACE: labels.get("trace_id", ""),
    }
    if most_written:
        attributes[names.REQUEST_MAX_TOKENS] = most_written
    trace = attributes[names.TRACE]
    number = tracing.otel_trace_id(trace) if trace else 0
    return on.begin(f"{operation} {model.model}", attributes, number, SpanKind.CLIENT)


def call_ended(span: "Span | None", outcome: str, entry: "Entry") -> None:
    """`outcome` is the ledger's word: done, aborted, or an error's code. Tokens and dollars are those of its row."""
    if span is None:
        return
    settled, reply = entry.settled, entry.reply
    attributes: dict[str, Any] = {
        names.INPUT_TOKENS: settled["input_tokens"],
        names.OUTPUT_TOKENS: settled["output_tokens"],
        names.CACHED_TOKENS: settled["cached_tokens"],
    }
    if settled["cost_usd"] is not None:
        attributes[names.COST] = settled["cost_usd"]
    if reply is not None:
        attributes[names.REQUEST_STREAM] = entry.streamed
        if entry.streamed and entry.first:
            attributes[names.FIRST_CHUNK] = entry.first
        if reply.finish:
            attributes[names.FINISH_REASONS] = (reply.finish,)
        if reply.model:
            attributes[names.RESPONSE_MODEL] = reply.model
        if content():
            said = {"role": "assistant", "content": "".join(entry.text), "tool_calls": reply.calls}
            attributes[names.INPUT_MESSAGES] = _messages(entry.asked)
            attributes[names.OUTPUT_MESSAGES] = _messages([said], reply.finish)
    span.set_attributes(attributes)
    end(span, outcome, failed=outcome not in ("done", "aborted"))


# tools


@contextmanager
def tool(name: str, arguments: "BaseModel", call_id: str = "") -> Iterator[Callable[[Any], Any]]:
    """The span of a tool while it runs, and what to hand its result through: an error in it is the span's status."""
    from . import tracing

    on = tracing.pipeline
    if on is None:
        yield lambda result: result
        return
    from opentelemetry.context import attach, get_current
    from opentelemetry.trace import set_span_in_context

    attributes = {names.OPERATION: "execute_tool", names.TOOL: name, names.TOOL_TYPE: "function"}
    if call_id:
        attributes[names.TOOL_CALL] = call_id
    span = on.begin(f"execute_tool {name}", attributes)
    if content():
        span.set_attribute(names.TOOL_ARGUMENTS, _scrubbed(arguments.model_dump_json()))
    outcome = ["aborted"]

    def ended(result: Any) -> Any:
        error = result.get("error") if isinstance(result, dict) else None
        outcome[0] = str(error or "done")
        if content():
            span.set_attribute(names.TOOL_RESULT, _scrubbed(json.dumps(result, ensure_ascii=False)))
        return result

    before = get_current()
    attach(set_span_in_context(span))
    try:
        yield ended
    finally:
        attach(before)
        end(span, outcome[0], failed=outcome[0] not in ("done", "aborted"))


# what was said


def content() -> bool:
    """Whether somebody asked for texts in spans."""
    return os.environ.get(names.CAPTURE, "").lower() in ("true", "span_only", "span_and_event")


def _messages(messages: Sequence[Mapping[str, Any]], finish: str = "") -> str:
    """Messages of Chat Completions in the form of the conventions: a role, and parts."""
    found = []
    for message in messages:
        said = message.get("content")
        texts = [said] if isinstance(said, str) else [part.get("text", "") for part in said or () if "text" in part]
        parts: list[dict[str, Any]] = [{"type": "text", "content": _scrubbed(text)} for text in texts if text]
        for call in message.get("tool_calls") or ():
            function = call.get("function", call)
            arguments = _scrubbed(function["arguments"])
            parts.append({"type": "tool_call", "id": call.get("id"), "name": function["name"], "arguments": arguments})
        if message["role"] == "tool":
            parts = [{"type": "tool_call_response", "id": message.get("tool_call_id"), "response": parts}]
        found.append({"role": message["role"], "parts": parts} | ({"finish_reason": finish} if finish else {}))
    return json.dumps(found, ensure_ascii=False)


def _scrubbed(text: str) -> str:
    from .pii import scrubbed

    return scrubbed(text[:LONGEST])
