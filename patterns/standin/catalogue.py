"""The models that the stand-in offers, and how fast each is when nobody turns a dial."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["chat", "embedding", "rerank", "transcription", "moderation"]


@dataclass(frozen=True, slots=True)
class Model:
    """Times in seconds, speeds in tokens per second, `context` in tokens.

    `meaning` says whether the model compares meanings (sentence embeddings and words) or words only, `sees` whether it
    takes images.
    """

    name: str
    kind: Kind
    meaning: bool = False
    time_to_first_token: float = 0.0
    tokens_per_second: float = 1_000.0
    prefill: float = 50_000.0  # prompt tokens read per second before the first token comes
    context: int = 8_192
    sees: bool = False


MODELS = {
    model.name: model
    for model in (
        Model("standin-small", "chat", False, 0.12, 120, 20_000, 16_384),
        Model("standin-large", "chat", True, 0.35, 45, 8_000, 131_072),
        Model("standin-judge", "chat", True, 0.25, 80, 10_000, 131_072),
        Model("standin-vision", "chat", True, 0.35, 45, 8_000, 131_072, sees=True),
        Model("standin-embed", "embedding"),
        Model("standin-rerank", "rerank"),
        Model("standin-transcribe", "transcription"),
        Model("standin-moderate", "moderation"),
    )
}
