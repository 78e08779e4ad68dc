"""The review queue: one answer after the other, a person decides, each decision is a line in a file.

    queue = Queue(items, state.folder() / "review.jsonl")
    ReviewPanel(queue)

`Queue` is the logic and knows no widget. A decision is on disk before the next answer is shown; whoever opens the queue
again goes on where it was left. Every control is reached with Tab and pressed with Enter or Space.
"""

import html
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import ipywidgets
from pydantic import TypeAdapter, ValidationError

from ..errors import CallerError
from ..streaming_ux import safe_html
from .widgets import STYLE, PlainText


@dataclass(frozen=True, slots=True)
class Item:
    """What is to be read. `documents` are the texts that the answer may rest on, `signals` why it was picked."""

    id: str
    question: str
    answer: str
    documents: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Label:
    """One line of the file. `mode` names the way of failing and is empty for an answer that passed. Unix time."""

    id: str
    passed: bool
    mode: str = ""
    note: str = ""
    reviewer: str = ""
    at: float = field(default_factory=time.time)


_LABEL = TypeAdapter(Label)


class Queue:
    """Raises CallerError when the file cannot be read or written."""

    def __init__(self, items: Iterable[Item], path: Path, reviewer: str = "") -> None:
        self.path, self.reviewer = path, reviewer
        self._order = list(items)
        self._labels = {label.id: label for label in _read(path)}  # of one answer, the latest counts

    @property
    def current(self) -> Item | None:
        """The first answer without a decision; None when all are decided."""
        return next((item for item in self._order if item.id not in self._labels), None)

    @property
    def labels(self) -> list[Label]:
        """The decisions on this queue's answers, oldest first."""
        ids = {item.id for item in self._order}
        return sorted((label for name, label in self._labels.items() if name in ids), key=lambda label: label.at)

    @property
    def modes(self) -> list[str]:
        """The names given so far, the most frequent first."""
        given = Counter(label.mode for label in self._labels.values() if label.mode)
        return sorted(given, key=lambda mode: (-given[mode], mode))

    @property
    def progress(self) -> str:
        failed = sum(not label.passed for label in self.labels)
        return f"{len(self.labels)} of {len(self._order)} read · {failed} failed"

    def decide(self, passed: bool, mode: str = "", note: str = "") -> Label:
        """Write the decision on the current answer down. A failed one needs a name for how it failed."""
        item = self.current
        if item is None:
            raise CallerError("Every answer is decided.", "Add answers to the queue.", "bad_request")
        if not passed and not mode.strip():
            raise CallerError("How it failed has no name yet.", "Name it, then press Fail.", "bad_request")
        label = Label(item.id, passed, "" if passed else mode.strip(), note.strip(), self.reviewer)
        _append(self.path, label)
        self._labels[item.id] = label
        return label

    def skip(self) -> None:
        """Put the current answer behind all others."""
        if item := self.current:
            self._order.remove(item)
            self._order.append(item)

    def back(self) -> None:
        """Decide the last decided answer once more. The file keeps both lines, and the later one counts."""
        if labels := self.labels:
            del self._labels[labels[-1].id]
            self._order.sort(key=lambda item: item.id != labels[-1].id)  # to the front, the others as they were


def _read(path: Path) -> list[Label]:
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, ValueError) as error:
        raise CallerError(f"{path.name} cannot be read: {error}.", "Choose another file.", "bad_request") from None
    *lines, _ = text.split("\n")  # what stands after the last line break was not written to its end
    labels = []
    for number, line in enumerate(lines, 1):
        try:
            labels.append(_LABEL.validate_json(line))
        except ValidationError:
            said = f"{path.name}, line {number}: this is no label."
            raise CallerError(said, "Remove that line.", "bad_request") from None
    return labels


def _append(path: Path, label: Label) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            file.seek(0)
            written = file.read()
            file.truncate(written.rfind(b"\n") + 1)  # the process died in the middle of the line before
            file.write(json.dumps(asdict(label), ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise CallerError(f"{path.name} cannot be written: {error}.", "Free some space.", "bad_request") from None


class ReviewPanel(PlainText, ipywidgets.VBox):
    """The queue on screen. Names that were given before are offered again, so that the same failure keeps its name."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._head, self._body, self._said = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        wide = {"width": "100%"}
        self.mode = ipywidgets.Combobox(description="How it fails", ensure_option=False, layout=wide)
        self.note = ipywidgets.Text(description="Note", layout=wide)
        self.passed = ipywidgets.Button(description="Pass", icon="check", tooltip="This answer is good")
        self.failed = ipywidgets.Button(description="Fail", icon="times", tooltip="It fails as named above")
        self.skipped = ipywidgets.Button(description="Later", icon="forward", tooltip="Decide it after the others")
        self.undone = ipywidgets.Button(description="Back", icon="undo", tooltip="Decide the last one again")
        self.passed.on_click(lambda _: self._decide(True))
        self.failed.on_click(lambda _: self._decide(False))
        self.skipped.on_click(lambda _: self._then(queue.skip))
        self.undone.on_click(lambda _: self._then(queue.back))
        buttons = ipywidgets.HBox([self.passed, self.failed, self.skipped, self.undone])
        super().__init__([self._head, self._body, self.mode, self.note, buttons, self._said])
        self.layout.width = "100%"
        self._show()

    def __repr__(self) -> str:
        """Where no widget can be shown: what is to be read, and how to decide it in code."""
        item = self.queue.current
        if item is None:
            return f"[review · {self.queue.progress} · nothing left]"
        return (
            f"[review · {self.queue.progress} · run the cell to decide, or call queue.decide(passed, mode)]\n"
            f"question: {item.question}\nanswer:   {item.answer}\npicked:   {', '.join(item.signals) or 'at random'}"
        )

    def _decide(self, passed: bool) -> None:
        self._then(lambda: self.queue.decide(passed, str(self.mode.value), str(self.note.value)))

    def _then(self, step: Callable[[], object]) -> None:
        try:
            step()
        except CallerError as error:
            said = html.escape(f"{error.message} {error.next_step}")
            self._said.value = f'<span role="alert"><b>{said}</b></span>'
            return
        self._said.value = ""
        self._show()

    def _show(self) -> None:
        item = self.queue.current
        self._head.value = f'{STYLE}<div class="stream-title" role="status">{html.escape(self.queue.progress)}</div>'
        self._body.value = '<div class="stream-text">Everything is read.</div>' if item is None else _shown(item)
        self.mode.value, self.note.value, self.mode.options = "", "", self.queue.modes
        for control in (self.passed, self.failed, self.skipped):
            control.disabled = item is None
        self.undone.disabled = not self.queue.labels


def _shown(item: Item) -> str:
    """The answer to read, as HTML. Everything in it was written by strangers: all of it is escaped."""
    chips = "".join(f'<span class="chip">{html.escape(signal)}</span>' for signal in item.signals)
    folded = "".join(
        f"<details><summary>document {number}</summary>{html.escape(text)}</details>"
        for number, text in enumerate(item.documents, 1)
    )
    return (
        f'<div class="stream-chips">{chips}</div><div class="stream-title">{html.escape(item.question)}</div>'
        f'<div class="stream-text">{safe_html(item.answer)}</div>{folded}'
    )
