"""Who asked for this? A tool with an effect is used only when the customer's own words ask for it.

A model that has read a help article, a ticket or a tool's result may be speaking for whoever wrote that. So its wish to
use a tool with an effect is put to the test: the model is asked once more, with the customer's words and *nothing else*
in front of it (no document, no result, nothing that the assistant said). What it asks for then depends on the customer
alone, whatever anybody wrote elsewhere. Deciding what may be done is so kept apart from doing it.

    read      needs no test: authorization is inside the tool
    handoff   done as the second, clean call asks for it, with its arguments: nobody confirms it
    write     the customer confirms it and sees its arguments, which may rest on what was read (a delivery date); they
              hold no address but known ones

The second call is made only for a wish of this kind, so most turns do not have one.
"""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from . import faq_search, metrics, output_guard, tools
from .events import Answer, Event, Handler, Layer, ToolCall, Turn
from .faq_search import FindContact
from .output_guard import Known
from .rolling_summary import HEAD
from .tool_use import as_message
from .tools import Tool

REFUSED = {
    "en": "I can do that only when you ask me to. Tell me in your own words what you would like.",
    "de": "Das kann ich nur tun, wenn Sie mich darum bitten. Sagen Sie mir bitte, was Sie möchten.",
}


def asked_for(available: Sequence[Tool], find_contact: FindContact = faq_search.contact) -> Layer:
    """Let only those calls of tools with an effect through that the customer asked for; see the top of this file.

    `find_contact` says by tenant which addresses are ours. Stands between the agent, or `use_tools`, and the model.
    """
    effects = {tool.name: tool.effect for tool in available if tool.effect != "read"}

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            kept, refused = 0, []
            async with aclosing(inner(turn)) as events:
                async for event in events:
                    if isinstance(event, ToolCall) and event.name in effects:
                        refused.append(event)  # until the customer is found to have asked for it
                        continue
                    kept += isinstance(event, ToolCall)
                    yield event
            if not refused:
                return
            ours = output_guard.known(turn, find_contact)
            for call in _meant(refused, await _clean_calls(inner, turn, effects), effects, turn, ours):
                kept += 1
                yield call
            if not kept:
                async with aclosing(_without(inner, turn, refused, effects)) as events:
                    async for event in events:
                        yield event

        return handle

    return layer


async def _clean_calls(inner: Handler, turn: Turn, effects: dict[str, str]) -> list[ToolCall]:
    """What the model asks for when it has the customer's words and nothing else."""
    theirs = tuple(one for one in turn.history if one.role == "user" and not one.text.startswith(HEAD))
    offered = tuple(one for one in turn.tools if one["function"]["name"] in effects)
    if not offered:
        return []
    clean = replace(turn, history=theirs, documents=(), exchange=(), tools=offered)
    async with aclosing(inner(clean)) as events:
        return [event async for event in events if isinstance(event, ToolCall)]


def _meant(
    wishes: list[ToolCall], clean: list[ToolCall], effects: dict[str, str], turn: Turn, ours: Known
) -> list[ToolCall]:
    """The wishes that the customer has, too: a handoff in the clean words, a write in those of the wish."""
    asked = {call.name: call for call in reversed(clean)}
    meant: list[ToolCall] = []
    for wish in wishes:
        own = asked.get(wish.name)
        if own is None or (effects[wish.name] == "write" and _names_strangers(wish, ours)):
            metrics.count("safety.not_asked_for", tool=wish.name, tenant=turn.user.tenant)
        elif effects[wish.name] == "write":
            meant.append(wish)
        elif own not in meant:
            meant.append(own)
    return meant


def _names_strangers(call: ToolCall, ours: Known) -> bool:
    return bool(output_guard.foreign(json.dumps(call.arguments, ensure_ascii=False), ours))


async def _without(
    inner: Handler, turn: Turn, refused: list[ToolCall], effects: dict[str, str]
) -> AsyncGenerator[Event, None]:
    """The answer of a model that has been told no, and can no longer ask."""
    no = tools.failed("not_asked_for", "The customer did not ask for this.", "Answer without it.")
    wish = as_message(refused, turn)
    told = [{"role": "tool", "tool_call_id": call["id"], "content": json.dumps(no)} for call in wish["tool_calls"]]
    offered = tuple(one for one in turn.tools if one["function"]["name"] not in effects)
    again = replace(turn, exchange=(*turn.exchange, wish, *told), tools=offered)
    ended = False
    async with aclosing(inner(again)) as events:
        async for event in events:
            if isinstance(event, ToolCall) and event.name in effects:
                continue
            ended = ended or isinstance(event, Answer | ToolCall)
            yield event
    if not ended:
        text = REFUSED.get(turn.user.language, REFUSED["en"])
        yield Answer(text=text, confident=False, outcome="failure", trace_id=turn.trace_id)
