"""Load and faults: a day of CUSTOMERS customers in SECONDS, with the faults of `load_drill.DAY` and one kill -9.

The service that ships, as a process of its own, with customers over HTTP and one stand-in for all. The stand-in shares
the machine, so times are those of a small machine with everything on it; counts and dollars are not.
"""

import asyncio
import statistics

from patterns import models
from patterns.course import drill_books, load_drill
from patterns.course.drill_books import Books
from patterns.course.load_drill import Drill

from . import measure
from .measure import Entry

CUSTOMERS, SECONDS = 1_000, 900.0
CAPS = {"all": 40.0, "tenant:acme-kitchen": 0.25}  # dollars; the second one is used up in the morning
ROW = "load"


async def _day(customers: int, seconds: float) -> tuple[Drill, Books]:
    drill = await load_drill.run(customers, seconds, CAPS)
    books = await drill_books.check(drill)
    await models.close()
    return drill, books


def entries(drill: Drill, books: Books) -> list[Entry]:
    quiet = [one.first for one in drill.by_phase().get(drill.phases[0].name, ()) if one.first is not None]
    used = max((held.settled + held.reserved) / held.cap for _, _, held in drill.spent if held.cap)
    shares = {name: f"{len(some)} requests" for name, some in drill.by_phase().items()}
    note = f"{len(drill.customers)} customers, {len(drill.asked)} requests, {books.provider} calls of the provider; "
    note += f"a day of {drill.seconds:g} s; {', '.join(f'{name} {count}' for name, count in shares.items())}"
    wrong = " ".join(books.wrong) or "nothing is wrong in the books"
    open_calls = f"{books.left_open} calls were open at the kill and stay charged at most"
    found = [
        Entry(ROW, "calls of the provider that are not in the ledger", books.unbooked, "= 0", note=note),
        Entry(ROW, "calls of the provider that are charged twice", books.twice, "= 0", note=open_calls),
        Entry(ROW, "work done twice, or agreed to and not done", books.done_twice + books.not_done, "= 0"),
        Entry(ROW, "runs that the kill cut off and that cannot go on", len(books.not_resumed), "= 0", note=wrong),
        Entry(ROW, "spend ÷ cap, highest moment of all caps", used, "≤ 1"),
        Entry(ROW, "questions that never got an end", books.without_end, "= 0"),
    ]
    if quiet:
        note = f"half of {len(quiet)} within {statistics.median(quiet):.2f} s"
        tail = statistics.quantiles(quiet, n=20, method="inclusive")[-1] if len(quiet) > 1 else quiet[0]
        found.append(Entry(ROW, "first words while all is well, 95 of 100, s", tail, note=note))
    return found


def a_day_of_faults() -> list[Entry]:
    with measure.standin():
        return entries(*asyncio.run(_day(CUSTOMERS, SECONDS)))


PARTS = (a_day_of_faults,)
