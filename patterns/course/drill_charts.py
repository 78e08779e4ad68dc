"""The charts of a drill: when which fault was, how long customers waited, and what was spent against the caps."""

import statistics
from typing import TYPE_CHECKING

from .charts import BAD, GOOD, INK, WAIT, _canvas, show
from .customers import HOURS, shares
from .fallback_charts import mix
from .load_drill import KILLED, Drill

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOKS = ((GOOD, "-"), (BAD, "--"), (INK, "-."), (WAIT, ":"))


def rungs(drill: Drill) -> None:
    """How requests ended, one bar a phase of the day."""
    mix({name: shares(some) for name, some in drill.by_phase().items()}, "How requests ended, by what was wrong")


def first_words(drill: Drill) -> None:
    """One mark a request: when it was asked and after how long its first words came; crosses had none."""
    title = "Seconds to the first words, over the day"
    figure, axes = _canvas(title, height=3.4)
    came = [(one.hour, one.first) for one in drill.asked if one.first is not None]
    none = [one.hour for one in drill.asked if one.first is None]
    top = 1.15 * max((seconds for _, seconds in came), default=1.0)
    axes.plot(*zip(*came, strict=True), color=GOOD, marker="o", markersize=4, linestyle="", alpha=0.6)
    axes.plot(none, [0.98 * top] * len(none), color=BAD, marker="x", markersize=5, linestyle="")
    axes.set(xlabel="hour of the day (crosses at the top: no words came)", ylabel="s", ylim=(0, top), xlim=_span(drill))
    _shade(axes, drill)
    words = []
    for name, some in drill.by_phase().items():
        times = [one.first for one in some if one.first is not None]
        middle = f"half within {statistics.median(times):.2f} s" if times else "none had words"
        words.append(f"{name}: {len(times)} of {len(some)} had words, {middle}")
    show(figure, title, f"{title}. {'; '.join(words)}.")


def spending(drill: Drill) -> None:
    """What each scope with a cap had used of it: spent, or set aside for calls that ran."""
    title = "Spent or set aside, of each cap"
    figure, axes = _canvas(title, height=2.8)
    words = []
    scopes = dict.fromkeys(scope for _, scope, _ in drill.spent)
    for place, scope in enumerate(scopes):
        points = [(hour, held) for hour, name, held in drill.spent if name == scope and held.cap]
        used = [100 * (held.settled + held.reserved) / (held.cap or 1.0) for _, held in points]
        colour, style = LOOKS[place % len(LOOKS)]
        axes.plot([hour for hour, _ in points], used, color=colour, linestyle=style, drawstyle="steps-post")
        axes.annotate(
            scope, (points[-1][0], used[-1]), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9
        )
        words.append(f"{scope}: at most {max(used):.0f}% of ${points[-1][1].cap:.2f}")
    axes.axhline(100, color=BAD, linestyle="--", linewidth=1)
    axes.set(xlabel="hour of the day", ylabel="% of the cap", ylim=(0, 118), xlim=_span(drill))
    _shade(axes, drill)
    show(figure, title, f"{title}. {'; '.join(words)}.")


def _span(drill: Drill) -> tuple[float, float]:
    return 0.0, max(HOURS, *(one.hour for one in drill.asked), *(hour for hour, _, _ in drill.spent))


def _shade(axes: "Axes", drill: Drill) -> None:
    """Every second phase grey, with its name above; a line where the process was killed and where it was back."""
    ends = [phase.begins for phase in drill.phases[1:]] + [_span(drill)[1]]
    for place, (phase, end) in enumerate(zip(drill.phases, ends, strict=True)):
        if place % 2:
            axes.axvspan(phase.begins, end, color=WAIT, alpha=0.18, linewidth=0)
        axes.annotate(
            phase.name, (min(phase.begins + 1, (phase.begins + end) / 2), 1), xycoords=("data", "axes fraction"),
            xytext=(0, 3), textcoords="offset points", ha="left", va="bottom", rotation=30, fontsize=7.5, color=INK,
        )  # fmt: skip
        if phase.name == KILLED:
            for hour in (drill.killed, drill.back):
                axes.axvline(hour, color=BAD, linewidth=1.2)
    axes.set_title(axes.get_title(loc="left"), loc="left", color=INK, pad=44)
