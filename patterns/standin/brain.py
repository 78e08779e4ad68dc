"""The model's mind: one function from a request to a reply.

It reads the prompt, and then does the first of these that applies: obeys an order hidden in a document (only when the
dial `gullibility` says so), calls tools, fills a schema, tells what the tools found, summarises, or answers from the
documents. Which model it is decides whether meanings or only words are compared. The dials' faults in the content are
put on top, where a real model would make them.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import choosing, embedding, filling, orders, prompt, reading, recounting, relevance, tokens, wire
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

# How the same answer may open when the request asks for variety (no seed, temperature above 0).
OPENINGS = {"en": ("", "Sure. ", "Here is what I found. ", "Happy to help. "), "de": ("", "Gern. ", "Dazu gilt: ")}


def think(request: wire.ChatRequest, model: Model, occasion: "Occasion") -> Reply:
    read = prompt.read(request.messages)
    drifted = occasion.dials.draw("drift", "drift", *occasion.content)
    meaning = _meaning if model.meaning and not drifted else None
    schema = _schema(request)
    obeys = occasion.dials.draw("gullibility", "gullibility", *occasion.content)
    if obeys and schema is None and (order := orders.gullible_order(read)) is not None:
        return Reply(text=order)
    if calls := _calls(request, read, meaning, occasion):
        return Reply(calls=calls)
    if schema is not None:
        return Reply(text=_structured(schema, read, meaning, occasion))
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
    tools = [tool.model_dump() for tool in request.tools]
    chosen = choosing.choose(
        tools, read, meaning, request.tool_choice or "auto", parallel=request.parallel_tool_calls is not False
    )
    made = []
    for position, call in enumerate(chosen):
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        if occasion.dials.draw("bad_json", "arguments", position, *occasion.content):
            arguments = _spoil_json(arguments, occasion.dials.dice("spoil", *occasion.content), ways=(_cut_short,))
        made.append(ToolCall(f"call_{wire.digest(occasion.content, position)}", call.name, arguments))
    return tuple(made)


def _prose(request: wire.ChatRequest, read: Prompt, meaning: Encode | None) -> tuple[str, bool]:
    """The text, and whether it is an answer that cites."""
    current = [result for result in read.tool_results if result.current]
    if request.tools and not current and (question := choosing.missing(
        [tool.model_dump() for tool in request.tools], read, meaning
    )):  # fmt: skip
        return question, False
    if current and not read.documents:
        return recounting.recount(current, read.question), False
    if reading.wants_summary(read):
        return reading.summarise(read, meaning).text, False
    text = reading.answer(read, meaning).text
    return text, any(f"[{document.id}]" in text for document in read.documents)


def _structured(schema: dict[str, Any], read: Prompt, meaning: Encode | None, occasion: "Occasion") -> str:
    value = filling.fill(schema, read, meaning)
    dice = occasion.dials.dice("structured", *occasion.content)
    if occasion.dials.draw("invalid_enum", "enum", *occasion.content):
        value = _with_invalid_enum(value, schema, schema)
    if occasion.dials.draw("invented_citation", "citation", *occasion.content):
        value = _with_invented_citation(value, _invented_id(read, occasion))
    text = json.dumps(value, ensure_ascii=False)
    if occasion.dials.draw("bad_json", "json", *occasion.content):
        text = _spoil_json(text, dice, ways=(_cut_short, _fenced, _in_prose))
    return text


def _spoil_json(text: str, dice: random.Random, ways: tuple[Callable[[str], str], ...]) -> str:
    return dice.choice(ways)(text)


def _cut_short(text: str) -> str:
    pieces = tokens.split(text)
    return "".join(pieces[: max(1, len(pieces) * 2 // 3)])


def _fenced(text: str) -> str:
    return f"```json\n{text}\n```"


def _in_prose(text: str) -> str:
    return f"Here is the JSON you asked for:\n\n{text}\n\nLet me know if you need anything else."


def _with_invalid_enum(value: Any, schema: Any, root: dict[str, Any]) -> Any:
    """The same value with the first enum in it replaced by a word that the schema does not allow."""
    if isinstance(schema, dict) and "$ref" in schema:
        schema = root.get("$defs", root.get("definitions", {})).get(schema["$ref"].rsplit("/", 1)[-1], {})
    if not isinstance(schema, dict):
        return value
    if (allowed := schema.get("enum")) and isinstance(value, str):
        word = f"{value}_other"
        while word in allowed:
            word += "_other"
        return word
    for option in schema.get("anyOf", ()):
        if (changed := _with_invalid_enum(value, option, root)) != value:
            return changed
    if isinstance(value, dict):
        for name, child in value.items():
            changed = _with_invalid_enum(child, schema.get("properties", {}).get(name), root)
            if changed != child:
                return value | {name: changed}
    if isinstance(value, list):
        for at, child in enumerate(value):
            changed = _with_invalid_enum(child, schema.get("items"), root)
            if changed != child:
                return [*value[:at], changed, *value[at + 1 :]]
    return value


def _with_invented_citation(value: Any, invented: str) -> Any:
    """The same value with an id that nobody gave in its first list of ids."""
    if isinstance(value, dict):
        for name, child in value.items():
            if isinstance(child, list) and name.endswith(("_ids", "citations", "sources")):
                return value | {name: [*child, invented]}
    return value


def _invented_id(read: Prompt, occasion: "Occasion") -> str:
    """An id that looks like the given ones and is none of them."""
    given = [document.id for document in read.documents]
    stem = given[0].rstrip("0123456789") if given else "doc-"
    dice = occasion.dials.dice("invented id", *occasion.content)
    return next(name for _ in range(1_000) if (name := f"{stem}{dice.randrange(100, 10_000)}") not in given)
