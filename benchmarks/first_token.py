"""Row "first token": what the whole stack costs before the first word, and how soon a Stop reaches the provider.

First token: a `Turn` through the assistant of notebook 01, next to a plain SDK stream of the very same messages to the
same stand-in under the same key, in the same event loop. The SDK's prompt is made beforehand; the stack picks the
articles and makes its own within the time. Once with all waiting dials at 0, which is the hard case and the number that
counts, and once at the stand-in's own speed. Both read every answer to its end, so connections stay open.

Stop: from the moment at which the reader goes away until the stand-in's log says "aborted", and how many tokens the
stand-in made after the connection was closed. Stopped in two ways: by cancelling the reader's task at a
random moment, as a Stop button does, and by a `break` after a random number of tokens.
"""

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from . import measure
from .measure import Entry

HARD_ROUNDS, OWN_SPEED_ROUNDS = 60, 7
STOPS, SEED = 20, 11
PATIENCE = 5.0  # seconds until a stop counts as never arrived
QUESTION = "How do I return a plug?"
LONG_QUESTION = "Explain in detail, step by step, how returns and refunds work."
VERSIONS = ("openai", "httpx2", "uvicorn", "starlette")

Read = Callable[[], Coroutine[Any, Any, float]]


async def until_first(pieces: AsyncIterator[bool]) -> float:
    """Read to the end; the seconds until the first piece that is True."""
    started, first = time.perf_counter(), 0.0
    async for is_text in pieces:
        if is_text and not first:
            first = time.perf_counter() - started
    if not first:
        raise RuntimeError("The answer had no text.")
    return first


def readers(close: list[Callable[[], Coroutine[Any, Any, None]]]) -> dict[str, Read]:
    """The contestants. What has to be closed afterwards is added to `close`."""
    from openai import AsyncOpenAI

    from patterns import TextDelta, Turn, acme, calls, complete_assistant, core, models

    customer, chosen = acme.user("C-0001"), models.provider()
    tier = chosen.tier("large")
    documents = acme.pick(QUESTION, customer, 3)
    messages: Any = core.support_prompt(Turn(QUESTION, customer, documents=documents))
    assistant = complete_assistant.build(through="streaming_ux")
    client = AsyncOpenAI(base_url=chosen.base_url, api_key=chosen.key)
    close += [client.close, models.close]

    async def stack() -> float:
        async def pieces() -> AsyncIterator[bool]:
            async with aclosing(assistant(Turn(QUESTION, customer))) as events:
                async for event in events:
                    yield isinstance(event, TextDelta)

        return await until_first(pieces())

    async def one_call() -> float:
        async def pieces() -> AsyncIterator[bool]:
            async with aclosing(calls.stream(messages)) as parts:
                async for part in parts:
                    yield isinstance(part, str)

        return await until_first(pieces())

    async def sdk() -> float:
        async def pieces() -> AsyncIterator[bool]:
            stream = await client.chat.completions.create(
                model=tier.model,
                messages=messages,
                stream=True,
                stream_options={"include_usage": True},
                **tier.params,
            )
            async for chunk in stream:
                yield bool(chunk.choices and chunk.choices[0].delta.content)

        return await until_first(pieces())

    return {"stack": stack, "calls.stream": one_call, "SDK": sdk}


def time_to_first_token() -> list[Entry]:
    from patterns.course import control

    close: list[Callable[[], Coroutine[Any, Any, None]]] = []
    with measure.standin(), asyncio.Runner() as runner:
        reads = readers(close)
        contestants = {name: lambda read=read: runner.run(read()) for name, read in reads.items()}
        try:
            control.turn(time_to_first_token=0, tokens_per_second=1e6)
            measure.interleaved(contestants, 3)  # warm: connections, caches, code
            hard = measure.interleaved(contestants, HARD_ROUNDS)
            picking = [_picking() for _ in range(HARD_ROUNDS)]
            control.turn()
            measure.interleaved(contestants, 1)
            own = measure.interleaved(contestants, OWN_SPEED_ROUNDS)
        finally:
            control.turn()
            for step in close:
                runner.run(step())

    def entry(case: str, measured: dict[str, list[float]], remark: str) -> Entry:
        ours, theirs = measured["stack"], measured["SDK"]
        alone = measure.ratio(measured["calls.stream"], theirs)
        note = (
            f"{measure.milliseconds(ours)} against {measure.milliseconds(theirs)}; {measure.spread(ours, theirs)}; "
            f"calls.stream alone {alone:.3f}. {remark}"
        )
        metric = f"time to first token, whole stack ÷ plain SDK stream, {case}"
        return Entry("first token", metric, measure.ratio(ours, theirs), "≤ 1.2", {}, measure.versions(*VERSIONS), note)

    return [
        entry("no waiting", hard, f"Of the stack's time, picking the articles takes {measure.milliseconds(picking)}."),
        entry("own speed", own, "Dominated by the stand-in's own time to first token."),
    ]


def _picking() -> float:
    from patterns import acme

    started = time.perf_counter()
    acme.pick(QUESTION, acme.user("C-0001"), 3)
    return time.perf_counter() - started


def stop() -> list[Entry]:
    entries = []
    for title, breaks in (("reader cancelled at a random moment", False), ("break after a random token", True)):
        with measure.standin():
            stops = asyncio.run(_stops(breaks))
        seen, own, after, unread = ([stop[index] for stop in stops] for index in range(4))
        note = (
            f"{len(stops)} stops, seed {SEED}; median {statistics.median(seen):.1f} ms, with reading the log over "
            f"HTTP; by the times in the log the median is {statistics.median(own):.1f} ms."
        )
        versions = measure.versions(*VERSIONS)
        metric = f"Stop, {title}: slowest until the log says 'aborted', ms"
        entries.append(Entry("first token", metric, max(seen), "≤ 200", {}, versions, note))
        note = (
            f"{sum(count > 0 for count in unread)} of {len(stops)} stops found tokens on their way that the reader no "
            f"longer got, at most {max(unread)}."
        )
        metric = f"Stop, {title}: tokens made after the connection was closed"
        entries.append(Entry("first token", metric, sum(after), "= 0", {}, versions, note))
    return entries


async def _stops(breaks: bool) -> list[tuple[float, float, int, int]]:
    """Of each stop: milliseconds until the log says so, the same by the log's times, tokens made after the connection
    was closed, tokens that nobody got."""
    from patterns import TextDelta, Turn, acme, complete_assistant, models
    from patterns.course import control

    assistant, customer = complete_assistant.build(through="streaming_ux"), acme.user("C-0001")
    draw, received, left_at = random.Random(SEED), 0, 0.0

    async def read(most: int | None = None) -> None:
        nonlocal received, left_at
        received = 0
        async with aclosing(assistant(Turn(LONG_QUESTION, customer))) as events:
            async for event in events:
                received += isinstance(event, TextDelta)
                if most is not None and received >= most:
                    left_at = time.time()
                    break

    await read()  # warm
    started = time.time()
    await read()
    whole, length = time.time() - started, received
    results = []
    for _ in range(STOPS):
        number = len(control.provider_log())
        if breaks:
            await read(draw.randrange(1, length - 1))
        else:
            reader = asyncio.create_task(read())
            await asyncio.sleep(draw.uniform(0.05, 0.8 * whole))  # by 50 ms the request has reached the stand-in
            left_at = time.time()
            reader.cancel()
            await asyncio.wait({reader})
        at_close = control.provider_log()[number]["tokens_sent"]  # the connection is closed now
        seen = await _until_aborted(number, left_at)
        entry = (await control.settled_log())[number]
        own = entry["started"] + entry["seconds"] - left_at
        sent = entry["tokens_sent"]
        results.append((1000 * seen, 1000 * own, sent - at_close, sent - received))
    await models.close()
    return results


async def _until_aborted(number: int, left_at: float) -> float:
    """Seconds from `left_at` (Unix time) until request `number` stands in the log as aborted and settled."""
    from patterns.course import control

    while time.time() - left_at < PATIENCE:
        log = control.provider_log()
        if len(log) > number and log[number]["ended"] == "aborted" and log[number]["seconds"]:
            return time.time() - left_at
        await asyncio.sleep(0.002)
    raise RuntimeError(f"{PATIENCE:g} s after a Stop, the stand-in's log did not say 'aborted'.")


PARTS = (time_to_first_token, stop)
