"""The two streaming formats, and the two whole ones, made from one `Generation`."""

import json
from collections.abc import AsyncIterator
from typing import Any

from . import responses, wire
from .generation import Generation


def frame(data: Any, event: str | None = None) -> bytes:
    """One server-sent event."""
    body = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {event}\n" if event else "").encode() + f"data: {body}\n\n".encode(errors="replace")


def _tool_calls(generation: Generation) -> list[dict[str, Any]]:
    """The calls as far as they were generated: a token limit may have cut the last, and left out those after it."""
    calls, left = [], generation.text
    for call in generation.reply.calls:
        if not left:
            break
        arguments, left = left[: len(call.arguments)], left[len(call.arguments) :]
        calls.append({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
    return calls


# chat completions


def chat_object(generation: Generation) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": generation.text, "refusal": None, "annotations": []}
    if generation.reply.calls:
        message |= {"content": None, "tool_calls": _tool_calls(generation)}
    return _chat(generation, "chat.completion") | {
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": generation.finish}],
        "usage": generation.usage,
    }


async def chat_stream(generation: Generation, include_usage: bool) -> AsyncIterator[bytes]:
    quirks = generation.occasion.dials.quirks

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        body = _chat(generation, "chat.completion.chunk") | {"choices": [choice]}
        return frame(body | ({"usage": None} if include_usage else {}))

    first = {"role": "assistant", "content": None if generation.reply.calls else ""}
    said_role = False
    place = _Place(generation)
    async for piece in generation.paced():
        if not said_role:
            yield chunk(first)
            said_role = True
            if "ping" in quirks:
                yield b": ping\n\n"
            if "empty_choices" in quirks:
                yield frame(_chat(generation, "chat.completion.chunk") | {"choices": []})
        if not generation.reply.calls:
            yield chunk({"content": piece})
            continue
        index, begins = place.of(piece)
        if begins:
            begun = generation.reply.calls[index]
            head = {"id": begun.id, "type": "function", "function": {"name": begun.name, "arguments": ""}}
            yield chunk({"tool_calls": [{"index": index} | head]})
        yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    if not said_role:
        yield chunk(first)
    yield chunk({}, generation.finish)
    if include_usage and "no_usage" not in quirks:
        yield frame(_chat(generation, "chat.completion.chunk") | {"choices": [], "usage": generation.usage})
    if "no_done" not in quirks:
        yield frame("[DONE]")


def _chat(generation: Generation, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{generation.id}",
        "object": kind,
        "created": wire.CREATED,
        "model": generation.model.name,
        "service_tier": "default",
        "system_fingerprint": wire.FINGERPRINT,
    }


class _Place:
    """Which tool call a piece belongs to, and whether it is that call's first."""

    def __init__(self, generation: Generation) -> None:
        self._lengths = [len(call.arguments) for call in generation.reply.calls]
        self._index, self._within = 0, 0

    def of(self, piece: str) -> tuple[int, bool]:
        if self._within >= self._lengths[self._index]:
            self._index, self._within = self._index + 1, 0
        begins, self._within = self._within == 0, self._within + len(piece)
        return self._index, begins


# responses


def responses_object(generation: Generation, status: str | None = None) -> dict[str, Any]:
    cut = generation.finish == "length"
    status = status or ("incomplete" if cut else "completed")
    done = status != "in_progress"
    return {
        "id": f"resp_{generation.id}",
        "object": "response",
        "created_at": wire.CREATED,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut and done else None,
        "instructions": None,
        "metadata": {},
        "model": generation.model.name,
        "output": _items(generation, "incomplete" if cut else "completed") if done else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": responses.responses_usage(generation.usage) if done else None,
    }


def _items(generation: Generation, status: str) -> list[dict[str, Any]]:
    if not generation.reply.calls:
        return [_message(generation, status, generation.text)]
    return [
        {
            "type": "function_call",
            "id": f"fc_{call['id']}",
            "call_id": call["id"],
            "name": call["function"]["name"],
            "arguments": call["function"]["arguments"],
            "status": status,
        }
        for call in _tool_calls(generation)
    ]


def _message(generation: Generation, status: str, text: str | None) -> dict[str, Any]:
    content = [] if text is None else [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": f"msg_{generation.id}", "type": "message", "status": status, "role": "assistant", "content": content}


async def responses_stream(generation: Generation) -> AsyncIterator[bytes]:
    number = -1

    def event(kind: str, **fields: Any) -> bytes:
        nonlocal number
        number += 1
        return frame({"type": kind, "sequence_number": number} | fields, event=kind)

    yield event("response.created", response=responses_object(generation, "in_progress"))
    yield event("response.in_progress", response=responses_object(generation, "in_progress"))
    parts = _call_events(generation, event) if generation.reply.calls else _text_events(generation, event)
    async for part in parts:
        yield part
    final = responses_object(generation)
    yield event(f"response.{final['status']}", response=final)


async def _text_events(generation: Generation, event: Any) -> AsyncIterator[bytes]:
    where = {"item_id": f"msg_{generation.id}", "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "text": "", "annotations": []}
    begun = False

    def begin() -> list[bytes]:
        item = _message(generation, "in_progress", None)
        return [
            event("response.output_item.added", output_index=0, item=item),
            event("response.content_part.added", part=empty, **where),
        ]

    async for piece in generation.paced():
        if not begun:
            begun = True
            for part in begin():
                yield part
        yield event("response.output_text.delta", delta=piece, logprobs=[], **where)
    if not begun:
        for part in begin():
            yield part
    yield event("response.output_text.done", text=generation.text, logprobs=[], **where)
    yield event("response.content_part.done", part=empty | {"text": generation.text}, **where)
    done = _items(generation, "incomplete" if generation.finish == "length" else "completed")[0]
    yield event("response.output_item.done", output_index=0, item=done)


async def _call_events(generation: Generation, event: Any) -> AsyncIterator[bytes]:
    place = _Place(generation)
    items = _items(generation, "incomplete" if generation.finish == "length" else "completed")

    def end(index: int) -> list[bytes]:
        item = items[index]
        where = {"item_id": item["id"], "output_index": index}
        return [
            event("response.function_call_arguments.done", arguments=item["arguments"], name=item["name"], **where),
            event("response.output_item.done", output_index=index, item=item),
        ]

    index = -1
    async for piece in generation.paced():
        now, begins = place.of(piece)
        if begins:
            for part in end(index) if index >= 0 else []:
                yield part
            index = now
            item = items[index] | {"arguments": "", "status": "in_progress"}
            yield event("response.output_item.added", output_index=index, item=item)
        where = {"item_id": items[index]["id"], "output_index": index}
        yield event("response.function_call_arguments.delta", delta=piece, **where)
    for part in end(index) if index >= 0 else []:
        yield part
