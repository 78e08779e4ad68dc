"""Tool use: the model asks, our code decides, runs, and tells it what came of it.

The layer that notebook 03 puts around the assistant is `use_tools`. It offers tools with the question; runs what the
model asks for, several at once; hands the results back; and stops after a few rounds. A write ends the turn with a
ConfirmationRequired: `resume` goes on with the customer's yes or no, also after a restart. See `tools.py` for what a
tool is, and `checkpoints.py` for why no action happens twice.
"""

import asyncio
import hashlib
import json
import math
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from . import checkpoints, ledger, tools
from .events import ConfirmationRequired, Event, Handler, Layer, ToolCall, ToolResult, Turn, User
from .tools import Tool

ROUNDS = 3  # times that the model may ask for tools before it has to answer
CALLS_PER_ROUND = 4
# After these, a tool that changes something may have done so, or not.
UNCERTAIN = frozenset(["timeout", "tool_failed", "unreachable", "stream_cut", "bad_stream"])


def use_tools(available: Sequence[Tool], rounds: int = ROUNDS, calls: int = CALLS_PER_ROUND) -> Layer:
    """Let the model use `available`, at most `calls` of them in each of `rounds` rounds; then it must answer."""

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            while True:
                if not unanswered(turn.exchange):
                    offered = tuple(tool.wire for tool in available) if rounds_used(turn) < rounds else ()
                    asked: list[ToolCall] = []
                    async with aclosing(inner(replace(turn, tools=offered))) as events:
                        async for event in events:
                            if isinstance(event, ToolCall):
                                asked.append(event)
                            yield event
                    if not asked:
                        checkpoints.default().save(turn, "ended") if turn.exchange else None
                        return
                    turn = replace(turn, exchange=(*turn.exchange, as_message(asked, turn)))
                    checkpoints.default().save(turn, "running")
                settled = await settle(turn, available, calls)
                for event in settled.events:
                    yield event
                if settled.waits:
                    checkpoints.default().save(turn, "waiting")
                    return
                turn = replace(turn, exchange=(*turn.exchange, *settled.messages))

        return handle

    return layer


# what the model asks for, as messages


def as_message(asked: Sequence[ToolCall], turn: Turn) -> dict[str, Any]:
    """The assistant message that asks for these calls. Ids that are missing or used twice are replaced."""
    used: set[str] = set()
    wired = []
    for position, call in enumerate(asked):
        call_id = _sendable(call.call_id) or f"call-{rounds_used(turn)}-{position}"
        while call_id in used:
            call_id += "-again"
        used.add(call_id)
        text = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments, ensure_ascii=False)
        function = {"name": _sendable(call.name), "arguments": _sendable(text)}
        wired.append({"id": call_id, "type": "function", "function": function})
    return {"role": "assistant", "content": None, "tool_calls": wired}


def _sendable(text: str) -> str:
    # JSON may hold half of a surrogate pair. It can be read, and never be sent or stored.
    return text.encode("utf-8", "replace").decode()


def unanswered(exchange: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tool calls at the end of the exchange that have no result yet."""
    return exchange[-1].get("tool_calls", []) if exchange else []


def rounds_used(turn: Turn) -> int:
    """How often the model has asked for tools in this turn."""
    return sum(bool(message.get("tool_calls")) for message in turn.exchange)


# running them


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of the calls of one round: events for the reader, tool messages for the model.

    `waits`: somebody must confirm first, and there are no messages yet.
    """

    events: tuple[Event, ...]
    messages: tuple[dict[str, Any], ...] = ()
    waits: bool = False


async def settle(
    turn: Turn,
    available: Sequence[Tool],
    most: int,
    refused: Mapping[int, dict[str, str]] = MappingProxyType({}),
    seconds: float = math.inf,
) -> Settled:
    """Run the unanswered calls of `turn`, together; those that need a confirmation only after a yes.

    Calls beyond `most`, and those in `refused` (position -> error), are answered with an error instead. No tool gets
    more than `seconds`. Safe to repeat: what has run is not run again.
    """
    asked = unanswered(turn.exchange)
    number = rounds_used(turn)
    plans: list[dict[str, str] | _Planned] = []
    for position, call in enumerate(asked):
        if position >= most:
            plans.append(
                tools.failed("too_many_calls", f"Only {most} calls at once.", "Ask again for what is missing.")
            )
        elif position in refused:
            plans.append(refused[position])
        else:
            plans.append(_plan(call, f"{turn.trace_id}/{number}/{position}", available))
    waiting = [plan for plan in plans if isinstance(plan, _Planned) and plan.waits]
    ready = [plan for plan in plans if isinstance(plan, _Planned) and not plan.waits]
    # Whatever needs no confirmation runs now, while the customer still thinks.
    done = dict(
        zip(
            (plan.key for plan in ready),
            await asyncio.gather(*(plan.run(turn, seconds) for plan in ready)),
            strict=True,
        )
    )
    if waiting:
        plan = waiting[0]
        token = checkpoints.default().ask(plan.key, turn, plan.question, plan.sent)
        return Settled((ConfirmationRequired(token, plan.question),), waits=True)
    events: list[Event] = []
    messages = []
    for call, plan in zip(asked, plans, strict=True):
        result = done[plan.key] if isinstance(plan, _Planned) else plan
        events.append(ToolResult(call["id"], call["function"]["name"], result))
        content = json.dumps(result, ensure_ascii=False)
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})
    return Settled(tuple(events), tuple(messages))


@dataclass(frozen=True, slots=True)
class _Planned:
    """A call that may run: its tool, its validated arguments, and the key under which it happens at most once."""

    key: str
    tool: Tool
    arguments: BaseModel
    sent: dict[str, Any]
    call_id: str = ""

    @property
    def question(self) -> str:
        return self.tool.asks(self.sent)

    @property
    def waits(self) -> bool:
        return self.tool.effect == "write" and checkpoints.default().decision(self.key, self.sent) is None

    async def run(self, turn: Turn, seconds: float = math.inf) -> Any:
        book = checkpoints.default()
        if self.tool.effect == "write" and book.decision(self.key, self.sent) != "approved":
            return tools.failed("declined", "The customer does not want this.", "Do not ask for it again.")
        has_effect = self.tool.effect != "read"
        if not book.begin(self.key, turn, self.tool.name, self.sent, survives_power_failure=has_effect):
            earlier = await self._earlier()
            if earlier is not None:
                return earlier
            if has_effect:
                return self._unknown()
        before, started = _spent(turn), time.perf_counter()
        result = await tools.run(self.tool, self.arguments, turn, seconds, self.call_id)
        if has_effect and isinstance(result, dict) and result.get("error") in UNCERTAIN:
            result = self._unknown()
        book.finish(self.key, result, time.perf_counter() - started, _spent(turn) - before)
        return result

    def _unknown(self) -> dict[str, str]:
        return tools.failed(
            "outcome_unknown",
            f"{self.tool.name} was begun, and nobody knows whether it was done.",
            "Do not repeat it. Hand over to a person, who can look.",
        )

    async def _earlier(self) -> Any:
        """The result of the same call where it runs elsewhere or has ended; None when it never ends."""
        until = time.monotonic() + (0 if self.tool.effect == "read" else self.tool.timeout)
        while True:
            action = checkpoints.default().action(self.key)
            if (action is not None and action.result is not None) or time.monotonic() > until:
                return action.result if action else None
            await asyncio.sleep(0.05)


async def run_once(tool: Tool, arguments: dict[str, Any], turn: Turn, name: str) -> Any:
    """Run a tool for our own reasons, not the model's: at most once in a run under this `name`."""
    validated = tool.arguments.model_validate(arguments)
    return await _Planned(f"{turn.trace_id}/{name}", tool, validated, validated.model_dump(mode="json")).run(turn)


def _plan(call: dict[str, Any], place: str, available: Sequence[Tool]) -> "dict[str, str] | _Planned":
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"] or "{}")
    except (ValueError, RecursionError):
        arguments = function["arguments"]
    if not isinstance(arguments, dict):
        arguments = function["arguments"]
    checked = tools.check(function["name"], arguments, available)
    if isinstance(checked, dict):
        return checked
    tool, validated = checked
    sent = validated.model_dump(mode="json")
    # Two processes that go on with one run may hear different things from the model: the same call only is the same.
    digest = hashlib.sha256(json.dumps([tool.name, sent], sort_keys=True).encode()).hexdigest()[:16]
    return _Planned(f"{place}/{digest}", tool, validated, sent, call["id"])


def _spent(turn: Turn) -> float:
    return ledger.total(ledger.default().calls(trace_id=turn.trace_id))


# going on after a person has decided


async def resume(handler: Handler, token: str, approved: bool, user: User) -> AsyncGenerator[Event, None]:
    """Go on with the turn that ended with ConfirmationRequired(token): the events of its rest.

    `handler` is the assistant that the turn was put to, or one built the same way after a restart. Calling this twice
    with the same decision does nothing twice. Raises CallerError for a token that is unknown, somebody else's, or
    decided the other way.
    """
    book = checkpoints.default()
    run = book.load(book.decide(token, approved, user), user)
    async with aclosing(handler(run.turn)) as events:
        async for event in events:
            yield event
