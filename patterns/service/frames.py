"""An event as the bytes of a server-sent event.

    id: 7
    event: text_delta
    data: {"text": "..."}

The data is JSON in pure ASCII and so always one line: nothing that a model writes can end it and begin an event of its
own. A client gets what a customer may see. Arguments and results of tools stay inside; so does what an error says to
developers.
"""

import json
from json.encoder import encode_basestring_ascii
from typing import Any

from ..events import Answer, ConfirmationRequired, Event, Failed, Reset, Status, TextDelta, ToolCall, User
from .refusals import refusal


def frame(number: int, event: Event, user: User, sources: list[dict[str, str]]) -> bytes:
    """The bytes for a client; none for an event that no client sees. `sources` belong to an Answer."""
    if isinstance(event, TextDelta):  # nearly all of them are
        return f'id: {number}\nevent: text_delta\ndata: {{"text":{encode_basestring_ascii(event.text)}}}\n\n'.encode()
    if (told := shown(event, user, sources)) is None:
        return b""
    return f"id: {number}\nevent: {event.kind}\ndata: {json.dumps(told, separators=(',', ':'))}\n\n".encode()


def shown(event: Event, user: User, sources: list[dict[str, str]]) -> dict[str, Any] | None:
    """What a client is told of an event, or None."""
    match event:
        case TextDelta():
            return {"text": event.text}
        case Status():
            return {"phase": event.phase, "detail": event.detail, "idle_seconds": round(event.idle_seconds, 1)}
        case Reset():
            return {}
        case ToolCall():
            return {"name": event.name}
        case ConfirmationRequired():
            return {"token": event.token, "question": event.question}
        case Failed():
            refused = refusal(event, user)
            return {"status": refused.status, **refused.body}
        case Answer():
            told = event.model_dump(mode="json", exclude={"kind", "output", "cited_chunk_ids", "proposed_tool_call"})
            return {**told, "sources": sources}
        case _:
            return None
