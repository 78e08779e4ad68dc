"""Fallbacks: when the model cannot be reached, the next best answer, which says that it is one.

    the model, again     after a short wait, if there is any sense in it      retried      (`retries.py`)
    a smaller model      the tiers of the feature                             tiers
    an old answer        from the response cache, with its age                (`caching.py`)
    a found passage      no model at all                                      ladder       (`last_rungs.py`)
    "unavailable"        who can help, and when to try again                  ladder       (the same)

Only what may be otherwise in a minute moves down: rate limits, 5xx, timeouts, lost connections. What is wrong with the
request stays wrong on every rung, and a limit that was set on purpose is no outage. After the first word, another
rung's text comes behind a Reset. Which feature may use which rung is in `rungs.py`.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import date

from . import acme, faq_search, last_rungs, metrics, models, rungs
from .errors import LimitHit, ProviderError
from .events import (
    Answer,
    ConfirmationRequired,
    Event,
    Handler,
    Layer,
    Partial,
    Reset,
    Status,
    TextDelta,
    ToolCall,
    ToolResult,
    Turn,
)
from .models import TierName
from .rungs import Rungs
from .tools import Tool
from .waiting import within

RUNS = 1_000  # that have fallen back and go on, remembered by one process


def _down(message: str = "No model can be reached.", code: str = "overloaded") -> ProviderError:
    return ProviderError(message, "Try again later.", code, transient=True)


def model_key(turn: Turn) -> str:
    """What fails together at a model call: the model, at its provider. For `breaker.guarded` and `hedging.hedged`."""
    chosen = models.provider()
    return f"{chosen.name}/{chosen.tier(turn.tier or 'large').model}"


def provider_key(turn: Turn) -> str:
    """What fails together in a whole request: its provider."""
    return models.provider().name


def tiers(of: Callable[[str], Rungs] = rungs.of) -> Layer:
    """Ask the other tiers of the feature, one after the other, when the model fails for the moment.

    A tier that is dearer than the one it stands in for is left out, and all are when nothing answers at the address. At
    the end the answer is `unavailable`, which `response_cache` and `ladder` improve on. Where a layer outside asked for
    a value of its own, the error goes out. A run of several steps stays on the tier that its last step ended on:
    failed calls are steps as well, and would use up the run.
    """

    def layer(inner: Handler) -> Handler:
        runs: OrderedDict[str, TierName] = OrderedDict()  # by trace id, those that have left their own tier

        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            failure = _down()
            rest: list[TierName | None] = [None, *_cheaper(turn, of(turn.feature).tiers)]
            if (left := runs.pop(turn.trace_id, None)) in rest:
                rest = rest[rest.index(left) :]
            for tier in rest:
                shown = asked = False
                try:
                    async with aclosing(inner(replace(turn, tier=tier) if tier else turn)) as events:
                        async for event in events:
                            shown = shown or isinstance(event, TextDelta | Partial)
                            asked = asked or isinstance(event, ToolCall)
                            yield event
                    if tier:
                        metrics.count("fallbacks.tier", tier=tier)
                    if tier and asked:  # there will be another step
                        runs[turn.trace_id] = tier
                        if len(runs) > RUNS:
                            runs.popitem(last=False)
                    return
                except ProviderError as error:
                    if not error.transient or asked:  # tool calls of two models would be run side by side
                        raise
                    failure = error
                yield Reset(failure.message) if shown else Status("working", "trying another way")
                if failure.code == "unreachable":
                    break
            if turn.output is not None:
                raise failure
            text = f"{failure.message} {failure.next_step}"
            yield Answer(text=text, confident=False, served="unavailable", outcome="failure", trace_id=turn.trace_id)

        return handle

    return layer


def _cheaper(turn: Turn, others: tuple[TierName, ...]) -> list[TierName]:
    if turn.images:  # the other tiers are blind
        return []
    chosen = models.provider()
    own = turn.tier or "large"
    most = chosen.tier(own).cost(1, 1)
    found: list[TierName] = []
    for tier in others:
        if tier == own or tier not in chosen.tiers or chosen.tiers[tier].model == chosen.tier(own).model:
            continue
        costs = chosen.tiers[tier].cost(1, 1)
        if most is None or costs is None or costs <= most:
            found.append(tier)
    return found


def ladder(
    of: Callable[[str], Rungs] = rungs.of,
    *,
    fresh_since: Callable[[], date | None] = lambda: None,
    handoff: Tool | None = None,
    articles: faq_search.Articles = acme.articles,
    contact: faq_search.FindContact = faq_search.contact,
) -> Layer:
    """Answer without a model when there is no other way, and before the time of the feature is over.

    `handoff` is the tool that calls a person, for features that need one. It runs once in a request. `articles` are
    searched without a model, and `contact` says how people are reached otherwise. Old answers get
    their age into the text, where no client can leave it out.
    """

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            allowed = of(turn.feature)
            deadline = time.monotonic() + allowed.seconds
            shown = acted = False
            said = ""
            held: list[Event] = []
            failure = _down()
            try:
                async with aclosing(within(inner(turn), deadline)) as events:
                    async for event in events:
                        if isinstance(event, Answer):
                            if event.served == "unavailable" or (allowed.careful and not _is_good(event)):
                                break
                            for one in _ended(event, said, held):
                                yield one
                            return
                        said = event.detail if isinstance(event, Status) and event.detail else said
                        acted = acted or isinstance(event, ToolResult)
                        if allowed.careful and isinstance(event, TextDelta | Partial | Reset):
                            held = [] if isinstance(event, Reset) else [*held, event]
                            continue
                        if isinstance(event, ConfirmationRequired):
                            for one in held:
                                yield one
                        shown = shown or isinstance(event, TextDelta | Partial)
                        yield event
                    else:
                        return
            except ProviderError as error:
                if not error.transient:
                    raise
                failure = error
            except LimitHit as limit:
                if limit.code != "seconds" or time.monotonic() < deadline:
                    raise
                failure = _down("The answer took too long.", "timeout")
            metrics.count("fallbacks.down", feature=turn.feature, code=failure.code)
            if not allowed.apologise:
                raise failure
            if shown:
                yield Reset(failure.message)
            end = await last_rungs.answer(turn, allowed, failure, acted, fresh_since, handoff, articles, contact)
            yield TextDelta(end.text)
            yield end

        return handle

    return layer


def _is_good(answer: Answer) -> bool:
    return answer.served in ("live", "cached", "handoff")


def _ended(answer: Answer, said: str, held: list[Event]) -> list[Event]:
    """The events that end a turn; `said` is the last status, where the cache tells how old its answer is."""
    if answer.served != "stale":
        return [*held, answer]
    note = f"\n\n({said[:1].upper()}{said[1:]}. It may have changed since.)"
    return [*held, TextDelta(note), answer.model_copy(update={"text": answer.text + note})]
