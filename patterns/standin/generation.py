"""One generation: what the model will say, in which pieces, and when each piece is due.

Both wires (chat completions and responses) and both ways (streamed and whole) read the same `Generation`, so they say
the same thing at the same speed and count the same tokens.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from . import brain, tokens, wire
from .api_error import APIError
from .catalogue import Model
from .dials import Dials


class ConnectionCut(Exception):
    """The dial `cut_after` says that the connection drops here."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """What decides the dice: the key's dials, the number of this request under that key, and the prompt itself."""

    dials: Dials
    number: int
    prompt: str
    varies: bool

    @property
    def content(self) -> tuple[object, ...]:
        """Arguments for `Dials.draw` on content: with a seed or at temperature 0 only the prompt counts."""
        return (self.prompt, self.number) if self.varies else (self.prompt,)


@dataclass(slots=True)
class Generation:
    """`pieces` are the tokens of the text, or of the tool calls' arguments, in order."""

    id: str
    model: Model
    reply: brain.Reply
    pieces: list[str]
    finish: str
    prompt_tokens: int
    cached_tokens: int
    occasion: Occasion
    started: float
    sent: int = field(default=0)

    @property
    def usage(self) -> dict[str, Any]:
        return wire.usage(self.prompt_tokens, len(self.pieces), self.cached_tokens)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    async def paced(self) -> AsyncIterator[str]:
        """Yield each piece when it is due. Raises ConnectionCut where the dials say so."""
        dials = self.occasion.dials
        first, gap = self._first(), 1 / (dials.tokens_per_second or self.model.tokens_per_second)
        dice = dials.dice("jitter", self.occasion.prompt)
        due = self.started + first * _spread(dice, dials.jitter)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        due = max(due, time.monotonic())
        for piece in self.pieces:
            if dials.cut_after is not None and self.sent >= dials.cut_after:
                raise ConnectionCut
            if dials.stall_after is not None and self.sent == dials.stall_after:
                await asyncio.sleep(dials.stall_seconds)
                due = time.monotonic()
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            self.sent += 1
            yield piece
            due += gap * _spread(dice, dials.jitter)

    def _first(self) -> float:
        if (given := self.occasion.dials.time_to_first_token) is not None:
            return given
        return self.model.time_to_first_token + (self.prompt_tokens - self.cached_tokens) / self.model.prefill


def _spread(dice: Any, jitter: float) -> float:
    return max(0.1, dice.gauss(1.0, jitter)) if jitter else 1.0


def prompt_tokens(request: wire.ChatRequest) -> list[str]:
    """Everything that the model reads, in the order in which it reads it: tools and schema first, then the messages.

    An image stands as often as it costs tokens, under a name that only the same image has.
    """
    parts: list[str] = []
    if request.tools:
        parts.append(str([tool.model_dump() for tool in request.tools]))
    if request.response_format and request.response_format.json_schema:
        parts.append(str(request.response_format.json_schema.schema_))
    read = tokens.split("\n".join(parts))
    for message in request.messages:
        text = f"{message['role']}: {wire.plain_text(message)}"
        read += tokens.split(f"\n{text}" if read else text)
        read += [image.key for image in wire.images(message) for _ in range(image.tokens)]
    return read


def prepare(
    request: wire.ChatRequest, model: Model, occasion: Occasion, scope: str, cache: tokens.PrefixCache, started: float
) -> Generation:
    """Read the prompt and think of the reply. Pure computing, so it runs in a worker thread.

    Raises APIError 400 when the prompt does not fit the model's context.
    """
    read = prompt_tokens(request)
    limit = request.max_completion_tokens or request.max_tokens
    if len(read) + (limit or 0) > model.context:
        raise APIError(
            400,
            f"This model's maximum context length is {model.context} tokens. However, your messages resulted in "
            f"{len(read)} tokens{f' and you asked for {limit} more' if limit else ''}. Please reduce the length.",
            param="messages",
            code="context_length_exceeded",
        )
    reply = brain.think(request, model, occasion)
    pieces, finish = tokens.split(reply.text), "stop"
    if reply.calls:
        pieces, finish = [piece for call in reply.calls for piece in tokens.split(call.arguments)], "tool_calls"
    elif request.stop:
        cut = min((at for stop in request.stop if stop and (at := reply.text.find(stop)) >= 0), default=None)
        pieces = tokens.split(reply.text[:cut])
    if limit is not None and len(pieces) > limit:
        pieces, finish = pieces[:limit], "length"
    return Generation(
        id=wire.digest(model.name, occasion.content, occasion.dials.seed),
        model=model,
        reply=reply,
        pieces=pieces,
        finish=finish,
        prompt_tokens=len(read),
        cached_tokens=cache.hit(f"{scope}|{model.name}", read) if occasion.dials.prompt_cache else 0,
        occasion=occasion,
        started=started,
    )
