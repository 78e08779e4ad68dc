"""Recordings of calls: what one is, by its content, and whether it may be sent, before a byte of it is sent or decoded.

A WAV file says in its first bytes how long it is, so a recording that is too long is refused by its header, and the
rest of it is never read. Other containers (MP3, MP4, OGG) would have to be decoded to know that: they are refused, by
content, whatever the file's name says. Of an accepted recording only one piece is in memory at a time.

    recording = inspect(Path("call.wav"))     # raises CallerError, with the next step
    for piece in pieces(recording): ...       # 16-bit mono WAV, cut at pauses, one for each channel with sound
"""

import io
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from .errors import CallerError

if TYPE_CHECKING:
    import numpy as np

PCM, EXTENSIBLE = 1, 0xFFFE  # codings of a WAV file; the second names the true one further on
QUIET = 0.005  # of full scale (-46 dB): below that, an RMS over `WINDOW` is no speech. 8-bit rounding noise is 0.002
WINDOW = 0.02  # seconds
PAUSE = 0.3  # seconds
CHUNKS = 64  # parts of a file looked through for its sound
UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # written by recorders that stream and cannot go back
NEXT = "Send a WAV file: PCM with 8 or 16 bit; one channel, or one for each speaker."
KINDS = (
    (0, b"ID3", "an MP3 file"),
    (0, b"OggS", "an OGG file"),
    (0, b"fLaC", "a FLAC file"),
    (0, b"\x1aE\xdf\xa3", "a WebM file"),
    (4, b"ftyp", "an MP4 file"),
    (0, b"RF64", "a WAV file of more than 4 GB"),
    (0, b"%PDF", "a PDF file"),
)


@dataclass(frozen=True, slots=True)
class Caps:
    """What is accepted: of a file its bytes, its seconds, its samples a second (both ends included) and its channels;
    and the seconds of one piece that is sent."""

    bytes: int = 256_000_000
    seconds: float = 3_600
    rates: tuple[int, int] = (8_000, 48_000)
    channels: int = 2
    piece_seconds: float = 30


CAPS = Caps()


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that was looked at and may be sent. `first` is the place of its sound in the file."""

    source: Path | bytes
    bits: int
    channels: int
    rate: int
    first: int
    frames: int

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    @property
    def frame(self) -> int:
        """Bytes of one moment: a sample of each channel."""
        return self.channels * self.bits // 8


class Piece(NamedTuple):
    """A stretch of one channel as a WAV file, 16 bit and mono; `start` and `end` in the recording's seconds."""

    channel: int
    start: float
    end: float
    wav: bytes


def inspect(source: Path | bytes, caps: Caps = CAPS) -> Recording:
    """Read the header of a recording and hold it against the caps.

    Raises CallerError: `unparseable` (not a WAV, broken, cut off), `empty_document`, `too_large`.
    """
    with closing(_opened(source)) as file:
        size = file.seek(0, io.SEEK_END)
        if not size:
            raise CallerError("The recording is empty.", "Record it again, or send another file.", "empty_document")
        if size > caps.bytes:
            raise _too_large(f"{size / 1e6:,.0f} MB", f"{caps.bytes / 1e6:,.0f} MB")
        file.seek(0)
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            raise _unfit(f"The recording is {_kind(head)}, whatever its name says.")
        form, first, there = _parts(file, size)
    coding, channels, rate, _, frame, bits = struct.unpack_from("<HHIIHH", form)
    if coding == EXTENSIBLE and len(form) >= 26:
        coding = struct.unpack_from("<H", form, 24)[0]
    if coding != PCM or bits not in (8, 16):
        raise _unfit(f"The recording has coding {coding} with {bits} bit.")
    if not 1 <= channels <= caps.channels:
        raise _unfit(f"The recording has {channels} channels; at most {caps.channels} are accepted.")
    if not caps.rates[0] <= rate <= caps.rates[1]:
        raise _unfit(
            f"The recording has {rate:,} samples a second; {caps.rates[0]:,} to {caps.rates[1]:,} are accepted."
        )
    if frame != channels * bits // 8:
        raise _unfit("The recording's header contradicts itself.")
    if there < frame:
        raise CallerError("The recording holds no sound.", "Record it again, or send another file.", "empty_document")
    recording = Recording(source, bits, channels, rate, first, there // frame)
    if recording.seconds > caps.seconds:
        raise _too_large(f"{recording.seconds / 60:,.0f} minutes long", f"{caps.seconds / 60:,.0f} minutes")
    return recording


def pieces(recording: Recording, caps: Caps = CAPS) -> Iterator[Piece]:
    """The recording in pieces of at most `caps.piece_seconds`, cut where all channels are quietest.

    A channel that is silent for a whole piece is left out: there is nothing to hear, and hearing is paid by the minute.
    """
    import numpy as np

    most, start = round(caps.piece_seconds * recording.rate), 0
    with closing(_opened(recording.source)) as file:
        while start < recording.frames:
            file.seek(recording.first + start * recording.frame)
            sound = _decoded(file.read(most * recording.frame), recording)
            if not len(sound):  # the file has become shorter since it was looked at
                return
            if start + len(sound) < recording.frames:
                sound = sound[: _pause(sound, recording.rate)]
            loud = _loudness(sound, recording.rate).max(axis=0)
            end = start + len(sound)
            for channel in np.flatnonzero(loud > QUIET):
                made = wav(sound[:, channel], recording.rate)
                yield Piece(int(channel), start / recording.rate, end / recording.rate, made)
            start = end


def wav(samples: "np.ndarray", rate: int) -> bytes:
    """A mono WAV file of 16 bit from samples between -1 and 1."""
    import numpy as np

    data = np.clip(np.round(samples * 32_768), -32_768, 32_767).astype("<i2").tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, PCM, 1, rate, 2 * rate, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + form + struct.pack("<4sI", b"data", len(data)) + data
    )


def _opened(source: Path | bytes) -> BinaryIO:
    try:
        return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    except OSError as error:
        raise CallerError(
            f"The recording {source} cannot be read: {error.strerror}.", "Check the path.", "unparseable"
        ) from None


def _parts(file: BinaryIO, size: int) -> tuple[bytes, int, int]:
    """The format description of a WAV file, the place of its sound, and how many bytes of it are there."""
    form, at = b"", 12
    for _ in range(CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            break
        name, length = struct.unpack("<4sI", head)
        if name == b"fmt ":
            form = file.read(min(length, 64))
        if name == b"data" and len(form) >= 16:
            there = size - at - 8
            if length > there and length not in UNKNOWN_SIZES:
                # A summary of half a call would look like one of the whole.
                raise _unfit(f"The recording is cut off: {there:,} of its {length:,} bytes of sound are there.")
            return form, at + 8, there if length in UNKNOWN_SIZES else length
        at += 8 + length + length % 2
    raise _unfit("The recording's header is broken.")


def _decoded(data: bytes, recording: Recording) -> "np.ndarray":
    """Samples between -1 and 1, of shape (frames, channels)."""
    import numpy as np

    data = data[: len(data) // recording.frame * recording.frame]
    if recording.bits == 8:
        sound = np.frombuffer(data, dtype="u1").astype(np.float32) / 128 - 1
    else:
        sound = np.frombuffer(data, dtype="<i2").astype(np.float32) / 32_768
    return sound.reshape(-1, recording.channels)


def _loudness(sound: "np.ndarray", rate: int) -> "np.ndarray":
    """The RMS of each channel in steps of `WINDOW`, of shape (steps, channels); a rest at the end is a step, too."""
    import numpy as np

    step = max(1, round(WINDOW * rate))
    padded = np.zeros((-(-len(sound) // step) * step, sound.shape[1]), dtype=np.float32)
    padded[: len(sound)] = sound
    return np.sqrt((padded**2).reshape(-1, step, sound.shape[1]).mean(axis=1))


def _pause(sound: "np.ndarray", rate: int) -> int:
    """The frame to cut at, so that no word is cut in two: the middle of the last pause, else of the quietest moment of
    the second half. Either lasts `PAUSE`."""
    import numpy as np

    loud, wide = _loudness(sound, rate).max(axis=1), round(PAUSE / WINDOW)
    around = np.convolve(loud, np.ones(wide) / wide, mode="valid")
    pauses = np.flatnonzero(around[1:] < QUIET)  # never at the very start: each piece must get on
    half = len(around) // 2
    best = 1 + int(pauses[-1]) if len(pauses) else half + int(np.argmin(around[half:]))
    return max(1, min(len(sound), round((best + wide / 2) * WINDOW * rate)))


def _kind(head: bytes) -> str:
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "an MP3 file"
    return next((kind for at, mark, kind in KINDS if head[at : at + len(mark)] == mark), "not a WAV file")


def _unfit(message: str) -> CallerError:
    return CallerError(message, NEXT, "unparseable")


def _too_large(what: str, most: str) -> CallerError:
    return CallerError(f"The recording is {what}; at most {most} are accepted.", "Send a part of it.", "too_large")
