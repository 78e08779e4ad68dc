"""Speech to text through the ledger and the budgets. Tones stand for speech where the words do not matter."""

import asyncio
import math
from collections.abc import Callable

import numpy as np
import pytest

from patterns import acme, budgets, ledger, models
from patterns.call_audio import Caps, Piece, wav
from patterns.course import control
from patterns.errors import CallerError, LimitHit, ProviderError
from patterns.transcription import Segment, Transcript, Word, _segments, _usage, transcribe

Dial = Callable[..., None]
RATE = 16_000
PRICE = 10.0  # dollars per million tokens of audio: $0.006 a minute
TONE = wav(0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE), RATE)
SILENCE = wav(np.zeros(5 * RATE), RATE)


@pytest.fixture
def priced(monkeypatch: pytest.MonkeyPatch, turn_dials: Dial) -> Dial:
    monkeypatch.setitem(models.catalogue()["standin"]["tiers"]["transcribe"], "input", PRICE)
    models._provider.cache_clear()
    return turn_dials


def sent() -> int:
    return sum(entry["model"] == "standin-transcribe" for entry in control.provider_log())


async def test_hearing_is_in_the_books_like_every_other_call(priced: Dial) -> None:
    heard = await transcribe(TONE, trace_id="trace_1", tenant="acme-home", user="C-0001")
    (call,) = ledger.default().calls(trace_id="trace_1")
    assert (call.tier, call.feature, call.tenant, call.user) == ("transcribe", "transcribe", "acme-home", "C-0001")
    assert (call.outcome, call.estimated, call.input_tokens) == ("done", False, 20)
    assert heard.cost_usd == call.cost_usd == pytest.approx(20 * PRICE / 1e6)
    assert (await budgets.spending("tenant:acme-home")).settled == pytest.approx(20 * PRICE / 1e6)


async def test_a_cap_is_held_before_anything_is_sent(priced: Dial) -> None:
    await budgets.cap("tenant:acme-home", 19 * PRICE / 1e6)
    with pytest.raises(LimitHit, match="tenant:acme-home") as caught:
        await transcribe(TONE, tenant="acme-home")
    assert caught.value.code == "budget"
    assert sent() == 0
    assert ledger.default().calls() == []


async def test_a_recording_outside_the_caps_is_not_sent(priced: Dial) -> None:
    for bad in (b"ID3" + bytes(100), TONE[:-100]):
        with pytest.raises(CallerError):
            await transcribe(bad)
    with pytest.raises(CallerError, match="minutes long"):
        await transcribe(TONE, caps=Caps(seconds=1))
    assert sent() == 0


async def test_silence_costs_nothing_and_gives_nothing(priced: Dial) -> None:
    heard = await transcribe(SILENCE)
    assert heard == Transcript(segments=(), seconds=5.0, heard_seconds=0.0, cost_usd=0)
    assert heard.text == ""
    assert sent() == 0


async def test_a_failure_of_the_provider_is_told_in_our_words_and_not_charged(priced: Dial) -> None:
    priced(rate_limited=1.0)
    with pytest.raises(ProviderError) as caught:
        await transcribe(TONE, trace_id="trace_1")
    assert (caught.value.code, caught.value.transient) == ("rate_limited", True)
    (call,) = ledger.default().calls(trace_id="trace_1")
    assert (call.outcome, call.cost_usd) == ("rate_limited", 0)
    assert await budgets.spending("all") == budgets.Spending(None, 0, 0)


async def test_who_stops_is_charged_what_was_under_way_and_nothing_after(priced: Dial) -> None:
    long = wav(np.tile(0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE), 60), RATE)
    shares: list[float] = []
    task = asyncio.ensure_future(transcribe(long, caps=Caps(piece_seconds=10), progress=shares.append))
    while len(shares) < 2:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    called = ledger.default().calls()
    assert [call.outcome for call in called] == ["done", "aborted"]
    assert (await budgets.spending("all")).reserved == 0


async def test_two_channels_are_two_speakers_and_times_go_on_over_pieces(priced: Dial) -> None:
    call = acme.data_folder() / "audio" / "call-07.wav"
    shares: list[float] = []
    heard = await transcribe(call, caps=Caps(piece_seconds=9), progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(set(shares)) >= 3  # two pieces at least, and the end
    assert [one.speaker for one in heard.segments][:2] == ["customer", "agent"]
    assert heard.segments[-1].speaker == "customer"
    assert [one.start for one in heard.segments] == sorted(one.start for one in heard.segments)
    assert heard.segments[-1].start > 9
    assert all(one.start < one.end <= heard.seconds for one in heard.segments)
    for one in heard.segments:
        assert " ".join(word.word for word in one.words) == one.text
        assert all(one.start <= word.start < word.end <= one.end + 0.5 for word in one.words)
    assert heard.heard_seconds < 2 * heard.seconds  # a piece in which one of the two is silent is sent once
    assert "agent" in heard.text


def test_providers_count_in_tokens_in_seconds_or_not_at_all() -> None:
    told = {"type": "tokens", "input_tokens": 140, "output_tokens": 30, "total_tokens": 170}
    assert _usage(told, 15) == {"prompt_tokens": 140, "completion_tokens": 30}
    assert _usage({"type": "duration", "seconds": 14}, 15) == {"prompt_tokens": 140}
    for nothing in (None, {}, "many", {"type": "duration", "seconds": "14"}):
        assert _usage(nothing, 15) == {"prompt_tokens": 150}


def test_without_times_from_the_provider_the_piece_has_them() -> None:
    piece = Piece(channel=1, start=60.0, end=85.5, wav=b"")
    assert _segments({"text": " Hello. "}, piece, "agent") == [Segment("agent", "Hello.", 60.0, 85.5)]
    assert _segments({"text": ""}, piece, "agent") == []
    words = [{"word": "Hello", "start": 1.0, "end": 1.4}]
    timed = {"text": "Hello", "segments": [{"text": " Hello", "start": 1.0, "end": 1.5}], "words": words}
    assert _segments(timed, piece, "") == [Segment("", "Hello", 61.0, 61.5, (Word("Hello", 61.0, 61.4),))]


@pytest.mark.parametrize(("start", "time"), [(0.0, "00:00"), (5.96, "00:05"), (59.99, "00:59"), (3_661.2, "61:01")])
def test_a_time_is_minutes_and_whole_seconds(start: float, time: str) -> None:
    assert Segment("", "x", start, math.inf).time == time
