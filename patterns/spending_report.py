"""What was spent, day by day, from the ledger alone.

    days()                          the last eight days (UTC, as the caps are), today last
    compared(days, figure)          today, yesterday, the mean of the seven days before today
    python -m patterns.spending_report

Every model call is in the ledger before it is made, also those of agents, tools, summaries and searches; so a number
that is not in here was not spent. Caps and alerts are in `alerts.py`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, TypeVar

from . import ledger, models
from .ledger import Call, Request

DAY = 86_400.0
EPOCH = date(1970, 1, 1)
DAYS = 8  # today, and seven to compare it with
NOBODY = "(nobody)"  # who is charged for a call without a label
FALLEN_BACK = ("stale", "simplified", "unavailable")
LIMITS = ("budget", "rate_limit", "switched_off")


@dataclass(frozen=True, slots=True)
class Day:
    """One day (UTC) of the ledger. Shares are None where there was nothing to have a share in."""

    date: str
    calls: tuple[Call, ...] = ()
    requests: tuple[Request, ...] = ()

    @property
    def dollars(self) -> float:
        return ledger.total(self.calls)

    @property
    def per_request(self) -> float | None:
        return self.dollars / len(self.requests) if self.requests else None

    @property
    def tokens_in(self) -> int:
        return sum(call.input_tokens for call in self.calls)

    @property
    def tokens_out(self) -> int:
        return sum(call.output_tokens for call in self.calls)

    @property
    def prompt_cache_rate(self) -> float | None:
        """The part of the tokens in that the provider's prompt cache served."""
        return _share([call.cached_tokens for call in self.calls], self.tokens_in)

    @property
    def hit_rate(self) -> float | None:
        return _share([one.served in ("cached", "stale") for one in self.requests])

    @property
    def fallback_rate(self) -> float | None:
        return _share([one.served in FALLEN_BACK for one in self.requests])

    @property
    def small_share(self) -> float | None:
        """Of the requests that a model answered, those that the small one did."""
        return _share([one.tier == "small" for one in self.requests if one.served == "live"])

    @property
    def turned_away(self) -> Counter[str]:
        """Requests that a limit refused, by limit."""
        return Counter(one.outcome for one in self.requests if one.outcome in LIMITS)

    def by(self, label: Literal["feature", "tenant", "user", "tier", "model"]) -> dict[str, float]:
        """Dollars by a label of the calls, the dearest first."""
        found: dict[str, float] = {}
        for call in self.calls:
            name = getattr(call, label) or NOBODY
            found[name] = found.get(name, 0.0) + (call.cost_usd or 0.0)
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _share(parts: Sequence[float], whole: float | None = None) -> float | None:
    whole = len(parts) if whole is None else whole
    return sum(parts) / whole if whole else None


def date_of(moment: float) -> str:
    """The day (UTC, YYYY-MM-DD) of a Unix time: the same on every server, whatever its time zone."""
    return (EPOCH + timedelta(days=moment // DAY)).isoformat()  # datetime would round the last moment up


def days(book: ledger.Ledger | None = None, count: int = DAYS, now: float | None = None) -> list[Day]:
    """The last `count` days, oldest first; a call belongs to the day on which it began. `now` is Unix time."""
    book, now = book or ledger.default(), time.time() if now is None else now
    since = now // DAY * DAY - (count - 1) * DAY
    calls, requests = _by_day(book.calls(since=since)), _by_day(book.requests(since=since))
    dates = [date_of(since + number * DAY) for number in range(count)]
    return [Day(date, tuple(calls.get(date, ())), tuple(requests.get(date, ()))) for date in dates]


Row = TypeVar("Row", Call, Request)


def _by_day(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(date_of(row.started), []).append(row)
    return found


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure of today, of yesterday, and the mean of the seven days before today; None where there is none."""

    today: float | None
    yesterday: float | None
    mean: float | None


def compared(every: Sequence[Day], figure: Callable[[Day], float | None]) -> Compared:
    """`figure` of the last of `every` day, next to those before it. Days without the figure are not in the mean."""
    *before, today = every
    known = [value for day in before[-7:] if (value := figure(day)) is not None]
    return Compared(figure(today), figure(before[-1]) if before else None, _share(known))


def burndown(day: Day, cap: float, counts: Callable[[Call], bool] = lambda call: True) -> list[tuple[float, float]]:
    """(hour of the day, dollars left of `cap`) after each call that counts, from (0, cap) on."""
    left, line = cap, [(0.0, cap)]
    for call in day.calls:
        if counts(call) and call.cost_usd:
            left -= call.cost_usd
            line.append((call.started % DAY / 3600, left))
    return line


# as text


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the report: its title, where it comes from, and how it is written."""

    title: str
    of: Callable[[Day], float | None]
    form: str = "{:,.0f}"

    def written(self, value: float | None) -> str:
        return "–" if value is None else self.form.format(value)


FIGURES = (
    Figure("dollars", lambda day: day.dollars, "${:,.4f}"),
    Figure("requests", lambda day: len(day.requests)),
    Figure("dollars a request", lambda day: day.per_request, "${:,.5f}"),
    Figure("answered from a cache", lambda day: day.hit_rate, "{:.0%}"),
    Figure("answered by the small model", lambda day: day.small_share, "{:.0%}"),
    Figure("fallen back", lambda day: day.fallback_rate, "{:.0%}"),
    Figure("turned away by a limit", lambda day: day.turned_away.total()),
    Figure("tokens in", lambda day: day.tokens_in),
    Figure("of these from the prompt cache", lambda day: day.prompt_cache_rate, "{:.0%}"),
    Figure("tokens out", lambda day: day.tokens_out),
)


def text(every: Sequence[Day], notes: Iterable[object] = (), top: int = 3) -> str:
    """The report: today, yesterday, the mean of seven days; who spent it; and `notes`, such as the caps."""
    lines = [
        f"{every[-1].date} (UTC){', at invented prices' if invented(every) else ''}",
        f"{'':32}{'today':>12}{'yesterday':>12}{'7-day mean':>12}",
    ]
    for one in FIGURES:
        found = compared(every, one.of)
        values = (found.today, found.yesterday, found.mean)
        lines.append(f"{one.title:32}" + "".join(f"{one.written(value):>12}" for value in values))
    for label in ("feature", "tenant"):
        spent = [f"{name} ${value:,.4f}" for name, value in list(every[-1].by(label).items())[:top]]
        lines.append(f"most by {label}: {', '.join(spent) or '–'}")
    return "\n".join([*lines, *map(str, notes)])


def invented(every: Iterable[Day]) -> bool:
    """Whether any of it was counted at prices that somebody made up, as the stand-in's are."""
    names = {call.provider for day in every for call in day.calls}
    return any(models.catalogue().get(name, {}).get("invented_prices") for name in names)


async def main() -> None:
    from . import alerts

    every = days()
    print(text(every, await alerts.caps(every[-1])))


if __name__ == "__main__":
    asyncio.run(main())
