"""What flows through the assistant, and how layers are put around it.

A `Turn` goes in, `Event`s come out one by one, the last of them an `Answer` or `Failed`. A `Handler` does that; a
`Layer` takes a handler and gives one back that does a little more. All of the course is layers.

    Handler = Callable[[Turn], AsyncGenerator[Event, None]]
    Layer   = Callable[[Handler], Handler]

Three rules keep the stack honest. A layer reads the handler inside it under `contextlib.aclosing`, so that a reader who
stops closes everything down to the HTTP call. It never yields inside `asyncio.timeout` and never sets a ContextVar
across a yield: state travels on the Turn. After the first TextDelta, it starts over only with a `Reset`.
"""

import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, SerializeAsAny

from .errors import PatternsError
from .models import TierName

Plan = Literal["basic", "plus", "pro"]
Outcome = Literal["success", "partial", "failure", "human_handoff", "limit_hit"]
Phase = Literal["received", "searching", "drafting", "working"]


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:16]}"


@dataclass(frozen=True, slots=True)
class User:
    """The authenticated person. Nothing in here may come from the text of a message."""

    id: str = "C-0001"
    tenant: str = "acme-home"
    plan: Plan = "basic"
    teams: tuple[str, ...] = ()
    language: str = "en"

    @property
    def scopes(self) -> frozenset[str]:
        """The ACL tags that this user holds: `public`, `plan:*` up to the own plan, `team:*` of the own teams."""
        plans = ("basic", "plus", "pro")
        held = plans[: plans.index(self.plan) + 1]
        return frozenset(["public", *(f"plan:{plan}" for plan in held), *(f"team:{team}" for team in self.teams)])


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """A piece of text that the answer may rest on."""

    id: str
    title: str
    text: str
    url: str = ""
    updated: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that the customer sent: the bytes of a file, and what they are, such as `image/png`."""

    data: bytes = field(repr=False)
    media_type: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One question, with everything the layers know about it. Layers pass on changed copies (`dataclasses.replace`).

    `tools` are offered to the model and `output` is the model class that its answer must fit. `exchange` holds what
    was said since the question: the model's tool calls, their results, complaints about an invalid reply. Tools and
    exchange are as on the wire of Chat Completions. `tier` asks for another model than the handler's own.
    """

    text: str
    user: User = User()
    history: tuple[Message, ...] = ()
    images: tuple[Image, ...] = ()
    documents: tuple[Document, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    output: type[BaseModel] | None = None
    exchange: tuple[dict[str, Any], ...] = ()
    tier: TierName | None = None
    feature: str = "chat"
    request_id: str = field(default_factory=lambda: new_id("req"))
    trace_id: str = field(default_factory=lambda: new_id("trace"))


@dataclass(frozen=True, slots=True)
class Status:
    """Something to show before and between the words. `idle_seconds` is set on heartbeats."""

    phase: Phase
    detail: str = ""
    idle_seconds: float = 0.0
    kind: Literal["status"] = "status"


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str
    kind: Literal["text_delta"] = "text_delta"


@dataclass(frozen=True, slots=True)
class Reset:
    """Forget the text so far: it comes again from the start. `reason` is for people."""

    reason: str
    kind: Literal["reset"] = "reset"


@dataclass(frozen=True, slots=True)
class Partial:
    """A structured value as far as it has arrived."""

    value: dict[str, Any]
    kind: Literal["partial"] = "partial"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What the model asks for. `arguments` is the text it wrote where that is no JSON object."""

    call_id: str
    name: str
    arguments: dict[str, Any] | str
    kind: Literal["tool_call"] = "tool_call"


@dataclass(frozen=True, slots=True)
class ToolResult:
    call_id: str
    name: str
    result: Any
    kind: Literal["tool_result"] = "tool_result"


@dataclass(frozen=True, slots=True)
class ConfirmationRequired:
    """Ends the turn: somebody must agree first. `token` is all that is needed to go on, also after a restart."""

    token: str
    question: str
    kind: Literal["confirmation_required"] = "confirmation_required"


@dataclass(frozen=True, slots=True)
class Failed:
    """Ends the turn: what happened, and what to do next. `transient` says whether trying again can help.

    `retry_after` is in seconds, where somebody named a time.
    """

    code: str
    message: str
    next_step: str
    transient: bool
    retry_after: float | None = None
    kind: Literal["failed"] = "failed"


class Answer(BaseModel):
    """Ends the turn. `served` says how it came about; every layer that changes that says so here.

    `output` is the validated object where the turn asked for one. `truncated`: the model hit its token limit.
    `outcome` says how a run of several steps ended; an answer in one step is a success.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["answer"] = "answer"
    text: str
    cited_chunk_ids: tuple[str, ...] = ()
    confident: bool = True
    proposed_tool_call: dict[str, Any] | None = None
    output: SerializeAsAny[BaseModel] | None = None
    truncated: bool = False
    outcome: Outcome = "success"
    served: Literal["live", "cached", "stale", "simplified", "unavailable", "handoff"] = "live"
    tier: str = ""
    cost_usd: float | None = None  # of the call that made the answer; None: the model's price is not known
    trace_id: str = ""


Event: TypeAlias = Status | TextDelta | Reset | Partial | ToolCall | ToolResult | ConfirmationRequired | Answer | Failed
Handler: TypeAlias = Callable[[Turn], AsyncGenerator[Event, None]]
Layer: TypeAlias = Callable[[Handler], Handler]


def stack(core: Handler, *layers: Layer) -> Handler:
    """Put `layers` around `core`, the first one outermost: they read in the order in which a request meets them."""
    for layer in reversed(layers):
        core = layer(core)
    return core


class TurnFailed(PatternsError):
    """What `answer` raises for a turn that ended without an Answer."""


async def answer(handler: Handler, turn: Turn) -> Answer:
    """Run `turn` to its end and return the Answer.

    Raises TurnFailed when it ends with Failed or waits for a confirmation, and lets the errors of `errors.py` through.
    """
    async with aclosing(handler(turn)) as events:
        async for event in events:
            match event:
                case Answer():
                    return event
                case Failed():
                    raise TurnFailed(event.message, event.next_step, event.code)
                case ConfirmationRequired():
                    raise TurnFailed(event.question, "Confirm or decline it with resume().", "confirmation_required")
                case _:
                    pass
    raise TurnFailed("The handler ended without an answer.", "End it with an Answer or Failed event.", "no_answer")
