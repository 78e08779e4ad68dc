"""Bytes that should be text, and what had to be assumed to read them."""

import codecs
import re

from .errors import CallerError

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?([\w-]{2,40})""", re.IGNORECASE)
_NOT_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def decoded(data: bytes, name: str, is_html: bool = False) -> tuple[str, str]:
    """(text, what was assumed): empty for UTF-8. Lines end with `\\n`. Raises CallerError (`unparseable`).

    What is neither UTF-8 nor says what it is, is read as Windows-1252, which Latin-1 is a part of. Such a guess can be
    wrong for the letters that are not English, and no program can know it: so it is said.
    """
    text, assumed = _read(data, is_html)
    if text is None or _NOT_TEXT.search(text):
        said = f"The document {name} is no text, whatever its name says."
        raise CallerError(said, "Give it its right ending, or save it as UTF-8 text.", "unparseable")
    return text.replace("\r\n", "\n").replace("\r", "\n"), assumed


def _read(data: bytes, is_html: bool) -> tuple[str | None, str]:
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return _try(
                data, encoding
            ), "" if encoding == "utf-8-sig" else "It was read as UTF-16, as its first bytes say."
    text = _try(data, "utf-8")
    if text is not None:
        return text, ""
    declared = _CHARSET.search(data[:4096]) if is_html else None
    if declared and (text := _try(data, declared[1].decode())) is not None:
        return text, f"It was read as {declared[1].decode().lower()}, as it says itself."
    note = "It is not UTF-8, so it was read as Windows-1252 (Latin-1). If letters look wrong, save it as UTF-8."
    return _try(data, "cp1252"), note


def _try(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError):
        return None
