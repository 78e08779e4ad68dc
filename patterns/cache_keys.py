"""What a cached answer belongs to: its key, who may share it, and for how long it is fresh.

Two requests share an answer only when nothing differs that could have changed it. The key is a hash of all of that:
tenant, ACL scopes, language, question, history, schema and tier from the turn, and the recipe: models with their
parameters, prompt, tools, corpus version. A personal question has its user in the key as well.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from pydantic import BaseModel

from . import pii
from .events import Answer, ConfirmationRequired, Event, ToolCall, ToolResult, Turn, User
from .models import Provider
from .person_names import asked
from .pseudonyms import name_of


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds for which an answer is served as cached, and for which it is kept, to be served stale in an outage."""

    fresh: float
    keep: float


DAY = 86_400.0
STEADY = Freshness(DAY, 7 * DAY)  # what an article says
MOVING = Freshness(300.0, 3_600.0)  # what may be otherwise in an hour: stock, an outage, today's hours

PASSING_BY = frozenset(["evals"])  # features that want to know what the assistant makes, and not what it kept or limits

_MOVES = re.compile(
    r"\b(?:now|today|tonight|tomorrow|currently|at the moment|still|yet|this (?:week|month)|in stock|sold out|available"
    r"|availability|outage|down|jetzt|heute|morgen|gerade|aktuell|momentan|noch|derzeit|diese woche|auf lager"
    r"|ausverkauft|lieferbar|verfügbar|störung)\b",
    re.IGNORECASE,
)
# A word that points to the asker, or a number that only one customer has: of an order, a parcel, an invoice.
_PERSONAL = re.compile(
    r"\b(?:my|mine|our|ours|myself|(?:mein|unser)(?:e[mnrs]?)?)\b"
    r"|\b(?:am|was|did|have|had) i\b(?! to\b)|\bdo i (?:have(?! to\b)|owe)\b"
    r"|\bi(?:['’](?:m|ve|d)| am| was| did| have(?! to\b)| had| got| bought| ordered| paid)\b"
    r"|\b(?:charged?|bill(?:ed)?|refund(?:ed)?|owe|sent|ship(?:ped)?|deliver(?:ed)?|promised|called|written) me\b"
    r"|\b(?:bin|war|habe|hatte) ich\b|\bich (?:bin|war|habe|hatte)\b|\b(?:mir|mich)\b"
    r"|\b[a-z]{1,3}-?\d{4,}|\d{5,}",
    re.IGNORECASE,
)
_NEEDS_A_LOOK = re.compile(r"[@\\%&]|(?:\d\D*){6}")
# An address, or seven digits and more with what people write between them: a phone, a card, an account.
_PRIVATE = re.compile(r"\S@\S+\.\w|(?:\d[\s()/.-]{0,3}){6}\d")


@lru_cache(maxsize=4096)
def normalised(text: str) -> str:
    """The same question, however it is typed: case, spaces and the mark at its end do not count.

    Lower case and not casefold, NFC and not NFKC: "Maße" is not "Masse", and "10²" is not "102".
    """
    return " ".join(unicodedata.normalize("NFC", text).lower().split()).rstrip(" ?!.") or text


@lru_cache(maxsize=4096)  # the same questions come again and again: that is why there is a cache
def _finds(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.search(text) is not None


def is_personal(turn: Turn) -> bool:
    """Whether the question, or what was said before, is about the asker: the answer is for nobody else."""
    return _finds(_PERSONAL, turn.text) or any(_finds(_PERSONAL, message.text) for message in turn.history)


def is_private(turn: Turn) -> bool:
    """Whether personal data was said, or a long number: nothing of that turn is stored."""
    names = name_of(turn.user)
    return any(_is_private(text, names) for text in (turn.text, *(message.text for message in turn.history)))


@lru_cache(maxsize=4096)
def _is_private(text: str, names: tuple[str, ...]) -> bool:
    parts = [part for name in names for part in name.split()]
    # Most questions have neither six digits nor a sign that an address or an escape needs: they need no closer look.
    if text.isascii() and not _NEEDS_A_LOOK.search(text) and not any(part in text for part in parts) and not asked():
        return False
    return _PRIVATE.search(text) is not None or bool(pii.find(text, names=names))


def lives(turn: Turn) -> Freshness | None:
    """How long an answer to `turn` may be served again; None: not at all."""
    shown = turn.exchange or turn.tools or turn.documents or turn.images
    if turn.feature in PASSING_BY or shown or is_private(turn):
        return None
    return MOVING if _finds(_MOVES, turn.text) else STEADY


def audience(turn: Turn, recipe: str) -> list[Any]:
    """Everything but the question that an answer depends on, the user apart."""
    return [recipe, _rights(turn.user), _schema(turn.output) if turn.output else "", turn.tier]


@lru_cache(maxsize=4096)
def _rights(user: User) -> str:
    return json.dumps([user.tenant, sorted(user.scopes), user.language])


def key(turn: Turn, recipe: str) -> str:
    """The key of the answer to `turn`. Equal keys, equal question by somebody with the same rights."""
    whose = turn.user.id if is_personal(turn) else None
    history = [[message.role, message.text] for message in turn.history]
    return f"answer {digest([*audience(turn, recipe), whose, normalised(turn.text), history])}"


def digest(parts: Sequence[Any]) -> str:
    """A hash of JSON values. JSON keeps them apart: no text can look like the end of one and the start of the next."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@cache
def _schema(model: type[BaseModel]) -> str:
    return json.dumps([model.__qualname__, model.model_json_schema()])


def models_of(provider: Provider) -> str:
    """A hash of every model of the provider, with its parameters: temperature, seed."""
    return digest([provider.name, [[tier.name, tier.model, dict(tier.params)] for tier in provider.tiers.values()]])


def is_for_one(event: Event) -> bool:
    """Whether the event belongs to the asker alone: what a tool was asked and said, and what waits for a yes."""
    match event:
        case ToolCall() | ToolResult() | ConfirmationRequired():
            return True
        case Answer():
            return event.served == "handoff" or event.proposed_tool_call is not None
        case _:
            return False


def is_worth_keeping(answer: Answer) -> bool:
    """Whether an answer, made without tools, may be served again: whole, confident, and no apology."""
    sound = answer.served == "live" and answer.outcome == "success"
    return sound and answer.confident and not answer.truncated and not is_for_one(answer) and bool(answer.text.strip())
