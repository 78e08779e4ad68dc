"""The dashboard of notebook 08: what the ledger says about today, and sliders for what would be if.

The figures come from `spending_report.py` and `alerts.py`, the arithmetic from `levers.py`; here they are only shown.
Where no widget can be shown, each prints itself as text.
"""

import html
from collections.abc import Sequence
from typing import Any

import ipywidgets

from .. import levers
from ..alerts import ALERT_AT, Cap
from ..levers import Levers, Traffic
from ..models import Tier
from ..spending_report import FIGURES, Day, compared, invented, text
from .widgets import PlainText

STYLE = """<style>
.spending{border-collapse:collapse;color:var(--jp-ui-font-color1,#222)}
.spending td,.spending th{padding:.15em .9em .15em 0;text-align:right;font-variant-numeric:tabular-nums}
.spending td:first-child,.spending th:first-child{text-align:left}
.spending caption{text-align:left;white-space:nowrap;font-weight:600;padding-bottom:.3em}
</style>"""


class Dashboard(PlainText, ipywidgets.VBox):
    """Today next to yesterday and the mean of seven days, who spent it, and how full the caps are."""

    def __init__(self, every: Sequence[Day], held: Sequence[Cap] = ()) -> None:
        self._text = text(every, held)
        note = "At the stand-in's invented prices." if invented(every) else ""
        parts = [STYLE, _figures(every), _spenders(every[-1]), f"<p>{note}</p>"]
        super().__init__([ipywidgets.HTML("".join(parts)), *map(_gauge, held)])

    def __repr__(self) -> str:
        return self._text


def _figures(every: Sequence[Day]) -> str:
    rows = []
    for one in FIGURES:
        found = compared(every, one.of)
        cells = "".join(f"<td>{one.written(value)}</td>" for value in (found.today, found.yesterday, found.mean))
        rows.append(f"<tr><td>{html.escape(one.title)}</td>{cells}</tr>")
    head = "<tr><th></th><th>today</th><th>yesterday</th><th>7-day mean</th></tr>"
    return f'<table class="spending"><caption>{every[-1].date} (UTC)</caption>{head}{"".join(rows)}</table>'


def _spenders(today: Day, top: int = 5) -> str:
    """Names in the ledger come from outside, so they are escaped."""
    tables = []
    for label in ("feature", "tenant"):
        spent = list(today.by(label).items())[:top]
        rows = "".join(f"<tr><td>{html.escape(name)}</td><td>${value:,.4f}</td></tr>" for name, value in spent)
        tables.append(f'<table class="spending"><caption>most by {label}</caption>{rows}</table>')
    return "".join(tables)


def _gauge(cap: Cap) -> ipywidgets.Widget:
    bar = ipywidgets.FloatProgress(
        value=min(cap.share, 1.0), max=1.0, bar_style="danger" if cap.share >= ALERT_AT else ""
    )
    mark = "! " if cap.share >= ALERT_AT else ""  # colour is never the only sign
    return ipywidgets.HBox([bar, ipywidgets.Label(f"{mark}{cap}")])


class WhatIf(PlainText, ipywidgets.VBox):
    """Sliders on the levers, and what a thousand requests would cost. `set(cascade=0.8)` moves them from code."""

    def __init__(self, small: Tier, large: Tier, traffic: Traffic | None = None) -> None:
        self._tiers, self._traffic = (small, large), traffic or Traffic()
        self.sliders = {
            name: ipywidgets.FloatSlider(
                value=0,
                min=0,
                max=0.95,
                step=0.05,
                description=name.replace("_", " "),
                style={"description_width": "7em"},
            )
            for name in levers.NAMES
        }
        self._said = ipywidgets.HTML()
        for slider in self.sliders.values():
            slider.observe(lambda _: self._show(), names="value")
        super().__init__([*self.sliders.values(), self._said])
        self._show()

    def set(self, **values: float) -> "WhatIf":
        for name, value in values.items():
            self.sliders[name].value = value
        return self

    @property
    def levers(self) -> Levers:
        return Levers(**{name: slider.value for name, slider in self.sliders.items()})

    def _show(self) -> None:
        self._said.value = "<pre>" + html.escape(self.outcome()) + "</pre>"

    def outcome(self) -> str:
        """What the levers do, as text."""
        given: tuple[Any, ...] = (self._traffic, self.levers, *self._tiers)
        single = levers.alone(*given)
        pulled = [f"{name.replace('_', ' ')} {1 - left:.0%}" for name, left in single.items() if left != 1]
        both = levers.multiplied(*given), levers.together(*given)
        return "\n".join(
            [
                f"a thousand requests: ${1000 * levers.cost(*given):.2f}",
                f"saved by each alone: {', '.join(pulled) or 'nothing yet'}",
                f"multiplied: {1 / both[0]:.1f} times cheaper; together: {1 / both[1]:.1f} times cheaper",
            ]
        )

    def __repr__(self) -> str:
        pulled = ", ".join(f"{name.replace('_', ' ')} {slider.value:.2f}" for name, slider in self.sliders.items())
        return f"[sliders · {pulled} · run the cell to move them]\n{self.outcome()}"
