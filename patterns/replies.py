"""What a chat model replies, read off the wire: whole or piece by piece, without the oddities of compatible servers.

Plain JSON objects, and not the SDK's classes: to make those takes longer than all of our layers together.
"""

from collections.abc import Mapping
from typing import Any

JSON = Mapping[str, Any]


class Reply:
    """What a chat model has said so far. `usage` is the provider's count, or None; `model` the name that it gives."""

    def __init__(self) -> None:
        self.finish = self.model = ""
        self.usage: Any = None
        self.calls: list[dict[str, str]] = []
        self._at: dict[int, dict[str, str]] = {}

    def message(self, response: JSON) -> str:
        """Read a whole reply. Returns its text."""
        self.usage, self.model = response.get("usage"), response.get("model") or ""
        choice = response["choices"][0]
        self.finish = choice.get("finish_reason") or "stop"
        message = choice["message"]
        for call in message.get("tool_calls") or ():
            function = call["function"]
            arguments = function.get("arguments") or ""
            self.calls.append({"id": call.get("id") or "", "name": function["name"], "arguments": arguments})
        return message.get("content") or ""

    def chunk(self, chunk: JSON) -> str:
        """Read one piece of a streamed reply. Returns its text, which may be empty."""
        self.usage = chunk.get("usage") or self.usage
        self.model = self.model or chunk.get("model") or ""
        if not (choices := chunk.get("choices")):  # a usage chunk, or an empty one that says nothing
            return ""
        choice = choices[0]
        self.finish = choice.get("finish_reason") or self.finish
        delta = choice.get("delta") or {}
        for call in delta.get("tool_calls") or ():
            self._piece(call)
        content = delta.get("content")
        return content if isinstance(content, str) else ""

    def _piece(self, piece: JSON) -> None:
        # Some servers send no index, and some give index 0 to every call: an id that is new begins a new call.
        index, sent_id = piece.get("index"), piece.get("id")
        if not isinstance(index, int):
            index = max(len(self.calls) - 1, 0)
        call = self._at.get(index)
        if call is None or (sent_id and call["id"] and sent_id != call["id"]):
            call = self._at[index] = {"id": "", "name": "", "arguments": ""}
            self.calls.append(call)
        call["id"] = sent_id or call["id"]
        function = piece.get("function") or {}
        call["name"] += function.get("name") or ""
        call["arguments"] += function.get("arguments") or ""
