"""Sorting messages to an invented library into eight described categories.

The bars are what was measured, rounded down.
"""

from typing import Any

import jsonschema
from unseen_data import load

from patterns.standin import filling, reading
from patterns.standin.embedding import encode
from patterns.standin.relevance import remembering


def share(meaning: Any, half: int | None = None) -> float:
    labels = load("labels")
    described = "; ".join(f"{name}: {text}" for name, text in labels["categories"].items())
    category = {"type": "string", "enum": list(labels["categories"]), "description": described}
    schema = {"type": "object", "properties": {"category": category}, "required": ["category"]}
    right: list[bool] = []
    for text, label in labels["messages"] if half is None else labels["messages"][half::2]:
        messages = [{"role": "system", "content": "Sort messages to a library."}, {"role": "user", "content": text}]
        value = filling.fill(schema, reading.read(messages), meaning)
        jsonschema.validate(value, schema)
        right.append(value["category"] == label)
    return sum(right) / len(right)


def test_meaning_sorts_clearly_better_than_words() -> None:
    large, small = share(remembering(encode)), share(None)
    print(large, small)
    assert large >= 0.72
    assert small <= large - 0.2


def test_it_holds_on_the_half_that_nothing_was_tuned_on() -> None:
    large, small = share(remembering(encode), half=1), share(None, half=1)
    assert large >= 0.72
    assert small <= large - 0.1
