"""The assistant of the capstone, as somebody left it: each layer works when it is tried once, and breaks a promise.

Nothing here is to be copied. Notebook 14 puts these layers around the model and asks what is wrong.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

from .. import acme, acme_tools, agent_loop, core, rag, structured_output
from ..errors import LimitHit, ProviderError
from ..events import Answer, Event, Handler, Layer, TextDelta, Turn, stack


def remember(inner: Handler) -> Handler:
    """Answer a question that was asked before from memory."""
    kept: dict[str, Answer] = {}

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        if old := kept.get(turn.text):
            yield TextDelta(old.text)
            yield old.model_copy(update={"served": "cached"})
            return
        async for event in inner(turn):
            if isinstance(event, Answer):
                kept[turn.text] = event
            yield event

    return handle


def counted(limit: int) -> Layer:
    """Let one person ask `limit` times."""

    def layer(inner: Handler) -> Handler:
        asked = Counter[str]()

        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            if asked[turn.user.id] >= limit:
                raise LimitHit(f"You have asked {limit} times.", "Try again in a minute.", "rate_limit")
            try:
                async for event in inner(turn):
                    yield event
            finally:
                asked[turn.user.id] += 1

        return handle

    return layer


def again(attempts: int) -> Layer:
    """Ask again when the provider fails."""

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            for attempt in range(1, attempts + 1):
                try:
                    async for event in inner(turn):
                        yield event
                    return
                except ProviderError:
                    if attempt == attempts:
                        raise

        return handle

    return layer


def read_ahead(inner: Handler) -> Handler:
    """Take the model's words as they come, so that a slow screen does not hold it up."""

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        ready: asyncio.Queue[Event | Exception | None] = asyncio.Queue()

        async def read() -> None:
            try:
                async for event in inner(turn):
                    ready.put_nowait(event)
                ready.put_nowait(None)
            except Exception as error:
                ready.put_nowait(error)

        reader = asyncio.ensure_future(read())
        _readers.add(reader)
        reader.add_done_callback(_readers.discard)
        while (item := await ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    return handle


_readers: set[asyncio.Future[None]] = set()


def prompt(turn: Turn) -> list[dict[str, Any]]:
    """Instructions, documents, history, question."""
    said = core.INSTRUCTIONS.format(tenant=turn.user.tenant) + "\n\n" + core.WITH_TOOLS.format(today=acme.today())
    for one in turn.documents:
        said += f'\n\n<DOC id="{one.id}" title="{one.title}">\n{one.text}\n</DOC>'
    history = [{"role": message.role, "content": message.text} for message in turn.history]
    return [{"role": "system", "content": said}, *history, {"role": "user", "content": turn.text}]


def assistant() -> Handler:
    return stack(
        core.model_call(prompt, max_tokens=1_000),
        remember,
        counted(20),
        rag.retrieve(rag.acme_index, fresh_since=rag.fresh_since),
        agent_loop.agent(rag.TOOLS, handoff=acme_tools.escalate_to_human),
        again(3),
        rag.grounded,
        again(3),
        structured_output.structured(),
        read_ahead,
    )
