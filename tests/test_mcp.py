"""The tools over MCP and back: same schemas, same results, no write without a yes, and servers that misbehave."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx2
import mcp
import mcp_types as wire
import pytest
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from patterns import acme_tools, checkpoints, mcp_client, mcp_server, tool_use, tools
from patterns.acme_tools import TOOLS, desk
from patterns.errors import CallerError, PatternsError, ProviderError
from patterns.events import Answer, ConfirmationRequired, Event, ToolCall, ToolResult, Turn, User
from patterns.mcp_client import mcp_tools
from patterns.mcp_reading import arguments_model, is_strict
from patterns.tools import Tool, tool

SERVE = [sys.executable, "-m", "patterns.mcp_server", "--customer", "C-0001"]
YOU = User("C-0001")


def odd(mode: str) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("odd_mcp_server.py")), mode]


def children() -> set[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    )
    return {int(line) for line in found.stdout.split() if Path(f"/proc/{line}").exists()}


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    before = children()
    yield
    until = time.monotonic() + 20
    while children() - before and time.monotonic() < until:
        time.sleep(0.05)
    assert not children() - before


@pytest.fixture
async def over_http(own_state: Path) -> AsyncIterator[tuple[str, str]]:
    """The address and the token of a server that runs."""
    process = await asyncio.create_subprocess_exec(*SERVE, "--http", "0", stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    try:
        address = (await process.stdout.readline()).decode().split()[-1]
        token = (await process.stdout.readline()).decode().split()[-1]
        yield address, token
    finally:
        process.terminate()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # the pipe


async def called(available: tuple[Tool, ...], name: str, **arguments: Any) -> Any:
    checked = tools.check(name, arguments, available)
    return checked if isinstance(checked, dict) else await tools.run(*checked, Turn("...", YOU))


SAME: list[tuple[str, dict[str, Any]]] = [
    ("order_lookup", {"order_id": "H-100098"}),
    ("order_lookup", {"order_id": "H-100099"}),
    ("order_lookup", {"order_id": "H-199999"}),
    ("search_help", {"query": "how do returns and refunds work"}),
    ("search_help", {"query": "zzzzqqq"}),
    ("schedule_follow_up", {"when": "2020-01-01", "note": "too late"}),
    ("no_such_tool", {}),
]


async def check_that_all_is_the_same(remote: tuple[Tool, ...]) -> None:
    assert [one.wire for one in remote] == [one.wire for one in TOOLS]
    assert [one.effect for one in remote] == [one.effect for one in TOOLS]
    for name, arguments in SAME:
        assert await called(remote, name, **arguments) == await called(TOOLS, name, **arguments)
    bad: list[dict[str, Any]] = [{}, {"order_id": 7}, {"order_id": "H-100098", "turn": "C-0002"}]
    for arguments in bad:
        assert (await called(remote, "order_lookup", **arguments))["error"] == "invalid_arguments"
    several = await asyncio.gather(*(called(remote, "order_lookup", order_id="H-100098") for _ in range(4)))
    assert len({json.dumps(one) for one in several}) == 1
    escalated = await called(remote, "escalate_to_human", reason="A person is wanted.")
    assert escalated["reference"].startswith("E-")
    assert [one.customer for one in desk().work("escalation")] == ["C-0001"]


async def test_over_stdio_all_is_the_same() -> None:
    async with mcp_tools(SERVE) as remote:
        await check_that_all_is_the_same(remote)


async def test_over_http_all_is_the_same(over_http: tuple[str, str]) -> None:
    async with mcp_tools(*over_http) as remote:
        await check_that_all_is_the_same(remote)


# writes, from our side


async def collect(events: AsyncGenerator[Event, None]) -> list[Event]:
    async with aclosing(events):
        return [event async for event in events]


def model_that_asks(name: str, **arguments: Any) -> Any:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        yield Answer(text="Ok.") if turn.exchange else ToolCall("1", name, arguments)

    return handle


@pytest.mark.parametrize("approved", [True, False])
async def test_a_remote_write_waits_for_our_customer(approved: bool) -> None:
    async with mcp_tools(SERVE) as remote:
        handler = tool_use.use_tools(remote)(
            model_that_asks("schedule_follow_up", when="2026-11-05", note="the {parcel}")
        )
        events = await collect(handler(Turn("Call me.", YOU)))
        asked = events[-1]
        assert isinstance(asked, ConfirmationRequired) and not desk().work("follow_up")
        assert "schedule_follow_up" in asked.question and "when: 2026-11-05" in asked.question
        assert "note: the {parcel}" in asked.question
        for _ in range(2):
            assert isinstance((await collect(tool_use.resume(handler, asked.token, approved, YOU)))[-1], Answer)
    assert [one.day for one in desk().work("follow_up")] == (["2026-11-05"] if approved else [])


# writes, as other clients do them


async def direct(answer: Any, mode: Any, *calls: dict[str, Any], http: tuple[str, str] | None = None) -> list[Any]:
    """What a client gets whose user gives `answer` (None: a client that cannot ask), for each of `calls`."""
    asked: list[str] = []

    async def ask(context: Any, params: Any) -> wire.ElicitResult:
        asked.append(params.message)
        return answer

    place: Any = StdioServerParameters(
        command=SERVE[0], args=SERVE[1:], env={"PATTERNS_STATE": os.environ["PATTERNS_STATE"]}
    )
    web = httpx2.AsyncClient(headers={"Authorization": f"Bearer {http[1]}"} if http else {}, trust_env=False)
    if http:
        place = streamable_http_client(http[0], http_client=web)
    async with web, mcp.Client(place, mode=mode, elicitation_callback=ask if answer else None) as client:
        got = [(await client.call_tool("schedule_follow_up", one)).structured_content for one in calls]
    return [*got, asked]


CALL = {"when": "2026-11-05", "note": "it"}
YES = wire.ElicitResult(action="accept", content={"confirm": True})
NO: dict[str, Any] = {
    "declines": (wire.ElicitResult(action="decline"), "declined"),
    "says no": (wire.ElicitResult(action="accept", content={"confirm": False}), "declined"),
    "accepts without a yes": (wire.ElicitResult(action="accept", content={}), "declined"),
    "dismisses": (wire.ElicitResult(action="cancel"), "confirmation_required"),
    "cannot be asked": (None, "confirmation_required"),
}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_server_asks_its_user_and_a_yes_lets_it_write(mode: str) -> None:
    got, asked = await direct(YES, mode, CALL)
    assert got["day"] == "2026-11-05" and asked == ["Shall we contact you on 2026-11-05 about “it”?"]
    assert len(desk().work("follow_up")) == 1


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_over_http_the_server_asks_too(mode: str, over_http: tuple[str, str]) -> None:
    got, asked = await direct(YES, mode, CALL, http=over_http)
    assert got["day"] == "2026-11-05" and len(asked) == 1 and len(desk().work("follow_up")) == 1


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("how", NO)
async def test_without_a_yes_the_server_writes_nothing(how: str, mode: str) -> None:
    answer, error = NO[how]
    got, _ = await direct(answer, mode, CALL)
    assert got["error"] == error and got["next_step"] and not desk().work("follow_up")


async def test_nonsense_is_refused_before_the_user_is_asked() -> None:
    got, asked = await direct(YES, "auto", {"when": "2020-01-01", "note": "x"})
    assert got["error"] == "invalid_arguments" and asked == []


async def test_a_forged_or_changed_answer_lets_nothing_run() -> None:
    served = mcp_server.server(TOOLS, YOU)
    foreign = mcp_server.server(TOOLS, User("C-0002"))
    yes: dict[str, Any] = {mcp_server.CONFIRM: YES}

    async def never(context: Any, params: Any) -> wire.ElicitResult:
        raise AssertionError("the user is not asked here")

    async with mcp.Client(served, elicitation_callback=never) as client, mcp.Client(foreign) as other:
        session = client.session
        for state in ("", "x", "' OR 1=1 --"):
            got: Any = await session.call_tool("schedule_follow_up", CALL, input_responses=yes, request_state=state)
            assert got.structured_content["error"] == "unknown_token"
        got = await client.session.call_tool("schedule_follow_up", CALL, input_responses=yes, allow_input_required=True)
        assert isinstance(got, wire.InputRequiredResult) and got.request_state
        state = got.request_state
        got = await other.session.call_tool("schedule_follow_up", CALL, input_responses=yes, request_state=state)
        assert got.structured_content["error"] == "unknown_token"
        changed = CALL | {"note": "something else"}
        got = await session.call_tool("schedule_follow_up", changed, input_responses=yes, request_state=state)
        assert got.structured_content["error"] == "changed_call" and not desk().work("follow_up")
        for _ in range(2):
            got = await session.call_tool("schedule_follow_up", CALL, input_responses=yes, request_state=state)
            assert got.structured_content["day"] == "2026-11-05"
        assert len(desk().work("follow_up")) == 1


# the server


async def test_calls_over_mcp_are_written_down_and_hints_follow_from_the_effect() -> None:
    async with mcp.Client(mcp_server.server(TOOLS, YOU)) as client:
        listed = {one.name: one.annotations for one in (await client.list_tools()).tools}
        await client.call_tool("order_lookup", {"order_id": "H-100098"})
    hints = {
        name: (one.read_only_hint, one.destructive_hint, one.idempotent_hint) for name, one in listed.items() if one
    }
    assert hints["order_lookup"][0] is True and hints["search_help"][0] is True
    assert hints["escalate_to_human"] == (False, False, False) and hints["schedule_follow_up"] == (False, True, False)
    book = checkpoints.default()
    (run,) = book._execute("SELECT run_id FROM runs")  # pyright: ignore[reportPrivateUsage]
    (action,) = book.actions(run[0])
    assert action.tool == "order_lookup" and action.result["id"] == "H-100098" and action.seconds is not None


async def test_a_tool_that_hangs_raises_or_returns_too_much_is_the_same_over_mcp() -> None:
    @tool(timeout=0.1)
    async def hang(what: str) -> None:
        """Hang."""
        await asyncio.sleep(60)

    @tool
    def fail(what: str) -> None:
        """Fail."""
        raise RuntimeError("hunter2")

    @tool
    def much(what: str) -> str:
        """Say much."""
        return "x" * 200_000

    async with mcp.Client(mcp_server.server([hang, fail, much], YOU)) as client:
        got: list[Any] = [(await client.call_tool(name, {"what": "x"})) for name in ("hang", "fail", "much")]
    assert [one.structured_content.get("error") for one in got] == ["timeout", "tool_failed", None]
    assert [one.is_error for one in got] == [True, True, False]
    assert "hunter2" not in got[1].model_dump_json() and got[2].structured_content["truncated"]


@pytest.mark.parametrize("token", ["wrong", "", None])
async def test_a_wrong_token_is_refused(over_http: tuple[str, str], token: str | None) -> None:
    address, right = over_http
    with pytest.raises(CallerError) as refused:
        async with mcp_tools(address, token or ""):
            pass
    assert refused.value.code == "wrong_key" and right not in str(refused.value)
    headers = {} if token is None else {"Authorization": token}
    async with httpx2.AsyncClient(trust_env=False) as web:
        for path in (address, address.replace("/mcp", "/"), address + "/x"):
            assert (await web.post(path, json={}, headers=headers)).status_code == 401


@pytest.mark.parametrize("arguments", [["--customer", "C-9999"], [], ["--customer", "C-0001", "--http", "99999"]])
def test_a_server_that_cannot_start_says_why_in_a_sentence(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "patterns.mcp_server", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
    assert ended.returncode and "Traceback" not in ended.stderr and ended.stderr.strip()


# servers that misbehave


async def refusal(server: Any) -> PatternsError:
    with pytest.raises(PatternsError) as refused:
        async with mcp_tools(server):
            pass
    assert refused.value.message.endswith(".") and refused.value.next_step.endswith(".")
    return refused.value


SLEEP = "import time; time.sleep(600)"
NOT_A_SERVER: dict[str, tuple[Any, str, str]] = {
    "no such command": (["/no/such/command"], "unreachable", "could not be started"),
    "ends at once": ([sys.executable, "-c", "raise SystemExit('no licence')"], "unreachable", "no licence"),
    "says nothing": ([sys.executable, "-c", SLEEP], "timeout", "no answer"),
    "garbage": ([sys.executable, "-c", f"print('hello', flush=True); {SLEEP}"], "bad_stream", "no MCP message"),
    "nobody listens": ("http://127.0.0.1:9/mcp", "unreachable", "cannot be reached"),
    "no address": ("http://", "unreachable", "cannot be reached"),
}


@pytest.mark.parametrize("kind", NOT_A_SERVER)
async def test_what_is_no_server_is_reported(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server, code, words = NOT_A_SERVER[kind]
    monkeypatch.setattr(mcp_client, "CONNECT_SECONDS", 3.0)
    error = await refusal(server)
    assert isinstance(error, ProviderError) and error.code == code and words in error.message


@pytest.mark.parametrize("mode", ["badname", "badschema", "elsewhere"])
async def test_a_tool_that_cannot_be_used_is_refused(mode: str) -> None:
    error = await refusal(odd(mode))
    assert isinstance(error, CallerError) and error.code == "unfit_tool"


async def test_a_list_that_breaks_the_protocol_is_reported() -> None:
    error = await refusal(odd("badlist"))
    assert isinstance(error, ProviderError) and error.code == "bad_stream"


async def test_a_server_that_dies_in_the_middle() -> None:
    async with mcp_tools(odd("dies")) as remote:
        for _ in range(2):
            result = await called(remote, "see", what="aaa")
            assert result["error"] == "unreachable" and result["next_step"]
    async with mcp_tools(odd("dies")) as remote:
        handler = tool_use.use_tools(remote)(model_that_asks("act", what="aaa"))
        asked = (await collect(handler(Turn("Go.", YOU))))[-1]
        assert isinstance(asked, ConfirmationRequired)
        rest = await collect(tool_use.resume(handler, asked.token, True, YOU))
    results = [event.result for event in rest if isinstance(event, ToolResult)]
    assert results[0]["error"] == "outcome_unknown"  # it may have done it before it died


async def test_a_server_that_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_client, "CALL_SECONDS", 0.3)
    async with mcp_tools(odd("slow")) as remote:
        assert (await called(remote, "see", what="aaa"))["error"] == "timeout"


async def test_chatter_between_the_messages_is_overheard() -> None:
    async with mcp_tools(odd("chatter")) as remote:
        assert await called(remote, "see", what="aaa") == {"what": "aaa"}


async def test_errors_and_texts_of_the_server_reach_the_model() -> None:
    async with mcp_tools(odd("error")) as remote:
        result = await called(remote, "see", what="aaa")
        assert (result["error"], result["message"]) == ("tool_failed", "The arguments are wrong.")
    async with mcp_tools(odd("text")) as remote:
        result = await called(remote, "see", what="aaa")
        assert (result["error"], result["message"]) == ("tool_failed", "no such thing\n[image not shown]")


async def test_an_older_server_is_told_yes_for_a_confirmed_write_and_no_else() -> None:
    async with mcp_tools(odd("ask")) as remote:
        both = await asyncio.gather(*(called(remote, name, what="aaa") for name in ("see", "act", "see", "act")))
    assert both == [["see", "decline"], ["act", "accept"], ["see", "decline"], ["act", "accept"]]
    async with mcp_tools(odd("form")) as remote:
        assert await called(remote, "act", what="aaa") == ["act", "decline"]


async def test_a_schema_of_somebody_else_is_kept_to() -> None:
    async with mcp_tools(odd("echo")) as remote:
        act = remote[0]
        function = act.wire["function"]
        assert (act.effect, function["strict"], len(function["description"])) == ("write", False, 1_000)
        assert function["parameters"]["properties"]["how often"] == {"type": "integer", "minimum": 1}
        assert (await called(remote, "see", what="aaa", **{"how often": 0}))["error"] == "invalid_arguments"
        assert (await called(remote, "see"))["error"] == "invalid_arguments"
        # The pattern would take ages on this; it is left to the server.
        assert await called(remote, "see", what="a" * 40 + "b", **{"how often": 2}) == {
            "what": "a" * 40 + "b",
            "how often": 2,
        }


def test_names_of_arguments_that_mean_something_to_pydantic_are_just_names() -> None:
    fields = ["model_config", "model_dump", "self", "cls", "copy", "arguments", "turn", "_private"]
    schema = {"type": "object", "properties": {name: {"type": "integer"} for name in fields}, "required": fields}
    given = dict.fromkeys(fields, 1)
    model = arguments_model("odd", schema).model_validate(given)
    assert dict(model) == given == model.model_dump(mode="json") and is_strict(schema)
    assert not is_strict(schema | {"required": fields[1:]})


def test_the_tools_served_are_those_of_acme() -> None:
    assert mcp_server.acme_tools.TOOLS is acme_tools.TOOLS
