"""Row 12: what the assistant does in every fault that the stand-in can make, alone and in pairs.

    drill      each fault, and each pair of faults: answers that are right or honestly labelled, and side effects that
               nobody asked for (something booked without a yes, a second escalation in a run, another customer's data)
    outage     provider calls ÷ requests while nothing but 503 comes back, embeddings included, beside the same
               assistant with three nested layers of three tries
    hedging    the 99.9th percentile of the first word, of 6,000 calls of which one in a hundred hangs; without a
               provider, so this measures the layer
    choice     milliseconds from the failed call to the answer without a model

The assistant is the one that ships. Evals pass by its caches; in the outage they are used. On the stand-in, this grades
the engineering and not a model.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from patterns import (
    acme_tools,
    agent_loop,
    bounds,
    complete_assistant,
    evals,
    fallbacks,
    models,
    rag,
    streaming_ux,
    structured_output,
)
from patterns.course import control
from patterns.errors import ProviderError
from patterns.events import Answer, Event, Handler, TextDelta, Turn, User, answer, stack
from patterns.hedging import hedged

from . import measure
from .measure import Entry

SURE = ("rate_limited", "server_error", "bad_json", "invalid_enum", "invented_citation", "gullibility", "drift")
CONTENT: dict[str, Any] = {"tool_loop": 1.0, "tool_roam": 1.0, "tool_flood": 20, "invented_arguments": 1.0}
STREAM: dict[str, Any] = {"cut_after": 3, "stall_after": 3, "buffering": True, "jitter": 0.5}
FAULTS: list[dict[str, Any]] = [
    *({name: 1.0} for name in SURE),
    *({name: 0.3, "seed": 5} for name in SURE),
    *({name: value} for name, value in (CONTENT | STREAM).items()),
    *({"quirks": (quirk,)} for quirk in ("ping", "no_usage", "no_done", "empty_choices")),
    *({"outage": (model,)} for model in ("standin-large", "standin-small", "standin-embed", "*")),
    {"rate_limited": 1.0, "retry_after": 30.0},
    {"cut_after": 3, "only_first": 1},
]
PAIRED = (
    {"rate_limited": 0.5}, {"server_error": 0.5}, {"outage": ("standin-large",)}, {"cut_after": 30}, {"bad_json": 0.5},
    {"invented_citation": 0.5}, {"tool_loop": 1.0}, {"tool_flood": 20}, {"gullibility": 1.0}, {"drift": 1.0},
)  # fmt: skip
CONCURRENT = 4
REQUESTS = 200
HEDGED = 6_000


def nested(tries: int) -> Handler:
    """The assistant with nested layers of so many tries, in place of all that bounds them."""
    handoff, again = acme_tools.escalate_to_human, streaming_ux.restart(tries)
    return stack(
        complete_assistant.core,
        streaming_ux.report_failures,
        fallbacks.ladder(fresh_since=rag.fresh_since, handoff=handoff),
        again,
        rag.retrieve(rag.acme_index, fresh_since=rag.fresh_since),
        again,
        agent_loop.agent(rag.TOOLS, handoff=handoff),
        rag.grounded,
        structured_output.structured(),
        again,
        bounds.bounded(max_tokens=complete_assistant.MAX_TOKENS),
    )


def honest(one: evals.Outcome) -> bool:
    """Right, or an answer that says that it is unsure, old, simplified, none, or a smaller model's (`tier`)."""
    end = one.timing.answer
    labelled = end is not None and (end.served not in ("live", "cached") or not end.confident or end.tier == "small")
    return not one.unsafe and (not one.reason or labelled)


def unasked() -> int:
    """Side effects that nobody asked for: no case agrees to a booking, and one escalation a run is the most."""
    desk = acme_tools.desk()
    escalated = [one.run_id for one in desk.work("escalation")]
    return len(desk.work("follow_up")) + len(escalated) - len(set(escalated))


async def on_faults(
    faults: Sequence[dict[str, Any]], cases: Sequence[evals.Case]
) -> tuple[list[tuple[evals.Outcome, str]], int]:
    """The outcomes with the fault they were met with, and how often something was done or said that must not be."""
    outcomes: list[tuple[evals.Outcome, str]] = []
    for fault in faults:
        _fast(**fault)
        ends = await evals.run(complete_assistant.build(), cases, CONCURRENT)
        outcomes += [(one, " + ".join(fault)) for one in ends]
    _fast()
    return outcomes, sum(one.unsafe for one, _ in outcomes) + unasked()


async def drill_faults() -> list[Entry]:
    _fast()
    await rag.acme_index()
    cases = evals.load("fallbacks")
    pairs = [first | second for first, second in itertools.combinations(PAIRED, 2)]
    entries = []
    for name, faults, asked in (("fault", FAULTS, cases), ("pair of faults", pairs, cases[::4])):
        outcomes, forbidden = await on_faults(faults, asked)
        good = sum(honest(one) for one, _ in outcomes) / len(outcomes)
        right = sum(not one.reason for one, _ in outcomes) / len(outcomes)
        wrong = [f"{one.case.id} ({fault})" for one, fault in outcomes if not honest(one)]
        note = f"{len(faults)} of them, {len(outcomes)} answers; right: {right:.0%}. {_graded()}"
        note += f"; neither: {', '.join(wrong)}" if wrong else ""
        entries.append(
            Entry(12, f"each {name}: right or honestly labelled, %", 100 * good, "≥ 100", {}, _versions(), note)
        )
        entries.append(Entry(12, f"each {name}: side effects that nobody asked for", forbidden, "= 0", {}, {}, ""))
    await models.close()
    return entries


async def load(handler: Handler, out: tuple[str, ...], cached: int = 0) -> tuple[float, set[str]]:
    """Provider calls ÷ requests while the models `out` are down, and how these were served. The first were cached."""
    questions = [case.question for case in evals.load("fallbacks")]
    asking = [User(f"C-{number}") for number in range(20)]  # enough of them that nobody meets the rate limit
    turns = [Turn(f"{questions[number % 16]} ({number})", asking[number % 20]) for number in range(REQUESTS)]
    for turn in turns[:cached]:
        await answer(handler, turn)
    _fast(outage=out)
    calls, served = 0, set[str]()
    for turn in turns:
        since = time.time()
        served.add((await answer(handler, turn)).served)
        calls += await control.requests_since(since)
    assert calls, "the provider was asked nothing, so this measures nothing"
    _fast()
    return calls / REQUESTS, served


async def in_an_outage() -> list[Entry]:
    _fast()
    await rag.acme_index()
    entries = []
    for name, out in {"chat models": ("standin-large", "standin-small"), "all models": ("*",)}.items():
        ours, served = await load(complete_assistant.build(), out, cached=20)
        naive, _ = await load(nested(3), out)
        note = f"{REQUESTS} requests, served {', '.join(sorted(served))}; embeddings are counted"
        peers: dict[str, float | str] = {"nested layers of three tries": naive}
        metric = f"provider calls ÷ requests, {name} down"
        entries.append(Entry(12, metric, ours, "≤ 1.1", peers, _versions(), note))
    await models.close()
    return entries


async def first_words(handler: Handler, waiting: int = 20) -> list[float]:
    """Seconds to the first word of HEDGED calls, `waiting` at a time."""
    places = asyncio.Semaphore(waiting)

    async def one(number: int) -> float:
        async with places:
            return (await streaming_ux.measure(handler, Turn(str(number)))).first_token

    return list(await asyncio.gather(*map(one, range(HEDGED))))


class Hanging:
    """Speaks after 20 to 30 ms; one call in a hundred hangs for `hang` seconds. The same calls hang each time."""

    def __init__(self, hang: float = 1.5) -> None:
        self.calls, self._hang = 0, hang

    async def handle(self, turn: Turn) -> AsyncGenerator[Event, None]:
        self.calls += 1
        await asyncio.sleep(self._hang if self.calls % 100 == 50 else 0.02 + 0.01 * (self.calls * 7919 % 101) / 101)
        yield TextDelta("Yes.")
        yield Answer(text="Yes.")


async def with_hedges() -> list[Entry]:
    plain, twice = Hanging(), Hanging()
    alone = await first_words(plain.handle)
    raced = await first_words(hedged(lambda turn: "m")(twice.handle))
    tail = [statistics.quantiles(some, n=1_000)[-1] for some in (alone, raced)]
    middle = [1000 * statistics.median(some) for some in (alone, raced)]
    note = (
        f"p99.9 {tail[0]:.2f} s and {tail[1]:.3f} s, median {middle[0]:.0f} and {middle[1]:.0f} ms; 1 call in 100 "
        f"hangs for 1.5 s, independently of the others: where all are slow together, hedging gains nothing"
    )
    extra = 100 * (twice.calls - HEDGED) / HEDGED
    return [
        Entry(12, "hedging: p99.9 of the first word, without ÷ with", tail[0] / tail[1], "≥ 10", {}, {}, note),
        Entry(12, "hedging: extra calls, %", extra, "≤ 5", {}, {}, ""),
    ]


async def choosing() -> list[Entry]:
    async def fails(turn: Turn) -> AsyncGenerator[Event, None]:
        raise ProviderError("Down.", "Try again.", "overloaded", transient=True)
        yield  # a generator, and not a coroutine

    questions = [case.question for case in evals.load("fallbacks")]
    times: dict[str, list[float]] = {}
    for layers in ((), (fallbacks.ladder(fresh_since=rag.fresh_since), fallbacks.tiers())):
        handler = stack(fails, *layers)
        for number in range(300):
            turn = Turn(questions[number % len(questions)])
            started = time.perf_counter()
            try:
                async with aclosing(handler(turn)) as events:
                    async for _ in events:
                        pass
            except ProviderError:
                pass
            times.setdefault(str(len(layers)), []).append(time.perf_counter() - started)
    spent = [1000 * statistics.median(some[20:]) for some in times.values()]
    note = "two failed calls, the choice, and the search in the articles; the failed calls' own time is taken off"
    return [Entry(12, "choosing the rung, ms", spent[1] - 2 * spent[0], "≤ 1", {}, {}, note)]


def _fast(**dials: Any) -> None:
    fast = {"time_to_first_token": 0, "tokens_per_second": 1e6, "retry_after": 0}
    control.turn(**{**fast, **dials})


def _graded() -> str:
    return "Grades the engineering around the stand-in, not a model"


def _versions() -> dict[str, str]:
    return measure.versions("openai")


def faults() -> list[Entry]:
    with measure.standin():
        return asyncio.run(drill_faults())


def outage() -> list[Entry]:
    with measure.standin():
        return asyncio.run(in_an_outage())


def hedging() -> list[Entry]:
    return asyncio.run(with_hedges())


def choice() -> list[Entry]:
    return asyncio.run(choosing())


PARTS = (faults, outage, hedging, choice)
