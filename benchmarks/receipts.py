"""How exactly receipts are read, by the size at which their images are sent, and what each size costs in tokens.

Every receipt of data/images goes through the real socket: chat completions with a strict `json_schema`, the image as a
PNG data URL with `detail: high`, its longest side shrunk to 256 to 1536 pixels first. A *field* is a leaf of the truth:
merchant, date, receipt number, currency, the sums, the payment method, and of each item its quantity, description,
price for one and amount; null is a value too. A field is right when it is equal (numbers to a cent; texts after folding
case and runs of spaces). An item that is missing or too many counts with all its fields as wrong.

The stand-in's reading was developed on the layouts marked `tune`. The other half, `test`, was read for the first time
at 0.902 (646 of 716 fields at 1024 px); the general causes (a date with the day first, headings that run together,
goods with a long number in the name) were mended after that, so it is no longer unseen. On the stand-in this grades the
plumbing and a small OCR model, not a hosted one.
"""

import base64
import io
import json
import os
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from patterns import models

from . import measure
from .measure import Entry

IMAGES = Path(__file__).resolve().parents[1] / "data" / "images"
SIZES = (256, 512, 768, 1024, 1536)  # pixels on the longest side
SIZE = 1024  # the size that the goal is about
PAYMENTS = ("cash", "card", "bank_transfer")
ASKED = "Read this receipt. Take every value from the image; null where nothing is printed."


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


_TEXT, _NUMBER, _MAYBE = {"type": "string"}, {"type": "number"}, {"type": ["number", "null"]}
SCHEMA = _object(
    {
        "merchant": {**_TEXT, "description": "Who sold the goods, as printed"},
        "date": {**_TEXT, "format": "date"},
        "receipt_number": {**_TEXT, "description": "Number of the receipt, bill or invoice"},
        "currency": {"type": "string", "enum": ["USD", "EUR", "GBP"]},
        "items": {
            "type": "array",
            "items": _object({"quantity": _NUMBER, "description": _TEXT, "unit_price": _NUMBER, "amount": _NUMBER}),
            "maxItems": 100,
        },
        "subtotal": {**_MAYBE, "description": "Sum of the items before discount, tax and tip, if printed"},
        "discount": {**_MAYBE, "description": "Discount as a positive number"},
        "tax": {**_MAYBE, "description": "All taxes together"},
        "tip": _MAYBE,
        "total": {**_NUMBER, "description": "Total to pay"},
        "payment_method": {"type": "string", "enum": list(PAYMENTS)},
    }
)


@dataclass(frozen=True, slots=True)
class Read:
    """One receipt read: which fields are right, by their place in the truth, and its tokens and dollars."""

    file: str
    about: Mapping[str, Any]
    right: Mapping[str, bool]
    prompt_tokens: int
    dollars: float


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its place, such as `items.2.amount`."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from leaves(item, f"{place}.{at}")
    else:
        yield place, value


def compared(truth: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, bool]:
    """For each field of either, whether both have it and it is equal."""
    wanted, have = dict(leaves(truth)), dict(leaves(found))
    missing = object()
    return {place: _same(wanted.get(place, missing), have.get(place, missing)) for place in wanted | have}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) < 0.005
    if isinstance(one, str) and isinstance(other, str):
        return " ".join(one.casefold().split()) == " ".join(other.casefold().split())
    return one is other


def data_url(image: Any, size: int) -> str:
    """The image as a PNG whose longest side is at most `size` pixels."""
    from PIL import Image

    image = image.convert("L")
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def read(client: Any, model: str, url: str) -> tuple[dict[str, Any], Any]:
    """The receipt as JSON and the usage."""
    content = [
        {"type": "text", "text": ASKED},
        {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
    ]
    form = {"type": "json_schema", "json_schema": {"name": "receipt", "strict": True, "schema": SCHEMA}}
    reply = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": content}], response_format=form, seed=7, temperature=0
    )
    return json.loads(reply.choices[0].message.content), reply.usage


def measured(size: int, images: Mapping[str, tuple[Mapping[str, Any], Any]]) -> list[Read]:
    """Every image, given by its name with its truth and its pixels, read at one size."""
    import openai

    chosen = models.provider()
    tier = chosen.tier("vision")
    found = []
    with openai.OpenAI(base_url=chosen.base_url, api_key=chosen.key, max_retries=0, timeout=120) as client:
        for file, (about, image) in images.items():
            got, usage = read(client, tier.model, data_url(image, size))
            dollars = tier.cost(usage.prompt_tokens, usage.completion_tokens) or 0.0
            found.append(Read(file, about, compared(about["fields"], got), usage.prompt_tokens, dollars))
    return found


def receipts() -> dict[str, tuple[dict[str, Any], Any]]:
    from PIL import Image

    truth = yaml.safe_load((IMAGES / "truth.yaml").read_text("utf-8"))
    return {file: (about, Image.open(IMAGES / file)) for file, about in truth.items() if about["kind"] == "receipt"}


def share(reads: Sequence[Read]) -> float:
    """Right fields as a share of all."""
    marks = [mark for one in reads for mark in one.right.values()]
    return sum(marks) / len(marks)


def by(key: str, reads: Sequence[Read]) -> dict[str, float]:
    groups: dict[str, list[Read]] = defaultdict(list)
    for one in reads:
        groups[one.about[key]].append(one)
    return {name: share(some) for name, some in groups.items()}


def fields_by_size() -> list[Entry]:
    os.environ.setdefault("PATTERNS_PROVIDER", "standin")
    images = receipts()
    versions = measure.versions("rapidocr", "onnxruntime", "pillow")
    entries = []
    for size in SIZES:
        reads = measured(size, images)
        tokens = statistics.mean(one.prompt_tokens for one in reads)
        dollars = statistics.mean(one.dollars for one in reads)
        whole = sum(all(one.right.values()) for one in reads)
        halves = by("split", reads)
        note = (
            f"tune {halves['tune']:.4f}, test {halves['test']:.4f}; {whole} of {len(reads)} receipts wholly right; "
            f"{tokens:.0f} prompt tokens and ${dollars:.5f} each"
        )
        if size == SIZE:
            note += "; " + ", ".join(f"{name} {value:.3f}" for name, value in by("layout", reads).items())
        goal = "≥ 0.95" if size == SIZE else ""
        entries.append(Entry("receipts", f"right fields at {size} px", share(reads), goal, {}, versions, note))
    return entries


PARTS = (fields_by_size,)
