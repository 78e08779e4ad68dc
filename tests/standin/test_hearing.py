"""Speech recognition, on sound made here: silence and tones with numpy, speech with a synthesiser of the machine."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from patterns.standin import hearing
from patterns.standin.hearing import transcribe

SPOKEN = "the package arrived late and the box was open"


def wav(samples: np.ndarray, rate: int = 16_000, bits: int = 16, coding: int = 1, extensible: bool = False) -> bytes:
    """A WAV file of samples between -1 and 1, [n] or [n, channels]."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    data = (
        (samples * 32767).astype("<i2").tobytes()
        if bits == 16
        else np.round(samples * 127 + 128).astype("u1").tobytes()
    )
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else coding, channels, rate, rate * frame, frame, bits)
    if extensible:
        form += struct.pack("<HHIH", 22, bits, 0, coding) + bytes.fromhex("000000001000800000aa00389b71")
    body = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def tone(seconds: float, rate: int, hertz: float = 440) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def word_errors(said: str, heard: str) -> float:
    """Insertions, deletions and substitutions, as a share of the words said."""
    a, b = said.split(), heard.split()
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1] / len(a)


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """``SPOKEN`` by the synthesiser `flite`: 16 kHz, float32 between -1 and 1."""
    if not shutil.which("flite"):
        pytest.skip("needs the program flite (Debian package: flite)")
    path = tmp_path_factory.mktemp("speech") / "spoken.wav"
    subprocess.run(["flite", "-voice", "rms", "--setf", "duration_stretch=1.15", "-t", SPOKEN, "-o", path], check=True)
    samples, rate = hearing._read_wav(path.read_bytes())
    assert rate == 16_000
    return samples


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_silence_has_no_words(rate: int) -> None:
    heard = transcribe(wav(np.zeros(2 * rate), rate))
    assert (heard.text, heard.segments, heard.words) == ("", (), ())
    assert heard.duration_seconds == 2


def test_a_tone_does_not_fail() -> None:
    heard = transcribe(wav(tone(2.5, 16_000)))
    assert heard.duration_seconds == 2.5
    assert heard.text == " ".join(word.word for word in heard.words)


def test_speech_with_times(speech: np.ndarray) -> None:
    heard = transcribe(wav(speech))
    assert word_errors(SPOKEN, heard.text) <= 0.25
    assert [word.word for word in heard.words] == heard.text.split() == " ".join(s.text for s in heard.segments).split()
    edges = [edge for word in heard.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert heard.duration_seconds == round(len(speech) / 16_000, 3)
    assert min(edges) >= 0 and max(edges) <= heard.duration_seconds


def test_a_pause_makes_a_new_segment(speech: np.ndarray) -> None:
    pause = 1.5
    heard = transcribe(wav(np.concatenate([speech, np.zeros(round(pause * 16_000)), speech])))
    first, second = heard.segments
    assert second.start - first.end > pause / 2
    assert second.start == pytest.approx(len(speech) / 16_000 + pause, abs=0.5)
    assert first.text == second.text


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_other_rates_and_stereo_are_heard_alike(speech: np.ndarray, rate: int) -> None:
    at = np.arange(round(len(speech) * rate / 16_000)) * 16_000 / rate
    resampled = np.interp(at, np.arange(len(speech)), speech)
    mono, stereo = transcribe(wav(resampled, rate)), transcribe(wav(np.stack([resampled, resampled], axis=1), rate))
    assert word_errors(SPOKEN, mono.text) <= 0.25
    assert stereo == mono


def test_eight_bits_and_the_extensible_header(speech: np.ndarray) -> None:
    assert word_errors(SPOKEN, transcribe(wav(speech, bits=8)).text) <= 0.4
    assert transcribe(wav(speech, extensible=True)) == transcribe(wav(speech))


def test_a_streamed_header_with_an_open_size_is_read(speech: np.ndarray) -> None:
    whole = wav(speech)
    at = whole.index(b"data") + 4
    assert transcribe(whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :]) == transcribe(whole)


def test_what_was_heard_before_does_not_matter(speech: np.ndarray) -> None:
    alone = transcribe(wav(speech))
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000).clip(-1, 1)
    transcribe(wav(noise))
    assert transcribe(wav(speech)) == alone
    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(transcribe, [wav(speech)] * 3)) == {alone}


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (b"", "empty"),
        (b"ID3\x04" + bytes(200), "not a WAV"),
        (b"RIFF", "not a WAV"),
        (b"RIFF\x04\x00\x00\x00WAVE", "no format"),
        (wav(np.zeros(0)), "no sound"),
        (wav(np.zeros(100), coding=3), "unsupported"),
        (wav(np.zeros(100), coding=0x55), "unsupported"),
        (wav(np.zeros(100), coding=3, extensible=True), "unsupported"),
        (wav(np.zeros(100), rate=0), "unsupported"),
        (wav(np.zeros((100, 6))), "unsupported"),
        (wav(np.zeros(601 * 100), rate=100), "10.0 minutes long"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(audio: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        transcribe(audio)
    assert hearing.ACCEPTED in str(caught.value)


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_cut_file_is_refused_or_read_but_never_crashes(cut: int) -> None:
    audio = wav(np.zeros(8))[:cut]
    try:
        assert transcribe(audio).text == ""
    except ValueError as error:
        assert hearing.ACCEPTED in str(error)


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 96_000])
def test_resampling_keeps_a_tone_across_blocks(rate: int) -> None:
    seconds = hearing.BLOCK_SECONDS + 4
    got = hearing._resample(tone(seconds, rate).astype(np.float32), rate)
    assert len(got) == seconds * 16_000
    inside = slice(1_600, -1_600)  # the ends meet silence
    np.testing.assert_allclose(got[inside], tone(seconds, 16_000)[inside], atol=1e-3)


def test_resampling_leaves_out_what_16_khz_cannot_carry() -> None:
    assert np.abs(hearing._resample(tone(3, 48_000, 12_000).astype(np.float32), 48_000)[1_600:-1_600]).max() < 1e-2


def test_a_stretch_without_pauses_is_cut_where_it_is_quiet() -> None:
    samples = (tone(40, 16_000) * 32767).astype("<i2")
    samples[27 * 16_000 : 27 * 16_000 + 3_200] = 0
    assert hearing._quiet_place(samples) / 16_000 == pytest.approx(27.1, abs=0.11)


def test_importing_it_loads_no_recogniser() -> None:
    code = "import sys, patterns.standin.hearing; print('pocketsphinx' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "False"
