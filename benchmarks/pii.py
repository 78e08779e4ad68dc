"""Personal data: how much of it is found, how much else is taken for it, and how much reaches the disk.

Recall and precision by kind on generated messages (`tests/people.py`: seeded, checksums right, look-alikes beside them)
and on 100 sentences of Presidio's generator. A find is right when it covers the whole value and has its kind. The
generator and the finder have one author, and the sentences of Presidio were looked at while the finder was written:
both say what it can do at best. Then 1,000 conversations run through the assistant on the stand-in, and every byte of
the state folder is searched for each value that was planted, by a search that knows nothing of the finder.
Data: https://github.com/microsoft/presidio-research, `generated_small.json` (MIT).
"""

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from patterns import acme, caching, cost_control, eval_production, models, rolling_summary, state
from patterns.core import model_call, support_prompt
from patterns.course import control
from patterns.erasing import files_under, needles
from patterns.events import Message, Turn, answer, stack
from patterns.pii import find
from patterns.pseudonyms import pseudonymised
from tests.people import People, Planted

from . import measure
from .measure import Entry, Skipped

SEED, MESSAGES, CONVERSATIONS, AT_ONCE = 42, 10_000, 1_000, 16
HEAD, PIECE = 6, 4_000_000  # bytes: what a value is looked up by; what is read at once
KINDS = ("email", "phone", "card", "iban", "ssn")
LABELS = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "card",
    "US_SSN": "ssn",
    "IBAN_CODE": "iban",
}
PEER = "presidio-analyzer==2.2.366"

Gold = list[tuple[str, int, int]]  # kind, start, end
Finder = Callable[[str], Gold]


def ours(text: str) -> Gold:
    return [(span.kind, span.start, span.end) for span in find(text)]


def scores(texts: Iterable[tuple[str, Gold]], finder: Finder) -> dict[str, tuple[float, float, int]]:
    """Recall, precision and number of values by kind and "all"; NaN where there was none."""
    there, hits, right, said = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for text, gold in texts:
        found = finder(text)
        for kind, start, end in gold:
            there[kind] += 1
            hits[kind] += any(one == kind and begin <= start and stop >= end for one, begin, stop in found)
        for kind, start, end in found:
            said[kind] += 1
            right[kind] += any(one == kind and begin < end and stop > start for one, begin, stop in gold)
    for counter in (there, hits, right, said):
        counter["all"] = sum(counter[kind] for kind in KINDS)

    def share(part: int, whole: int) -> float:
        return part / whole if whole else float("nan")

    return {
        kind: (share(hits[kind], there[kind]), share(right[kind], said[kind]), there[kind]) for kind in (*KINDS, "all")
    }


def generated(count: int) -> list[tuple[str, Gold]]:
    people = People(SEED)
    said = [people.said() for _ in range(count)]
    return [(one.text, [(value.kind, value.start, value.end) for value in one.planted]) for one in said]


def of_presidio(folder: Path) -> list[tuple[str, Gold]]:
    rows = json.loads((folder / "generated_small.json").read_text(encoding="utf-8"))
    return [
        (
            row["full_text"],
            [
                (LABELS[span["entity_type"]], span["start_position"], span["end_position"])
                for span in row["spans"]
                if span["entity_type"] in LABELS
            ],
        )
        for row in rows
    ]


_ASK_PRESIDIO = """
import json, sys
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer, EmailRecognizer, IbanRecognizer, PhoneRecognizer, UsSsnRecognizer)
recognizers = [CreditCardRecognizer(), EmailRecognizer(), IbanRecognizer(), UsSsnRecognizer(),
               PhoneRecognizer(supported_regions=["US", "DE", "AT", "GB"])]
labels, least = json.loads(sys.argv[1]), float(sys.argv[2])
out = []
for text in json.load(sys.stdin):
    found = [one for each in recognizers for one in each.analyze(text, each.supported_entities, None) or []]
    out.append([[labels[one.entity_type], one.start, one.end] for one in found
                if one.entity_type in labels and one.score >= least])
print(json.dumps(out))
"""


def presidio(texts: Sequence[str]) -> dict[str, Gold]:
    """What Presidio's recognizers of the same kinds find, without a language model. Raises Skipped."""
    python = measure.peer(PEER)
    done = subprocess.run(
        [str(python), "-c", _ASK_PRESIDIO, json.dumps(LABELS), "0.4"],
        input=json.dumps(list(texts)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Skipped(f"{PEER} does not run here ({measure.last_line(done.stderr)})")
    return {
        text: [(kind, start, end) for kind, start, end in found]
        for text, found in zip(texts, json.loads(done.stdout), strict=True)
    }


def compared(name: str, texts: list[tuple[str, Gold]], goals: bool) -> list[Entry]:
    mine, theirs, missing = scores(texts, ours), dict[str, tuple[float, float, int]](), ""
    try:
        found = presidio([text for text, _ in texts])
        theirs = scores(texts, lambda text: found[text])
    except Skipped as reason:
        missing = f"skipped: {reason}"
    entries = []
    for kind, (recall, precision, count) in mine.items():
        for metric, place, goal in (("recall", 0, "≥ 0.98"), ("precision", 1, "≥ 0.95")):
            value = (recall, precision)[place]
            if value != value:
                continue
            peers: dict[str, float | str] = {PEER: round(theirs[kind][place], 4) if theirs else missing}
            note = f"{count} values in {len(texts)} texts; Presidio's patterns alone, at score 0.4 and more"
            entries.append(
                Entry("pii", f"{metric} of {kind}, {name}", value, goal if goals else "", peers,
                      measure.versions("phonenumbers"), note)
            )  # fmt: skip
    return entries


def on_generated() -> list[Entry]:
    return compared("generated", generated(MESSAGES), goals=True)


def on_presidio_small() -> list[Entry]:
    return compared("presidio_small", of_presidio(measure.bench_data("presidio_small")), goals=False)


# what reaches the disk


def left_on_disk(folder: Path, values: Iterable[Planted]) -> tuple[int, int]:
    """Of how many values a trace is in the folder, and how many bytes were read."""
    forms = {value.value for value in values}
    forms |= {"".join(sign for sign in value if sign.isalnum()) for value in forms if "@" not in value}
    begins: dict[int, list[tuple[bytes, str]]] = {}
    for form in forms:
        wanted = needles([form])
        for one in (*wanted.whole, *wanted.anywhere):
            begins.setdefault(int.from_bytes(one[:HEAD], "little"), []).append((one, form))
    keys, found, size = np.array(sorted(begins), np.uint64), set[str](), 0
    for path in files_under(folder):
        data = path.read_bytes().lower()
        size += len(data)
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE + 200]
            letters = np.frombuffer(piece, np.uint8).astype(np.uint64)
            heads = np.zeros(max(0, len(letters) - HEAD + 1), np.uint64)
            for place in range(HEAD):
                heads |= letters[place : place + len(heads)] << np.uint64(8 * place)
            for place in np.flatnonzero(np.isin(heads, keys)):
                found |= {form for one, form in begins[int(heads[place])] if piece.startswith(one, int(place))}
    return len(found), size


async def converse(count: int) -> list[Planted]:
    """`count` conversations of six messages and a question, all with personal data, through every layer that writes."""
    people, kept, planted = People(SEED), [], list[Planted]()
    users = [acme.user(name) for name in acme.customers()]
    layers = (
        eval_production.traced(kept.append), cost_control.recorded, caching.response_cache(recipe),
        caching.semantic_cache(recipe), rolling_summary.summarised(), pseudonymised(),
    )  # fmt: skip
    assistant = stack(model_call(support_prompt, "small", max_tokens=60, whole=True), *layers)
    free = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        said = [people.said() for _ in range(7)]
        planted.extend(value for message in said for value in message.planted)
        spoken = [(Message("user", before.text), Message("assistant", "Thank you.")) for before in said[:6]]
        history = tuple(message for pair in spoken for message in pair)
        async with free:
            await answer(assistant, Turn(said[6].text, users[number % len(users)], history))

    await asyncio.gather(*map(one, range(count)))
    traces = state.folder() / "traces.jsonl"
    traces.write_text("".join(f"{trace}\n" for trace in kept), encoding="utf-8")
    return planted


async def recipe(turn: Turn) -> str:
    return "v1"


def on_disk() -> list[Entry]:
    async def run() -> tuple[list[Planted], tuple[int, int]]:
        control.turn(time_to_first_token=0, tokens_per_second=1e6)
        planted = await converse(CONVERSATIONS)
        await models.close()
        return planted, left_on_disk(state.folder(), planted)

    with measure.standin():
        planted, (left, size) = asyncio.run(run())
    note = (
        f"{CONVERSATIONS:,} conversations; {len(planted):,} values looked for in {size / 1e6:.1f} MB of ledger, "
        "caches, summaries and traces: as text, in UTF-16, base64, JSON and URLs"
    )
    return [
        Entry(
            "pii",
            "values on disk after 1,000 conversations, over all",
            left / len(planted),
            "≤ 0.02",
            {},
            measure.versions("phonenumbers"),
            note,
        )
    ]


PARTS = (on_generated, on_presidio_small, on_disk)
