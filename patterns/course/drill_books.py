"""After a drill: is every call of the provider in the ledger, is none charged twice, did the budgets hold, is nothing
done twice, and can what the kill has cut off go on?

found = await drill_books.check(drill)
found.wrong         what is not as it must be, in sentences; empty after a good drill
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .. import acme_tools, agent_loop, budgets, checkpoints, complete_assistant, ledger, models
from ..errors import CallerError, PatternsError
from ..events import Answer, ConfirmationRequired, Event, User
from ..ledger import Call
from .customers import Asked
from .load_drill import Drill, charged

ROUNDING = 1e-7  # dollars, of sums: each call is charged rounded up to a nanodollar


@dataclass(frozen=True, slots=True)
class Books:
    """Counts and dollars; those that are named after a fault must be 0 or empty. `provider` is what the provider says.

    `left_open` are calls whose process was killed: they stay in the book at the most that they can have cost, which is
    `held`. `charged` and `provider_dollars` are of the others.
    """

    calls: int
    provider: int
    unbooked: int
    twice: int
    miscounted: int
    left_open: int
    held: float
    charged: float
    provider_dollars: float
    over_cap: Sequence[str]
    done_twice: int
    agreed: int
    not_done: int
    cut_off: int
    resumed: int
    not_resumed: Sequence[str]
    without_end: int

    @property
    def wrong(self) -> list[str]:
        """What is not as it must be."""
        found = {
            f"{self.unbooked} calls of the provider are not in the ledger.": self.unbooked,
            f"{self.twice} calls of the provider are in the ledger twice.": self.twice,
            f"{self.miscounted} rows have other tokens than the provider counted.": self.miscounted,
            f"Charged ${self.charged:.4f}, and the provider says ${self.provider_dollars:.4f}.": self.provider
            and self.charged < self.provider_dollars - ROUNDING,
            f"Over their caps: {', '.join(self.over_cap)}.": self.over_cap,
            f"{self.done_twice} pieces of work lie on the desk twice.": self.done_twice,
            f"{self.not_done} of {self.agreed} callbacks that were agreed to are not on the desk.": self.not_done,
            f"Runs that cannot go on: {', '.join(self.not_resumed)}.": self.not_resumed,
            f"{self.without_end} questions never got an end.": self.without_end,
        }
        return [said for said, is_so in found.items() if is_so]


async def check(drill: Drill) -> Books:
    """Go on with every run that was cut off, then read the books. Caps are read before, and lifted."""
    over = [scope for _, scope, held in drill.spent if held.cap is not None and held.settled + held.reserved > held.cap]
    spent, rows = await charged() - drill.before, ledger.default().calls(since=drill.since)
    log, left = list(drill.log.values()), [row for row in rows if row.outcome == "open"]
    priced = {row.provider_request_id: row for row in rows if row.provider_request_id}
    twice = Counter(row.provider_request_id for row in rows if row.provider_request_id)
    for scope in dict.fromkeys(scope for _, scope, _ in drill.spent):
        await budgets.cap(scope, None)
    cut = cut_off(drill.asked)
    ends = {trace: await resumed(trace, user) for trace, user in cut.items()}
    work = Counter(
        (one.kind, one.run_id) for kind in ("follow_up", "escalation") for one in acme_tools.desk().work(kind)
    )
    agreed = agreed_to(drill.asked)
    return Books(
        calls=len(rows),
        provider=len(log),
        unbooked=unbooked(log, rows),
        twice=sum(count - 1 for count in twice.values()),
        miscounted=sum(not same(entry, priced[entry["request_id"]]) for entry in log if entry["request_id"] in priced),
        left_open=len(left),
        held=ledger.total(left),
        charged=spent - ledger.total(left),
        provider_dollars=dollars([entry for entry in log if entry["request_id"] in priced]),
        over_cap=list(dict.fromkeys(over)),
        done_twice=sum(count - 1 for count in work.values()),
        agreed=len(agreed),
        not_done=sum(("follow_up", trace) not in work for trace in agreed),
        cut_off=len(cut),
        resumed=sum(end in ("answered", "asks back") for end in ends.values()),
        not_resumed=[f"{trace} ({end})" for trace, end in ends.items() if end not in FINE],
        without_end=without_end(drill.asked),
    )


# the ledger against the provider's log


def unbooked(log: Sequence[Mapping[str, object]], rows: Sequence[Call]) -> int:
    """Calls of the provider for which no row was written before: rows and calls of a model are paired in order."""
    missing = 0
    for model in {entry["model"] for entry in log}:
        begun = sorted(row.started for row in rows if row.model == model)
        arrived = sorted(float(str(entry["started"])) for entry in log if entry["model"] == model)
        place = 0
        for moment in arrived:
            if place < len(begun) and begun[place] <= moment:
                place += 1
            else:
                missing += 1
    return missing


def same(entry: Mapping[str, object], row: Call) -> bool:
    """Whether a row that the provider counted has the provider's numbers; an estimate is nobody's count."""
    return row.estimated or (row.input_tokens, row.output_tokens) == (entry["prompt_tokens"], entry["tokens_sent"])


def dollars(log: Sequence[Mapping[str, object]]) -> float:
    """What the provider would put on its bill."""
    tiers = {tier.model: tier for tier in models.provider().tiers.values()}
    costs = (
        tiers[str(one["model"])].cost(
            *(int(str(one[name])) for name in ("prompt_tokens", "tokens_sent", "cached_tokens"))
        )
        for one in log
    )
    return sum(cost or 0.0 for cost in costs)


# customers


def without_end(asked: Sequence[Asked]) -> int:
    """Questions whose last try broke."""
    last = {(one.customer, one.text): one for one in asked}
    return sum(one.end == "broken" for one in last.values())


def agreed_to(asked: Sequence[Asked]) -> dict[str, User]:
    """The runs whose customer said yes and was told that it is so: with an answer, or that it was decided before."""
    waiting: dict[int, str] = {}
    found: dict[str, User] = {}
    for one in asked:
        if one.token:
            waiting[one.customer] = one.trace_id
        elif not one.text and (one.end == "answer" or one.status == 409) and one.customer in waiting:
            found[waiting[one.customer]] = one.user
    return found


# what was cut off

# A run is written down before its first tool. Before that there is nothing to go on with: the customer asks anew.
FINE = ("answered", "asks back", "has ended", "had not begun")


def cut_off(asked: Sequence[Asked]) -> dict[str, User]:
    """The runs whose connection broke after they had begun, and those that were agreed to."""
    broken = {one.trace_id: one.user for one in asked if one.end == "broken" and one.trace_id}
    return broken | agreed_to(asked)


async def resumed(trace: str, user: User) -> str:
    """Go on with a run. How it ends: one of FINE, or the code of what is in its way."""
    try:
        if checkpoints.default().load(trace, user).status == "ended":
            return "has ended"
        last: Event | None = None
        async for event in agent_loop.resume_run(complete_assistant.build(), trace, user):
            last = event
    except CallerError as error:
        if error.code != "unknown_run":
            return error.code
        return "lost" if checkpoints.default().actions(trace) else "had not begun"
    except PatternsError as error:
        return error.code
    return {Answer: "answered", ConfirmationRequired: "asks back"}.get(type(last), str(getattr(last, "code", last)))
