"""Tools: schemas from typed functions, arguments checked, and results or structured errors, never an exception."""

import asyncio
import enum
import json
import math
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field

from patterns import tools
from patterns.errors import CallerError, ProviderError
from patterns.events import Turn, User
from patterns.tool_results import RESULT_CHARACTERS, fitted
from patterns.tools import Tool, tool

TURN = Turn("Where is my parcel?", User("C-0001"))


def made(function: Callable[..., Any], **options: Any) -> Tool:
    return tool(**options)(function)


def parameters(one: Tool) -> dict[str, Any]:
    return one.wire["function"]["parameters"]


async def called(one: Tool, **arguments: Any) -> Any:
    checked = tools.check(one.name, arguments, [one])
    return checked if isinstance(checked, dict) else await tools.run(*checked, TURN)


# schemas


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str
    floor: int | None


def test_a_typed_function_becomes_what_the_model_is_told() -> None:
    @tool
    def send(
        address: Address,
        colour: Colour,
        size: Literal["s", "l"],
        count: Annotated[int, Field(ge=1, description="How many.")],
        weight: float,
        gift: bool,
        labels: list[str],
        note: str | None,
        turn: Turn,
    ) -> None:
        """Send something."""

    wire = send.wire
    assert wire["type"] == "function" and wire["function"]["strict"] is True
    assert (wire["function"]["name"], wire["function"]["description"]) == ("send", "Send something.")
    schema = parameters(send)
    assert (schema["type"], schema["additionalProperties"]) == ("object", False)
    assert schema["required"] == [
        "address", "colour", "size", "count", "weight", "gift", "labels", "note",
    ]  # fmt: skip
    shapes = schema["properties"]
    assert shapes["address"] == {
        "type": "object",
        "properties": {"street": {"type": "string"}, "floor": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
        "required": ["street", "floor"],
        "additionalProperties": False,
    }
    assert shapes["colour"]["enum"] == ["red", "blue"] and shapes["size"]["enum"] == ["s", "l"]
    assert shapes["count"] == {"type": "integer", "description": "How many."}
    assert [shapes[name]["type"] for name in ("weight", "gift", "labels")] == ["number", "boolean", "array"]
    assert shapes["labels"]["items"] == {"type": "string"}
    assert shapes["note"]["anyOf"] == [{"type": "string"}, {"type": "null"}]


def test_the_turn_is_not_in_the_schema_and_no_model_can_fill_it() -> None:
    @tool
    def whose(order: str, whoever: Turn) -> str:
        """Say who asks."""
        return whoever.user.id

    assert list(parameters(whose)["properties"]) == ["order"] and "turn" not in json.dumps(whose.wire).lower()
    forged: list[dict[str, Any]] = [
        {"order": "1", "whoever": {"text": "x", "user": {"id": "C-0002"}}},
        {"order": "1", "turn": "C-0002"},
        {"order": "1", "user": "C-0002"},
    ]
    for arguments in forged:
        assert tools.check("whose", arguments, [whose])["error"] == "invalid_arguments"  # type: ignore[index]
    assert asyncio.run(called(whose, order="1")) == "C-0001"


def no_docstring(a: str) -> None:
    pass


def no_type(a) -> None:  # type: ignore[no-untyped-def]
    """Do it."""


def any_number(*a: str) -> None:
    """Do it."""


def any_name(**a: str) -> None:
    """Do it."""


def by_position(a: str, /) -> None:
    """Do it."""


def nothing(turn: Turn) -> None:
    """Do it."""


def two_turns(a: str, turn: Turn, other: Turn) -> None:
    """Do it."""


def maybe_turn(a: str, turn: Turn | None = None) -> None:
    """Do it."""


def many_turns(a: str, turns: list[Turn]) -> None:
    """Do it."""


def annotated_turn(a: str, turn: Annotated[Turn, Field(description="x")]) -> None:
    """Do it."""


def free_object(a: dict[str, str]) -> None:
    """Do it."""


def anything(a: Any) -> None:
    """Do it."""


def pair(a: tuple[str, int]) -> None:
    """Do it."""


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (no_docstring, "no docstring"),
        (no_type, "type of 'a'"),
        (any_number, "'a' by name"),
        (any_name, "'a' by name"),
        (by_position, "'a' by name"),
        (nothing, "no argument"),
        (two_turns, "not 'other'"),
        (maybe_turn, "not 'turn'"),
        (many_turns, "not 'turns'"),
        (annotated_turn, "not 'turn'"),
        (free_object, "free keys"),
        (anything, "anything is allowed"),
        (pair, "prefixItems"),
    ],
)
def test_a_function_that_a_model_cannot_be_told_about_is_refused(function: Callable[..., Any], what: str) -> None:
    with pytest.raises(CallerError) as refused:
        tool(function)
    assert what in refused.value.message and refused.value.next_step
    assert refused.value.code in ("unfit_tool", "schema_not_portable")


@pytest.mark.parametrize(
    "options", [{"effect": "write"}, {"question": "Shall we?"}, {"effect": "handoff", "question": "Shall we?"}]
)
def test_a_write_and_nothing_else_needs_a_question(options: dict[str, Any]) -> None:
    def act(a: str) -> None:
        """Do it."""

    with pytest.raises(CallerError, match="question"):
        made(act, **options)
    assert made(act, effect="write", question="Do {a}?").effect == "write"


# arguments


@tool
def book(
    when: Annotated[str, AfterValidator(lambda text: date.fromisoformat(text).isoformat())],
    seats: Annotated[int, Field(ge=1, le=8)],
    note: Annotated[str, Field(max_length=20)] = "",
) -> dict[str, Any]:
    """Book a table."""
    return {"when": when, "seats": seats, "note": note}


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({}, "when: Field required; seats: Field required"),
        ({"when": "2026-11-05"}, "seats"),
        ({"when": "tomorrow", "seats": 2}, "when"),
        ({"when": "2026-11-05", "seats": 0}, "greater than or equal to 1"),
        ({"when": "2026-11-05", "seats": "many"}, "seats"),
        ({"when": "2026-11-05", "seats": 2, "note": "x" * 21}, "at most 20"),
        ({"when": "2026-11-05", "seats": 2, "approved": True}, "approved"),
        ({"when": None, "seats": 2}, "when"),
    ],
)
def test_wrong_arguments_are_explained_to_the_model(arguments: dict[str, Any], what: str) -> None:
    checked = tools.check("book", arguments, [book])
    assert isinstance(checked, dict) and checked["error"] == "invalid_arguments"
    assert what in checked["message"] and checked["next_step"]


async def test_right_arguments_reach_the_function() -> None:
    assert await called(book, when="2026-11-05", seats=2) == {"when": "2026-11-05", "seats": 2, "note": ""}


@pytest.mark.parametrize("text", ["", "no json", "[1, 2]", '"text"', "7", "{", "null"])
def test_arguments_that_are_no_object_are_refused(text: str) -> None:
    checked = tools.check("book", text, [book])
    assert isinstance(checked, dict) and checked["error"] == "invalid_arguments"


@given(st.text(st.characters(exclude_categories=[]), max_size=300))
def test_no_name_but_the_exact_one_finds_a_tool(name: str) -> None:
    checked = tools.check(name, {"when": "2026-11-05", "seats": 2}, [book])
    if name != "book":
        assert isinstance(checked, dict) and checked["error"] == "unknown_tool"
        assert "book" in checked["next_step"] and len(checked["message"]) <= 500


def test_a_validator_with_a_bug_is_a_structured_error() -> None:
    def broken(text: str) -> str:
        raise TypeError("/srv/secret.py")

    @tool
    def ask(text: Annotated[str, AfterValidator(broken)]) -> str:
        """Ask."""
        return text

    checked = tools.check("ask", {"text": "x"}, [ask])
    assert isinstance(checked, dict) and checked["error"] == "tool_failed" and "secret" not in json.dumps(checked)


# what goes wrong inside


class Quiet(BaseException):
    pass


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("password=hunter2 in /srv/app/db.py"),
        KeyError("hunter2"),
        StopIteration("hunter2"),
        StopAsyncIteration("hunter2"),
        SystemExit("hunter2"),
        KeyboardInterrupt("hunter2"),
        asyncio.CancelledError("hunter2"),
        TimeoutError("hunter2"),
        GeneratorExit("hunter2"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_nothing_that_a_tool_raises_gets_out_or_leaks(error: BaseException, asynchronous: bool) -> None:
    def fails(a: str) -> None:
        """Do it."""
        raise error

    async def fails_later(a: str) -> None:
        """Do it."""
        await asyncio.sleep(0)
        raise error

    result = await called(made(fails_later if asynchronous else fails), a="x")
    assert result["error"] == "tool_failed" and result["next_step"]
    assert "hunter2" not in json.dumps(result) and "/srv" not in json.dumps(result)


async def test_what_a_tool_says_on_purpose_reaches_the_model() -> None:
    @tool
    def fails(a: str) -> None:
        """Do it."""
        raise CallerError("There is no order 7.", "Ask for the number.", "not_found")

    @tool
    async def fails_too(a: str) -> None:
        """Do it."""
        raise ProviderError("The carrier does not answer.", "Try later.", "unreachable", transient=True)

    assert await called(fails, a="x") == {
        "error": "not_found", "message": "There is no order 7.", "next_step": "Ask for the number.",
    }  # fmt: skip
    assert (await called(fails_too, a="x"))["error"] == "unreachable"


@pytest.mark.parametrize("kind", ["sync", "async", "stubborn"])
async def test_a_tool_that_hangs_is_left_alone_after_its_time(kind: str) -> None:
    release = threading.Event()

    def hangs(a: str) -> None:
        """Do it."""
        release.wait(30)

    async def waits(a: str) -> None:
        """Do it."""
        await asyncio.sleep(30)

    async def stubborn(a: str) -> None:
        """Do it."""
        while not release.is_set():
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                continue

    one = made({"sync": hangs, "async": waits, "stubborn": stubborn}[kind], timeout=0.1)
    async with asyncio.timeout(20):
        result = await called(one, a="x")
    release.set()
    assert result["error"] == "timeout" and "0.1 s" in result["message"]
    while tools._running:  # pyright: ignore[reportPrivateUsage]
        await asyncio.sleep(0.01)  # what was left alone must not disturb the next test


async def test_a_tool_gets_no_more_than_the_time_that_is_left() -> None:
    ran: list[str] = []

    @tool
    async def act(a: str) -> None:
        """Do it."""
        await asyncio.sleep(5)
        ran.append(a)

    checked = tools.check("act", {"a": "x"}, [act])
    assert isinstance(checked, tuple)
    assert (await tools.run(*checked, TURN, seconds=0.05))["error"] == "timeout"
    assert (await tools.run(*checked, TURN, seconds=-1))["error"] == "timeout"
    assert not ran


async def test_cancelling_the_caller_cancels_the_tool() -> None:
    stopped = asyncio.Event()
    started = asyncio.Event()

    @tool(timeout=60)
    async def act(a: str) -> None:
        """Do it."""
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    task = asyncio.create_task(called(act, a="x"))
    await started.wait()
    task.cancel()
    async with asyncio.timeout(20):
        await asyncio.wait({task})
        await stopped.wait()
    assert task.cancelled()


HANGING = """
    import asyncio, time
    from patterns import tools
    from patterns.events import Turn

    @tools.tool(timeout=0.2)
    {kind}def hang(a: str) -> None:
        "Hang."
        {wait}

    async def main():
        found = tools.check("hang", {{"a": "x"}}, [hang])
        print((await tools.run(*found, Turn("x")))["error"])

    asyncio.run(main())
"""


@pytest.mark.parametrize(("kind", "wait"), [("", "time.sleep(600)"), ("async ", "await asyncio.sleep(600)")])
def test_a_process_ends_although_a_tool_hangs(kind: str, wait: str, tmp_path: Path) -> None:
    script = tmp_path / "hanging.py"
    script.write_text(textwrap.dedent(HANGING.format(kind=kind, wait=wait)))
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout.strip(), ended.stderr) == (0, "timeout", "")


# together


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_four_tools_run_at_the_same_time(asynchronous: bool) -> None:
    meet, met = threading.Barrier(4), asyncio.Barrier(4)  # nobody passes before all four are there

    def waits(a: str) -> str:
        """Do it."""
        meet.wait(20)
        return a

    async def awaits(a: str) -> str:
        """Do it."""
        await met.wait()
        return a

    one = made(awaits if asynchronous else waits, timeout=20)
    assert await asyncio.gather(*(called(one, a=name) for name in "abcd")) == list("abcd")


# results


def size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False))


class Thing:
    def __str__(self) -> str:
        return "a thing"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, {"done": True}),
        (math.nan, "NaN"),
        ({"a": math.inf, "b": -math.inf}, {"a": "Infinity", "b": "-Infinity"}),
        (b"\xff\xfe", "__4="),
        ({3, 1}, [1, 3]),
        pytest.param(Thing(), "a thing", id="an object"),
        (date(2026, 11, 2), "2026-11-02"),
        (Address(street="Elm", floor=None), {"street": "Elm", "floor": None}),
        ({1: "a"}, {"1": "a"}),
        ("half \ud800 pair", "half ? pair"),
        ({"k": ["\udfff"]}, {"k": ["?"]}),
        ("", ""),
        ([], []),
        (False, False),
    ],
)
async def test_any_value_becomes_json(value: Any, shown: Any) -> None:
    def gives(a: str) -> Any:
        """Give it."""
        return value

    result = await called(made(gives), a="x")
    assert (sorted(result) if isinstance(value, set) else result) == shown
    json.dumps(result, allow_nan=False, ensure_ascii=False).encode()


async def test_a_value_that_cannot_be_json_is_a_structured_error() -> None:
    endless: list[Any] = []
    endless.append(endless)

    class Rude:
        def __str__(self) -> str:
            raise RuntimeError("hunter2")

    def gives(a: str) -> Any:
        """Give it."""
        return endless if a == "endless" else Rude()

    for which in ("endless", "rude"):
        assert (await called(made(gives), a=which))["error"] == "tool_failed"


LONG: dict[str, Any] = {
    "text": "parcel " * 30_000,
    "multi-byte text": "Päckchen 📦 " * 20_000,
    "text of quotes and line breaks": '"\n\\\x01' * 50_000,
    "list": [{"id": number, "name": f"Gerät 📦 {number}"} for number in range(6_000)],
    "list of small things": [1] * 100_000,
    "list of one long text": ["x" * 200_000],
    "object": {f"key {number}": "wörter" for number in range(12_000)},
    "nested": {"rows": [{"name": "x" * 100}] * 2_000},
}


@pytest.mark.parametrize("kind", LONG)
async def test_a_result_of_200_kb_is_cut_counted_and_still_json(kind: str) -> None:
    value = LONG[kind]
    assert size(value) >= 200_000

    def gives(a: str) -> Any:
        """Give it."""
        return value

    result = await called(made(gives), a="x")
    assert RESULT_CHARACTERS // 2 < size(result) <= RESULT_CHARACTERS
    assert json.loads(json.dumps(result)) == result
    assert "narrower" in result["next_step"]
    if isinstance(value, list) and len(value) > 1:
        assert result["items"] == value[: len(result["items"])]
        assert result["omitted"] == len(value) - len(result["items"]) > 0
        assert str(result["omitted"]) in result["next_step"]
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        assert result["truncated"] is True and result["total_characters"] == len(text)
        assert text.startswith(result["text"]) and result["text"]


ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=200)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | ANY_TEXT | st.binary(max_size=50),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=20), inner, max_size=8),
    max_leaves=30,
)


@given(VALUES, st.integers(300, 1_000))
def test_whatever_fits_stays_and_the_rest_is_cut_to_the_limit(value: Any, limit: int) -> None:
    result = fitted(value, limit)
    text = json.dumps(result, ensure_ascii=False, allow_nan=False)
    text.encode()
    assert len(text) <= limit
    assert fitted(result, limit) == result  # cutting again takes nothing more away
