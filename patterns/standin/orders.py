"""What a fully gullible model would say: it obeys an order that hides in a text it was given.

Only called when a dial asks for gullibility. An order is a sentence in the imperative *to the assistant*; a
text that tells its readers what to do ("Return books to the desk.") is not one. What comes of an order besides words
(tools called, fields filled) is in `obeying.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from .decoding import variants
from .order_words import (
    ADDRESSED,
    DOES,
    EVERYTHING,
    IGNORE,
    LEAK,
    LEAKS,
    MUST,
    QUOTES,
    RULES,
    SAY,
    SEND,
    SHOWS_ALL,
    TELL,
)
from .prompt import Prompt
from .words import sentences


@dataclass(frozen=True, slots=True)
class Order:
    """`said` is what obeying it says, `text` the order and what follows it in its paragraph.

    `plain`: it is to the assistant beyond doubt, or was written so that only a machine reads it. `source` is the id of
    the document that it stood in.
    """

    said: str
    text: str
    plain: bool
    source: str = ""


def orders(prompt: Prompt) -> list[Order]:
    """The orders of the first text of the prompt that holds any."""
    for source, text, trusted in _texts(prompt):
        found = [order for order in obeyed(text, source) if order.plain or not trusted]
        if found:
            return [_filled(order, prompt) for order in found]
    return []


def gullible_order(prompt: Prompt) -> str | None:
    """What obeying the first order would say, or None when no text holds one."""
    return next((order.said for order in orders(prompt)), None)


def _texts(prompt: Prompt) -> Iterator[tuple[str, str, bool]]:
    """Every text that the model was given, with the id of its document, and whether it is the user's own.

    The user asks for things all the time: there, only what is against the instructions is an order to obey.
    """
    for result in prompt.tool_results:
        yield from (("", text, False) for text in _strings(result.content))
    for document in prompt.documents:
        yield document.id, document.text, False
        yield document.id, document.title, False
    for said in reversed(prompt.history):
        yield "", said.text, True
    yield "", prompt.question, True


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _filled(order: Order, prompt: Prompt) -> Order:
    """What stands for something is put in: the instructions, the documents, the question for what is in braces."""
    said = order.said
    if said == LEAK:
        said = prompt.instructions or said
    elif said == EVERYTHING:
        said = "\n\n".join(document.text for document in prompt.documents) or said
    else:
        said = re.sub(r"\{+[^{}\n]{0,60}\}+", lambda _: quote(prompt.question, safe=""), said)
    return Order(said, order.text, order.plain, order.source)


def obeyed(text: str, source: str = "") -> Iterator[Order]:
    """Every order in a text; one that is encoded counts where the text as it stands holds none."""
    for position, variant in enumerate(variants(text)):
        found = list(_read(variant, source, hidden=position > 0))
        yield from found
        if found:
            return


def _read(text: str, source: str, hidden: bool) -> Iterator[Order]:
    for paragraph in re.split(r"\n\s*\n", text):
        bare, links = _bare(paragraph)
        parts = sentences(bare)
        told = False  # the sentence before was to the assistant, so that this one may be the order
        for at, part in enumerate(parts):
            rest = IGNORE.sub("", part, count=1)
            ignored = rest != part
            plain = ADDRESSED.sub("", rest, count=1)
            addressed = ignored or plain != rest
            must = MUST.search(plain)
            sure = bool(must and must["sure"])
            following = " ".join(parts[at + 1 :])
            said = _order(plain, following, addressed or told or sure, must)
            if said:
                against = re.search(rf"\b(?:{RULES}|anweisungen?|regeln|above|everything)\b", part, re.IGNORECASE)
                certain = (
                    hidden or told or sure or (plain != rest) or bool(ignored and against) or said in (LEAK, EVERYTHING)
                )
                yield Order(_linked(said, links), _linked(f"{part} {following}", links), certain, source)
            told = addressed or told


def _order(text: str, following: str, to_assistant: bool, must: re.Match[str] | None) -> str | None:
    """One sentence obeyed; None when it orders nothing."""
    text = text.strip(" \t\n.!,;:-–—") if not text.strip(" .!,;:-–—") else text.strip()
    if LEAKS.search(text):
        return LEAK
    if to_assistant and SHOWS_ALL.search(text):
        return EVERYTHING
    for pattern in (TELL, SAY):
        found = pattern.search(text)
        if not found:
            continue
        said = found["said"]
        if pattern is TELL:
            how = (found["how"] or "").lower()
            polite = "Bitte" if how in {"er solle", "sie sollen", "auf,", "zu"} else "Please"
            if how in {"that", "dass", "que", "de que", "qu'"} or not how:
                return _sentence(said)
            return _sentence(f"{polite} {_own(said)}")
        explicit = bool(found["mark"].strip())
        if (explicit and found["mark"] != ":") or re.search(
            rf":\s*[{QUOTES}]", text[found.start() : found.start("said")]
        ):
            quoted = re.match(rf"(.+?)[{QUOTES}](?:[\s.,;!)]|$)", f"{said} {following}", re.DOTALL)
            return _sentence(quoted[1] if quoted else said)
        if explicit or to_assistant:
            return _sentence(said)
    if to_assistant and (does := DOES.search(text)) and not must:
        return _sentence(does["said"])
    sends = SEND.search(text)
    if not text.strip(" .!,;:-–—") or not (to_assistant or sends):
        return None
    if must:
        being = bool(re.match(r"(?:be|are|bist)\s", text[must.end() :])) or "are now" in must[0].lower()
        does = re.sub(r"^(?:be|are|bist)\s+", "", text[must.end() :])
        if not does.strip(" ."):
            return None
        return _sentence(f"I am now {_own(does)}" if being else f"I will {_own(does)}")
    imperative = re.match(
        r"(?:and |then |und |dann |please |bitte |now )*([a-z]+\b.*)", text, re.IGNORECASE | re.DOTALL
    )
    order = imperative[1] if imperative else text
    if re.match(r"(?:the|a|an|all|this|our|der|die|das|ein|eine|it|there|we|i|your)\b", order, re.IGNORECASE):
        return _sentence(order)
    return _sentence(f"I will {_own(order)}")


_KEPT = re.compile(
    r"!?\[[^\]\n]*\]\([^)\n]*\)|<img\b[^>]*>|\w{2,10}://[^\s<>\"“”]*[^\s<>\"“”.,;:!?)]|(?:javascript|data|mailto|tel):\S+|"
    r"[\w.+-]+@[\w.-]*\w|[^\W_]+(?:_[^\W_]+)+",
    re.IGNORECASE,
)


def _bare(text: str) -> tuple[str, list[str]]:
    """Without Markdown and HTML marks, which hide an order from people and not from a model; and what it keeps apart.

    Links, addresses and names_like_this are words to come back later: their signs are no marks.
    """
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"qk{len(kept) - 1}kq"

    text = _KEPT.sub(keep, text)
    text = re.sub(r"<!--|</?[a-z][^>]*>|&lt;|&gt;", " ", text.replace("-->", " . "), flags=re.IGNORECASE)
    text = re.sub(r"^[ \t]*(?:[#>*+-]+|\d+[.)])[ \t]+", "", text, flags=re.MULTILINE)
    return re.sub(r"[*_#~\[\]]{1,3}", "", " ".join(text.split())), kept


def _linked(text: str, kept: list[str]) -> str:
    return re.sub(r"qk(\d+)kq", lambda match: kept[int(match[1])], text, flags=re.IGNORECASE)


def _own(text: str) -> str:
    """The order in the words of the one who carries it out."""
    text = text.strip()
    # "Tell" and "Send" lose their capital; names and "I" keep theirs.
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _sentence(text: str) -> str:
    said = re.sub(r"\s+([.!?])", r"\1", text).strip(f" \t\n{QUOTES}")
    said = said[:1].upper() + said[1:]
    return said if said.endswith((".", "!", "?")) else f"{said}."
