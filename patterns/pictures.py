"""A picture as a model should get it: upright, small, and without anything that the pixels do not show.

    picture = prepare(data)     # checked, decoded, turned, scaled to 1024 pixels, its metadata left behind
    picture.image               # for Turn.images: the same pixels always make the same bytes

A photo carries where and when it was taken, with which phone, and at times a thumbnail of what was cropped away. None
of that is needed to read it, so none of it is sent. The pixels are copied into a new image, and only they.
"""

import asyncio
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import image_caps
from .errors import CallerError
from .events import Image

if TYPE_CHECKING:
    from PIL.Image import Image as Pixels

LONG_SIDE = 1024  # pixels
JPEG_QUALITY = 90
_LOSSLESS = ("image/png", "image/gif")  # drawn pictures: letters have sharp edges, and JPEG would blur them


@dataclass(frozen=True, slots=True)
class Picture:
    """A prepared picture, and its size in pixels as it is sent."""

    image: Image
    width: int
    height: int


def prepare(data: bytes, name: str = "The image", long_side: int = LONG_SIDE) -> Picture:
    """The picture in a file, ready to be sent. Raises CallerError: see `image_caps`; `unparseable` for a damaged one.

    It takes up to half a second: where others wait, use `prepare_in_thread`.
    """
    from PIL import Image as pillow
    from PIL import ImageOps

    header = image_caps.check(data, name)
    try:
        with pillow.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP", "GIF")) as opened:
            opened.draft("RGB", (2 * long_side, 2 * long_side))  # a JPEG can be decoded at a half or a quarter
            opened.load()
            shown = _averaged(opened)
            # Small first, and then turned: each step would copy all pixels.
            shown.thumbnail((long_side, long_side), pillow.Resampling.LANCZOS)
            shown = ImageOps.exif_transpose(shown)
    except Exception:  # whatever a damaged file makes the decoder raise
        raise CallerError(
            f"{name} is damaged: its pixels cannot be read to the end.", "Send the file again.", "unparseable"
        ) from None
    return encode(_on_white(shown), header.media_type)


async def prepare_in_thread(data: bytes, name: str = "The image", long_side: int = LONG_SIDE) -> Picture:
    """The same, while other requests go on."""
    return await asyncio.to_thread(prepare, data, name, long_side)


def encode(pixels: "Pixels", media_type: str = "image/png") -> Picture:
    """A picture of RGB pixels. Only the pixels get into the file."""
    file = io.BytesIO()
    lossless = media_type in _LOSSLESS
    if lossless:
        pixels.save(file, "PNG")
    else:
        pixels.save(file, "JPEG", quality=JPEG_QUALITY)
    image = Image(file.getvalue(), "image/png" if lossless else "image/jpeg")
    return Picture(image, pixels.width, pixels.height)


def _averaged(pixels: "Pixels") -> "Pixels":
    """In a mode whose pixels can be averaged: of a palette, scaling would keep some pixels and drop the others."""
    if pixels.mode.startswith("I;16"):  # Pillow's own conversion makes everything white from 255 on
        pixels = pixels.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if pixels.mode in ("RGB", "RGBA", "L", "CMYK"):
        return pixels
    return pixels.convert("RGBA" if pixels.has_transparency_data else "RGB")


def _on_white(pixels: "Pixels") -> "Pixels":
    """RGB in a new image, so that no metadata comes along. What is transparent becomes white, as on paper."""
    from PIL import Image as pillow

    clean = pillow.new("RGB", pixels.size, "white")
    if pixels.has_transparency_data:
        pixels = pixels.convert("RGBA")
        clean.paste(pixels, mask=pixels.getchannel("A"))
    else:
        clean.paste(pixels.convert("RGB"))
    return clean
