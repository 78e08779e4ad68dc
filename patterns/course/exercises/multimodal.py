"""Notebook 10."""

from decimal import Decimal
from typing import Any

from ..drawn import bomb, page
from . import NotYet, exercise


@exercise
async def adds_up(solution: Any) -> str:
    for items, tax, total, right in (
        (["4.20", "1.80"], "0.50", "6.50", True),
        (["4.20", "1.80"], "0.50", "16.50", False),
        (["0.10"] * 3, "0.00", "0.30", True),
        (["1999999999.99", "0.01"], "0.00", "2000000000.01", False),
        (["10.00", "-2.50"], "0.60", "8.10", True),
        ([], "0.00", "0.00", False),
    ):
        said = solution(list(map(Decimal, items)), Decimal(tax), Decimal(total))
        if said is not right:
            raise NotYet(f"{items} and a tax of {tax} {'are' if right else 'are not'} {total}, and it said {said!r}.")
    return "Every cent counts."


@exercise
async def png_size(solution: Any) -> str:
    small, large = page("Hello", width=300), bomb(3_000)
    for what, data, size in (
        ("a picture of 300 x 104", small, (300, 104)),
        ("a picture without its pixels", small[:40], (300, 104)),
        ("a picture of 3000 x 3000", large, (3_000, 3_000)),
    ):
        said = solution(data)
        if said is None or tuple(said) != size:
            raise NotYet(f"{what}: it said {said!r}.")
    for what, data in (("a JPEG", b"\xff\xd8\xff\xe0" + bytes(40)), ("nothing", b""), ("a cut header", small[:18])):
        try:
            said = solution(data)
        except ValueError:
            continue
        raise NotYet(f"{what} is no PNG with a header: raise ValueError. It said {said!r}.")
    return "The size is known, and no pixel was unpacked."


LINES = ["00:00", "00:05", "01:10"]


@exercise
async def evidence_missing(solution: Any) -> str:
    if solution(LINES, {"reason": "00:05", "resolution": "01:10"}) != []:
        raise NotYet("both times are those of lines, and one was called missing.")
    if solution(LINES, {"resolution": "00:42", "reason": "00:00", "callback": "09:99"}) != ["callback", "resolution"]:
        raise NotYet("00:42 and 09:99 are in no line: their claims, sorted by name, are what is asked for.")
    if solution(LINES, {"reason": "0:05"}) != ["reason"]:
        raise NotYet("0:05 is not the time as it stands in the transcript.")
    if solution([], {"reason": "00:00"}) != ["reason"]:
        raise NotYet("of a call without lines nothing can be claimed.")
    return "Every claim rests on a line that is there."
