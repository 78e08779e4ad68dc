"""Chunking: what holds for every chunker on any text, and what `sections` keeps together."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from patterns import acme
from patterns.chunking import OVER_CAP, Chunk, Chunker, recursive, sections, sliding_window, whole
from patterns.documents import Article
from patterns.errors import CallerError
from patterns.token_counts import estimate_tokens

ARTICLE = Article("a-1", "Title", "https://t.example/a", "acme-home", "en", ("public",), date(2026, 1, 2), "text")
CAPPED: dict[str, Callable[[int], Chunker]] = {
    "sections": sections,
    "sliding_window": lambda tokens: sliding_window(tokens, tokens // 5),
    "recursive": recursive,
}
CHUNKERS = {**CAPPED, "whole": lambda tokens: whole()}


def article(text: str, title: str = "Title") -> Article:
    return replace(ARTICLE, text=text, title=title)


def texts(chunker: Chunker, text: str, title: str = "Title") -> list[str]:
    return [chunk.text for chunk in chunker(article(text, title))]


def body(chunk: Chunk) -> str:
    return chunk.text.removeprefix(f"{chunk.heading}\n")


# --- Texts with a known structure: what may not be cut is listed beside them ---

SENTENCE = st.lists(st.text("abcxyzÄß", min_size=1, max_size=9), min_size=1, max_size=12).map(
    lambda words: " ".join(words).capitalize() + "."
)
PROSE = st.lists(SENTENCE, min_size=1, max_size=8).map(" ".join)
ITEM = st.tuples(st.sampled_from(["- ", "* ", "1. ", "  - "]), SENTENCE, st.sampled_from(["", "\n  and more"])).map(
    "".join
)
CELL = st.text("abc ", max_size=12)
ROW = st.lists(CELL, min_size=3, max_size=3).map(lambda cells: f"| {' | '.join(cells)} |")
HEADINGS = st.tuples(st.sampled_from(["#", "##", "###"]), st.text("abcdef", min_size=1, max_size=15)).map(" ".join)
CODE_LINE = st.sampled_from(["x = 1", "# no heading", "| no | table |", "", "- no item"])


def listed(items: list[str]) -> tuple[str, list[str]]:
    return "\n".join(items), items


def table(rows: list[str]) -> tuple[str, list[str]]:
    return "\n".join([rows[0], "|---|---|---|", *rows[1:]]), rows


def code(lines: list[str]) -> tuple[str, list[str]]:
    block = "\n".join(["```", *lines, "```"])
    return block, [block]


BLOCK = st.one_of(
    HEADINGS.map(lambda text: (text, [])),
    PROSE.map(lambda text: (text, [])),
    SENTENCE.map(lambda text: (text.replace(".", ":"), [])),
    st.lists(ITEM, min_size=1, max_size=8).map(listed),
    st.lists(ROW, min_size=2, max_size=10).map(table),
    st.lists(CODE_LINE, max_size=8).map(code),
)
DOCUMENT = st.lists(BLOCK, min_size=1, max_size=10).map(
    lambda blocks: ("\n\n".join(text for text, _ in blocks), [part for _, parts in blocks for part in parts])
)
ANY_TEXT = st.text(max_size=400) | st.text("ab.#|-`* \n:", max_size=400) | DOCUMENT.map(lambda document: document[0])
TOKENS = st.integers(1, 60)


# --- What holds for all ---


@pytest.mark.parametrize("name", CHUNKERS)
@settings(deadline=None)
@given(text=ANY_TEXT, tokens=TOKENS)
@example(text="# A\n## B", tokens=20)  # headings without text
@example(text="# A\n# A\n", tokens=20)
@example(text=f"# Title\n## {'long ' * 30}\n## B\ntext", tokens=20)
@example(text=f"## A\n### {'long ' * 30}\n", tokens=20)
@example(text="x" * 500, tokens=3)
@example(text=f"- {'x' * 900}\n\n| {'y' * 900} |", tokens=20)
@example(text="```\n# never closed\n\n- x", tokens=20)
@example(text=f"{'word ' * 40}:\n- x", tokens=20)
def test_every_word_is_in_some_chunk(name: str, text: str, tokens: int) -> None:
    found = {word for chunk in CHUNKERS[name](tokens)(article(text)) for word in chunk.text.split()}
    # The marks of headings may go, and words that are longer than a chunk, or its part under the headings, are cut.
    lost = {word for word in text.split() if word.strip("#") and len(word) <= 2 * tokens} - found
    assert not lost
    if name == "whole":
        assert [chunk.text for chunk in whole()(article(text))] == ([text] if text.strip() else [])


@pytest.mark.parametrize("name", CHUNKERS)
@settings(deadline=None)
@given(text=ANY_TEXT, tokens=TOKENS)
def test_no_letter_is_lost_even_of_words_that_are_cut(name: str, text: str, tokens: int) -> None:
    joined = "".join("".join(chunk.text.split()) for chunk in CHUNKERS[name](tokens)(article(text)))
    letters = iter(joined)
    if name in ("whole", "recursive"):
        assert joined == "".join(text.split())
    else:  # in the order of the text, between what is repeated
        assert all(letter in letters for letter in re.sub(r"[\s#]", "", text))


@pytest.mark.parametrize("name", CAPPED)
@settings(deadline=None)
@given(text=ANY_TEXT, tokens=TOKENS)
@example(text="x" * 500, tokens=1)
@example(text=f"| a |\n|---|\n| {'y' * 60} |\n| {'z' * 60} |", tokens=20)
def test_no_chunk_is_over_the_cap(name: str, text: str, tokens: int) -> None:
    for chunk in CAPPED[name](tokens)(article(text)):
        limit = OVER_CAP * tokens if name == "sections" else tokens
        assert 0 < estimate_tokens(chunk.text) <= limit


@settings(deadline=None)
@given(DOCUMENT, TOKENS)
def test_only_one_part_that_may_not_be_cut_goes_over_the_cap(document: tuple[str, list[str]], tokens: int) -> None:
    text, parts = document
    headers = {f"{part}\n|---|---|---|" for part in parts}
    for chunk in sections(tokens)(article(text)):
        if estimate_tokens(chunk.text) > tokens:
            assert body(chunk) in {*parts, *headers}


@pytest.mark.parametrize("name", CHUNKERS)
@settings(deadline=None)
@given(text=ANY_TEXT, tokens=TOKENS)
def test_ids_metadata_and_repetition(name: str, text: str, tokens: int) -> None:
    source = article(text)
    chunks = CHUNKERS[name](tokens)(source)
    assert chunks == CHUNKERS[name](tokens)(source)
    assert [chunk.id for chunk in chunks] == [f"a-1#{n}" for n in range(1, len(chunks) + 1)]
    for chunk in chunks:
        assert re.fullmatch(r"[a-z0-9._#-]+", chunk.id) and chunk.document_id == source.id and chunk.text.strip()
        for field in ("title", "url", "tenant", "lang", "acl", "updated"):
            assert getattr(chunk, field) == getattr(source, field)


@pytest.mark.parametrize("name", CHUNKERS)
@settings(deadline=None, max_examples=20)
@given(first=DOCUMENT, second=DOCUMENT)
def test_nothing_comes_from_another_document(
    name: str, first: tuple[str, list[str]], second: tuple[str, list[str]]
) -> None:
    chunker = CHUNKERS[name](30)
    a = replace(article(f"qqq {first[0]}", title="Tqqq"), id="doc-1", acl=("team:security",))
    b = replace(article(second[0]), id="doc-2")
    alone = chunker(b)
    together = [*chunker(a), *chunker(b)]
    assert [chunk for chunk in together if chunk.document_id == "doc-2"] == alone
    assert not any("qqq" in f"{chunk.heading} {chunk.text}" or chunk.acl != ("public",) for chunk in alone)


@pytest.mark.parametrize("wrong", [lambda: sections(0), lambda: recursive(-1), lambda: sliding_window(10, 10)])
def test_impossible_sizes_are_refused(wrong: Callable[[], Chunker]) -> None:
    with pytest.raises(CallerError) as error:
        wrong()
    assert error.value.code == "bad_request"


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=60), st.integers(20, 30), st.integers(0, 19))
@example([10, 10, 10, 60], 20, 19)
def test_windows_move_on_and_overlap_by_no_more_than_asked(lengths: list[int], tokens: int, overlap: int) -> None:
    words = [f"{n}{'x' * length}" for n, length in enumerate(lengths)]
    windows = [text.split() for text in texts(sliding_window(tokens, overlap), " ".join(words))]
    assert windows[0][0] == words[0] and windows[-1][-1] == words[-1]
    for before, after in pairwise(windows):
        assert words.index(after[-1]) > words.index(before[-1])
        shared = [word for word in after if word in before]
        assert len(" ".join(shared)) <= 4 * overlap and after[: len(shared)] == before[len(before) - len(shared) :]
        assert len(" ".join([*before, words[words.index(before[-1]) + 1]])) > 4 * tokens, (
            "another word would have fitted"
        )


# --- Sections ---


@settings(deadline=None)
@given(DOCUMENT, TOKENS)
@example(("Do this:\n- a\n- b\n\n| x | y | z |\n|---|---|---|\n| 1 | 2 | 3 |", ["| x | y | z |", "| 1 | 2 | 3 |"]), 12)
def test_sections_cut_no_item_row_or_code(document: tuple[str, list[str]], tokens: int) -> None:
    text, parts = document
    bodies = [f"\n{chunk.text}\n" for chunk in sections(tokens)(article(text))]
    for part in parts:
        if len(part) <= tokens * 4:  # longer ones stay whole up to OVER_CAP, see above
            assert any(f"\n{part}\n" in body for body in bodies), part


def test_headings_stand_in_front() -> None:
    text = "# Return policy\nIntro.\n## Money\n### When it comes back ###\nIn 5 days.\n## C#\nCode.\n#hashtag"
    chunks = sections()(article(text, "Return policy"))
    assert [(chunk.heading, chunk.text) for chunk in chunks] == [
        ("Return policy", "Return policy\nIntro."),
        ("Return policy › Money › When it comes back", "Return policy › Money › When it comes back\nIn 5 days."),
        ("Return policy › C#", "Return policy › C#\nCode.\n#hashtag"),
    ]
    assert texts(sections(), "Intro.\n# Other\nText", "Title") == ["Title\nIntro.", "Title › Other\nText"]


TABLE = ["| Code | Meaning |", "|---|---|", *(f"| E-{n} | what it means at length |" for n in range(100, 108))]


def test_a_table_over_the_cap_repeats_its_header() -> None:
    chunks = sections(40)(article("## Codes\n\n" + "\n".join(TABLE)))
    assert len(chunks) > 2
    rows = []
    for chunk in chunks:
        lines = body(chunk).split("\n")
        assert lines[:2] == TABLE[:2] and len(lines) > 2
        rows += lines[2:]
    assert rows == TABLE[2:]


def test_a_table_that_fits_is_not_cut_for_the_text_before_it() -> None:
    prose = "Some words before. " * 6
    chunks = sections(90)(article(f"{prose}\n\n" + "\n".join(TABLE)))
    assert [body(chunk) for chunk in chunks] == [prose, "\n".join(TABLE)]


def test_a_lead_in_stays_with_its_list() -> None:
    items = [f"- Item number {n} of the list." for n in range(8)]
    found = texts(sections(60), "Some words before. " * 10 + "Do this:\n\n" + "\n".join(items))
    assert not any(text.endswith(":") for text in found)
    assert any(f"Do this:\n{items[0]}" in text for text in found)
    assert [line for text in found for line in text.split("\n") if line.startswith("- ")] == items


def test_only_prose_that_is_cut_overlaps_by_one_sentence() -> None:
    sentences = [f"This is sentence number {n} of it." for n in range(12)]
    chunks = [body(chunk) for chunk in sections(40)(article(" ".join(sentences)))]
    assert len(chunks) > 2
    for before, after in pairwise(chunks):
        assert after.startswith(before[before.rindex("This") :] + " This")
        assert after.count("This") > 1
    paragraphs = [body(chunk) for chunk in sections(40)(article("\n\n".join(sentences)))]
    assert "\n\n".join(paragraphs) == "\n\n".join(sentences)


def test_a_list_with_blank_lines_code_and_nested_items_is_one_list() -> None:
    items = ["- One", "- Two\n  ```\n  # code\n\n  - in it\n  ```", "  - nested\n    goes on", "1. Three"]
    found = texts(sections(12), "\n\n".join(items))
    for item in items:
        assert any(item in text for text in found)


# --- The real articles ---


@pytest.mark.parametrize("name", CHUNKERS)
def test_the_help_centre(name: str) -> None:
    for source in acme.articles():
        chunks = CHUNKERS[name](200)(source)
        found = {word for chunk in chunks for word in chunk.text.split()}
        assert {word for word in source.text.split() if word.strip("#")} <= found
        assert name == "whole" or max(estimate_tokens(chunk.text) for chunk in chunks) <= 200


def cut_rows(chunker: Chunker) -> int:
    """How many rows of tables and items of lists of the help centre are whole in no chunk."""
    lost = 0
    for source in acme.articles():
        kept = {line for chunk in chunker(source) for line in chunk.text.split("\n")}
        lost += sum(line not in kept for line in source.text.split("\n") if re.match(r"\||- |\d+\. ", line))
    return lost


def test_sections_cut_no_row_or_item_of_the_help_centre_and_a_window_does() -> None:
    for tokens in (200, 100, 60):
        assert cut_rows(sections(tokens)) == 0
    assert cut_rows(sliding_window(200, 0)) > 50
