"""Fallbacks: only outages move down, every answer says its rung, nothing is mixed, and an outage is not made worse."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns import (
    acme,
    acme_tools,
    agent_loop,
    bounds,
    caching,
    complete_assistant,
    fallbacks,
    faq_search,
    metrics,
    rag,
    rungs,
    streaming_ux,
    structured_output,
)
from patterns.breaker import guarded
from patterns.course import control
from patterns.errors import CallerError, LimitHit, PatternsError, ProviderError
from patterns.events import (
    Answer,
    ConfirmationRequired,
    Event,
    Failed,
    Handler,
    Reset,
    Status,
    TextDelta,
    ToolCall,
    ToolResult,
    Turn,
    User,
    answer,
    stack,
)
from patterns.hedging import Tail, hedged
from patterns.ledger import Request
from patterns.retries import MAX_WAIT, Allowance, impatient, retried, wait
from patterns.rungs import Rungs

Dial = Callable[..., None]
QUESTION = Turn("What is the shipping fee for an order below $50?", User("C-0005"))
UNKNOWN = Turn("Which colour has the moon over Zanzibar?", User("C-0013"))
QUICK = Rungs(0.1, tiers=("small",), faq=True)


def down(code: str = "overloaded", retry_after: float | None = None, transient: bool = True) -> ProviderError:
    return ProviderError("Down.", "Try again.", code, transient=transient, retry_after=retry_after)


TRANSIENT = [down("rate_limited", 1), down("overloaded"), down("timeout"), down("unreachable"), down("breaker_open")]
LASTING: list[PatternsError] = [
    down("quota", transient=False),
    down("refused", transient=False),
    CallerError("x", "y", "bad_request"),
    CallerError("x", "y", "wrong_key"),
    LimitHit("x", "y", "budget"),
    LimitHit("x", "y", "seconds"),
    LimitHit("x", "y", "switched_off"),
]


def by_code(error: PatternsError) -> str:
    return error.code


class Model:
    """Plays `script` by tier, one list of events and errors a call, the last one for ever."""

    def __init__(self, **script: list[list[Any]]) -> None:
        self.script, self.asked = script, []

    async def handle(self, turn: Turn) -> AsyncGenerator[Event, None]:
        tier = turn.tier or "large"
        plays = self.script[tier]
        play = plays[min(self.asked.count(tier), len(plays) - 1)]
        self.asked.append(tier)
        for step in play:
            if isinstance(step, Exception):
                raise step
            yield step


async def collect(handler: Handler, turn: Turn = QUESTION) -> list[Event]:
    async with aclosing(handler(turn)) as events:
        return [event async for event in events]


def shown(events: list[Event]) -> str:
    text = ""
    for event in events:
        if isinstance(event, Reset):
            text = ""
        elif isinstance(event, TextDelta):
            text += event.text
    return text


def end_of(events: list[Event]) -> Answer:
    end = events[-1]
    assert isinstance(end, Answer), events
    assert not isinstance(events[-2], TextDelta) or shown(events) == end.text
    return end


def said(text: str, tier: str) -> list[Any]:
    return [TextDelta(text), Answer(text=text, tier=tier)]


# only outages move down


@pytest.mark.parametrize("error", TRANSIENT, ids=by_code)
async def test_an_outage_moves_down_to_a_passage_that_says_what_it_is(error: ProviderError) -> None:
    end = end_of(await collect(fallbacks.ladder()(Model(large=[[error]]).handle)))
    assert (end.served, end.outcome) == ("simplified", "partial")
    assert "$5.95" in end.text and "words alone" in end.text and "help@acme-home.example" in end.text
    assert end.cited_chunk_ids and end.cited_chunk_ids[0].startswith("home-shipping-and-delivery#")


@pytest.mark.parametrize("error", LASTING, ids=by_code)
@pytest.mark.parametrize(
    "layer", [fallbacks.ladder(), fallbacks.tiers(), retried()], ids=["ladder", "tiers", "retried"]
)
async def test_what_is_no_outage_goes_out_as_it_is(layer: Any, error: PatternsError) -> None:
    model = Model(large=[[error]], small=[said("No!", "small")])
    with pytest.raises(PatternsError) as caught:
        await collect(layer(model.handle))
    assert caught.value is error and model.asked == ["large"]


async def test_where_nothing_is_found_it_says_who_can_help_and_when_to_come_back() -> None:
    model = Model(large=[[down(retry_after=200)]])
    end = end_of(await collect(fallbacks.ladder()(model.handle), UNKNOWN))
    assert (end.served, end.outcome, end.confident, end.cost_usd) == ("unavailable", "failure", False, 0.0)
    for way_out in ("help@acme-home.example", "+1-555-0110", "8:00-20:00", "4 min"):
        assert way_out in end.text


async def test_it_speaks_the_language_of_the_customer() -> None:
    turn = Turn("Mondfarbe?", User("C-0053", "acme-nord", language="de"))
    end = end_of(await collect(fallbacks.ladder()(Model(large=[[down()]]).handle), turn))
    assert "nicht erreichbar" in end.text and "hilfe@acme-nord.example" in end.text


async def test_a_healthy_answer_passes_unchanged() -> None:
    play = [Status("drafting"), *said("Once a month.", "large")]
    model = Model(large=[play])
    layers = (
        fallbacks.ladder(),
        fallbacks.tiers(),
        retried(),
        guarded(fallbacks.model_key),
        hedged(fallbacks.model_key),
    )
    assert await collect(stack(model.handle, *layers)) == play and model.asked == ["large"]


@pytest.mark.parametrize("ends", [ConfirmationRequired("t", "Shall we?"), Failed("x", "y", "z", False)])
@pytest.mark.parametrize("feature", ["chat", "high_stakes"])
async def test_other_endings_pass_as_well(ends: Event, feature: str) -> None:
    model = Model(large=[[ends]])
    assert await collect(fallbacks.ladder()(model.handle), replace(QUESTION, feature=feature)) == [ends]


# tiers


async def test_the_small_model_answers_when_the_large_one_is_down() -> None:
    model = Model(large=[[down()]], small=[said("Monthly.", "small")])
    end = end_of(await collect(fallbacks.tiers()(model.handle)))
    assert (end.served, end.tier, model.asked) == ("live", "small", ["large", "small"])


async def test_a_run_stays_on_the_tier_that_answered_and_the_next_run_does_not() -> None:
    asks = [ToolCall("call_1", "search_help", {"query": "fee"})]
    model = Model(large=[[down()], said("Monthly.", "large")], small=[asks, said("Monthly.", "small")])
    handler = fallbacks.tiers()(model.handle)
    await collect(handler)
    assert end_of(await collect(handler, replace(QUESTION, exchange=({"role": "tool"},)))).tier == "small"
    assert end_of(await collect(handler, replace(QUESTION, trace_id="trace_2"))).tier == "large"
    assert model.asked == ["large", "small", "small", "large"]


async def test_both_tiers_down_reach_a_rung_without_a_model() -> None:
    model = Model(large=[[down()]], small=[[down()]])
    end = end_of(await collect(stack(model.handle, fallbacks.ladder(), fallbacks.tiers())))
    assert end.served == "simplified" and model.asked == ["large", "small"]


async def test_where_nothing_answers_at_the_address_no_other_tier_is_asked() -> None:
    model = Model(large=[[down("unreachable")]], small=[said("never", "small")])
    end = end_of(await collect(stack(model.handle, fallbacks.ladder(), fallbacks.tiers())))
    assert end.served == "simplified" and model.asked == ["large"]


async def test_a_dearer_tier_never_stands_in() -> None:
    model = Model(small=[[down()]], large=[said("never", "large")])
    dearer = fallbacks.tiers(lambda feature: Rungs(10.0, tiers=("large", "small")))
    end = end_of(await collect(dearer(model.handle), replace(QUESTION, tier="small")))
    assert end.served == "unavailable" and model.asked == ["small"]


async def test_texts_of_two_tiers_are_never_mixed() -> None:
    model = Model(large=[[TextDelta("Every we"), down("stream_cut")]], small=[said("Monthly.", "small")])
    events = await collect(stack(model.handle, fallbacks.ladder(), fallbacks.tiers()))
    assert [event.kind for event in events] == ["text_delta", "reset", "text_delta", "answer"]
    assert shown(events) == end_of(events).text == "Monthly."


async def test_a_passage_after_the_first_word_comes_behind_a_reset() -> None:
    events = await collect(fallbacks.ladder()(Model(large=[[TextDelta("Every we"), down("stream_cut")]]).handle))
    assert shown(events) == end_of(events).text and "Every we" not in shown(events)


async def test_tool_calls_of_two_tiers_are_never_run_together() -> None:
    model = Model(large=[[ToolCall("1", "look", {}), down()]], small=[said("never", "small")])
    with pytest.raises(ProviderError):
        await collect(stack(model.handle, fallbacks.tiers(), retried()))
    assert model.asked == ["large"]


async def test_a_layer_that_wants_a_value_gets_the_error() -> None:
    model = Model(large=[[down()]], small=[[down()]])
    with pytest.raises(ProviderError):
        await collect(fallbacks.tiers()(model.handle), replace(QUESTION, output=structured_output.ChatAnswer))


# the ladder of a feature


@pytest.mark.parametrize("feature", ["batch", "background"])
async def test_nobody_waits_so_the_error_goes_out(feature: str) -> None:
    model = Model(large=[[down()]], small=[[down()]])
    with pytest.raises(ProviderError):
        handler = stack(model.handle, fallbacks.ladder(), fallbacks.tiers())
        await collect(handler, replace(QUESTION, feature=feature))
    assert model.asked == (["large"] if feature == "batch" else ["large", "small"])


@pytest.mark.parametrize(
    "play",
    [
        [down()],
        [TextDelta("old"), Answer(text="old", served="stale")],
        [TextDelta("plain"), Answer(text="plain", served="simplified")],
        [TextDelta("half a "), down("stream_cut")],
    ],
    ids=["outage", "stale", "simplified", "cut"],
)
async def test_where_much_is_at_stake_a_person_is_called_once_and_nothing_weak_is_shown(play: list[Any]) -> None:
    turn = replace(QUESTION, feature="high_stakes", trace_id="trace_stakes")
    layers = fallbacks.ladder(handoff=acme_tools.escalate_to_human), fallbacks.tiers()
    handler = stack(Model(large=[play]).handle, *layers)
    for _ in range(2):
        events = await collect(handler, turn)
        end = end_of(events)
        assert (end.served, end.outcome) == ("handoff", "human_handoff") and "E-00001" in end.text
        assert [event.text for event in events if isinstance(event, TextDelta)] == [end.text]
    assert len(acme_tools.desk().work("escalation")) == 1


async def test_where_much_is_at_stake_a_live_answer_is_shown_when_it_is_whole() -> None:
    events = await collect(
        fallbacks.ladder()(Model(large=[said("Yes.", "large")]).handle), replace(QUESTION, feature="high_stakes")
    )
    assert shown(events) == "Yes." == end_of(events).text


async def test_after_a_tool_has_run_no_article_is_offered_for_its_result() -> None:
    play = [ToolResult("1", "order_lookup", {"status": "sent"}), Answer(text="", served="unavailable")]
    end = end_of(await collect(fallbacks.ladder()(Model(large=[play]).handle)))
    assert end.served == "unavailable" and "nothing is done twice" in end.text


async def test_an_old_answer_says_its_age_in_its_text() -> None:
    play = [Status("drafting", "answered 3 hours ago"), TextDelta("A."), Answer(text="A.", served="stale")]
    events = await collect(fallbacks.ladder()(Model(large=[play]).handle))
    assert "3 hours ago" in end_of(events).text and end_of(events).served == "stale"
    assert shown(events) == end_of(events).text


# the deadline


async def hangs(turn: Turn) -> AsyncGenerator[Event, None]:
    yield Status("drafting")
    await asyncio.sleep(60)
    yield Answer(text="too late")


async def test_the_deadline_of_the_feature_leads_to_a_passage_and_closes_what_hangs() -> None:
    closed = []

    async def watched(turn: Turn) -> AsyncGenerator[Event, None]:
        try:
            async with aclosing(hangs(turn)) as events:
                async for event in events:
                    yield event
        finally:
            closed.append(turn.request_id)

    end = end_of(await collect(fallbacks.ladder(lambda feature: QUICK)(watched)))
    assert end.served == "simplified" and closed == [QUESTION.request_id]


async def test_a_silent_call_is_given_up() -> None:
    with pytest.raises(ProviderError) as caught:
        await collect(impatient(0.05)(hangs))
    assert caught.value.code == "timeout" and caught.value.transient


# trying again


async def test_it_is_tried_again_once_and_says_so_after_the_first_word() -> None:
    model = Model(large=[[TextDelta("Ev"), down("stream_cut")], said("Monthly.", "large")])
    events = await collect(retried()(model.handle))
    assert [event.kind for event in events] == ["text_delta", "reset", "text_delta", "answer"]


@pytest.mark.parametrize("error", [down(retry_after=MAX_WAIT + 1), down("breaker_open")], ids=["long", "open"])
async def test_where_waiting_is_too_long_the_next_rung_is_tried_at_once(error: ProviderError) -> None:
    model = Model(large=[[error]], small=[said("Monthly.", "small")])
    end = end_of(await collect(stack(model.handle, fallbacks.tiers(), retried())))
    assert end.tier == "small" and model.asked == ["large", "small"]


async def test_an_outage_is_not_made_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patterns.retries.wait", lambda *_: 0.0)
    model = Model(large=[[down()]], small=[[down()]])
    alone = retried(least=3)(model.handle)
    for _ in range(200):
        with pytest.raises(ProviderError):
            await collect(alone, replace(QUESTION, request_id="r"))
    assert len(model.asked) <= 1.1 * 200
    model.asked.clear()
    layers = fallbacks.ladder(), fallbacks.tiers(), retried(), guarded(fallbacks.model_key)
    handler = stack(model.handle, *layers)
    ends = [end_of(await collect(handler)).served for _ in range(200)]
    assert set(ends) == {"simplified"} and len(model.asked) <= 12  # five failures open each of the two breakers


@given(st.lists(st.tuples(st.sampled_from(["call", "retry"]), st.sampled_from("abc"), st.floats(0, 30)), max_size=200))
def test_extra_calls_never_pass_their_share(steps: list[tuple[str, str, float]]) -> None:
    now = 0.0
    allowance = Allowance(0.1, 3, 2, 60.0, lambda: now)
    calls: list[float] = []
    extra: list[tuple[float, str]] = []
    for what, who, pause in steps:
        now += pause
        if what == "call":
            allowance.called()
            calls.append(now)
        elif allowance.take(who):
            extra.append((now, who))
        recent = [one for at, one in extra if at >= now - 60]
        if what == "retry" and extra and extra[-1][0] == now:
            assert len(recent) <= max(3, 0.1 * sum(at >= now - 60 for at in calls))
            assert recent.count(extra[-1][1]) <= 2


@given(st.integers(1, 20), st.none() | st.floats(0, 100), st.floats(0, 1))
def test_a_wait_is_never_shorter_than_asked_for_and_never_much_longer(
    attempt: int, retry_after: float | None, dice: float
) -> None:
    asked = retry_after or 0.0
    assert asked <= wait(attempt, retry_after, lambda: dice) <= asked + MAX_WAIT


def test_callers_who_fail_together_come_back_apart() -> None:
    assert len({round(wait(3, 1.0), 3) for _ in range(100)}) > 50


# hedging


class Slow:
    """Speaks after `waits` seconds, call by call; records which calls were closed early."""

    def __init__(self, *waits: float | PatternsError) -> None:
        self.waits, self.calls, self.left = waits, 0, []

    async def handle(self, turn: Turn) -> AsyncGenerator[Event, None]:
        number = self.calls
        self.calls += 1
        pause = self.waits[min(number, len(self.waits) - 1)]
        whole = False
        try:
            yield Status("drafting")
            if isinstance(pause, PatternsError):
                raise pause
            await asyncio.sleep(pause)
            yield TextDelta(f"{number}")
            await asyncio.sleep(0)
            yield Answer(text=f"{number}")
            whole = True
        finally:
            if not whole:
                self.left.append(number)


async def warmed(slow: Slow, calls: int = 20) -> Handler:
    handler = hedged(lambda turn: "m")(slow.handle)
    for _ in range(calls):
        await collect(handler)
    return handler


async def test_a_call_that_takes_unusually_long_is_made_twice_and_the_loser_is_closed() -> None:
    slow = Slow(*[0.0] * 20, 30.0, 0.0)
    events, left = [], []
    async with aclosing((await warmed(slow))(QUESTION)) as race:
        async for event in race:
            events.append(event)
            left.append(list(slow.left))
    assert [event.kind for event in events] == ["status", "text_delta", "answer"]
    assert shown(events) == "21" and slow.calls == 22 and left == [[], [20], [20]]  # closed before the first word


async def test_nothing_is_asked_twice_while_little_is_known_nor_past_the_share() -> None:
    slow = Slow(0.0)
    handler = await warmed(slow, 20)
    assert slow.calls == 20
    slow.waits = (0.2,)
    await asyncio.gather(*(collect(handler) for _ in range(20)))  # all of them unusually long
    assert slow.calls - 40 <= max(1, 0.05 * 40)


async def test_a_first_call_that_fails_while_the_second_runs_is_forgotten() -> None:
    class Fails(Slow):
        async def handle(self, turn: Turn) -> AsyncGenerator[Event, None]:
            if self.calls == 20:
                self.calls += 1
                await asyncio.sleep(0.1)
                raise down()
            async with aclosing(super().handle(turn)) as events:
                async for event in events:
                    yield event

    slow = Fails(*[0.0] * 20, 0.0, 0.15)
    assert shown(await collect(await warmed(slow))) == "21"


async def test_leaving_a_race_closes_both_calls() -> None:
    slow = Slow(*[0.0] * 20, 30.0, 30.0)
    handler = await warmed(slow)
    reader = asyncio.create_task(collect(handler))
    while slow.calls < 22:
        await asyncio.sleep(0.01)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert sorted(slow.left) == [20, 21]


async def test_an_error_of_a_hedged_call_comes_out_as_it_is() -> None:
    error = CallerError("x", "y", "bad_request")
    handler = await warmed(Slow(*[0.0] * 20, error))
    with pytest.raises(CallerError) as caught:
        await collect(handler)
    assert caught.value is error


def test_the_delay_is_the_95th_percentile_and_twice_the_median_at_least() -> None:
    tail = Tail()
    for _ in range(19):
        tail.saw(10.0)
    assert tail.delay is None
    for number in range(82):
        tail.saw(100.0 if number < 6 else 10.0)
    assert tail.delay == 100.0
    for _ in range(94):
        tail.saw(10.0)
    assert tail.delay == 20.0  # where nearly all are alike, twice the usual


# the words


async def test_no_customer_gets_a_passage_that_they_may_not_read() -> None:
    texts = [article.title for article in acme.articles()]
    for user in (acme.user("C-0001"), User("x", "acme-home"), User("x", "acme-nord", language="de")):
        readable = {article.id for article in acme.articles() if article.visible_to(user)}
        for text in texts:
            found = faq_search.search(text, user, rag.fresh_since)
            assert found is None or {chunk.document_id for chunk in found.chunks} <= readable


@given(st.text(max_size=60))
def test_any_question_can_be_searched(text: str) -> None:
    found = faq_search.search(text, User())
    assert found is None or found.share >= faq_search.ENOUGH


def test_a_tenant_outside_the_world_has_no_contact_and_no_articles() -> None:
    stranger = User("x", "nobody")
    assert faq_search.contact("nobody") is None and faq_search.search("shipping", stranger) is None


# counting


def request(served: str, tier: str = "", outcome: str = "success") -> Request:
    return Request("r", 0.0, "t", "chat", "acme-home", "u", served, tier, outcome, 0.0, 0.0)


def test_the_mix_of_rungs_and_its_alarms() -> None:
    many = [request("live", "large")] * 90 + [request("stale")] * 4 + [request("", "", "overloaded")] * 2
    limits = [request("", "", "rate_limit")] * 50 + [request("", "", "aborted")] * 50
    assert rungs.distribution([*many, *limits])["live/large"] == 90 / 96
    assert set(rungs.distribution(many)) == {"live/large", "stale", "failed"}
    assert "today" in rungs.alert([*many, *limits])
    assert "now" in rungs.alert([*many, *[request("simplified")] * 40])
    assert not rungs.alert([request("live")] * 90) and not rungs.alert([request("simplified")] * 3)
    assert rungs.fallen_back([]) == 0.0 and rungs.distribution([]) == {}


# the whole assistant


def house() -> Handler:
    """As the lead's HOUSE has it, in short."""
    return stack(
        complete_assistant.core,
        streaming_ux.report_failures,
        fallbacks.ladder(fresh_since=rag.fresh_since),
        caching.response_cache(),
        guarded(fallbacks.provider_key),
        rag.retrieve(rag.acme_index, fresh_since=rag.fresh_since),
        agent_loop.agent(rag.TOOLS, handoff=acme_tools.escalate_to_human),
        fallbacks.tiers(),
        rag.grounded,
        structured_output.structured(),
        retried(),
        guarded(fallbacks.model_key),
        impatient(),
        hedged(fallbacks.model_key),
        bounds.bounded(max_tokens=1_000),
    )


@pytest.mark.usefixtures("with_library")
@pytest.mark.parametrize(
    ("dials", "served", "tier"),
    [
        ({}, "live", "large"),
        ({"outage": ("standin-large",)}, "live", "small"),
        ({"outage": ("*",)}, "simplified", ""),
        ({"rate_limited": 1.0, "retry_after": 30.0}, "simplified", ""),
        ({"server_error": 1.0}, "simplified", ""),
        ({"cut_after": 3}, "simplified", ""),
    ],
    ids=["healthy", "large-out", "all-out", "limited", "errors", "cut"],
)
async def test_the_assistant_answers_or_says_what_it_is(
    turn_dials: Dial, dials: dict[str, Any], served: str, tier: str
) -> None:
    turn_dials(**dials)
    events = await collect(house())
    end = end_of(events)
    assert (end.served, end.tier) == (served, tier) and "5.95" in end.text
    assert shown(events) == end.text and not acme_tools.desk().work("escalation")


@pytest.mark.usefixtures("with_library")
async def test_an_old_answer_comes_before_a_found_passage(turn_dials: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = house()
    first = await answer(handler, Turn(QUESTION.text, QUESTION.user))
    now = time.time
    monkeypatch.setattr("time.time", lambda: now() + 2 * 86_400.0)
    turn_dials(outage=("*",))
    end = await answer(handler, Turn(QUESTION.text, QUESTION.user))
    assert end.served == "stale" and end.text.startswith(first.text) and "2 days ago" in end.text


@pytest.mark.usefixtures("with_library")
async def test_in_an_outage_calls_stay_near_the_requests(turn_dials: Dial) -> None:
    handler = house()
    turn_dials(outage=("*",))
    before, refused = len(control.provider_log()), metrics.value("retries.refused")
    ends = [await answer(handler, Turn(f"{QUESTION.text} ({number})", QUESTION.user)) for number in range(30)]
    assert {end.served for end in ends} == {"simplified"}
    assert len(control.provider_log()) - before <= 33 and metrics.value("retries.refused") >= refused
