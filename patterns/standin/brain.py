"""The model's mind: one function from a request to a reply.

It reads the prompt, and then does the first of these that applies: obeys an order hidden in it (only when the dial
`gullibility` says so: with tool calls, in the fields of a schema, or in words), calls tools, fills a schema, tells what
the tools found, summarises, or answers from the documents. Which model it is decides whether meanings or only words are
compared. The dials' faults in the content are put on top, where a real model would make them.
"""

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from . import (
    choosing,
    embedding,
    filling,
    misbehaving,
    obeying,
    orders,
    prompt,
    reading,
    recounting,
    relevance,
    rubric,
    telling,
    verdicts,
    wire,
)
from .catalogue import Model
from .prompt import Prompt
from .relevance import Encode

if TYPE_CHECKING:
    from .generation import Occasion


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments` is JSON text, as on the wire."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """Either `text` or `calls`."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()


_meaning: Encode = relevance.remembering(embedding.encode)

JUDGE = "standin-judge"
"""The model that judges where it is asked to; asked anything else, it answers like the large one."""

# How the same answer may open when the request asks for variety (no seed, temperature above 0).
OPENINGS = {"en": ("", "Sure. ", "Here is what I found. ", "Happy to help. "), "de": ("", "Gern. ", "Dazu gilt: ")}


def think(request: wire.ChatRequest, model: Model, occasion: "Occasion") -> Reply:
    read = prompt.read(request.messages)
    drifted = occasion.dials.draw("drift", "drift", *occasion.content)
    meaning = _meaning if model.meaning and not drifted else None
    schema = _schema(request)
    obeys = occasion.dials.draw("gullibility", "gullibility", *occasion.content)
    obeyed = orders.orders(read) if obeys else []
    if obeyed and (calls := _ordered(request, read, meaning, obeyed, occasion)):
        return Reply(calls=calls)
    if obeyed and schema is None:
        return Reply(text=" ".join(dict.fromkeys(order.said for order in obeyed)))
    if not obeyed and (calls := _calls(request, read, meaning, occasion)):
        return Reply(calls=calls)
    if schema is not None:
        current = any(result.current for result in read.tool_results)
        if request.tools and not current and (question := choosing.missing(_functions(request), read, meaning)):
            read = replace(read, asking=question)
        judges = model.name == JUDGE and verdicts.asks(schema)
        if judges and (case := rubric.read(request.messages)) is not None:
            value = verdicts.fill(schema, case, meaning)
        else:
            value = obeying.written(filling.fill(schema, read, meaning), schema, obeyed)
        return Reply(text=_structured(value, schema, read, occasion))
    text, cites = _prose(request, read, meaning)
    if occasion.varies:
        dice = occasion.dials.dice("opening", *occasion.content)
        text = dice.choice(OPENINGS.get(read.wants_language, OPENINGS["en"])) + text
    if cites and occasion.dials.draw("invented_citation", "citation", *occasion.content):
        text += f" [{_invented_id(read, occasion)}]"
    return Reply(text=text)


def _schema(request: wire.ChatRequest) -> dict[str, Any] | None:
    form = request.response_format
    if form is None or form.type == "text":
        return None
    if form.json_schema is not None:
        return form.json_schema.schema_
    return {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}


def _calls(
    request: wire.ChatRequest, read: Prompt, meaning: Encode | None, occasion: "Occasion"
) -> tuple[ToolCall, ...]:
    if not request.tools or request.tool_choice == "none":
        return ()
    return _flooded(_again(request, occasion) or _new_calls(request, read, meaning, occasion), occasion)


def _ordered(
    request: wire.ChatRequest, read: Prompt, meaning: Encode | None, obeyed: list[orders.Order], occasion: "Occasion"
) -> tuple[ToolCall, ...]:
    """The tool calls that a hidden order asks for."""
    if not request.tools or request.tool_choice == "none":
        return ()
    asked = obeying.calls(obeyed, [tool.model_dump() for tool in request.tools], read, meaning)
    return _flooded([(name, json.dumps(values, ensure_ascii=False)) for name, values in asked], occasion)


def _flooded(calls: list[tuple[str, str]], occasion: "Occasion") -> tuple[ToolCall, ...]:
    if calls and (flood := occasion.dials.tool_flood):
        calls = [calls[position % len(calls)] for position in range(max(flood, len(calls)))]
    return tuple(
        ToolCall(f"call_{wire.digest(occasion.content, position)}", name, arguments)
        for position, (name, arguments) in enumerate(calls)
    )


def _again(request: wire.ChatRequest, occasion: "Occasion") -> list[tuple[str, str]]:
    """The last tool call once more, when the dials say that the model does not come to an end."""
    loops = occasion.dials.draw("tool_loop", "loop", *occasion.content)
    roams = occasion.dials.draw("tool_roam", "roam", *occasion.content)
    if not (loops or roams) or (last := misbehaving.last_call(request.messages)) is None:
        return []
    name, arguments = last
    if name not in (offered := _offered(request)):
        return []
    return [(name, misbehaving.roamed(arguments, offered[name]) if roams else arguments)]


def _functions(request: wire.ChatRequest) -> list[dict[str, Any]]:
    return [tool.model_dump() for tool in request.tools or ()]


def _offered(request: wire.ChatRequest) -> dict[str, dict[str, Any]]:
    """The parameters of every tool that may be called now."""
    offered = {tool.function.name: tool.function.parameters for tool in request.tools or ()}
    if isinstance(request.tool_choice, dict):
        named = request.tool_choice["function"]["name"]
        return {named: offered[named]}
    return offered


def _new_calls(
    request: wire.ChatRequest, read: Prompt, meaning: Encode | None, occasion: "Occasion"
) -> list[tuple[str, str]]:
    chosen = choosing.choose(
        _functions(request),
        read,
        meaning,
        request.tool_choice or "auto",
        parallel=request.parallel_tool_calls is not False,
    )
    offered, dials, made = _offered(request), occasion.dials, []
    for position, call in enumerate(chosen):
        values = call.arguments
        if dials.draw("invented_arguments", "invented", position, *occasion.content):
            dice = dials.dice("invented argument", position, *occasion.content)
            values = misbehaving.with_invented_argument(values, offered[call.name], dice)
        arguments = json.dumps(values, ensure_ascii=False)
        if dials.draw("bad_json", "arguments", position, *occasion.content):
            arguments = misbehaving.cut_short(arguments)
        made.append((call.name, arguments))
    return made


def _prose(request: wire.ChatRequest, read: Prompt, meaning: Encode | None) -> tuple[str, bool]:
    """The text, and whether it is an answer that cites."""
    current = [result for result in read.tool_results if result.current]
    if request.tools and not current and (question := choosing.missing(_functions(request), read, meaning)):
        return question, False
    if current and not read.documents:
        return recounting.recount(current, read.question), False
    if reading.wants_summary(read):
        return reading.summarise(read, meaning).text, False
    text = telling.answer(read, meaning).text
    return text, any(f"[{document.id}]" in text for document in read.documents)


def _structured(value: Any, schema: dict[str, Any], read: Prompt, occasion: "Occasion") -> str:
    """The value as JSON text, with what the dials do to it."""
    dice = occasion.dials.dice("structured", *occasion.content)
    if occasion.dials.draw("invalid_enum", "enum", *occasion.content):
        value = misbehaving.with_invalid_enum(value, schema, schema)
    if occasion.dials.draw("invented_citation", "citation", *occasion.content):
        value = misbehaving.with_invented_citation(value, _invented_id(read, occasion))
    text = json.dumps(value, ensure_ascii=False)
    if occasion.dials.draw("bad_json", "json", *occasion.content):
        text = misbehaving.spoiled(text, dice)
    return text


def _invented_id(read: Prompt, occasion: "Occasion") -> str:
    """An id that looks like the given ones and is none of them."""
    given = [document.id for document in read.documents]
    stem = given[0].rstrip("0123456789") if given else "doc-"
    dice = occasion.dials.dice("invented id", *occasion.content)
    return next(name for _ in range(1_000) if (name := f"{stem}{dice.randrange(100, 10_000)}") not in given)
