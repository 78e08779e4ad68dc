"""The last look at an answer: no address goes out that is not known to be right, whatever the model was told.

A model that was taken in writes what an attacker wants it to write; what it can do harm with is an address. So each
link, e-mail address, telephone and account number of an answer must be one of these, or it is taken out:

    the tenant's own        its e-mail domain with all hosts under it, and its telephone number
    the customer's          what the customer wrote, to the letter
    of the customer's data  in the fields of a tool's result that hold no free text (`own_data`)

A help article is no such source: articles are written by many, and one poisoned line would be enough. Images are taken
out always, since showing one is a request to whoever hosts it. An answer that recites our instructions is replaced.
While an answer streams, the part that could still become an address is held back.
"""

import re
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from . import addresses, core, faq_search, metrics
from .addresses import Address
from .events import (
    Answer,
    ConfirmationRequired,
    Event,
    Failed,
    Handler,
    Layer,
    Partial,
    Reset,
    TextDelta,
    ToolResult,
    Turn,
)
from .faq_search import FindContact

RECITED = 7  # words of our instructions in a row

TEXTS = {
    "en": {
        "gone": "(removed)",
        "said": "I left out an address that is not ours or cannot be checked.",
        "reach": "You reach us at {email} or {phone}.",
        "recites": "I cannot show how I am set up. What can I help you with?",
    },
    "de": {
        "gone": "(entfernt)",
        "said": "Eine Adresse, die nicht von uns ist oder sich nicht prüfen lässt, habe ich weggelassen.",
        "reach": "Sie erreichen uns unter {email} oder {phone}.",
        "recites": "Wie ich eingerichtet bin, kann ich nicht zeigen. Womit kann ich Ihnen helfen?",
    },
}


@dataclass(frozen=True, slots=True)
class Known:
    """What an answer to this turn may name: exact addresses, the tenant's domain, keys of what is the customer's."""

    exact: tuple[str, ...] = ()
    domain: str = ""
    own: frozenset[str] = frozenset()

    def allows(self, one: Address) -> bool:
        if one.kind in ("image", "html"):
            return False
        if one.key in self.own:
            return True
        if not one.plain:  # it only looks like an address that we know
            return False
        match one.kind:
            case "email":
                return bool(self.domain) and one.key.rpartition("@")[2] == self.domain and one.text.count("@") == 1
            case "number":
                return any(one.key == re.sub(r"\D", "", exact) for exact in self.exact)
            case "link":
                return self._ours(one.key)
            case _:
                return False

    def _ours(self, target: str) -> bool:
        if re.sub(r"^(?:mailto|tel):", "", target) in self.exact:
            return True
        host = addresses.host_of(target)
        return bool(self.domain) and (host == self.domain or host.endswith(f".{self.domain}"))


def known(turn: Turn, find_contact: FindContact = faq_search.contact) -> Known:
    """What may be named before any tool has run: the tenant's contact, and what the customer wrote."""
    contact = find_contact(turn.user.tenant)
    said = [turn.text, *(message.text for message in turn.history if message.role == "user")]
    own = frozenset(key for text in said for key in _keys(text))
    if contact is None:
        return Known(own=own)
    return Known((contact.email, contact.phone), contact.email.rpartition("@")[2], own)


def _keys(text: str) -> Iterator[str]:
    for one in addresses.find(text):
        if not one.plain:  # in disguise, and in the answer it would not be
            continue
        yield one.key
        if one.kind == "link" and (host := addresses.host_of(one.key)):
            yield host


def foreign(text: str, allowed: Known) -> list[Address]:
    """The addresses in `text` that may not be named."""
    return [one for one in addresses.find(text, allowed.exact) if not allowed.allows(one)]


def cleaned(text: str, allowed: Known, language: str = "en") -> tuple[str, list[Address]]:
    """`text` without what may not be named, and what that was."""
    out = foreign(text, allowed)
    parts, end = [], 0
    for one in out:
        parts += [text[end : one.start], words(language)["gone"]]
        end = one.end
    return "".join([*parts, text[end:]]), out


def words(language: str) -> dict[str, str]:
    return TEXTS.get(language, TEXTS["en"])


def guarded(
    own_data: Mapping[str, Collection[str]] = MappingProxyType({}), find_contact: FindContact = faq_search.contact
) -> Layer:
    """Take out of what is shown each address that nobody vouches for, and say so; see the top of this file.

    `own_data`: tool -> fields of its result that hold the customer's own data and no free text of others.
    `find_contact` says by tenant how people reach us.
    """

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            screen = _Screen(turn, known(turn, find_contact), find_contact)
            async with aclosing(inner(turn)) as events:
                async for event in events:
                    if isinstance(event, ToolResult) and isinstance(event.result, dict):
                        fields = own_data.get(event.name, ())
                        screen.learn(" ".join(str(event.result.get(name, "")) for name in fields))
                    for shown in screen.after(event):
                        yield shown

        return handle

    return layer


@dataclass(slots=True)
class _Screen:
    """What a reader has been shown of one answer, and what is held back because its end is still open."""

    turn: Turn
    allowed: Known
    find_contact: FindContact = faq_search.contact
    shown: str = ""
    held: str = ""
    said: str = ""  # all that the model has said, for what is longer than the part that is held back
    removed: list[Address] = field(default_factory=list)
    recites: bool = False

    def learn(self, text: str) -> None:
        self.allowed = Known(self.allowed.exact, self.allowed.domain, self.allowed.own | frozenset(_keys(text)))

    def after(self, event: Event) -> Iterator[Event]:
        match event:
            case TextDelta():
                yield from self._more(event.text)
            case Reset():
                self._forget()
                yield event
            case Partial():
                counted = list(self.removed)  # what a field holds for now is no part of the answer yet
                yield Partial(self._clean(event.value))
                self.removed = counted
            case ConfirmationRequired():
                yield replace(event, question=self._clean(event.question))
            case Failed():
                yield replace(event, message=self._clean(event.message), next_step=self._clean(event.next_step))
            case Answer():
                yield from self._end(event)
            case _:
                yield event

    def _forget(self) -> None:
        self.shown = self.held = self.said = ""
        self.removed = []
        self.recites = False

    def _more(self, text: str) -> Iterator[Event]:
        self.said += text
        self.held += text
        if self.recites:
            return
        if recites(self.said[-2_000:], self.turn):
            self.recites = True
            if self.shown:
                yield Reset("it recited its instructions")
            self.shown = ""
            return
        place = addresses.open_from(self.held)
        ready, self.held = self.held[:place], self.held[place:]
        if clean := self._clean(ready):
            self.shown += clean
            yield TextDelta(clean)

    def _clean(self, value: Any) -> Any:
        """A text, or each text of a JSON value, without what may not be named."""
        if isinstance(value, str):
            clean, gone = cleaned(value, self.allowed, self.turn.user.language)
            self.removed += gone
            return clean
        if isinstance(value, dict):
            return {key: self._clean(item) for key, item in value.items()}
        return [self._clean(item) for item in value] if isinstance(value, list | tuple) else value

    def _end(self, answer: Answer) -> Iterator[Event]:
        speech = words(self.turn.user.language)
        if recites(answer.text, self.turn):
            metrics.count("safety.recited", tenant=self.turn.user.tenant)
            text, output = speech["recites"], None
        else:
            before, self.removed = self.removed, []
            text = self._clean(answer.text)
            gone = list(self.removed)
            output = self._output(answer.output)
            self.removed = gone
            for one in self.removed or before:
                metrics.count("safety.removed", kind=one.kind, tenant=self.turn.user.tenant)
            if self.removed or before:
                text = f"{text.rstrip()} {self._note()}"
        if self.shown and not text.startswith(self.shown):
            yield Reset("it was checked")
            self.shown = ""
            yield TextDelta(text)
        elif (self.shown or self.held) and text != self.shown:
            yield TextDelta(text[len(self.shown) :])
        changed = text != answer.text
        confident = answer.confident and not (changed and text == speech["recites"])
        yield answer.model_copy(update={"text": text, "output": output, "confident": confident}) if changed else answer

    def _note(self) -> str:
        speech, contact = words(self.turn.user.language), self.find_contact(self.turn.user.tenant)
        reach = speech["reach"].format(email=contact.email, phone=contact.phone) if contact else ""
        return f"{speech['said']} {reach}".strip()

    def _output(self, value: BaseModel | None) -> BaseModel | None:
        """The object of the answer, cleaned; None where it is no longer valid then."""
        if value is None:
            return None
        said = value.model_dump(mode="json")
        if (clean := self._clean(said)) == said:
            return value
        try:
            return type(value).model_validate(clean)
        except ValidationError:
            return None


def recites(text: str, turn: Turn) -> bool:
    """Whether `text` has `RECITED` words of our instructions in a row."""
    said = _words(text)
    ours = _instructions(turn)
    return any(tuple(said[at : at + RECITED]) in ours for at in range(len(said) - RECITED + 1))


def _instructions(turn: Turn) -> frozenset[tuple[str, ...]]:
    ours = _words(core.INSTRUCTIONS.format(tenant=turn.user.tenant)), _words(core.WITH_TOOLS)
    return frozenset(tuple(one[at : at + RECITED]) for one in ours for at in range(len(one) - RECITED + 1))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", addresses.looks(text)[0].lower())
