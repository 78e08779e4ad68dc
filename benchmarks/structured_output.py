"""Row 3: a validated value from a model, next to the SDK's `.parse()`: what the client does, without the wait.

The provider gives the same valid reply at once. A contestant counts the CPU seconds that it spends itself: waiting, and
other work on the machine, are not in the figure. All ask for the same `patterns.triage.Triage` with the same messages.
How a contest runs is in `contest.py`.
"""

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from . import contest, measure
from .measure import Entry

ROUNDS, CALLS, WARM = 15, 60, 15
PEERS = {  # with what `patterns.triage` imports and they do not bring
    "instructor": ("instructor==1.17.0", "pyyaml"),
    "pydantic-ai": ("pydantic-ai-slim[openai]==2.62.0", "pyyaml"),
}
TICKET = "The hub went dead and my door will not lock!"
REPLY = {
    "reasoning": "The customer wants the hub to work again.",
    "category": "technical",
    "priority": "high",
    "confidence": 0.92,
    "response_template": "troubleshooting",
}

# the provider: the same valid reply, whole or in pieces of four characters

TEXT = json.dumps(REPLY)
MESSAGE = {"role": "assistant", "content": TEXT, "refusal": None}
WHOLE = {
    **contest.BASE,
    "object": "chat.completion",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop", "logprobs": None}],
    "usage": {"prompt_tokens": 400, "completion_tokens": 40, "total_tokens": 440},
}
IN_ONE = contest.http(json.dumps(WHOLE).encode(), "application/json")
IN_PIECES = contest.streamed(
    *({"content": TEXT[at : at + 4]} for at in range(0, len(TEXT), 4)), finish="stop", tokens=(400, 40)
)


def choose(request: dict[str, Any]) -> bytes:
    return IN_PIECES if request.get("stream") else IN_ONE


# the contestants: each is a function that makes one call


def _messages() -> list[Any]:
    from patterns import triage
    from patterns.events import Turn

    return triage.prompt(Turn(TICKET))


def sdk_parse(url: str) -> Callable[[], Awaitable[Any]]:
    from openai import AsyncOpenAI

    from patterns.triage import Triage

    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)

    async def call() -> Any:
        made = await client.chat.completions.parse(
            model="fixed", messages=_messages(), response_format=Triage, max_tokens=300
        )
        return made.choices[0].message.parsed

    return call


def sdk_create(url: str) -> Callable[[], Awaitable[Any]]:
    """The SDK's `create`, a schema that was made once, and Pydantic: what is left when nothing is done twice."""
    from openai import AsyncOpenAI

    from patterns.schemas import response_format
    from patterns.triage import Triage

    client, wanted = AsyncOpenAI(base_url=url, api_key="none", max_retries=0), response_format(Triage)

    async def call() -> Any:
        made = await client.chat.completions.create(
            model="fixed",
            messages=_messages(),
            response_format=wanted,  # pyright: ignore[reportArgumentType]
            max_tokens=300,
        )
        return Triage.model_validate_json(made.choices[0].message.content or "")

    return call


def ours(url: str) -> Callable[[], Awaitable[Any]]:
    from patterns import triage

    async def call() -> Any:
        return (await triage.triage(TICKET)).output

    return call


def instructor(url: str) -> Callable[[], Awaitable[Any]]:
    import instructor as peer  # pyright: ignore[reportMissingImports]
    from openai import AsyncOpenAI

    from patterns.triage import Triage

    sdk = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    client = peer.from_openai(sdk, mode=peer.Mode.JSON_SCHEMA)

    async def call() -> Any:
        return await client.chat.completions.create(
            model="fixed", messages=_messages(), response_model=Triage, max_tokens=300
        )

    return call


def pydantic_ai(url: str) -> Callable[[], Awaitable[Any]]:
    from openai import AsyncOpenAI
    from pydantic_ai import Agent, NativeOutput  # pyright: ignore[reportMissingImports]
    from pydantic_ai.models.openai import OpenAIChatModel  # pyright: ignore[reportMissingImports]
    from pydantic_ai.providers.openai import OpenAIProvider  # pyright: ignore[reportMissingImports]

    from patterns.triage import INSTRUCTIONS, Triage

    provider = OpenAIProvider(openai_client=AsyncOpenAI(base_url=url, api_key="none", max_retries=0))
    agent = Agent(
        OpenAIChatModel("fixed", provider=provider),
        output_type=NativeOutput(Triage),
        system_prompt=INSTRUCTIONS,
        model_settings={"max_tokens": 300},
    )

    async def call() -> Any:
        return (await agent.run(TICKET)).output

    return call


CONTESTANTS = {make.__name__.replace("_", "-"): make for make in (sdk_parse, sdk_create, ours, instructor, pydantic_ai)}


def structured_output() -> list[Entry]:
    entrants = {name: (Path(sys.executable), name) for name in ("sdk-parse", "sdk-create", "ours")}
    others, skipped = contest.peers(PEERS, "sdk-parse")
    measured = contest.hold("benchmarks.structured_output", entrants | others, times=CALLS, rounds=ROUNDS, warm=WARM)
    cpu, base = measured.cpu, measured.cpu["sdk-parse"]
    peers: dict[str, float | str] = {**contest.against(PEERS, cpu, "sdk-parse"), **skipped}
    peers["SDK create, cached schema, model_validate_json"] = round(measure.ratio(cpu["sdk-create"], base), 2)
    took = f"{measure.milliseconds(cpu['ours'])} against {measure.milliseconds(base)} a call"
    clock = measure.ratio(measured.wall["ours"], measured.wall["sdk-parse"])
    note = (
        f"CPU time of the client, {took}; {measure.spread(cpu['ours'], base)}. By the clock: {clock:.2f}. Ours is "
        "`triage.triage`, which does more: each call is in the ledger and the budgets, the reply is validated against "
        "limits that no schema sends, and what does not fit is repaired twice and then decided by rules. Every "
        "contestant gets a valid reply here."
    )
    versions = measure.versions("openai", "pydantic", "httpx2")
    return [
        Entry(3, "structured output ÷ SDK .parse()", measure.ratio(cpu["ours"], base), "≤ 0.5", peers, versions, note)
    ]


PARTS = (structured_output,)

if __name__ == "__main__":
    contest.main(choose, CONTESTANTS, lambda given: given.model_dump() == REPLY)
