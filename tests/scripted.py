"""A provider that says what the test tells it to, on a real loopback socket: `patterns` meets it only over HTTP.

    from scripted import Cut, Refused, scripted

    async with scripted([("refund", {"order": "H-1"})], "Done.") as provider:
        end = await answer(handler, Turn("..."))       # the environment points to the scripted provider in here
    assert provider.requests == 2
    assert provider.bodies[1]["messages"][-1]["role"] == "tool"

Each argument is the reply to one request, in their order; the last one is given to all requests after it. A reply is

    "text"                              said word by word, finish "stop"
    ["text", ("name", arguments), ...]  tool calls, with text before them if any; `arguments` is a dict or a text (which
                                        may be broken JSON); a third item is the call's id (default: a unique one)
    Cut("text")                         text that ends at the token limit, finish "length"
    Refused(429, headers=...)           an HTTP error in OpenAI's shape
    Chunks(delta, ...)                  a stream of just these `choices[0]` objects, however odd
    Broken("text")                      text after which the connection drops
    {"data": ...}                       this JSON as it is: for /embeddings, /rerank and a `whole` chat completion
    function                            called with the request's body (a dict), returns any of the above

Chat completions answer streamed and whole, as the request asks. `provider.play(...)` gives a new script, and forgets
the requests so far. What a function raises comes up at the end of the block, so it may assert.
"""

import asyncio
import json
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from unittest.mock import patch

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from patterns import models
from patterns.standin.server import listen


@dataclass(frozen=True, slots=True)
class Cut:
    text: str


@dataclass(frozen=True, slots=True)
class Broken:
    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    status: int
    code: str | None = None
    message: str = "The scripted provider refuses."
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, init=False)
class Chunks:
    choices: tuple[dict[str, Any], ...]

    def __init__(self, *choices: dict[str, Any]) -> None:
        object.__setattr__(self, "choices", choices)


Call: TypeAlias = tuple[str, dict[str, Any] | str] | tuple[str, dict[str, Any] | str, str]
Said: TypeAlias = str | Sequence[str | Call] | Cut | Broken | Refused | Chunks | dict[str, Any]
Reply: TypeAlias = Said | Callable[[dict[str, Any]], Said]


class Scripted:
    """The provider while it runs. `bodies` are the requests' JSON bodies, `paths` their paths, both oldest first."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self.base_url = ""
        self.trouble: list[Exception] = []
        self._made = 0
        self.play(*replies)

    def play(self, *replies: Reply) -> None:
        if not replies:
            raise ValueError("A script has at least one reply.")
        self._replies = replies
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []

    @property
    def requests(self) -> int:
        return len(self.bodies)

    async def answer(self, request: Request) -> Response:
        try:
            body = await request.json()
        except ClientDisconnect:
            return Response()
        reply = self._replies[min(len(self.bodies), len(self._replies) - 1)]
        self.bodies.append(body)
        self.paths.append(request.url.path)
        self._made += 1
        try:
            said = reply if isinstance(reply, str | dict | Cut | Broken | Refused | Chunks | Sequence) else reply(body)
            return self._response(said, body)
        except Exception as error:
            self.trouble.append(error)
            return _error(Refused(500, message=f"the script failed: {error!r}"))

    def _response(self, said: Said, body: dict[str, Any]) -> Response:
        match said:
            case dict():
                return JSONResponse(said)
            case Refused():
                return _error(said)
            case _ if "messages" not in body:
                raise TypeError(f"only a chat completion can be answered with {said!r}")
            case Chunks():
                return _stream(said.choices, body, self._usage(body, ""))
        text, calls, finish = self._parts(said)
        broken = isinstance(said, Broken)
        if body.get("stream"):
            return _stream(_choices(text, calls, finish), body, self._usage(body, text), broken)
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "finish_reason": finish}
        frame = _frame("chat.completion", body, [choice]) | {"usage": self._usage(body, text)}
        return _Torn(json.dumps(frame)) if broken else JSONResponse(frame, headers={"x-request-id": "req_scripted"})

    def _parts(self, said: Any) -> tuple[str, list[dict[str, Any]], str]:
        match said:
            case str():
                return said, [], "stop"
            case Cut(text):
                return text, [], "length"
            case Broken(text):
                return text, [], "stop"
        calls: list[dict[str, Any]] = []
        for name, arguments, *given in (item for item in said if not isinstance(item, str)):
            written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            number = given[0] if given else f"call_{self._made}_{len(calls)}"
            calls.append({"id": number, "type": "function", "function": {"name": name, "arguments": written}})
        text = "".join(item for item in said if isinstance(item, str))
        return text, calls, "tool_calls" if calls else "stop"

    @staticmethod
    def _usage(body: dict[str, Any], text: str) -> dict[str, int]:
        read, written = len(json.dumps(body["messages"])) // 4, -(-len(text) // 4)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _error(refused: Refused) -> Response:
    error = {"message": refused.message, "type": "scripted", "param": None, "code": refused.code}
    return JSONResponse({"error": error}, refused.status, dict(refused.headers))


def _choices(text: str, calls: Sequence[dict[str, Any]], finish: str) -> list[dict[str, Any]]:
    """`choices[0]` of every chunk, as a hosted model sends them: words, calls with arguments in pieces, the finish."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in re.findall(r"\s*\S+|\s+$", text)]
    for index, call in enumerate(calls):
        written = call["function"]["arguments"]
        opening = call | {"index": index, "function": {"name": call["function"]["name"], "arguments": ""}}
        deltas.append({"tool_calls": [opening]})
        for at in range(0, len(written), 9):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": written[at : at + 9]}}]})
    return [{"index": 0, "delta": delta} for delta in deltas] + [{"index": 0, "delta": {}, "finish_reason": finish}]


def _frame(kind: str, body: dict[str, Any], choices: list[Any]) -> dict[str, Any]:
    model = body.get("model", "")
    return {"id": "chatcmpl-scripted", "object": kind, "created": 0, "model": model, "choices": choices}


def _stream(
    choices: Sequence[dict[str, Any]], body: dict[str, Any], usage: dict[str, int], broken: bool = False
) -> Response:
    async def events() -> AsyncIterator[str]:
        for choice in choices[:-1] if broken else choices:
            yield f"data: {json.dumps(_frame('chat.completion.chunk', body, [choice]))}\n\n"
        if broken:
            raise _Drop
        if (body.get("stream_options") or {}).get("include_usage"):
            yield f"data: {json.dumps(_frame('chat.completion.chunk', body, []) | {'usage': usage})}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers={"x-request-id": "req_scripted"})


class _Drop(Exception):
    """Makes uvicorn close the connection in the middle of a body."""


class _Torn(Response):
    """A body of which only the first half comes, before the connection drops."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        raise _Drop


@asynccontextmanager
async def scripted(*replies: Reply) -> AsyncIterator[Scripted]:
    """Start a scripted provider and point the environment to it; `replies` as in the docstring of this module."""
    script = Scripted(replies)
    listener = listen("127.0.0.1", 0)
    script.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    app = Starlette(routes=[Route("/v1/{path:path}", script.answer, methods=["POST"])])
    config = uvicorn.Config(app, lifespan="off", log_config=None, log_level=100, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        await asyncio.sleep(0.002)
    roles = {f"PATTERNS_MODEL_{tier.upper()}": f"scripted-{tier}" for tier in ("small", "large", "embed", "rerank")}
    address = {"PATTERNS_PROVIDER": "custom", "OPENAI_BASE_URL": script.base_url, "OPENAI_API_KEY": "scripted"}
    try:
        with patch.dict(os.environ, address | roles):
            try:
                yield script
            finally:
                await models.close()
    finally:
        server.should_exit = True
        await asyncio.to_thread(thread.join, 5)
    if script.trouble:
        raise script.trouble[0]
