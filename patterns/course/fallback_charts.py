"""The charts of notebook 12."""

from collections.abc import Mapping, Sequence

from .charts import BAD, GOOD, INK, WAIT, _canvas, show

COLOURS = {"live": GOOD, "cached": GOOD, "stale": WAIT, "simplified": WAIT, "unavailable": BAD, "failed": BAD}
HATCHES = ("", "//", "..", "xx", "\\\\", "oo")


def mix(phases: Mapping[str, Mapping[str, float]], title: str, alerts: Sequence[float] = ()) -> None:
    """One bar a phase, divided by rung (shares that sum to 1); dashed lines where so many had fallen back."""
    figure, axes = _canvas(title, height=0.55 * len(phases) + 1.5)
    rungs = list(dict.fromkeys(rung for shares in phases.values() for rung in shares))
    words = []
    for place, (phase, shares) in enumerate(phases.items()):
        left = 0.0
        for rung in sorted(shares, key=rungs.index):
            colour, hatch = COLOURS.get(rung.partition("/")[0], INK), HATCHES[rungs.index(rung) % len(HATCHES)]
            axes.barh(place, shares[rung], left=left, height=0.6, color=colour, alpha=0.45, edgecolor=INK, hatch=hatch)
            if shares[rung] > 0.08:
                axes.text(
                    left + shares[rung] / 2, place, rung, ha="center", va="center", fontsize=8, color=INK,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                )  # fmt: skip
            left += shares[rung]
        words.append(f"{phase}: {', '.join(f'{rung} {share:.0%}' for rung, share in shares.items())}")
    for share in alerts:
        axes.axvline(1 - share, color=BAD, linestyle="--", linewidth=1)
        axes.annotate(
            f"{share:.0%}", (1 - share, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", color=BAD
        )
    axes.set_yticks(range(len(phases)), labels=list(phases))
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share of requests")
    axes.title.set_y(1.08)
    show(figure, title, f"{title}, share of requests by rung. {'; '.join(words)}.")


def storm(calls: Mapping[str, Sequence[int]], title: str) -> None:
    """Calls at a provider that is down, added up over the requests that came: one line a policy."""
    figure, axes = _canvas(title)
    words = []
    looks = zip((BAD, WAIT, GOOD, INK), ("-", "--", "-.", ":"), strict=True)
    for (name, counts), (colour, style) in zip(calls.items(), looks, strict=False):
        axes.plot(range(1, len(counts) + 1), counts, color=colour, linestyle=style, linewidth=1.8)
        end = len(counts), counts[-1]
        axes.annotate(name, end, xytext=(4, 0), textcoords="offset points", color=INK, va="center")
        words.append(f"{name}: {counts[-1]} calls for {len(counts)} requests")
    axes.set(xlabel="requests", ylabel="calls at the provider", ylim=(0, None))
    show(figure, title, f"{title}. {'; '.join(words)}.")
