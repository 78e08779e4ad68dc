"""A cascade: the small model answers first, and the large one only where that is likely to be better.

    small answer  ->  score  ->  curve  ->  0.85 or more: it is shown       below: the large model is asked

The score says how near the answer is to the question: one embedding, which tells good answers from bad ones better
than the number that the small model states itself (notebook 08 measures both). The curve makes a chance of it: that the
large model would not have done better. It is fitted on cases with known ends, weighted as they come in traffic.

The small model gets no tools: it answers from what was found, or the large one takes over, so no tool runs twice.
Nothing that it says is shown before it is kept.
"""

import hashlib
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from typing import TypeAlias

from . import backend, bounds, calls, metrics, pii
from .bounds import CAPS, Caps
from .confidence import Curve
from .errors import CallerError, ProviderError
from .events import Answer, Event, Handler, Layer, Status, TextDelta, Turn
from .models import TierName

Score: TypeAlias = Callable[[Turn, Answer], Awaitable[float | None]]  # None: never to be kept

ACCEPT = 0.85
AUDITED = 0.02  # of the answers that would be kept: the large model answers these as well
AUDIT_SECONDS = 30 * 86_400.0  # for which such a pair is kept
STEPS_NEEDED = 3  # the small call, the large one, and one more after its tools


# For the stand-in, fitted on the tune half of data/evals/rag.yaml as it is: notebook 08 does it, and so does
# benchmarks/cascade.py. Another provider needs its own, and so does traffic that is easier than those cases.
CURVE = Curve(-2.16, 6.16)


async def nearness(turn: Turn, answer: Answer) -> float | None:
    """The cosine of question and answer; None where nothing that the answer rests on has a name from the question.

    A name is a word with a digit in it: an error code, an order number, a SKU.
    """
    rests_on = [answer.text, *(f"{one.title} {one.text}" for one in turn.documents if one.id in answer.cited_chunk_ids)]
    said = " ".join(rests_on).casefold()
    if not all(name.casefold() in said for name in _NAME.findall(turn.text)):
        return None
    user = turn.user
    question, reply = await calls.embed(
        [turn.text, answer.text or "-"],
        trace_id=turn.trace_id, feature=turn.feature, tenant=user.tenant, user=user.id,
    )  # fmt: skip
    return float(question @ reply)


_NAME = re.compile(r"\b[^\W\d_][\w-]*\d[\w-]*")


async def stated(turn: Turn, answer: Answer) -> float | None:
    """The number that the model gives itself, for outputs that have a `confidence`."""
    return getattr(answer.output, "confidence", None)


def cascade(
    score: Score = nearness,
    curve: Curve = CURVE,
    *,
    accept: float = ACCEPT,
    audited: float = AUDITED,
    caps: Caps = CAPS,
) -> Layer:
    """Let the small model answer first, and keep its answer where `curve(score)` reaches `accept`.

    It tries at the first step of a run only, where `caps` leave room for what may follow, and not where the turn asks
    for a tier or an output of its own. The share `audited` of the answers that it would keep is answered by the large
    model nevertheless, for `pairs`.
    """

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            small = pair = None
            if _may_try(turn, caps):
                async with aclosing(_small(inner, turn)) as events:
                    async for event in events:
                        if isinstance(event, Answer):
                            small = event
                        else:
                            yield event
            if small is not None:
                near = await _scored(score, turn, small)
                if near is not None and curve(near) >= accept:
                    if not _drawn(turn, audited):
                        metrics.count("cascade.kept", feature=turn.feature)
                        yield TextDelta(small.text)
                        yield small
                        return
                    pair = Pair(turn.trace_id, turn.user.tenant, turn.user.id, turn.text, small.text, "", near)
                    await _keep(pair)
                metrics.count("cascade.passed_on", feature=turn.feature)
                yield Status("working", "taking a closer look")
            async with aclosing(inner(turn)) as events:
                async for event in events:
                    if isinstance(event, Answer):
                        if pair is not None:
                            await _keep(replace(pair, large=event.text))
                        event = _with_cost(event, small)
                    yield event

        return handle

    return layer


def _may_try(turn: Turn, caps: Caps) -> bool:
    if turn.exchange or turn.output is not None or turn.tier is not None or turn.images:
        return False
    return bounds.steps_used(turn) + STEPS_NEEDED <= caps.steps


async def _small(inner: Handler, turn: Turn) -> AsyncGenerator[Event, None]:
    """What the small model does: its status, and its answer. Nothing more where it fails."""
    try:
        async with aclosing(inner(replace(turn, tier="small", tools=()))) as events:
            async for event in events:
                if isinstance(event, Status | Answer):
                    yield event
    except ProviderError as error:
        metrics.count("cascade.failed", code=error.code)
    except CallerError as error:
        if error.code != "context_too_long":  # the large one may have room for it
            raise


async def _scored(score: Score, turn: Turn, small: Answer) -> float | None:
    if not small.confident or small.truncated or small.served != "live":
        return None
    try:
        return await score(turn, small)
    except ProviderError as error:
        metrics.count("cascade.failed", code=error.code)
        return None


def _with_cost(large: Answer, small: Answer | None) -> Answer:
    """The large answer with the price of both."""
    if small is None or small.cost_usd is None or large.cost_usd is None:
        return large
    return large.model_copy(update={"cost_usd": large.cost_usd + small.cost_usd})


def routed(tiers: Mapping[str, TierName]) -> Layer:
    """Give the features in `tiers` a tier of their own; around a cascade, it leaves those alone."""

    def layer(inner: Handler) -> Handler:
        async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
            tier = turn.tier or tiers.get(turn.feature)
            async with aclosing(inner(replace(turn, tier=tier))) as events:
                async for event in events:
                    yield event

        return handle

    return layer


# the audit


@dataclass(frozen=True, slots=True)
class Pair:
    """A question with both answers: what a judge or a person compares, and what the next curve is fitted on.

    The texts are kept without what `pii.scrubbed` finds. `large` is empty where the large model asked for tools.
    """

    trace_id: str
    tenant: str
    user: str
    question: str
    small: str
    large: str
    score: float


def _drawn(turn: Turn, share: float) -> bool:
    """Whether a question of this user is in the sample: the same each time, so nothing changes when it is repeated."""
    asked = json.dumps([turn.user.tenant, turn.user.id, turn.text])
    return int.from_bytes(hashlib.sha256(asked.encode()).digest()[:4]) < share * 2**32


async def _keep(pair: Pair) -> None:
    tags = ("cascade pairs", f"user:{pair.tenant}/{pair.user}")
    texts = {name: pii.scrubbed(getattr(pair, name)) for name in ("question", "small", "large")}
    value = json.dumps(asdict(pair) | texts)
    await backend.default().put(f"cascade pair {pair.trace_id}", value, AUDIT_SECONDS, AUDIT_SECONDS, tags)


async def pairs() -> list[Pair]:
    """Both answers of every audited request of the last 30 days, oldest first."""
    return [Pair(**json.loads(entry.value)) for _, entry in await backend.default().entries("cascade pairs")]
