"""Eyes: text read from images by optical character recognition (PP-OCR models on ONNX Runtime, inside `rapidocr`).

The models ship in the package; nothing is downloaded. What is seen is text and where it stands. Nothing else in an
image is seen: no objects, no colours, no faces.

What was read lately is kept in memory by the image's bytes and its detail, so the same image a second time is answered
without the second or so that reading takes. Times measured on a repeated image are therefore too short.
"""

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from . import layout, pages, pictures
from .api_error import APIError

if TYPE_CHECKING:
    from PIL import Image

KEPT = 128  # readings in memory
SURE = 0.5  # a text read with less confidence is left out

_lock = threading.Lock()  # one image at a time: the engine is not made for more, and memory stays bounded
_kept: OrderedDict[str, tuple["Seen", ...]] = OrderedDict()


@dataclass(frozen=True, slots=True)
class Seen:
    """One image or page: its text line by line, and what it costs in tokens. `key` stands for its bytes."""

    text: str
    tokens: int
    key: str


def with_images_read(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with a part `{"type": "seen", "seen": Seen}` for each image, and for each page of a file.

    Raises APIError 400 for what cannot be read.
    """
    return [_read(message, f"messages.{at}.content") for at, message in enumerate(messages)]


def _read(message: dict[str, Any], where: str) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    parts: list[Any] = []
    for at, part in enumerate(content):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "image_url":
            url, detail = part["image_url"]["url"], part["image_url"].get("detail") or "auto"
            there = f"{where}.{at}.image_url.url"
            data = pictures.decoded(url, there, pictures.IMAGES)
            seen = _once(data, detail, lambda data=data, there=there: [pictures.picture(data, there)])
        elif kind == "file":
            there = f"{where}.{at}.file.file_data"
            data = pictures.decoded(part["file"]["file_data"], there, ("application/pdf",))
            seen = _once(data, "high", lambda data=data, there=there: pages.drawn(data, there))
        else:
            parts.append(part)
            continue
        parts += [{"type": "seen", "seen": one} for one in seen]
    return {**message, "content": parts}


def _once(data: bytes, detail: str, images: Callable[[], "Any"]) -> tuple[Seen, ...]:
    key = hashlib.sha256(data).hexdigest() + detail
    with _lock:
        if key not in _kept:
            _kept[key] = tuple(see(image, detail, f"{key}/{at}") for at, image in enumerate(images()))
        _kept.move_to_end(key)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
        return _kept[key]


def _mended(text: str) -> str:
    """Letters that look like others are told apart by the word they stand in (`0range`, `Al assistant`), and a date
    that ran into a time is parted from it."""
    text = re.sub(r"\bAl(?=\s+(?:assistants?|models?|agents?|systems?)\b)", "AI", text)
    text = re.sub(r"(?<!\w)0(?=[^\W\d_]{2})", "O", text)
    text = re.sub(r"(?<=[A-Z]{2})0(?=[A-Z]{2})", "O", text)
    return re.sub(r"([./-]\d{4})(?=\d\d:\d\d)", r"\1 ", text)


def see(image: "Image.Image", detail: str, key: str = "") -> Seen:
    """What stands in an RGB image, at the size that this detail gives it."""
    small, tokens = pictures.shrunk(image, detail)
    found = _engine()(np.ascontiguousarray(np.asarray(small)[:, :, ::-1]))
    pieces: list[layout.Box] = []
    if found.boxes is not None:
        for text, sure, words in zip(found.txts, found.scores, found.word_results, strict=True):
            if sure >= SURE:
                pieces += layout.parted(text, [layout.Box(word, np.array(corners)) for word, _, corners in words])
    return Seen(_mended(layout.text(layout.lines(pieces))), tokens, key)


@cache
def _engine() -> Callable[[np.ndarray], Any]:
    from rapidocr import RapidOCR

    threads = {"intra_op_num_threads": 2, "inter_op_num_threads": 1}
    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.return_word_box": True,
            "Global.use_cls": False,  # text upside down is not expected: images are set upright before
            **{f"EngineConfig.onnxruntime.{name}": number for name, number in threads.items()},
        }
    )


def check_part(part: Mapping[str, Any], where: str) -> None:
    """Whether an image or file part is well formed; what it holds is checked when it is read. Raises APIError 400."""
    kind = str(part["type"])
    inner = part.get(kind)
    field = "url" if kind == "image_url" else "file_data"
    if not isinstance(inner, Mapping) or not isinstance(inner.get(field), str):
        hint = " The stand-in keeps no files; send 'file_data'." if kind == "file" else ""
        message = f"Missing required parameter: '{where}.{kind}.{field}'.{hint}"
        raise APIError(400, message, param=f"{where}.{kind}.{field}", code="missing_required_parameter")
    if (inner.get("detail") or "auto") not in pictures.DETAILS:
        message = f"Invalid value for '{where}.{kind}.detail': it is one of {', '.join(pictures.DETAILS)}."
        raise APIError(400, message, param=f"{where}.{kind}.detail", code="invalid_value")
