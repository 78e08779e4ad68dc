"""Documents inside a prompt: where they begin and end.

Found: tagged blocks (`<DOC id="7" title="Loans">…</DOC>`, also document, context, ticket and the like), numbered
lists (`[1] Title: text`), sections under a heading or label such as *Documents* or *Context*, and JSON lists of objects
with a text.
"""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .words import humanise


@dataclass(frozen=True, slots=True)
class Document:
    """A text to answer from. `source` says in which kind of message it stood; `attributes` are the "
    "other ones of its tag."""

    id: str
    title: str
    text: str
    source: str
    attributes: Mapping[str, str] = field(default_factory=dict)


_NAMES = r"doc|document|context|chunk|passage|snippet|excerpt|article|ticket|email|untrusted|transcript|attachment"
_TAG = re.compile(
    rf"<(/?)((?:[a-z]+[-_])?(?:{_NAMES})s?(?:[-_:][\w-]+)?)\b((?:\"[^\"]*\"|'[^']*'|[^>\"'])*)>", re.IGNORECASE
)
_ATTRIBUTE = re.compile(r"([\w:-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))")
_LISTED = re.compile(r"^\[([\w.:#/-]*\w)\][ \t]+(?=\S)", re.MULTILINE)
_SECTION = (
    r"(?:retrieved |relevant |reference |the )?(?:documents?|contexts?|sources?|help cent(?:er|re)|knowledge(?: base)?|"
    r"articles?|excerpts?|passages?|references?|background|dokumente?|kontext|quellen?|artikel|auszüge|hilfe|wissen)"
)
_HEADING = re.compile(r"^(#{1,6})[ \t]*(.+?)[ \t#]*$", re.MULTILINE)
_LABEL = re.compile(rf"^[ \t*_]*{_SECTION}[ \t*_]*:[ \t*_]*", re.IGNORECASE | re.MULTILINE)
_ASKS = (
    r"(?:user |customer |your |the )?(?:question|query|task|instructions?|rules|answer|user|request|output|format|"
    r"frage|aufgabe|anweisung(?:en)?|antwort|regeln)"
)
_ENDS = re.compile(rf"^(?:[ \t*_]*{_ASKS}[ \t*_]*:|#{{1,6}}[ \t]*{_ASKS}\b)", re.IGNORECASE | re.MULTILINE)
_TEXTS = ("text", "content", "snippet", "body", "passage", "chunk", "page_content")
_IDS = ("id", "chunk_id", "doc_id", "document_id", "source_id", "index", "name", "source", "url")
_TITLES = ("title", "heading", "section", "subject")


def extract(text: str, source: str) -> tuple[list[Document], str]:
    """The documents in a text, in order, and the text without them."""
    found, rest = _tagged(text, source)
    for part in (_sections, _numbered, _json):
        more, rest = part(rest, source)
        found += more
    return found, rest.strip()


def from_value(value: Any, source: str) -> list[Document]:
    """Documents in parsed JSON: every object with a text and an id or a title."""
    if isinstance(value, list):
        return [document for item in value for document in from_value(item, source)]
    if not isinstance(value, dict):
        return []
    text = next((value[key] for key in _TEXTS if isinstance(value.get(key), str)), "")
    named = next((str(value[key]) for key in _IDS if value.get(key) not in (None, "")), "")
    title = next((str(value[key]) for key in _TITLES if value.get(key)), "")
    if text and (named or title):
        rest = {key: str(item) for key, item in value.items() if isinstance(item, str | int | float) and item != text}
        return [Document(named or title, title, text, source, rest)]
    return [document for item in value.values() for document in from_value(item, source)]


def _tagged(text: str, source: str) -> tuple[list[Document], str]:
    found: list[Document] = []
    outside: list[str] = []
    opened: list[tuple[str, str, list[str]]] = []  # tag, attributes, the text so far
    at = 0
    for match in _TAG.finditer(text):
        closing, tag, attributes = match[1], match[2].lower(), match[3]
        (opened[-1][2] if opened else outside).append(text[at : match.start()])
        at = match.end()
        if not closing:
            opened.append((tag, attributes, []))
        elif any(tag == one for one, _, _ in opened):
            while opened:
                one, written, inside = opened.pop()
                body = "".join(inside).strip()
                if body:
                    found.append(_document(written, body, source, len(found) + 1))
                if one == tag:
                    break
    (opened[-1][2] if opened else outside).append(text[at:])
    for _, written, inside in opened:  # never closed: cut off, and still a document
        if "".join(inside).strip():
            found.append(_document(written, "".join(inside).strip(), source, len(found) + 1))
    return found, "".join(outside)


def _document(written: str, body: str, source: str, number: int) -> Document:
    given = {name.lower(): html.unescape(a or b or c) for name, a, b, c in _ATTRIBUTE.findall(written)}
    for name in ("source", "title"):
        inner = re.search(rf"<{name}>(.*?)</{name}>\s*", body, re.IGNORECASE | re.DOTALL)
        if inner:
            given.setdefault(name, inner[1].strip())
            body = body.replace(inner[0], "")
    identity = next((given[name] for name in _IDS if given.get(name)), str(number))
    title = next((given[name] for name in _TITLES if given.get(name)), "")
    return Document(identity, title, html.unescape(body), source, given)


def _sections(text: str, source: str) -> tuple[list[Document], str]:
    found: list[Document] = []
    while True:
        heading = next(
            (one for one in _HEADING.finditer(text) if re.fullmatch(_SECTION, one[2].rstrip(":"), re.IGNORECASE)), None
        )
        opening = heading or _LABEL.search(text)
        if not opening:
            return found, text
        closing = next((one for one in _ENDS.finditer(text, opening.end()) if one.start() > opening.end()), None)
        end = closing.start() if closing else len(text)
        if heading:
            level = len(heading[1])
            end = min([end, *(one.start() for one in _HEADING.finditer(text, heading.end()) if len(one[1]) <= level)])
        elif not closing:
            end = opening.end() + _asked(text[opening.end() :])
        body = text[opening.end() : end].strip()
        text = f"{text[: opening.start()].rstrip()}\n\n{text[end:]}"
        if body:
            found += _parts(body, source, len(found))


def _parts(body: str, source: str, before: int) -> list[Document]:
    listed, rest = _numbered(body, source)
    if listed:
        return listed
    found, rest = _json(body, source)
    if found:
        return found
    titles = list(_HEADING.finditer(rest))
    if not titles:
        return [Document(str(before + 1), "", rest, source)]
    cuts = [one.start() for one in titles] + [len(rest)]
    return [
        Document(str(before + number + 1), one[2], rest[one.end() : cuts[number + 1]].strip(), source)
        for number, one in enumerate(titles)
        if rest[one.end() : cuts[number + 1]].strip()
    ]


def _asked(text: str) -> int:
    """Where the last paragraph begins if it asks or orders something, else the end."""
    start = text.rstrip().rfind("\n\n")
    last = text[start:].strip() if start >= 0 else ""
    orders = re.match(
        r"(?:please |now |bitte )?(?:answer|cite|use|reply|if|only|question|summari[sz]e|what|how|frage|antworte)\b",
        last,
        re.IGNORECASE,
    )
    return start if last and (last.endswith("?") or orders) else len(text)


def _numbered(text: str, source: str) -> tuple[list[Document], str]:
    marks = [one for one in _LISTED.finditer(text) if one[1].lower() != "x"]
    if not marks:
        return [], text
    closing = _ENDS.search(text, marks[-1].end())
    end = closing.start() if closing else marks[-1].end() + _asked(text[marks[-1].end() :])
    cuts = [one.start() for one in marks[1:]] + [end]
    found: list[Document] = []
    for mark, cut in zip(marks, cuts, strict=True):
        body = text[mark.end() : cut].strip()
        title = re.match(r"([^\n:.?!]{1,80}):[ \t]*(?=\S)|([^\n]{1,80}[^\n.?!:])\n(?=\S|\n)", body)
        name = (title[1] or title[2]).strip() if title else ""
        if title and len(name.split()) <= 10:
            found.append(Document(mark[1], name.strip("*_ "), body[title.end() :].strip(), source))
        else:
            found.append(Document(mark[1], "", body, source))
    return found, f"{text[: marks[0].start()].rstrip()}\n\n{text[end:].lstrip()}"


def _json(text: str, source: str) -> tuple[list[Document], str]:
    start = re.search(r"\[\s*\{", text)
    if not start:
        return [], text
    try:
        value, length = json.JSONDecoder().raw_decode(text[start.start() :])
    except ValueError:
        return [], text
    found = from_value(value, source)
    return found, text[: start.start()] + text[start.start() + length :] if found else text


def label(key: str) -> str:
    """A JSON key as words: `loan_id` as "loan ID"."""
    return re.sub(r"\b(id|url|iban|sku|vat)\b", lambda match: match[0].upper(), humanise(key))
