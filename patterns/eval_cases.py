"""Eval cases: what they may hold, and how they are read from `data/evals/<stem>.yaml` and added to.

Whatever is wrong in a file is said with the file, the line, the reason and the next step, before any model is called.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import yaml

from . import acme
from .errors import CallerError
from .events import Message
from .events import Outcome as Ending

SPLITS = ("tune", "test")
ENDINGS: tuple[str, ...] = get_args(Ending)
CHECKS = ("must", "must_not", "unsafe", "unknown", "calls", "no_calls", "outcome")


@dataclass(frozen=True, slots=True)
class Case:
    """`slice` groups cases for the table: easy, hard, out of scope, adversarial ...

    `history` is what was said before the question. `sources` are groups of document ids: one of each group holds a part
    of the answer. `calls` must be asked for and `no_calls` must not run. `split` is tune or test: what is calibrated on
    one half is measured on the other.
    """

    id: str
    slice: str
    question: str
    customer: str
    history: tuple[Message, ...] = ()
    must: tuple[tuple[str, ...], ...] = ()
    must_not: tuple[str, ...] = ()
    unsafe: tuple[str, ...] = ()
    unknown: bool = False
    sources: tuple[tuple[str, ...], ...] = ()
    calls: tuple[str, ...] = ()
    no_calls: tuple[str, ...] = ()
    outcome: str = ""
    split: str = ""


FIELDS = tuple(field.name for field in fields(Case))
NEEDED = ("id", "slice", "question", "customer")


def path_of(suite: str | Path) -> Path:
    """The file of a suite: its path, or its name under `data/evals/`."""
    if isinstance(suite, Path) or suite.endswith((".yaml", ".yml")):
        return Path(suite)
    return acme.data_folder() / "evals" / f"{suite}.yaml"


def load(suite: str | Path, customer: str = "") -> tuple[Case, ...]:
    """The cases of one file, in its order. Raises CallerError that names the file, the line and the reason.

    With `customer`, cases need not say who asks: it is that one, and none has to be a customer of Acme.
    """
    path = path_of(suite)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = ", ".join(sorted(one.stem for one in path.parent.glob("*.yaml"))) or "none"
        raise CallerError(f"There is no file {path.name}.", f"Use one of: {there}.", "bad_request") from None
    except (OSError, ValueError) as error:  # ValueError: it is not UTF-8
        raise CallerError(f"{path.name} cannot be read: {error}.", "Save it as UTF-8.", "bad_request") from None
    return parse(text, path.name, customer)


def parse(text: str, file: str, customer: str = "") -> tuple[Case, ...]:
    """The cases in `text`, as `load` reads them. `file` is its name in messages."""
    found: dict[str, tuple[int, Case]] = {}
    for line, row, lines in _rows(text, file):
        case = _case(row, _Place(file, line, lines), customer)
        if case.id in found:
            said = f"{file}, line {line}: the id {case.id} is on line {found[case.id][0]} already."
            raise CallerError(said, "Give each case an id of its own.", "bad_request")
        found[case.id] = (line, case)
    if not found:
        raise CallerError(f"{file} holds no case.", "Add cases, one `- {id: ...}` a line.", "bad_request")
    return tuple(case for _, case in found.values())


def add(case: Case, path: Path, note: str = "") -> None:
    """Add a case to a file, made when it is not there, with `note` as a comment above it.

    The whole file is checked first and then replaced at once. Raises CallerError, and leaves it as it was.
    """
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if before and not before.endswith("\n"):
        before += "\n"
    comment = "".join(f"# {line}\n" for line in note.splitlines())
    text = f"{before}{comment}- {as_yaml(case)}\n"
    parse(text, path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def as_yaml(case: Case) -> str:
    """The case as one line of a file of cases, without the fields that are not set."""
    row: dict[str, Any] = {name: getattr(case, name) for name in FIELDS if getattr(case, name)}
    row |= {name: list(row[name]) for name in ("must_not", "unsafe", "calls", "no_calls") if name in row}
    row |= {name: [list(group) for group in row[name]] for name in ("must", "sources") if name in row}
    if case.history:
        row["history"] = [[message.role, message.text] for message in case.history]
    written = yaml.safe_dump(row, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    return " ".join(written.split("\n")).strip()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a case stands: its own line, and that of each of its fields."""

    file: str
    line: int
    fields: dict[str, int]

    def wrong(self, reason: str, next_step: str, field: str = "") -> CallerError:
        return CallerError(
            f"{self.file}, line {self.fields.get(field, self.line)}: {reason}.", next_step, "bad_request"
        )


def _rows(text: str, file: str) -> list[tuple[int, Any, dict[str, int]]]:
    """Each entry of the list with its line, and the lines of its fields. Lines count from 1."""
    try:
        loader = yaml.SafeLoader(text)
        top = loader.get_single_node()
        if top is None:
            return []
        if not isinstance(top, yaml.SequenceNode):
            said = f"{file}, line {top.start_mark.line + 1}: a file of cases is a list."
            raise CallerError(said, 'Begin each case with "- ".', "bad_request")
        rows = []
        for node in top.value:
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            lines: dict[str, int] = {}
            for key, _ in pairs:
                name = str(key.value)
                if name in lines:
                    raise yaml.MarkedYAMLError(problem=f"{name} is there twice", problem_mark=key.start_mark)
                lines[name] = key.start_mark.line + 1
            rows.append((node.start_mark.line + 1, loader.construct_document(node), lines))
        return rows
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a date such as 2026-13-45
        raise _malformed(error, text, file) from None


def _malformed(error: Exception, text: str, file: str) -> CallerError:
    mark = getattr(error, "problem_mark", None)
    at = mark.line if mark else text.count("\n", 0, getattr(error, "position", 0))
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    return CallerError(f"{file}, line {at + 1}: this is no YAML ({reason}).", "Mend that line.", "bad_request")


def _case(row: Any, place: _Place, customer: str) -> Case:
    if not isinstance(row, dict):
        raise place.wrong("a case has named fields", "Write it as `- {id: ..., slice: ..., question: ...}`.")
    for name in row:
        if name not in FIELDS:
            raise place.wrong(f"there is no field {name}", f"Use some of: {', '.join(FIELDS)}.", str(name))
    if customer:
        row = {"customer": customer, **row}
    if missing := [name for name in NEEDED if name not in row]:
        raise place.wrong(f"{', '.join(missing)} is missing", "Add it.")
    values = {name: _READ[name](value, name, place) for name, value in row.items()}
    if not customer and values["customer"] not in acme.customers():
        said = f"there is no customer {values['customer']}"
        raise place.wrong(said, "Use an id of data/customers.json.", "customer")
    if not any(values.get(name) for name in CHECKS):
        raise place.wrong(f"{values['id']} checks nothing", f"Add one of: {', '.join(CHECKS)}.")
    return Case(**values)


def _text(value: Any, name: str, place: _Place, called: str = "") -> str:
    if not isinstance(value, str) or not value.strip():
        raise place.wrong(f"{called or name} is a text, and {value!r} is none", "Put it in quotes.", name)
    return value


def _texts(value: Any, name: str, place: _Place) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise place.wrong(f"{name} is a list of texts, and {value!r} is none", "Write it as [a, b].", name)
    return tuple(_text(one, name, place, f"each entry of {name}") for one in value)


def _groups(value: Any, name: str, place: _Place) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, list) or not value:
        raise place.wrong(f"{name} is a list of texts or lists of texts", "Write it as [a, [b, c]].", name)
    return tuple(_texts(one if isinstance(one, list) else [one], name, place) for one in value)


def _history(value: Any, name: str, place: _Place) -> tuple[Message, ...]:
    messages = []
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, list) or len(one) != 2 or one[0] not in ("user", "assistant"):
            raise place.wrong(
                f"{name} is a list of [user, text] and [assistant, text], and {one!r} is neither", "Mend it.", name
            )
        messages.append(Message(one[0], _text(one[1], name, place)))
    return tuple(messages)


def _flag(value: Any, name: str, place: _Place) -> bool:
    if not isinstance(value, bool):
        raise place.wrong(f"{name} is true or false, and {value!r} is neither", "Write true, or leave it out.", name)
    return value


def _one_of(options: Sequence[str]) -> Callable[[Any, str, _Place], str]:
    def read(value: Any, name: str, place: _Place) -> str:
        if value not in options:
            raise place.wrong(f"{value!r} is no {name}", f"Use one of: {', '.join(options)}.", name)
        return value

    return read


_READ: dict[str, Callable[[Any, str, _Place], Any]] = {
    **dict.fromkeys(("id", "slice", "question", "customer"), _text),
    **dict.fromkeys(("must_not", "unsafe", "calls", "no_calls"), _texts),
    **dict.fromkeys(("must", "sources"), _groups),
    "history": _history,
    "unknown": _flag,
    "outcome": _one_of(ENDINGS),
    "split": _one_of(SPLITS),
}
