"""Speech to text, through the same books as every other model call: reserved before it is sent, settled after.

    transcript = await transcribe(Path("call.wav"))
    transcript.segments[0]          # who, from when to when, what

A recording goes to the provider in pieces (see `call_audio.py`), one for each channel. Where each speaker has a channel
of their own, as call recordings often have, nobody has to guess who speaks; the price is that the silence of one while
the other talks is paid, too. Times come from the provider where it gives them, and else from where we cut.

Providers count audio in tokens or in seconds; the books count tokens, ten a second, the rate of OpenAI's audio input.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .booking import booked
from .call_audio import CAPS, Caps, Piece, inspect, pieces
from .models import client, provider

TOKENS_A_SECOND = 10  # of audio
WRITTEN_A_SECOND = 10  # tokens of text, at most: nobody says more than six words a second
PATIENCE_SECONDS = 120  # for the text of one piece: unlike a chat's, it comes all at once
SPEAKERS = ("customer", "agent")  # of the first and the second channel


@dataclass(frozen=True, slots=True)
class Word:
    """`start` and `end` in seconds from the beginning of the recording, as in `Segment`."""

    word: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Segment:
    """What one speaker said between two pauses. `speaker` is empty where the recording has one channel."""

    speaker: str
    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()

    @property
    def time(self) -> str:
        """Where it starts, in minutes and whole seconds: 00:05."""
        return f"{int(self.start) // 60:02}:{int(self.start) % 60:02}"


@dataclass(frozen=True, slots=True)
class Transcript:
    """Everything that was heard, in order. `heard_seconds` were sent and paid; a silent recording has no segments.

    `cost_usd` is None where a price is not known.
    """

    segments: tuple[Segment, ...]
    seconds: float
    heard_seconds: float
    cost_usd: float | None

    @property
    def text(self) -> str:
        """One line a segment: `00:05 agent: i am sorry about that`."""
        return "\n".join(f"{one.time} {one.speaker or 'speaker'}: {one.text}" for one in self.segments)


async def transcribe(
    source: Path | bytes,
    *,
    caps: Caps = CAPS,
    speakers: tuple[str, ...] = SPEAKERS,
    progress: Callable[[float], None] = lambda share: None,
    trace_id: str = "",
    feature: str = "transcribe",
    tenant: str = "",
    user: str = "",
) -> Transcript:
    """Write down what is said in a recording. `progress` is told the share that is done, up to 1.

    Raises CallerError for a recording outside `caps`, before anything is sent; ProviderError; LimitHit (`budget`).
    """
    recording = inspect(source, caps)
    labels = {"trace_id": trace_id, "feature": feature, "tenant": tenant, "user": user}
    segments: list[Segment] = []
    sent, costs = 0.0, list[float | None]()
    for piece in pieces(recording, caps):
        progress(piece.start / recording.seconds)
        speaker = speakers[piece.channel] if recording.channels > 1 else ""
        heard, cost = await _hear(piece, labels)
        segments += _segments(heard, piece, speaker)
        sent += piece.end - piece.start
        costs.append(cost)
    progress(1.0)
    known = [cost for cost in costs if cost is not None]
    return Transcript(
        segments=tuple(sorted(segments, key=lambda one: (one.start, one.end))),
        seconds=recording.seconds,
        heard_seconds=sent,
        cost_usd=sum(known) if len(known) == len(costs) else None,
    )


async def _hear(piece: Piece, labels: Mapping[str, str]) -> tuple[dict[str, Any], float | None]:
    """The provider's reply for one piece, and its cost in US dollars."""
    chosen = provider()
    model = chosen.tier("transcribe")
    seconds = math.ceil(piece.end - piece.start)
    most = {"most_read": seconds * TOKENS_A_SECOND, "most_written": seconds * WRITTEN_A_SECOND}
    # `params` of the tier go last: newer models refuse verbose_json, and then say so in models.toml.
    asked: dict[str, Any] = {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}
    async with booked(chosen, model, reading="", labels=labels, **most) as entry:
        sent = {"file": ("call.wav", piece.wav, "audio/wav"), "model": model.model, **asked, **model.params}
        response = await client(chosen).audio.transcriptions.create(**sent, timeout=PATIENCE_SECONDS)
        heard = response.to_dict()
        entry.heard(str(heard.get("text") or ""))
        entry.usage = _usage(heard.get("usage"), seconds)
    return heard, entry.settled["cost_usd"]


def _usage(usage: Any, seconds: int) -> dict[str, Any]:
    """The provider's count in tokens: its own, or ten for each second that it, or else we, counted."""
    counted = usage if isinstance(usage, dict) else {}
    if counted.get("type") == "tokens":
        return {"prompt_tokens": counted.get("input_tokens"), "completion_tokens": counted.get("output_tokens")}
    heard = counted.get("seconds")
    return {"prompt_tokens": math.ceil((heard if isinstance(heard, int | float) else seconds) * TOKENS_A_SECOND)}


def _segments(heard: Mapping[str, Any], piece: Piece, speaker: str) -> list[Segment]:
    """A reply as segments whose times continue those of the piece before."""
    words = [
        Word(str(one["word"]), round(piece.start + one["start"], 2), round(piece.start + one["end"], 2))
        for one in heard.get("words") or ()
    ]
    given = heard.get("segments") or [{"text": heard.get("text", ""), "start": 0.0, "end": piece.end - piece.start}]
    made = []
    for one in given:
        start, end = (round(piece.start + one[key], 2) for key in ("start", "end"))
        text = str(one["text"]).strip()
        if text:
            inside = tuple(word for word in words if start <= (word.start + word.end) / 2 < end)
            made.append(Segment(speaker, text, start, end, inside))
    return made
