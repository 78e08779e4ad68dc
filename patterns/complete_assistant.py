"""The support assistant, as it stands after any notebook of the course: Acme's, or that of another world.

`build(through="streaming_ux")` is the assistant with every layer up to that pattern's. A notebook starts from the
pattern before its own and adds its layer in the open.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from . import (
    acme,
    acme_tools,
    agent_loop,
    authority,
    bounds,
    breaker,
    caching,
    cascade,
    cost_control,
    fallbacks,
    faq_search,
    hedging,
    multimodal,
    output_guard,
    pseudonyms,
    rag,
    retries,
    rolling_summary,
    safety_privacy,
    streaming_ux,
    structured_output,
    tool_use,
    tracing,
)
from .core import model_call, support_prompt
from .errors import CallerError
from .events import Event, Handler, Layer, Status, Turn
from .world import World

MAX_TOKENS = 1_000  # of one reply: what it may cost is then known before the call

ACME = World(
    articles=acme.articles,
    open_index=rag.acme_index,
    tools=rag.TOOLS,
    handoff=acme_tools.escalate_to_human,
    today=acme.today,
    fresh_since=rag.fresh_since,
    contact=faq_search.contact,
    own_data=safety_privacy.OWN_DATA,
)

core = model_call(support_prompt, max_tokens=MAX_TOKENS)


def paste_articles(inner: Handler) -> Handler:
    """Give the model the three help articles that share the most words with the question."""

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        yield Status("searching")
        documents = acme.pick(turn.text, turn.user, 3)
        async with aclosing(inner(replace(turn, documents=documents))) as events:
            async for event in events:
                yield event

    return handle


@dataclass(frozen=True, slots=True)
class Storey:
    """A layer, the pattern that brings it, and the one that replaces it."""

    layer: Layer
    since: str
    until: str = ""


# Patterns in the order of their notebooks.
CHAPTERS = (
    "start_here",
    "streaming_ux",
    "structured_output",
    "tool_use",
    "rag",
    "agent_loop",
    "evals",
    "caching",
    "cost_control",
    "embeddings_search",
    "multimodal",
    "safety_privacy",
    "fallbacks",
)


def house(world: World) -> tuple[Storey, ...]:
    """The whole assistant, in the order in which a request meets its layers."""
    recipe = partial(caching.recipe_of, open_index=world.open_index, tools=world.tools, today=world.today)
    search = rag.retrieve(world.open_index, fresh_since=world.fresh_since)
    without_model = fallbacks.ladder(
        fresh_since=world.fresh_since, handoff=world.handoff, articles=world.articles, contact=world.contact
    )
    return (
        Storey(streaming_ux.acknowledge, "streaming_ux"),
        Storey(streaming_ux.report_failures, "streaming_ux"),
        Storey(cost_control.recorded, "cost_control"),
        Storey(streaming_ux.heartbeat(), "streaming_ux"),
        Storey(cost_control.kill_switch, "cost_control"),
        Storey(cost_control.rate_limited(), "cost_control"),
        Storey(multimodal.checked, "multimodal"),
        # Outside the ladder and the caches: what they say is checked as well.
        Storey(output_guard.guarded(world.own_data, world.contact), "safety_privacy"),
        Storey(streaming_ux.cap_history(), "streaming_ux", until="cost_control"),
        Storey(without_model, "fallbacks"),
        Storey(caching.response_cache(recipe), "caching"),
        # An outage costs no search; old answers are outside.
        Storey(breaker.guarded(fallbacks.provider_key), "fallbacks"),
        Storey(caching.semantic_cache(recipe), "caching"),
        Storey(rolling_summary.summarised(), "cost_control"),  # a summary costs a call, a cached answer none
        Storey(streaming_ux.restart(), "streaming_ux", until="agent_loop"),
        Storey(multimodal.look, "multimodal"),
        Storey(paste_articles, "start_here", until="rag"),
        Storey(search, "rag"),
        Storey(tool_use.use_tools(acme_tools.TOOLS), "tool_use", until="rag"),
        Storey(tool_use.use_tools(world.tools), "rag", until="agent_loop"),
        Storey(agent_loop.agent(world.tools, handoff=world.handoff), "agent_loop"),
        Storey(authority.asked_for(world.tools, world.contact), "safety_privacy"),
        Storey(fallbacks.tiers(), "fallbacks"),  # inside the loop: another model takes over one step, not the whole run
        Storey(cascade.cascade(), "cost_control"),
        Storey(rag.grounded, "rag"),
        Storey(structured_output.structured(), "structured_output"),
        # Inside the loop, where a second try counts as a step.
        Storey(streaming_ux.restart(), "agent_loop", until="fallbacks"),
        Storey(retries.retried(), "fallbacks"),
        Storey(breaker.guarded(fallbacks.model_key), "fallbacks"),
        Storey(retries.impatient(), "fallbacks"),
        Storey(hedging.hedged(fallbacks.model_key), "fallbacks"),
        Storey(bounds.bounded(max_tokens=MAX_TOKENS), "agent_loop"),
        Storey(cost_control.kill_switch, "cost_control"),  # once more: a run of several steps stops at the next
        Storey(pseudonyms.pseudonymised(), "safety_privacy"),  # the provider learns no address, number or account
    )


HOUSE = house(ACME)


def build(through: str | None = None, world: World = ACME) -> Handler:
    """The assistant with the layers of every pattern up to and including `through` (default: all there are).

    Another world than Acme's has no help centre to paste from: it begins at "rag".

    Raises CallerError for a name that is no pattern.
    """
    if through is not None and through not in CHAPTERS:
        raise CallerError(f"There is no pattern {through!r}.", f"Use one of: {', '.join(CHAPTERS)}.", "bad_request")
    so_far = CHAPTERS if through is None else CHAPTERS[: CHAPTERS.index(through) + 1]
    inmost = model_call(partial(support_prompt, today=world.today), max_tokens=MAX_TOKENS)
    tracing.start_if_asked()
    return tracing.stack(
        inmost, *(one.layer for one in house(world) if one.since in so_far and one.until not in so_far)
    )
