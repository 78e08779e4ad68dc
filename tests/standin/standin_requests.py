"""What the tests of the provider ask: an invented aquarium, which has nothing to do with the course's own data."""

import json
from collections.abc import Callable
from typing import Any

Turn = Callable[..., None]  # sets the dials of this test's key
Log = Callable[[], list[dict[str, Any]]]  # reads the log of this test's key

SMALL, LARGE = "standin-small", "standin-large"
FAST = {"time_to_first_token": 0, "tokens_per_second": 1e6}
DOCUMENTS = """Answer only from these documents and cite them as [id].
<DOC id="aqua-1">
The aquarium opens at nine in the morning. A ticket costs seven crowns. Children under six enter free.
</DOC>
<DOC id="aqua-2">
The otters are fed at noon. The penguins are fed at three. Glass cases must not be touched.
</DOC>"""
QUESTION = "When are the otters fed?"


def chat(question: str = QUESTION, system: str = DOCUMENTS, **fields: Any) -> dict[str, Any]:
    """The body of a chat completion, with a seed, so that the answer is the same each time."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return {"model": SMALL, "messages": messages, "seed": 7} | fields


def tool(name: str, description: str, **parameters: str) -> dict[str, Any]:
    """A strict function tool; each parameter is a string with that description."""
    properties = {key: {"type": "string", "description": value} for key, value in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": schema, "strict": True},
    }


TOOLS = [
    tool("feeding_time", "When an animal is fed.", animal="Name of the animal"),
    tool("ticket_price", "What a ticket for the aquarium costs.", visitor="child or adult"),
    tool("tank_temperature", "How warm the water in a tank is.", tank_id="Number of the tank, like T-12"),
]
SEVERAL = "How warm is the water in tank T-12, and how warm is the water in tank T-40?"


def schema_format(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A strict `response_format` with these properties."""
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "form", "strict": True, "schema": schema | more}}


def frames(body: bytes) -> list[Any]:
    """The decoded `data:` lines of an event stream, without `[DONE]`."""
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def text_of(chunks: list[Any]) -> str:
    """The text of a streamed chat completion."""
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
