"""How often a model asks for the right tool: against the number of tools, and against how they are described.

The tools and requests are in `data/evals/tool_choice.yaml`; nothing is run, only asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from . import acme, calls
from .core import support_prompt
from .events import Turn, User
from .models import TierName


@dataclass(frozen=True, slots=True)
class Request:
    """What a customer says, and the name of the one tool that is right; "" where none is."""

    say: str
    tool: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """`sets` are lists of tools as on the wire, by name: "5", "10", "20", "40", "overlapping", "vague", "catch-all"."""

    sets: Mapping[str, tuple[dict[str, Any], ...]]
    requests: tuple[Request, ...]


def load() -> Catalogue:
    """The sets and requests of the data folder."""
    data = yaml.safe_load((acme.data_folder() / "evals" / "tool_choice.yaml").read_text(encoding="utf-8"))
    described = data["tools"]
    five = described[:5]
    sets = {str(count): described[:count] for count in (5, 10, 20, 40)}
    sets["overlapping"] = [*five, *data["overlapping"]]
    sets["vague"] = [{**one, "description": data["vague"][one["name"]]} for one in five]
    sets["catch-all"] = [data["catch_all"], *five]
    wired = {name: tuple(map(_wire, chosen)) for name, chosen in sets.items()}
    return Catalogue(wired, tuple(Request(**one) for one in data["requests"]))


def _wire(described: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: {"type": "string", "description": text} for name, text in described["parameters"].items()}
    schema = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    function = {"name": described["name"], "description": described["description"], "parameters": schema}
    return {"type": "function", "function": {**function, "strict": True}}


async def asked_for(say: str, tools: Sequence[dict[str, Any]], tier: TierName) -> tuple[str, ...]:
    """The names of the tools that the model asks for."""
    turn = Turn(say, User(), tools=tuple(tools), feature="tool_choice")
    stream = calls.stream(
        support_prompt(turn), tier=tier, tools=turn.tools, feature=turn.feature, trace_id=turn.trace_id
    )
    async for piece in stream:
        if not isinstance(piece, str):
            return tuple(call.name for call in piece.tool_calls)
    return ()


async def accuracy(requests: Sequence[Request], tools: Sequence[dict[str, Any]], tier: TierName) -> float:
    """The share of requests for which the model asks for the right tool and for no other."""
    right = 0
    for request in requests:
        right += set(await asked_for(request.say, tools, tier)) == ({request.tool} - {""})
    return right / len(requests)
