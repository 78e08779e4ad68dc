"""Acme's tools: only one's own orders, only what one may read, and work that lands on the desk once."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patterns import acme, acme_tools, tools
from patterns.acme_tools import TOOLS, desk, order_lookup, schedule_follow_up, search_help
from patterns.events import Turn, User

ORDERS = sorted(acme.orders())


async def called(name: str, user: User, **arguments: Any) -> Any:
    checked = tools.check(name, arguments, TOOLS)
    return checked if isinstance(checked, dict) else await tools.run(*checked, Turn("...", user))


async def test_every_customer_sees_each_own_order_whole() -> None:
    for order in list(acme.orders().values())[::7]:
        shown = await called("order_lookup", acme.user(order["customer"]), order_id=order["id"])
        assert shown == {key: value for key, value in order.items() if key not in ("customer", "tenant")}


@pytest.mark.parametrize("written", ["h-100098", "  H-100098 ", "H-100098\n"])
async def test_an_order_number_may_be_written_loosely(written: str) -> None:
    assert (await called("order_lookup", acme.user("C-0001"), order_id=written))["id"] == "H-100098"


async def test_orders_of_others_are_answered_like_orders_that_do_not_exist() -> None:
    user = acme.user("C-0001")
    other = next(one for one in acme.orders().values() if one["tenant"] == user.tenant and one["customer"] != user.id)
    abroad = next(one for one in acme.orders().values() if one["tenant"] != user.tenant)
    unknown = "H-199999"
    assert unknown not in acme.orders()
    answers = [await called("order_lookup", user, order_id=one) for one in (unknown, other["id"], abroad["id"])]
    numbers = (unknown, other["id"], abroad["id"])
    shapes = [
        {key: text.replace(number, "#") for key, text in answer.items()}
        for number, answer in zip(numbers, answers, strict=True)
    ]
    assert shapes[0]["error"] == "not_found" and shapes[0] == shapes[1] == shapes[2]


async def test_the_same_customer_id_in_another_tenant_is_somebody_else() -> None:
    own = next(one for one in acme.orders().values() if one["customer"] == "C-0001")
    assert (await called("order_lookup", User("C-0001", "acme-nord"), order_id=own["id"]))["error"] == "not_found"


@given(st.sampled_from(ORDERS), st.sampled_from(sorted(acme.customers())))
async def test_no_customer_ever_sees_an_order_of_another(order_id: str, customer: str) -> None:
    shown = await called("order_lookup", acme.user(customer), order_id=order_id)
    assert ("error" in shown) == (acme.orders()[order_id]["customer"] != customer)


async def test_search_shows_only_what_the_customer_may_read() -> None:
    for customer in ("C-0001", "C-0025", "C-0053"):
        user = acme.user(customer)
        shown = await called("search_help", user, query="return refund warranty Rückgabe Garantie")
        allowed = {one.id for one in acme.articles() if one.visible_to(user)}
        assert shown and {one["id"] for one in shown} <= allowed


async def test_a_search_that_finds_nothing_says_so() -> None:
    assert (await called("search_help", User(), query="zzzzqqq"))["error"] == "not_found"


async def test_three_whole_excerpts_fit_into_one_result() -> None:
    for question in (
        "return refund warranty delivery shipping",
        "error code device reset firmware",
        "plan price invoice",
    ):
        shown = await called("search_help", User(plan="pro"), query=question)
        assert isinstance(shown, list) and len(shown) == 3


async def test_an_escalation_is_on_the_desk() -> None:
    given = await called("escalate_to_human", User(), reason="The customer asks for a person.")
    assert given["reference"].startswith("E-")
    assert [(one.customer, one.note) for one in desk().work("escalation")] == [
        ("C-0001", "The customer asks for a person.")
    ]
    assert desk().work("follow_up") == []


@pytest.mark.parametrize("days", [1, 90])
async def test_a_follow_up_is_on_the_desk(days: int) -> None:
    day = (acme.today() + timedelta(days=days)).isoformat()
    given = await called("schedule_follow_up", User(), when=f" {day} ", note="does the tracker work")
    assert given["day"] == day
    assert [(one.day, one.note) for one in desk().work("follow_up")] == [(day, "does the tracker work")]


@pytest.mark.parametrize("days", [-1, 0, 91, 4000])
async def test_a_day_that_makes_no_sense_is_refused_before_anybody_is_asked(days: int) -> None:
    checked = tools.check(
        "schedule_follow_up", {"when": (acme.today() + timedelta(days=days)).isoformat(), "note": "x"}, TOOLS
    )
    assert isinstance(checked, dict) and checked["error"] == "invalid_arguments"
    assert acme.today().isoformat() in checked["message"]


@pytest.mark.parametrize("when", ["tomorrow", "", "2026-13-01", "05.11.2026", "9" * 5_000])
def test_a_day_that_is_none_is_refused(when: str) -> None:
    checked = tools.check("schedule_follow_up", {"when": when, "note": "x"}, TOOLS)
    assert isinstance(checked, dict) and checked["error"] == "invalid_arguments"


def test_effects_are_what_they_do() -> None:
    assert [one.effect for one in TOOLS] == ["read", "read", "handoff", "write"]
    assert schedule_follow_up.asks({"when": "2026-11-05", "note": "the {parcel}"}) == (
        "Shall we contact you on 2026-11-05 about “the {parcel}”?"
    )
    for one in (order_lookup, search_help, acme_tools.escalate_to_human):
        assert not one.question
