"""What was read in a picture is not read again: a layer that keeps validated results by the pixels.

    stack(model_call(prompt, "vision"), image_cache.kept(INSTRUCTIONS), structured(Receipt))

The key holds all that the result depends on: the bytes of the prepared pictures (`pictures.prepare` makes the same
bytes of the same pixels, whatever the file was called and whatever metadata it had), the question, the schema, the
prompt, the models with their parameters, and the tenant with the rights of the user. Errors, fallbacks and cut replies
are not kept; `caching.forget` removes what is kept of a tenant, `forgetting.forget` what is kept of a person.
"""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from . import cache_keys, caching, models
from .cache_keys import DAY, Freshness
from .events import Answer, Event, Handler, Layer, Turn
from .kept_answers import look_up, pack, store
from .singleflight import Flights

# A receipt is not another tomorrow, but it may name a person: it is not kept for longer than it helps.
LIVES = Freshness(DAY, DAY)


def key(turn: Turn, prompt_version: str) -> str:
    """The key of what is read in the images of `turn`."""
    recipe = f"{cache_keys.models_of(models.provider())} {prompt_version}"
    pixels = [hashlib.sha256(image.data).hexdigest() for image in turn.images]
    said = [[message.role, message.text] for message in turn.history]
    return f"image {cache_keys.digest([*cache_keys.audience(turn, recipe), turn.text, said, pixels])}"


def kept(prompt_version: str) -> Layer:
    """Serve what was read in the same pictures before; the same picture several times at once is one call.

    It stands outside of `structured`, so only validated results are kept. A turn without images passes.
    """

    def layer(inner: Handler) -> Handler:
        flights = Flights(cache_keys.is_for_one)

        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            if not turn.images or turn.tools or turn.exchange:
                async with aclosing(inner(turn)) as events:
                    async for event in events:
                        yield event
                return
            place = key(turn, prompt_version)
            if (found := await look_up(place, turn)) and found.is_fresh:
                for event in found.replay(turn):
                    yield event
                return
            flight, ours = flights.board(place, lambda: _made(inner, turn, place))
            async with aclosing(flight.read(ours)) as events:
                async for event in events:
                    if isinstance(event, Answer) and not ours:
                        event = event.model_copy(
                            update={"served": "cached", "cost_usd": 0.0, "trace_id": turn.trace_id}
                        )
                    yield event

        return handle

    return layer


async def _made(inner: Handler, turn: Turn, place: str) -> AsyncGenerator[Event, None]:
    async with aclosing(inner(turn)) as events:
        async for event in events:
            if isinstance(event, Answer) and event.output is not None and cache_keys.is_worth_keeping(event):
                await store(place, pack(event), LIVES, caching.tags(turn.user))
            yield event
