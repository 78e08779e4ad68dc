"""Strings for fields, taken from the texts of the prompt and cut or built to fit the schema.

What is taken depends on what the field's name says it is: an id, a date, a person, a summary, a reason, a query.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

from . import captions, reading, shapes
from .evidence import Candidate, Evidence
from .naming import phrases, short
from .relevance import relevance
from .shapes import Schema
from .spans import Kind, spans
from .words import clipped, language, sentences, stems, words

_KINDS: tuple[tuple[str, set[Kind]], ...] = (
    (r"e ?mail", {"email"}),
    (r"\burl\b|\blink\b|website|\buri\b", {"uri"}),
    (r"\buuid\b", {"uuid"}),
    (r"phone|telephone|mobile|telefon", {"phone"}),
    (r"\bdate\b|\bday\b|deadline|birthday|\bdob\b|\bdue\b|\bsince\b|\buntil\b|\bvalid\b|\bdatum\b", {"date"}),
    (r"\btime\b|uhrzeit", {"time"}),
    (
        (
            r"\bids?\b|\bnumber\b|\bcode\b|\bsku\b|reference|\biban\b|\bno\b|\bnr\b|nummer|serial|tracking|"
            r"\bref\b|barcode|\bisbn\b"
        ),
        {"id"},
    ),
)
_FORMATS: dict[str, set[Kind]] = {
    "email": {"email"}, "uri": {"uri"}, "uuid": {"uuid"}, "date": {"date"}, "date-time": {"date"}, "time": {"time"},
}  # fmt: skip
QUERY = 30
"""Words that a search query may have before a message is cut down to its questions."""
_ASKED_FOR = re.compile(
    (
        r"^(?:(?:hi|hello|hey|please|bitte|hallo)\b[\s,!]*)*(?:(?:can|could|would|will) (?:you|i|we)(?: "
        r"please)? |i(?:'d| would) (?:like|love)(?: you)? to |i (?:want|need|have)(?: to)? |"
        r"(?:do|does) (?:you|the \w+) have |(?:is|are) there |(?:können|könnten) sie (?:mir )?|ich "
        r"(?:möchte|suche|brauche) )?"
        r"(?:(?:tell|show|give|find|get|look|search|check)(?: me| us| up| out)?(?: for| if| "
        r"whether)?\s+)?(?:(?:any|some|something|books?|the|a|an|information|details?) (?:about|on|for) |"
        r"what (?:is|are) |how (?:do|can) i )?"
    ),
    re.IGNORECASE,
)


def ids(name: str, hint: str, evidence: Evidence) -> list[str] | None:
    """The documents that the answer rests on, when a list of strings asks for them; else None."""
    if (
        re.search(
            r"\b(?:cited|citations?|sources?|chunks?|documents?|docs?|passages?|references?|evidence)\b", f"{name}"
        )
        and evidence.row is None
    ):
        return list(evidence.reading.cited)
    wanted = re.search(r"\bids?\b|\bnumbers\b|\bcodes\b", name)
    return list(dict.fromkeys(str(one.value) for one in evidence.nearest({"id"}, hint))) if wanted else None


def string(schema: Schema, name: str, hint: str, evidence: Evidence) -> Candidate:
    """The best string for a field, cut or built so that it fits."""
    if evidence.sheet and "format" not in schema and re.search(r"\bYYYY-MM-DD\b", hint):
        schema = {**schema, "format": "date"}  # some providers take no formats, so it is said in words
    found = _candidates(schema, name, hint, evidence)
    if evidence.cells is not None and "format" not in schema:
        said = evidence.cells.get(name)
        found = [Candidate(said, 0.9)] if said else []
    elif evidence.sheet and evidence.row is None and not evidence.calling:
        pairs = [(key, str(value)) for key, value, _ in evidence.pairs]
        if said := captions.string(name, hint, evidence.sheet, pairs):
            found = [Candidate(said, 0.9), *found]
    limit = int(schema.get("maxLength", 10**9))
    for one in found:
        text = str(one.value)
        if shapes.fits(text, schema) and shapes.formatted(text, schema):
            return Candidate(text, one.support)
    if "pattern" in schema:
        return _by_pattern(schema, hint, evidence)
    if "format" not in schema:
        for one in found:
            if one.value and len(str(one.value)) > limit:
                return Candidate(
                    clipped(str(one.value), limit).ljust(int(schema.get("minLength", 0)), "."), one.support
                )
            if one.value and one.support >= 0.3:
                return Candidate(str(one.value).ljust(int(schema.get("minLength", 0)), "."), one.support)
    if isinstance(schema.get("default"), str):
        return Candidate(schema["default"], 0.3)
    if evidence.calling and evidence.meaning is None and "format" not in schema:
        # Words alone cannot tell that something was not said: the small tier guesses.
        guess = next((str(one.value) for one in phrases(name, hint, evidence)), evidence.prompt.question)
        if shapes.fits(guess, schema):
            return Candidate(guess, 0.2)
    return Candidate(shapes.spare(schema), 0.1)


def _candidates(schema: Schema, name: str, hint: str, evidence: Evidence) -> list[Candidate]:
    form = str(schema.get("format", ""))
    kinds: set[Kind] | None = _FORMATS.get(form) or next(
        (kinds for pattern, kinds in _KINDS if re.search(pattern, name)), None
    )
    ending = re.search(r" (on|at)$", name)
    if kinds is None and ending:
        kinds = {"date"}
    if kinds is None and evidence.calling and any(one.kind == "id" for one in spans(hint)):
        kinds = {"id"}  # the description shows one, as "Line, like N3"
    if kinds is None and not _has_role(name):
        kinds = next((kinds for pattern, kinds in _KINDS if re.search(pattern, hint.lower().split(". ")[0][:60])), None)
    if kinds:
        found = [
            one
            for one in evidence.labelled(name)
            if isinstance(one.value, str | int) and not isinstance(one.value, bool)
        ]
        found += evidence.nearest(kinds, hint)
        if kinds == {"id"}:
            found = [one for one in found if re.search(r"\d", str(one.value))]
        # What another field of the same call has taken is left to it, when there is more to take.
        found.sort(key=lambda one: (str(one.value) in evidence.taken, -one.support))
        return [Candidate(_stamp(str(one.value), form), one.support) for one in found]
    for pattern, write in _ROLES:
        if re.search(pattern, name):
            return write(name, hint, evidence)
    return short(name, hint, evidence)


def _stamp(value: str, form: str) -> str:
    """A date as `date-time` wants it, or without its time as `date` does."""
    if form == "date-time":
        day, _, time = value.partition("T")
        return f"{day}T{(time or '00:00'):0<5}{'' if time.count(':') == 2 else ':00'}Z"
    if form == "time":
        return f"{value}:00Z"
    return value.partition("T")[0] if form == "date" else value


def _answer(name: str, hint: str, evidence: Evidence) -> list[Candidate]:
    if evidence.calling:
        return _content(name, hint, evidence)
    return [Candidate(evidence.reading.text, max(0.3, evidence.reading.confidence))]


def _content(name: str, _hint: str, evidence: Evidence) -> list[Candidate]:
    """What is to be said or noted: what is quoted, what follows a colon or "because", else the whole request."""
    question = evidence.prompt.question
    for pattern in (
        r"[\"“„]([^\"”“]{3,})[\"”“]",
        r"(?:saying|says?|that says|message|note|text)\s*:\s*(.+)",
        r":\s+(.{8,})$",
        r"\b(?:because|since|as|weil|saying that|that)\b\s+(.{8,})$",
    ):
        said = re.search(pattern, question, re.IGNORECASE | re.DOTALL)
        if said:
            return [Candidate(said[1].strip(), 0.8)]
    # A reason is often not given; a message must say something.
    weak = bool(re.search(r"reason|because|why|grund", name))
    return [Candidate(question, 0.35 if weak else 0.6)] if question else []


def _summary(name: str, _hint: str, evidence: Evidence) -> list[Candidate]:
    if evidence.calling:
        return [Candidate(evidence.prompt.question, 0.7)]
    short = reading.summarise(evidence.prompt, evidence.meaning)
    return [Candidate(short.text, 0.8)]


def _reason(name: str, hint: str, evidence: Evidence) -> list[Candidate]:
    """The sentence of the text that says most about the decision."""
    if evidence.calling:
        return _content(name, hint, evidence)
    given = any(one.source != "user" for one in evidence.prompt.documents)
    if given and evidence.reading.sentences:
        return [Candidate(evidence.reading.sentences[0], 0.8)]
    said = [one for one in sentences(evidence.own) if len(words(one)) > 2] or [evidence.own]
    lang = language(evidence.own)
    scores = relevance(f"{hint} {evidence.own[:400]}", said, evidence.meaning, lang=lang)
    return [Candidate(said[int(np.argmax(scores))], 0.8)] if said[0] else []


def _quote(_name: str, hint: str, evidence: Evidence) -> list[Candidate]:
    return [Candidate(one, 0.8) for one in evidence.reading.sentences[:1]] or _reason(_name, hint, evidence)


def _query(_name: str, _hint: str, evidence: Evidence) -> list[Candidate]:
    """The question without its courtesies; of a long message, what it asks."""
    said = [one for one in sentences(evidence.prompt.question.strip()) if len(stems(one, language(one))) > 0]
    asked = [one for one in said if one.endswith("?")]
    if sum(len(words(one)) for one in said) > QUERY:
        said = asked or said[-1:]
    bare = " ".join(_ASKED_FOR.sub("", one, count=1).strip(" ?.!") for one in said).strip()
    kept = bare if len(stems(bare)) >= 1 else " ".join(said).strip(" ?.!")
    return [Candidate(kept, 0.6)] if kept else []


def _language(_name: str, _hint: str, evidence: Evidence) -> list[Candidate]:
    return [Candidate(language(evidence.own), 0.8)]


def _title(name: str, hint: str, evidence: Evidence) -> list[Candidate]:
    """A title that stands in the text, else the first words of its most telling sentence."""
    quoted = evidence.nearest({"quoted"}, hint, alone=0.7)
    named = evidence.labelled(name)
    names = [
        one for one in evidence.nearest({"name"}, hint, alone=0.35) if " " in str(one.value) or not evidence.calling
    ]
    head = [Candidate(clipped(str(one.value), 60).rstrip("."), 0.5) for one in _reason(name, hint, evidence)]
    subject = re.search(r"subject|headline|betreff", name)
    return sorted(
        [*named, *quoted, *([] if subject else names), *([] if evidence.calling else head)],
        key=lambda one: -one.support,
    )


Write = Callable[[str, str, Evidence], list[Candidate]]
_ROLES: Sequence[tuple[str, Write]] = (
    (r"reason|rationale|explanation|because|thought|justification|analysis|why|grund|begründung", _reason),
    (r"summar|abstract|gist|overview|zusammenfassung", _summary),
    (r"quote|excerpt|evidence|snippet|zitat", _quote),
    (r"query|search|keywords?|suchbegriff|\bq$", _query),
    (r"question|frage", _query),
    (
        (
            r"answer|reply|response|\btext\b|message|\bbody\b|content|\bnotes?\b|comment|description|"
            r"antwort|nachricht|feedback"
        ),
        _answer,
    ),
    (r"language|sprache|\blang\b", _language),
    (r"title|subject|headline|titel|betreff", _title),
)


def _has_role(name: str) -> bool:
    return any(re.search(pattern, name) for pattern, _ in _ROLES)


def _by_pattern(schema: Schema, hint: str, evidence: Evidence) -> Candidate:
    """The first piece of the texts that matches the schema's pattern, else a built one."""
    pattern = str(schema["pattern"])
    free = pattern.removeprefix("^").removesuffix("$")
    for text, trust, _ in evidence.pieces:
        for one in re.finditer(rf"(?<!\w)(?:{free})(?!\w)", text):
            if one[0] and shapes.fits(one[0], schema) and shapes.formatted(one[0], schema):
                return Candidate(one[0], round(0.8 * trust, 4))
    return Candidate(schema["default"] if isinstance(schema.get("default"), str) else shapes.spare(schema), 0.1)
