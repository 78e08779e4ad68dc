"""One row a request however it ends; a switch that stops all at once; a limit that nobody can talk their way round."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns import backend, complete_assistant, ledger
from patterns.cost_control import kill_switch, rate_key, rate_limited, recorded
from patterns.course import exercises
from patterns.errors import LimitHit, ProviderError
from patterns.events import (
    Answer,
    ConfirmationRequired,
    Event,
    Failed,
    Handler,
    TextDelta,
    Turn,
    User,
    answer,
    stack,
)
from patterns.streaming_ux import measure, report_failures

Dial = Callable[..., None]


def rows() -> list[ledger.Request]:
    return ledger.default().requests()


def says(*events: Event | Exception) -> Handler:
    async def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        for event in events:
            if isinstance(event, Exception):
                raise event
            yield event

    return handle


# recorded


async def test_an_answer_is_one_row_with_how_it_was_served() -> None:
    turn = Turn("?", User("C-7", "acme-nord"), feature="triage")
    end = Answer(text="30 days", served="cached", tier="small", outcome="partial")
    await answer(recorded(says(TextDelta("30 "), TextDelta("days"), end)), turn)
    (row,) = rows()
    assert (row.served, row.tier, row.outcome) == ("cached", "small", "partial")
    assert (row.feature, row.tenant, row.user) == ("triage", "acme-nord", "C-7")
    assert (row.request_id, row.trace_id) == (turn.request_id, turn.trace_id)
    assert 0 < row.first_token_seconds <= row.seconds and abs(row.started - time.time()) < 60


async def test_the_row_is_there_before_the_reader_has_the_end() -> None:
    async with aclosing(recorded(says(Answer(text="yes")))(Turn("?"))) as events:
        await anext(events)
        assert [row.outcome for row in rows()] == ["success"]


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (LimitHit("Too dear.", "Wait.", "budget"), "budget"),
        (ProviderError("Down.", "Wait.", "overloaded", transient=True), "overloaded"),
        (ZeroDivisionError(), "crashed"),
        (Failed("quota", "No money.", "Pay.", False), "quota"),
        (ConfirmationRequired("token", "Shall we?"), "waiting"),
    ],
)
async def test_every_other_end_is_a_row_as_well(ending: Event | Exception, outcome: str) -> None:
    try:
        async with aclosing(recorded(says(TextDelta("a"), ending))(Turn("?"))) as events:
            async for _ in events:
                pass
    except Exception as error:
        assert error is ending
    assert [(row.outcome, row.served) for row in rows()] == [(outcome, "")]


async def test_a_reader_who_stops_or_is_cancelled_leaves_a_row() -> None:
    async def endless(turn: Turn) -> AsyncGenerator[Event, None]:
        while True:
            yield TextDelta("on ")
            await asyncio.sleep(0)

    async with aclosing(recorded(endless)(Turn("?"))) as events:
        await anext(events)
    task = asyncio.ensure_future(answer(recorded(endless), Turn("?")))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    assert [row.outcome for row in rows()] == ["aborted", "aborted"]


async def test_a_request_that_goes_on_after_a_yes_is_one_row() -> None:
    turn = Turn("?")
    for end in (ConfirmationRequired("token", "Shall we?"), Answer(text="done")):
        async with aclosing(recorded(says(end))(turn)) as events:
            async for _ in events:
                pass
    assert [row.outcome for row in rows()] == ["success"]


async def test_a_book_that_cannot_be_written_does_not_cost_the_answer(
    own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.default().close()
    assert (await answer(recorded(says(Answer(text="paid for"))), Turn("?"))).text == "paid for"


# kill switch


@pytest.mark.parametrize("what", ["all", "feature:chat", "tenant:acme-home"])
async def test_a_switch_stops_what_it_names_and_nothing_else(what: str) -> None:
    handler = kill_switch(says(Answer(text="on")))
    await backend.default().switch_off(what, "drill")
    with pytest.raises(LimitHit, match="drill") as caught:
        await answer(handler, Turn("?"))
    assert caught.value.code == "switched_off"
    if what != "all":
        assert (await answer(handler, Turn("?", User(tenant="acme-nord"), feature="triage"))).text == "on"
    await backend.default().switch_on(what)
    assert (await answer(handler, Turn("?"))).text == "on"


async def test_a_switched_off_assistant_makes_no_call_and_says_so(turn_dials: Dial) -> None:
    await backend.default().switch_off("all", "drill")
    handler = stack(complete_assistant.core, report_failures, recorded, kill_switch)
    timing = await measure(handler, Turn("?"))
    assert timing.failed and timing.failed.code == "switched_off" and "drill" in timing.failed.message
    assert ledger.default().calls() == [] and [row.outcome for row in rows()] == ["switched_off"]


async def test_another_process_stops_within_a_second(own_state: Path) -> None:
    """The other process asks as fast as it can, and prints when its last request was let through."""
    script = Path(__file__).with_name("switched_off_elsewhere.py")
    process = await asyncio.create_subprocess_exec(sys.executable, script, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"asking\n"
    await backend.default().switch_off("feature:chat", "drill")
    flipped = time.time()
    last, accepted = (await asyncio.wait_for(process.stdout.read(), 30)).split()
    assert await process.wait() == 0
    assert int(accepted) > 0 and float(last) - flipped < 1.0


# rate limit


async def test_one_person_waits_and_nobody_else_does() -> None:
    handler = rate_limited(2, 60)(says(Answer(text="yes")))
    ana, same_id_elsewhere = User("C-1", "acme-home"), User("C-1", "acme-nord")
    for _ in range(2):
        await answer(handler, Turn("?", ana))
    with pytest.raises(LimitHit, match=r"Try again in \d+ seconds") as caught:
        await answer(handler, Turn("?", ana))
    assert caught.value.code == "rate_limit" and 0 < (caught.value.retry_after or 0) <= 30
    await answer(handler, Turn("?", same_id_elsewhere))
    await answer(handler, Turn("?", replace(ana, id="C-2")))


async def test_a_hundred_at_once_get_no_more_places_than_there_are() -> None:
    handler = rate_limited(10, 600)(says(Answer(text="yes")))
    ends = await asyncio.gather(*(answer(handler, Turn("?")) for _ in range(100)), return_exceptions=True)
    assert sum(isinstance(end, Answer) for end in ends) == 10
    assert all(isinstance(end, Answer | LimitHit) for end in ends)


@given(st.text(), st.text(), st.text())
def test_nothing_that_a_client_writes_is_in_the_key(text: str, request_id: str, feature: str) -> None:
    turn = Turn(text, request_id=request_id, trace_id=request_id, feature=feature)
    assert rate_key(turn.user, 5, 60) == rate_key(Turn("?").user, 5, 60)


@given(st.text(max_size=6), st.integers(0, 6), st.integers(0, 6), st.sampled_from(["", "/", ", ", '", "']))
def test_two_people_never_share_a_key(text: str, cut: int, other_cut: int, between: str) -> None:
    """Names that are the same text once they are put together, parted in another place."""
    parted = {(text[:at] + between, text[at:]) for at in (cut, other_cut)} | {(text[:cut], between + text[cut:])}
    assert len({rate_key(User(id, tenant), 5, 60) for tenant, id in parted}) == len(parted)


# the exercises of the notebook


def blended(stays: float, small: float, large: float) -> float:
    return small + (1 - stays) * large


class Budget:
    """A right solution of the second exercise; the wrong ones below change a line of it."""

    def __init__(self, cap: float) -> None:
        self.cap, self.spent, self.reserved = cap, 0.0, 0.0

    def room(self, most: float) -> bool:
        return self.spent + self.reserved + most <= self.cap

    async def spend(self, most: float, call: Callable[[], Awaitable[float]]) -> float:
        if not self.room(most):
            raise LimitHit("The budget is used up.", "Wait for tomorrow.", "budget")
        self.reserved += most
        cost = 0.0
        try:
            cost = await call()
        finally:
            self.reserved -= most
            self.spent += cost
        return cost


class Checks(Budget):
    def room(self, most: float) -> bool:
        return self.spent + most <= self.cap


class KeepsAll(Budget):
    async def spend(self, most: float, call: Callable[[], Awaitable[float]]) -> float:
        cost = await super().spend(most, call)
        self.spent += most - cost
        return cost


class NeverRuns(Budget):
    def room(self, most: float) -> bool:
        return False


class ForgetsFailures(Budget):
    async def spend(self, most: float, call: Callable[[], Awaitable[float]]) -> float:
        try:
            return await super().spend(most, call)
        except ValueError:
            self.spent += most
            raise


@pytest.mark.parametrize(
    ("name", "solution", "said"),
    [
        ("blended", blended, "✓"),
        ("blended", lambda stays, small, large: stays * small + (1 - stays) * large, "Not yet: blended(0.9"),
        ("blended", lambda stays, small, large: None, "Not yet"),
        ("budget", Budget, "✓"),
        ("budget", Checks, "of 50 calls at once 50 ran"),
        ("budget", KeepsAll, "give back what was not used"),
        ("budget", NeverRuns, "must run"),
        ("budget", ForgetsFailures, "must be given back"),
    ],
    ids=["right", "no waste", "nothing", "holds", "checks only", "keeps all", "never runs", "forgets failures"],
)
async def test_the_exercises_tell_right_from_wrong(
    name: str, solution: object, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await exercises.check(name, solution)
    assert said in capsys.readouterr().out
