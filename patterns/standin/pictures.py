"""Images as they come in: checked before anything is decoded, turned upright, and shrunk as hosted models shrink them.

Image tokens follow OpenAI's published arithmetic for its tile-based models ("Images and vision" guide, section on
calculating costs): low detail costs 85 tokens. For high detail the image is fitted into 2048 x 2048 pixels, then its
shortest side to 768 (never enlarged), and each tile of 512 x 512 that it touches costs 170 tokens, on top of the 85.
"""

import base64
import binascii
import io
import math
import re
from typing import TYPE_CHECKING, Any

from .api_error import APIError

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 20 * 2**20  # of one decoded file
MAX_PIXELS = 50_000_000  # of one image, read from its header; with four channels, decoding so many takes 0.5 GB
LOW, SHORTEST, LONGEST, TILE = 512, 768, 2048, 512  # pixels
BASE_TOKENS, TILE_TOKENS = 85, 170
DETAILS = ("auto", "low", "high")

_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*?;base64,", re.IGNORECASE)
_SIGNS = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "application/pdf": re.compile(rb"\s*%PDF-"),
}
IMAGES = tuple(kind for kind in _SIGNS if kind.startswith("image/"))
_EXIF_ORIENTATION = 0x0112


def refusal(message: str, where: str, code: str = "invalid_image") -> APIError:
    return APIError(400, message, param=where, code=code)


def decoded(url: Any, where: str, allowed: tuple[str, ...]) -> bytes:
    """The bytes of a data URL whose declared type is allowed and true. Raises APIError 400."""
    if not isinstance(url, str) or not url:
        raise refusal(f"Invalid value for '{where}': give a data URL.", where, "invalid_value")
    if re.match(r"https?:", url, re.IGNORECASE):
        message = f"Failed to download the file at '{where}': the stand-in has no network. Send it as a data URL."
        raise refusal(message, where, "invalid_image_url")
    head = _DATA.match(url)
    if head is None:
        message = f"Invalid value for '{where}': expected 'data:{allowed[0]};base64,' and the data."
        raise refusal(message, where, "invalid_image_url")
    declared = (head[1] or "").lower().replace("image/jpg", "image/jpeg")
    if declared not in allowed:
        message = f"The type '{declared}' at '{where}' is not supported. Send one of {', '.join(allowed)}."
        raise refusal(message, where, "invalid_image_format")
    if (len(url) - head.end()) * 3 // 4 > MAX_BYTES:
        raise refusal(f"The file at '{where}' is larger than {MAX_BYTES // 2**20} MiB.", where, "image_too_large")
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise refusal(f"Invalid value for '{where}': it is not valid base64.", where) from None
    if not data:
        raise refusal(f"The file at '{where}' is empty.", where)
    found = next((kind for kind, sign in _SIGNS.items() if sign.match(data)), None)
    if found != declared:
        is_what = f"its bytes are {found}" if found else "its bytes are of no supported type"
        message = f"The file at '{where}' is declared as {declared}, but {is_what}. Correct the type."
        raise refusal(message, where, "invalid_image_format")
    return data


def picture(data: bytes, where: str) -> "Image.Image":
    """The first frame of an image file, upright, in RGB, on white where it is transparent. Raises APIError 400."""
    try:
        image = _opened(data)
        width, height = image.size
        if not _bounded(width, height, where):
            raise refusal(f"The image at '{where}' has no pixels.", where)
        return _upright(image)
    except APIError:
        raise
    except Exception as error:  # decoders raise many kinds of exceptions on broken bytes
        message = f"The image at '{where}' cannot be read ({type(error).__name__}). It may be cut short or damaged."
        raise refusal(message, where) from None


def _bounded(width: int, height: int, where: str) -> bool:
    if width * height > MAX_PIXELS:
        message = f"The image at '{where}' has {width} x {height} pixels, more than {MAX_PIXELS:,}. Send a smaller one."
        raise refusal(message, where, "image_too_large")
    return width > 0 and height > 0


def _opened(data: bytes) -> "Image.Image":
    """The image with its size, not decoded yet. Not `Image.open`, which warns about sizes that are refused here."""
    from PIL import GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

    kind = next(kind for kind in IMAGES if _SIGNS[kind].match(data))
    if kind == "image/webp" and (size := _webp_size(data)) is not None:
        _bounded(*size, "image")  # its decoder takes memory for the whole canvas as soon as it is opened
    opener = {
        "image/png": PngImagePlugin.PngImageFile,
        "image/jpeg": JpegImagePlugin.JpegImageFile,
        "image/gif": GifImagePlugin.GifImageFile,
        "image/webp": WebPImagePlugin.WebPImageFile,
    }[kind]
    return opener(io.BytesIO(data))


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in the first chunk of a WebP file (RFC 9649, sections 2.5 to 2.7)."""
    chunk, body = data[12:16], data[20:30]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return None


def _upright(image: "Image.Image") -> "Image.Image":
    from PIL import Image, ImageOps

    image.draft("RGB", (LONGEST, LONGEST))  # a JPEG is decoded at a half or a quarter at once where that is enough
    turned = image.getexif().get(_EXIF_ORIENTATION, 1)
    if (factor := max(image.size) // (2 * LONGEST)) > 1 and image.mode in ("L", "RGB", "RGBA"):
        image = image.reduce(factor)
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value / 256).convert("L")
    clear = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    if clear:
        over = image.convert("RGBA")
        image = Image.new("RGBA", over.size, "white")
        image.alpha_composite(over)
    image = image.convert("RGB")
    if turned != 1:
        image.getexif()[_EXIF_ORIENTATION] = turned
        image = ImageOps.exif_transpose(image)
    return image


def shrunk(image: "Image.Image", detail: str) -> tuple["Image.Image", int]:
    """The image at the size at which the model sees it, and its tokens."""
    size, count = tiles(*image.size, detail)
    return (image if size == image.size else image.resize(size, _lanczos(), reducing_gap=3.0)), count


def tiles(width: int, height: int, detail: str) -> tuple[tuple[int, int], int]:
    """The size in pixels at which an image is seen, and its tokens: see the module's docstring."""
    low = detail == "low" or (detail == "auto" and max(width, height) <= LOW)
    scale = min(1.0, (LOW if low else LONGEST) / max(width, height))
    if not low:
        scale = min(scale, SHORTEST / min(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if low:
        return size, BASE_TOKENS
    return size, BASE_TOKENS + TILE_TOKENS * math.ceil(size[0] / TILE) * math.ceil(size[1] / TILE)


def _lanczos() -> Any:
    from PIL import Image

    return Image.Resampling.LANCZOS
