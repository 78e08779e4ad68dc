"""The tools of an MCP server as tools of ours.

    async with mcp_tools([sys.executable, "-m", "patterns.mcp_server", "--customer", "C-0001"]) as remote:
        handler = use_tools((*TOOLS, *remote))(...)

What a server says of its tools is its word: the hints decide what needs a confirmation, and the descriptions go to
the model. Connect to servers that you trust, and put your own tools first: of two with one name, the first is used.
A tool without hints counts as a write. A write is confirmed on our side, by the customer and with all arguments in
sight; that yes then answers the server's own question about the same call, and nothing else that it may ask.
"""

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from typing import Any, TextIO

import httpx2
import mcp_types as wire
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from .errors import CallerError, PatternsError, ProviderError
from .mcp_reading import answer_to, arguments_model, effect_of, is_strict, value_of
from .tools import TIMEOUT, Effect, Tool, failed

CONNECT_SECONDS = 15.0  # starting an interpreter takes its time
CALL_SECONDS = TIMEOUT + 2.0  # the server's own patience, and the way there and back
CLOSE_SECONDS = 10.0  # a server that does not end by itself is killed before
DESCRIPTION = 1_000  # characters of a description that go to the model
MOST_PAGES = 10  # of a server's list of tools
MOST_QUESTIONS = 3  # that a server may ask about one call
PASSED_ON = ("PATTERNS_STATE", "PATTERNS_DATA")  # of our environment, to a server that we start. No keys.


@asynccontextmanager
async def mcp_tools(server: Sequence[str] | str, token: str = "") -> AsyncIterator[tuple[Tool, ...]]:
    """The tools of `server`: a command to start, or the URL of one that runs, with its bearer `token`.

    The server is there as long as the block. Raises ProviderError when it cannot be reached, is too slow, or speaks
    no MCP, CallerError when it refuses the token.
    """
    connection = _Connection(server, token)
    try:
        yield await connection.tools()
    finally:
        await connection.close()


class _Connection:
    """One connection, kept in a task of its own: what happens to it cannot cancel the code that uses the tools."""

    def __init__(self, server: Sequence[str] | str, token: str) -> None:
        self.name = server if isinstance(server, str) else " ".join(server)
        self._server, self._token = server, token
        self._client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._approved = self._garbage = False
        self._status = 0
        self._errors: TextIO | None = None
        self._last_words = ""
        self._task = asyncio.create_task(self._keep(), name="mcp")

    async def _keep(self) -> None:
        async with AsyncExitStack() as stack:
            transport = await self._transport(stack)
            client = Client(
                transport, elicitation_callback=self._asked_in_between, message_handler=self._message, cache=None
            )
            connected = await stack.enter_async_context(client)
            self._client.set_result(connected)
            await self._closing.wait()

    async def _transport(self, stack: AsyncExitStack) -> Any:
        if isinstance(self._server, str):
            http = httpx2.AsyncClient(
                headers={"Authorization": f"Bearer {self._token}"} if self._token else {},
                timeout=httpx2.Timeout(CONNECT_SECONDS, read=None),
                event_hooks={"response": [self._responded]},
                trust_env=False,
            )
            return streamable_http_client(self._server, http_client=await stack.enter_async_context(http))
        command, *arguments = self._server
        self._errors = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))  # noqa: SIM115  the stack closes it
        stack.callback(self._read_last_words)
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return stdio_client(StdioServerParameters(command=command, args=arguments, env=environment), self._errors)

    async def _responded(self, response: httpx2.Response) -> None:
        self._status = response.status_code

    async def _message(self, message: Any) -> None:
        self._garbage = self._garbage or isinstance(message, Exception)

    async def close(self) -> None:
        """End the connection, and the server where we started it."""
        self._closing.set()
        if self._client.done():
            await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()  # the calls have said it already

    # what the server offers

    async def tools(self) -> tuple[Tool, ...]:
        listing = asyncio.create_task(self._list())
        try:
            await asyncio.wait({listing, self._task}, timeout=CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if listing.done() and not listing.cancelled() and listing.exception() is None:
                return tuple(self._tool(described) for described in listing.result())
            error = next((one.exception() for one in (self._task, listing) if one.done() and not one.cancelled()), None)
        finally:
            listing.cancel()
            await asyncio.wait({listing})
        if isinstance(error, PatternsError):
            raise error
        raise self._trouble(error)

    async def _list(self) -> list[wire.Tool]:
        client = await asyncio.shield(self._client)
        found: list[wire.Tool] = []
        cursor = None
        for _ in range(MOST_PAGES):
            page = await client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if not cursor:
                break
        return found

    def _trouble(self, error: BaseException | None) -> PatternsError:
        """What to tell of a connection that did not come about, or of `error` later. None: it took too long."""
        if self._status in (401, 403):
            return CallerError(f"The MCP server {self.name} refuses the token.", "Give it the right one.", "wrong_key")
        next_step, code = "Start it, and check the address or the command.", "unreachable"
        if self._garbage or isinstance(error, ValidationError):
            why, code = "writes what is no MCP message", "bad_stream"
            next_step = "Check the command: its standard output is for messages only."
        elif error is None:
            why, code = f"gave no answer in {CONNECT_SECONDS:.0f} s", "timeout"
        elif self._errors is not None:
            why = f"could not be started or has ended{self._last_words}"
        else:
            why = f"cannot be reached{f' (HTTP {self._status})' if self._status >= 400 else ''}"
        return ProviderError(f"The MCP server {self.name} {why}.", next_step, code, transient=code == "timeout")

    def _read_last_words(self) -> None:
        if self._errors is not None:
            self._errors.seek(0)
            lines = self._errors.read()[-2_000:].strip().splitlines()
            self._last_words = f": {lines[-1].strip()[:200].rstrip('.')}" if lines else ""

    def _tool(self, described: wire.Tool) -> Tool:
        name, schema = described.name, described.input_schema
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
            raise CallerError(
                f"The MCP server {self.name} has a tool named {name[:100]!r}, which no model can be offered.",
                "Rename it there.",
                "unfit_tool",
            )
        effect = effect_of(described.annotations)
        return Tool(
            name=name,
            description=(described.description or described.title or name)[:DESCRIPTION],
            function=self._caller(name, effect),
            arguments=arguments_model(name, schema),
            effect=effect,
            question=partial(_question, name) if effect == "write" else "",
            timeout=CALL_SECONDS,
            strict=is_strict(schema),
        )

    # calling

    def _caller(self, name: str, effect: Effect) -> Callable[..., Any]:
        async def call(**arguments: Any) -> Any:
            # A write only gets here after the customer's yes.
            return await self._call(name, arguments, approved=effect == "write")

        return call

    async def _call(self, name: str, arguments: dict[str, Any], approved: bool) -> Any:
        client = self._client.result()
        modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
        try:
            # Older servers do not say which call they ask about, so there only is one.
            async with nullcontext() if modern else self._one_at_a_time:
                self._approved = approved
                result = await self._racing(client.session.call_tool(name, arguments, allow_input_required=True))
                for _ in range(MOST_QUESTIONS):
                    if not isinstance(result, wire.InputRequiredResult):
                        return value_of(result)
                    asked = result.input_requests or {}
                    answers: dict[str, Any] = {key: answer_to(one, approved) for key, one in asked.items()}
                    result = await self._racing(
                        client.session.call_tool(
                            name,
                            arguments,
                            input_responses=answers,
                            request_state=result.request_state,
                            allow_input_required=True,
                        )
                    )
        except MCPError as error:
            if not self._task.done() and error.code != wire.CONNECTION_CLOSED and self._status < 400:
                return failed("tool_failed", error.message, "Correct the arguments, or go on without it.")
            raise self._trouble(error) from error
        return failed("tool_failed", f"{name} asks for more than it can be told.", "Go on without it, and say so.")

    async def _racing(self, request: Any) -> Any:
        """The result of a request, or MCPError when the connection ends before."""
        task = asyncio.ensure_future(request)
        try:
            await asyncio.wait({task, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise MCPError(wire.CONNECTION_CLOSED, "The connection has ended.")
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _asked_in_between(
        self, context: ClientRequestContext, params: wire.ElicitRequestParams
    ) -> wire.ElicitResult | wire.ErrorData:
        return answer_to(wire.ElicitRequest(params=params), self._approved)


def _question(name: str, sent: Mapping[str, Any]) -> str:
    """What the customer is asked before a write: the tool, and all that it is given, in no words of the server's."""
    told = ", ".join(f"{key}: {value}" for key, value in sent.items())
    return f"Shall we use {name} ({told})?"
