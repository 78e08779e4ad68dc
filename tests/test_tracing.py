"""Traces: one for each request, every span in its place and ended, sent to a collector, and never in the way."""

import asyncio
import functools
import gc
import json
import logging
import os
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from otlp_collector import Arrived, Received, collector
from scripted import Broken, Refused, scripted

from patterns import (
    acme,
    calls,
    complete_assistant,
    core,
    genai_names,
    hedging,
    kept_traces,
    ledger,
    metrics,
    singleflight,
    streaming_ux,
    tool_use,
    tools,
    tracing,
)
from patterns.errors import LimitHit, PatternsError, ProviderError
from patterns.events import Answer, Event, Handler, Layer, Status, TextDelta, Turn, TurnFailed, answer
from patterns.waiting import within

ANA = acme.user("C-0001")


@pytest.fixture(autouse=True)
def off_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    for name in (*tracing.ENDPOINTS, "OTEL_EXPORTER_OTLP_PROTOCOL", "PATTERNS_TRACES", genai_names.CAPTURE):
        monkeypatch.delenv(name, raising=False)
    yield
    tracing.stop()


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    """A collector that the environment points to, with tracing on."""
    with collector() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.endpoint)
        tracing.start(keep=False)
        yield running
        tracing.stop()


def whole(spans: list[Arrived]) -> None:
    """Every span has ended, after it began, and its parent is in the same trace; every trace has one beginning."""
    ids = {(span.trace, span.id) for span in spans}
    assert len(ids) == len(spans)
    firsts = [span for span in spans if not span.parent]
    assert len(firsts) == len({span.trace for span in spans})
    for span in spans:
        assert span.end >= span.start > 0
        assert not span.parent or (span.trace, span.parent) in ids


def path_to(span: Arrived, spans: list[Arrived]) -> list[str]:
    """The names of a span's parents, from the first one in."""
    by_id = {one.id: one for one in spans}
    found: list[str] = []
    while span.parent:
        span = by_id[span.parent]
        found.insert(0, span.name)
    return found


# a request of the whole assistant


def vector(text: str) -> list[float]:
    """Near for texts that share words: enough for an index."""
    found = [0.01] * 64
    for word in text.lower().split():
        found[zlib.crc32(word.encode()) % 64] += 1.0
    return found


def provider(body: dict[str, Any]) -> Any:
    """Embeds, asks for the order once where it has a tool for that, and then answers."""
    if "input" in body:
        return {"data": [{"index": n, "embedding": vector(text)} for n, text in enumerate(body["input"])]}
    if body.get("tools") and body["messages"][-1]["role"] != "tool":
        return [("order_lookup", {"order_id": ORDER}, "call_7")]
    return json.dumps({"text": "It was delivered.", "cited_chunk_ids": [], "confident": True})


ORDER = next(number for number, order in acme.orders().items() if order["customer"] == ANA.id)


async def test_a_request_with_tools_arrives_as_one_trace_with_every_layer_tool_and_call_in_its_place(
    received: Received,
) -> None:
    turn = Turn(f"Where is my order {ORDER}?", ANA)
    async with scripted(provider):
        end = await answer(complete_assistant.build(), turn)
    tracing.flush()
    spans = received.spans
    whole(spans)
    assert {span.trace for span in spans} == {f"{tracing.otel_trace_id(turn.trace_id):032x}"}
    assert spans[0].trace.endswith(turn.trace_id.removeprefix("trace_"))

    [request] = [span for span in spans if not span.parent]
    assert request.name == "invoke_agent support_assistant"
    said = request.attributes
    assert said["gen_ai.operation.name"] == "invoke_agent" and said["patterns.trace_id"] == turn.trace_id
    assert (said["patterns.served"], said["patterns.tier"]) == ("live", "large")
    assert said["patterns.outcome"] == end.outcome == "success"
    assert 0 < said["patterns.first_text_seconds"] <= (request.end - request.start) / 1e9

    [lookup] = received.named("execute_tool order_lookup")
    assert lookup.attributes["gen_ai.tool.name"] == "order_lookup"
    assert lookup.attributes["gen_ai.tool.call.id"] == "call_7"
    assert path_to(lookup, spans)[-1] == "agent_loop.agent"

    chats = [span for span in spans if span.attributes.get("gen_ai.operation.name") == "chat"]
    assert len(chats) == 3  # the small model, then the large one before and after its tool
    for chat in chats:
        assert "agent_loop.agent" in path_to(chat, spans)
    assert any(path_to(span, spans)[-1] == "rag.retrieve" for span in received.named("embeddings scripted-embed"))
    layers = {span.name for span in spans if "patterns.layer" in span.attributes}
    assert layers == {tracing.name_of(storey.layer) for storey in complete_assistant.HOUSE if not storey.until}


async def test_every_call_of_the_ledger_is_a_span_with_its_tokens(received: Received) -> None:
    turn = Turn(f"Where is my order {ORDER}?", ANA)
    async with scripted(provider):
        await answer(complete_assistant.build(), turn)
    tracing.flush()
    rows = [row for row in ledger.default().calls() if row.trace_id]
    spans = [span for span in received.spans if span.kind == 3]  # CLIENT
    names = ("gen_ai.request.model", "patterns.outcome", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")
    traced = sorted(
        tuple(span.attributes[name] for name in names) for span in spans if span.attributes["patterns.trace_id"]
    )
    assert traced == sorted((row.model, row.outcome, row.input_tokens, row.output_tokens) for row in rows) != []
    for span in spans:
        said = span.attributes
        assert said["gen_ai.provider.name"] == "custom"
        assert said["server.address"] == "127.0.0.1" and said["server.port"] > 0
        assert span.name == f"{said['gen_ai.operation.name']} {said['gen_ai.request.model']}"
        if said["gen_ai.operation.name"] == "chat":
            assert said["gen_ai.response.model"] == said["gen_ai.request.model"]
            assert said["gen_ai.response.finish_reasons"] in (["stop"], ["tool_calls"])
            assert said["gen_ai.request.max_tokens"] == complete_assistant.MAX_TOKENS
            assert said["gen_ai.request.stream"] is True


async def test_a_call_with_a_price_has_its_dollars(received: Received, turn_dials: Callable[..., None]) -> None:
    turn = Turn("Hello there?", ANA)
    end = await answer(tracing.stack(ASK), turn)
    tracing.flush()
    [call] = received.named("chat standin-large")
    [request] = received.named("invoke_agent support_assistant")
    [row] = ledger.default().calls(trace_id=turn.trace_id)
    assert call.attributes["patterns.cost_usd"] == row.cost_usd == end.cost_usd > 0  # pyright: ignore[reportOptionalOperand]
    assert request.attributes["patterns.cost_usd"] == row.cost_usd
    assert call.attributes["gen_ai.response.time_to_first_chunk"] == pytest.approx(row.first_token_seconds)


async def test_requests_at_the_same_time_do_not_mix(received: Received) -> None:
    turns = [Turn(f"Question {n}: where is {ORDER}?", acme.user(f"C-000{1 + n % 2}")) for n in range(6)]
    async with scripted(provider):
        assistant = complete_assistant.build()
        await asyncio.gather(*(answer(assistant, turn) for turn in turns))
    tracing.flush()
    whole(received.spans)
    traces = received.by_trace()
    assert len(traces) == len(turns)
    for turn in turns:
        spans = traces[f"{tracing.otel_trace_id(turn.trace_id):032x}"]
        said = {span.attributes.get("patterns.trace_id") for span in spans}
        assert said - {None, ""} == {turn.trace_id}  # "": the index, which belongs to nobody
        assert len(spans) > 20


async def test_a_run_that_waits_for_a_yes_goes_on_in_the_same_trace(received: Received) -> None:
    async with scripted([("schedule_follow_up", {"order": "H-1"})], "Done."):

        @tools.tool(effect="write", question="Really for {order}?")
        def schedule_follow_up(order: str) -> str:
            """Call the customer back."""
            return "booked"

        assistant = tracing.stack(core.model_call(core.support_prompt), tool_use.use_tools([schedule_follow_up]))
        turn = Turn("Call me back.", ANA)
        events = [event async for event in assistant(turn)]
        resumed = tool_use.resume(assistant, events[-1].token, True, ANA)  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance([event async for event in resumed][-1], Answer)
    tracing.flush()
    assert {span.trace for span in received.spans} == {f"{tracing.otel_trace_id(turn.trace_id):032x}"}
    first, second = sorted((span for span in received.spans if not span.parent), key=lambda span: span.start)
    assert [first.attributes["patterns.outcome"], second.attributes["patterns.outcome"]] == ["waiting", "success"]
    [ran] = received.named("execute_tool schedule_follow_up")
    assert ran.start >= second.start


# every end


def plain(inner: Handler) -> Handler:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        async with aclosing(inner(turn)) as events:
            async for event in events:
                yield event

    return handle


ASK = core.model_call(lambda turn: [{"role": "user", "content": turn.text}])


async def first_words(handler: Handler, turn: Turn) -> None:
    async with aclosing(handler(turn)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                return


async def test_a_reader_who_stops_ends_every_span_and_each_says_so(
    received: Received, turn_dials: Callable[..., None]
) -> None:
    turn_dials(tokens_per_second=20)
    await first_words(tracing.stack(ASK, plain), Turn("What is the return policy, in many words?"))
    tracing.flush()
    whole(received.spans)
    assert len(received.spans) == 3
    assert {span.attributes["patterns.outcome"] for span in received.spans} == {"aborted"}
    assert all(span.status == 0 for span in received.spans)  # to stop is no error


async def test_a_cancelled_task_ends_every_span(received: Received, turn_dials: Callable[..., None]) -> None:
    turn_dials(time_to_first_token=30)
    task = asyncio.create_task(answer(tracing.stack(ASK, plain, streaming_ux.heartbeat(0.01)), Turn("Hello?")))
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.wait({task})
    tracing.flush()
    whole(received.spans)
    assert len(received.spans) == 4 and {s.attributes["patterns.outcome"] for s in received.spans} == {"aborted"}


async def test_a_stream_that_is_only_dropped_ends_its_spans_too(
    received: Received, turn_dials: Callable[..., None]
) -> None:
    stream = tracing.stack(ASK, plain)(Turn("Hello?"))
    await anext(stream)
    del stream
    gc.collect()
    await asyncio.sleep(0.1)
    tracing.flush()
    whole(received.spans)
    assert {span.name for span in received.spans} == {"invoke_agent support_assistant", "test_tracing.plain"}


async def test_an_answer_whose_reader_stops_at_it_is_no_abort(received: Received) -> None:
    async with scripted("Hello."):
        await answer(tracing.stack(ASK, plain), Turn("Hi"))  # `answer` closes the stream at the Answer
    tracing.flush()
    ends = {span.name: span.attributes["patterns.outcome"] for span in received.spans}
    assert ends == {
        "chat scripted-large": "done",
        "test_tracing.plain": "done",
        "invoke_agent support_assistant": "success",
    }


async def test_an_error_is_the_status_of_all_it_passed_and_its_text_is_in_none(received: Received) -> None:
    async with scripted(Refused(429, message="Too many for anna.secret@example.com")):
        with pytest.raises(TurnFailed):
            await answer(tracing.stack(ASK, streaming_ux.report_failures, plain), Turn("Hi"))
    tracing.flush()
    whole(received.spans)
    by_name = {span.name: span for span in received.spans}
    for name in ("chat scripted-large", "test_tracing.plain", "invoke_agent support_assistant"):
        assert by_name[name].status == 2 and by_name[name].attributes["error.type"] == "rate_limited"
    assert "secret" not in repr(received.spans)
    assert not any(span.events for span in received.spans)


async def test_a_layer_that_makes_good_is_no_error(received: Received) -> None:
    async with scripted(Broken("It is"), "It is 30 days."):
        await answer(tracing.stack(ASK, streaming_ux.restart()), Turn("How long?"))
    tracing.flush()
    calls_made = sorted(received.named("chat scripted-large"), key=lambda span: span.start)
    assert [span.attributes.get("error.type") for span in calls_made] == ["stream_cut", None]
    [layer] = received.named("streaming_ux.restart")
    assert layer.status == 0 and layer.attributes["patterns.outcome"] == "done"


async def test_a_crash_is_named_by_its_type(received: Received) -> None:
    async def broken(turn: Turn) -> AsyncGenerator[Event, None]:
        yield Status("received")
        raise ZeroDivisionError("anna.secret@example.com")

    with pytest.raises(ZeroDivisionError):
        await answer(tracing.stack(broken), Turn("Hi"))
    tracing.flush()
    [span] = received.spans
    assert span.attributes["error.type"] == "ZeroDivisionError" and "secret" not in repr(span)


async def test_a_tool_that_fails_says_so_and_a_call_in_a_tool_is_inside_it(received: Received) -> None:
    @tools.tool
    async def look_up(order: str) -> str:
        """Look up an order."""
        await calls.embed([order])
        raise LimitHit("No more today.", "Wait.", "budget")

    script = [("look_up", {"order": "H-1"})], {"data": [{"index": 0, "embedding": [1.0, 0.0]}]}, "Sorry."
    async with scripted(*script):
        await answer(tracing.stack(ASK, tool_use.use_tools([look_up])), Turn("Where is it?"))
    tracing.flush()
    whole(received.spans)
    [tool] = received.named("execute_tool look_up")
    [embedding] = received.named("embeddings scripted-embed")
    assert tool.status == 2 and tool.attributes["error.type"] == "budget"
    assert embedding.parent == tool.id


# work that is handed to other tasks


async def test_hedged_calls_are_both_inside_their_layer(received: Received, turn_dials: Callable[..., None]) -> None:
    handler = tracing.stack(ASK, hedging.hedged(lambda turn: "all"))
    for number in range(hedging.SAMPLES):
        await answer(handler, Turn(f"Hello {number}"))
    turn_dials(time_to_first_token=0.5)
    slow = Turn("Hello once more")
    await answer(handler, slow)
    await asyncio.sleep(0.1)
    tracing.flush()
    whole(received.spans)
    spans = received.by_trace()[f"{tracing.otel_trace_id(slow.trace_id):032x}"]
    [layer] = [span for span in spans if span.name == "hedging.hedged"]
    asked = [span for span in spans if span.kind == 3]
    assert len(asked) == 2 and {span.parent for span in asked} == {layer.id}
    assert {span.attributes["patterns.outcome"] for span in asked} == {"done", "aborted"}


async def test_a_flight_that_many_read_is_in_the_trace_of_whoever_began_it(
    received: Received, turn_dials: Callable[..., None]
) -> None:
    flights = singleflight.Flights(lambda event: False)

    def shared(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            flight, began = flights.board(turn.text, lambda: inner(turn))
            async with aclosing(flight.read(began)) as events:
                async for event in events:
                    yield event

        return handle

    handler = tracing.stack(ASK, shared, plain)
    turns = [Turn("Hello?") for _ in range(3)]
    await asyncio.gather(*(answer(handler, turn) for turn in turns))
    tracing.flush()
    whole(received.spans)
    assert sorted(len(spans) for spans in received.by_trace().values()) == [2, 2, 4]


async def test_a_layer_around_a_deadline_keeps_its_spans_in_place(received: Received) -> None:
    def hurried(inner: Handler) -> Handler:
        return lambda turn: within(inner(turn), time.monotonic() + 30)

    async with scripted("Hello there, how can I help?"):
        await answer(tracing.stack(ASK, hurried, plain, streaming_ux.heartbeat(), plain), Turn("Hi"))
    tracing.flush()
    whole(received.spans)
    [chat] = received.named("chat scripted-large")
    assert [name.rpartition(".")[2] for name in path_to(chat, received.spans)[1:]] == [
        "test_a_layer_around_a_deadline_keeps_its_spans_in_place",
        "plain",
        "heartbeat",
        "plain",
    ]


async def test_two_requests_read_in_turns_by_one_task_do_not_mix_and_leave_nothing_behind(received: Received) -> None:
    from opentelemetry.trace import get_current_span

    handler = tracing.stack(leaf, plain)
    streams = [handler(Turn("Hi")) for _ in range(2)]
    for _ in range(2):
        for stream in streams:
            await anext(stream)
            assert not get_current_span().get_span_context().is_valid
    for stream in streams:
        await stream.aclose()
    tracing.flush()
    whole(received.spans)
    assert [len(spans) for spans in received.by_trace().values()] == [2, 2]


async def test_a_span_of_the_server_around_us_is_the_parent(received: Received) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    server = TracerProvider().get_tracer("server")
    with server.start_as_current_span("POST /api/support") as outer:
        async with scripted("Hello."):
            await answer(tracing.stack(ASK), Turn("Hi"))
    tracing.flush()
    [request] = received.named("invoke_agent support_assistant")
    assert request.parent == f"{outer.get_span_context().span_id:016x}"
    assert request.trace == f"{outer.get_span_context().trace_id:032x}"


# any onion at all


async def leaf(turn: Turn) -> AsyncGenerator[Event, None]:
    yield Status("drafting")
    yield TextDelta("Hello.")
    yield Answer(text="Hello.")


def failing(inner: Handler) -> Handler:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        async with aclosing(inner(turn)) as events:
            async for event in events:
                yield event
                raise ProviderError("Down.", "Wait.", "overloaded", transient=True)

    return handle


def twice(inner: Handler) -> Handler:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        await answer_or_nothing(inner, turn)
        async with aclosing(inner(turn)) as events:
            async for event in events:
                yield event

    return handle


def side_by_side(inner: Handler) -> Handler:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        await asyncio.gather(*(answer_or_nothing(inner, turn) for _ in range(2)))
        async with aclosing(inner(turn)) as events:
            async for event in events:
                yield event

    return handle


def nothing(inner: Handler) -> Handler:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        if False:
            yield Status("drafting")

    return handle


async def answer_or_nothing(handler: Handler, turn: Turn) -> None:
    with suppress(PatternsError):
        await answer(handler, turn)


LAYERS: list[Layer] = [plain, failing, twice, side_by_side, nothing, streaming_ux.restart(), streaming_ux.heartbeat()]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(LAYERS), max_size=5), st.integers(0, 4), st.integers(1, 3))
async def test_whatever_the_layers_do_each_request_is_one_whole_tree(
    layers: list[Layer], stop_after: int, requests: int
) -> None:
    tracing.start(keep=True)
    handler, turns = tracing.stack(leaf, *layers), [Turn("Hi") for _ in range(requests)]

    async def read(turn: Turn) -> None:
        try:
            async with aclosing(handler(turn)) as events:
                seen = 0
                async for _ in events:
                    seen += 1
                    if seen > stop_after:
                        return
        except PatternsError:
            pass

    await asyncio.gather(*(read(turn) for turn in turns))
    for turn in turns:
        spans = kept_traces.spans(turn.trace_id)
        ids = {span.id for span in spans}
        assert len(ids) == len(spans) >= 1 + bool(layers)
        assert [span.name for span in spans if not span.parent] == ["invoke_agent support_assistant"]
        assert all(span.parent in ids for span in spans if span.parent)
        assert len(kept_traces.tree(spans)) == len(spans)


# off, and on by the environment


async def test_while_it_is_off_a_layer_gives_the_inner_stream_itself_and_opens_nothing() -> None:
    made: list[Any] = []

    def inner(turn: Turn) -> AsyncGenerator[Event, None]:
        made.append(leaf(turn))
        return made[-1]

    stream = tracing.request(tracing.spanned(lambda inner: inner)(inner))(Turn("Hi"))
    assert stream is made[0]
    await stream.aclose()
    assert isinstance(await answer(tracing.stack(leaf, plain), Turn("Hi")), Answer)
    assert not kept_traces.spans()


def test_while_it_is_off_opentelemetry_is_not_imported() -> None:
    program = (
        "import sys; from patterns import complete_assistant as c; c.build();"
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    said = subprocess.run([sys.executable, "-c", program], env=clean, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("environment", "sends", "on"),
    [
        ({}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, True, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, True, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"}, False, False),
        ({"PATTERNS_TRACES": "1"}, False, True),
    ],
)
def test_the_environment_says_whether_it_is_on_and_whether_spans_are_sent(
    environment: dict[str, str], sends: bool, on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert tracing.exports() is sends
    complete_assistant.build()
    assert (tracing.pipeline is not None) is on


async def test_a_handler_that_was_built_before_is_traced_from_the_start_on() -> None:
    handler, turn = tracing.stack(leaf, plain), Turn("Hi")
    await answer(handler, Turn("Hi"))
    tracing.start()
    await answer(handler, turn)
    assert [span.name.rpartition(".")[2] for span in kept_traces.spans()] == [
        "invoke_agent support_assistant",
        "plain",
    ]
    tracing.stop()
    await answer(handler, Turn("Hi"))
    assert {span.trace for span in kept_traces.spans()} == {f"{tracing.otel_trace_id(turn.trace_id):032x}"}


@pytest.mark.parametrize(("share", "kept"), [("1.0", 20), ("0.0", 0)])
async def test_the_sampler_of_the_environment_holds(share: str, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", share)
    tracing.start()
    turns = [Turn("Hi") for _ in range(10)]
    for turn in turns:
        await answer(tracing.stack(leaf, plain), turn)
    assert sum(len(kept_traces.spans(turn.trace_id)) for turn in turns) == kept


async def test_a_sampled_trace_is_whole_or_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    tracing.start()
    turns = [Turn("Hi") for _ in range(60)]
    for turn in turns:
        await answer(tracing.stack(leaf, plain, plain), turn)
    counts = [len(kept_traces.spans(turn.trace_id)) for turn in turns]
    assert set(counts) == {0, 3}  # 60 of the same kind: once in 2^59


# ids and names


@settings(max_examples=50)
@given(st.text())
def test_any_text_is_a_valid_trace_number(text: str) -> None:
    assert 0 < tracing.otel_trace_id(text) < 2**128
    assert tracing.otel_trace_id(text) == tracing.otel_trace_id(text)


@given(st.integers(1, 2**64 - 1))
def test_our_own_ids_keep_their_digits(number: int) -> None:
    assert tracing.otel_trace_id(f"trace_{number:016x}") == number
    assert tracing.otel_trace_id(f"trace_{number:016X}") == number or f"{number:x}" != f"{number:X}"


def test_a_new_turn_has_an_id_that_keeps_its_digits() -> None:
    turn = Turn("Hi")
    assert f"{tracing.otel_trace_id(turn.trace_id):016x}" == turn.trace_id.removeprefix("trace_")


def test_a_layer_is_called_after_its_module_and_function() -> None:
    class Odd:
        def __call__(self, inner: Handler) -> Handler:
            return inner

    assert tracing.name_of(plain) == "test_tracing.plain"
    assert tracing.name_of(streaming_ux.restart(3)) == "streaming_ux.restart"
    assert tracing.name_of(functools.partial(plain)) == "test_tracing.plain"
    assert tracing.name_of(Odd()).endswith("test_a_layer_is_called_after_its_module_and_function")
    assert len({tracing.name_of(storey.layer) for storey in complete_assistant.HOUSE}) > 10


def test_every_name_of_the_conventions_is_one() -> None:
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
    from opentelemetry.semconv.attributes import error_attributes, server_attributes

    known = {
        value
        for module in (gen_ai_attributes, error_attributes, server_attributes)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    used = [value for name, value in vars(genai_names).items() if name.isupper() and isinstance(value, str)]
    theirs = [name for name in used if not name.startswith(("patterns.", "OTEL_"))]
    assert len(theirs) > 20 and set(theirs) <= known


# what was said


SECRET = "Write to anna.secret@example.com about order H-4711."


@pytest.mark.parametrize("asked", ["", "true", "SPAN_ONLY"])
async def test_no_text_is_in_a_span_unless_somebody_asks_for_it_and_then_without_personal_data(
    asked: str, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(genai_names.CAPTURE, asked)

    @tools.tool
    def look_up(order: str) -> str:
        """Look up an order."""
        return f"Order {order} of anna.secret@example.com"

    async with scripted([("look_up", {"order": "H-4711"})], "Anna's order H-4711 is on its way."):
        turn = Turn(SECRET, replace(ANA, id="C-77"))
        await answer(tracing.stack(ASK, tool_use.use_tools([look_up])), turn)
    tracing.flush()
    everything = repr(received.spans)
    assert "anna.secret" not in everything and "C-77" not in everything
    assert ("H-4711" in everything) is bool(asked)
    first, last = sorted(received.named("chat scripted-large"), key=lambda span: span.start)
    if asked:
        [question] = json.loads(first.attributes["gen_ai.input.messages"])
        assert question["role"] == "user" and question["parts"][0]["content"].endswith("about order H-4711.")
        [said] = json.loads(first.attributes["gen_ai.output.messages"])
        assert said["parts"][0] | {"id": ""} == {
            "type": "tool_call", "id": "", "name": "look_up", "arguments": '{"order": "H-4711"}',
        }  # fmt: skip
        [end] = json.loads(last.attributes["gen_ai.output.messages"])
        assert end["finish_reason"] == "stop" and "on its way" in end["parts"][0]["content"]
        [tool] = received.named("execute_tool look_up")
        assert "H-4711" in tool.attributes["gen_ai.tool.call.arguments"]
        assert "H-4711" in tool.attributes["gen_ai.tool.call.result"]


# on the way to a collector


async def test_the_headers_and_the_path_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{received.endpoint}/api/public/otel")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic cGs6c2s=,x-langfuse-ingestion-version=4")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "support")
        tracing.start(keep=False)
        await answer(tracing.stack(leaf), Turn("Hi"))
        tracing.stop()
    assert set(received.paths) == {"/api/public/otel/v1/traces"}
    assert received.headers[0]["authorization"] == "Basic cGs6c2s="
    assert received.headers[0]["x-langfuse-ingestion-version"] == "4"
    assert received.headers[0]["content-type"] == "application/x-protobuf"
    assert received.spans[0].resource["service.name"] == "support"


async def test_a_collector_that_speaks_grpc_gets_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector(grpc=True) as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        tracing.start(keep=False)
        await answer(tracing.stack(leaf, plain), Turn("Hi"))
        tracing.stop()
    whole(received.spans)
    assert len(received.spans) == 2


async def test_a_collector_that_is_down_costs_spans_and_one_warning_and_no_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    tracing.start()
    before = metrics.value("tracing.dropped")
    handler = tracing.stack(leaf, plain)
    for _ in range(4):
        assert (await answer(handler, Turn("Hi"))).text == "Hello."
        tracing.flush()
    assert metrics.value("tracing.dropped") - before == 8
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warned) == 1 and "http://127.0.0.1:9" in warned[0].getMessage()
    assert len(kept_traces.spans()) == 2  # here they are nevertheless


async def test_an_outage_is_told_once_each_time(
    received: Received, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracing.stop()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    tracing.start(keep=False)
    handler = tracing.stack(leaf)
    for status in (503, 503, 200, 400, 400):
        received.answer = status
        await answer(handler, Turn("Hi"))
        tracing.flush()
    assert len(received.spans) == 1
    assert sum(record.levelno >= logging.WARNING for record in caplog.records) == 2


async def test_a_collector_that_hangs_holds_nobody_up_and_the_queue_has_an_end(
    received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracing.stop()
    for name, value in {"MAX_QUEUE_SIZE": "10", "MAX_EXPORT_BATCH_SIZE": "5"}.items():
        monkeypatch.setenv(f"OTEL_BSP_{name}", value)
    monkeypatch.setattr("patterns.span_export.FLUSH_SECONDS", 0.3)
    tracing.start(keep=False)
    received.pause.clear()
    before, started = metrics.value("tracing.dropped"), time.monotonic()
    for _ in range(100):
        await answer(tracing.stack(leaf), Turn("Hi"))
        await asyncio.sleep(0)
    tracing.stop()
    assert time.monotonic() - started < 3
    assert metrics.value("tracing.dropped") - before >= 100 - 15  # ten wait, five are on their way


# kept here


def span(name: str, parent: str = "", started: float = 0.0, **attributes: Any) -> kept_traces.Kept:
    return kept_traces.Kept("t", name, parent, name, started, 1.0, False, attributes)


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1e9)), max_size=30))
def test_the_tree_has_every_span_once_below_its_parent(drawn: list[tuple[int, float]]) -> None:
    spans = [span(str(n), str(parent) if parent < n else "gone", at) for n, (parent, at) in enumerate(drawn)]
    rows = kept_traces.tree(spans)
    assert sorted(row.span.id for row in rows) == sorted(one.id for one in spans)
    for place, row in enumerate(rows):
        above = next((before for before in reversed(rows[:place]) if before.depth < row.depth), None)
        assert (above.span.id == row.span.parent) if above else row.depth == 0


def test_the_text_of_a_trace_shows_what_is_worth_a_look() -> None:
    chat = span("chat m", "a", 0.5, **{"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 2})
    lines = kept_traces.text([span("a", "", 0.0, **{"patterns.outcome": "success"}), chat]).splitlines()
    assert lines[0] == "trace t, 2 spans"
    assert lines[2].split("ms") == ["  chat m    500.0 ", " +  1000.0 ", "  7 in, 2 out"]
    assert kept_traces.text([]) == "There is no such trace."


def test_the_oldest_spans_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_traces, "MOST", 5)
    traces = kept_traces.default()
    for number in range(4):
        traces.add([span(f"{number}-{part}") for part in range(3)])
    assert [one.id for one in traces.of("t")] == ["2-1", "2-2", "3-0", "3-1", "3-2"]


async def test_a_full_disk_is_no_end_of_a_request(own_state: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracing.start()
    kept_traces.default().close()
    before = metrics.value("tracing.dropped")
    assert (await answer(tracing.stack(leaf), Turn("Hi"))).text == "Hello."
    tracing.stop()
    assert metrics.value("tracing.dropped") == before + 1
    assert "trace store" in caplog.text
