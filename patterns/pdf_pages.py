"""The pages of a PDF as pictures, for models that read pictures and no PDF.

    for picture in pages(data): ...       # each at most 1024 pixels on its long side

Raises CallerError: `too_large` (bytes, pages, size of a page, pixels of a picture on it), `unparseable` (no PDF,
damaged, behind a password). All pages are looked at before the first one is drawn.

Not covered: a page whose drawing commands alone unpack to hundreds of megabytes. Where strangers send PDFs, draw them
in a process of its own with a limit on memory.
"""

import threading
from typing import Any

from . import image_caps, pictures
from .errors import CallerError
from .pictures import Picture

MOST_PAGES = 20
MOST_POINTS = 3_400  # a point is 1/72 inch: the long side of A0. On a larger page nothing can be read at 1024 pixels

one_at_a_time = threading.Lock()  # PDFium may be used by one thread at a time


def pages(data: bytes, name: str = "The PDF", long_side: int = pictures.LONG_SIDE) -> list[Picture]:
    """All pages, drawn. It takes a while for many: call it in a thread (`asyncio.to_thread`)."""
    _refuse_bytes(data, name)
    with one_at_a_time:
        document = opened(data, name)
        try:
            if len(document) > MOST_PAGES:
                raise _too_large(f"{name} has {len(document)} pages, and {MOST_PAGES} are the most")
            for number in range(len(document)):
                _check_page(document, number, name)
            return [_drawn(document[number], long_side) for number in range(len(document))]
        except CallerError:
            raise
        except Exception:  # PDFium says only that it could not
            raise _unreadable(name, "is damaged: a page of it cannot be drawn") from None
        finally:
            document.close()


def _refuse_bytes(data: bytes, name: str) -> None:
    if not data:
        raise CallerError(f"{name} has no bytes.", "Send the file again.", "empty_document")
    if len(data) > image_caps.MOST_BYTES:
        raise _too_large(f"{name} has {len(data) / 1e6:.1f} MB, and {image_caps.MOST_BYTES / 1e6:g} MB is the most")
    if b"%PDF-" not in data[:1024]:
        raise _unreadable(name, "is no PDF, whatever its name says")


def opened(data: bytes, name: str) -> Any:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise CallerError(
                f"{name} is behind a password.", "Save it without one, and send it again.", "unparseable"
            ) from None
        raise _unreadable(name, "is damaged or cut off") from None
    if not len(document):
        raise _unreadable(name, "has no page")
    return document


def _check_page(document: Any, number: int, name: str) -> None:
    """Size of the page and of the pictures on it, before a pixel is made of either."""
    from pypdfium2 import raw

    page = document[number]
    try:
        width, height = page.get_size()
        if not 0 < max(width, height) <= MOST_POINTS or min(width, height) <= 0:
            size = f"{width / 72:,.0f} x {height / 72:,.0f} inches"
            raise _too_large(f"Page {number + 1} of {name[0].lower() + name[1:]} is {size}")
        for one in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE]):
            across, down = one.get_px_size()
            if across * down > image_caps.MOST_PIXELS:
                size = f"a picture of {across * down / 1e6:.0f} megapixels"
                raise _too_large(f"Page {number + 1} of {name[0].lower() + name[1:]} holds {size}")
    finally:
        page.close()


def _drawn(page: Any, long_side: int) -> Picture:
    try:
        scale = long_side / max(page.get_size())
        pixels = page.render(scale=scale).to_pil().convert("RGB")
        pixels.thumbnail((long_side, long_side))  # rounding up may have added a pixel
        return pictures.encode(pixels)
    finally:
        page.close()


def _too_large(said: str) -> CallerError:
    return CallerError(f"{said}.", "Send the pages that matter, as a smaller PDF or as pictures.", "too_large")


def _unreadable(name: str, said: str) -> CallerError:
    return CallerError(f"{name} {said}.", "Save it as a PDF again, or send its pages as pictures.", "unparseable")
