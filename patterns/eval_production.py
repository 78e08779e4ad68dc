"""From production back into the suite: score what was answered with cheap signals, read the worst, keep one as a case.

    handler = traced(traces.append)(assistant)             # outermost: one Trace for each request
    for picked in pick(traces, worst=10, random=5): ...    # for people to read
    add(promote(picked.trace, "the-id", must=[["30 days"]]), path, picked.note)

No signal needs a model, so every request has them. They tell where to look, not what is right: that a person decides,
and writes down as what the case expects. Personal data is scrubbed (`pii.py`) before a trace is handed over.
"""

import random
import statistics
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from . import ledger, pii
from .errors import PatternsError
from .eval_cases import Case, as_yaml, parse
from .events import Answer, ConfirmationRequired, Event, Failed, Handler, Layer, Message, Reset, Turn, User
from .pseudonyms import name_of

MUCH = 3.0  # times the median: slower or dearer than that is a signal


@dataclass(frozen=True, slots=True)
class Trace:
    """One request as it ended. `outcome` is that of the answer, an error's code, `waiting` or `aborted`.

    `took_back` holds why text that was shown already was withdrawn, `thumbs` what the customer clicked: 1, -1 or 0.
    `cost_usd` is what it cost by the ledger.
    """

    trace_id: str
    user: User
    question: str
    history: tuple[Message, ...] = ()
    text: str = ""
    confident: bool = True
    failed: bool = False
    outcome: str = "aborted"
    took_back: tuple[str, ...] = ()
    seconds: float = 0.0
    cost_usd: float = 0.0
    thumbs: int = 0


def traced(keep: Callable[[Trace], Any]) -> Layer:
    """Hand each request to `keep` when it ends, also when it fails or its reader leaves; without personal data."""

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            trace, started = Trace(turn.trace_id, turn.user, turn.text, turn.history), time.perf_counter()
            try:
                async with aclosing(inner(turn)) as events:
                    async for event in events:
                        trace = _after(trace, event)
                        yield event
            except PatternsError as error:
                trace = replace(trace, failed=True, outcome=error.code)
                raise
            finally:
                cost = ledger.total(ledger.default().calls(trace_id=turn.trace_id))
                keep(_scrubbed(replace(trace, seconds=time.perf_counter() - started, cost_usd=cost)))

        return handle

    return layer


def _scrubbed(trace: Trace) -> Trace:
    def clean(text: str) -> str:
        return pii.scrubbed(text, names=names)

    names = name_of(trace.user)
    history = tuple(Message(message.role, clean(message.text)) for message in trace.history)
    back = tuple(map(clean, trace.took_back))
    return replace(trace, question=clean(trace.question), text=clean(trace.text), history=history, took_back=back)


def _after(trace: Trace, event: Event) -> Trace:
    match event:
        case Reset():
            return replace(trace, took_back=(*trace.took_back, event.reason))
        case Answer():
            return replace(trace, text=event.text, confident=event.confident, outcome=event.outcome)
        case Failed():
            return replace(trace, failed=True, outcome=event.code)
        case ConfirmationRequired():
            return replace(trace, outcome="waiting")
        case _:
            return trace


@dataclass(frozen=True, slots=True)
class Usual:
    """Medians of a batch: what is slow or dear is so beside the others."""

    seconds: float
    cost_usd: float


def usual(traces: Sequence[Trace]) -> Usual:
    seconds, costs = [one.seconds for one in traces] or [0.0], [one.cost_usd for one in traces] or [0.0]
    return Usual(statistics.median(seconds), statistics.median(costs))


# How much each signal weighs. A customer who complains outweighs anything that we measure ourselves.
SIGNALS: Mapping[str, tuple[int, Callable[[Trace, Usual], bool]]] = {
    "thumbs down": (5, lambda one, _: one.thumbs < 0),
    "failed": (4, lambda one, _: one.failed),
    "took words back": (3, lambda one, _: bool(one.took_back)),
    "not confident": (2, lambda one, _: not one.confident),
    "not finished": (1, lambda one, _: one.outcome in ("partial", "failure", "limit_hit", "aborted")),
    "slow": (1, lambda one, others: one.seconds > MUCH * others.seconds),
    "dear": (1, lambda one, others: one.cost_usd > MUCH * others.cost_usd),
}


@dataclass(frozen=True, slots=True)
class Picked:
    """`signals` are empty for one that was drawn at random."""

    trace: Trace
    signals: tuple[str, ...]
    score: int

    @property
    def note(self) -> str:
        return f"from production, {self.trace.trace_id}: {', '.join(self.signals) or 'drawn at random'}"


def scored(trace: Trace, others: Usual) -> Picked:
    found = [name for name, (_, holds) in SIGNALS.items() if holds(trace, others)]
    return Picked(trace, tuple(found), sum(SIGNALS[name][0] for name in found))


def pick(traces: Sequence[Trace], *, worst: int, random_share: int, seed: int = 0) -> list[Picked]:
    """The `worst` traces by their signals, worst first, then `random_share` of those without any signal.

    Without the random ones, nobody would ever read an answer that is wrong and sure of itself. The same `seed` draws
    the same places again.
    """
    others = usual(traces)
    ranked = sorted((scored(one, others) for one in traces), key=lambda one: -one.score)
    quiet = [one for one in ranked if not one.score]
    bad = [one for one in ranked[:worst] if one.score]
    return bad + random.Random(seed).sample(quiet, min(random_share, len(quiet)))


def promote(trace: Trace, id: str, *, slice: str = "regression", split: str = "", **expected: Any) -> Case:
    """The trace as a case: who asked what after what, and what a reviewer expects (`must`, `unknown` ...).

    Raises CallerError when that is nothing that can be checked.
    """
    asked = {"question": trace.question, "customer": trace.user.id, "history": trace.history}
    (case,) = parse(f"- {as_yaml(Case(id=id, slice=slice, split=split, **asked, **expected))}", f"the case {id}")
    return case
