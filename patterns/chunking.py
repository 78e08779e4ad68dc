"""Chunking: an article becomes the pieces that are embedded, found and shown.

    sections()         along the Markdown: headings, lists, tables, code
    sliding_window()   a fixed window of words that knows no structure: what cuts tables in half
    recursive()        at paragraphs, else lines, else sentences, else words
    whole()            one chunk an article

What holds for all of them:

- The same article gives the same chunks. A chunk comes from one article and has its metadata; its id is
  `{document_id}#{n}`, n from 1.
- Every word is in some chunk, in one piece unless it alone is over the cap. No chunk is over the cap, but for `whole`.
- Tokens are estimates, 4 characters each, of all that stands in `Chunk.text`.

`sections` goes over the cap for one thing only: a single list item, table row or fenced code block that is longer than
the cap alone, because half of it means something else. Over four times the cap even that is cut, so that no block is
too long for an embedding model.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import zip_longest

from .documents import Article
from .errors import CallerError
from .markdown import Block, outline
from .token_counts import CHARACTERS_PER_TOKEN

OVER_CAP = 4  # how many caps long the only block of a chunk may be

# A number of one or two digits ends no sentence, since it may be a German ordinal: "am 31. Tag".
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\b\d\.)(?<!\b\d\d\.)\s+")
# Where text may be cut, best first, and what joins the pieces that fit together again.
_CUTS = ((re.compile(r"\n\s*\n"), "\n\n"), (re.compile(r"\n"), "\n"), (_SENTENCE_END, " "), (re.compile(r"\s+"), " "))


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an article with the article's metadata. `heading` is the path of headings, or empty."""

    id: str
    document_id: str
    title: str
    url: str
    tenant: str
    lang: str
    acl: tuple[str, ...]
    updated: date
    heading: str
    text: str


Chunker = Callable[[Article], list[Chunk]]


def whole() -> Chunker:
    """The article as one chunk, however long."""
    return lambda article: _chunks(article, [("", article.text)])


def recursive(max_tokens: int = 200) -> Chunker:
    """As few cuts as fit, each at the best place: between paragraphs, else lines, else sentences, else words."""
    cap = _characters(max_tokens)
    return lambda article: _chunks(article, (("", piece) for piece in _divide(article.text, cap)))


def sliding_window(tokens: int = 200, overlap: int = 40) -> Chunker:
    """As many words as fit `tokens`; the next window begins with the last words of the one before, up to `overlap`."""
    cap = _characters(tokens)
    if not 0 <= overlap < tokens:
        raise CallerError(f"An overlap of {overlap} does not fit {tokens} tokens.", "Make it smaller.", "bad_request")

    def windows(text: str) -> Iterator[tuple[str, str]]:
        words = [
            (start, min(start + cap, word.end()))
            for word in re.finditer(r"\S+", text)
            for start in range(word.start(), word.end(), cap)
        ]
        first = after = 0
        while after < len(words):
            while after < len(words) and words[after][1] - words[first][0] <= cap:
                after += 1
            end = words[after - 1][1]
            yield "", text[words[first][0] : end]
            if after < len(words):  # step back, but never so far that the next word would not fit
                first += 1
                while end - words[first][0] > overlap * CHARACTERS_PER_TOKEN or words[after][1] - words[first][0] > cap:
                    first += 1

    return lambda article: _chunks(article, windows(article.text))


def sections(max_tokens: int = 200) -> Chunker:
    """One chunk a section, with its headings in front: "Return policy › When the money comes back\\n…".

    One over the cap is cut between blocks, and a block over it between items, rows (the header row is repeated) or
    sentences (the last one is repeated). A line that ends with ":" stays with what it leads to, where both fit.
    """
    cap = _characters(max_tokens)

    def texts(article: Article) -> Iterator[tuple[str, str]]:
        found = outline(article.title, article.text)
        for section, following in zip_longest(found, found[1:]):
            path, blocks = section.heading_path, section.blocks
            if (
                len(front := f"{path}\n") > cap // 2
            ):  # it would leave too little room: then the heading is text like any other
                front, blocks = "", [Block("prose", [[section.heading]]), *blocks] if section.heading else blocks
            yield from ((path, front + text) for text in _pack(blocks, cap - len(front), OVER_CAP * cap - len(front)))
            shown = following and following.within(section) and len(following.heading_path) < cap // 2
            if section.heading and not blocks and not shown:
                yield path, path

    return lambda article: _chunks(article, texts(article))


def _characters(tokens: int) -> int:
    if tokens < 1:
        raise CallerError(f"A chunk of {tokens} tokens holds no text.", "Allow at least one token.", "bad_request")
    return tokens * CHARACTERS_PER_TOKEN


def _chunks(article: Article, texts: Iterable[tuple[str, str]]) -> list[Chunk]:
    """Number the (heading, text) pairs that hold any text."""
    a, kept = article, (pair for pair in texts if pair[1].strip())
    return [
        Chunk(f"{a.id}#{n}", a.id, a.title, a.url, a.tenant, a.lang, a.acl, a.updated, *pair)
        for n, pair in enumerate(kept, start=1)
    ]


def _divide(text: str, limit: int, cuts: tuple[tuple[re.Pattern[str], str], ...] = _CUTS) -> list[str]:
    """Pieces of at most `limit` characters. Only white space at the cuts is lost."""
    if len(text) <= limit:
        return [text] if text.strip() else []
    if not cuts:
        return [text[start : start + limit] for start in range(0, len(text), limit)]
    (cut, joint), *finer = cuts
    pieces: list[str] = []
    for part in cut.split(text):
        for piece in _divide(part, limit, tuple(finer)):
            if pieces and len(pieces[-1]) + len(joint) + len(piece) <= limit:
                pieces[-1] += joint + piece
            else:
                pieces.append(piece)
    return pieces


def _pack(blocks: list[Block], cap: int, most: int) -> Iterator[str]:
    """Texts of up to `cap` characters, or of one part of a block, up to `most`."""
    text = lead = ""
    for block, following in zip_longest(blocks, blocks[1:]):
        body, next_lead = block.body, ""
        if block.kind == "prose" and following and following.kind != "prose":
            body, next_lead = _lead_in(body[0], cap)
        joint = "\n\n"
        for part, alone in _parts(block, lead, body, cap, most):
            if text and len(text) + len(joint) + len(part) > cap:
                yield text
                text = alone
            else:
                text = f"{text}{joint}{part}" if text else part
            joint = " " if block.kind == "prose" else "\n"
        lead = next_lead
    if text:
        yield text


def _lead_in(prose: str, cap: int) -> tuple[list[str], str]:
    """What to say before, and the short paragraph or sentence that ends with ":" and leads to the next block."""
    if prose.rstrip("*_ ").endswith(":"):
        if len(prose) <= cap // 2:
            return [], prose
        *before, last = _SENTENCE_END.split(prose)
        if before and len(last) <= cap // 2:
            return [" ".join(before)], last
    return [prose], ""


def _parts(block: Block, lead: str, body: list[str], cap: int, most: int) -> list[tuple[str, str]]:
    """What a block may be cut into: (a part after the one before, the same part at the beginning of a new chunk)."""
    openings = [opening for opening in (lead, block.head) if opening]
    whole = "\n".join([*openings, *body])
    if len(whole) <= cap:
        return [(whole, whole)] if whole else []
    if block.kind == "prose":
        parts = [piece for sentence in _SENTENCE_END.split(whole) for piece in _divide(sentence, cap)]
        before = ["", *parts]  # the overlap
        joint = " "
    else:
        parts = body
        for opening in reversed(openings):
            if parts and len(opening) + 1 + len(parts[0]) <= cap:
                parts[0] = f"{opening}\n{parts[0]}"
            else:
                parts.insert(0, opening)
        parts = [piece for part in parts for piece in ([part] if len(part) <= most else _divide(part, cap))]
        before = ["", *("" if part.startswith(block.head) else block.head for part in parts[1:])]
        joint = "\n"
    return [
        (part, f"{again}{joint}{part}" if again and len(again) + 1 + len(part) <= cap else part)
        for part, again in zip(parts, before, strict=False)
    ]
