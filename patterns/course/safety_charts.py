"""The charts of notebook 11."""

from collections.abc import Mapping

from .charts import BAD, GOOD, INK, show


def shares(off: Mapping[str, tuple[int, int]], on: Mapping[str, tuple[int, int]], title: str) -> None:
    """The attacks that succeeded, of those tried, by channel: two bars each, with the defences off and on."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.55 * len(off) + 1.3))
    axes = figure.subplots()
    for row, name in enumerate(off):
        for shift, counts, colour, hatch in ((-0.2, off[name], BAD, "///"), (0.2, on[name], GOOD, "")):
            won, tried = counts
            share = 100 * won / tried
            axes.barh(row + shift, share, height=0.36, color=colour, alpha=0.35, edgecolor=colour, hatch=hatch)
            axes.annotate(
                f"{won} of {tried}",
                (share, row + shift),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                color=INK,
            )
    axes.set_yticks(range(len(off)), labels=list(off))
    axes.invert_yaxis()
    axes.set_xlim(0, 118)
    axes.set_xlabel("attacks that succeeded, % (hatched: defences off; plain: on)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.02, ha="left", fontsize=11, color=INK)
    figure.tight_layout()
    words = [f"{name} off {off[name][0]} of {off[name][1]}, on {on[name][0]} of {on[name][1]}" for name in off]
    show(figure, title, f"{title}, by channel, with the defences off and on: {'; '.join(words)}.")
