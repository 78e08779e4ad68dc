"""The measurement of tool choice: its sets are what they say, and it counts rightly."""

from typing import Any

from scripted import scripted

from patterns import acme_tools, tool_choice


def names(tools: Any) -> list[str]:
    return [one["function"]["name"] for one in tools]


def test_the_sets_are_nested_and_start_with_acmes_own_tools() -> None:
    sets = tool_choice.load().sets
    assert [len(sets[size]) for size in ("5", "10", "20", "40")] == [5, 10, 20, 40]
    for size in ("5", "10", "20"):
        assert sets["40"][: int(size)] == sets[size]
    assert len(set(names(sets["40"]))) == 40
    own = [(one.name, one.description) for one in acme_tools.TOOLS]
    assert [(one["function"]["name"], one["function"]["description"]) for one in sets["5"][:4]] == own
    assert names(sets["vague"]) == names(sets["5"]) == names(sets["catch-all"])[1:] == names(sets["overlapping"])[:5]


def test_each_of_the_five_is_wanted_and_no_other() -> None:
    loaded = tool_choice.load()
    wanted = [one.tool for one in loaded.requests]
    assert len(wanted) == 40 == len({one.say for one in loaded.requests})
    assert set(wanted) == {"", *names(loaded.sets["5"])} and all(wanted.count(name) >= 3 for name in wanted)


async def test_only_the_right_tool_alone_counts() -> None:
    requests = [tool_choice.Request(say, "a") for say in "wxyz"] + [tool_choice.Request("thanks", "")]
    a, b = ("a", {}), ("b", {})
    async with scripted([a], [a, a], [a, b], "No.", "You are welcome."):
        assert await tool_choice.accuracy(requests, (), "small") == 3 / 5
