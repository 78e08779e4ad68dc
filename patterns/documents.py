"""From files to articles: what may go into the index, and in which form.

    read(path)          a Markdown file with YAML front matter → Article
    parse(name, data)   the bytes of a .md, .txt or .html file → plain text, Markdown where there is structure
    check(article)      the same rules for an Article that was made in code

All raise CallerError: `unparseable` (binary, not UTF-8, unknown ending, bad front matter or field), `empty_document`,
`too_large`. Ids and tenants are narrow on purpose, because they go into chunk ids, collection names and prompts.

Not covered: other encodings than UTF-8, PDF and Office files, and text that a style sheet hides in an HTML page.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import yaml

from . import markdown
from .errors import CallerError
from .events import Document, User

LIMIT_BYTES = 10_000_000
FRONT_MATTER_CHARACTERS = 20_000  # the YAML parser is slow: nobody's upload may keep it busy
ENDINGS = (".md", ".txt", ".html")

_FRONT_MATTER = re.compile(r"---[ \t]*\n((?:.*\n)*?)---[ \t]*(?:\n|\Z)")
_NOT_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\ud800-\udfff]")
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
_TAG = re.compile(r"[\w:.-]{1,128}")
_FIELDS = {
    "id": (_ID, "a text of 1 to 128 of a-z, 0-9 and ._- that begins with a letter or digit"),
    "tenant": (_ID, "a text of 1 to 128 of a-z, 0-9 and ._- that begins with a letter or digit"),
    "lang": (re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?"), 'a language code in quotes, such as "en"'),
    "title": (re.compile(r"(?=.*\w)[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,300}"), "one line of text"),
    "url": (re.compile(r"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff]{0,2000}"), "one address, without spaces"),
}


@dataclass(frozen=True, slots=True)
class Article:
    """A page of a help centre. `acl` holds tags as in `User.scopes`; a reader needs any one of them."""

    id: str
    title: str
    url: str
    tenant: str
    lang: str
    acl: tuple[str, ...]
    updated: date
    text: str

    def visible_to(self, user: User) -> bool:
        return self.tenant == user.tenant and not user.scopes.isdisjoint(self.acl)

    def document(self) -> Document:
        return Document(self.id, self.title, self.text, self.url, self.updated.isoformat())


def read(path: Path) -> Article:
    """One Markdown file with YAML front matter. Raises CallerError that names the file and the reason."""
    try:
        _refuse_large(path.name, path.stat().st_size, LIMIT_BYTES)
        data = path.read_bytes()
    except OSError as error:
        raise _unparseable(path.name, f"{error.strerror or error}") from None
    text = parse(path.name, data)
    try:
        parts = _FRONT_MATTER.match(text[:FRONT_MATTER_CHARACTERS])
        if path.suffix.lower() != ".md" or parts is None:
            raise ValueError("it is no .md file that begins with front matter between two lines of ---")
        head = yaml.safe_load(parts[1])
        wanted = (*_FIELDS, "acl", "updated")
        if missing := [key for key in wanted if not isinstance(head, dict) or key not in head]:
            raise ValueError(f"its front matter lacks {', '.join(missing)}")
        fields = {key: head[key] for key in wanted}
        if isinstance(head["acl"], list):
            fields["acl"] = tuple(head["acl"])
        article = Article(**fields, text=text[parts.end() :].strip())
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise _unparseable(path.name, " ".join(str(error).split()), "Mend its front matter.") from None
    check(article, path.name)
    return article


def check(article: Article, name: str = "") -> None:
    """Raise CallerError unless every field is fit for the index. `name` is what the message calls the article."""
    name = name or repr(article.id)[:200]
    for field, (pattern, meaning) in _FIELDS.items():
        value = getattr(article, field)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise _unparseable(name, f"{field} is {repr(value)[:150]}, not {meaning}", f"Change the {field}.")
    tags = article.acl
    if not isinstance(tags, tuple) or not tags or not all(isinstance(tag, str) and _TAG.fullmatch(tag) for tag in tags):
        raise _unparseable(name, "acl is no list of tags, so nobody may read it", "Name tags, such as public.")
    # A datetime is a date to Python, but the two cannot be compared.
    if not isinstance(article.updated, date) or isinstance(article.updated, datetime):
        raise _unparseable(name, f"updated is {article.updated!r}, not a date", "Write a date, such as 2026-01-31.")
    _refuse_unreadable(name, article.text)


def parse(name: str, data: bytes, limit: int = LIMIT_BYTES) -> str:
    """The text of a file, with `\\n` as the only line end. `name` tells the format by its ending; `limit` is in bytes.

    HTML becomes Markdown as far as search needs it: headings, lists, tables, `pre`. Links and emphasis become text.
    """
    _refuse_large(name, len(data), limit)
    ending = Path(name).suffix.lower()
    if ending not in ENDINGS:
        raise _unparseable(name, f"its ending is {ending!r}", f"Convert it to one of {', '.join(ENDINGS)}.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unparseable(name, f"byte {error.start} is not UTF-8", "Save it as UTF-8 text.") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    _refuse_unreadable(name, text)
    if ending == ".html":
        try:
            text = markdown.from_html(text)
        except AssertionError as error:  # what html.parser says to some broken `<![…` declarations
            raise _unparseable(name, f"its HTML is broken ({error})", "Mend it, or save it as text.") from None
        _refuse_unreadable(name, text)
    return text.strip()


def _refuse_large(name: str, size: int, limit: int) -> None:
    if size > limit:
        raise CallerError(
            f"The document {name} has {size / 1e6:.1f} MB, and {limit / 1e6:g} MB are allowed.",
            "Split it into several documents.",
            "too_large",
        )


def _refuse_unreadable(name: str, text: str) -> None:
    if found := _NOT_TEXT.search(text):
        reason = f"character {found.start()} is {found[0]!r}, which no text holds"
        raise _unparseable(name, reason, "Save it as UTF-8 text.")
    if not re.search(r"\w", text):
        raise CallerError(f"The document {name} has no words in it.", "Fill it or leave it out.", "empty_document")


def _unparseable(name: str, reason: str, next_step: str = "Check the file.") -> CallerError:
    return CallerError(f"The document {name} cannot be used: {reason}.", next_step, "unparseable")
