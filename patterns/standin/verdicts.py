"""A verdict in whatever form is asked for: booleans, a choice between for and against, a score, a reason.

What a field means is told by its name: a yes in `passed` is for the answer, a yes in `hallucinated` is against it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from . import judging, rubric, shapes
from .judging import Verdict
from .relevance import Encode
from .rubric import Case
from .shapes import Schema, resolved, types
from .words import clipped, humanise


def asks(schema: Schema) -> bool:
    """Whether the schema has a place for a verdict: a boolean, or a choice between for and against."""
    whole = resolved(schema, schema)
    return any(_decides(resolved(part, schema)) for part in whole.get("properties", {}).values())


def _decides(part: Schema) -> bool:
    options = [one for one in part.get("enum", ()) if isinstance(one, str)]
    return types(part) == ["boolean"] or len({rubric.polarity(humanise(one)) for one in options} & {True, False}) == 2


def fill(schema: Schema, case: Case, meaning: Encode | None) -> dict[str, Any]:
    """The verdict as an object of this schema."""
    verdict = judging.judge(case, meaning)
    whole = resolved(schema, schema)
    return {
        name: _value(resolved(part, schema), humanise(name), verdict, schema)
        for name, part in whole.get("properties", {}).items()
    }


def _value(part: Schema, name: str, verdict: Verdict, root: Schema) -> Any:
    if "const" in part:
        return part["const"]
    if "enum" in part:
        return _option(part["enum"], verdict)
    if "anyOf" in part or "oneOf" in part:
        options = [resolved(one, root) for one in part.get("anyOf", part.get("oneOf", ()))]
        return _value(next((one for one in options if types(one) != ["null"]), {}), name, verdict, root)
    match types(part)[0]:
        case "boolean":
            return verdict.passed != rubric.turned(name)
        case "number" | "integer" as kind:
            low, high = float(part.get("minimum", 0)), float(part.get("maximum", 1))
            sure = max(verdict.probability, 1 - verdict.probability)
            share = sure if re.search("confiden|certain|sure", name) else verdict.probability
            return shapes.number_in(round(low + share * (high - low), 2), part, kind == "integer")
        case "string":
            text = clipped(verdict.reason, int(part.get("maxLength", 10_000)))
            return text if shapes.fits(text, part) else shapes.smallest(part, root)
        case "array" if types(resolved(part.get("items", {}), root))[0] == "string" and not verdict.passed:
            return [verdict.reason]
        case "object":
            return {
                key: _value(resolved(one, root), humanise(key), verdict, root)
                for key, one in part.get("properties", {}).items()
            }
        case _:
            return shapes.smallest(part, root)


def _option(options: Sequence[Any], verdict: Verdict) -> Any:
    """The option for the verdict; one that is neither for nor against when it is a close call."""
    sides: Mapping[Any, bool | None] = {one: rubric.polarity(humanise(str(one))) for one in options}
    between = [one for one in options if sides[one] is None]
    if between and 0.4 < verdict.probability < 0.6:
        return between[0]
    return next((one for one in options if sides[one] is verdict.passed), options[0])
