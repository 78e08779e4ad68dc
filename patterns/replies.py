"""What a chat model replies, read off the wire: whole or piece by piece, without the oddities of compatible servers."""

from typing import Any


class Fields(dict[str, Any]):
    """A JSON object that reads like the SDK's models: `reply.usage`, and None for what is not there."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name)


class Reply:
    """What a chat model has said so far, without the oddities of compatible servers."""

    def __init__(self) -> None:
        self.finish = ""
        self.calls: list[dict[str, str]] = []
        self._at: dict[int, dict[str, str]] = {}

    def message(self, response: Any) -> str:
        choice = response.choices[0]
        self.finish = choice.finish_reason or "stop"
        for call in choice.message.tool_calls or ():
            function = call.function
            self.calls.append({"id": call.id or "", "name": function.name, "arguments": function.arguments or ""})
        return choice.message.content or ""

    def chunk(self, chunk: Any) -> str:
        if not chunk.choices:  # a usage chunk, or an empty one that says nothing
            return ""
        choice = chunk.choices[0]
        self.finish = choice.finish_reason or self.finish
        if not choice.delta:
            return ""
        for call in choice.delta.tool_calls or ():
            self._piece(call)
        return choice.delta.content if isinstance(choice.delta.content, str) else ""

    def _piece(self, piece: Any) -> None:
        # Some servers send no index, and some give index 0 to every call: an id that is new begins a new call.
        index = piece.index if isinstance(piece.index, int) else max(len(self.calls) - 1, 0)
        call = self._at.get(index)
        if call is None or (piece.id and call["id"] and piece.id != call["id"]):
            call = self._at[index] = {"id": "", "name": "", "arguments": ""}
            self.calls.append(call)
        call["id"] = piece.id or call["id"]
        if piece.function:
            call["name"] += piece.function.name or ""
            call["arguments"] += piece.function.arguments or ""
