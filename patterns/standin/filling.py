"""Filling any JSON schema from a prompt, field by field and in the schema's order, so that the result validates.

Covered: object, array, string, number, integer, boolean, null, enum, const, anyOf, oneOf, allOf, $ref (recursion
bounded), limits, formats, simple patterns, default. Not covered: not, if/then/else, dependent and pattern properties,
patterns with look-around or back-references.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import captions, shapes, tables
from .evidence import Candidate, Evidence
from .labelling import chances, fitness, nothing_seen, plainly
from .prompt import Prompt
from .relevance import Encode, relevance
from .shapes import Schema, number_in, resolved, types
from .values import boolean, number, rows
from .words import humanise
from .writing import ids, string

DEEP = 12
"""Nested schemas beyond this depth, or a reference inside itself twice, get the smallest value that fits."""
LONGEST = 200
"""The most entries of a list that are read from an image."""
LISTED = {True: 0.27, False: 0.15}
"""The fitness from which an enum's value enters a list of several, with and without meaning."""
SUPPORTED = 0.45
"""The support from which an optional or nullable field is filled."""


def fill(schema: Schema, prompt: Prompt, meaning: Encode | None) -> Any:
    """The value of the schema that the prompt supports best."""
    return filled(schema, Evidence(prompt, meaning)).value


def arguments(schema: Schema, prompt: Prompt, meaning: Encode | None) -> tuple[dict[str, Any], dict[str, float]]:
    """Arguments for a tool with these parameters, and the support of each, 0 to 1."""
    evidence = Evidence(prompt, meaning, calling=True)
    root = {"type": "object", **schema}
    supports: dict[str, float] = {}
    value = _Form(root, evidence, supports).object(resolved(root, root), "", 0, ())
    return value.value, supports


def filled(schema: Schema, evidence: Evidence) -> Candidate:
    """The value and the support for it."""
    return _Form(schema, evidence, {}).value(schema, "", "", 0, ())


class _Form:
    """One walk over one schema: the root that references point into, the evidence, and the support of "
    "top-level fields."""

    def __init__(self, root: Schema, evidence: Evidence, supports: dict[str, float]) -> None:
        self.root, self.evidence, self.supports = root, evidence, supports

    def value(self, schema: Any, name: str, above: str, depth: int, path: tuple[str, ...]) -> Candidate:
        """`above` describes what the field belongs to; `path` has the references that led here."""
        ref = str(schema.get("$ref", "")) if isinstance(schema, Mapping) else ""
        path = (*path, ref) if ref else path
        if depth > DEEP or (ref and path.count(ref) > 2):
            return Candidate(shapes.smallest(schema, self.root), 0.1)
        schema = resolved(schema, self.root)
        hint = " ".join(
            str(part) for part in (name, schema.get("title", ""), schema.get("description", ""), above) if part
        )
        if "const" in schema:
            return Candidate(schema["const"], 0.5)
        if "enum" in schema:
            return self.enum(schema, name, hint)
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                rest = {one: item for one, item in schema.items() if one not in {key, "title", "default"}}
                branches = [
                    {"allOf": [rest, branch]} if rest.keys() - {"description", "$defs", "definitions"} else branch
                    for branch in schema[key]
                ]
                return self.branch(branches, name, hint, depth, path)
        allowed = types(schema)
        if len(allowed) > 1:
            return self.branch([{**schema, "type": one} for one in allowed], name, hint, depth, path)
        match allowed[0]:
            case "object":
                return self.object(schema, name, depth, path)
            case "array":
                return self.array(schema, name, hint, depth, path)
            case "number" | "integer":
                return number(schema, name, hint, allowed[0] == "integer", self.evidence)
            case "boolean":
                return boolean(schema, name, hint, self.evidence)
            case "null":
                return Candidate(None, SUPPORTED)
            case _:
                return string(schema, name, hint, self.evidence)

    def enum(self, schema: Schema, name: str, hint: str) -> Candidate:
        values = [one for one in schema["enum"] if one is not None] or [None]
        allowed = schema.get("type")
        values = [one for one in values if allowed is None or _is(one, allowed)] or values
        if len(values) == 1:
            return Candidate(values[0], 0.5)
        if self.evidence.sheet and self.evidence.row is None:
            pairs = [(key, str(value)) for key, value, _ in self.evidence.pairs]
            if (named := captions.choice(values, name, self.evidence.sheet, pairs)) is not None:
                self.evidence.margins.append(0.95)
                self.evidence.chosen[name] = 0.95
                return Candidate(named, 0.95)
        scores = fitness(values, name, hint, self.evidence)
        odds = chances(scores, self.evidence)
        unseen = nothing_seen(values, scores)
        best = int(np.argmax(odds)) if unseen is None else unseen
        least = LISTED[self.evidence.meaning is not None]
        if self.evidence.calling and scores[best] < least:
            # A guess, not something that was said: too weak for an optional argument, or even for a required one.
            return Candidate(schema.get("default", values[best]), 0.35 if scores[best] >= 0.7 * least else 0.2)
        if "default" in schema and self.evidence.calling and odds[best] < 0.5:
            return Candidate(schema["default"], 0.3)
        self.evidence.margins.append(float(odds[best]))
        self.evidence.chosen[name] = float(odds[best])
        if None in schema["enum"] and odds[best] < 0.4:
            return Candidate(None, SUPPORTED)
        return Candidate(values[best], round(float(max(odds[best], 0.3)), 4))

    def branch(self, branches: Sequence[Any], name: str, hint: str, depth: int, path: tuple[str, ...]) -> Candidate:
        """The alternative that fits the question and the evidence best; null when nothing supports the others."""
        whole = [resolved(one, self.root) for one in branches]
        nulls = [at for at, one in enumerate(whole) if types(one) == ["null"] or one.get("const", 0) is None]
        others = [at for at in range(len(whole)) if at not in nulls]
        if not others:
            return Candidate(None, 1.0)
        fit = np.zeros(len(others))
        if len(others) > 1 and self.evidence.own:
            fit = relevance(
                self.evidence.own[:1500], [_gloss(whole[at], self.root) for at in others], self.evidence.meaning
            )
            fit += np.array([self._known(whole[at]) for at in others])
        kept = list(self.evidence.margins), list(self.evidence.earlier)
        found: list[Candidate] = []
        for at in others:
            self.evidence.margins[:], self.evidence.earlier[:] = kept
            found.append(self.value(branches[at], name, hint, depth + 1, path))
        scores = np.round([one.support + weight for one, weight in zip(found, 2 * fit, strict=True)], 4)
        best = int(np.argmax(scores))
        return Candidate(None, 1.0) if nulls and found[best].support < SUPPORTED else found[best]

    def _known(self, schema: Schema) -> float:
        """For a choice between answering and something else: whether the documents answer."""
        kinds = {
            str(item["const"])
            for part in schema.get("properties", {}).values()
            if "const" in (item := resolved(part, self.root))
        }
        answers = bool(kinds & {"answer", "respond", "reply", "final", "final_answer"})
        seeks = bool(kinds & {"search", "lookup", "retrieve", "escalate", "handoff", "unknown", "refuse", "clarify"})
        if not self.evidence.prompt.documents or not (answers or seeks):
            return 0.0
        sure = self.evidence.reading.confidence - 0.5
        return 0.5 * sure if answers else -0.5 * sure

    def object(self, schema: Schema, name: str, depth: int, path: tuple[str, ...]) -> Candidate:
        properties: dict[str, Any] = dict(schema.get("properties", {}))
        required = list(schema.get("required", ()))
        extra = schema.get("additionalProperties", {})
        names = [*properties, *(one for one in required if one not in properties)]
        made: dict[str, Any] = {}
        supports: list[float] = []
        for key in names:
            self._upcoming(key, properties, made)
            field = self.value(properties.get(key, extra), humanise(key), name, depth + 1, path)
            if depth == 0:
                self.supports[key] = field.support
            if key in required or field.support >= SUPPORTED:
                made[key] = field.value
                supports.append(field.support)
                if self.evidence.calling and isinstance(field.value, str):
                    self.evidence.taken.add(field.value)
                if isinstance(field.value, str) and len(field.value.split()) > 3:
                    self.evidence.earlier.append(field.value)
        number = 0
        while len(made) < schema.get("minProperties", 0):
            number += 1
            made.setdefault(f"item_{number}", self.value(extra, "", name, depth + 1, path).value)
        return Candidate(made, round(sum(supports) / len(supports), 4) if supports else 0.3)

    def _upcoming(self, key: str, properties: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        """Before a confidence that stands ahead of the choice it is about, makes the choice in secret."""
        if "confiden" not in key or self.evidence.margins:
            return
        for other, part in properties.items():
            schema = resolved(part, self.root)
            if other not in made and isinstance(schema.get("enum"), list):
                self.enum(schema, humanise(other), f"{humanise(other)} {schema.get('description', '')}")
                return

    def array(self, schema: Schema, name: str, hint: str, depth: int, path: tuple[str, ...]) -> Candidate:
        most = LONGEST if self.evidence.sheet else 20  # a page is as long as it is; a question is not
        least, most = int(schema.get("minItems", 0)), int(min(schema.get("maxItems", most), most))
        most = max(least, most)
        items = schema.get("items", {})
        whole = resolved(items, self.root)
        found: list[Candidate] = []
        prefix = [self.value(one, name, hint, depth + 1, path) for one in schema.get("prefixItems", ())]
        if most > len(prefix):
            found = self._entries(items, whole, name, hint, depth, path)
        kept: list[Candidate] = prefix
        for one in found:
            if len(kept) < most and not (
                schema.get("uniqueItems") and shapes.key(one.value) in {shapes.key(two.value) for two in kept}
            ):
                kept.append(one)
        values = [one.value for one in kept]
        for turn in range(256):
            if len(values) >= least:
                break
            spare = shapes.smallest(items, self.root, turn)
            if not schema.get("uniqueItems") or shapes.key(spare) not in map(shapes.key, values):
                values.append(spare)
        return Candidate(values, max((one.support for one in kept), default=0.3))

    def _entries(
        self, items: Any, whole: Schema, name: str, hint: str, depth: int, path: tuple[str, ...]
    ) -> list[Candidate]:
        """The entries of a list that the evidence holds."""
        if isinstance(whole.get("enum"), list):
            scores = fitness(whole["enum"], name, hint, self.evidence)
            least = max(LISTED[self.evidence.meaning is not None], 0.75 * float(scores.max()))
            order = [int(at) for at in np.argsort(-scores, kind="stable") if scores[at] >= least]
            return [Candidate(whole["enum"][at], min(1.0, float(scores[at]) + 0.2)) for at in order]
        kinds = ["any"] if "anyOf" in whole or "oneOf" in whole or "const" in whole else types(whole)
        if kinds == ["string"] and not whole.get("pattern") and (known := ids(name, hint, self.evidence)) is not None:
            return [Candidate(one, 0.9) for one in known if shapes.fits(one, whole) and shapes.formatted(one, whole)]
        if kinds == ["number"] or kinds == ["integer"]:
            near = [one for one in self.evidence.nearest({"number"}, hint) if one.support >= SUPPORTED]
            moved = [(one.value, number_in(float(one.value), whole, kinds == ["integer"])) for one in near]
            return [Candidate(inside, 0.6) for said, inside in moved if inside == said]
        if kinds == ["object"] and self.evidence.sheet and self.evidence.row is None:
            found = tables.entries(self.evidence.sheet, [humanise(key) for key in whole.get("properties", {})])
            inner = [replace(self.evidence, row=one.text, cells=one.cells, earlier=[], margins=[]) for one in found]
            return [_Form(self.root, one, {}).value(items, name, hint, depth + 1, path) for one in inner]
        made: list[Candidate] = []
        for row in rows(self.evidence, kinds == ["object"]) if self.evidence.row is None else ():
            inner = replace(self.evidence, row=row, earlier=[], margins=[])
            if kinds == ["string"] and shapes.fits(row, whole) and shapes.formatted(row, whole):
                made.append(Candidate(row, 0.6))
            else:
                made.append(_Form(self.root, inner, {}).value(items, name, hint, depth + 1, path))
        return [one for one in made if one.support >= SUPPORTED]


def _is(value: Any, allowed: str | Sequence[str]) -> bool:
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number"}
    kind = kinds.get(type(value), "")
    named = [allowed] if isinstance(allowed, str) else allowed
    return kind in named or (kind == "integer" and "number" in named) or not kind


def _gloss(schema: Schema, root: Schema) -> str:
    """An alternative in words: its title, description, constants, and the names of its fields."""
    parts = [str(schema.get("title", "")), str(schema.get("description", ""))]
    for key, part in schema.get("properties", {}).items():
        inner = resolved(part, root)
        parts.append(plainly(inner["const"]) if "const" in inner else f"{humanise(key)} {inner.get('description', '')}")
    return ". ".join(part for part in parts if part) or types(schema)[0]
