"""A text as a person reads it: without what is invisible, with plain digits, and a way back to the places it came from.

read = plain("４１１１\\u200b１")     read.text == "41111", read.original(0, 5) == (0, 6)
"""

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass

_ESCAPES = {"%40": "@", "%2b": "+", "%20": " ", "n": "\n", "r": "\r", "t": "\t"}  # in addresses of pages, and in JSON
_ODD = re.compile(r"[^\x00-\x7f]|%40|%2[b0B]|\\{1,4}(?:u[0-9a-fA-F]{4}|[nrt])")  # more than one: JSON within JSON


@dataclass(frozen=True, slots=True)
class Plain:
    """`text[at[i]:]` stands at `came_from[i]` in the original, up to `at[i + 1]`."""

    text: str
    at: tuple[int, ...] = (0,)
    came_from: tuple[int, ...] = (0,)

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Where `text[start:end]` stands in the original; `start < end`."""
        return self._place(start), self._place(end - 1) + 1

    def _place(self, index: int) -> int:
        piece = bisect_right(self.at, index) - 1
        return self.came_from[piece] + index - self.at[piece]


def plain(text: str) -> Plain:
    """Each character of the result stands for one of `text` or for an escape in it; some are left out."""
    parts, at, came_from = [], [0], [0]
    length = end = 0
    for odd in _ODD.finditer(text):
        said, meant = odd[0], _meant(odd[0])
        parts += (text[end : odd.start()], meant)
        length += odd.start() - end + len(meant)
        end = odd.end()
        if len(said) != len(meant):
            if at[-1] == length:  # several in a row that are left out
                at.pop(), came_from.pop()
            at.append(length)
            came_from.append(end)
    if not parts:
        return Plain(text)
    return Plain("".join([*parts, text[end:]]), tuple(at), tuple(came_from))


def _meant(said: str) -> str:
    if said[0] == "\\":
        said = said.lstrip("\\")
        return _ESCAPES[said] if len(said) == 1 else _meant(chr(int(said[1:], 16)))
    if len(said) > 1:
        return _ESCAPES[said.lower()]
    category = unicodedata.category(said)
    if category == "Cf" or 0xFE00 <= ord(said) <= 0xFE0F:  # zero width, direction marks; variants of a glyph
        return ""
    if category == "Nd":
        return str(unicodedata.digit(said))
    if category == "Pd" or said == "\u2212":  # dashes, minus
        return "-"
    if category == "Zs":
        return " "
    usual = unicodedata.normalize("NFKC", said)
    return usual if len(usual) == 1 and usual.isascii() else said
