"""`POST /v1/responses` as a second way to say what chat completions say."""

from typing import Annotated, Any, Literal

from pydantic import Field

from .wire import ChatRequest, Strict, Temperature, TokenLimit, parse


class ResponsesText(Strict):
    format: dict[str, Any] | None = None
    verbosity: str | None = None


class ResponsesRequest(Strict):
    """`POST /v1/responses`, the part of it that has a counterpart in chat completions."""

    model: str
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    stream: bool | None = None
    text: ResponsesText | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    temperature: Temperature | None = None
    top_p: Annotated[float, Field(ge=0, le=1, strict=False)] | None = None
    max_output_tokens: TokenLimit | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    user: str | None = None

    def to_chat(self) -> ChatRequest:
        """The same request as chat completions say it."""
        chat: dict[str, Any] = {"model": self.model, "messages": _chat_messages(self)}
        if self.text and self.text.format and self.text.format.get("type") == "json_schema":
            schema = {key: value for key, value in self.text.format.items() if key != "type"}
            chat["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self.text and self.text.format:
            chat["response_format"] = {"type": self.text.format.get("type")}
        if self.tools is not None:
            chat["tools"] = [
                {"type": tool.get("type"), "function": {k: v for k, v in tool.items() if k != "type"}}
                for tool in self.tools
            ]
        if isinstance(self.tool_choice, dict):
            chat["tool_choice"] = {"type": "function", "function": {"name": self.tool_choice.get("name")}}
        elif self.tool_choice is not None:
            chat["tool_choice"] = self.tool_choice
        same = {"stream", "parallel_tool_calls", "temperature", "top_p"}
        chat |= {name: getattr(self, name) for name in same if getattr(self, name) is not None}
        if self.max_output_tokens is not None:
            chat["max_completion_tokens"] = self.max_output_tokens
        return parse(ChatRequest, chat)


def _chat_messages(request: ResponsesRequest) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if request.instructions:
        messages.append({"role": "system", "content": request.instructions})
    items = [{"role": "user", "content": request.input}] if isinstance(request.input, str) else request.input
    for item in items:
        if item.get("type") == "function_call":
            call = {"name": item.get("name"), "arguments": item.get("arguments")}
            tool_call = {"id": item.get("call_id"), "type": "function", "function": call}
            before = messages[-1] if messages else {}
            if before.get("tool_calls"):  # calls in a row are parallel calls of one assistant message
                before["tool_calls"].append(tool_call)
            else:
                messages.append({"role": "assistant", "content": None, "tool_calls": [tool_call]})
        elif item.get("type") == "function_call_output":
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")})
        else:
            content = item.get("content")
            if isinstance(content, list):
                content = [_chat_part(part) for part in content]
            messages.append({"role": item.get("role", "user"), "content": content})
    return messages


def _chat_part(part: Any) -> Any:
    """One part of a message as chat completions say it."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("input_text", "output_text"):
        return {"type": "text", "text": part.get("text")}
    if kind == "input_image":
        image = {"url": part.get("image_url"), "detail": part.get("detail")}
        return {"type": "image_url", "image_url": image}
    if kind == "input_file":
        return {"type": "file", "file": {key: part.get(key) for key in ("file_data", "filename")}}
    return part


def responses_usage(chat: dict[str, Any]) -> dict[str, Any]:
    return {
        "input_tokens": chat["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": chat["prompt_tokens_details"]["cached_tokens"]},
        "output_tokens": chat["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": chat["total_tokens"],
    }
