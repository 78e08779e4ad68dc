"""The course's charts. Each draws from measured data, says in words what it shows, and never by colour alone.

`show` displays a figure, with its alt text in the output's metadata and once more as a line below: JupyterLab does not
hand the metadata on to the picture, so the line is what a screen reader meets there.
"""

import base64
import io
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from IPython.display import display

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, WAIT, GOOD, BAD = "#1f2933", "#9aa5b1", "#0b7285", "#c2410c"
MARKERS = ("o", "s", "^", "D")


def show(figure: "Figure", title: str, alt: str) -> None:
    """Display `figure` as a PNG whose alternative text is `alt`, and print that text under it."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110, bbox_inches="tight", facecolor="white")
    data = {"image/png": base64.b64encode(image.getvalue()).decode(), "text/plain": f"[chart: {title}]"}
    display(data, metadata={"image/png": {"alt": alt}}, raw=True)
    print(f"In words: {alt}")


def gantt(runs: Mapping[str, Sequence[float]], title: str = "When each piece of the answer arrived") -> None:
    """One lane a run: grey and hatched while nothing has come, a tick for every piece. Arrivals in seconds."""
    figure, axes = _canvas(title, height=0.75 * len(runs) + 1.1)
    words = []
    for lane, (name, arrivals) in enumerate(runs.items()):
        first, last = (arrivals[0], arrivals[-1]) if arrivals else (0.0, 0.0)
        axes.barh(lane, first, height=0.5, color="white", edgecolor=WAIT, hatch="///", linewidth=0.8)
        axes.barh(lane, last - first, left=first, height=0.5, color=GOOD, alpha=0.18)
        axes.vlines(list(arrivals), lane - 0.25, lane + 0.25, color=GOOD, linewidth=0.7)
        pieces = "1 piece" if len(arrivals) == 1 else f"{len(arrivals)} pieces"
        words.append(f"{name}: {pieces}, first after {first:.2f} s, last after {last:.2f} s")
        if len(arrivals) == 1:
            axes.plot(first, lane, marker="D", color=GOOD)
    axes.margins(x=0.03)
    axes.set_yticks(range(len(runs)), labels=list(runs))
    axes.invert_yaxis()
    axes.set_xlabel("seconds after the question (hatched: nothing to read yet)")
    show(figure, title, f"{title}. {'; '.join(words)}.")


def lines(
    series: Mapping[str, Mapping[float, float]], title: str, x_label: str, unit: str, target: float | None = None
) -> None:
    """One line a series, each with its own marker and its name at its end; `target` is drawn as a dashed line."""
    figure, axes = _canvas(title)
    words, highest = [], 0.0
    for position, (name, points) in enumerate(series.items()):
        xs, ys = list(points), list(points.values())
        colour = (BAD, GOOD, INK, WAIT)[position % 4]
        highest = max(highest, *ys)
        axes.plot(xs, ys, color=colour, marker=MARKERS[position % 4], linewidth=1.6)
        axes.annotate(name, (xs[-1], ys[-1]), xytext=(6, 0), textcoords="offset points", color=colour, va="center")
        words.append(f"{name} goes from {ys[0]:.2f} {unit} at {xs[0]:g} to {ys[-1]:.2f} {unit} at {xs[-1]:g}")
    if target is not None:
        axes.axhline(target, color=INK, linestyle="--", linewidth=1)
        side = "bottom" if highest > target else "top"  # inside the axes, where the title is not
        axes.annotate(
            f"target {target:g} {unit}", (0.01, target), xycoords=("axes fraction", "data"), va=side, color=INK
        )
        words.append(f"the target is {target:.2f} {unit}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(x_label)
    axes.set_ylabel(unit)
    show(figure, title, f"{title}, by {x_label}: {'; '.join(words)}.")


def bars(
    values: Mapping[str, float],
    title: str,
    x_label: str,
    intervals: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """One bar a value, its number at its end; `intervals` (low, high) are drawn as whiskers."""
    figure, axes = _canvas(title, height=0.45 * len(values) + 1.1)
    words = []
    for position, (name, value) in enumerate(values.items()):
        said = f"{value:.2f}" if isinstance(value, float) else str(value)
        end = value
        axes.barh(position, value, height=0.6, color=GOOD, alpha=0.35, edgecolor=GOOD)
        if intervals:
            low, end = intervals[name]
            axes.plot([low, end], [position, position], color=INK, marker="|", linewidth=1.2)
            words.append(f"{name} {said} (from {low:.2f} to {end:.2f})")
        else:
            words.append(f"{name} {said}")
        axes.annotate(said, (end, position), xytext=(6, 0), textcoords="offset points", va="center", color=INK)
    axes.margins(x=0.08)
    axes.set_xlim(left=0)
    axes.set_yticks(range(len(values)), labels=list(values))
    axes.invert_yaxis()
    axes.set_xlabel(x_label)
    show(figure, title, f"{title}, {x_label}: {'; '.join(words)}.")


def confusion(runs: Mapping[str, Sequence[tuple[str, str]]], labels: Sequence[str], title: str) -> None:
    """One panel a run of (what it is, what was said) pairs: a row for what it is, a column for what was said."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.1 * len(runs) + 1.2, 4.6))
    panels, words = figure.subplots(1, len(runs), squeeze=False, sharey=True)[0], []
    places = range(len(labels))
    for axes, (name, pairs) in zip(panels, runs.items(), strict=True):
        counts = Counter(pairs)
        grid = [[counts[is_, said] for said in labels] for is_ in labels]
        axes.imshow(grid, cmap="Blues", vmax=1.6 * max(counts.values()))
        for row in places:
            for column in places:
                if grid[row][column]:
                    weight = "bold" if row == column else "normal"
                    axes.text(column, row, grid[row][column], ha="center", va="center", color=INK, weight=weight)
        right = sum(counts[label, label] for label in labels)
        axes.set_title(f"{name}: {right} of {len(pairs)} right", loc="left", fontsize=10, color=INK)
        axes.set_xticks(places, labels=labels, rotation=50, ha="right", fontsize=8)
        axes.set_yticks(places, labels=labels, fontsize=8)
        axes.set_xlabel("said")
        wrong = [(pair, count) for pair, count in counts.items() if pair[0] != pair[1]]
        common = sorted(wrong, key=lambda found: (-found[1], labels.index(found[0][0]), labels.index(found[0][1])))[:2]
        mistakes = " and ".join(
            f"{is_} taken for {said} ({count} time{'s' * (count > 1)})" for (is_, said), count in common
        )
        words.append(f"{name}: {right} of {len(pairs)} right{f', most often {mistakes}' if mistakes else ''}")
    panels[0].set_ylabel("is")
    figure.suptitle(title, x=0.02, ha="left", fontsize=11, color=INK)
    figure.tight_layout()
    show(figure, title, f"{title}. {'; '.join(words)}.")


def dots(
    groups: Mapping[str, Sequence[float]], title: str, x_label: str, border: tuple[str, float] | None = None
) -> None:
    """One row a group, a dot for each value, the median as a bar; `border` (name, value) is a dashed line."""
    figure, axes = _canvas(title, height=0.8 * len(groups) + 1.2)
    words = []
    for row, (name, values) in enumerate(groups.items()):
        colour, marker = (GOOD, BAD, INK, WAIT)[row % 4], MARKERS[row % 4]
        places = [row + 0.09 * (number % 5 - 2) for number in range(len(values))]  # apart, so that each can be seen
        axes.scatter(values, places, s=18, marker=marker, facecolors="none", edgecolors=colour, linewidths=1)
        middle = statistics.median(values)
        axes.vlines(middle, row - 0.33, row + 0.33, color=colour, linewidth=3)
        said = f"{name}: {len(values)} from {min(values):.2f} to {max(values):.2f}, median {middle:.2f}"
        if border:
            below = sum(value < border[1] for value in values)
            said += f", {below} below the {border[0]}"
        words.append(said)
    if border:
        axes.axvline(border[1], color=INK, linestyle="--", linewidth=1)
        axes.annotate(
            f"{border[0]} {border[1]:.2f}", (border[1], 1), xycoords=("data", "axes fraction"), xytext=(4, -2),
            textcoords="offset points", va="top", color=INK,
        )  # fmt: skip
    axes.set_yticks(range(len(groups)), labels=list(groups))
    axes.set_ylim(len(groups) - 0.5, -0.7)
    axes.set_xlabel(x_label)
    show(figure, title, f"{title}, {x_label}: {'; '.join(words)}.")


def spread(kinds: Mapping[str, Mapping[str, Sequence[float]]], title: str, formats: Mapping[str, str]) -> None:
    """One panel a measure of `formats` (with how to write it), one row a kind: a dot a run, a bar at the median."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.1 * len(formats) + 1, 0.5 * len(kinds) + 1.4))
    panels, words = figure.subplots(1, len(formats), squeeze=False, sharey=True)[0], []
    for axes, (measure, written) in zip(panels, formats.items(), strict=True):
        said = []
        for row, (name, values) in enumerate((name, kinds[name][measure]) for name in kinds):
            middle = statistics.median(values)
            # Equal runs would hide one another: each dot stands a little lower than the one before.
            heights = [row - 0.25 + 0.5 * (place + 0.5) / len(values) for place in range(len(values))]
            axes.plot(values, heights, linestyle="", marker="o", markersize=3.5, color=GOOD, alpha=0.6)
            axes.plot([middle, middle], [row - 0.35, row + 0.35], color=BAD, linewidth=2)
            said.append(f"{name} {written.format(middle)} (at most {written.format(max(values))})")
        words.append(f"{measure}, median: {', '.join(said)}")
        axes.set_xlabel(measure)
        axes.set_xlim(left=0)
        axes.margins(x=0.08)
        axes.locator_params(axis="x", nbins=5)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(kinds)), labels=list(kinds))
    panels[0].invert_yaxis()
    figure.suptitle(title, x=0.02, ha="left", fontsize=11, color=INK)
    figure.tight_layout()
    show(figure, title, f"{title}. {'; '.join(words)}.")


def _canvas(title: str, height: float = 3.4) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height))
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
