"""What is checked of a recording before anything is sent, and how it is cut into pieces. Sound made here, no speech."""

import struct
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns.call_audio import CAPS, NEXT, Caps, inspect, pieces, wav
from patterns.errors import CallerError

RATE = 16_000


def header(seconds: float, *, rate: int = RATE, channels: int = 1, bits: int = 16, **wrong: int) -> bytes:
    """A WAV header alone. `wrong` overrides what it says: coding, frame, data."""
    frame = channels * bits // 8
    data = wrong.get("data", round(seconds * rate) * frame)
    form = (wrong.get("coding", 1), channels, rate, rate * frame, wrong.get("frame", frame), bits)
    return struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36, b"WAVE", b"fmt ", 16, *form, b"data", data)


def stereo(left: np.ndarray, right: np.ndarray, bits: int = 16) -> bytes:
    both = np.stack([left, right], axis=1)
    data = (both * 32_767).astype("<i2") if bits == 16 else np.round(both * 127 + 128).astype("u1")
    return header(len(left) / RATE, channels=2, bits=bits) + data.tobytes()


def tone(seconds: float, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE))


REFUSED = {
    "nothing": (b"", "empty_document", "is empty"),
    "a few bytes": (b"RIFF", "unparseable", "not a WAV file"),
    "text": (b"This is the transcript of a call.", "unparseable", "not a WAV file"),
    "an MP3 with tags": (b"ID3\x04" + bytes(400), "unparseable", "an MP3 file, whatever its name says"),
    "an MP3 without tags": (b"\xff\xfb\x90\x00" + bytes(400), "unparseable", "an MP3 file"),
    "an MP4": (b"\x00\x00\x00\x20ftypM4A " + bytes(400), "unparseable", "an MP4 file"),
    "an OGG": (b"OggS" + bytes(400), "unparseable", "an OGG file"),
    "a picture in RIFF": (b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(400), "unparseable", "not a WAV file"),
    "a header and no sound": (header(0), "empty_document", "no sound"),
    "no format": (b"RIFF\x24\x00\x00\x00WAVEdata\x04\x00\x00\x00" + bytes(4), "unparseable", "header is broken"),
    "cut off": (header(10) + bytes(9 * RATE * 2), "unparseable", "288,000 of its 320,000 bytes"),
    "three hours": (header(10_800, data=0xFFFFFFFF), "empty_document", "no sound"),
    "another coding": (header(1, coding=17) + bytes(2 * RATE), "unparseable", "coding 17"),
    "24 bit": (header(1, bits=24) + bytes(3 * RATE), "unparseable", "24 bit"),
    "six channels": (header(1, channels=6) + bytes(12 * RATE), "unparseable", "6 channels"),
    "no channels": (header(1, channels=0) + bytes(2 * RATE), "unparseable", "0 channels"),
    "one sample a second": (header(1, rate=1) + bytes(2), "unparseable", "1 samples a second"),
    "samples without end": (header(0, rate=2_000_000_000, data=8) + bytes(8), "unparseable", "samples a second"),
    "frames that do not fit": (header(1, frame=4) + bytes(2 * RATE), "unparseable", "contradicts itself"),
}


@pytest.mark.parametrize(("recording", "code", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_usable_recording_is_refused_with_the_next_step(recording: bytes, code: str, reason: str) -> None:
    with pytest.raises(CallerError, match=reason) as caught:
        inspect(recording)
    assert caught.value.code == code
    assert caught.value.next_step


def test_a_name_decides_nothing(tmp_path: Path) -> None:
    named_wav, named_mp3 = tmp_path / "call.wav", tmp_path / "call.mp3"
    named_wav.write_bytes(b"ID3\x04" + bytes(400))
    named_mp3.write_bytes(header(1) + bytes(2 * RATE))
    with pytest.raises(CallerError, match="an MP3 file") as caught:
        inspect(named_wav)
    assert caught.value.next_step == NEXT
    assert inspect(named_mp3).seconds == 1
    with pytest.raises(CallerError, match="cannot be read"):
        inspect(tmp_path / "missing.wav")


def test_three_hours_are_refused_by_the_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with path.open("wb") as file:  # a sparse file: 173 MB by its size, a few bytes on the disk
        file.write(header(10_800, rate=8_000))
        file.truncate(44 + 10_800 * 8_000 * 2)
    tracemalloc.start()
    try:
        with pytest.raises(CallerError, match="180 minutes long; at most 60 minutes") as caught:
            inspect(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == "too_large"
    assert most < 100_000
    with pytest.raises(CallerError, match="173 MB; at most 100 MB"):
        inspect(path, Caps(bytes=100_000_000))


def test_a_header_that_promises_more_or_less_is_not_believed() -> None:
    sound = bytes(2 * RATE)
    assert inspect(header(1, data=0xFFFFFFFF) + sound).seconds == 1  # a recorder that streams knows no size
    assert inspect(header(1, data=0) + sound).seconds == 1
    assert inspect(header(1, data=RATE) + sound).seconds == 0.5  # what follows is no sound
    with pytest.raises(CallerError, match="180 minutes"):
        inspect(header(0, rate=8_000, bits=8, data=0xFFFFFFFF) + bytes(10_800 * 8_000))


def test_other_parts_of_a_file_are_passed_over() -> None:
    whole = header(1) + bytes(2 * RATE)
    listed = whole[:12] + b"LIST" + struct.pack("<I", 5) + b"notes\x00" + whole[12:]
    assert inspect(listed).seconds == 1
    many = whole[:12] + (b"junk" + struct.pack("<I", 0)) * 100_000 + whole[12:]
    with pytest.raises(CallerError, match="header is broken"):
        inspect(many)


@given(st.binary(max_size=80))
def test_any_bytes_are_accepted_or_refused_in_our_words(data: bytes) -> None:
    for recording in (data, b"RIFF" + data[:4].ljust(4) + b"WAVE" + data, header(1)[: len(data)] + data):
        try:
            found = inspect(recording)
        except CallerError as error:
            assert error.code in ("unparseable", "empty_document", "too_large")
        else:
            assert 0 < found.seconds <= CAPS.seconds
            assert all(inspect(piece.wav).channels == 1 for piece in pieces(found))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_channel_for_each_speaker_goes_alone(bits: int) -> None:
    left, right = np.concatenate([tone(1), silence(1)]), np.concatenate([silence(1), tone(1, 0.2)])
    found = list(pieces(inspect(stereo(left, right, bits))))
    assert [(one.channel, one.start, one.end) for one in found] == [(0, 0.0, 2.0), (1, 0.0, 2.0)]
    for piece, sound in zip(found, (left, right), strict=True):
        alone = np.frombuffer(piece.wav[44:], dtype="<i2") / 32_768
        assert np.abs(alone - sound).max() < (0.01 if bits == 8 else 0.0001)
        assert inspect(piece.wav).seconds == 2


@pytest.mark.parametrize("bits", [8, 16])
def test_silence_is_not_sent(bits: int) -> None:
    noise = np.random.default_rng(7).uniform(-1, 1, 5 * RATE) / 250  # rounding noise of 8 bit
    assert list(pieces(inspect(stereo(silence(5), noise, bits)))) == []
    assert [one.channel for one in pieces(inspect(stereo(silence(5), tone(5, 0.05), bits)))] == [1]


def test_a_long_recording_is_cut_at_pauses_and_loses_nothing() -> None:
    spoken = [np.concatenate([tone(seconds), silence(0.5)]) for seconds in (4, 7, 3, 8, 6, 5)]
    sound = np.concatenate(spoken)
    found = list(pieces(inspect(wav(sound, RATE)), Caps(piece_seconds=10)))
    assert found[0].start == 0
    assert found[-1].end == len(sound) / RATE
    assert all(one.end == two.start for one, two in pairwise(found))
    assert all(one.end - one.start <= 10 for one in found)
    pauses = np.cumsum([len(one) / RATE for one in spoken])
    for one in found[:-1]:
        assert min(abs(pauses - 0.25 - one.end)) < 0.2, f"cut at {one.end} s, in the middle of a word"
    joined = np.concatenate([np.frombuffer(one.wav[44:], dtype="<i2") for one in found])
    assert np.abs(joined / 32_768 - sound).max() < 0.0001


def test_a_recording_without_pauses_is_cut_all_the_same() -> None:
    found = list(pieces(inspect(wav(tone(25), RATE)), Caps(piece_seconds=10)))
    assert found[-1].end == 25
    assert all(2 < one.end - one.start <= 10 for one in found)


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    def most(minutes: int) -> int:
        path = tmp_path / f"{minutes}.wav"
        minute = (tone(60, 0.3) * 32_767).astype("<i2").tobytes()
        with path.open("wb") as file:
            file.write(header(60 * minutes))
            for _ in range(minutes):
                file.write(minute)
        tracemalloc.start()
        try:
            for _ in pieces(inspect(path)):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most(1)
    short, long = most(2), most(12)
    assert long < 1.2 * short
    assert long < 25_000_000


def test_a_file_that_shrinks_while_it_is_read_ends_the_pieces(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(wav(tone(30), RATE))
    found = pieces(inspect(path), Caps(piece_seconds=10))
    next(found)
    path.write_bytes(b"")
    assert list(found) == []
