"""What a reader of a turn had in front of them, and what the turn cost: the eyes of the capstone's checks."""

from contextlib import aclosing
from dataclasses import dataclass

from .. import ledger
from ..events import Answer, Document, Event, Handler, Reset, TextDelta, Turn, User
from ..events import new_id as new


class Broken(Exception):
    """A promise that was not kept; the message says what was seen."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A turn as its reader had it. `screen` is the text at the end, `ever` all that was shown at some time."""

    turn: Turn
    events: tuple[Event, ...]

    @property
    def answer(self) -> Answer:
        end = self.events[-1] if self.events else None
        if not isinstance(end, Answer):
            raise Broken(f"the turn {self.turn.text!r} ended with {type(end).__name__} in place of an answer.")
        return end

    @property
    def screen(self) -> str:
        text = ""
        for event in self.events:
            text = "" if isinstance(event, Reset) else text + event.text if isinstance(event, TextDelta) else text
        return text

    @property
    def ever(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta)) + repr(self.events)

    @property
    def calls(self) -> int:
        return chat_calls(self.turn)


def chat_calls(turn: Turn) -> int:
    """Calls of a chat model for this turn, by the ledger."""
    return sum(call.tier != "embed" for call in ledger.default().calls(trace_id=turn.trace_id))


async def see(handler: Handler, text: str, user: User, *documents: Document) -> Seen:
    turn = Turn(text, user, documents=documents)
    async with aclosing(handler(turn)) as events:
        return Seen(turn, tuple([event async for event in events]))


def somebody(tenant: str = "acme-home") -> User:
    """A customer whom no check has met."""
    return User(new("C"), tenant)
