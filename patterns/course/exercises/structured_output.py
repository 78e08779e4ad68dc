"""Notebook 02."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from ... import schemas, structured_output
from . import NotYet, exercise

REFUND = {"reasoning": "It came broken.", "decision": "refund", "amount": 49.9}
REFUND_ALSO_GOOD = ({"decision": "partial_refund", "amount": 10}, {"decision": "refuse", "amount": None})
REFUND_BAD = (
    ({"decision": "refund", "amount": None}, "a refund without an amount"),
    ({"decision": "partial_refund", "amount": None}, "a partial refund without an amount"),
    ({"decision": "refuse", "amount": 5}, "a refusal with an amount"),
    ({"amount": 0}, "a refund of 0"),
    ({"amount": -5}, "a refund of -5"),
    ({"decision": "perhaps"}, "the decision 'perhaps'"),
    ({"reasoning": "x" * 301}, "a reasoning of 301 characters"),
)


@exercise
async def refund_model(solution: Any) -> str:
    model = solution()
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise NotYet(f"it returned {model!r}; a Pydantic model class is expected.")
    schemas.portable(model)
    if list(model.model_fields) != list(REFUND):
        raise NotYet(f"the fields are {', '.join(model.model_fields)}; expected, in this order: {', '.join(REFUND)}.")
    for change in ({}, *REFUND_ALSO_GOOD):
        try:
            structured_output.read(model, json.dumps(REFUND | change))
        except structured_output.InvalidReply as error:
            raise NotYet(f"it refuses {REFUND | change}: {error.complaint}.") from None
    for change, what in REFUND_BAD:
        try:
            structured_output.read(model, json.dumps(REFUND | change))
        except structured_output.InvalidReply as error:
            if "amount" in change and "decision" in change and "amount" not in error.complaint:
                raise NotYet(f"the complaint about {what} does not say what is wrong with the amount.") from None
        else:
            raise NotYet(f"it accepts {what}.")
    return "Portable on the wire, and strict at the boundary."


LANDING = {"category": "returns", "confidence": 0.92, "tags": ["hub", "broken"], "note": "Money, please.", "sure": True}


@exercise
async def landed(solution: Any) -> str:
    text = json.dumps(LANDING)
    read = 0

    def one_by_one(reply: str) -> Iterator[str]:
        nonlocal read
        read = 0
        for letter in reply:
            read += 1
            yield letter

    came: list[tuple[str, Any]] = []
    for name, value in solution(one_by_one(text)):
        if name in dict(came):
            raise NotYet(f"{name} came twice: first {dict(came)[name]!r}, then {value!r}.")
        if name not in LANDING or value != LANDING[name]:
            raise NotYet(f"{name} came as {value!r}, and the whole reply says {LANDING.get(name)!r}.")
        came.append((name, value))
        position = list(LANDING).index(name)
        if position + 2 < len(LANDING) and read >= text.index(json.dumps(list(LANDING)[position + 2])):
            raise NotYet(f"{name} came after {read} of {len(text)} characters; it was complete long before.")
    if came != list(LANDING.items()):
        raise NotYet(f"these came: {', '.join(dict(came))}; the reply has {', '.join(LANDING)}.")
    for end, missing in ((text.index('"broken"'), "tags"), (len(text) - 1, "sure")):
        cut = [name for name, _ in solution(one_by_one(text[:end]))]
        if missing in cut:
            raise NotYet(f"a reply that is cut off in the middle ({text[:end][-24:]!r}) has no complete {missing}.")
    return "Each field once, when it is complete, and nothing of a reply that was cut off."
