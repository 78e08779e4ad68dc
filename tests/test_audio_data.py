"""The ten calls: they agree with their scripts and the schema, stay small, and two of them are heard and summed up."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from patterns.call_audio import inspect
from patterns.call_summary import CallSummary, summarise
from patterns.transcription import transcribe
from patterns.word_errors import word_error_rate, word_errors, words

AUDIO = Path(__file__).parents[1] / "data" / "audio"
CALLS: list[dict[str, Any]] = yaml.safe_load((AUDIO / "truth.yaml").read_text(encoding="utf-8"))
TIMES = {"reason_time": "00:00", "resolution_time": "00:00"}


def test_there_are_ten_calls_half_of_them_held_out() -> None:
    assert {path.stem for path in AUDIO.glob("*.wav")} == {call["id"] for call in CALLS}
    assert len(CALLS) == 10
    assert [call["part"] for call in CALLS] == ["develop"] * 5 + ["held_out"] * 5
    assert {tuple(call["voices"].values()) for call in CALLS} == {("slt", "rms"), ("rms", "slt")}
    assert sum(path.stat().st_size for path in AUDIO.glob("*.wav")) < 7_000_000


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call["id"])
def test_a_call_has_a_valid_summary_and_a_channel_for_each_speaker(call: dict[str, Any]) -> None:
    CallSummary.model_validate(
        {key: None if value == "none" else value for key, value in call["summary"].items()} | TIMES
    )
    recording = inspect(AUDIO / f"{call['id']}.wav")
    assert (recording.channels, recording.rate, recording.bits) == (2, 16_000, 8)
    assert 15 <= recording.seconds <= 60


def test_the_same_flite_gives_the_same_bytes() -> None:
    if not shutil.which("flite"):
        pytest.skip("needs the program flite (Debian package: flite)")
    spec = importlib.util.spec_from_file_location("make_calls", AUDIO.parent / "make_calls.py")
    assert spec
    assert spec.loader
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    call = CALLS[6]
    assert maker.wav(maker.perform(call)) == (AUDIO / f"{call['id']}.wav").read_bytes()


@pytest.mark.parametrize("number", [1, 6])
async def test_a_call_is_heard_and_summed_up(number: int, turn_dials: Callable[..., None]) -> None:
    call = CALLS[number]
    transcript = await transcribe(AUDIO / f"{call['id']}.wav")
    for speaker in ("customer", "agent"):
        said = " ".join(text for who, text in call["lines"] if who == speaker)
        heard = " ".join(one.text for one in transcript.segments if one.speaker == speaker)
        assert word_error_rate(said, heard) <= 0.2
    end = await summarise(transcript)
    assert isinstance(end.output, CallSummary)
    got = end.output.model_dump()
    right = [key for key, value in call["summary"].items() if got[key] == (None if value == "none" else value)]
    assert len(right) >= 4, f"only {right} are right: {got}"


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a c", 1),
        ("a b", "a x b", 1),
        ("a b", "b a", 2),
        ("", "a", 1),
        ("It's. On!", "it's on", 0),
    ],
)
def test_word_errors(said: str, heard: str, errors: int) -> None:
    assert word_errors(said, heard) == errors


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_word_errors_are_a_distance(one: list[str], other: list[str]) -> None:
    a, b = " ".join(one), " ".join(other)
    assert word_errors(a, b) == word_errors(b, a)
    assert abs(len(one) - len(other)) <= word_errors(a, b) <= max(len(one), len(other))
    assert (word_errors(a, b) == 0) == (words(a) == words(b))


def test_importing_what_hears_loads_nothing_heavy() -> None:
    code = "import sys, patterns.transcription, patterns.call_audio; print({'numpy', 'openai'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
