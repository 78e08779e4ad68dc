"""What a judge is worth: how far it agrees with people who have read the same answers, and what sways it.

calibrate(judge, labelled)      agreement, kappa, what it lets through, and whether it holds its bound
drifted(before, after)          the same labels judged again, later: has the model behind the judge changed?
bias(judge, labelled)           changes that must not change a verdict, and how often they do
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from .agreement import Difference, Estimate, Share, difference, kappa, wilson
from .errors import CallerError
from .judges import Judge, Labelled, Verdict

MOST_UNJUDGED = 0.05  # a judge that gives up more often holds no bound
CONCURRENT = 6


async def judge_all(judge: Judge, labelled: Sequence[Labelled], concurrency: int = CONCURRENT) -> list[Verdict | None]:
    """The judge's verdicts in the order of `labelled`, at most `concurrency` at a time. None: unjudged.

    Raises CallerError, ProviderError and LimitHit: a provider that is down has not judged anything.
    """
    places = asyncio.Semaphore(concurrency)

    async def one(case: Labelled) -> Verdict | None:
        async with places:
            return await judge.verdict(case.question, case.answer, case.documents, judged=case.tier)

    try:
        async with asyncio.TaskGroup() as group:  # one that raises stops the others, and what they cost
            tasks = [group.create_task(one(case)) for case in labelled]
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]


@dataclass(frozen=True, slots=True)
class Calibration:
    """`ids`, `people` and `verdicts` stand side by side. What is unjudged is counted, and left out of the rest."""

    judge: str
    bound: float
    ids: tuple[str, ...]
    people: tuple[bool, ...]
    verdicts: tuple[Verdict | None, ...]

    @property
    def pairs(self) -> list[tuple[bool, bool]]:
        """(person, judge) for every answer that was judged."""
        both = zip(self.people, self.verdicts, strict=True)
        return [(person, verdict.passed) for person, verdict in both if verdict is not None]

    @property
    def unjudged(self) -> int:
        return self.verdicts.count(None)

    @property
    def agreement(self) -> Share:
        return wilson(sum(person == judge for person, judge in self.pairs), len(self.pairs))

    @property
    def kappa(self) -> Estimate:
        return kappa([person for person, _ in self.pairs], [judge for _, judge in self.pairs])

    @property
    def true_positive_rate(self) -> Share:
        """Of the answers that the person passed, the share that the judge passes."""
        told = [judge for person, judge in self.pairs if person]
        return wilson(sum(told), len(told))

    @property
    def true_negative_rate(self) -> Share:
        """Of the answers that the person failed, the share that the judge fails: the rest it lets through."""
        told = [judge for person, judge in self.pairs if not person]
        return wilson(len(told) - sum(told), len(told))

    @property
    def holds(self) -> bool:
        """Whether even the low end of the agreement reaches the bound, with nearly everything judged."""
        few = self.unjudged <= MOST_UNJUDGED * len(self.verdicts)
        return few and self.agreement.low >= self.bound

    @property
    def disagreements(self) -> tuple[str, ...]:
        """The ids of the answers to read again: one of the two is wrong, or the criterion is not clear."""
        both = zip(self.ids, self.people, self.verdicts, strict=True)
        return tuple(one for one, person, verdict in both if verdict is not None and verdict.passed != person)


async def calibrate(judge: Judge, labelled: Sequence[Labelled], concurrency: int = CONCURRENT) -> Calibration:
    """Compare the judge with the person on `labelled`, without the answers that the judge is shown as examples.

    Raises CallerError when nobody has labelled them for this judge.
    """
    shown = {(example.question, example.answer) for example in judge.examples}
    fresh = [one for one in labelled if judge.name in one.labels and (one.question, one.answer) not in shown]
    if not fresh:
        raise CallerError(
            f"No answer is labelled for the judge {judge.name!r}.",
            f"Read some answers, and add {judge.name!r} to their labels in data/evals/labels.jsonl.",
            "bad_request",
        )
    verdicts = await judge_all(judge, fresh, concurrency)
    people = tuple(one.labels[judge.name] for one in fresh)
    return Calibration(judge.name, judge.bound, tuple(one.id for one in fresh), people, tuple(verdicts))


def drifted(before: Calibration, after: Calibration) -> Difference:
    """How much the agreement with people has changed between two calibrations on the same labels.

    A model behind a fixed name can change without notice; only the same answers, judged again, show it.
    """
    kept = [
        (first.passed == person, second.passed == person)
        for person, first, second in zip(before.people, before.verdicts, after.verdicts, strict=True)
        if first is not None and second is not None
    ]
    return difference([first for first, _ in kept], [second for _, second in kept])


# Changes that leave what an answer says as it is. Known to sway judges: its length, praise, a show of certainty, and
# the order of what is read. Source: Zheng and others, *Judging LLM-as-a-judge with MT-bench and Chatbot Arena*, NeurIPS
# 2023; Chen and others, *Humans or LLMs as the judge? A study on judgement biases*, EMNLP 2024.
PROBES: Mapping[str, Callable[[Labelled], Labelled]] = {
    "longer": lambda one: replace(one, answer=f"{one.answer} In other words: {one.answer}"),
    "flattering": lambda one: replace(one, answer=f"What an excellent question, you clearly know a lot! {one.answer}"),
    "sure of itself": lambda one: replace(one, answer=f"{one.answer} I am completely sure of that."),
    "documents reversed": lambda one: replace(one, documents=one.documents[::-1]),
}


async def bias(judge: Judge, labelled: Sequence[Labelled], concurrency: int = CONCURRENT) -> dict[str, Difference]:
    """By probe, how much more the judge passes when only that is changed. Unjudged answers are left out.

    A judge that is not shown the documents cannot be swayed by their order, and is not asked.
    """
    plain = await judge_all(judge, labelled, concurrency)
    found = {}
    for name, changed in PROBES.items():
        if "documents" in name and "documents" not in judge.reads:
            continue
        swayed = await judge_all(judge, [changed(one) for one in labelled], concurrency)
        kept = [
            (first.passed, second.passed)
            for first, second in zip(plain, swayed, strict=True)
            if first is not None and second is not None
        ]
        found[name] = difference([first for first, _ in kept], [second for _, second in kept])
    return found
