"""Many pictures, one after the other and several at a time: with an estimate before and progress meanwhile.

    files = {path.name: path.read_bytes() for path in folder.glob("*.png")}
    print(estimate(files))                       # what cannot be sent, tokens, dollars at most
    done = await read_all(files, receipts.read_prepared, progress=ProgressBar("receipts"))
    done.results, done.failed, done.left

One picture that fails stops no other. When the budget is used up, the rest is left, and said to be left. Run it again
with the same files, and what was read comes from the image cache: only what failed or was left is paid for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Generic, TypeVar

from . import image_caps, models
from .errors import CallerError, LimitHit, PatternsError
from .events import Image
from .pictures import LONG_SIDE, prepare_in_thread

T = TypeVar("T")

AT_ONCE = 4
MOST_FILES = 10_000

# OpenAI's published arithmetic for models that count tiles: the picture within 2048 x 2048, its short side at most 768,
# then tiles of 512 x 512. Others count otherwise: it is an estimate. platform.openai.com/docs/guides/images-vision
BASE_TOKENS, TILE_TOKENS, TILE, FITS, SHORT_SIDE = 85, 170, 512, 2048, 768


def image_tokens(width: int, height: int) -> int:
    """Tokens that a picture of that size in pixels is read as."""
    scale = min(1.0, FITS / max(width, height))
    scale = min(scale, SHORT_SIDE / min(width, height))
    across, down = (max(1, ceil(round(side * scale, 6) / TILE)) for side in (width, height))
    return BASE_TOKENS + TILE_TOKENS * across * down


@dataclass(frozen=True, slots=True)
class Estimate:
    """Before a batch: how many pictures will be read, what is refused and why, and the cost.

    `dollars` counts the pictures, and a prompt and a reply of the given size for each; None: the price is not known.
    """

    pictures: int
    refused: Mapping[str, str]
    tokens: int
    dollars: float | None


def estimate(files: Mapping[str, bytes], prompt_tokens: int = 500, reply_tokens: int = 300) -> Estimate:
    """What reading these files will cost, from their headers alone: nothing is decoded and nothing is sent."""
    refused: dict[str, str] = {}
    tokens = 0
    for name, data in files.items():
        try:
            header = image_caps.check(data, name)
        except CallerError as error:
            refused[name] = str(error)
        else:
            scale = min(1.0, LONG_SIDE / max(header.width, header.height))
            tokens += image_tokens(max(1, round(header.width * scale)), max(1, round(header.height * scale)))
    count = len(files) - len(refused)
    read = tokens + prompt_tokens * count
    return Estimate(count, refused, read, models.provider().tier("vision").cost(read, reply_tokens * count))


@dataclass(slots=True)
class Batch(Generic[T]):
    """Every file is in exactly one of them: `results`, `failed` with the reason, `left` when the budget was used up."""

    results: dict[str, T] = field(default_factory=dict)
    failed: dict[str, PatternsError] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


async def read_all(
    files: Mapping[str, bytes],
    read: Callable[[Image], Awaitable[T]],
    *,
    at_once: int = AT_ONCE,
    progress: Callable[[int, int], None] = lambda done, all: None,
) -> Batch[T]:
    """Prepare and read every file, at most `at_once` at a time. `progress(done, all)` is called after each.

    Pictures that may not be sent and calls that fail are in `failed`. After a LimitHit no other call is begun. Raises
    CallerError (`too_large`) for more files than a batch may have; anything that is no error of ours goes through.
    """
    if len(files) > MOST_FILES:
        raise CallerError(
            f"There are {len(files)} files, and a batch may have {MOST_FILES}.", "Split them.", "too_large"
        )
    found: dict[str, T | PatternsError | None] = dict.fromkeys(files)
    waiting, done, over = list(reversed(list(files.items()))), 0, False

    async def work() -> None:
        nonlocal done, over
        while waiting and not over:
            name, data = waiting.pop()
            try:
                found[name] = await read((await prepare_in_thread(data, name)).image)
            except LimitHit:
                over = True
                return
            except PatternsError as error:
                found[name] = error
            done += 1
            progress(done, len(files))

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(files))):
            group.create_task(work())
    batch: Batch[T] = Batch()
    for name, value in found.items():  # in the order of the files, whoever was ready first
        if value is None:
            batch.left.append(name)
        elif isinstance(value, PatternsError):
            batch.failed[name] = value
        else:
            batch.results[name] = value
    return batch
