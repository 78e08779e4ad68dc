"""Tools of invented houses, ten to a catalogue: the right calls for forty requests each, and what is told of results.

The bars are what was measured, rounded down.
"""

from typing import Any

import jsonschema
from unseen_data import ANSWER, called, load, system

from patterns.standin import choosing, filling, reading
from patterns.standin.choosing import Call
from patterns.standin.embedding import encode
from patterns.standin.relevance import remembering

LARGE = remembering(encode)


def catalogue(tools: dict[str, Any]) -> list[dict[str, Any]]:
    made = []
    for name, tool in tools.items():
        properties = {
            key: {"type": "string", "description": one} if isinstance(one, str) else one
            for key, one in tool["parameters"].items()
        }
        required = [key for key in properties if key not in tool.get("optional", ())]
        schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        function = {"name": name, "description": tool["description"], "parameters": schema}
        made.append({"type": "function", "function": function})
    return made


def messages(house: str, request: dict[str, Any]) -> list[dict[str, Any]]:
    before = [one.partition(": ") for one in request.get("before", ())]
    made = [{"role": "system", "content": f"You are the assistant of {house}. Use the tools."}]
    made += [{"role": role, "content": text} for role, _, text in before]
    made.append({"role": "user", "content": request["ask"]})
    return made + (called(*request["after"]) if "after" in request else [])


def right(calls: tuple[Call, ...], wanted: list[Any]) -> tuple[bool, bool]:
    """Whether the tools are the right ones, and whether the arguments named in the request are too."""
    tools = sorted(call.name for call in calls) == sorted(name for name, _ in wanted)
    left = list(calls)
    for name, arguments in wanted:
        found = next((one for one in left if one.name == name and arguments.items() <= one.arguments.items()), None)
        if found is None:
            return tools, False
        left.remove(found)
    return tools, not left


def measured(meaning: Any, half: int | None = None) -> dict[str, float]:
    counts: dict[str, list[bool]] = {"tools": [], "arguments": [], "valid": []}
    for house in load("tools"):
        tools = catalogue(house["tools"])
        schemas = {one["function"]["name"]: one["function"]["parameters"] for one in tools}
        for number, request in enumerate(house["requests"]):
            if half is not None and number % 2 != half:
                continue
            calls = choosing.choose(tools, reading.read(messages(house["house"], request)), meaning)
            both = right(calls, request["calls"])
            counts["tools"].append(both[0])
            counts["arguments"].append(both[1])
            checker = jsonschema.FormatChecker()
            counts["valid"] += [
                jsonschema.Draft202012Validator(schemas[call.name], format_checker=checker).is_valid(call.arguments)
                for call in calls
            ]
    return {name: round(sum(found) / len(found), 3) for name, found in counts.items()}


def test_the_sets_are_what_they_say() -> None:
    for house in load("tools"):
        assert (len(house["tools"]), len(house["requests"])) == (10, 40)


def test_the_large_tier_calls_the_right_tools_of_ten() -> None:
    large, small = measured(LARGE), measured(None)
    print(large, small)
    assert large["tools"] >= 0.9
    assert large["arguments"] >= 0.9
    assert large["valid"] == small["valid"] == 1
    assert small["tools"] <= large["tools"] - 0.2


def test_it_holds_on_the_half_that_nothing_was_tuned_on() -> None:
    assert measured(LARGE, half=1)["tools"] >= 0.9


ORDER = {
    "order": {
        "order_id": "HM-311",
        "status": "shipped",
        "expected_delivery": "2026-05-12",
        "items": [{"sku": "PR-1", "name": "Harbour at dawn", "quantity": 1}],
        "total_eur": 43.9,
    }
}
RETURNS = {"id": "shop-2", "title": "Returns", "text": "Anything unopened can be sent back within 30 days of delivery."}
HOURS = {"id": "shop-7", "title": "Visiting", "text": "The shop is open daily from 10:00 to 18:00."}


def told(question: str, *calls: Any, documents: Any = ()) -> dict[str, Any]:
    asked = [system("Harbour Museum Shop", documents), {"role": "user", "content": question}]
    return filling.fill(ANSWER, reading.read([*asked, *called(*calls)]), LARGE)


def test_a_wrapped_result_is_told_by_its_fields() -> None:
    value = told(
        "Where is my order HM-311?", ("order_lookup", {"order_id": "HM-311"}, ORDER), documents=[RETURNS, HOURS]
    )
    assert "HM-311: status is shipped" in value["text"]
    assert "12 May 2026" in value["text"] and "Harbour at dawn" in value["text"]
    assert (value["cited_chunk_ids"], value["confident"]) == ([], True)


def test_an_error_is_told_and_is_not_confident() -> None:
    error = {"error": "not_found", "message": "There is no order HM-9 in your account."}
    value = told("Where is my order HM-9?", ("order_lookup", {"order_id": "HM-9"}, error), documents=[RETURNS, HOURS])
    assert "There is no order HM-9 in your account." in value["text"]
    assert (value["cited_chunk_ids"], value["confident"]) == ([], False)
    assert told("Where is it?", ("find_items", {"query": "it"}, []))["confident"] is False


def test_documents_that_a_tool_found_are_cited() -> None:
    for found in ([HOURS, RETURNS], {"documents": [HOURS, RETURNS]}):
        value = told("How many days do I have to send something back?", ("search_help", {"query": "send back"}, found))
        assert value == {"text": RETURNS["text"], "cited_chunk_ids": ["shop-2"], "confident": True}
    value = told("How tall is the tower?", ("search_help", {"query": "tower"}, [HOURS, RETURNS]))
    assert (value["cited_chunk_ids"], value["confident"]) == ([], False)


def test_a_question_of_two_parts_is_answered_from_both_sources_in_its_order() -> None:
    call = ("order_lookup", {"order_id": "HM-311"}, ORDER)
    days = "how many days do I have to send something back"
    for question in (f"Where is order HM-311, and {days}?", f"{days.capitalize()}, and where is order HM-311?"):
        value = told(question, call, documents=[HOURS, RETURNS])
        assert value["cited_chunk_ids"] == ["shop-2"] and value["confident"] is True
        places = [value["text"].index(one) for one in ("status is shipped", RETURNS["text"])]
        assert places == sorted(places, reverse=question.startswith("How"))
    found = told(f"Where is order HM-311, and {days}?", call, ("search_help", {"query": days}, [HOURS, RETURNS]))
    assert "status is shipped" in found["text"] and RETURNS["text"] in found["text"]


def test_what_the_documents_leave_open_beside_a_result_is_said() -> None:
    call = ("order_lookup", {"order_id": "HM-311"}, ORDER)
    value = told("Where is order HM-311, and who painted the lighthouse?", call, documents=[HOURS, RETURNS])
    assert "status is shipped" in value["text"] and reading.PLAIN["en"]["partly"] in value["text"]
    assert (value["cited_chunk_ids"], value["confident"]) == ([], False)
