"""Short strings for fields: names, places, titles and phrases that stand in the texts."""

import re

import numpy as np

from .evidence import Candidate, Evidence
from .relevance import relevance
from .words import ENGLISH, GERMAN, language

_PERSON = (
    r"\bname\b|person|customer|author|patient|passenger|member|reader|contact|\buser\b|sender|recipient|"
    r"vendor|merchant|seller|shop|store|company|caller"
)
# Words before a place that say which end of a journey, or which room or town, it is.
_BEFORE = (
    (r"origin|from|depart|start|source", r"(?:from|von|ab|leaving|departing)"),
    (r"destin|\bto\b|arriv|target|ziel", r"(?:to|nach|zu|towards?|for|bound for)"),
    (
        r"city|town|place|location|station|stop\b|where|address|branch|country|ort|stadt|bahnhof|haltestelle",
        r"(?:in|at|near|to|from|around|for|of|bei)",
    ),
)


def short(name: str, hint: str, evidence: Evidence) -> list[Candidate]:
    """A short span: a labelled value, a name, a quoted text, what follows the right preposition, or "
    "the phrase that fits best."""
    found = [Candidate(one.value, one.support) for one in evidence.labelled(name) if isinstance(one.value, str | int)]
    if evidence.row is not None:
        plain = re.sub(
            r"\s*(?:\d+\s*[x×]\s*|[€$£]?\s*\d+(?:[.,]\d+)?\s*(?:[€$£%]|EUR|USD|GBP)?)", " ", evidence.row
        ).strip(" \t-:,.|")
        return [*found, *([Candidate(" ".join(plain.split()), 0.7)] if plain else [])]
    for pattern, before in _BEFORE:
        if re.search(pattern, name):
            for text, trust, _ in evidence.pieces[:4]:
                named = re.finditer(rf"\b{before}\s+((?:the\s+)?[A-ZÄÖÜ][\w'’-]*(?:\s+[A-ZÄÖÜ][\w'’-]*)*)", text)
                found += [Candidate(one[1].removeprefix("the "), round(0.85 * trust, 4)) for one in named]
            if found:
                break
    if re.search(_PERSON, name):
        for text, trust, _ in evidence.pieces:
            told = re.search(
                (
                    r"\b(?:my name is|i am|i'm|this is|ich heiße|mein name ist|name:|patient|passenger|"
                    r"mr\.?|mrs\.?|ms\.?|dr\.?)\s+((?:[A-ZÄÖÜ][\w'’-]+\s?)+)"
                ),
                text,
                re.IGNORECASE,
            )
            if told and told[1][:1].isupper():
                found.append(Candidate(told[1].strip(), round(0.9 * trust, 4)))
        found += evidence.nearest({"name"}, hint, alone=0.55)
        if re.search(r"merchant|vendor|seller|shop|store|company", name):
            # A receipt or letter opens with who it is from.
            lines = [line.strip() for line in evidence.own.splitlines() if line.strip()]
            heads = [line for line in lines[:3] if not re.search(r"\d|[:?]$", line)] if len(lines) > 2 else []
            found += [Candidate(line, 0.8) for line in heads[:1]]
        return sorted(found, key=lambda one: -one.support)
    found += evidence.nearest({"quoted"}, hint, alone=0.6)
    # A description that shows a name ("like Mill Square") wants one.
    shown = evidence.calling and re.search(r"\b(?:like|such as|e\.g\.|for example) [A-ZÄÖÜ][a-zäöü]", hint)
    found += evidence.nearest({"name"}, hint, alone=0.7 if shown else 0.35)
    if not (evidence.calling and any(re.search(pattern, name) for pattern, _ in _BEFORE)):
        found += phrases(name, hint, evidence)
    return sorted(found, key=lambda one: -one.support)


def phrases(name: str, hint: str, evidence: Evidence) -> list[Candidate]:
    """Runs of content words of the text, by how well they fit the hint; without meaning the first run "
    "beside a word of it."""
    text = evidence.own or evidence.prompt.question
    small = GERMAN if language(text) == "de" else ENGLISH
    runs: list[str] = []
    for clause in re.split(r"[.,;:!?()\n]", text[:3000]):
        run: list[str] = []
        for word in [*clause.split(), ""]:
            if word and word.lower() not in small and len(run) < 5:
                run.append(word)
            elif run:
                runs.append(" ".join(run))
                run = []
    runs = list(dict.fromkeys(run for run in runs if len(run) > 2))[:60]
    if not runs:
        return []
    scores = relevance(f"{name}: {hint}", runs, evidence.meaning, lang=language(text))
    order = np.argsort(-scores, kind="stable")[:3]
    return [Candidate(runs[at], round(float(0.25 + 0.6 * scores[at]), 4)) for at in order if scores[at] > 0.05]
