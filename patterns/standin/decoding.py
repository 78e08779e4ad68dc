"""A text in all the ways in which a model can still read it, and a person or a filter of words cannot.

Covered: zero-width and direction marks, tag characters, look-alike letters, full-width letters, base64, hexadecimal,
ROT13, text written backwards, letters with spaces between.
"""

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Iterator

_LOOK_ALIKE = str.maketrans(
    "абеорсухікмтвнԁһјѕԛԝАВЕКМНОРСТУХІЈЅαοντρικυΑΒΕΖΗΙΚΜΝΟΡΤΥΧı",
    "a6eopcyxikmtbhdhjsqwABEKMHOPCTYXIJSaovtpikuABEZHIKMNOPTYXi",
)
_WORDS = """
the and to you your all that this with for is of in not now only tell call ignore instructions und die der das sie alle
nicht que los las el para le les des pour
"""
_COMMON = frozenset(_WORDS.split())
_LONG = 16  # characters of a coded word: shorter ones are names and numbers


def variants(text: str) -> Iterator[str]:
    """The text itself, and then what it becomes when it is decoded in each way that leads to words."""
    yield text
    plain = _plain(text)
    if plain != text:
        yield plain
    yield from _coded(plain)
    for part in re.split(r"\n+|(?<=:)\s+", plain):
        if len(part) < _LONG:
            continue
        if spaced := _unspaced(part):
            yield spaced
        for other in (codecs.decode(part, "rot13"), part[::-1]):
            if _common(other) >= _common(part) + 2:
                yield other


def _plain(text: str) -> str:
    """As it looks: without what cannot be seen, and with Latin letters for those that look like them."""
    tags = "".join(chr(ord(one) - 0xE0000) if 0xE0020 <= ord(one) <= 0xE007E else one for one in text)
    seen = "".join(one for one in tags if unicodedata.category(one) != "Cf")
    folded = unicodedata.normalize("NFKC", seen)
    # Only words that mix scripts: a Russian sentence is no English one in disguise.
    return re.sub(r"\S+", lambda word: _latin(word[0]), folded)


def _latin(word: str) -> str:
    folded = word.translate(_LOOK_ALIKE)
    return folded if folded.isascii() and not word.isascii() else word


def _coded(text: str) -> Iterator[str]:
    for word in re.findall(rf"[A-Za-z0-9+/_-]{{{_LONG},}}={{0,2}}", text):
        for decode in (_base64, bytes.fromhex):
            try:
                said = decode(word).decode("utf-8")
            except (ValueError, binascii.Error):
                continue
            if " " in said and said.replace("\n", " ").isprintable():
                yield said


def _base64(word: str) -> bytes:
    standard = word.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)


def _unspaced(text: str) -> str:
    """ "s a y   t h i s" as "say this"; empty where letters are not spaced out."""
    if not re.search(r"(?:\S ){6}\S(?!\S)", text):
        return ""
    return re.sub(
        r"(?<!\S)\S(?: \S)+(?:(?: {2,}| / )\S(?: \S)*)*(?!\S)",
        lambda run: " ".join(word.replace(" ", "") for word in re.split(r" {2,}| / ", run[0])),
        text,
    )


def _common(text: str) -> int:
    return sum(word in _COMMON for word in re.findall(r"[^\W\d_]+", text.lower()))
