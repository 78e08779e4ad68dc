"""The bare assistant, watched at the provider: for the exercises that must stop a stream."""

import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any

from ...events import Event, Handler, TextDelta, Turn
from .. import control
from . import NotYet

QUESTION = "Explain step by step how returns and refunds work."


class Watched:
    """The bare assistant, watched: when its first piece came, and its streams held, so that none closes by accident."""

    def __init__(self) -> None:
        self._streams: list[Any] = []
        self.first_token: float | None = None

    def __call__(self, turn: Turn) -> AsyncGenerator[Event, None]:
        from ... import complete_assistant

        stream = self._follow(complete_assistant.build(through="start_here"), turn)
        self._streams.append(stream)
        return stream

    async def _follow(self, handler: Handler, turn: Turn) -> AsyncGenerator[Event, None]:
        started = time.perf_counter()
        async with aclosing(handler(turn)) as events:
            async for event in events:
                if self.first_token is None and isinstance(event, TextDelta):
                    self.first_token = time.perf_counter() - started
                yield event

    async def let_go(self) -> None:
        for stream in self._streams:
            await stream.aclose()


async def stops_early(run: Awaitable[Any], watched: Watched, most: int) -> Any:
    """Run, and on the stand-in make sure that the provider sent at most `most` pieces and was then stopped."""
    before = {entry["request_id"] for entry in control.provider_log()}
    try:
        result = await run
        entries = [entry for entry in await control.settled_log(patience=1.0) if entry["request_id"] not in before]
    finally:
        await watched.let_go()
    if not control.has_dials():
        return result
    if not entries:
        raise NotYet("the provider saw no request.")
    last = entries[-1]
    if last["ended"] == "running":
        raise NotYet(
            "the provider goes on generating. Close the stream when you have enough: `async with aclosing(...)`."
        )
    if last["ended"] != "aborted":
        raise NotYet(f"the provider generated all {last['tokens_sent']} tokens. Close the stream when you have enough.")
    if last["tokens_sent"] > most:
        raise NotYet(f"the provider had sent {last['tokens_sent']} tokens before it was stopped; {most} are enough.")
    return result
