"""PDF files: their pages drawn as images, so that they are read in the same way as a scan is."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from .pictures import LONGEST, refusal

if TYPE_CHECKING:
    from PIL import Image

MAX_PAGES = 20


def drawn(data: bytes, where: str) -> Iterator["Image.Image"]:
    """Each page as an RGB image whose longest side is at most LONGEST pixels, one at a time. Raises APIError 400."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        locked = "it needs a password" if "password" in str(error).lower() else "it is damaged"
        message = f"The PDF at '{where}' cannot be read: {locked}."
        raise refusal(message, where, "invalid_file") from None
    try:
        if not 0 < len(document) <= MAX_PAGES:
            message = f"The PDF at '{where}' has {len(document)} pages. Send 1 to {MAX_PAGES}."
            raise refusal(message, where, "too_many_pages")
        for number in range(len(document)):
            page = document[number]
            scale = min(2.0, LONGEST / max(page.get_size()))  # 144 dots per inch, which small print needs
            # Its type says int; a fraction is what it takes.
            yield page.render(scale=cast(int, scale)).to_pil().convert("RGB")
            page.close()
    finally:
        document.close()
