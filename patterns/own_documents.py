"""Anybody's folder of documents as articles: Markdown, HTML, text, PDF. What cannot be read is named, the rest goes on.

    library = own_documents.read("my_documents/", tenant="lindenhof-library")
    library.articles      one for each file, and one for each page of a PDF
    library.unread        (file, what is wrong with it and what to do)
    library.assumed       (file, what was guessed to read it)

Nothing is skipped in silence, and nobody outside the folder is read: links are not followed. Front matter of a Markdown
file may set `title`, `url`, `lang`, `updated` and `acl`; everything else is taken from the file. A file that says who
may read it, in a way that cannot be understood, is not read at all: it must not become public by a slip of the pen.

Not covered: Office files, scanned pages (they are named), a sentence that goes on over the end of a PDF page.
"""

import hashlib
import html
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from . import documents, pdf_text, plain_bytes
from .documents import Article
from .errors import CallerError

Note = tuple[str, str]  # a file, as a path inside the folder, and what is to be said of it
Progress = Callable[[int, int], None]  # (files done, files in all)

ENDINGS = {".md": ".md", ".markdown": ".md", ".txt": ".txt", ".html": ".html", ".htm": ".html", ".pdf": ".pdf"}
OWN_FIELDS = ("title", "url", "lang", "updated", "acl")
LONGEST_ID = 100  # characters, of 128: the page and the number of the chunk are added

_FRONT_MATTER = re.compile(r"---[ \t]*\n((?:.*\n)*?)---[ \t]*(?:\n|\Z)")
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.*?)[ \t#]*$", re.MULTILINE)
_HTML_TITLE = re.compile(r"<title[^>]*>(.{1,1000}?)</title", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Library:
    """`files` are those that became articles, in the order of their names."""

    articles: tuple[Article, ...]
    files: tuple[str, ...]
    unread: tuple[Note, ...] = ()
    assumed: tuple[Note, ...] = ()


def read(folder: str | Path, tenant: str, lang: str = "en", progress: Progress | None = None) -> Library:
    """Everything in `folder` and the folders in it. `lang` is the language of all that does not name its own.

    Raises CallerError: `bad_request` where there is no such folder, `empty_document` where nothing in it can be read.
    """
    root = Path(folder)
    if not root.is_dir():
        raise CallerError(
            f"There is no folder {root}.", "Give the path of the folder with your documents.", "bad_request"
        )
    unread: list[Note] = []
    assumed: list[Note] = []
    found: dict[str, list[Article]] = {}
    paths = sorted(_files(root, root, unread))
    for number, path in enumerate(paths, start=1):
        name = _shown(path.relative_to(root))
        try:
            found[name], notes, missing = _articles(path, name, tenant, lang)
            assumed += [(name, note) for note in notes]
            unread += [(name, note) for note in missing]
        except CallerError as error:
            unread.append((name, str(error)))
        except OSError as error:
            unread.append((name, f"It cannot be opened: {error.strerror or error}. Check the file and its rights."))
        if progress:
            progress(number, len(paths))
    files = {name: articles for name, articles in found.items() if articles}
    if not files:
        why = f" The first of {len(unread)} reasons: {unread[0][0]}: {unread[0][1]}" if unread else ""
        said = f"No document in {root} can be read.{why}"
        raise CallerError(said, f"Put files that end in {', '.join(ENDINGS)} there.", "empty_document")
    return Library(_named_apart(files), tuple(files), tuple(sorted(unread)), tuple(assumed))


def _files(folder: Path, root: Path, unread: list[Note]) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        unread.append(
            (_shown(folder.relative_to(root)), f"The folder cannot be opened: {error.strerror}. Check its rights.")
        )
        return
    for entry in entries:
        path, name = Path(entry.path), _shown(Path(entry.path).relative_to(root))
        if entry.name.startswith((".", "~$")):
            unread.append((name, "It is hidden, so it was left out. Rename it to have it read."))
        elif entry.is_symlink():
            unread.append((name, "It is a link, and links are not followed. Put the file itself there."))
        elif entry.is_dir():
            yield from _files(path, root, unread)
        elif not entry.is_file():
            unread.append((name, "It is no regular file. Take it out of the folder."))
        else:
            yield path


def _articles(path: Path, name: str, tenant: str, lang: str) -> tuple[list[Article], list[str], list[str]]:
    """The articles of one file, what was assumed, and what of it could not be read. Raises CallerError and OSError."""
    ending = ENDINGS.get(path.suffix.lower())
    if ending is None:
        what = f"it ends in {path.suffix!r}" if path.suffix else "its name has no ending"
        raise CallerError(
            f"The document {name} cannot be used: {what}.", "Save it as PDF, HTML, Markdown or text.", "unparseable"
        )
    size = path.stat().st_size
    if size > documents.LIMIT_BYTES:
        said = f"The document {name} has {size / 1e6:.1f} MB, and {documents.LIMIT_BYTES / 1e6:g} MB are allowed."
        raise CallerError(said, "Split it into several documents.", "too_large")
    data = path.read_bytes()
    if not data:
        raise CallerError(
            f"The document {name} has no bytes.", "Fill it, or take it out of the folder.", "empty_document"
        )
    updated = date.fromtimestamp(path.stat().st_mtime)
    made = Article(
        name, _title(re.sub("[_-]+", " ", path.stem)) or "document", quote(name), tenant, lang, ("public",), updated, ""
    )
    if ending == ".pdf":
        return _pages(made, data, name)
    text, assumption = plain_bytes.decoded(data, name, is_html=ending == ".html")
    article, body = _with_front_matter(made, text, name) if ending == ".md" else (made, text)
    body = documents.parse(name if name.lower().endswith(ending) else f"{name}{ending}", body.encode())
    if article is made or "title" not in _head(text):
        titled = _HTML_TITLE.search(text) if ending == ".html" else _HEADING.search(body)
        article = replace(article, title=(_title(html.unescape(titled[1])) if titled else "") or made.title)
    article = replace(article, text=body)
    documents.check(replace(article, id="x"), name)
    return [article], [assumption] if assumption else [], []


def _pages(made: Article, data: bytes, name: str) -> tuple[list[Article], list[str], list[str]]:
    found = pdf_text.read(data, f"The document {name}")
    title = _title(found.title) or made.title
    articles = []
    for number, text in enumerate(found.pages, start=1):
        if text:
            page = replace(
                made, id=f"{name}.p{number}", title=f"{title}, page {number}", url=f"{made.url}#page={number}"
            )
            articles.append(replace(page, text=text))
            documents.check(replace(articles[-1], id="x"), name)
    missing = []
    if found.pictures:
        which = "Page" if len(found.pictures) == 1 else "Pages"
        are = "is a picture" if len(found.pictures) == 1 else "are pictures"
        numbers = ", ".join(map(str, found.pictures))
        missing.append(
            f"{which} {numbers} {are} without text. "
            "Run text recognition (OCR) on the file, or add what is said there as text."
        )
    if not articles and not missing:
        raise CallerError(f"The document {name} has no words in it.", "Fill it or leave it out.", "empty_document")
    return articles, [], missing


def _head(text: str) -> dict[str, Any]:
    parts = _FRONT_MATTER.match(text[: documents.FRONT_MATTER_CHARACTERS])
    head = yaml.safe_load(parts[1]) if parts else None
    return head if isinstance(head, dict) else {}


def _with_front_matter(made: Article, text: str, name: str) -> tuple[Article, str]:
    """The article with what its front matter says, and the text after it. Raises CallerError."""
    parts = _FRONT_MATTER.match(text[: documents.FRONT_MATTER_CHARACTERS])
    if parts is None:
        return made, text
    try:
        head = _head(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        said = (
            f"The document {name} cannot be used: its front matter is no YAML ({' '.join(str(error).split())[:200]})."
        )
        raise CallerError(said, "Mend the lines between the two ---.", "unparseable") from None
    fields = {key: head[key] for key in OWN_FIELDS if key in head}
    if isinstance(fields.get("acl"), list):
        fields["acl"] = tuple(fields["acl"])
    article = replace(made, **fields)
    documents.check(replace(article, id="x", text="x"), name)
    return article, text[parts.end() :]


def _title(text: str) -> str:
    """One line of words that can be shown, or nothing."""
    line = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", " ", text).split())[:250]
    return line if re.search(r"\w", line) else ""


def _named_apart(files: dict[str, list[Article]]) -> tuple[Article, ...]:
    """All articles, with ids that are fit for the index: made from the path, and from a hash of it where two meet."""
    wanted = {name: _slug(name) for name in files}
    counts = Counter(wanted.values())
    named = []
    for name, articles in files.items():
        own = wanted[name]
        if counts[own] > 1 or len(own) > LONGEST_ID:
            own = f"{own[:LONGEST_ID]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        named += [replace(one, id=own + one.id[len(name) :]) for one in articles]
    return tuple(named)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._]+", "-", name.lower()).strip("-._") or "document"


def _shown(path: Path) -> str:
    """The path as text that can be printed: a name on disk may hold any bytes."""
    return path.as_posix().encode("utf-8", "replace").decode()
