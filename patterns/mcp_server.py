"""Our tools as an MCP server, for any client that speaks the Model Context Protocol.

    python -m patterns.mcp_server --customer C-0001                 over stdin and stdout
    python -m patterns.mcp_server --customer C-0001 --http 8765     over HTTP, on this machine only

A server process serves one authenticated customer: who it is stands on the command line, never in an argument that a
model fills. Over HTTP, a bearer token keeps other users of the machine out ($PATTERNS_MCP_TOKEN, or a random one that
is printed). Calls run as they do in the assistant (`tool_use.settle`): checked, with a timeout, cut, and written down.

A write asks the client's user first, by *elicitation*. Clients of protocol 2026-07-28 get the question as the result
of the call and repeat the call with the answer; older ones are asked in the middle of the call. A client that cannot
ask is answered with the error `confirmation_required`.
"""

import argparse
import asyncio
import hmac
import json
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import mcp_types as wire
import uvicorn
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.types import ASGIApp, Receive, Scope, Send

from . import acme, acme_tools, checkpoints, tool_use, tools
from .errors import CallerError, PatternsError
from .events import ConfirmationRequired, ToolCall, ToolResult, Turn, User
from .tools import Tool

CONFIRM = "confirm"
FORM = {
    "type": "object",
    "properties": {CONFIRM: {"type": "boolean", "title": "Yes, do it", "default": False}},
    "required": [CONFIRM],
}
HINTS = {
    "read": wire.ToolAnnotations(read_only_hint=True, open_world_hint=False),
    "handoff": wire.ToolAnnotations(
        read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
    ),
    "write": wire.ToolAnnotations(
        read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=False
    ),
}


def server(available: Sequence[Tool], user: User) -> Server:
    """An MCP server that lets `user` call `available`."""

    async def list_tools(context: ServerRequestContext, params: Any) -> wire.ListToolsResult:
        return wire.ListToolsResult(tools=[_described(tool) for tool in available])

    async def call_tool(
        context: ServerRequestContext, params: wire.CallToolRequestParams
    ) -> wire.CallToolResult | wire.InputRequiredResult:
        return await _call(context, params, available, user)

    return Server("acme-tools", on_list_tools=list_tools, on_call_tool=call_tool)


def _described(tool: Tool) -> wire.Tool:
    schema = tool.arguments.model_json_schema()
    return wire.Tool(name=tool.name, description=tool.description, input_schema=schema, annotations=HINTS[tool.effect])


async def _call(
    context: ServerRequestContext, params: wire.CallToolRequestParams, available: Sequence[Tool], user: User
) -> wire.CallToolResult | wire.InputRequiredResult:
    asked = ToolCall("call", params.name, params.arguments or {})
    turn = Turn("", user, feature="mcp")
    turn = replace(turn, exchange=(tool_use.as_message([asked], turn),))
    try:
        if params.request_state is None:
            event = await _settled(turn, available)
            if isinstance(event, ToolResult):
                return _result(event.result)
            if not _can_ask(context):
                return _result(_unconfirmed("This client cannot ask its user.", event.question))
            if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
                question = wire.ElicitRequest(
                    params=wire.ElicitRequestFormParams(message=event.question, requested_schema=FORM)
                )
                return wire.InputRequiredResult(input_requests={CONFIRM: question}, request_state=event.token)
            token = event.token
            answer = await context.session.elicit_form(event.question, FORM, context.request_id)
        else:
            token, answer = params.request_state, (params.input_responses or {}).get(CONFIRM)
        return _result(await _answered(token, answer, asked, available, user))
    except MCPError as error:
        return _result(_unconfirmed(f"The user could not be asked: {error.message}", ""))
    except PatternsError as error:
        return _result(tools.failed(error.code, error.message, error.next_step))


async def _settled(turn: Turn, available: Sequence[Tool]) -> ToolResult | ConfirmationRequired:
    settled = await tool_use.settle(turn, available, most=1)
    checkpoints.default().save(turn, "waiting" if settled.waits else "ended")
    (event,) = settled.events
    assert isinstance(event, ToolResult | ConfirmationRequired)
    return event


async def _answered(token: str, answer: Any, asked: ToolCall, available: Sequence[Tool], user: User) -> Any:
    """What comes of a call after its user has been asked. What runs is what was asked about, as it was written down."""
    if not isinstance(answer, wire.ElicitResult) or answer.action == "cancel":
        return _unconfirmed("The user has not decided.", "")
    approved = answer.action == "accept" and (answer.content or {}).get(CONFIRM) is True
    book = checkpoints.default()
    turn = book.load(book.decide(token, approved, user), user).turn
    call = tool_use.unanswered(turn.exchange)[0]["function"]
    if (call["name"], json.loads(call["arguments"])) != (asked.name, asked.arguments):
        return tools.failed("changed_call", "This is not the call that was confirmed.", "Call the tool anew.")
    event = await _settled(turn, available)
    return event.result if isinstance(event, ToolResult) else _unconfirmed("Nobody has confirmed it.", event.question)


def _unconfirmed(why: str, question: str) -> dict[str, str]:
    asking = f"Ask the user: {question}" if question else "Ask the user."
    return tools.failed("confirmation_required", why, f"{asking} Then call again with a client that can ask.")


def _can_ask(context: ServerRequestContext) -> bool:
    declared = context.session.client_capabilities
    asking = declared.elicitation if declared else None
    return asking is not None and (asking.form is not None or asking.url is None)


def _result(value: Any) -> wire.CallToolResult:
    text = json.dumps(value, ensure_ascii=False)
    return wire.CallToolResult(
        content=[wire.TextContent(text=text)],
        structured_content=value if isinstance(value, dict) else None,  # before 2026-07-28 it must be an object
        is_error=isinstance(value, dict) and "error" in value,
    )


# serving


def guarded(app: ASGIApp, token: str) -> ASGIApp:
    """`app` for those who send `Authorization: Bearer <token>`; 401 for everybody else."""
    expected = f"Bearer {token}".encode()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] != "http" or hmac.compare_digest(given, expected):
            await app(scope, receive, send)
            return
        headers = [(b"content-type", b"text/plain"), (b"www-authenticate", b"Bearer")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b"The bearer token is missing or wrong."})

    return answer


async def _over_stdio(served: Server) -> None:
    async with stdio_server() as (incoming, outgoing):
        await served.run(incoming, outgoing, served.create_initialization_options())


async def _over_http(served: Server, port: int) -> None:
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise CallerError(f"Port {port} cannot be used: {error}.", "Name another one.", "bad_request") from None
    given = os.environ.get("PATTERNS_MCP_TOKEN")
    token = given or secrets.token_urlsafe(24)
    print(f"Serving at http://127.0.0.1:{listener.getsockname()[1]}/mcp")
    print("The token is that of $PATTERNS_MCP_TOKEN." if given else f"Token: {token}", flush=True)
    app = guarded(served.streamable_http_app(), token)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    await uvicorn.Server(config).serve(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve Acme's tools over MCP.")
    parser.add_argument("--customer", required=True, help="the customer whom this server serves, such as C-0001")
    parser.add_argument("--http", type=int, metavar="PORT", help="serve over HTTP on this port (0: any free one)")
    chosen = parser.parse_args()
    try:
        served = server(acme_tools.TOOLS, acme.user(chosen.customer))
        asyncio.run(_over_stdio(served) if chosen.http is None else _over_http(served, chosen.http))
    except PatternsError as error:
        sys.exit(f"{error.message} {error.next_step}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
