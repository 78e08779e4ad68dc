"""The one door to a model: text, tool calls, vectors and scores in our types, faults in our words, all in the book."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from scripted import Broken, Chunks, Cut, Refused, scripted

from patterns import budgets, calls, ledger, models
from patterns.calls import Completion, RequestedCall
from patterns.course import control
from patterns.errors import CallerError, LimitHit, PatternsError, ProviderError

Dial = Callable[..., None]
QUESTION = [{"role": "user", "content": "hello"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "order_status",
            "description": "Where an order is: its state and when it arrives.",
            "parameters": {
                "type": "object",
                "properties": {"order_id": {"type": "string", "description": "Like H-100001."}},
                "required": ["order_id"],
                "additionalProperties": False,
            },
        },
    }
]


async def run(stream: AsyncGenerator[str | Completion, None]) -> tuple[list[str], Completion]:
    async with aclosing(stream) as pieces:
        got = [piece async for piece in pieces]
    *texts, end = got
    assert isinstance(end, Completion) and all(isinstance(text, str) and text for text in texts)
    return [str(text) for text in texts], end


async def chat(**options: Any) -> tuple[list[str], Completion]:
    return await run(calls.stream(QUESTION, **options))


def booked() -> list[ledger.Call]:
    return ledger.default().calls()


# streamed and whole


@pytest.mark.parametrize("whole", [False, True])
async def test_both_ways_end_with_the_same_completion(whole: bool) -> None:
    async with scripted("One two three.") as provider:
        texts, end = await chat(whole=whole, tier="small", max_tokens=50, feature="test", user="C-1")
    assert "".join(texts) == end.text == "One two three." and len(texts) == (1 if whole else 3)
    assert (end.finish, end.tool_calls, end.model, end.tier) == ("stop", (), "scripted-small", "small")
    assert end.provider_request_id == "req_scripted"
    assert bool(provider.bodies[0].get("stream")) is not whole and provider.bodies[0]["max_tokens"] == 50
    (call,) = booked()
    assert (call.outcome, call.estimated, call.feature, call.user) == ("done", False, "test", "C-1")
    assert (call.input_tokens, call.output_tokens) == (end.input_tokens, end.output_tokens)
    assert call.output_tokens == 4 and call.cost_usd is None  # nobody knows this model's price


async def test_on_the_standin_both_ways_say_and_cost_the_same(turn_dials: Dial) -> None:
    messages = [{"role": "user", "content": "What is 12 + 30?"}]
    _, streamed = await run(calls.stream(messages, tier="small"))
    texts, whole = await run(calls.stream(messages, tier="small", whole=True))
    assert whole.text == streamed.text and len(texts) == 1
    assert whole.output_tokens == streamed.output_tokens and whole.input_tokens == streamed.input_tokens
    assert whole.cost_usd and whole.cost_usd > 0


@pytest.mark.parametrize("whole", [False, True])
async def test_tool_calls_come_as_the_model_wrote_them(whole: bool) -> None:
    asked = [("find", {"name": "größer, longer than a piece"}), ("refund", '{"id": "H-1"', "mine"), ("list", {})]
    async with scripted(["Let me look.", *asked]):
        texts, end = await chat(whole=whole, tools=TOOLS)
    assert "".join(texts) == "Let me look." and end.finish == "tool_calls"
    assert end.tool_calls == (
        RequestedCall("call_1_0", "find", '{"name": "größer, longer than a piece"}'),
        RequestedCall("mine", "refund", '{"id": "H-1"'),
        RequestedCall("call_1_2", "list", "{}"),
    )


@pytest.mark.parametrize("whole", [False, True])
async def test_a_tool_call_on_the_standin(turn_dials: Dial, whole: bool) -> None:
    messages = [{"role": "user", "content": "Where is my order H-100001?"}]
    _, end = await run(calls.stream(messages, tier="large", tools=TOOLS, whole=whole))
    (call,) = end.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("order_status", {"order_id": "H-100001"}) and call.id


@pytest.mark.parametrize("whole", [False, True])
async def test_the_token_limit_shows_in_finish(whole: bool) -> None:
    async with scripted(Cut("Half an")):
        assert (await chat(whole=whole))[1].finish == "length"


# the oddities of compatible servers


def delta(call: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    said = fields if call is None else {"tool_calls": [call]}
    return {"index": 0, "delta": said, "finish_reason": finish}


def function(name: str | None = None, arguments: str | None = None, **fields: Any) -> dict[str, Any]:
    said = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {"type": "function", "function": said, **fields}


TWO = (RequestedCall("a", "one", '{"x": 1}'), RequestedCall("b", "two", "{}"))


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param([function("one", '{"x": 1}', id="a"), function("two", "{}", id="b")], id="no index"),
        pytest.param(
            [function("one", '{"x": 1}', id="a", index=0), function("two", "{}", id="b", index=0)], id="all 0"
        ),
        pytest.param(
            [
                function("one", "", id="a", index=0),
                function("two", "", id="b", index=1),
                function(None, '{"x"', index=0),
                function(None, "{}", index=1),
                function(None, ": 1}", index=0),
            ],
            id="interleaved",
        ),
        pytest.param(
            [
                function("one", '{"x": ', id="a", index=0),
                function(None, "1}", id="a", index=0),
                function("two", None, id="b", index=1),
                function(None, "{}", id="b", index=1),
            ],
            id="id repeated",
        ),
    ],
)
async def test_pieces_of_tool_calls_find_together(deltas: list[dict[str, Any]]) -> None:
    async with scripted(Chunks(*map(delta, deltas), delta(finish="tool_calls"))):
        assert (await chat())[1].tool_calls == TWO


async def test_deltas_without_anything_are_passed_over() -> None:
    chunks = Chunks(
        {"index": 0, "delta": {}}, delta(content=None), delta(content="yes"), delta(content="", finish="stop")
    )
    async with scripted(chunks):
        texts, end = await chat()
    assert texts == ["yes"] and end.finish == "stop"


async def test_a_stream_that_just_ends_is_an_error_and_not_an_answer() -> None:
    async with scripted(Chunks(delta(content="Half an"))):
        with pytest.raises(ProviderError) as caught:
            await chat()
    assert caught.value.code == "stream_cut" and caught.value.transient
    assert booked()[0].outcome == "stream_cut"


@pytest.mark.parametrize("reply", [{}, {"choices": []}, {"object": "list", "data": []}, {"choices": [{"index": 0}]}])
async def test_json_that_is_no_completion_is_an_error_in_our_words(reply: dict[str, Any]) -> None:
    async with scripted(reply):
        with pytest.raises(ProviderError) as caught:
            await chat(whole=True)
    assert caught.value.code == "bad_stream" and not caught.value.transient
    assert booked()[0].outcome == "bad_stream"


# faults


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("refused", "kind", "code"),
    [
        (Refused(429, headers={"retry-after": "7"}), ProviderError, "rate_limited"),
        (Refused(429, "insufficient_quota"), ProviderError, "quota"),
        (Refused(500), ProviderError, "overloaded"),
        (Refused(503), ProviderError, "overloaded"),
        (Refused(401), CallerError, "wrong_key"),
        (Refused(404), CallerError, "unknown_model"),
        (Refused(400), CallerError, "bad_request"),
        (Refused(400, "context_length_exceeded"), CallerError, "context_too_long"),
    ],
)
async def test_a_refusal_is_told_in_our_words_and_costs_nothing(
    whole: bool, refused: Refused, kind: type[PatternsError], code: str
) -> None:
    async with scripted(refused) as provider:
        with pytest.raises(kind) as caught:
            await chat(whole=whole)
        assert provider.requests == 1  # retrying belongs to the layers, where it can be seen
    assert caught.value.code == code and caught.value.message and caught.value.next_step
    if code == "rate_limited":
        assert isinstance(caught.value, ProviderError) and caught.value.retry_after == 7
    (call,) = booked()
    assert (call.outcome, call.input_tokens, call.output_tokens) == (code, 0, 0)


@pytest.mark.parametrize("whole", [False, True])
async def test_a_connection_that_drops_may_be_tried_again(whole: bool) -> None:
    async with scripted(Broken("some words that never end")):
        with pytest.raises(ProviderError) as caught:
            await chat(whole=whole)
    assert caught.value.transient and booked()[0].outcome == caught.value.code
    if not whole:
        assert caught.value.code == "stream_cut"
        assert booked()[0].estimated and booked()[0].output_tokens > 0  # what came is paid for


# money


async def test_a_call_that_could_pass_a_cap_is_not_made(turn_dials: Dial) -> None:
    await budgets.cap("tenant:t", 0.000_01)
    before = len(control.provider_log())
    for call in (chat(tenant="t"), calls.embed(["a" * 1000], tenant="t"), calls.rerank("q", ["a" * 1000], tenant="t")):
        with pytest.raises(LimitHit) as caught:
            await call
        assert caught.value.code == "budget" and "tenant:t" in caught.value.message
    assert len(control.provider_log()) == before and not booked()
    await chat(tenant="other")
    await budgets.cap("tenant:t", None)
    await chat(tenant="t")


async def test_every_scope_of_a_call_is_charged_what_the_provider_counted(turn_dials: Dial) -> None:
    await chat(tier="small", tenant="t", user="u", feature="f")
    vectors = await calls.embed(["a text"], tenant="t", user="u", feature="g")
    assert len(vectors) == 1
    chatted, embedded = booked()
    assert chatted.cost_usd and embedded.cost_usd and not chatted.estimated
    for scope, cost in {
        "all": chatted.cost_usd + embedded.cost_usd,
        "tenant:t": chatted.cost_usd + embedded.cost_usd,
        "user:t/u": chatted.cost_usd + embedded.cost_usd,
        "feature:f": chatted.cost_usd,
        "feature:g": embedded.cost_usd,
        "tenant:other": 0.0,
    }.items():
        spent = await budgets.spending(scope)
        assert spent.settled == pytest.approx(cost, abs=3e-9) and spent.reserved == 0.0, scope


async def test_while_a_call_runs_the_most_that_it_can_cost_is_set_aside(turn_dials: Dial) -> None:
    async with aclosing(calls.stream(QUESTION, max_tokens=100, tenant="t")) as pieces:
        await anext(pieces)
        during = (await budgets.spending("tenant:t")).reserved
        assert during == pytest.approx(booked()[0].cost_usd, abs=2e-9)
        end = [piece async for piece in pieces][-1]
    assert isinstance(end, Completion) and end.cost_usd
    after = await budgets.spending("tenant:t")
    assert after.reserved == 0 and after.settled == pytest.approx(end.cost_usd, abs=2e-9) and end.cost_usd <= during


@pytest.mark.parametrize("after", [0, 1, 5])
async def test_a_call_that_is_left_is_charged_at_least_what_the_provider_wrote(turn_dials: Dial, after: int) -> None:
    turn_dials(tokens_per_second=200, time_to_first_token=0 if after else 10)
    price = models.provider().tier("large")
    question, before = [{"role": "user", "content": "Count to 60."}], len(control.provider_log())
    async with aclosing(calls.stream(question, tools=TOOLS, tenant="t")) as pieces:
        for _ in range(after):
            await anext(pieces)
        if not after:  # left before the first word
            waiting = asyncio.ensure_future(anext(pieces))
            while len(control.provider_log()) == before:
                await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.wait({waiting})
    written = (await control.settled_log())[-1]
    truth = price.cost(written["prompt_tokens"], written["tokens_sent"])
    spent = await budgets.spending("tenant:t")
    assert truth is not None and spent.settled >= truth and spent.reserved == 0.0


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("cut_after", [0, 3])
async def test_a_call_that_breaks_is_charged_at_least_what_the_provider_counted(
    turn_dials: Dial, whole: bool, cut_after: int
) -> None:
    turn_dials(cut_after=cut_after)
    await budgets.cap("tenant:t", 1.0)
    with pytest.raises(ProviderError):
        await chat(tools=TOOLS, whole=whole, tenant="t")
    written = (await control.settled_log())[-1]
    truth = models.provider().tier("large").cost(written["prompt_tokens"], written["tokens_sent"])
    spent = await budgets.spending("tenant:t")
    assert truth and spent.settled >= truth and spent.reserved == 0.0


async def test_a_refused_call_costs_nothing(turn_dials: Dial) -> None:
    turn_dials(rate_limited=1)
    with pytest.raises(ProviderError):
        await chat(tenant="t")
    assert await budgets.spending("tenant:t") == budgets.Spending(None, 0.0, 0.0)


async def test_a_model_without_a_price_gets_past_no_cap() -> None:
    async with scripted("Some words.") as provider:
        await chat(tenant="t")
        await budgets.cap("all", 100)
        with pytest.raises(LimitHit) as caught:
            await chat(tenant="t")
        assert caught.value.code == "budget" and "price" in caught.value.message and provider.requests == 1


# vectors


def vectors(*rows: list[float], order: list[int] | None = None) -> dict[str, Any]:
    places = order or list(range(len(rows)))
    data = [{"object": "embedding", "index": place, "embedding": rows[place]} for place in places]
    return {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 9, "total_tokens": 9}}


async def test_vectors_have_length_one_and_stand_in_the_order_of_the_texts() -> None:
    async with scripted(vectors([3, 4], [0, 2], [0, 0], order=[2, 0, 1])) as provider:
        found = await calls.embed(["a", "b", "c"], feature="index", tenant="acme-home")
    assert found.dtype == np.float32
    assert np.allclose(found, [[0.6, 0.8], [0, 1], [0, 0]])
    assert provider.paths == ["/v1/embeddings"] and provider.bodies[0]["input"] == ["a", "b", "c"]
    (call,) = booked()
    assert (call.tier, call.feature, call.tenant, call.input_tokens) == ("embed", "index", "acme-home", 9)


async def test_vectors_of_the_standin_mean_something(turn_dials: Dial) -> None:
    found = await calls.embed(["return a parcel", "send the package back", "reset my password"])
    assert found.shape[0] == 3 and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2]
    (call,) = booked()
    assert call.outcome == "done" and call.input_tokens > 0 and call.cost_usd and call.cost_usd > 0


@pytest.mark.parametrize("reply", [vectors([1, 0]), vectors([1, 0], [1]), {"data": []}, {"error": "none"}])
async def test_vectors_that_do_not_fit_the_texts_are_refused(reply: dict[str, Any]) -> None:
    async with scripted(reply):
        with pytest.raises(ProviderError) as caught:
            await calls.embed(["a", "b"])
    assert caught.value.code == "bad_stream" and booked()[0].outcome == "bad_stream"


# scores


def scores(*pairs: tuple[int, float]) -> dict[str, Any]:
    results = [{"index": index, "relevance_score": score} for index, score in pairs]
    return {"results": results, "usage": {"total_tokens": 12}}


async def test_scores_stand_in_the_order_of_the_texts() -> None:
    async with scripted(scores((2, 0.9), (0, 0.5), (1, 0.1))) as provider:
        assert await calls.rerank("q", ["a", "b", "c"]) == [0.5, 0.1, 0.9]
    assert provider.paths == ["/v1/rerank"]
    assert provider.bodies[0] == {"model": "scripted-rerank", "query": "q", "documents": ["a", "b", "c"]}
    (call,) = booked()
    assert (call.tier, call.outcome, call.input_tokens) == ("rerank", "done", 12)


@pytest.mark.parametrize("reply", [scores((0, 1.0)), scores((0, 1.0), (2, 1.0)), {"results": [{"index": 0}]}, {}])
async def test_scores_that_do_not_fit_the_texts_are_refused(reply: dict[str, Any]) -> None:
    async with scripted(reply):
        with pytest.raises(ProviderError) as caught:
            await calls.rerank("q", ["a", "b"])
    assert caught.value.code == "bad_stream" and booked()[0].outcome == "bad_stream"


async def test_the_standin_ranks_what_answers_first(turn_dials: Dial) -> None:
    texts = [
        "The blender has a glass jug.",
        "Returns are possible within 30 days of delivery.",
        "We are closed on Sunday.",
    ]
    found = await calls.rerank("How long can I return something?", texts)
    assert found.index(max(found)) == 1


async def test_a_provider_without_a_rerank_model_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted("hello"):
        monkeypatch.delenv("PATTERNS_MODEL_RERANK")
        with pytest.raises(CallerError, match="PATTERNS_MODEL_RERANK"):
            await calls.rerank("q", ["a"])
