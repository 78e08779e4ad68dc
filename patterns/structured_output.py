"""Structured output: a reply that a program can use, or an honest way out. Never a guess.

    schema      the provider is given a strict JSON schema (`schemas.py`), so most replies fit
    boundary    the reply is validated again here, with the limits that no provider enforces
    repair      what does not fit goes back to the model with the reason, at most twice
    fallback    after that, a rule-based value: plainer, and always valid

The layer that notebook 02 puts around the assistant is `structured(...)`. While the reply streams, its fields can be
shown as they land. Every reply that does not fit is counted: `metrics.value("structured_output.invalid", schema=...)`.
"""

import json
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from . import metrics
from .errors import PatternsError
from .events import Answer, Event, Handler, Layer, Partial, Reset, TextDelta, Turn

REPAIRS = 2
COMPLAINTS = 5  # told to the model at once; more would drown the first

T = TypeVar("T", bound=BaseModel)


class ChatAnswer(BaseModel):
    """What the assistant says. `text` comes first, so that it can be read while the rest is still on its way."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=4_000, description="The answer to the customer.")]
    cited_chunk_ids: Annotated[
        tuple[Annotated[str, Field(max_length=200)], ...],
        Field(max_length=20, description="Ids of the DOC blocks that the answer rests on."),
    ]
    confident: Annotated[bool, Field(description="False when the documents do not contain the answer.")]


class InvalidReply(PatternsError):
    """A model's reply that does not fit its schema. `complaint` says why, in words for the model."""

    def __init__(self, schema: str, complaint: str) -> None:
        self.complaint = complaint
        super().__init__(f"The model's reply is no valid {schema}: {complaint}", "Repair it or fall back.", "invalid")


def read(model: type[T], text: str, truncated: bool = False) -> T:
    """The value in a model's reply: the boundary. Raises InvalidReply, and counts it.

    Fences and sentences around the JSON are forgiven; nothing inside it is: "0.9" is no number, and no field is extra.
    """
    try:
        return model.model_validate_json(bare(text), strict=True, extra="forbid")
    except ValidationError as error:
        metrics.count("structured_output.invalid", schema=model.__name__)
        complaint = "it was cut off at the token limit; be shorter" if truncated else _complaint(error)
        raise InvalidReply(model.__name__, complaint) from None


def _complaint(error: ValidationError) -> str:
    found = []
    for problem in error.errors(include_url=False)[:COMPLAINTS]:
        place = ".".join(map(str, problem["loc"]))
        found.append(f"{place}: {problem['msg']}" if place else problem["msg"])
    return "; ".join(found)


_FENCED = re.compile(r"```(?:json)?\s*\n?(.*?)```", re.DOTALL)


def bare(text: str) -> str:
    """The JSON object inside a reply, without the fence or the sentences that some models put around it."""
    stripped = text.strip()
    if stripped.startswith("{") and stripped.endswith("}"):
        return stripped
    if fenced := _FENCED.search(text):
        stripped = fenced[1].strip()
    start, end = stripped.find("{"), stripped.rfind("}")
    return stripped[start : end + 1] if 0 <= start < end else stripped


_OPEN_NUMBER = re.compile(r"(?<=[:,\[\s])[-+0-9.eE]+$")  # "0." may become 0.92: it is not there yet


def partial(text: str, open_strings: bool = False) -> dict[str, Any]:
    """The fields that have arrived in a reply so far: complete ones, and the one being written if `open_strings`."""
    start = text.find("{")
    if start < 0:
        return {}
    begun = text[start:]
    if not open_strings:
        begun = _OPEN_NUMBER.sub("", begun)
    try:
        value = from_json(begun, allow_partial="trailing-strings" if open_strings else True)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def structured(
    model: type[BaseModel] = ChatAnswer,
    *,
    repairs: int = REPAIRS,
    fallback: Callable[[Turn], BaseModel] | None = None,
) -> Layer:
    """Make the answer of a turn a validated `model`, or `turn.output` where a layer outside asks for that.

    The field `text`, where the model has one, streams as TextDelta; other fields come as Partial when they are
    complete. A reply that does not fit is taken back with a Reset and asked for again, at most `repairs` times. Then
    `fallback` makes the value from the turn; without one, the answer says that there is none.
    """

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            wanted, exchange = turn.output or model, turn.exchange
            end: Answer | None = None
            for attempt in range(repairs + 1):
                screen, end = _Screen("text" in wanted.model_fields), None
                async with aclosing(inner(replace(turn, output=wanted, exchange=exchange))) as events:
                    async for event in events:
                        match event:
                            case TextDelta():
                                for shown in screen.more(event.text):
                                    yield shown
                            case Reset():
                                screen = _Screen(screen.has_text)
                                yield event
                            case Answer():
                                end = event
                            case _:
                                yield event
                if end is None:  # the model asks for tools, or the turn has failed
                    return
                try:
                    value = read(wanted, end.text, end.truncated)
                except InvalidReply as error:
                    invalid = error
                else:
                    for shown in screen.rest(value):
                        yield shown
                    yield _answered(end, value)
                    return
                if screen.shown:
                    yield Reset("the reply did not fit its schema")
                if attempt < repairs:
                    exchange = (*exchange, *_sent_back(end.text, invalid))
            metrics.count("structured_output.fallback", schema=wanted.__name__)
            yield _fallen_back(end, fallback(turn) if fallback else None)

        return handle

    return layer


class _Screen:
    """What a reader has been shown of one reply, as it streams."""

    def __init__(self, has_text: bool) -> None:
        self.has_text = has_text
        self.shown: Any = "" if has_text else {}
        self._reply = ""

    def more(self, piece: str) -> list[Event]:
        self._reply += piece
        value = partial(self._reply, open_strings=self.has_text)
        if not self.has_text:
            if value == self.shown:
                return []
            self.shown = value
            return [Partial(value)]
        text = value.get("text", "")
        if not isinstance(text, str) or not text.startswith(self.shown) or text == self.shown:
            return []
        new, self.shown = text[len(self.shown) :], text
        return [TextDelta(new)]

    def rest(self, value: BaseModel) -> list[Event]:
        """What a reader has not seen of the validated value. A reply that says a field twice shows the text again."""
        if not self.has_text:
            return [Partial(value.model_dump(mode="json"))]
        text = str(getattr(value, "text", ""))
        if text == self.shown:
            return []
        return [Reset("the reply began in another way"), TextDelta(text)] if self.shown else [TextDelta(text)]


def _sent_back(reply: str, invalid: InvalidReply) -> tuple[dict[str, Any], ...]:
    """The invalid reply and why it is invalid, as the next messages to the model."""
    complaint = f"Your reply was not valid: {invalid.complaint}. Reply again with JSON only, and fit the schema."
    return {"role": "assistant", "content": reply or "{}"}, {"role": "user", "content": complaint}


def _answered(end: Answer, value: BaseModel) -> Answer:
    changed: dict[str, Any] = {"output": value, "truncated": False}
    if isinstance(value, ChatAnswer):
        changed |= {"text": value.text, "cited_chunk_ids": value.cited_chunk_ids, "confident": value.confident}
    return end.model_copy(update=changed)


NO_ANSWER = "I could not put together a reliable answer. Please ask again, or ask for a person."


def _fallen_back(end: Answer | None, value: BaseModel | None) -> Answer:
    end = end or Answer(text="")
    text = NO_ANSWER if value is None else getattr(value, "text", None) or json.dumps(value.model_dump(mode="json"))
    outcome = "failure" if value is None else "partial"
    return end.model_copy(
        update={"text": text, "output": value, "confident": False, "served": "simplified", "outcome": outcome}
    )


LAYERS: tuple[Layer, ...] = (structured(ChatAnswer),)
