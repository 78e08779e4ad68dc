"""Row 11: what a resolved question costs when the large model answers all, and when a cascade does.

The workload is easy-heavy, as the quoted number assumes: of ten questions, nine ask for what one article says in the
question's own words (the slices easy, rare and table of data/evals/rag.yaml). One is of the rest of that file, with
paraphrases, two-part questions, and questions without an answer. Each case weighs as much as its like has in that mix.
The curve is fitted on the tune half with these weights, and all is measured on the test half, with the assistant that
ships: retrieval, agent with tools, grounded and validated answers, caps. The wasted small calls, the embeddings of the
score and the audited answers are in the cost. Tokens are what the ledger counted; only the price of the small model is
set to 1/30 and to 1/3.5 of the large one's. On the stand-in, this grades the engineering and not a model.
"""

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from patterns import (
    acme,
    acme_tools,
    agent_loop,
    bounds,
    cascade,
    complete_assistant,
    evals,
    ledger,
    models,
    rag,
    streaming_ux,
    structured_output,
    triage,
)
from patterns.confidence import Point, fit
from patterns.core import model_call
from patterns.course import control
from patterns.events import Answer, Handler, Layer, Turn, User, answer, stack
from patterns.levers import cascade_ratio

from . import measure
from .measure import Entry

FAQ = ("easy", "rare", "table")
EASY_SHARE = 0.9
PRICE_RATIOS = {30.0: "≥ 7.3", 3.5: "≥ 2.5"}
CONCURRENT = 4
TICKETS = 240


def assistant(*cheap: Layer) -> Handler:
    """Acme's assistant, with `cheap` where the cascade stands."""
    return stack(
        complete_assistant.core,
        streaming_ux.report_failures,
        rag.retrieve(rag.acme_index, fresh_since=rag.fresh_since),
        agent_loop.agent(rag.TOOLS, handoff=acme_tools.escalate_to_human),
        *cheap,
        rag.grounded,
        structured_output.structured(),
        streaming_ux.restart(),
        bounds.bounded(max_tokens=complete_assistant.MAX_TOKENS),
    )


def weights(cases: Sequence[evals.Case]) -> dict[str, float]:
    """The weight of each case by its id, so that FAQ is EASY_SHARE of them and the sum is their number."""
    easy = sum(case.slice in FAQ for case in cases)
    shares = {True: EASY_SHARE / easy, False: (1 - EASY_SHARE) / (len(cases) - easy)}
    return {case.id: len(cases) * shares[case.slice in FAQ] for case in cases}


async def points(cases: Sequence[evals.Case], weigh: dict[str, float]) -> list[Point]:
    """Both models on `cases`: the score of each small answer that could be kept, and whether the large is better."""
    outcomes = await evals.run(assistant(cascade.cascade(accept=0.0, audited=1.0)), cases, CONCURRENT)
    pairs = {pair.trace_id: pair for pair in await cascade.pairs()}
    found = []
    for one in outcomes:
        end = one.timing.answer
        if end and (pair := pairs.get(end.trace_id)):
            small = evals.judge(one.case, replace(one.timing, answer=Answer(text=pair.small), tools=()))
            found.append(Point(pair.score, not small or bool(one.reason), weigh[one.case.id]))
    return found


@dataclass(frozen=True, slots=True)
class Run:
    """A handler on the cases: weights by id, and what the ledger counted for each."""

    outcomes: Sequence[evals.Outcome]
    weigh: dict[str, float]
    calls: dict[str, list[ledger.Call]]

    @property
    def passed(self) -> float:
        """The weighted share of cases that passed."""
        return self._sum(lambda one: not one.reason) / self._sum(lambda one: 1)

    @property
    def kept(self) -> float:
        """The weighted share that the small model answered."""
        return self._sum(lambda one: bool(one.timing.answer) and one.timing.answer.tier == "small") / len(self.weigh)

    def cost(self, price_ratio: float) -> float:
        """Dollars for each resolved case."""
        spent = self._sum(lambda one: sum(repriced(call, price_ratio) for call in self.calls[one.case.id]))
        return spent / self._sum(lambda one: not one.reason)

    def slice(self, name: str) -> str:
        passed = [not one.reason for one in self.outcomes if one.case.slice == name]
        return f"{sum(passed)} of {len(passed)}"

    def _sum(self, value: Callable[[evals.Outcome], float]) -> float:
        return sum(self.weigh[one.case.id] * value(one) for one in self.outcomes)


def repriced(call: ledger.Call, price_ratio: float) -> float:
    """Dollars of a call, with the small model at the large one's price ÷ `price_ratio`. No prompt cache."""
    prices = models.provider().tiers
    tier = prices["large"] if call.tier == "small" else prices[call.tier]
    dollars = tier.cost(call.input_tokens, call.output_tokens)
    assert dollars is not None, f"the price of {call.model} is not known"
    return dollars / price_ratio if call.tier == "small" else dollars


async def run(handler: Handler, cases: Sequence[evals.Case], weigh: dict[str, float]) -> Run:
    outcomes = await evals.run(handler, cases, CONCURRENT)
    trace = {one.case.id: one.timing.answer.trace_id for one in outcomes if one.timing.answer}
    calls = {name: ledger.default().calls(trace_id=trace_id) for name, trace_id in trace.items()}
    return Run(outcomes, weigh, {one.case.id: calls.get(one.case.id, []) for one in outcomes})


async def on_questions() -> list[Entry]:
    _fast()
    await rag.acme_index()
    every = evals.load("rag")
    tune, test = ([case for case in every if case.split == half] for half in ("tune", "test"))
    curve = fit(await points(tune, weights(tune)))
    weigh = weights(test)
    large = await run(assistant(), test, weigh)
    small = await run(assistant(cascade.cascade(curve=curve)), test, weigh)
    shipped = await run(assistant(cascade.cascade()), test, weigh)
    await models.close()
    entries = []
    for ratio, goal in PRICE_RATIOS.items():
        note = (
            f"{small.kept:.0%} stay small (a score of {curve.score_at(cascade.ACCEPT):.2f} or more). With calls of one "
            f"size, 90% would give {cascade_ratio(EASY_SHARE, ratio):.1f} and {small.kept:.0%} give "
            f"{cascade_ratio(small.kept, ratio):.1f}; what is passed on is dearer than the mean, since the agent "
            f"searches again. {_graded()}"
        )
        metric = f"always-large ÷ cascade, cost per resolved case, price ratio {ratio:g}"
        found = large.cost(ratio) / small.cost(ratio)
        entries.append(Entry(11, metric, found, goal, {"quoted": 8.0}, measure.versions("openai"), note))
    note = (
        f"passed {large.passed:.1%} and {small.passed:.1%}, but of questions without an answer "
        f"{large.slice('unanswerable')} and {small.slice('unanswerable')}"
    )
    drop = 100 * (small.passed - large.passed)
    entries.append(Entry(11, "cascade − always-large, points of pass rate", drop, "≥ -1", {}, {}, note))
    careful = ", ".join(f"{large.cost(ratio) / shipped.cost(ratio):.2f} at {ratio:g}" for ratio in PRICE_RATIOS)
    note = (
        f"this curve is fitted on the cases as they are, with a third that has no answer: ratio {careful}; passed "
        f"{shipped.passed:.1%}, of questions without an answer {shipped.slice('unanswerable')}"
    )
    entries.append(Entry(11, "share kept by the small model with the curve that ships", shipped.kept, "", {}, {}, note))
    return entries


async def on_tickets() -> list[Entry]:
    """Triage states a confidence of its own. It is fitted on every second ticket."""
    _fast()
    folder = acme.data_folder() / "tickets"
    rows = [
        json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()
    ]
    rows = rows[:: len(rows) // TICKETS][:TICKETS]

    def handler(*cheap: Layer) -> Handler:
        sorted_ = structured_output.structured(triage.Triage, fallback=triage.by_rules)
        return stack(model_call(triage.prompt, "large", 300, whole=True), *cheap, sorted_)

    large = await _sort(handler(), rows)
    small = await _sort(triage.handler("small", whole=True), rows)
    fitted = [
        Point(two.stated, two.right or not one.right)
        for at, (one, two) in enumerate(zip(large, small, strict=True))
        if at % 2 == 0
    ]
    curve = fit(fitted)
    test = rows[1::2]
    always = [one for at, one in enumerate(large) if at % 2]
    both = await _sort(handler(cascade.cascade(cascade.stated, curve, audited=0.0)), test)
    await models.close()
    kept = sum(one.tier == "small" for one in both) / len(both)
    right = [sum(one.right for one in some) / len(some) for some in (always, both)]
    entries = []
    for ratio in PRICE_RATIOS:
        cost = [sum(one.dollars(ratio) for one in some) / sum(one.right for one in some) for some in (always, both)]
        note = (
            f"{kept:.0%} of {len(both)} tickets stay small; right category: always-large {right[0]:.1%}, cascade "
            f"{right[1]:.1%}, small alone {sum(one.right for one in small) / len(small):.1%}. {_graded()}"
        )
        metric = f"ticket triage: always-large ÷ cascade, price ratio {ratio:g}"
        entries.append(Entry(11, metric, cost[0] / cost[1], "", {}, {}, note))
    return entries


@dataclass(frozen=True, slots=True)
class Sorted:
    """One ticket: whether its category is right, what the model said of itself, and the calls."""

    right: bool
    stated: float
    tier: str
    calls: Sequence[ledger.Call]

    def dollars(self, price_ratio: float) -> float:
        return sum(repriced(call, price_ratio) for call in self.calls)


async def _sort(handler: Handler, rows: Sequence[dict[str, Any]]) -> list[Sorted]:
    places = asyncio.Semaphore(CONCURRENT)

    async def one(row: dict[str, Any]) -> Sorted:
        async with places:
            turn = Turn(row["text"], User(tenant=row["tenant"]), feature="triage")
            end = await answer(handler, turn)
        assert isinstance(end.output, triage.Triage)
        right = end.output.category == row["labels"]["category"]
        return Sorted(right, end.output.confidence, end.tier, ledger.default().calls(trace_id=turn.trace_id))

    return list(await asyncio.gather(*map(one, rows)))


def _fast() -> None:
    if control.has_dials():  # its speed is not the question here, and its prompt cache would blur the sums
        control.turn(time_to_first_token=0, tokens_per_second=1e6, prompt_cache=False)


def _graded() -> str:
    return "grades the stand-in, not a hosted model" if control.has_dials() else f"provider {models.provider().name}"


def questions() -> list[Entry]:
    with nullcontext() if os.environ.get("PATTERNS_PROVIDER") else measure.standin():
        return asyncio.run(on_questions())


def tickets() -> list[Entry]:
    with nullcontext() if os.environ.get("PATTERNS_PROVIDER") else measure.standin():
        return asyncio.run(on_tickets())


PARTS = (questions, tickets)
