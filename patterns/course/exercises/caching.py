"""Notebook 07."""

import asyncio
from dataclasses import replace
from typing import Any

from ...events import Message, Turn, User
from . import NotYet, exercise

ASKED = Turn("How long is the warranty?", User("C-0001", "acme-home", "plus", ("support",)), (Message("user", "hi"),))
ONE_ANSWER = (
    ("another customer with the same rights", replace(ASKED, user=replace(ASKED.user, id="C-0002"))),
    ("another request", replace(ASKED, request_id="req_2", trace_id="trace_2")),
    ("a team named twice", replace(ASKED, user=replace(ASKED.user, teams=("support", "support")))),
)
TWO_ANSWERS = (
    ("another tenant", replace(ASKED, user=replace(ASKED.user, tenant="acme-nord"))),
    ("another plan", replace(ASKED, user=replace(ASKED.user, plan="basic"))),
    ("a team less", replace(ASKED, user=replace(ASKED.user, teams=()))),
    ("another language", replace(ASKED, user=replace(ASKED.user, language="de"))),
    ("another question", replace(ASKED, text="How long is the delivery?")),
    ("another history", replace(ASKED, history=(Message("user", "hello"),))),
    ("no history", replace(ASKED, history=())),
)


@exercise
async def cache_key(solution: Any) -> str:
    key = solution(ASKED, "v1")
    if not isinstance(key, str) or key != solution(ASKED, "v1"):
        raise NotYet("the same turn must give the same text each time.")
    for what, turn in ONE_ANSWER:
        if solution(turn, "v1") != key:
            raise NotYet(f"{what}: that is the same answer, and the keys differ.")
    for what, turn in TWO_ANSWERS:
        if solution(turn, "v1") == key:
            raise NotYet(f"{what}: that may be another answer, and the keys are equal.")
    if solution(ASKED, "v2") == key:
        raise NotYet("another recipe: answers of an old prompt would be served for ever.")
    one, other = (replace(ASKED, text=a, user=replace(ASKED.user, tenant=b)) for a, b in (("ab", "c"), ("a", "bc")))
    if solution(one, "v1") == solution(other, "v1"):
        raise NotYet("the question 'ab' of tenant 'c' has the key of the question 'a' of tenant 'bc'.")
    return "One key for one answer, and no two answers under one key."


@exercise
async def one_flight(solution: Any) -> str:
    calls, gate = 0, asyncio.Event()

    async def make() -> str:
        nonlocal calls
        calls += 1
        await gate.wait()
        return f"answer {calls}"

    once = solution()
    waiting = [asyncio.ensure_future(once("question", make)) for _ in range(50)]
    other = asyncio.ensure_future(once("another question", make))
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    await asyncio.sleep(0.01)
    gate.set()
    answers = await asyncio.gather(*waiting[1:], other, return_exceptions=True)
    if calls != 2:
        raise NotYet(f"50 callers with one key and one with another made {calls} calls; 2 are enough.")
    if not all(isinstance(answer, str) for answer in answers):
        raise NotYet("the first caller was cancelled, and others were left without an answer.")
    await once("question", make)
    if calls != 3:
        raise NotYet("when a flight has ended, the next caller begins a new one: this is no cache.")

    async def fail() -> str:
        await asyncio.sleep(0)
        raise ValueError("no")

    failed = await asyncio.gather(*(once("broken", fail) for _ in range(3)), return_exceptions=True)
    if not all(isinstance(one, ValueError) for one in failed):
        raise NotYet("an error goes to everybody who waits.")
    if not isinstance(await once("broken", make), str):
        raise NotYet("after an error the next caller tries anew.")
    return "One call for a crowd, whoever leaves, and no failure is kept."
