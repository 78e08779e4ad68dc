"""Notebook 11."""

from typing import Any

from ... import acme
from ...errors import CallerError
from . import NotYet, exercise

STRANGE = (
    "Write to desk@evil.example.",
    "Write to help@acme-home.example.evil.example.",
    "Write to hеlp@acme-home.example.",
    "Write to not-help@acme-home.example.evil.org or to DESK@EVIL.EXAMPLE.",
)
OURS = ("Write to help@acme-home.example.", "Call us.", "Write to Help@Acme-Home.example, please.")


@exercise
async def strange_mail(solution: Any) -> str:
    for text in OURS:
        if solution(text, "help@acme-home.example"):
            raise NotYet(f"{text!r} names only our own address, or none.")
    for text in STRANGE:
        if not solution(text, "help@acme-home.example"):
            raise NotYet(f"{text!r} names another address, and that was not found.")
    return "Only the real address is let out, and no other looks like it."


@exercise
async def own_rows(solution: Any) -> str:
    ann, derek = acme.user("C-0001"), acme.user("C-0002")
    for user in (ann, derek):
        own = {name for name, order in acme.orders().items() if order["customer"] == user.id}
        for condition in ("1 = 1", "total > 0 OR 1 = 1", "1 = 1) OR (1 = 1"):
            try:
                rows = {row["id"] for row in solution(condition, user)}
            except CallerError:
                continue
            if not rows <= own:
                raise NotYet(f"with the condition {condition!r}, orders of other customers come back.")
        rows = {row["id"] for row in solution("total > 50", user)}
        wanted = {name for name in own if acme.orders()[name]["total"] > 50}
        if rows != wanted:
            raise NotYet("'total > 50' must give all of the customer's own orders above 50.")
    return "Whatever the condition says, the rows are the customer's."


CARDS = ("4111111111111111", "5500000000000004", "378282246310005")


@exercise
async def check_digit(solution: Any) -> str:
    for card in CARDS:
        if solution(card) is not True:
            raise NotYet(f"{card} is a valid number, and the function gave {solution(card)!r}.")
        for place in range(len(card)):
            wrong = card[:place] + str((int(card[place]) + 1) % 10) + card[place + 1 :]
            if solution(wrong) is not False:
                raise NotYet(f"{wrong} has one wrong digit, and the function gave {solution(wrong)!r}.")
    return "Every valid number passes, and no wrong digit gets through."


@exercise
async def put_back(solution: Any) -> str:
    values = {"<EMAIL_1>": "ann@example.com", "<EMAIL_10>": "<EMAIL_1>"}
    whole = "To <EMAIL_1>, <EMAIL_10> and <EMAIL_2> <b>"
    wanted = "To ann@example.com, <EMAIL_1> and <EMAIL_2> <b>"
    for size in (len(whole), 1, 2, 5, 9):
        pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
        said = "".join(solution(pieces, values))
        if said != wanted:
            raise NotYet(f"in pieces of {size}: {said!r}, expected {wanted!r}.")
    first = iter(solution(iter(["Hello, ", "how are you?"]), values))
    if not next(first, "").startswith("Hello"):
        raise NotYet("text without a stand-in has to go on at once, not at the end.")
    return "Cut anywhere, the reader sees the values, and nothing waits that need not."
