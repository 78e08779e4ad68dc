"""What is checked of a picture before anything is decoded or sent: what it is, and that it is not too much.

    check(data)             one file: its real type, its size; raises CallerError with the reason and the next step
    check_count(images)     how many come with one question

What a file is, its own first bytes say; a name or a media type is only what somebody claims. Its size in pixels stands
in the header and is read before a pixel is decoded: a file of 100 kB can unpack to gigabytes.

Errors: `empty_document`, `too_large` (bytes, pixels, count), `unparseable` (no picture, an unusual kind, animated).
"""

import io
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import CallerError

MOST_IMAGES = 8  # with one question
MOST_BYTES = 10_000_000
MOST_PIXELS = 25_000_000  # a phone's photo has 12 or 24 million; decoded, these are at most 100 MB
LEAST_SIDE = 16  # pixels; nothing can be read on less

# What all vision models read; the value is the media type. MPO is what some phones call a JPEG with a second picture.
READABLE = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
_PLUGINS = ("JPEG", "PNG", "WEBP", "GIF")

# What people send instead, by its first bytes, with what to do about it.
_OTHERS = (
    (b"%PDF-", "a PDF", "Send its pages as pictures (patterns/pdf_pages.py)."),
    (b"II*\0", "a TIFF", "Save it as PNG or JPEG."),
    (b"MM\0*", "a TIFF", "Save it as PNG or JPEG."),
    (b"BM", "a BMP", "Save it as PNG or JPEG."),
    (b"PK\x03\x04", "a ZIP or Office file", "Send a screenshot of it as PNG or JPEG."),
)

# Filters of warnings belong to the whole process: two threads must not set and restore them at the same time.
_filters = threading.Lock()


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a picture says. `media_type` is the real one."""

    media_type: str
    width: int
    height: int


def check_count(images: Sequence[object], most: int = MOST_IMAGES) -> None:
    """Raises CallerError (`too_large`) for more pictures than one question may have."""
    if len(images) > most:
        raise CallerError(
            f"There are {len(images)} images, and one question may have {most}.",
            f"Send at most {most} at once, or the rest as a batch.",
            "too_large",
        )


def check(data: bytes, name: str = "The image") -> Header:
    """The header of a picture that may be decoded. `name` is for the messages. Raises CallerError."""
    from PIL import Image

    if not data:
        raise CallerError(f"{name} has no bytes.", "Send the file again.", "empty_document")
    if len(data) > MOST_BYTES:
        size = f"{len(data) / 1e6:.1f} MB, and {MOST_BYTES / 1e6:g} MB is the most"
        raise CallerError(f"{name} has {size}.", "Make it smaller, or save it as JPEG.", "too_large")
    _refuse_others(data, name)
    try:
        with _filters, warnings.catch_warnings():
            # Pillow warns of many pixels before it decodes them. Our own limit is lower and says it in our words.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_PLUGINS) as opened:
                kind, (width, height) = opened.format or "", opened.size
                _refuse_pixels(width, height, name)
                animated = kind != "MPO" and getattr(opened, "is_animated", False)
    except Image.DecompressionBombError:
        raise _too_many_pixels("hundreds of megapixels", name) from None
    except CallerError:
        raise
    except Exception:  # Pillow's plugins raise whatever a broken header makes them raise
        raise CallerError(
            f"{name} is not a picture that can be read, whatever its name says.",
            "Send a PNG, JPEG, WebP or GIF file.",
            "unparseable",
        ) from None
    if animated:
        raise CallerError(f"{name} is animated.", "Send one frame of it as PNG or JPEG.", "unparseable")
    if min(width, height) < LEAST_SIDE:
        size = f"{width} x {height} pixels, too few to read anything"
        raise CallerError(f"{name} has {size}.", "Send a larger picture.", "unparseable")
    return Header(READABLE[kind], width, height)


def _refuse_pixels(width: int, height: int, name: str) -> None:
    if width * height > MOST_PIXELS:
        raise _too_many_pixels(f"{width * height / 1e6:.0f} megapixels ({width} x {height})", name)


def _too_many_pixels(size: str, name: str) -> CallerError:
    most = f"{MOST_PIXELS / 1e6:g} megapixels are the most"
    return CallerError(f"{name} has {size}, and {most}.", "Make it smaller before you send it.", "too_large")


def _refuse_others(data: bytes, name: str) -> None:
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] == b"<" and b"<svg" in data[:4096].lower():
        # An SVG is a program for a browser: it can run scripts and fetch addresses from whoever draws it.
        raise CallerError(f"{name} is an SVG, which can run code.", "Save it as PNG.", "unparseable")
    if data[4:8] == b"ftyp":
        raise CallerError(f"{name} is HEIC, AVIF or a video.", "Save it as JPEG or PNG.", "unparseable")
    for magic, what, next_step in _OTHERS:
        if start.startswith(magic):
            raise CallerError(f"{name} is {what}.", next_step, "unparseable")
