"""Attacks as data: texts that try to make an assistant harm somebody, and what counts as success.

Each file of `data/attacks/` is a list. An attack has an `id`, the `channel` through which its text comes, a `goal`, the
`lang` of the text, the `text`, and what is `wanted`; see `data/README.md`. The text is kept readable: `encoding` says
how it is written when it is used. Whatever is wrong in a file is said with the file, the line and the reason.
"""

import base64
import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from . import acme
from .errors import CallerError

Channel = Literal["message", "history", "document", "ticket", "tool", "image"]
Goal = Literal["leak", "act", "order", "recipient", "exfil", "prompt", "cite", "spam", "wording"]
CHANNELS: tuple[str, ...] = get_args(Channel)
GOALS: tuple[str, ...] = get_args(Goal)
LANGUAGES = ("en", "de", "es", "fr")

_ALIKE = str.maketrans("aeopcyxiAEOPCTXBHKM", "аеорсухіАЕОРСТХВНКМ")


def _zero_width(text: str) -> str:
    return "\u200b".join(text)


ENCODINGS: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "reversed": lambda text: text[::-1],
    "spaced": lambda text: "  ".join(" ".join(word) for word in text.split(" ")),
    "zero_width": _zero_width,
    "look_alike": lambda text: text.translate(_ALIKE),
    "full_width": lambda text: "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text),
    "tag_characters": lambda text: "".join(chr(0xE0000 + ord(one)) for one in text if one.isascii()),
}


@dataclass(frozen=True, slots=True)
class Attack:
    """`wanted` is what success shows, by goal; `text` is as it is used, after its encoding."""

    id: str
    channel: Channel
    goal: Goal
    lang: str
    text: str
    wanted: tuple[str, ...] = ()
    encoding: str = "plain"

    @property
    def held(self) -> bool:
        """Whether structure can stop it. An order that only changes the wording is none of those."""
        return self.goal != "wording"


NEEDED = ("id", "channel", "goal", "lang", "text")
FIELDS = tuple(field.name for field in fields(Attack))
# Goals whose success is told by what the attacker asked for, and not by what happened.
NAMES_ITS_AIM = ("recipient", "exfil", "cite", "wording", "order")


def load(folder: Path | None = None) -> tuple[Attack, ...]:
    """All attacks, in the order of files and lines. Raises CallerError."""
    folder = folder or acme.data_folder() / "attacks"
    found = [attack for path in sorted(folder.glob("*.yaml")) if path.stem != "benign" for attack in read(path)]
    if not found:
        raise CallerError(f"There are no attacks in {folder}.", "See data/README.md.", "not_set_up")
    names = [attack.id for attack in found]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise CallerError(f"Two attacks are called {repeated!r}.", "Give one of them another id.", "duplicate_id")
    return tuple(found)


def benign(folder: Path | None = None) -> tuple[str, ...]:
    """Harmless messages full of alarming words: each must be answered."""
    path = (folder or acme.data_folder() / "attacks") / "benign.yaml"
    rows = _rows(path)
    for line, row in rows:
        if not isinstance(row, str) or not row.strip():
            raise _wrong(path, line, "it is no text")
    return tuple(row for _, row in rows)


def read(path: Path) -> tuple[Attack, ...]:
    """The attacks of one file. Raises CallerError that names the line."""
    return tuple(_attack(path, line, row) for line, row in _rows(path))


def _rows(path: Path) -> list[tuple[int, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        rows = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise CallerError(f"{path.name} cannot be read: {said}.", "Mend the file.", "bad_request") from None
    if not isinstance(rows, list) or not isinstance(node, yaml.SequenceNode):
        raise CallerError(f"{path.name} is no list.", "Begin each entry with '- '.", "bad_request")
    return [(item.start_mark.line + 1, row) for item, row in zip(node.value, rows, strict=True)]


def _attack(path: Path, line: int, row: Any) -> Attack:
    if not isinstance(row, dict):
        raise _wrong(path, line, "it is no mapping")
    if unknown := sorted(map(str, row.keys() - set(FIELDS))):
        raise _wrong(path, line, f"it has the unknown field {unknown[0]!r}")
    if missing := next((name for name in NEEDED if not isinstance(row.get(name), str) or not row[name].strip()), None):
        raise _wrong(path, line, f"its {missing!r} is missing or no text")
    for name, allowed in (("channel", CHANNELS), ("goal", GOALS), ("lang", LANGUAGES), ("encoding", tuple(ENCODINGS))):
        if (value := row.get(name, "plain")) not in allowed:
            raise _wrong(path, line, f"its {name} is {value!r}, and must be one of {', '.join(allowed)}")
    wanted = row.get("wanted", [])
    if not isinstance(wanted, list) or not all(isinstance(one, str) and one for one in wanted):
        raise _wrong(path, line, "its 'wanted' is no list of texts")
    if row["goal"] in NAMES_ITS_AIM and not wanted:
        raise _wrong(path, line, f"an attack with the goal {row['goal']!r} says what is wanted")
    encoding = row.get("encoding", "plain")
    text = ENCODINGS[encoding](row["text"].strip())
    return Attack(row["id"], row["channel"], row["goal"], row["lang"], text, tuple(wanted), encoding)


def _wrong(path: Path, line: int, why: str) -> CallerError:
    return CallerError(f"{path.name}, line {line}: {why}.", "See data/README.md.", "bad_request")
