"""Personal data: how much of it is found, how much else is taken for it, and how much reaches the disk.

Recall and precision by kind on generated messages (`tests/people.py`: seeded, checksums right, look-alikes beside them)
and on 100 sentences of Presidio's generator. A find is right when it covers the whole value and has its kind. The
generator and the finder have one author, and the sentences of Presidio were looked at while the finder was written:
both say what it can do at best. Only names were written by the one half of the sentences and are reported on the other.
What reaches the disk is in `pii_on_disk.py`.
Data: https://github.com/microsoft/presidio-research, `generated_small.json` (MIT).
"""

import json
import random
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from patterns import acme, person_names
from patterns.errors import CallerError
from patterns.pii import find
from tests.people import People

from . import measure
from .measure import Entry, Skipped
from .pii_on_disk import on_disk

SEED, MESSAGES = 42, 10_000
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


def scores(
    texts: Iterable[tuple[str, Gold]], finder: Finder, kinds: Sequence[str] = KINDS
) -> dict[str, tuple[float, float, int]]:
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
        counter["all"] = sum(counter[kind] for kind in kinds)

    def share(part: int, whole: int) -> float:
        return part / whole if whole else float("nan")

    return {
        kind: (share(hits[kind], there[kind]), share(right[kind], said[kind]), there[kind]) for kind in (*kinds, "all")
    }


def generated(count: int) -> list[tuple[str, Gold]]:
    people = People(SEED)
    said = [people.said() for _ in range(count)]
    return [(one.text, [(value.kind, value.start, value.end) for value in one.planted]) for one in said]


def of_presidio(folder: Path, labels: Mapping[str, str] = LABELS) -> list[tuple[str, Gold]]:
    rows = json.loads((folder / "generated_small.json").read_text(encoding="utf-8"))
    return [
        (
            row["full_text"],
            [
                (labels[span["entity_type"]], span["start_position"], span["end_position"])
                for span in row["spans"]
                if span["entity_type"] in labels
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


# names that nobody told us

INTRODUCED = ("My name is {}.", "Ich heiße {}.", "Regards,\n{}", "Dear {}, thank you.")
MENTIONED = ("I spoke with {} yesterday.", "{} said that it is free.", "It was for {}, my neighbour.")


def with_names(frames: Sequence[str], count: int) -> list[tuple[str, Gold]]:
    """Messages in which customers of the invented shop are named: names that the lists were not chosen for."""
    draw, people = random.Random(SEED), People(SEED)
    names = [customer["name"] for customer in acme.customers().values()]
    texts: list[tuple[str, Gold]] = []
    for _ in range(count):
        name, before = draw.choice(names), f"It is about {people.lookalike()}. "
        text = before + draw.choice(frames).format(name)
        texts.append((text, [("name", text.index(name, len(before)), text.index(name, len(before)) + len(name))]))
    return texts


def names() -> list[Entry]:
    """With the extra `pii`."""
    try:
        person_names.first_names()
    except CallerError as error:
        raise Skipped(str(error)) from None

    def finder(text: str) -> Gold:
        return [("name", start, end) for start, end in person_names.people(text)]

    half = of_presidio(measure.bench_data("presidio_small"), {"PERSON": "name"})[1::2]
    groups = {
        "presidio_small, the half that was not looked at": half,
        "generated, introduced": with_names(INTRODUCED, 1_000),
        "generated, only mentioned": with_names(MENTIONED, 1_000),
    }
    entries = []
    for group, texts in groups.items():
        recall, precision, count = scores(texts, finder, ("name",))["name"]
        note = f"{count} names in {len(texts)} texts"
        for metric, value in (("recall", recall), ("precision", precision)):
            entries.append(Entry("pii", f"{metric} of name, {group}", value, "", {}, measure.versions("names"), note))
    return entries


PARTS = (on_generated, on_presidio_small, names, on_disk)
