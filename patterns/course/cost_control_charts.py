"""The charts of notebook 08."""

from collections.abc import Mapping, Sequence

from ..confidence import Bin
from .charts import BAD, GOOD, INK, MARKERS, WAIT, _canvas, show


def reliability(curves: Mapping[str, Sequence[Bin]], title: str) -> None:
    """What was said (across) against what was so (up), a point for each bin; on the diagonal, the two agree."""
    figure, axes = _canvas(title)
    axes.plot([0, 1], [0, 1], color=WAIT, linestyle="--", linewidth=1)
    axes.annotate("said = was", (0.06, 0.06), xytext=(8, -2), textcoords="offset points", color=INK)
    words = []
    for position, (name, bins) in enumerate(curves.items()):
        said, was = [one.said for one in bins], [one.was for one in bins]
        colour = (GOOD, BAD, INK)[position % 3]
        axes.plot(said, was, color=colour, marker=MARKERS[position % 4], linewidth=1.4, label=name)
        points = ", ".join(f"said {one.said:.2f} was {one.was:.2f}" for one in bins)
        words.append(f"{name}: {points}")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.05), xlabel="chance that was said", ylabel="share that was so")
    axes.legend(loc="lower right", frameon=False)
    show(figure, title, f"{title}, chance said and share that was so: {'; '.join(words)}.")


def burndown(line: Sequence[tuple[float, float]], cap: float, title: str) -> None:
    """What is left of a cap over the hours of a day; the dashed line is where the alert comes."""
    figure, axes = _canvas(title)
    hours, left = [hour for hour, _ in line], [dollars for _, dollars in line]
    axes.step([*hours, 24.0], [*left, left[-1]], where="post", color=GOOD, linewidth=1.6)
    axes.axhline(0.2 * cap, color=BAD, linestyle="--", linewidth=1)
    axes.annotate("alert: 80% used", (0.3, 0.2 * cap), xytext=(0, 4), textcoords="offset points", color=BAD)
    axes.set(xlim=(0, 24), ylim=(min(0.0, *left), 1.05 * cap), xlabel="hour of the day (UTC)", ylabel="dollars left")
    crossed = next((hour for hour, dollars in line if dollars <= 0.2 * cap), None)
    when = "is not reached" if crossed is None else f"comes at hour {crossed:.1f}"
    show(figure, title, f"{title}: from ${cap:.2f} to ${left[-1]:.2f} at the end; the alert {when}.")
