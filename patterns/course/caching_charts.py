"""The charts of notebook 07."""

from collections.abc import Mapping, Sequence

from .charts import BAD, GOOD, INK, MARKERS, WAIT, _canvas, show


def tiers(cost: Mapping[str, float], seconds: Mapping[str, float], title: str) -> None:
    """What one answer costs (dollars) and takes (seconds), by how it was served: two panels of bars."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.5 * len(cost) + 1.3))
    panels, words = figure.subplots(1, 2, sharey=True), []
    for axes, values, label, written in (
        (panels[0], cost, "dollars an answer", "${:.5f}"),
        (panels[1], seconds, "seconds to the whole answer", "{:.2f} s"),
    ):
        for row, value in enumerate(values.values()):
            axes.barh(row, value, height=0.6, color=GOOD, alpha=0.35, edgecolor=GOOD)
            said = written.format(value)
            axes.annotate(said, (value, row), xytext=(4, 0), textcoords="offset points", va="center", color=INK)
        axes.set_xlim(left=0, right=1.45 * max(values.values()))
        axes.set_xlabel(label)
        axes.locator_params(axis="x", nbins=4)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(cost)), labels=list(cost))
    panels[0].invert_yaxis()
    figure.suptitle(title, x=0.02, ha="left", fontsize=11, color=INK)
    figure.tight_layout()
    words = [f"{name} ${cost[name]:.5f} and {seconds[name]:.2f} s" for name in cost]
    show(figure, title, f"{title}, dollars and seconds of one answer: {'; '.join(words)}.")


def hits(curves: Mapping[str, Sequence[tuple[float, float, float]]], bound: float, title: str) -> None:
    """One line a rule, of points (threshold, false hits, hits), both as shares; `bound` is drawn as a dashed line."""
    figure, axes = _canvas(title)
    words = []
    for position, (name, points) in enumerate(curves.items()):
        colour, marker = (BAD, GOOD, INK, WAIT)[position % 4], MARKERS[position % 4]
        axes.plot(
            [100 * false for _, false, _ in points], [100 * hit for _, _, hit in points],
            color=colour, marker=marker, markersize=4, linewidth=1.4, label=name,
        )  # fmt: skip
        (high, few, little), (low, many, much) = points[0], points[-1]
        words.append(
            f"{name}: at {high:.2f}, {little:.1%} hits and {few:.1%} false; at {low:.2f}, {much:.1%} and {many:.1%}"
        )
    axes.axvline(100 * bound, color=INK, linestyle="--", linewidth=1)
    axes.annotate(
        f"bound {bound:.0%}", (100 * bound, 1), xycoords=("data", "axes fraction"), xytext=(4, -2),
        textcoords="offset points", va="top", color=INK,
    )  # fmt: skip
    axes.set_xlabel("false hits, % of the pairs that only sound alike")
    axes.set_ylabel("hits, % of the paraphrases")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=-1)
    axes.legend(frameon=False, loc="lower right")
    show(figure, title, f"{title}. {'; '.join(words)}. The bound is {bound:.0%}.")
