"""Speech recognition: pocketsphinx with the US-English model that its wheel ships. No network, no weights to fetch.

Good at: clear, slowly read US English without background noise; everyday words. Word error rates of five support
sentences a voice: 0.00-0.46 on Debian's ``flite`` voices slt and rms with duration_stretch 1.15 (mean 0.19 and 0.07).
Bad at: ``espeak-ng`` (0.38-1.00), telephone audio at 8 kHz, real recordings, accents, other languages, two speakers.
Order numbers and punctuation cannot come out right: the dictionary has lower-case words only, and whatever is said
comes out as some of them. It hears far less than a current speech model: work done on it shows the plumbing only.

Speech is first cut at the pauses (a voice activity detector), so silence gives an empty text. A minute takes about 10 s
on one core, of loud noise up to 45 s; calls wait for each other, because the recogniser is one object with state.
"""

from __future__ import annotations

import io
import struct
import threading
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pocketsphinx import Decoder

RATE = 16_000  # samples a second the acoustic model was trained on
FRAMES_PER_SECOND = 100  # the recogniser's own clock
MAX_SECONDS = 600
MAX_STRETCH = 30  # seconds recognised at once: the time it takes grows faster than the length
BLOCK_SECONDS = 30  # resampled at a time, so that memory does not grow with the recording
ACCEPTED = "send a WAV file: PCM, 8 or 16 bit, mono or stereo, up to 10 minutes"

_hearing = threading.Lock()


@dataclass(frozen=True)
class Word:
    """One word as heard; ``start`` and ``end`` in seconds from the beginning of the recording."""

    word: str
    start: float
    end: float


@dataclass(frozen=True)
class Segment:
    """What was said between two pauses; ``start`` and ``end`` in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Transcript:
    """All that was heard. ``text`` is empty when there was no speech."""

    text: str
    duration_seconds: float
    segments: tuple[Segment, ...]
    words: tuple[Word, ...]


def transcribe(audio: bytes) -> Transcript:
    """What is said in a WAV recording. The same bytes give the same transcript, whatever was heard before.

    Raises ``ValueError``, in one sentence, for anything but PCM WAV of 8 or 16 bit, mono or stereo, up to 10 minutes.
    """
    samples, rate = _read_wav(audio)
    duration = len(samples) / rate
    speech = _resample(samples, rate)
    segments: list[Segment] = []
    words: list[Word] = []
    with _hearing:
        decoder = _decoder()
        for start, end, pcm in _between_pauses(speech):
            heard = _recognise(decoder, pcm, start, duration)
            if heard:
                segments.append(Segment(" ".join(word.word for word in heard), start, round(min(end, duration), 2)))
                words += heard
    text = " ".join(segment.text for segment in segments)
    return Transcript(text, round(duration, 3), tuple(segments), tuple(words))


def _read_wav(audio: bytes) -> tuple[np.ndarray, int]:
    """Mono samples as float32 between -1 and 1, and their rate.

    Written out because the ``wave`` of Python 3.11 refuses PCM with the extensible header.
    """
    if not audio:
        raise ValueError(f"The audio is empty: {ACCEPTED}.")
    if len(audio) < 12 or audio[:4] != b"RIFF" or audio[8:12] != b"WAVE":
        raise ValueError(f"The audio is not a WAV file: {ACCEPTED}.")
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(audio):
        name, size = struct.unpack_from("<4sI", audio, at)
        # A recorder that streams writes a size beyond the end: the slice then takes what is there.
        chunks.setdefault(name, audio[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    form, data = chunks.get(b"fmt ", b""), chunks.get(b"data", b"")
    if len(form) < 16:
        raise ValueError(f"The WAV file has no format description: {ACCEPTED}.")
    coding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if coding == 0xFFFE and len(form) >= 26:  # the "extensible" header names the coding further on
        coding = struct.unpack_from("<H", form, 24)[0]
    if coding != 1 or bits not in (8, 16) or channels not in (1, 2) or not rate:
        described = f"coding {coding}, {bits} bit, {channels} channels, {rate} samples a second"
        raise ValueError(f"The WAV file is of an unsupported kind ({described}): {ACCEPTED}.")
    count = len(data) // (bits // 8 * channels)
    if not count:
        raise ValueError(f"The WAV file holds no sound: {ACCEPTED}.")
    if count > MAX_SECONDS * rate:
        raise ValueError(f"The recording is {count / rate / 60:.1f} minutes long: {ACCEPTED}.")
    values = np.frombuffer(data, dtype="<i2" if bits == 16 else "u1", count=count * channels).astype(np.float32)
    scaled = values / 32768 if bits == 16 else values / 128 - 1
    return scaled.reshape(-1, channels).mean(axis=1), rate


def _resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """At ``RATE``, by cutting or extending the spectrum of each block and a second of its neighbours on both sides."""
    if rate == RATE:
        return samples
    seconds = -(-len(samples) // rate)
    padded = np.zeros((seconds + BLOCK_SECONDS + 2) * rate, dtype=np.float32)
    padded[rate : rate + len(samples)] = samples
    blocks = []
    for start in range(0, seconds, BLOCK_SECONDS):
        block = padded[start * rate : (start + BLOCK_SECONDS + 2) * rate]
        wanted = (BLOCK_SECONDS + 2) * RATE
        spectrum = np.fft.rfft(block)[: wanted // 2 + 1]
        blocks.append(np.fft.irfft(spectrum, wanted)[RATE:-RATE] * (RATE / rate))
    return np.concatenate(blocks)[: round(len(samples) * RATE / rate)].astype(np.float32)


def _between_pauses(samples: np.ndarray) -> list[tuple[float, float, np.ndarray]]:
    """The stretches of speech: start and end in seconds, and their 16-bit samples; none longer than ``MAX_STRETCH``."""
    from pocketsphinx import Segmenter

    pcm = (np.clip(samples, -1, 32767 / 32768) * 32768).astype("<i2").tobytes()
    silence = bytes(2 * RATE)  # a second, so that speech up to the very end is closed
    stretches = []
    for part in Segmenter(sample_rate=RATE).segment(io.BytesIO(pcm + silence)):
        start, rest = part.start_time, np.frombuffer(part.pcm, dtype="<i2")
        while len(rest):
            cut = _quiet_place(rest) if len(rest) > MAX_STRETCH * RATE else len(rest)
            stretches.append((round(start, 2), round(start + cut / RATE, 2), rest[:cut]))
            start, rest = start + cut / RATE, rest[cut:]
    return stretches


def _quiet_place(samples: np.ndarray) -> int:
    """Where to cut: the middle of the quietest tenth of a second in the last 5 s of the first ``MAX_STRETCH``."""
    tenth, first = RATE // 10, (MAX_STRETCH - 5) * RATE
    tenths = samples[first : MAX_STRETCH * RATE].astype(np.float32).reshape(-1, tenth)
    return first + int(np.argmin((tenths**2).sum(axis=1))) * tenth + tenth // 2


def _recognise(decoder: Decoder, pcm: np.ndarray, offset: float, limit: float) -> list[Word]:
    """The words of one stretch, without the marks for silence and noise. ``offset`` and ``limit`` in seconds."""
    decoder.reinit_feat()  # 0.1 ms; otherwise the front end carries levels over from what was heard before
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    return [
        Word(
            item.word.split("(")[0],  # "the(2)" is the second pronunciation of "the"
            round(min(offset + item.start_frame / FRAMES_PER_SECOND, limit), 2),
            round(min(offset + (item.end_frame + 1) / FRAMES_PER_SECOND, limit), 2),
        )
        for item in decoder.seg() or ()
        if item.word[0] not in "<["
    ]


@cache
def _decoder() -> Decoder:
    from pocketsphinx import Decoder

    # "batch" normalises within each stretch alone; "live" adapts from one to the next.
    return Decoder(samprate=RATE, cmn="batch", loglevel="FATAL")
