"""Words: BM25 in SQLite's FTS5, https://sqlite.org/fts5.html.

The table has two columns that rank, title and text, and two that filter, acl and lang. All four are in one MATCH, so
the filter comes before the ranking. tantivy ranks as well and is faster (0.4 ms for 7 ms at 5,000 chunks, 7 ms for 130
at 100,000), but could not share the transaction in which a document is replaced.
"""

import re
import sqlite3
import unicodedata
from collections.abc import Iterable

from ..chunking import Chunk
from .scope import Scope

SCHEMA = """
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (
    title, text, acl, lang, tokenize = 'porter unicode61 remove_diacritics 2'
);
"""
# The columns acl and lang filter and do not rank. Measured on Cranfield (nDCG@10, any grade relevant): no stemming, all
# words 0.347; stemming 0.370; without stop words 0.378; with titles at weight 2 0.388.
RANK = "bm25(words, 2.0, 1.0, 0.0, 0.0)"
MAX_WORDS = 64  # of a question: more cost time and find nothing more

_STOP_WORDS = """
a about an and are as at be been but by can could did do does for from had has have how i if in into is it its may me my
no not of on or our so such that the their them then there these they this to us was we were what when where which who
why will with would you your
aber als am auf aus bei bin das dass dem den der des die dies diese ein eine einem einen einer er es für habe haben hat
ich ihr im ist kann mein meine mich mir mit nach nicht oder sich sie sind um und von wann wenn wer wie wir wird wo zu
zum zur
"""
_STOP = frozenset(_STOP_WORDS.split())


def add(db: sqlite3.Connection, row: int, chunk: Chunk) -> None:
    words = (row, chunk.title, chunk.text, " ".join(map(_token, chunk.acl)), _token(chunk.lang))
    db.execute("INSERT INTO words (rowid, title, text, acl, lang) VALUES (?, ?, ?, ?, ?)", words)


def search(db: sqlite3.Connection, question: str, scope: Scope, limit: int) -> list[tuple[int, float]]:
    """(row, score) of the best `limit` rows for the words of `question`, best first."""
    match = _match(question, scope)
    if match is None or limit < 1:
        return []
    fresh, values = "", [match]
    if scope.updated_since:
        fresh = "AND +rowid IN (SELECT row FROM chunks WHERE updated >= ?)"  # +: one search, not one a row
        values.append(scope.updated_since.isoformat())
    query = f"SELECT rowid, round(-{RANK}, 9) AS score FROM words WHERE words MATCH ? {fresh}"
    return db.execute(f"{query} ORDER BY score DESC, rowid LIMIT ?", (*values, limit)).fetchall()


def _match(question: str, scope: Scope) -> str | None:
    """The FTS5 query, or None when nothing can match. Every word is quoted: nothing in it is syntax."""
    words = dict.fromkeys(word.lower() for word in re.findall(r"[^\W_]+", unicodedata.normalize("NFC", question)))
    wanted = [word for word in words if word not in _STOP] or list(words)
    if not wanted or not scope.acl:
        return None
    match = f"{{title text}} : ({_any(wanted[:MAX_WORDS])}) AND acl : ({_any(map(_token, sorted(scope.acl)))})"
    return match if scope.lang is None else f'{match} AND lang : "{_token(scope.lang)}"'


def _any(words: Iterable[str]) -> str:
    return " OR ".join(f'"{word}"' for word in words)


def _token(tag: str) -> str:
    """A tag as one word that the tokenizer cannot take apart, and the stemmer leaves alone since it ends in a digit."""
    return f"x{tag.encode('utf-8', 'surrogatepass').hex()}0"
