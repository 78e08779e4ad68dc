"""The fixed pipeline: our code looks the orders up, and the model is asked once."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from scripted import scripted

from patterns import pipeline, rag, structured_output
from patterns.core import model_call, support_prompt
from patterns.events import Turn, User, answer, stack

handler = stack(
    model_call(support_prompt), pipeline.look_up_orders, rag.grounded, structured_output.structured(repairs=0)
)
FINE = json.dumps({"text": "Fine.", "cited_chunk_ids": [], "confident": True})


async def told(question: str, user: User) -> list[Any]:
    """The results in the one request that the provider gets."""
    async with scripted(FINE) as provider:
        assert (await answer(handler, Turn(question, user))).text == "Fine."
    assert provider.requests == 1 and "tools" not in provider.bodies[0]
    return [json.loads(message["content"]) for message in provider.bodies[0]["messages"] if message["role"] == "tool"]


async def test_each_order_that_is_named_is_looked_up_once() -> None:
    results = await told("What of h-100099, H-100100 and H-100099?", User("C-0012"))
    assert [one["id"] for one in results] == ["H-100099", "H-100100"]


async def test_an_order_of_somebody_else_is_not_found() -> None:
    (result,) = await told("Where is H-100099?", User("C-0001"))
    assert result["error"] == "not_found"


async def test_a_question_without_an_order_goes_straight_to_the_model() -> None:
    assert await told("How long is the warranty?", User()) == []


async def test_a_list_of_orders_is_cut() -> None:
    results = await told(" ".join(f"H-{number}" for number in range(100001, 100041)), User())
    assert len(results) == pipeline.MOST_ORDERS


@given(st.text() | st.from_regex(pipeline.ORDER_NUMBER))
def test_the_pattern_finds_numbers_only(text: str) -> None:
    for number in pipeline.ORDER_NUMBER.findall(text):
        assert len(number) == 8 and number[0].upper() in "HKN"
