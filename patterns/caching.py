"""Caching: an answer that was given is given again, only to those who may have it, and only while it is still true.

The two layers that notebook 07 puts around the assistant, in the order in which a request meets them:

    response_cache      the same question in the same circumstances (`cache_keys.py`); the same asked at the same moment
                        is one call (`singleflight.py`); in an outage the last answer, marked as stale
    semantic_cache      the same question in other words (`semantic_cache.py`), unless something says that it is another
                        question (`semantic_guard.py`)

Never kept: an error, an apology, an answer that is unsure or cut off, one for which a tool was called, and any that
follows personal data (`pii.py`). `forget` removes what is kept of a tenant.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from . import acme, backend, cache_keys, calls, core, metrics, models, rag
from .errors import ProviderError
from .events import Answer, Event, Handler, Layer, Partial, Reset, TextDelta, Turn, User
from .kept_answers import look_up, pack, store
from .semantic_cache import THRESHOLDS, SemanticMemory, remember
from .singleflight import Flights
from .structured_output import ChatAnswer
from .tools import Tool

if TYPE_CHECKING:
    import numpy as np

Recipe = Callable[[Turn], Awaitable[str]]
Keep = Callable[[Answer], Awaitable[None]]

APOLOGIES = ("simplified", "unavailable")  # ways to be served that an earlier answer is better than


async def recipe_of(turn: Turn, open_index: rag.OpenIndex, tools: Sequence[Tool], today: Callable[[], date]) -> str:
    """What makes an answer of the assistant besides the turn: models, prompt, schema, tools, today, the articles."""
    articles = (await open_index()).version(turn.user.tenant)
    return f"{cache_keys.models_of(models.provider())} {_prompt_version(tuple(tools))} {today()} {articles}"


async def acme_recipe(turn: Turn) -> str:
    return await recipe_of(turn, rag.acme_index, rag.TOOLS, acme.today)


@lru_cache(maxsize=16)
def _prompt_version(tools: tuple[Tool, ...]) -> str:
    wired = [tool.wire for tool in tools]
    return cache_keys.digest([core.INSTRUCTIONS, core.WITH_TOOLS, ChatAnswer.model_json_schema(), wired])


def tag(tenant: str) -> str:
    """What every answer of a tenant is tagged with."""
    return f"answers {tenant}"


def tags(user: User) -> list[str]:
    """What an answer to `user` is tagged with: it goes with the tenant, and with whoever asked first."""
    return [tag(user.tenant), f"user:{user.tenant}/{user.id}"]


async def forget(tenant: str) -> int:
    """Remove all kept answers of `tenant`. Returns how many there were.

    Answers from articles that have changed are not found any more in any case. This is for what must not exist.
    """
    return await backend.default().forget(tag(tenant))


def response_cache(recipe: Recipe = acme_recipe) -> Layer:
    """Serve the answer that was made for the same question in the same circumstances; `recipe` says what makes one.

    When the provider fails for the moment before the first word, an answer that is past its time is served as stale.
    """

    def layer(inner: Handler) -> Handler:
        flights = Flights(cache_keys.is_for_one)

        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            lives = cache_keys.lives(turn)
            if lives is None:
                async with aclosing(inner(turn)) as events:
                    async for event in events:
                        yield event
                return
            made_with = await recipe(turn)
            key = cache_keys.key(turn, made_with)
            if (kept := await look_up(key, turn)) and kept.is_fresh:
                for event in kept.replay(turn):
                    yield event
                return

            async def keep(answer: Answer) -> None:
                if await recipe(turn) == made_with:  # else nobody knows which articles it was made from
                    await store(key, pack(answer), lives, tags(turn.user))

            flight, ours = flights.board(key, lambda: _made(inner, turn, key, keep))
            reading = flight.read(ours)
            async with aclosing(reading if ours else _read_along(reading, inner, turn)) as events:
                async for event in events:
                    yield event

        return handle

    return layer


def semantic_cache(recipe: Recipe = acme_recipe, threshold: float | None = None) -> Layer:
    """Serve the answer that was made for the same question in other words, to anybody with the same rights.

    Only for questions that stand alone and are about nobody. `threshold` is the least cosine; None takes the one that
    the embedding model was calibrated for, and where there is none, nothing is served.
    """

    def layer(inner: Handler) -> Handler:
        memory = SemanticMemory()

        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            lives = cache_keys.lives(turn)
            least = calibrated() if threshold is None else threshold
            asked = None
            if lives and least is not None and not turn.history and not cache_keys.is_personal(turn):
                asked = await _vector(turn)
            if lives is None or least is None or asked is None:
                async with aclosing(inner(turn)) as events:
                    async for event in events:
                        yield event
                return
            vector, made_with = asked, await recipe(turn)
            if kept := await memory.find(turn, made_with, vector, least):
                for event in kept.replay(turn):
                    yield event
                return

            async def keep(answer: Answer) -> None:
                if await recipe(turn) == made_with:
                    await remember(turn, made_with, vector, answer, lives, tags(turn.user))

            async with aclosing(_keeping(inner(turn), keep)) as events:
                async for event in events:
                    yield event

        return handle

    return layer


def calibrated() -> float | None:
    """The threshold of the embedding model in use."""
    chosen = models.provider()
    embed = chosen.tiers.get("embed")
    return THRESHOLDS.get(f"{chosen.name}/{embed.model}") if embed else None


async def _vector(turn: Turn) -> "np.ndarray | None":
    """The vector of the question; None where there is none to be had: then the question is answered all the same."""
    labels = {"trace_id": turn.trace_id, "feature": turn.feature, "tenant": turn.user.tenant, "user": turn.user.id}
    try:
        return (await calls.embed([turn.text], **labels))[0]
    except ProviderError:
        metrics.count("cache.failed", reason="embedding")
        return None


async def _made(inner: Handler, turn: Turn, key: str, keep: Keep) -> AsyncGenerator[Event, None]:
    """The answer of `inner`, kept when it may be; a stale one where there is no other."""
    kept = await look_up(key, turn)  # once more: whoever flew before us has stored meanwhile
    if kept and kept.is_fresh:
        for event in kept.replay(turn):
            yield event
        return
    begun = False  # something was shown or done that no other answer can follow
    try:
        async with aclosing(_keeping(inner(turn), keep)) as events:
            async for event in events:
                if kept and not begun and isinstance(event, Answer) and event.served in APOLOGIES:
                    break
                begun = begun or isinstance(event, TextDelta | Partial) or cache_keys.is_for_one(event)
                yield event
            else:
                return
    except ProviderError as error:
        if kept is None or begun or not error.transient:
            raise
    for event in kept.replay(turn, "stale") if kept else ():
        yield event


async def _keeping(events: AsyncGenerator[Event, None], keep: Keep) -> AsyncGenerator[Event, None]:
    """The events; an answer that may be served again is kept before it goes out."""
    for_one = False
    async with aclosing(events):
        async for event in events:
            for_one = for_one or cache_keys.is_for_one(event)
            if isinstance(event, Answer) and not for_one and cache_keys.is_worth_keeping(event):
                await keep(event)
            yield event


async def _read_along(events: AsyncGenerator[Event, None], inner: Handler, turn: Turn) -> AsyncGenerator[Event, None]:
    """The events of a flight that somebody else began, until one is for that one alone: then a run of our own."""
    shown = False
    async with aclosing(events):
        async for event in events:
            if cache_keys.is_for_one(event):
                break
            shown = shown or isinstance(event, TextDelta)
            if isinstance(event, Answer):
                served = "cached" if event.served == "live" else event.served
                event = event.model_copy(update={"served": served, "cost_usd": 0.0, "trace_id": turn.trace_id})
            yield event
        else:
            return
    if shown:
        yield Reset("this is answered for each customer apart")
    async with aclosing(inner(turn)) as own:
        async for event in own:
            yield event
