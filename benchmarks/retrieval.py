"""Row 5: hybrid retrieval with filters on tenant, ACL and language, over 100,000 chunks of 20 tenants.

`retrieval.search` on an `Index`, next to LlamaIndex and Haystack with the same texts, vectors and questions
(`retrieval_data`). Each contestant answers in a process of its own (`retrieval_peers`), and only the time inside its
search counts. A leak is a chunk among the answers that the user may not see.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from . import measure, retrieval_data
from .measure import Entry, Skipped
from .retrieval_data import CHUNKS, KINDS, TENANTS, Chunk, Question

ROUNDS, A_ROUND, WARM = 5, 12, 80
ASKED = ROUNDS * A_ROUND
LLAMAINDEX = "llama-index-retrievers-bm25==0.8.0"
OURS, RIVAL = "ours", "LlamaIndex"
PEERS = {
    RIVAL: (LLAMAINDEX, "llamaindex"),
    "LlamaIndex with an index a tenant": (LLAMAINDEX, "llamaindex-per-tenant"),
    "Haystack": ("haystack-ai==3.4.1", "haystack"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    seconds: float
    found: tuple[str, ...]


class Contestant:
    """A process that has built its index and answers the question at a position."""

    def __init__(self, process: "subprocess.Popen[str]", name: str) -> None:
        self.process, self.name, self.megabytes = process, name, 0
        self.answers: dict[int, Answer] = {}
        ready = self._line()
        self.built: float = ready["seconds"]
        self.versions: dict[str, str] = ready["versions"]

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} has ended; what it said last is above.")
        return json.loads(line)

    def ask(self, place: int) -> Answer:
        assert self.process.stdin
        print(place, file=self.process.stdin, flush=True)
        line = self._line()
        self.megabytes = line["megabytes"]
        self.answers[place] = Answer(line["seconds"], tuple(line["found"]))
        return self.answers[place]


@contextmanager
def contestant(python: Path, name: str, data: Path) -> Iterator[Contestant]:
    command = [str(python), "-m", "benchmarks.retrieval_peers", name, str(data)]
    with TemporaryDirectory() as state, subprocess.Popen(
        command,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=measure.ROOT,
        env=measure.clean_environment(Path(state)),
    ) as process:  # fmt: skip
        try:
            yield Contestant(process, name)
        finally:
            process.kill()


def p95(seconds: Sequence[float]) -> float:
    return float(np.percentile(seconds, 95))


def hit_rate(questions: Sequence[Question], chunks: Sequence[Chunk], answers: Mapping[int, Answer]) -> float:
    """The share of questions, probes apart, whose target is among the answers."""
    findable = [place for place in answers if questions[place].kind != "probe"]
    return statistics.fmean(chunks[questions[place].target].id in answers[place].found for place in findable)


def leaks(questions: Sequence[Question], chunks: Sequence[Chunk], answers: Mapping[int, Answer]) -> int:
    """How many chunks were shown to users who may not see them."""
    by_id = {chunk.id: chunk for chunk in chunks}
    return sum(
        not questions[place].may_see(by_id[found]) for place, answer in answers.items() for found in answer.found
    )


def a_round(asked: Contestant) -> Callable[[], float]:
    """One call a round: asks its questions and returns the p95 of their seconds."""
    numbers = iter(range(ROUNDS))

    def run() -> float:
        first = next(numbers) * A_ROUND
        return p95([asked.ask(place).seconds for place in range(first, first + A_ROUND)])

    return run


def filtered_hybrid_retrieval() -> list[Entry]:
    data = measure.PEERS / f"retrieval-{retrieval_data.VERSION}-{ASKED + WARM}"
    retrieval_data.write(data, ASKED + WARM)
    chunks, questions = retrieval_data.read_chunks(data), retrieval_data.read_questions(data)
    skipped: dict[str, str] = {}
    with ExitStack() as stack:
        runs = {OURS: stack.enter_context(contestant(Path(sys.executable), "ours", data))}
        for title, (requirement, name) in PEERS.items():
            try:
                runs[title] = stack.enter_context(contestant(measure.peer(requirement), name, data))
            except Skipped as reason:
                skipped[title] = f"skipped: {reason}"
        # Warm: a question for each tenant. The peers have nothing to load for a tenant, so one question will do.
        tenants = {question.tenant: place for place, question in enumerate(questions) if place >= ASKED}
        cold = [runs[OURS].ask(place).seconds for place in tenants.values()]
        for title in runs.keys() - {OURS}:
            runs[title].ask(ASKED)
        for each in runs.values():
            each.answers.clear()
        rounds = measure.interleaved({title: a_round(each) for title, each in runs.items()}, ROUNDS)
    results = {
        title: Result(
            rounds[title],
            [answer.seconds for answer in each.answers.values()],
            hit_rate(questions, chunks, each.answers),
            leaks(questions, chunks, each.answers),
            f"built in {each.built:.0f} s, {each.megabytes:,} MB",
            each.versions,
        )
        for title, each in runs.items()
    }
    remark = f"The first question of a tenant after a start took {measure.milliseconds(cold)}."
    return entries(results, skipped, remark)


@dataclass(frozen=True, slots=True)
class Result:
    """Of one contestant: the p95 of each round and all times in seconds, quality, what building it took."""

    rounds: Sequence[float]
    seconds: Sequence[float]
    hit_rate: float
    leaks: int
    cost: str
    versions: Mapping[str, str]

    def speed(self) -> str:
        slow = measure.milliseconds([p95(self.seconds)])
        return f"p50 {measure.milliseconds(self.seconds)}, p95 {slow}, {self.cost}"


def entries(results: Mapping[str, Result], skipped: Mapping[str, str], remark: str) -> list[Entry]:
    ours, versions = results[OURS], measure.versions()
    for each in results.values():
        versions |= each.versions
    entry = partial(Entry, 5, versions=versions)

    def peers(say: Callable[[Result], float | str]) -> dict[str, float | str]:
        return {title: say(results[title]) if title in results else skipped[title] for title in PEERS}

    ratios = [
        f"{title} ÷ ours {measure.ratio(each.rounds, ours.rounds):.3g} ({measure.spread(each.rounds, ours.rounds)})"
        for title, each in results.items()
        if title != OURS
    ]
    size = f"{TENANTS * CHUNKS:,} chunks, {TENANTS} tenants, {ASKED} questions."
    speed = f"{size} Ours: {ours.speed()}. {remark} {'; '.join(ratios)}"
    best = max((each.hit_rate for title, each in results.items() if title != OURS), default=None)
    return [
        entry(
            f"p95 of {RIVAL} ÷ ours, filtered hybrid retrieval",
            measure.ratio(results[RIVAL].rounds, ours.rounds) if RIVAL in results else None,
            "≥ 50",
            peers(Result.speed),
            note=speed if RIVAL in results else skipped[RIVAL],
        ),
        entry(
            "leaks: chunks shown to users who may not see them",
            ours.leaks,
            "= 0",
            peers(lambda each: each.leaks),
            note=f"{ASKED // len(KINDS)} of the questions ask for a text that their user may not see",
        ),
        entry(
            "hit@5, ours less the best peer's",
            None if best is None else ours.hit_rate - best,
            "≥ 0",
            peers(lambda each: round(each.hit_rate, 3)),
            note="skipped: no peer answers" if best is None else f"ours {ours.hit_rate:.3f}; probes do not count",
        ),
    ]


PARTS = (filtered_hybrid_retrieval,)
