"""Pseudonyms: the provider reads <EMAIL_1>, the customer reads the address.

    stand_ins = StandIns()
    stand_ins.hide("Write to ann@mail.example")     "Write to <EMAIL_1>"
    stand_ins.show("I wrote to <EMAIL_1>.")         "I wrote to ann@mail.example."

`pseudonymised` is the layer, right around the model call. It hides what the customer, the history and the tools said;
what the model writes goes back with the real values: text, also when a stand-in is cut in two, and arguments of tools.

The table is made anew for each call, from that call's own conversation, and is gone with it. So the same value has the
same stand-in for as long as the conversation has the same beginning, there is nothing to store or to steal, and a
<EMAIL_1> that somebody types or makes the model say can only stand for what is in their own conversation.
"""

import json
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from . import acme, pii
from .events import Answer, Event, Handler, Layer, Message, Partial, Reset, TextDelta, ToolCall, Turn, User

NamesOf = Callable[[User], Collection[str]]

# TEXT stands for what looks like a stand-in and was there before: it comes back as it was.
_KINDS = ("EMAIL", "PHONE", "CARD", "SSN", "IBAN", "NAME", "TEXT")
_NUMBERED = rf"(?:{'|'.join(_KINDS)})_[1-9]\d{{0,5}}"
_STAND_IN = re.compile(rf"<{_NUMBERED}>|(?<![\w<]){_NUMBERED}(?![\w>])")  # some models leave the brackets out
_BEGINNINGS = sorted({f"{kind}_"[:length] for kind in _KINDS for length in range(1, len(kind) + 2)})
_MAY_BECOME_ONE = re.compile(rf"(?:<|(?<![\w<]))(?:{_NUMBERED}|{'|'.join(_BEGINNINGS)})\Z|<\Z")
SHORTEST = 6  # characters of a value that is looked for without the words around it
LONGEST = 16  # characters of a stand-in and of what stands around it


class StandIns:
    """The stand-ins of one conversation, numbered in the order in which their values come up."""

    def __init__(self, region: str | None = None, names: Collection[str] = ()) -> None:
        self._region, self._names = region, names
        self._stand_in: dict[tuple[str, str], str] = {}
        self._value: dict[str, str] = {}
        self._count: Counter[str] = Counter()

    def hide(self, text: str) -> str:
        """`text` with stand-ins. `show` gives exactly `text` back."""
        taken = [(*match.span(), "text") for match in _STAND_IN.finditer(text)]
        found = [(span.start, span.end, span.kind) for span in pii.find(text, self._region, self._names)]
        parts, end = [], 0
        rest = pii.without(text, [(start, stop) for start, stop, _ in found])
        for start, stop, kind in sorted(taken + found + self._said_before(rest)):
            if start >= end:
                parts += (text[end:start], self._for(kind, text[start:stop]))
                end = stop
        return "".join([*parts, text[end:]])

    def _said_before(self, text: str) -> list[tuple[int, int, str]]:
        """Where values stand that have a stand-in: what was told by the words around it, once."""
        kinds = {value: kind for kind, value in self._stand_in if kind != "text" and len(value) >= SHORTEST}
        if not kinds:
            return []
        any_value = "|".join(map(re.escape, sorted(kinds, key=len, reverse=True)))
        return [
            (*match.span(), kinds[match[0]]) for match in re.finditer(rf"(?<![^\W_])(?:{any_value})(?![^\W_])", text)
        ]

    def show(self, text: str, within_json: bool = False) -> str:
        """`text` with the values of all stand-ins that there are; others stay as they are."""

        def value(match: re.Match[str]) -> str:
            found = self._value.get(f"<{match[0].strip('<>')}>", match[0])
            return json.dumps(found, ensure_ascii=False)[1:-1] if within_json else found

        return _STAND_IN.sub(value, text)

    def _for(self, kind: str, value: str) -> str:
        if (kind, value) not in self._stand_in:
            self._count[kind] += 1
            made = f"<{kind.upper()}_{self._count[kind]}>"
            self._stand_in[kind, value], self._value[made] = made, value
        return self._stand_in[kind, value]


class Mending:
    """A stream of text in which stand-ins may be cut in two: what may become one is held back until that is known."""

    def __init__(self, stand_ins: StandIns, within_json: bool = False) -> None:
        self._stand_ins, self._within_json = stand_ins, within_json
        self._before = self._held = ""

    def more(self, text: str) -> str:
        text = self._before + self._held + text
        cut = _MAY_BECOME_ONE.search(text, max(0, len(text) - LONGEST))
        end = cut.start() if cut else len(text)
        return self._let_go(text[:end], text[end:])

    def rest(self) -> str:
        return self._let_go(self._before + self._held, "")

    def _let_go(self, text: str, held: str) -> str:
        known = len(self._before)
        if text:  # what was given out before only tells whether a word begins here
            self._before = "x" if re.match(r"[\w<]", text[-1]) else " "
        self._held = held
        return self._stand_ins.show(text, self._within_json)[known:]


def name_of(user: User) -> tuple[str, ...]:
    """The customer's name, from the account and not from any text."""
    customer = acme.customers().get(user.id) if acme.has_data() else None
    return (customer["name"],) if customer and customer["tenant"] == user.tenant else ()


def pseudonymised(names_of: NamesOf = name_of) -> Layer:
    """Keep personal data from the provider. Belongs right around the model call, inside the layers that run tools.

    Documents are passed on as they are: they are ours, and the same for everybody.
    """

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            stand_ins = StandIns(names=names_of(turn.user))
            hidden = hide_turn(turn, stand_ins)
            within_json = turn.output is not None
            mending = Mending(stand_ins, within_json)
            async with aclosing(inner(hidden)) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        if text := mending.more(event.text):
                            yield TextDelta(text)
                        continue
                    if isinstance(event, Reset):
                        mending = Mending(stand_ins, within_json)
                    elif rest := mending.rest():
                        yield TextDelta(rest)
                    yield _shown(event, stand_ins, within_json)
            if rest := mending.rest():
                yield TextDelta(rest)

        return handle

    return layer


def hide_turn(turn: Turn, stand_ins: StandIns) -> Turn:
    """The turn without personal data: in the order of the conversation, so that numbers stay as it grows."""
    history = tuple(Message(message.role, stand_ins.hide(message.text)) for message in turn.history)
    text = stand_ins.hide(turn.text)
    return replace(turn, history=history, text=text, exchange=tuple(_mapped(turn.exchange, stand_ins.hide)))


def _shown(event: Event, stand_ins: StandIns, within_json: bool) -> Event:
    match event:
        case ToolCall(arguments=str() as text):
            return replace(event, arguments=stand_ins.show(text))
        case ToolCall() | Partial():
            name = "value" if isinstance(event, Partial) else "arguments"
            return replace(event, **{name: _mapped(getattr(event, name), stand_ins.show)})
        case Answer():
            output = event.output
            if output is not None:
                output = type(output).model_validate(_mapped(output.model_dump(mode="json"), stand_ins.show))
            proposed = _mapped(event.proposed_tool_call, stand_ins.show)
            text = stand_ins.show(event.text, within_json)
            return event.model_copy(update={"text": text, "output": output, "proposed_tool_call": proposed})
        case _:
            return event


_OF_THE_WIRE = ("role", "id", "type", "name", "tool_call_id")  # fields of messages that nobody wrote


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with each text in it changed."""
    match value:
        case str():
            return change(value)
        case Mapping():
            return {
                key: inner if key in _OF_THE_WIRE and isinstance(inner, str) else _mapped(inner, change)
                for key, inner in value.items()
            }
        case list() | tuple():
            return [_mapped(inner, change) for inner in value]
        case _:
            return value
