"""Row 2: a loop of two model calls with a tool between them, next to the same loop written by hand on the SDK.

The provider streams a call of `double` to a request without a tool's result, and the answer to one with a result. Each
contestant streams both replies, and makes the same two requests. Timed by the clock, since writing things down costs
waiting too; the CPU time is in the note. How a contest runs is in `contest.py`.
"""

import json
import statistics
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from . import contest, measure
from .measure import Entry

ROUNDS, LOOPS, WARM = 21, 20, 10
PEERS = {
    "haystack": ("haystack-ai==3.4.1",),
    "langchain": ("langchain==1.5.2", "langchain-openai==1.7.4"),
    "pydantic-ai": ("pydantic-ai-slim[openai]==2.62.0",),
}
QUESTION = "How much is twice 21?"
ANSWER = "Twice 21 is 42."
INSTRUCTIONS = "Answer the question. Use the tool to double a number."

# the provider: a call of the tool first, the answer when there is its result

OPENING = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "double", "arguments": ""}}
CALL = contest.streamed(
    {"role": "assistant", "content": None, "tool_calls": [OPENING]},
    *({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in ('{"num', 'ber": ', "21}")),
    finish="tool_calls",
    tokens=(100, 10),
)
REPLY = contest.streamed(
    {"role": "assistant", "content": ""},
    *({"content": piece} for piece in ("Twice", " 21", " is", " 42", ".")),
    finish="stop",
    tokens=(100, 10),
)


def choose(request: dict[str, Any]) -> bytes:
    return REPLY if request["messages"][-1]["role"] == "tool" else CALL


# the contestants: each is a function that runs one loop and returns the answer


def by_hand(url: str) -> Callable[[], Awaitable[str]]:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    parameters = {
        "type": "object",
        "properties": {"number": {"type": "integer"}},
        "required": ["number"],
        "additionalProperties": False,
    }
    function = {"name": "double", "description": "Twice a number.", "parameters": parameters, "strict": True}
    offered: Any = [{"type": "function", "function": function}]

    async def loop() -> str:
        messages: list[Any] = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": QUESTION}]
        while True:
            text, calls = "", dict[int, dict[str, Any]]()
            stream = await client.chat.completions.create(
                model="fixed", messages=messages, tools=offered, stream=True, stream_options={"include_usage": True}
            )
            async for chunk in stream:
                if not chunk.choices:
                    continue
                delta = chunk.choices[0].delta
                text += delta.content or ""
                for piece in delta.tool_calls or ():
                    call = calls.setdefault(piece.index, {"id": piece.id, "name": "", "arguments": ""})
                    if piece.function:
                        call["name"] += piece.function.name or ""
                        call["arguments"] += piece.function.arguments or ""
            if not calls:
                return text
            asked = [
                {"id": one["id"], "type": "function", "function": {"name": one["name"], "arguments": one["arguments"]}}
                for one in calls.values()
            ]
            messages.append({"role": "assistant", "content": None, "tool_calls": asked})
            for one in calls.values():
                result = json.loads(one["arguments"])["number"] * 2
                messages.append({"role": "tool", "tool_call_id": one["id"], "content": json.dumps(result)})

    return loop


def _ours(layers: Callable[[Any], tuple[Any, ...]]) -> Callable[[], Awaitable[str]]:
    from patterns.core import model_call
    from patterns.events import Turn, answer, stack
    from patterns.tools import tool

    def double(number: int) -> int:
        """Twice a number."""
        return number * 2

    def prompt(turn: Turn) -> list[dict[str, Any]]:
        return [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": turn.text}]

    handler = stack(model_call(prompt), *layers(tool(double)))

    async def loop() -> str:
        return (await answer(handler, Turn(QUESTION))).text

    return loop


def tool_use(url: str) -> Callable[[], Awaitable[str]]:
    from patterns.tool_use import use_tools

    return _ours(lambda double: (use_tools([double]),))


def agent(url: str) -> Callable[[], Awaitable[str]]:
    from patterns.agent_loop import agent
    from patterns.bounds import bounded

    return _ours(lambda double: (agent([double]), bounded()))


def haystack(url: str) -> Callable[[], Awaitable[str]]:
    from haystack.components.agents import Agent  # pyright: ignore[reportMissingImports]
    from haystack.components.generators.chat import OpenAIChatGenerator  # pyright: ignore[reportMissingImports]
    from haystack.dataclasses import ChatMessage, StreamingChunk  # pyright: ignore[reportMissingImports]
    from haystack.tools import tool  # pyright: ignore[reportMissingImports]
    from haystack.utils import Secret  # pyright: ignore[reportMissingImports]

    @tool
    def double(number: int) -> int:
        """Twice a number."""
        return number * 2

    async def seen(chunk: StreamingChunk) -> None:
        pass

    model = OpenAIChatGenerator(Secret.from_token("none"), "fixed", api_base_url=url, max_retries=0)
    agent = Agent(chat_generator=model, tools=[double], system_prompt=INSTRUCTIONS, streaming_callback=seen)
    agent.warm_up()

    async def loop() -> str:
        made = await agent.run_async([ChatMessage.from_user(QUESTION)])
        return made["messages"][-1].text

    return loop


def langchain(url: str) -> Callable[[], Awaitable[str]]:
    from langchain.agents import create_agent  # pyright: ignore[reportMissingImports]
    from langchain_openai import ChatOpenAI  # pyright: ignore[reportMissingImports]

    def double(number: int) -> int:
        """Twice a number."""
        return number * 2

    model = ChatOpenAI(model="fixed", base_url=url, api_key="none", max_retries=0, streaming=True, stream_usage=True)
    agent = create_agent(model, [double], system_prompt=INSTRUCTIONS)

    async def loop() -> str:
        made = await agent.ainvoke({"messages": [{"role": "user", "content": QUESTION}]})
        return made["messages"][-1].text

    return loop


def pydantic_ai(url: str) -> Callable[[], Awaitable[str]]:
    from openai import AsyncOpenAI
    from pydantic_ai import Agent  # pyright: ignore[reportMissingImports]
    from pydantic_ai.models.openai import OpenAIChatModel  # pyright: ignore[reportMissingImports]
    from pydantic_ai.providers.openai import OpenAIProvider  # pyright: ignore[reportMissingImports]

    provider = OpenAIProvider(openai_client=AsyncOpenAI(base_url=url, api_key="none", max_retries=0))
    agent = Agent(OpenAIChatModel("fixed", provider=provider), system_prompt=INSTRUCTIONS)

    @agent.tool_plain
    def double(number: int) -> int:
        """Twice a number."""
        return number * 2

    async def loop() -> str:
        async with agent.run_stream(QUESTION) as made:
            return await made.get_output()

    return loop


OURS = {"tool_use": tool_use, "agent": agent}
CONTESTANTS = {"by-hand": by_hand, **OURS, "haystack": haystack, "langchain": langchain, "pydantic-ai": pydantic_ai}


def two_step_tool_loop() -> list[Entry]:
    entrants = {name: (Path(sys.executable), name) for name in ("by-hand", *OURS)}
    others, skipped = contest.peers(PEERS, "by-hand")
    silent = {"HAYSTACK_TELEMETRY_ENABLED": "False", "LANGSMITH_TRACING": "false"}
    measured = contest.hold(
        "benchmarks.tool_loop", entrants | others, times=LOOPS, rounds=ROUNDS, warm=WARM, extra=silent
    )
    wall, base = measured.wall, measured.wall["by-hand"]
    peers = contest.against(PEERS, wall, "by-hand") | skipped
    versions = measure.versions("openai", "pydantic", "httpx2")
    entries = []
    for name, does in (
        ("tool_use", "every model call is in the ledger and the budgets, and every tool call in the checkpoints"),
        ("agent", "besides: the caps on steps, dollars and seconds, duplicate calls, and the run saved at each step"),
    ):
        took = f"{measure.milliseconds(wall[name])} against {measure.milliseconds(base)}"
        note = (
            f"By the clock, {took} for two model calls; {measure.spread(wall[name], base)}. CPU time alone: "
            f"{measure.ratio(measured.cpu[name], measured.cpu['by-hand']):.2f}. The floor is the SDK's own two calls, "
            f"{1000 * statistics.median(base) / 2:.2g} ms each, on a provider that answers at once. "
            f"Ours does more: {does}."
        )
        metric = f"two-step tool loop ÷ hand-written loop, {name}"
        ratio = measure.ratio(wall[name], base)
        entries.append(Entry(2, metric, ratio, "≤ 1.05", peers if name == "tool_use" else {}, versions, note))
    return entries


PARTS = (two_step_tool_loop,)

if __name__ == "__main__":
    contest.main(choose, CONTESTANTS, lambda answer: answer == ANSWER)
