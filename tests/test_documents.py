"""Documents: what a file becomes, and what is refused with which words."""

import re
import tracemalloc
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from patterns.documents import Article, check, parse, read
from patterns.errors import CallerError
from patterns.events import User

HEAD = "id: a-1\ntitle: T\nurl: https://t.example/a\ntenant: acme-home\nlang: en\nacl: [public]\nupdated: 2026-01-02\n"
FILE = f"---\n{HEAD}---\n\n# T\n\nSome words.\n"
ARTICLE = Article(
    "a-1", "T", "https://t.example/a", "acme-home", "en", ("public",), date(2026, 1, 2), "# T\n\nSome words."
)


def refused(error: pytest.ExceptionInfo[CallerError], code: str) -> None:
    assert error.value.code == code
    assert error.value.next_step.endswith(".")


# --- Markdown with front matter ---


@pytest.mark.parametrize(
    "data",
    [
        FILE.encode(),
        b"\xef\xbb\xbf" + FILE.encode(),
        FILE.replace("\n", "\r\n").encode(),
        FILE.replace("\n", "\r").encode(),
        FILE.replace("title: T", "title: T  # the title ---").encode(),
        FILE.replace("---\n", "---  \n").encode(),
    ],
)
def test_a_file_becomes_an_article(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(data)
    assert read(path) == ARTICLE


def test_a_rule_in_the_text_is_no_end_of_front_matter(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(f"---\n{HEAD}---\nOne\n---\nTwo")
    assert read(tmp_path / "a.md").text == "One\n---\nTwo"


def test_who_sees_an_article() -> None:
    team = replace(ARTICLE, acl=("team:billing", "plan:pro"))
    assert ARTICLE.visible_to(User()) and not team.visible_to(User())
    assert team.visible_to(User(teams=("billing",))) and team.visible_to(User(plan="pro"))
    assert not ARTICLE.visible_to(User(tenant="acme-nord"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id: a-1", "id: A 1", "id is 'A 1'"),
        ("id: a-1", "id: 2026", "id is 2026, not a text"),
        ("id: a-1", f"id: {'a' * 129}", "id is 'aaa"),
        ("id: a-1", "id: a#1", "id is 'a#1'"),  # no comment in YAML
        ("id: a-1", "id: ../a", "id is"),
        ("tenant: acme-home", "tenant: 'acme/home'", "tenant is"),
        ("title: T", "title: ''", "title is"),
        ("title: T", 'title: "T\\nU"', "title is"),
        ("lang: en", "lang: no", "lang is False, not a language code in quotes"),  # YAML's idea of Norwegian
        ("https://t.example/a", "'a b'", "url is"),
        ("acl: [public]", "acl: []", "acl is"),
        ("acl: [public]", "acl: public", "acl is"),
        ("acl: [public]", "acl: [[public]]", "acl is"),
        ("acl: [public]", "acl: ['']", "acl is"),
        ("acl: [public]\n", "", "lacks acl"),
        ("2026-01-02", "2026-02-30", "day"),
        ("2026-01-02", "2026-01-02 10:00:00", "updated is"),
        ("2026-01-02", "soon", "updated is"),
        ("title: T", "title: [T", "flow sequence"),
        ("title: T", f"title: {'[' * 5000}", "recursion"),
        ("title: T", f"title: {'T' * 30_000}", "front matter between"),
        (f"---\n{HEAD}", "", "front matter between"),
        (f"{HEAD}---\n", HEAD, "front matter between"),
        (HEAD, "- a list\n", "lacks id, tenant"),
        (HEAD, "", "lacks id, tenant"),
    ],
)
def test_a_broken_head_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "broken-one.md"
    assert old in FILE
    path.write_text(FILE.replace(old, new), encoding="utf-8")
    with pytest.raises(CallerError, match=rf"broken-one\.md.*{re.escape(message)}") as error:
        read(path)
    refused(error, "unparseable")


def test_files_that_are_no_articles(tmp_path: Path) -> None:
    (tmp_path / "folder.md").mkdir()
    (tmp_path / "a.txt").write_text(FILE)
    (tmp_path / "empty.md").write_text("")
    (tmp_path / "only-head.md").write_text(f"---\n{HEAD}---\n\n---\n")
    cases = {"folder.md": "unparseable", "a.txt": "unparseable", "none.md": "unparseable"}
    cases |= {"empty.md": "empty_document", "only-head.md": "empty_document"}
    for name, code in cases.items():
        with pytest.raises(CallerError, match=re.escape(name)) as error:
            read(tmp_path / name)
        refused(error, code)


def test_a_file_over_the_limit_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "big.md"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(CallerError, match=r"big\.md has 50\.0 MB") as error:
            read(path)
        refused(error, "too_large")
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    with pytest.raises(CallerError) as error:
        parse("a.txt", b"12345", limit=4)
    refused(error, "too_large")
    assert parse("a.txt", b"1234", limit=4) == "1234"


# --- Articles made in code ---


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"text": " \n"}, "empty_document"),
        ({"text": "***"}, "empty_document"),
        ({"text": "a\0b"}, "unparseable"),
        ({"text": "a\ud800b"}, "unparseable"),  # no store can hold half a surrogate pair
        ({"id": ""}, "unparseable"),
        ({"id": "-a"}, "unparseable"),
        ({"id": "a\n"}, "unparseable"),
        ({"id": "ä"}, "unparseable"),
        ({"tenant": "acme home"}, "unparseable"),
        ({"tenant": "a'; --"}, "unparseable"),
        ({"acl": ()}, "unparseable"),
        ({"acl": "public"}, "unparseable"),  # would be read as the tags p, u, b, …
        ({"acl": ("public", " ")}, "unparseable"),
        ({"title": "T\u2028U"}, "unparseable"),
        ({"updated": datetime(2026, 1, 2)}, "unparseable"),
        ({"updated": "2026-01-02"}, "unparseable"),
    ],
)
def test_check(change: dict[str, Any], code: str) -> None:
    check(ARTICLE)
    with pytest.raises(CallerError, match="document") as error:
        check(replace(ARTICLE, **change))
    refused(error, code)


@settings(deadline=None)
@given(st.text(max_size=140))
def test_an_id_that_passes_is_safe(name: str) -> None:
    try:
        check(replace(ARTICLE, id=name))
    except CallerError:
        return
    assert 0 < len(name) <= 128 and name[0] not in "._-"
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")


# --- Parsing ---


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.pdf", b"text", "unparseable"),
        ("noending", b"text", "unparseable"),
        ("a.txt", "Größe".encode("latin-1"), "unparseable"),
        ("a.md", "Größe".encode("utf-16"), "unparseable"),
        ("a.md", b"PNG\x00\x01", "unparseable"),
        ("a.html", b"<p>a\x00b", "unparseable"),
        ("a.html", b"<![foo[ x", "unparseable"),
        ("a.txt", b"", "empty_document"),
        ("a.txt", b"\xef\xbb\xbf \r\n", "empty_document"),
        ("a.html", b"<p><br></p><script>words</script>", "empty_document"),
        ("a.html", b"&#1;&#0; &nbsp;", "empty_document"),
    ],
)
def test_what_is_refused(name: str, data: bytes, code: str) -> None:
    with pytest.raises(CallerError, match=re.escape(name)) as error:
        parse(name, data)
    refused(error, code)


@settings(deadline=None)
@given(st.sampled_from(["a.md", "b.TXT", "c.html", "d.pdf"]), st.binary(max_size=200) | st.text().map(str.encode))
@example("c.html", b"<![")
@example("c.html", b"</td></tr></table></ul></li></pre></nav>x")
def test_any_bytes_give_text_or_a_caller_error(name: str, data: bytes) -> None:
    try:
        text = parse(name, data)
    except CallerError:
        return
    assert re.search(r"\w", text) and "\r" not in text and text == text.strip()


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=("Cc", "Cs"))))
def test_plain_text_stays_what_it_is(text: str) -> None:
    data = f"word {text}\n\tend".encode()
    expected = f"word {text}\n\tend".removeprefix("\ufeff")
    assert parse("a.txt", data) == parse("a.md", data) == expected


def test_html_becomes_markdown() -> None:
    page = """<!doctype html><html><head><title>Hidden</title><style>b {}</style></head><body>
    <nav><ul><li>Home</ul></nav>
    <h1>Return <b>policy</b></h1><p>One<br>two &amp; <a href="x">three</a><p>Next.
    <ul><li>a<li><p>b</p><p>more b</p><ol><li>x</li><li>y</li></ol></li><li>c</ul>After<nav>menu</nav>wards.
    <h2>Table</h2>
    <table><thead><tr><th>A|B<th></tr></thead><tr><td>1<td><p>two</p><ul><li>q</ul></table>
    <table><tr><td>other</td></tr></table>
    <pre>  code
    ``` more</pre><script>document.write("<p>no</p>")</script><!-- nor this --><div>last"""
    expected = """# Return policy

One two & three

Next.

- a
- b
  more b
  1. x
  2. y
- c

After wards.

## Table

| A\\|B |  |
|---|---|
| 1 | two q |

| other |
|---|

````
  code
    ``` more
````

last"""
    assert parse("a.html", page.encode()) == expected


WORDS = st.text("abcdefgh", min_size=1, max_size=8)
LEAVES = WORDS.map(lambda word: (f" {word} ", [word], []))
TAGS = ("p", "div", "ul", "ol", "li", "table", "tr", "td", "th", "h1", "h3", "b", "br", "pre", "section", "custom-tag")
Piece = tuple[str, list[str], list[str]]  # HTML, the words that show, the words that do not


def wrapped(children: st.SearchStrategy[Piece]) -> st.SearchStrategy[Piece]:
    def shown(tag: str, pieces: list[Piece], closed: bool) -> Piece:
        inner = "".join(piece[0] for piece in pieces)
        _, visible, invisible = ([item for piece in pieces for item in piece[n]] for n in range(3))
        return f"<{tag}>{inner}" + f"</{tag}>" * closed, visible, invisible

    def hidden(tag: str, word: str) -> Piece:
        return f"<{tag}> secret{word} </{tag}>", [], [f"secret{word}"]

    many = st.lists(children, min_size=1, max_size=4)
    return st.builds(shown, st.sampled_from(TAGS), many, st.booleans()) | st.builds(
        hidden, st.sampled_from(["script", "style", "nav", "title", "svg"]), WORDS
    )


@settings(deadline=None)
@given(st.recursive(LEAVES, wrapped, max_leaves=20))
def test_every_word_that_a_page_shows_comes_once(piece: Piece) -> None:
    page, shown, hidden = piece
    text = parse("a.html", f"{page}<p>end".encode())
    found = re.findall(r"[a-z]+", text)
    assert sorted(found) == sorted([*shown, "end"])
    assert not set(hidden) & set(found)


def test_a_page_that_opens_very_many_tags_stays_small() -> None:
    page = "<ul><li>x" * 20_000 + "<nav>" * 1000 + "</nav></p>" * 1000
    assert len(parse("a.html", page.encode())) < 20_000 * 25
