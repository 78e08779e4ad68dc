"""The tool-use layer: rounds, parallel calls, errors for the model, and writes that need a yes and happen once."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted import scripted

from patterns import acme_tools, checkpoints, complete_assistant, ledger, store, tool_use
from patterns.core import model_call, support_prompt
from patterns.errors import CallerError, ProviderError
from patterns.events import Answer, ConfirmationRequired, Event, Handler, ToolCall, ToolResult, Turn, User
from patterns.tools import tool

YOU, NEIGHBOUR, ABROAD = User("C-0001"), User("C-0002"), User("C-0001", "acme-nord")


async def collect(events: AsyncGenerator[Event, None]) -> list[Event]:
    async with aclosing(events):
        return [event async for event in events]


def results(events: Sequence[Event]) -> list[Any]:
    return [event.result for event in events if isinstance(event, ToolResult)]


def question(events: Sequence[Event]) -> ConfirmationRequired:
    end = events[-1]
    assert isinstance(end, ConfirmationRequired)
    return end


done: list[tuple[str, int]] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


@tool(effect="write", question="Shall we pay {amount} to {who}?", timeout=5)
async def pay(who: str, amount: int) -> dict[str, str]:
    """Pay somebody."""
    done.append((who, amount))
    await asyncio.sleep(0)
    return {"message": "paid"}


@tool
def look(what: str) -> str:
    """Look something up."""
    return f"{what} is fine"


TOOLS = (pay, look)
over_http = tool_use.use_tools(TOOLS)(model_call(support_prompt))


def model_that_says(*rounds: Sequence[ToolCall]) -> Handler:
    """A handler in place of the model: in each round it asks for these calls, offered or not, and then it answers."""

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        at = tool_use.rounds_used(turn)
        if at < len(rounds) and rounds[at] and turn.tools:
            for call in rounds[at]:
                yield call
        else:
            yield Answer(text="Done.")

    return tool_use.use_tools(TOOLS)(handle)


# rounds and results, over a real socket


async def test_the_model_gets_the_results_and_answers() -> None:
    async with scripted(["Let me see.", ("look", {"what": "H-1"}, "call-7")], "All is fine.") as provider:
        events = await collect(over_http(Turn("How is H-1?")))
    assert results(events) == ["H-1 is fine"]
    assert isinstance(events[-1], Answer) and events[-1].text == "All is fine."
    first, second = provider.bodies
    assert [one["function"]["name"] for one in first["tools"]] == ["pay", "look"] and first["messages"][-1][
        "role"
    ] == "user"
    asked, told = second["messages"][-2:]
    assert asked["tool_calls"][0]["id"] == told["tool_call_id"] == "call-7"
    assert (told["role"], json.loads(told["content"])) == ("tool", "H-1 is fine")


async def test_a_model_that_only_ever_asks_has_to_answer_after_three_rounds() -> None:
    def insatiable(body: dict[str, Any]) -> Any:
        return [("look", {"what": str(len(body["messages"]))})] if body.get("tools") else "Then this."

    async with scripted(insatiable) as provider:
        events = await collect(over_http(Turn("Look!")))
    assert provider.requests == 4 and "tools" not in provider.bodies[-1]
    assert isinstance(events[-1], Answer) and len(results(events)) == 3


async def test_four_calls_run_at_once_and_the_fifth_is_put_off() -> None:
    meet = asyncio.Barrier(4)

    @tool(timeout=20)
    async def wait(name: str) -> str:
        """Wait for the others."""
        await meet.wait()
        return name

    handler = tool_use.use_tools([wait])(model_call(support_prompt))
    async with scripted([("wait", {"name": name}) for name in "abcde"], "Ok.") as provider:
        events = await collect(handler(Turn("All at once.")))
    assert results(events)[:4] == list("abcd") and results(events)[4]["error"] == "too_many_calls"
    told = [message for message in provider.bodies[1]["messages"] if message["role"] == "tool"]
    assert [json.loads(message["content"]) for message in told] == results(events)


ODD = {
    "no such tool": ("remove_everything", {"what": "x"}, "unknown_tool"),
    "no JSON": ("look", '{"what": ', "invalid_arguments"),
    "a list": ("look", "[1]", "invalid_arguments"),
    "nested thousands deep": ("look", "[" * 100_000, "invalid_arguments"),
    "nothing": ("look", "", "invalid_arguments"),
    "the wrong type": ("look", {"what": 7}, "invalid_arguments"),
    "one too many": ("look", {"what": "x", "turn": {"user": {"id": "C-0002"}}}, "invalid_arguments"),
    "half a surrogate pair as a name": ("lo\ud800k", {"what": "x"}, "unknown_tool"),
    "a name of 100 kB": ("look" * 25_000, {"what": "x"}, "unknown_tool"),
}


@pytest.mark.parametrize("kind", ODD)
async def test_what_the_model_does_wrong_it_is_told(kind: str) -> None:
    name, arguments, error = ODD[kind]
    async with scripted([(name, arguments)], "Sorry.") as provider:
        events = await collect(over_http(Turn("Go.")))
    (result,) = results(events)
    assert result["error"] == error and result["next_step"] and len(json.dumps(result)) < 3_000
    assert json.loads(provider.bodies[1]["messages"][-1]["content"]) == result
    assert isinstance(events[-1], Answer)


async def test_half_a_surrogate_pair_stops_nothing() -> None:
    async with scripted([("look", '{"what": "\\ud800"}')], "Ok."):
        assert results(await collect(over_http(Turn("Go.")))) == ["? is fine"]


async def test_every_call_gets_an_answer_under_an_id_of_its_own() -> None:
    calls = [
        ("look", {"what": "a"}, ""),
        ("look", {"what": "b"}, "x"),
        ("look", {"what": "c"}, "x"),
        ("look", {"what": "d"}, "call-0-0"),
    ]
    async with scripted(calls, "Ok.") as provider:
        await collect(over_http(Turn("Go.")))
    asked, *told = provider.bodies[1]["messages"][-5:]
    ids = [one["id"] for one in asked["tool_calls"]]
    assert len(set(ids)) == 4 and all(ids) and [one["tool_call_id"] for one in told] == ids


async def test_every_call_is_written_down() -> None:
    turn = Turn("Go.")
    async with scripted([("look", {"what": "H-1"}), ("nothing", {})], "Ok."):
        await collect(over_http(turn))
    (action,) = checkpoints.default().actions(turn.trace_id)
    assert (action.tool, action.arguments, action.result) == ("look", {"what": "H-1"}, "H-1 is fine")
    assert action.seconds is not None and action.seconds >= 0 and action.cost_usd == 0
    assert len(ledger.default().calls(trace_id=turn.trace_id)) == 2


async def test_a_tool_that_asks_a_model_is_charged_with_it(turn_dials: Any) -> None:
    from patterns import calls

    @tool(timeout=60)
    async def think(what: str, turn: Turn) -> str:
        """Think it over."""
        text = ""
        messages = [{"role": "user", "content": what}]
        async for piece in calls.stream(messages, tier="small", trace_id=turn.trace_id):
            text += piece if isinstance(piece, str) else ""
        return text

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        yield Answer(text="Ok.") if turn.exchange else ToolCall("1", "think", {"what": "Say hello."})

    turn = Turn("Go.")
    await collect(tool_use.use_tools([think])(handle)(turn))
    (action,) = checkpoints.default().actions(turn.trace_id)
    assert action.cost_usd and action.cost_usd == pytest.approx(
        ledger.total(ledger.default().calls(trace_id=turn.trace_id))
    )


async def test_breaking_off_while_a_tool_runs_stops_it() -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    @tool(timeout=60)
    async def wait(what: str) -> None:
        """Wait."""
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        yield ToolCall("1", "wait", {"what": "x"})

    task = asyncio.create_task(collect(tool_use.use_tools([wait])(handle)(Turn("Go."))))
    async with asyncio.timeout(20):
        await started.wait()
        task.cancel()
        await asyncio.wait({task})
        await stopped.wait()


# writes


async def test_a_yes_lets_the_write_run_and_the_model_go_on() -> None:
    async with scripted([("pay", {"who": "Ann", "amount": 5}), ("look", {"what": "Ann"})], "Paid.") as provider:
        events = await collect(over_http(Turn("Pay Ann 5.", YOU)))
        asked = question(events)
        assert asked.question == "Shall we pay 5 to Ann?" and not done and provider.requests == 1
        rest = await collect(tool_use.resume(over_http, asked.token, True, YOU))
    assert done == [("Ann", 5)] and results(rest) == [{"message": "paid"}, "Ann is fine"]
    assert isinstance(rest[-1], Answer) and rest[-1].text == "Paid."


async def test_a_no_is_told_to_the_model_and_stays_a_no() -> None:
    again = [("pay", {"who": "Ann", "amount": 5})]
    async with scripted(again, "As you like.") as provider:
        asked = question(await collect(over_http(Turn("Pay Ann 5.", YOU))))
        rest = await collect(tool_use.resume(over_http, asked.token, False, YOU))
        assert results(rest)[0]["error"] == "declined" and isinstance(rest[-1], Answer) and not done
        with pytest.raises(CallerError) as refused:
            await collect(tool_use.resume(over_http, asked.token, True, YOU))
        assert refused.value.code == "already_decided" and provider.requests == 2
    assert not done


async def test_asking_again_after_a_no_needs_a_new_yes() -> None:
    again = [("pay", {"who": "Ann", "amount": 5})]
    async with scripted(again, again, again, "Ok."):
        first = question(await collect(over_http(Turn("Pay Ann 5.", YOU))))
        second = question(await collect(tool_use.resume(over_http, first.token, False, YOU)))
        assert second.token != first.token and not done
        third = question(await collect(tool_use.resume(over_http, second.token, True, YOU)))
        assert done == [("Ann", 5)]
        await collect(tool_use.resume(over_http, third.token, False, YOU))
    assert done == [("Ann", 5)]


async def test_two_writes_in_one_reply_are_asked_for_one_by_one() -> None:
    both = [("pay", {"who": "Ann", "amount": 5}), ("pay", {"who": "Ann", "amount": 5})]
    async with scripted(both, "Paid."):
        first = question(await collect(over_http(Turn("Pay.", YOU))))
        second = question(await collect(tool_use.resume(over_http, first.token, True, YOU)))
        assert second.token != first.token and len(done) == 1
        rest = await collect(tool_use.resume(over_http, second.token, False, YOU))
    assert done == [("Ann", 5)] and [one.get("error", "paid") for one in results(rest)] == ["paid", "declined"]


@pytest.mark.parametrize("user", [NEIGHBOUR, ABROAD], ids=["another customer", "another tenant"])
async def test_a_token_is_worth_nothing_to_somebody_else(user: User) -> None:
    handler = model_that_says([ToolCall("1", "pay", {"who": "Ann", "amount": 5})])
    asked = question(await collect(handler(Turn("Pay.", YOU))))
    for token in (asked.token, "", "x", asked.token[:-1], "' OR 1=1 --", "\ud800"):
        whoever = user if token == asked.token else YOU
        with pytest.raises(CallerError) as refused:
            await collect(tool_use.resume(handler, token, True, whoever))
        assert refused.value.code == "unknown_token"
    assert not done
    await collect(tool_use.resume(handler, asked.token, True, YOU))
    assert done == [("Ann", 5)]


async def test_a_yes_holds_for_these_arguments_only() -> None:
    turn = Turn("Pay.", YOU)
    handler = model_that_says([ToolCall("1", "pay", {"who": "Ann", "amount": 5})])
    asked = question(await collect(handler(turn)))
    book = checkpoints.default()
    changed = tool_use.as_message([ToolCall("1", "pay", {"who": "Ann", "amount": 5_000})], turn)
    book.decide(asked.token, True, YOU)
    events = await collect(handler(Turn("Pay.", YOU, exchange=(changed,), trace_id=turn.trace_id)))
    assert isinstance(events[-1], ConfirmationRequired) and not done


async def test_a_yes_given_twice_and_at_once_runs_it_once() -> None:
    handler = model_that_says([ToolCall("1", "pay", {"who": "Ann", "amount": 5})])
    asked = question(await collect(handler(Turn("Pay.", YOU))))
    several = await asyncio.gather(*(collect(tool_use.resume(handler, asked.token, True, YOU)) for _ in range(4)))
    later = await collect(tool_use.resume(handler, asked.token, True, YOU))
    assert done == [("Ann", 5)]
    assert all(results(events) in ([{"message": "paid"}], []) for events in several)  # []: came when all was over
    assert results(several[0]) and isinstance(later[-1], Answer)


async def test_two_processes_that_hear_different_things_do_not_mix_up_the_results() -> None:
    turn = Turn("Go.", YOU)
    one = model_that_says([ToolCall("1", "look", {"what": "H-1"})])
    other = model_that_says([ToolCall("1", "look", {"what": "H-2"})])
    heard = [results(await collect(handler(turn))) for handler in (one, other, one)]
    assert heard == [["H-1 is fine"], ["H-2 is fine"], ["H-1 is fine"]]


@pytest.mark.parametrize("effect", ["write", "handoff"])
@pytest.mark.parametrize("end", ["raises", "is cut off", "hangs"])
async def test_when_nobody_knows_what_a_write_did_it_says_so_and_is_not_repeated(effect: Any, end: str) -> None:
    ran: list[str] = []

    async def act(what: str) -> None:
        """Act."""
        ran.append(what)
        if end == "raises":
            raise RuntimeError("the connection broke")
        if end == "is cut off":
            raise ProviderError("The bank is gone.", "Try later.", "unreachable", transient=True)
        await asyncio.sleep(60)

    one = tool(effect=effect, question="Do {what}?" if effect == "write" else "", timeout=0.1)(act)

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        yield Answer(text="Ok.") if len(turn.exchange) == 2 else ToolCall("1", "act", {"what": "x"})

    handler, turn = tool_use.use_tools([one])(handle), Turn("Go.", YOU)
    events = await collect(handler(turn))
    if effect == "write":
        token = question(events).token
        events = await collect(tool_use.resume(handler, token, True, YOU))
        await collect(tool_use.resume(handler, token, True, YOU))
    assert results(events)[0]["error"] == "outcome_unknown" and ran == ["x"]


async def test_reads_run_while_the_customer_is_asked_and_not_again() -> None:
    looked: list[str] = []

    @tool
    def peek(what: str) -> str:
        """Look."""
        looked.append(what)
        return what

    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        if turn.exchange and turn.exchange[-1]["role"] == "tool":
            yield Answer(text="Ok.")
        else:
            yield ToolCall("1", "peek", {"what": "x"})
            yield ToolCall("2", "pay", {"who": "Ann", "amount": 5})

    handler = tool_use.use_tools([peek, pay])(handle)
    asked = question(await collect(handler(Turn("Go.", YOU))))
    assert looked == ["x"] and not done
    rest = await collect(tool_use.resume(handler, asked.token, True, YOU))
    assert looked == ["x"] and results(rest) == ["x", {"message": "paid"}]


# whatever the model says


def confirmations() -> list[tuple[str, str, str | None]]:
    book = checkpoints.default()
    return book._execute("SELECT key, arguments, decision FROM confirmations")  # pyright: ignore[reportPrivateUsage]


def begun() -> list[tuple[str, str]]:
    book = checkpoints.default()
    return book._execute("SELECT key, arguments FROM actions WHERE tool = 'pay'")  # pyright: ignore[reportPrivateUsage]


def check_that_every_write_was_agreed_to() -> None:
    """Each time the tool ran: an action of its own, and a yes to exactly that action with exactly those arguments."""
    approved = {(key, arguments) for key, arguments, decision in confirmations() if decision == "approved"}
    assert set(begun()) <= approved
    ran = Counter((arguments["who"], arguments["amount"]) for arguments in (json.loads(text) for _, text in begun()))
    assert Counter(done) == ran


PAYMENTS = st.fixed_dictionaries(
    {"who": st.sampled_from(["Ann", "Bob"]), "amount": st.sampled_from([5, 6])},
    optional={
        name: st.sampled_from([True, "yes", "approved", 1])
        for name in ("approved", "confirmed", "token", "decision", "turn", "effect", "__approved__")
    },
)
WORDS = st.text(st.characters(exclude_categories=[]), max_size=20)
ARGUMENTS = (
    PAYMENTS
    | PAYMENTS.map(json.dumps)
    | st.dictionaries(WORDS, st.none() | st.booleans() | st.integers() | WORDS, max_size=4)
    | st.sampled_from(["", "null", "[]", '{"who": "Ann", "amount": 5', '{"who": "Ann", "amount": NaN}', "approved"])
    | WORDS
)
NAMES = st.sampled_from(
    ["pay", "pay", "pay", "look", "PAY", "pay ", " pay", "pay()", "functions.pay", "", "pay\x00", "раy"]
)
IDS = st.sampled_from(["", "1", "1", "2", "call-0-0", "call-0-1"]) | WORDS
CALLS = st.builds(ToolCall, IDS, NAMES | WORDS, ARGUMENTS)
ROUNDS = st.lists(st.lists(CALLS, max_size=6) | CALLS.map(lambda call: [call] * 20), max_size=5)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(rounds=ROUNDS, decisions=st.lists(st.booleans(), max_size=20))
async def test_no_write_without_a_yes_whatever_the_model_says(
    rounds: list[list[ToolCall]], decisions: list[bool]
) -> None:
    handler = model_that_says(*rounds)
    before = len(done)
    events = await collect(handler(Turn("Go.", YOU)))
    assert len(done) == before  # nothing before the first decision
    for decision in decisions:
        if not isinstance(events[-1], ConfirmationRequired):
            break
        before = len(done)
        token = events[-1].token
        events = await collect(tool_use.resume(handler, token, decision, YOU))
        assert len(done) == before + decision
        events = await collect(tool_use.resume(handler, token, decision, YOU))  # pressed twice
        assert len(done) == before + decision
    assert isinstance(events[-1], Answer | ConfirmationRequired)
    check_that_every_write_was_agreed_to()


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(rounds=st.lists(st.lists(CALLS, min_size=1, max_size=4), min_size=1, max_size=3))
async def test_no_write_without_a_yes_over_the_wire(rounds: list[list[ToolCall]]) -> None:
    replies = [[(call.name, call.arguments, call.call_id) for call in calls] for calls in rounds]
    before = len(done)
    async with scripted(*replies, "Done."):
        events = await collect(over_http(Turn("Go.", YOU)))
    assert isinstance(events[-1], Answer | ConfirmationRequired) and len(done) == before


async def test_the_assistant_of_the_course_asks_before_it_schedules() -> None:
    handler = complete_assistant.build(through="tool_use")
    when = {"when": "2026-11-05", "note": "does it work"}
    async with scripted([("schedule_follow_up", when)], "It is scheduled."):
        events = await collect(handler(Turn("Call me on Thursday.", YOU)))
        asked = question(events)
        assert "2026-11-05" in asked.question and not acme_tools.desk().work("follow_up")
        for _ in range(2):
            await collect(tool_use.resume(handler, asked.token, True, YOU))
    assert [one.day for one in acme_tools.desk().work("follow_up")] == ["2026-11-05"]


async def test_the_assistant_goes_on_after_a_restart(own_state: Path) -> None:
    handler = model_that_says([ToolCall("1", "pay", {"who": "Ann", "amount": 5})])
    asked = question(await collect(handler(Turn("Pay.", YOU))))
    store.close_under(own_state)  # as if the process had ended; another one only has the folder and the token
    handler = model_that_says([ToolCall("1", "pay", {"who": "Ann", "amount": 5})])
    await collect(tool_use.resume(handler, asked.token, True, YOU))
    assert done == [("Ann", 5)]


# killed


def pay_once(body: dict[str, Any]) -> Any:
    return "Done." if body["messages"][-1]["role"] == "tool" else [("act", {"what": "x"})]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_a_write_never_happens_twice_however_often_the_process_is_killed(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_and_resumed.py")
    async with scripted(pay_once):
        ended = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, script, tmp_path / "trials"],
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    trials = [json.loads(line) for line in ended.stdout.splitlines()]
    kinds = Counter(trial["kind"] for trial in trials)
    assert kinds["whole"] == 1 and kinds["points"] >= 20 and kinds["time"] >= 5 and kinds["twins"] >= 2
    assert {"before begin", "after begin", "tool starts", "tool has acted", "before finish", "after finish"} <= {
        trial["killed_at"][0] for trial in trials if trial["kind"] == "points"
    }
    for trial in trials:
        unknown = isinstance(trial["result"], dict) and trial["result"].get("error") == "outcome_unknown"
        assert trial["lines"] <= trial["actions"] == 1, trial
        if not unknown:
            assert trial["lines"] == 1 and trial["result"] == {"message": "done"}, trial
        in_between = {"after begin", "tool starts", "tool has acted", "before finish"} & set(trial["killed_at"])
        if trial["kind"] != "time":
            assert unknown == bool(in_between), trial
