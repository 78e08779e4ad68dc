"""A long conversation gets shorter, each block once, and no number is lost on the way."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Refused, scripted

from patterns import backend, budgets, ledger
from patterns.errors import CallerError
from patterns.events import Answer, Event, Message, Turn, User, answer
from patterns.rolling_summary import BLOCK, HEAD, RECENT, numbers, summarised, with_numbers

Dial = Callable[..., None]


def talk(count: int, text: str = "message {}") -> tuple[Message, ...]:
    return tuple(Message("user" if at % 2 == 0 else "assistant", text.format(at)) for at in range(count))


class Heard:
    """A handler that remembers the histories that it was given."""

    def __init__(self) -> None:
        self.histories: list[tuple[Message, ...]] = []

    async def __call__(self, turn: Turn) -> AsyncGenerator[Event, None]:
        self.histories.append(turn.history)
        yield Answer(text="yes")


async def test_a_short_history_is_passed_on_as_it_is() -> None:
    heard = Heard()
    async with scripted("never asked") as provider:
        for count in range(RECENT + BLOCK):
            await answer(summarised()(heard), Turn("?", history=talk(count)))
    assert heard.histories == [talk(count) for count in range(RECENT + BLOCK)] and provider.requests == 0


async def test_the_old_part_becomes_one_message_and_the_recent_part_stays() -> None:
    heard, history = Heard(), talk(11)
    async with scripted("They said hello."):
        await answer(summarised()(heard), Turn("?", history=history))
    first, *rest = heard.histories[0]
    assert first.role == "user" and first.text.startswith(f"{HEAD}\nThey said hello.")
    assert tuple(rest) == history[4:]


async def test_each_block_is_summarised_once_from_the_summary_before_it() -> None:
    asked: list[list[str]] = []

    def reply(body: dict[str, Any]) -> str:
        asked.append([message["content"] for message in body["messages"][1:-1]])
        return f"summary {'abc'[len(asked) - 1]}"

    async with scripted(reply):
        for count in range(8, 17):
            await answer(summarised()(Heard()), Turn("?", history=talk(count, "said {} times")))
    assert len(asked) == 3  # at 8, 12 and 16 messages
    assert asked[0] == [f"said {at} times" for at in range(4)]
    assert asked[1][0].startswith(f"{HEAD}\nsummary a") and len(asked[1]) == 1 + BLOCK
    assert asked[2][0].startswith(f"{HEAD}\nsummary b")


async def test_a_summary_belongs_to_one_person_and_can_be_forgotten() -> None:
    async with scripted("They said hello.") as provider:
        for user in (User("C-1"), User("C-2"), User("C-1", "acme-nord"), User("C-1")):
            await answer(summarised()(Heard()), Turn("?", user, talk(8)))
        assert provider.requests == 3
        await backend.default().forget("user:acme-home/C-1")
        await answer(summarised()(Heard()), Turn("?", User("C-1"), talk(8)))
        assert provider.requests == 4


async def test_the_model_may_drop_the_numbers_and_they_stay() -> None:
    heard = Heard()
    lines = ("It is about H-100108.", "Thank you.", "I paid $14.95 on 2026-11-01. It is raining.", "I see.")
    history = (*(Message("user", line) for line in lines), *talk(4, "later"))
    async with scripted("The customer asks about an order."):
        await answer(summarised()(heard), Turn("?", history=history))
    said = heard.histories[0][0].text
    assert "H-100108" in said and "I paid $14.95 on 2026-11-01." in said and "raining" not in said


@pytest.mark.parametrize("failure", [Refused(503), Refused(400, "context_length_exceeded")], ids=["down", "too long"])
async def test_without_the_model_the_numbers_still_travel(failure: Refused) -> None:
    heard = Heard()
    history = (Message("user", "It is about H-100108. Hello!"), *talk(8, "later"))
    async with scripted(failure):
        await answer(summarised()(heard), Turn("?", history=history))
    assert "H-100108" in heard.histories[0][0].text and "Hello" not in heard.histories[0][0].text


async def test_a_budget_that_is_used_up_stops_the_summary_and_not_the_request(turn_dials: Dial) -> None:
    await budgets.cap("feature:summary", 0.0)
    heard = Heard()
    await answer(summarised()(heard), Turn("?", history=(Message("user", "H-100108"), *talk(8, "later"))))
    assert "H-100108" in heard.histories[0][0].text and ledger.default().calls() == []


async def test_a_wrong_key_is_told_to_whoever_runs_this() -> None:
    async with scripted(Refused(401, "invalid_api_key")):
        with pytest.raises(CallerError):
            await answer(summarised()(Heard()), Turn("?", history=talk(8)))


async def test_the_call_is_in_the_ledger_under_the_run_and_the_customer(turn_dials: Dial) -> None:
    turn = Turn("?", User("C-9", "acme-nord"), talk(8, "The order {} is late and I am not amused."))
    await answer(summarised()(Heard()), turn)
    (call,) = ledger.default().calls(trace_id=turn.trace_id)
    assert (call.feature, call.tier, call.tenant, call.user) == ("summary", "small", "acme-nord", "C-9")
    assert call.cost_usd and call.output_tokens > 0


# what may never be lost

PIECES = ["H-100108", "$14.95", "2026-11-01.", "14", "95", "(E-104)", "a@b3.example", "Hi.", "\n"]
anything = st.one_of(
    st.text(),
    st.lists(st.sampled_from(PIECES)).map(" ".join),
)


@given(anything, anything)
def test_no_number_of_the_whole_is_lost(short: str, whole: str) -> None:
    assert numbers(whole) <= numbers(with_numbers(short, whole))


@given(st.lists(anything, max_size=4))
def test_no_number_is_lost_over_many_rounds(blocks: list[str]) -> None:
    text = ""
    for block in blocks:
        text = with_numbers("", f"{text}\n{block}")
    for block in blocks:
        assert numbers(block) <= numbers(text)


def test_a_part_of_a_number_is_not_the_number() -> None:
    assert with_numbers("It cost 14.95.", "You have 14 days.") == "It cost 14.95.\nYou have 14 days."
    assert with_numbers("You have 14 days.", "Within 14 days. Not later.") == "You have 14 days."
    assert numbers("(H-100108), at 14:00; $4.99! E-104?") == {"H-100108", "14:00", "$4.99", "E-104"}
    assert numbers("no digits here") == frozenset()
