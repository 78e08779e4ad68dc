"""Row 1: what the guards cost a request, next to the raw SDK call that they stand around.

By hand: the SDK streams one answer. Ours: the same request through kill switch, rate limit, response cache (a miss,
and the answer stored), budget, ledger of calls and of requests. The provider answers at once, so the figure is what
stands between a request and its model, and nothing else. Every question is a new one.
"""

import itertools
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from . import contest, measure
from .measure import Entry

ROUNDS, CALLS, WARM = 21, 40, 15
PEERS = {
    "langchain": ("langchain==1.5.2", "langchain-openai==1.7.4"),
    "litellm": ("litellm==1.110.2",),
}
INSTRUCTIONS = "Answer the question."
ANSWER = "Returns are free within 30 days."
QUESTIONS = itertools.count(1)
REPLY = contest.streamed(
    {"role": "assistant", "content": ""},
    *({"content": word} for word in ANSWER.replace(" ", "\0 ").split("\0")),
    finish="stop",
    tokens=(100, 10),
)


def choose(request: dict[str, Any]) -> bytes:
    return REPLY


def _question() -> str:
    return f"Question {next(QUESTIONS)}: what about returns?"


def _messages(question: str) -> list[Any]:
    return [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": question}]


def sdk(url: str) -> Callable[[], Awaitable[str]]:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)

    async def call() -> str:
        text = ""
        stream = await client.chat.completions.create(
            model="fixed", messages=_messages(_question()), stream=True, stream_options={"include_usage": True}
        )
        async for chunk in stream:
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
        return text

    return call


def ours(url: str) -> Callable[[], Awaitable[str]]:
    from patterns import caching, cost_control, tracing
    from patterns.core import model_call
    from patterns.events import Turn, answer

    async def recipe(turn: Turn) -> str:
        return "the same for all"

    handler = tracing.stack(
        model_call(lambda turn: _messages(turn.text)),
        cost_control.recorded,
        cost_control.kill_switch,
        cost_control.rate_limited(limit=1_000_000, seconds=60),
        caching.response_cache(recipe),
    )

    async def call() -> str:
        return (await answer(handler, Turn(_question()))).text

    return call


def langchain(url: str) -> Callable[[], Awaitable[str]]:
    from langchain_openai import ChatOpenAI  # pyright: ignore[reportMissingImports]

    model = ChatOpenAI(model="fixed", base_url=url, api_key="none", max_retries=0, stream_usage=True)

    async def call() -> str:
        text = ""
        async for chunk in model.astream(_messages(_question())):
            text += chunk.text
        return text

    return call


def litellm(url: str) -> Callable[[], Awaitable[str]]:
    from litellm import acompletion  # pyright: ignore[reportMissingImports]

    async def call() -> str:
        text = ""
        stream = await acompletion(
            "openai/fixed",
            _messages(_question()),
            api_base=url,
            api_key="none",
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
        return text

    return call


CONTESTANTS = {"sdk": sdk, "ours": ours, "langchain": langchain, "litellm": litellm}


def guard_stack() -> list[Entry]:
    entrants = {name: (Path(sys.executable), name) for name in ("sdk", "ours")}
    others, skipped = contest.peers(PEERS, "sdk")
    # Without a price there is no budget to hold. LiteLLM would ask the network for its prices.
    extra = {"PATTERNS_PROVIDER": "standin", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    measured = contest.hold("benchmarks.guards", entrants | others, times=CALLS, rounds=ROUNDS, warm=WARM, extra=extra)
    wall, base = measured.wall, measured.wall["sdk"]
    note = (
        f"By the clock, {measure.milliseconds(wall['ours'])} against {measure.milliseconds(base)}; "
        f"{measure.spread(wall['ours'], base)}. CPU time alone: "
        f"{measure.ratio(measured.cpu['ours'], measured.cpu['sdk']):.2f}. Ours posts the request "
        "and reads the reply as plain JSON, without the SDK's classes, which pays for the guards. Spans are off, as "
        "they are until somebody asks for them; the trace id that all rows of a request share is there."
    )
    return [
        Entry(
            1,
            "full guard stack ÷ raw SDK call",
            measure.ratio(wall["ours"], base),
            "≤ 1.05",
            contest.against(PEERS, wall, "sdk") | skipped,
            measure.versions("openai", "httpx2"),
            note,
        )
    ]


PARTS = (guard_stack,)

if __name__ == "__main__":
    contest.main(choose, CONTESTANTS, lambda text: text == ANSWER)
