"""Streaming: statuses first, heartbeats, restarts that say so, replay, and a Stop that reaches the provider."""

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns import complete_assistant, ledger, streaming_ux
from patterns.course import control
from patterns.errors import CallerError, ProviderError
from patterns.events import Answer, Event, Failed, Message, Reset, Status, TextDelta, Turn, User, answer
from patterns.replay import Replay

QUESTION = Turn("Explain in detail, step by step, how returns and refunds work.")
Dial = Callable[..., None]


async def collect(handler: Any, turn: Turn = QUESTION) -> list[Event]:
    async with aclosing(handler(turn)) as events:
        return [event async for event in events]


def text_of(events: list[Event]) -> str:
    """What a reader sees at the end: the text since the last Reset."""
    text = ""
    for event in events:
        match event:
            case TextDelta():
                text += event.text
            case Reset():
                text = ""
            case _:
                pass
    return text


# the assistant on the stand-in


async def test_statuses_come_before_words_and_the_pieces_make_the_answer(turn_dials: Dial) -> None:
    events = await collect(complete_assistant.build(through="streaming_ux"))
    # A loaded machine may be slow enough for a heartbeat.
    phases = [event.phase for event in events if isinstance(event, Status) and not event.idle_seconds]
    assert phases == ["received", "searching", "drafting"]
    first_word = next(at for at, event in enumerate(events) if isinstance(event, TextDelta))
    assert all(isinstance(event, Status) for event in events[:first_word])
    end = events[-1]
    assert isinstance(end, Answer) and end.text == text_of(events) and "deliver" in end.text
    assert end.cost_usd and end.cost_usd > 0


async def test_streaming_layers_do_not_change_what_is_said(turn_dials: Dial) -> None:
    bare = await answer(complete_assistant.build(through="start_here"), QUESTION)
    layered = await answer(complete_assistant.build(through="streaming_ux"), QUESTION)
    assert layered.text == bare.text


@pytest.mark.parametrize("through", ["start_here", "streaming_ux"])
async def test_breaking_off_stops_the_provider(turn_dials: Dial, through: str) -> None:
    turn_dials(tokens_per_second=50)
    read = 0
    async with aclosing(complete_assistant.build(through=through)(QUESTION)) as events:
        async for event in events:
            read += isinstance(event, TextDelta)
            if read == 5:
                break
    closed = time.monotonic()
    entry = (await control.settled_log())[-1]
    assert time.monotonic() - closed < 1.0  # `make bench` measures it; here a loaded machine must pass too
    assert entry["ended"] == "aborted"
    assert 5 <= entry["tokens_sent"] < entry["tokens_planned"]
    await asyncio.sleep(0.2)  # ten more tokens would have come by now
    assert control.provider_log()[-1]["tokens_sent"] == entry["tokens_sent"]


@pytest.mark.parametrize("when", ["before the first token", "in the middle", "during a stall"])
async def test_cancelling_the_reader_stops_the_provider(turn_dials: Dial, when: str) -> None:
    dials = {"before the first token": {"time_to_first_token": 30}, "during a stall": {"stall_after": 3}}
    turn_dials(**{"tokens_per_second": 50, **dials.get(when, {})})
    before = len(control.provider_log())
    task = asyncio.create_task(collect(complete_assistant.build(through="streaming_ux")))
    while len(control.provider_log()) == before:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)  # so that it is thinking no more but waiting, speaking or stalled
    assert control.provider_log()[-1]["ended"] == "running"
    task.cancel()
    await asyncio.wait({task})
    closed = time.monotonic()
    entry = (await control.settled_log())[-1]
    assert time.monotonic() - closed < 1.0
    assert entry["ended"] == "aborted"


async def test_a_stopped_call_stands_in_the_ledger_with_an_estimate(turn_dials: Dial) -> None:
    turn_dials(tokens_per_second=50)
    async with aclosing(complete_assistant.build(through="streaming_ux")(QUESTION)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    call = ledger.default().calls(trace_id=QUESTION.trace_id)[-1]
    assert (call.outcome, call.estimated) == ("aborted", True)
    assert call.input_tokens > 500 and call.output_tokens >= 1 and call.cost_usd and call.cost_usd > 0


async def test_thirty_two_streams_do_not_disturb_one_another(turn_dials: Dial) -> None:
    handler = complete_assistant.build(through="streaming_ux")
    turns = [Turn(f"What does error E-{number} mean?") for number in (101, 104, 117, 203, 207, 310, 315, 402)] * 4
    alone = {turn.text: (await answer(handler, turn)).text for turn in turns[:8]}
    together = await asyncio.gather(*(answer(handler, turn) for turn in turns))
    assert [result.text for result in together] == [alone[turn.text] for turn in turns]


async def test_a_cut_stream_is_retried_behind_a_reset_and_fails_with_a_sentence(turn_dials: Dial) -> None:
    turn_dials(cut_after=5)
    events = await collect(complete_assistant.build(through="streaming_ux"))
    assert [event.kind for event in events if not isinstance(event, Status | TextDelta)] == ["reset", "failed"]
    end = events[-1]
    assert isinstance(end, Failed) and end.code == "stream_cut" and end.transient and end.next_step
    outcomes = [call.outcome for call in ledger.default().calls(trace_id=QUESTION.trace_id)]
    assert outcomes[-2:] == ["stream_cut", "stream_cut"]


async def test_a_stream_that_breaks_once_is_streamed_again_and_ends_well(turn_dials: Dial) -> None:
    whole = text_of(await collect(complete_assistant.build(through="streaming_ux")))
    turn_dials(cut_after=5, only_first=1)
    events = await collect(complete_assistant.build(through="streaming_ux"))
    assert [event.kind for event in events if not isinstance(event, Status | TextDelta)] == ["reset", "answer"]
    assert text_of(events) == whole


async def test_a_buffering_hop_is_noticed(turn_dials: Dial) -> None:
    turn_dials(tokens_per_second=200)
    direct = await streaming_ux.measure(complete_assistant.build(through="streaming_ux"), QUESTION)
    turn_dials(tokens_per_second=200, buffering=True)
    lumped = await streaming_ux.measure(complete_assistant.build(through="streaming_ux"), QUESTION)
    assert not streaming_ux.looks_buffered(direct.chunks)
    assert streaming_ux.looks_buffered(lumped.chunks)


async def test_the_first_token_comes_later_with_a_long_history_and_not_with_a_capped_one(turn_dials: Dial) -> None:
    control.turn()  # the tiers' own speeds: reading takes time

    async def first_token(handler: Any, name: str) -> float:
        history = (Message("user", f"{name} " + "how do I reset the hub " * 300),) * 8
        runs = [await streaming_ux.measure(handler, Turn("How long is the warranty?", history=history))]
        return statistics.median(run.first_token for run in runs)

    bare = complete_assistant.build(through="start_here")
    grown = await first_token(bare, "long")
    capped = await first_token(streaming_ux.cap_history(1)(bare), "short")
    assert grown > 1.5 * capped


# layers on handlers of our own


async def test_heartbeats_come_while_nothing_else_does_and_stop_with_it() -> None:
    async def slow(turn: Turn) -> AsyncGenerator[Event, None]:
        await asyncio.sleep(0.25)
        yield TextDelta("at last")
        yield Answer(text="at last")

    events = await collect(streaming_ux.heartbeat(0.05)(slow))
    kinds = [event.kind for event in events]
    assert kinds.count("status") >= 2 and kinds[-2:] == ["text_delta", "answer"]
    idle = [event.idle_seconds for event in events if isinstance(event, Status)]
    assert idle == sorted(idle) and idle[0] >= 0.05


async def test_a_heartbeat_never_cancels_the_work_it_waits_for() -> None:
    closed: list[str] = []

    async def slow(turn: Turn) -> AsyncGenerator[Event, None]:
        try:
            for _ in range(3):
                await asyncio.sleep(0.1)
                yield TextDelta("x")
            yield Answer(text="xxx")
        except asyncio.CancelledError:
            closed.append("cancelled")
            raise
        finally:
            closed.append("closed")

    events = await collect(streaming_ux.heartbeat(0.02)(slow))
    assert isinstance(events[-1], Answer) and closed == ["closed"]


async def test_leaving_during_a_heartbeat_closes_what_it_waits_for() -> None:
    closed: list[str] = []

    async def stuck(turn: Turn) -> AsyncGenerator[Event, None]:
        try:
            await asyncio.sleep(60)
            yield TextDelta("never")
        finally:
            closed.append("closed")

    async with aclosing(streaming_ux.heartbeat(0.02)(stuck)(QUESTION)) as events:
        async for _ in events:
            break
    assert closed == ["closed"]


async def test_leaving_a_heartbeat_twice_ends_as_cancelled_and_leaves_no_task() -> None:
    async def stubborn(turn: Turn) -> AsyncGenerator[Event, None]:
        try:
            await asyncio.sleep(60)
            yield TextDelta("never")
        finally:
            await asyncio.sleep(0.1)

    reader = asyncio.create_task(collect(streaming_ux.heartbeat(0.02)(stubborn)))
    await asyncio.sleep(0.05)
    reader.cancel()
    await asyncio.sleep(0.03)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert asyncio.all_tasks() == {asyncio.current_task()}


def flaky(failures: list[Exception | None]) -> Any:
    """A handler that says two words and then fails as listed, one entry an attempt; None is success."""
    left = list(failures)

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        failure = left.pop(0)
        if failure is not None and failure.args[0].startswith("early"):
            raise failure
        yield TextDelta("two ")
        if failure is not None:
            raise failure
        yield TextDelta("words")
        yield Answer(text="two words")

    return handle


def broken(message: str, transient: bool = True) -> ProviderError:
    return ProviderError(message, "Try again.", "stream_cut", transient=transient)


async def test_a_retry_before_the_first_word_is_silent() -> None:
    events = await collect(streaming_ux.restart()(flaky([broken("early"), None])))
    assert not any(isinstance(event, Reset) for event in events)
    assert text_of(events) == "two words"


async def test_a_retry_after_the_first_word_resets_so_that_no_word_stands_twice() -> None:
    events = await collect(streaming_ux.restart(3)(flaky([broken("late"), broken("late"), None])))
    assert sum(isinstance(event, Reset) for event in events) == 2
    assert text_of(events) == "two words"


@pytest.mark.parametrize(
    "failures", [[broken("late", transient=False)], [broken("late"), broken("late")], [CallerError("x", "y", "z")]]
)
async def test_what_cannot_be_retried_is_raised(failures: list[Exception | None]) -> None:
    with pytest.raises((ProviderError, CallerError)):
        await collect(streaming_ux.restart(2)(flaky(failures)))


@given(st.integers(0, 12), st.integers(0, 12))
def test_capping_keeps_the_newest_messages(length: int, cap: int) -> None:
    history = tuple(Message("user", str(number)) for number in range(length))
    passed: list[Turn] = []

    async def inner(turn: Turn) -> AsyncGenerator[Event, None]:
        passed.append(turn)
        yield Answer(text="")

    asyncio.run(answer(streaming_ux.cap_history(cap)(inner), Turn("?", history=history)))
    assert passed[0].history == history[max(0, length - cap) :]


# replay


def spoken(words: int, seconds: float = 0.0, closed: list[str] | None = None) -> Any:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        try:
            for number in range(words):
                await asyncio.sleep(seconds)
                yield TextDelta(f"{number} ")
            yield Answer(text="done")
        finally:
            if closed is not None:
                closed.append("closed")

    return handle


@given(st.lists(st.integers(1, 9), max_size=5))
def test_a_reader_who_comes_and_goes_misses_nothing_and_gets_nothing_twice(visits: list[int]) -> None:
    async def scenario() -> None:
        turn, replay, seen = Turn("?"), Replay(spoken(20)), []
        for length in [*visits, 10_000]:
            async with aclosing(replay.read(turn, after=len(seen))) as events:
                async for number, event in events:
                    seen.append((number, event))
                    length -= 1
                    if not length:
                        break
        assert [number for number, _ in seen] == list(range(1, 22))
        assert text_of([event for _, event in seen]) == "".join(f"{number} " for number in range(20))
        await replay.stop(turn.request_id)

    asyncio.run(scenario())


async def test_replay_calls_the_model_once_for_two_readers() -> None:
    closed: list[str] = []
    turn, replay = Turn("?"), Replay(spoken(5, closed=closed))

    async def read() -> list[tuple[int, Event]]:
        async with aclosing(replay.read(turn)) as events:
            return [item async for item in events]

    first, second = await asyncio.gather(read(), read())
    assert first == second and len(first) == 6 and closed == ["closed"]


async def test_a_lost_reader_leaves_the_turn_running_for_a_while_only() -> None:
    closed: list[str] = []
    turn, replay = Turn("?"), Replay(spoken(1_000, 0.01, closed), grace_seconds=0.1)
    async with aclosing(replay.read(turn)) as events:
        async for _ in events:
            break
    await asyncio.sleep(0.05)
    assert not closed
    await asyncio.sleep(0.3)
    assert closed == ["closed"]


async def test_stop_ends_a_replayed_turn_at_once() -> None:
    closed: list[str] = []
    turn, replay = Turn("?"), Replay(spoken(1_000, 0.01, closed))
    async with aclosing(replay.read(turn)) as events:
        async for _ in events:
            break
    await replay.stop(turn.request_id)
    assert closed == ["closed"]


async def test_the_timer_of_a_stopped_turn_does_not_end_the_next_one() -> None:
    turn, replay = Turn("?"), Replay(spoken(20, 0.02), grace_seconds=0.15, keep_seconds=0.15)
    async with aclosing(replay.read(turn)) as events:
        async for _ in events:
            break
    await replay.stop(turn.request_id)
    async with aclosing(replay.read(turn)) as events:
        numbers = [number async for number, _ in events]
    assert numbers == list(range(1, 22))
    async with aclosing(replay.read(turn, after=-5)) as events:
        assert [number async for number, _ in events] == numbers
    await replay.stop(turn.request_id)


async def test_a_guessed_request_id_opens_nobody_elses_answer() -> None:
    turn, replay = Turn("?", User(id="C-0001")), Replay(spoken(3))
    async with aclosing(replay.read(turn)) as events:
        assert [number async for number, _ in events] == [1, 2, 3, 4]
    thief = Turn("?", User(id="C-0002"), request_id=turn.request_id)
    with pytest.raises(CallerError):
        async with aclosing(replay.read(thief)) as events:
            assert [number async for number, _ in events] == []
    await replay.stop(turn.request_id)


async def test_what_is_no_longer_kept_is_not_asked_again(turn_dials: Dial) -> None:
    turn, replay = Turn("?"), Replay(spoken(3), keep_seconds=0.05)
    async with aclosing(replay.read(turn)) as events:
        assert len([number async for number, _ in events]) == 4
    await asyncio.sleep(0.2)
    with pytest.raises(CallerError, match="no longer kept"):
        async with aclosing(replay.read(turn, after=2)) as events:
            assert [number async for number, _ in events] == []


async def test_replay_hands_on_what_the_handler_raised() -> None:
    replay = Replay(flaky([broken("late")]))
    with pytest.raises(ProviderError):
        async with aclosing(replay.read(QUESTION)) as events:
            assert len([number async for number, _ in events]) == 1
    await replay.stop(QUESTION.request_id)


# showing model text


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def tags_of(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(html)
    parser.close()
    return parser.found


SCHEMES = st.sampled_from(
    ["https://a.example/", "javascript:x()", "JaVaScRiPt:x()", " javascript:x()", "data:text/html,x", "//a", "x"]
)
PIECES = st.one_of(
    st.sampled_from(
        [
            "<script>",
            "</p>",
            "<img src=x onerror=x>",
            "[",
            "](",
            ")",
            '"',
            "'",
            "&",
            "\n",
            "javascript:",
            "[a](https://b.example)",
        ]
    ),
    SCHEMES.map(lambda target: f"[click]({target})"),
    SCHEMES.map(lambda target: f'[click"><img src=x onerror=x>]({target})'),
    st.text(max_size=20),
)


@given(st.lists(PIECES, max_size=8).map("".join))
def test_model_text_becomes_nothing_but_text_breaks_and_safe_links(text: str) -> None:
    for tag, attributes in tags_of(streaming_ux.safe_html(text)):
        assert tag in ("a", "br")
        if tag == "a":
            assert set(attributes) == {"href", "target", "rel"}
            assert str(attributes["href"]).lower().startswith(("http:", "https:", "mailto:"))


def test_a_safe_link_stays_a_link() -> None:
    assert (
        tags_of(streaming_ux.safe_html("See [here](https://a.example/x?a=1&b=2)."))[0][1]["href"]
        == "https://a.example/x?a=1&b=2"
    )


def test_a_label_that_reads_as_an_address_is_the_true_one() -> None:
    shown = streaming_ux.safe_html(
        "[https://bank.example](https://evil.example/x) [bank.example](https://evil.example)"
    )
    assert "bank.example" not in shown and shown.count(">https://evil.example") == 2
    assert ">the help centre</a>" in streaming_ux.safe_html("[the help centre](https://a.example)")


@pytest.mark.parametrize(
    ("chunks", "expected"), [([], False), ([1.0] * 9, False), ([4.0 + at / 1e3 for at in range(20)], True)]
)
def test_looks_buffered(chunks: list[float], expected: bool) -> None:
    assert streaming_ux.looks_buffered(chunks) is expected
