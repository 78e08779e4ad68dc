"""The charts of notebook 10."""

from collections.abc import Mapping

from .charts import BAD, GOOD, INK, show


def by_size(right: Mapping[int, float], tokens: Mapping[int, float], title: str) -> None:
    """Share of the fields that were right, and tokens of a call, by the pixels of its long side: two panels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2))
    panels = figure.subplots(1, 2)
    for axes, values, label, written, colour, marker in (
        (panels[0], {size: 100 * value for size, value in right.items()}, "fields right, %", "{:.0f}", GOOD, "o"),
        (panels[1], tokens, "tokens read in a call", "{:,.0f}", BAD, "s"),
    ):
        axes.plot(list(values), list(values.values()), color=colour, marker=marker, linewidth=1.6)
        for size, value in values.items():
            axes.annotate(written.format(value), (size, value), xytext=(0, 6), textcoords="offset points", ha="center")
        axes.set_xticks(list(values))
        axes.set_xlabel("long side, pixels")
        axes.set_ylabel(label)
        axes.set_ylim(0, 1.18 * max(values.values()))
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.02, ha="left", fontsize=11, color=INK)
    figure.tight_layout()
    words = [f"at {size} px {right[size]:.0%} right for {tokens[size]:,.0f} tokens a call" for size in right]
    show(figure, title, f"{title}: {'; '.join(words)}.")
