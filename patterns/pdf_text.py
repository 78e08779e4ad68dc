"""The text of a PDF, page by page, and which pages have none because they are pictures.

Raises CallerError: `unparseable` (no PDF, damaged, behind a password), `too_large` (more than MOST_PAGES).
"""

import re
from dataclasses import dataclass
from typing import Any

from . import pdf_pages
from .errors import CallerError

MOST_PAGES = 2_000
LONGEST_PAGE = 200_000  # characters; a page of a book has 3,000

# PDFium marks a hyphen at the end of a line with a character of its own.
_SPLIT_WORD = re.compile("[\ufffe\x02]\\s*\n?")
_NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class PdfText:
    """`pages[0]` is the text of page 1, empty where there is none. `pictures` are the numbers of pages that show
    something and have no text. `title` is what the file calls itself, or empty."""

    title: str
    pages: tuple[str, ...]
    pictures: tuple[int, ...]


def read(data: bytes, name: str = "The PDF") -> PdfText:
    """It takes a while for many pages: call it in a thread (`asyncio.to_thread`)."""
    if b"%PDF-" not in data[:1024]:
        raise CallerError(f"{name} is no PDF, whatever its name says.", "Give it its right ending.", "unparseable")
    with pdf_pages.one_at_a_time:
        document = pdf_pages.opened(data, name)
        try:
            if len(document) > MOST_PAGES:
                said = f"{name} has {len(document)} pages, and {MOST_PAGES} are the most."
                raise CallerError(said, "Split it into several files.", "too_large")
            title = str(document.get_metadata_dict().get("Title", ""))
            read_pages = [_page(document, number) for number in range(len(document))]
        except CallerError:
            raise
        except Exception:  # PDFium says only that it could not
            said = f"{name} is damaged: a page of it cannot be read."
            raise CallerError(said, "Save it as a PDF again.", "unparseable") from None
        finally:
            document.close()
    texts = tuple(text for text, _ in read_pages)
    empty = (number for number, (text, shows) in enumerate(read_pages, start=1) if shows and not text)
    return PdfText(title, texts, tuple(empty))


def _page(document: Any, number: int) -> tuple[str, bool]:
    """The text of a page, and whether anything is drawn on it."""
    page = document[number]
    try:
        layer = page.get_textpage()
        try:
            text = _clean(layer.get_text_range()[:LONGEST_PAGE])
        finally:
            layer.close()
        return text, next(iter(page.get_objects()), None) is not None
    finally:
        page.close()


def _clean(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _NOT_TEXT.sub("", _SPLIT_WORD.sub("", text))
    return text.strip() if re.search(r"\w", text) else ""
