"""What a tool returns, as a model can be given it: JSON, and not too much of it."""

import json
from typing import Any

from pydantic_core import to_jsonable_python

RESULT_CHARACTERS = 4_000  # what a model is given of one result, about 1,000 tokens


def fitted(value: Any, limit: int = RESULT_CHARACTERS) -> Any:
    """`value` as JSON of at most `limit` characters; what was left out is counted and said.

    Raises ValueError or TypeError for what cannot be JSON, such as a list that contains itself.
    """
    value = to_jsonable_python(value, fallback=str, bytes_mode="base64")
    if value is None:
        return {"done": True}
    # Python's JSON has NaN, and its texts may hold half of a surrogate pair. Messages have neither.
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
    value = json.loads(text, parse_constant=str)
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= limit:
        return value
    return (_first_items(value, limit) if isinstance(value, list) else None) or _beginning(value, text, limit)


def _first_items(items: list[Any], limit: int) -> dict[str, Any] | None:
    kept: list[Any] = []
    fits: dict[str, Any] | None = None
    for item in items:
        kept.append(item)
        left = len(items) - len(kept)
        shown = {
            "items": kept[:],
            "omitted": left,
            "next_step": f"{left} more are not shown. Ask for something narrower.",
        }
        if len(json.dumps(shown, ensure_ascii=False)) > limit:
            break
        fits = shown
    return fits


def _beginning(value: Any, text: str, limit: int) -> dict[str, Any]:
    text = value if isinstance(value, str) else text
    room = limit
    while True:  # quotes and line breaks take more room in JSON than in the text
        shown = {
            "truncated": True,
            "text": text[:room],
            "total_characters": len(text),
            "next_step": "Only the beginning is shown. Ask for something narrower.",
        }
        over = len(json.dumps(shown, ensure_ascii=False)) - limit
        if over <= 0:
            return shown
        room -= -(-over // 6)  # a character takes six at most
