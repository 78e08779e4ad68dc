"""How much of each cap is used today, and who has to be told: at 80%, while there is still something to decide.

for one in await new_alerts():      # every few minutes, from one process or from many
    send(str(one))
"""

from dataclasses import dataclass

from . import backend, budgets
from .spending_report import DAY, Day, days

ALERT_AT = 0.8


@dataclass(frozen=True, slots=True)
class Cap:
    """A cap of today and how much of it is used: spent, or set aside for calls that run now. In dollars."""

    scope: str
    most: float
    used: float

    @property
    def share(self) -> float:
        return self.used / self.most if self.most else 1.0

    def __str__(self) -> str:
        return f"{self.scope} has used {self.share:.0%} of its ${self.most:,.2f} for today."


async def caps(today: Day) -> list[Cap]:
    """The caps that today's calls and requests are held against, the fullest first."""
    labels = [
        {"tenant": one.tenant, "feature": one.feature, "user": one.user} for one in (*today.calls, *today.requests)
    ]
    found = []
    for scope in dict.fromkeys(["all", *(scope for one in labels for scope in budgets.scopes(one))]):
        held = await budgets.spending(scope)
        if held.cap is not None:
            found.append(Cap(scope, held.cap, held.settled + held.reserved))
    return sorted(found, key=lambda one: -one.share)


async def alerts(at: float = ALERT_AT) -> list[Cap]:
    """The caps of today that are used to the share `at`, or more."""
    return [one for one in await caps(days(count=1)[0]) if one.share >= at]


async def new_alerts(at: float = ALERT_AT) -> list[Cap]:
    """The alerts that nobody has been given today, by this process or another."""
    return [one for one in await alerts(at) if await _first_today(f"{at:g} {one.scope}")]


async def _first_today(what: str) -> bool:
    return not await backend.default().take(f"alert {days(count=1)[0].date} {what}", 1, DAY)
