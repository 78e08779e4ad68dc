"""The service: who may ask, what comes back with which status, and what is kept, resumed, stopped and confirmed."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest

from patterns import acme_tools, backend, budgets, complete_assistant, ledger, streaming_ux
from patterns.course import control
from patterns.errors import CallerError, LimitHit, PatternsError, ProviderError
from patterns.events import (
    Answer,
    Event,
    Handler,
    Reset,
    Status,
    TextDelta,
    ToolCall,
    ToolResult,
    Turn,
    User,
    stack,
)
from patterns.service import app, conversations, server, turns
from patterns.service.identity import Keys, Person
from tests.service_client import Client, Sent, text_of

Dial = Callable[..., None]
Serve = Callable[..., Client]
KEYS = Keys([b"k" * 32])
ALICE = User("C-0001", "acme-home")
BRUNO = User("C-0002", "acme-home")
ABROAD = User("C-0001", "acme-nord", language="de")


def token(user: User = ALICE) -> str:
    return KEYS.sign(Person(user, "Somebody"))


@pytest.fixture
def serve(own_state: Path) -> Iterator[Serve]:
    """Start a service around a handler; returns a client that is signed in as ALICE."""
    running: list[server.Running] = []

    def start(handler: Handler | None = None, **more: Any) -> Client:
        running.append(server.run_in_thread(app.build(KEYS, handler, **more)))
        return Client(running[-1].url, token())

    yield start
    for one in running:
        one.stop()


def spoken(*words: str, seconds: float = 0.0, closed: list[str] | None = None) -> Handler:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        yield Status("received")
        yield Status("drafting")
        try:
            for word in words:
                await asyncio.sleep(seconds)
                yield TextDelta(word)
            yield Answer(text="".join(words), tier="small", trace_id=turn.trace_id)
        finally:
            if closed is not None:
                closed.append(turn.user.id)

    return handle


def failing(error: Exception, after: int = 0) -> Handler:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        yield Status("received")
        for number in range(after):
            yield TextDelta(str(number))
        raise error

    return streaming_ux.report_failures(handle) if isinstance(error, PatternsError) else handle


# one answer


async def test_an_answer_streams_with_ids_trace_and_everything_a_customer_may_see(serve: Serve) -> None:
    client = serve(spoken("Hello ", "you."))
    async with client.send("POST", "/api/support", {"text": "Hi"}) as reply:
        assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        events = await reply.all()
    assert [event.kind for event in events] == ["status", "status", "text_delta", "text_delta", "answer"]
    assert [event.id for event in events] == ["1", "2", "3", "4", "5"]
    end = events[-1].told
    assert end["text"] == text_of(events) == "Hello you."
    assert (end["trace_id"], end["tier"], end["served"]) == (reply.headers["x-trace"], "small", "live")


async def test_the_complete_assistant_answers_with_sources_and_its_trace_is_in_the_ledger(
    serve: Serve, turn_dials: Dial, with_library: Path
) -> None:
    client = serve()
    async with client.send("POST", "/api/support", {"text": "How long is the warranty?"}) as reply:
        events = await reply.all()
    end = events[-1].told
    assert end["served"] == "live" and end["sources"], end
    source = end["sources"][0]
    assert source["url"].startswith("https://help.acme-home.example/") and source["text"] and source["updated"]
    trace = reply.headers["x-trace"]
    assert ledger.default().calls(trace_id=trace)


async def test_one_json_object_for_whoever_asks_for_json(serve: Serve) -> None:
    client = serve(spoken("Hello ", "you."))
    async with client.send("POST", "/api/support", {"text": "Hi"}, {"accept": "application/json"}) as reply:
        assert (reply.status, reply.headers["x-tier"]) == (200, "small")
        assert (await reply.told())["text"] == "Hello you."


async def test_tools_are_named_and_what_they_were_given_and_gave_stays_inside(serve: Serve) -> None:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        yield ToolCall("1", "order_lookup", {"order_id": "secret-in"})
        yield ToolResult("1", "order_lookup", {"warehouse": "secret-out"})
        yield Reset("an inner secret")
        yield Answer(text="Done.")

    events = await serve(handle).ask("Where is it?")
    assert [event.kind for event in events] == ["tool_call", "reset", "answer"]
    assert events[0].told == {"name": "order_lookup"}
    assert "secret" not in str(events)


# statuses

LIMITS: list[tuple[Exception, int, str | None]] = [
    (LimitHit("More than 30 requests.", "dev", "rate_limit", retry_after=6.2), 429, "7"),
    (LimitHit("The cap of tenant acme-home is reached.", "Raise it with budgets.cap.", "budget"), 402, None),
    (LimitHit("This is switched off: dev reason", "dev", "switched_off"), 503, "300"),
    (ProviderError("dev", "dev", "overloaded", transient=True, retry_after=12), 503, "12"),
    (ProviderError("dev", "dev", "quota", transient=False), 503, "30"),
    (ProviderError("dev", "dev", "refused", transient=False), 422, None),
    (CallerError("The key in OPENAI_API_KEY is wrong.", "dev", "wrong_key"), 500, None),
    (RuntimeError("dev"), 500, None),
]


@pytest.mark.parametrize("whole", [False, True], ids=["stream", "json"])
@pytest.mark.parametrize(("error", "status", "after"), LIMITS, ids=lambda value: getattr(value, "code", None))
async def test_what_ends_a_turn_before_its_first_word_is_a_status_with_a_body_for_customers(
    serve: Serve, error: Exception, status: int, after: str | None, whole: bool
) -> None:
    client = serve(failing(error))
    accept = {"accept": "application/json"} if whole else {}
    async with client.send("POST", "/api/support", {"text": "Hi"}, accept) as reply:
        told = await reply.told()
        assert (reply.status, reply.headers.get("retry-after")) == (status, after)
    assert told["error"]["message"].endswith(".") and told["error"]["next_step"].endswith(".")
    assert told["error"].get("retry_after") == (int(after) if after else None)
    inside = ("dev", "OPENAI", "cap", "tenant", "Raise")
    assert not [word for word in inside if word in json.dumps(told)]


async def test_refusals_speak_the_language_of_the_customer_and_name_who_can_help(serve: Serve) -> None:
    client = serve(failing(LimitHit("x", "y", "budget")))
    _, english = await client.told("POST", "/api/support", {"text": "Hi"})
    client.token = token(ABROAD)
    _, german = await client.told("POST", "/api/support", {"text": "Hallo"})
    assert "@acme-home" in english["error"]["next_step"] and english["error"]["message"].startswith("What the")
    assert "@acme-nord" in german["error"]["next_step"] and german["error"]["message"].startswith("Für heute")


async def test_what_fails_after_the_first_word_comes_as_an_event_with_the_same_body(serve: Serve) -> None:
    client = serve(failing(ProviderError("dev", "dev", "stream_cut", transient=True), after=2))
    end = (await client.ask("Hi"))[-1]
    assert end.kind == "failed" and end.told["status"] == 503
    assert end.told["error"]["code"] == "stream_cut" and "dev" not in end.data


async def test_a_handler_that_ends_without_an_end_is_our_fault_and_not_silence(serve: Serve) -> None:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        yield TextDelta("half")

    assert (await serve(handle).ask("Hi"))[-1].kind == "failed"


async def test_the_real_limits_of_the_assistant_are_429_402_and_503(
    serve: Serve, turn_dials: Dial, with_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(complete_assistant.build(through="cost_control"))
    await budgets.cap("tenant:acme-home", 1e-9)
    status, told = await client.told("POST", "/api/support", {"text": "How long is the warranty?"})
    assert (status, told["error"]["code"]) == (402, "budget")
    await budgets.cap("tenant:acme-home", None)
    await backend.default().switch_off("tenant:acme-home", "dev")
    assert (await client.told("POST", "/api/support", {"text": "Hi"}))[0] == 503
    await backend.default().switch_on("tenant:acme-home")
    statuses = [(await client.told("POST", "/api/support", {"text": ""}))[0] for _ in range(3)]
    assert statuses == [400] * 3  # refused before the limit counts them
    client.token = token(BRUNO)
    for _ in range(30):
        await backend.default().take(_rate_key(BRUNO), 30, 60.0)
    assert (await client.told("POST", "/api/support", {"text": "Hi"}))[0] == 429


def _rate_key(user: User) -> str:
    from patterns import cost_control

    return cost_control.rate_key(user, cost_control.REQUESTS, cost_control.SECONDS)


# conversations


def echoing_history(turns_seen: list[Turn]) -> Handler:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        turns_seen.append(turn)
        yield Answer(text=f"answer to {turn.text}")

    return handle


async def test_the_history_is_kept_here_and_belongs_to_one_user(serve: Serve) -> None:
    seen: list[Turn] = []
    client = serve(echoing_history(seen))
    async with client.send("POST", "/api/support", {"text": "first"}) as reply:
        conversation = reply.headers["x-conversation"]
        await reply.all()
    await client.ask("second", conversation=conversation)
    assert [(said.role, said.text) for said in seen[-1].history] == [
        ("user", "first"),
        ("assistant", "answer to first"),
    ]
    for other in (BRUNO, ABROAD):
        client.token = token(other)
        await client.ask("mine?", conversation=conversation)
        assert seen[-1].history == () and seen[-1].user == other
    _, told = await client.told("GET", f"/api/support?conversation={conversation}")
    assert [turn["question"] for turn in told["turns"]] == ["mine?"]


async def test_a_turn_that_failed_or_was_stopped_is_shown_and_is_no_history(serve: Serve) -> None:
    client = serve(failing(LimitHit("x", "y", "budget")))
    await client.told("POST", "/api/support", {"text": "Hi"})
    _, told = await client.told("GET", "/api/support")
    assert [turn["state"] for turn in told["turns"]] == ["failed"]
    assert conversations.default().history(told["conversation"], ALICE) == ()


async def test_what_a_user_said_can_be_forgotten(serve: Serve) -> None:
    client = serve(spoken("Hello."))
    await client.ask("my secret")
    client.token = token(BRUNO)
    await client.ask("stays")
    conversations.default().forget(ALICE)
    rows = conversations.default()._execute("SELECT question FROM turns")
    assert rows == [("stays",)]


# coming back, stopping, leaving


async def first(reply: Any, count: int) -> list[Sent]:
    found: list[Sent] = []
    async with aclosing(reply.events()) as events:
        async for event in events:
            found.append(event)
            if len(found) == count:
                return found
    return found


async def test_a_page_that_is_reloaded_goes_on_where_it_was(serve: Serve) -> None:
    closed: list[str] = []
    client = serve(spoken(*(f"{number} " for number in range(40)), seconds=0.02, closed=closed))
    async with client.send("POST", "/api/support", {"text": "Count", "resumable": True}) as reply:
        request_id = reply.headers["x-request-id"]
        seen = await first(reply, 6)
    await asyncio.sleep(0.1)
    _, told = await client.told("GET", "/api/support")
    assert [(turn["request_id"], turn["state"]) for turn in told["turns"]] == [(request_id, "running")]
    async with client.send("GET", f"/api/support/{request_id}?after={seen[-1].id}") as reply:
        rest = await reply.all()
    assert [int(event.id) for event in [*seen, *rest]] == list(range(1, 44))
    assert text_of([*seen, *rest]) == rest[-1].told["text"] and closed == ["C-0001"]
    async with client.send("GET", f"/api/support/{request_id}", headers={"last-event-id": "42"}) as reply:
        assert [event.kind for event in await reply.all()] == ["answer"]


async def test_nobody_else_can_read_stop_or_see_a_running_answer(serve: Serve) -> None:
    client = serve(spoken("a", "b", "c", seconds=0.2))
    async with client.send("POST", "/api/support", {"text": "Hi", "resumable": True}) as reply:
        path = f"/api/support/{reply.headers['x-request-id']}"
        for other in (BRUNO, ABROAD):
            stranger = Client(f"http://127.0.0.1:{client.port}", token(other))
            for method in ("GET", "DELETE"):
                status, told = await stranger.told(method, path)
                assert status == 404, told
        assert (await reply.all())[-1].kind == "answer"


@pytest.mark.parametrize("resumable", [False, True])
async def test_what_is_no_longer_kept_is_404_and_never_asked_again(serve: Serve, resumable: bool) -> None:
    asked: list[Turn] = []
    client = serve(echoing_history(asked))
    conversations.default().begin(old := Turn("Hi", ALICE), "c")
    status, _ = await client.told("GET", f"/api/support/{old.request_id}?after=0")
    assert (status, asked) == (404, [])
    async with client.send("POST", "/api/support", {"text": "Hi"}) as reply:
        await reply.all()
    await asyncio.sleep(0.1)
    status, _ = await client.told("GET", f"/api/support/{reply.headers['x-request-id']}")
    assert (status, len(asked)) == (404, 1)


async def test_a_running_answer_that_was_not_resumable_cannot_be_read_twice(serve: Serve) -> None:
    asked: list[str] = []
    client = serve(spoken("a", "b", seconds=0.3, closed=asked))
    async with client.send("POST", "/api/support", {"text": "Hi"}) as reply:
        status, _ = await client.told("GET", f"/api/support/{reply.headers['x-request-id']}?after=0")
        assert status == 404
        await reply.all()
    assert asked == ["C-0001"]


@pytest.mark.parametrize("how", ["leaves", "stops", "resets"])
async def test_a_client_that_leaves_or_stops_stops_its_provider_call(serve: Serve, turn_dials: Dial, how: str) -> None:
    turn_dials(tokens_per_second=20)
    handler = stack(complete_assistant.core, *streaming_ux.LAYERS)
    client = serve(handler)
    async with client.send(
        "POST", "/api/support", {"text": "Tell me a long story. " * 50, "resumable": how == "stops"}
    ) as reply:
        async with aclosing(reply.events()) as events:
            async for event in events:
                if event.kind == "text_delta":
                    break
        assert control.provider_log()[-1]["ended"] == "running"
        if how == "stops":
            assert (await client.told("DELETE", f"/api/support/{reply.headers['x-request-id']}"))[0] == 204
        elif how == "resets":
            reply._reader._transport.abort()  # type: ignore[attr-defined]
    left = time.monotonic()
    entry = (await control.settled_log())[-1]
    assert entry["ended"] == "aborted" and entry["tokens_sent"] < entry["tokens_planned"]
    assert time.monotonic() - left < 1.0  # benchmarks/sse_relay.py measures it
    _, told = await client.told("GET", "/api/support")
    assert [turn["state"] for turn in told["turns"]] == ["stopped"]


async def test_a_page_that_does_not_come_back_stops_its_call_after_the_grace(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "GRACE_SECONDS", 0.2)
    closed: list[str] = []
    client = serve(spoken(*"abcdefghij", seconds=0.1, closed=closed))
    async with client.send("POST", "/api/support", {"text": "Hi", "resumable": True}) as reply:
        await first(reply, 3)
    await asyncio.sleep(0.05)
    assert closed == []
    await asyncio.sleep(0.4)
    assert closed == ["C-0001"]


# confirmations


async def test_a_confirmation_counts_once_and_only_from_its_owner(
    serve: Serve, turn_dials: Dial, with_library: Path
) -> None:
    client = serve(complete_assistant.build(through="agent_loop"))
    events = await client.ask("Please call me back on 2026-11-20 about my hub.")
    assert events[-1].kind == "confirmation_required", events
    sent = {"token": events[-1].told["token"], "approved": True}
    _, told = await client.told("GET", "/api/support")
    assert told["turns"][-1]["shown"]["token"] == sent["token"]  # a page that is loaded again shows the card again

    stranger = Client(f"http://127.0.0.1:{client.port}", token(BRUNO))
    status, _ = await stranger.told("POST", "/api/support/confirm", sent)
    assert status == 404 and acme_tools.desk().work("follow_up") == []

    replies = await asyncio.gather(
        *(client.told("POST", "/api/support/confirm", sent, {"accept": "application/json"}) for _ in range(5))
    )
    assert sorted(status for status, _ in replies) == [200, 409, 409, 409, 409]
    for again in (sent, {**sent, "approved": False}):
        status, told = await client.told("POST", "/api/support/confirm", again)
        assert status == 409 and told["error"]["message"].count(".") == 1
    work = acme_tools.desk().work("follow_up")
    assert [(one.customer, one.day) for one in work] == [("C-0001", "2026-11-20")]
    _, told = await client.told("GET", "/api/support")
    assert [turn["state"] for turn in told["turns"]] == ["answered"]


async def test_a_declined_confirmation_does_nothing(serve: Serve, turn_dials: Dial, with_library: Path) -> None:
    client = serve(complete_assistant.build(through="agent_loop"))
    asked = (await client.ask("Please call me back on 2026-11-20 about my hub."))[-1].told
    async with client.send("POST", "/api/support/confirm", {"token": asked["token"], "approved": False}) as reply:
        assert (await reply.all())[-1].kind == "answer"
    assert acme_tools.desk().work("follow_up") == []


# many at once


async def test_one_person_has_few_streams_and_gets_them_back(serve: Serve) -> None:
    client = serve(spoken("a", "b", seconds=1.0))
    async with AsyncExitStack() as opened:
        replies = [
            await opened.enter_async_context(client.send("POST", "/api/support", {"text": "Hi"}))
            for _ in range(turns.PER_USER)
        ]
        async with client.send("POST", "/api/support", {"text": "Hi"}) as refused:
            assert (refused.status, refused.headers["retry-after"]) == (429, "2")
        other = Client(f"http://127.0.0.1:{client.port}", token(BRUNO))
        assert (await other.ask("Hi"))[-1].kind == "answer"
        for reply in replies:
            assert (await reply.all())[-1].kind == "answer"
    assert (await client.ask("Hi"))[-1].kind == "answer"


async def test_a_full_house_says_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "IN_ALL", 1)
    client = serve(spoken("a", seconds=0.5))
    async with client.send("POST", "/api/support", {"text": "Hi"}):
        other = Client(f"http://127.0.0.1:{client.port}", token(BRUNO))
        status, told = await other.told("POST", "/api/support", {"text": "Hi"})
    assert (status, told["error"]["code"]) == (503, "busy")


async def test_two_hundred_streams_at_once_all_get_their_own_answer(serve: Serve) -> None:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        yield Status("received")
        for number in range(20):
            await asyncio.sleep(0.01)
            yield TextDelta(f"{turn.user.id}:{number} ")
        yield Answer(text=turn.user.id)

    client = serve(handle)

    async def one(number: int) -> str:
        own = Client(f"http://127.0.0.1:{client.port}", token(User(f"U-{number}", "acme-home")))
        return text_of(await own.ask("Hi"))

    # How evenly they are served is measured by benchmarks/sse_relay.py.
    done = await asyncio.gather(*(one(number) for number in range(200)))
    assert done == ["".join(f"U-{number}:{at} " for at in range(20)) for number in range(200)]


async def test_a_reader_who_reads_nothing_holds_nobody_up(serve: Serve) -> None:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        for _ in range(400 if turn.user == BRUNO else 3):
            yield TextDelta("x" * 20_000)
        yield Answer(text="done")

    client = serve(handle)
    slow = Client(f"http://127.0.0.1:{client.port}", token(BRUNO))
    _, writer = await slow.connect()
    writer.write(slow.request("POST", "/api/support", {"text": "Hi"}))
    await asyncio.sleep(0.5)  # eight megabytes stand in line, far more than any buffer on the way
    started = time.monotonic()
    for _ in range(5):
        assert (await client.ask("Hi"))[-1].kind == "answer"
    assert time.monotonic() - started < 5.0
    writer.close()


# the way in


async def test_a_demonstration_has_a_link_that_signs_in_and_a_service_has_none(serve: Serve) -> None:
    client = serve(spoken("Hi."), demo=True)
    async with client.send("GET", f"/login?token={client.token}") as reply:
        cookie = reply.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and reply.headers["refresh"] == "0; url=/"
    client.token = ""
    status, told = await client.told("GET", "/api/support", headers={"cookie": cookie.partition(";")[0]})
    assert (status, told["name"]) == (200, "Somebody")
    assert (await client.told("GET", "/api/support"))[0] == 401
    async with client.send("GET", "/login?token=nonsense") as reply:
        assert reply.status == 401 and "set-cookie" not in reply.headers
    plain = serve(spoken("Hi."))
    async with plain.send("GET", f"/login?token={plain.token}") as reply:
        assert reply.status == 404
