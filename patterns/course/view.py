"""What a streamed answer looks like so far: a pure function of its events, drawn as HTML or as plain text.

Widgets only show this, so everything that can go wrong with it can be tested without one.
"""

import html
import json
from dataclasses import dataclass, field, replace
from typing import Any

from ..events import Answer, Event, Failed, Partial, Reset, Status, TextDelta
from ..streaming_ux import safe_html

LABELS = {"received": "received", "searching": "searching…", "drafting": "drafting…", "working": "still working…"}


@dataclass(frozen=True, slots=True)
class View:
    """Seconds are counted from the request; None means that it has not happened (yet)."""

    text: str = ""
    steps: tuple[str, ...] = ()
    first_event: float | None = None
    first_token: float | None = None
    ended: float | None = None
    tokens: int = 0
    chunks: tuple[float, ...] = ()
    stopped: bool = False
    failed: Failed | None = None
    answer: Answer | None = None

    def after(self, event: Event, seconds: float) -> "View":
        """The view once `event` has arrived, `seconds` after the request."""
        view = self if self.first_event is not None else replace(self, first_event=seconds)
        match event:
            case Status():
                step = event.detail or LABELS[event.phase]
                return view if step in view.steps else replace(view, steps=(*view.steps, step))
            case TextDelta():
                first = seconds if view.first_token is None else view.first_token
                return replace(
                    view,
                    text=view.text + event.text,
                    first_token=first,
                    tokens=view.tokens + 1,
                    chunks=(*view.chunks, seconds),
                )
            case Reset():
                return replace(view, text="", steps=(*view.steps, f"starting over: {event.reason}"))
            case Answer():
                return replace(view, text=event.text, answer=event, ended=seconds)
            case Failed():
                return replace(view, failed=event, ended=seconds)
            case _:
                return view

    def stop(self, seconds: float) -> "View":
        """The view once the reader has pressed Stop."""
        return replace(self, stopped=True, ended=seconds)

    def as_a_whole(self) -> "View":
        """What a reader saw who was shown nothing before the end: one piece, the first and last."""
        if self.ended is None or not self.tokens:
            return self
        return replace(self, first_token=self.ended, chunks=(self.ended,), tokens=1)

    @property
    def state(self) -> str:
        if self.failed:
            return "failed"
        if self.stopped:
            return "stopped"
        return "done" if self.answer else "running"

    def chips_html(self) -> str:
        """The steps so far as chips; the last one is marked as current until the turn has ended."""
        chips = []
        for position, step in enumerate(self.steps):
            current = position == len(self.steps) - 1 and self.ended is None and self.first_token is None
            name = "chip current" if current else "chip"
            chips.append(f'<span class="{name}">{"▸ " if current else "✓ "}{html.escape(step)}</span>')
        return "".join(chips)

    def body_html(self) -> str:
        """The text, or what stands in its place. Model text is escaped."""
        if self.failed:
            return f"<b>{html.escape(self.failed.message)}</b> {html.escape(self.failed.next_step)}"
        tail = " <i>(stopped)</i>" if self.stopped else "" if self.ended is not None else '<span class="caret">▍</span>'
        return safe_html(self.text) + tail

    def times(self) -> str:
        """One line of figures."""
        parts = [f"{self.state:8}"]
        if self.first_token is not None:
            parts.append(f"first token {self.first_token:.2f} s")
        if self.ended is not None:
            parts.append(f"total {self.ended:.2f} s")
        parts.append("1 piece" if self.tokens == 1 else f"{self.tokens} pieces")
        return " · ".join(parts)


SHORT = 40  # characters: a longer text is no chip, it is folded away below the chips


@dataclass(frozen=True, slots=True)
class Fields:
    """A structured value as it lands. `landed` holds each field's name with its seconds since the request."""

    value: dict[str, Any] = field(default_factory=dict)
    landed: tuple[tuple[str, float], ...] = ()
    failed: Failed | None = None
    answer: Answer | None = None

    def after(self, event: Event, seconds: float) -> "Fields":
        """The view once `event` has arrived, `seconds` after the request."""
        match event:
            case Partial():
                return self._with(event.value, seconds)
            case Reset():
                return Fields()
            case Answer():
                value = event.output.model_dump(mode="json") if event.output else {}
                return replace(self._with(value, seconds), answer=event)
            case Failed():
                return replace(self, failed=event)
            case _:
                return self

    def _with(self, value: dict[str, Any], seconds: float) -> "Fields":
        kept = [pair for pair in self.landed if pair[0] in value]
        known = {name for name, _ in kept}
        return replace(self, value=value, landed=(*kept, *((name, seconds) for name in value if name not in known)))

    @property
    def simplified(self) -> bool:
        """Whether no model's reply could be used."""
        return self.answer is not None and self.answer.served != "live"

    def chips_html(self) -> str:
        """The short fields as chips: what somebody wants to see first. Model text is escaped."""
        if self.failed:
            return f"<b>{html.escape(self.failed.message)}</b> {html.escape(self.failed.next_step)}"
        chips = [f"{name}: {said(value)}" for name, value in self.value.items() if not _long(value)]
        chips += ["⚠ decided by rules"] if self.simplified else []
        return "".join(f'<span class="chip">{html.escape(chip)}</span>' for chip in chips)

    def details_html(self) -> str:
        """The long texts, folded away until somebody asks for them. Model text is escaped."""
        long = {name: value for name, value in self.value.items() if _long(value)}
        return "".join(
            f"<details><summary>{html.escape(name)}</summary>{html.escape(said(value))}</details>"
            for name, value in long.items()
        )

    def lines(self) -> str:
        """One line a field, in the order in which they landed."""
        return "\n".join(f"{seconds:5.2f} s  {name}: {said(self.value[name])}" for name, seconds in self.landed)


def said(value: Any) -> str:
    """A field's value as a person reads it."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _long(value: Any) -> bool:
    return len(said(value)) > SHORT
