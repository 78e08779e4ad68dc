"""Routing by neighbours on Banking77: accuracy, and whether the confidence keeps its word. No chat model.

All 10,003 training messages are the examples; the curve of the confidence is fitted on them, each left out in turn, and
never sees a test message. The stand-in's vectors are those of MiniLM, so the numbers are MiniLM's.
Data: Casanueva et al., *Efficient intent detection with dual sentence encoders* (2020), arXiv:2003.04807.
"""

import asyncio
import csv
import os
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from patterns import calls, models
from patterns.course import control
from patterns.embeddings_search import embedded
from patterns.knn_router import POWER, SURE, K, Router, calibration_error

from . import measure
from .banking77 import Message, interval
from .measure import Entry


def read(folder: Path, split: str) -> list[Message]:
    with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        return [Message(row["text"], row["category"]) for row in csv.DictReader(file)]


async def measured(train: list[Message], test: list[Message]) -> list[Entry]:
    if control.has_dials():
        control.turn(time_to_first_token=0, tokens_per_second=1e6)  # its speed is not the question here
    embed = partial(calls.embed, feature="routing")
    examples = await embedded([message.text for message in train], embed)
    unseen = await embedded([message.text for message in test], embed)
    model = models.provider().tier("embed").model
    await models.close()
    router = Router(examples, [message.intent for message in train])
    votes = router.vote(unseen)
    right = [vote.label == message.intent for vote, message in zip(votes, test, strict=True)]
    chances = [router.confidence(vote) for vote in votes]
    low, high = interval(sum(right), len(right))
    alone = [good for good, chance in zip(right, chances, strict=True) if chance >= SURE]
    accuracy = (
        f"95% interval {low:.3f} to {high:.3f}; {len(train)} examples, {len(test)} messages, 77 intents; weight cosine "
        f"to the power of {POWER}; vectors of {model}; nothing was trained"
    )
    raw = calibration_error([vote.score for vote in votes], right)
    error = (
        f"10 bins of equal width; without the curve {raw:.3f}; at a confidence of {SURE:g} the neighbours decide "
        f"{len(alone) / len(right):.1%} alone, {sum(alone) / max(len(alone), 1):.1%} of them right"
    )
    return [
        Entry("routing", f"Banking77 accuracy of the neighbours, k = {K}", sum(right) / len(right), "≥ 0.92", {},
              measure.versions("numpy"), accuracy),
        Entry("routing", "expected calibration error", calibration_error(chances, right), "≤ 0.05", {},
              measure.versions("numpy"), error),
    ]  # fmt: skip


def banking77_by_neighbours() -> list[Entry]:
    folder = measure.bench_data("banking77")
    with nullcontext() if os.environ.get("PATTERNS_PROVIDER") else measure.standin():
        return asyncio.run(measured(read(folder, "train"), read(folder, "test")))


PARTS = (banking77_by_neighbours,)
