"""The charts of an operator: how fast, how dear, which rung, which tools, how good; and one request as a waterfall.

Each takes what `patterns.service_report` or `patterns.kept_traces` found, and says in words what it shows.
"""

from collections.abc import Mapping, Sequence

from .. import genai_names as names
from .. import kept_traces, service_report
from ..eval_history import EvalRun
from ..kept_traces import Kept
from ..service_report import Report, Speed
from ..spending_report import date_of
from .charts import BAD, GOOD, INK, WAIT, _canvas, bars, show
from .fallback_charts import mix

LONGEST_NAME = 34


def dashboard(report: Report) -> None:
    """Every chart that there is data for, and the alerts in words."""
    speeds(report.speeds)
    if dollars := report.day.by("tenant"):
        bars({name: round(cost, 4) for name, cost in dollars.items()}, "What each tenant cost today", "US dollars")
    if report.rungs:
        mix({report.day.date: report.rungs}, "Where requests ended", alerts=(0.05, 0.30))
    evals(report.evals)
    shares(report)
    tools(report.tools)
    print("\n".join(f"ALERT  {said}" for said in report.alerts) or "no alerts")


def speeds(found: Mapping[str, Speed], target: float = service_report.FIRST_TEXT_TARGET) -> None:
    """One row a tier: a dot at the median, a square at the 95th percentile, a line between; the target is dashed."""
    if not found:
        return
    title = "Time to the first words, by the tier that answered"
    figure, axes = _canvas(title, height=0.6 * len(found) + 1.4)
    words = []
    for row, (tier, speed) in enumerate(found.items()):
        axes.plot([speed.p50, speed.p95], [row, row], color=WAIT, linewidth=2, zorder=1)
        axes.plot(speed.p50, row, marker="o", markersize=7, color=GOOD, linestyle="")
        axes.plot(speed.p95, row, marker="s", markersize=7, color=BAD, linestyle="")
        axes.annotate(
            f"{speed.p50:.2f} s and {speed.p95:.2f} s", (speed.p95, row), xytext=(9, 0), textcoords="offset points",
            va="center", color=INK, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
        words.append(f"{tier}: half within {speed.p50:.2f} s, 95 of 100 within {speed.p95:.2f} s, {speed.of} requests")
    axes.axvline(target, color=INK, linestyle="--", linewidth=1)
    axes.annotate(
        f"target {target:g} s", (target, 1), xycoords=("data", "axes fraction"), xytext=(4, 0),
        textcoords="offset points", va="top", color=INK, fontsize=9,
    )  # fmt: skip
    axes.set_yticks(range(len(found)), labels=list(found))
    axes.set_ylim(len(found) - 0.5, -0.8)
    axes.set_xlim(0, 1.3 * max(target, *(speed.p95 for speed in found.values())))
    axes.set_xlabel("seconds (dot: half of the requests, square: 95 of 100)")
    show(figure, title, f"{title}; the target is {target:.2f} s. {'; '.join(words)}.")


def evals(runs: Sequence[EvalRun]) -> None:
    """The pass rate of each run with its interval, oldest first."""
    if not runs:
        return
    title = f"Eval score over time: {runs[-1].suite}"
    figure, axes = _canvas(title)
    places = range(len(runs))
    shares = [run.share for run in runs]
    for place, share in zip(places, shares, strict=True):
        axes.plot([place, place], [100 * share.low, 100 * share.high], color=WAIT, marker="_", linewidth=1.6)
    axes.plot(places, [100 * share.value for share in shares], color=GOOD, marker="o", linewidth=1.6)
    for place, run in zip(places, runs, strict=True):
        if run.unsafe:
            axes.annotate(
                f"{run.unsafe} unsafe", (place, 100 * run.share.low), xytext=(0, -4), textcoords="offset points",
                ha="center", va="top", color=BAD, fontsize=9,
            )  # fmt: skip
    # A run a column: of many, only some are named, or their names would lie on one another.
    named = places if len(runs) <= 8 else [round(step * (len(runs) - 1) / 7) for step in range(8)]
    axes.set_xticks(named, labels=[date_of(runs[place].when)[5:] for place in named])
    axes.set_xlim(-0.5, len(runs) - 0.5)
    axes.set_ylim(0, 105)
    axes.set(xlabel="run, by its date (UTC, month-day)", ylabel="% passed")
    first, last = shares[0], shares[-1]
    unsafe = sum(run.unsafe for run in runs)
    said = f"{len(runs)} runs, from {first.value:.0%} ({first.low:.0%} to {first.high:.0%}) "
    said += f"to {last.value:.0%} ({last.low:.0%} to {last.high:.0%}), unsafe answers {unsafe}"
    show(figure, title, f"{title}. {said}.")


def shares(report: Report) -> None:
    """Escalations and invented citations next to the border from which somebody is told."""
    found = {
        "handed to a person, of the requests": (report.escalated, service_report.MOST_ESCALATED),
        "invented citations, per live answer": (report.invented, service_report.MOST_INVENTED),
    }
    known = {name: (value, border) for name, (value, border) in found.items() if value is not None}
    if not known:
        return
    title = "What should be rare"
    figure, axes = _canvas(title, height=0.6 * len(known) + 1.3)
    words = []
    for row, (name, (value, border)) in enumerate(known.items()):
        over = value > border
        axes.barh(
            row, 100 * value, height=0.5, color=BAD if over else GOOD, alpha=0.4, edgecolor=INK,
            hatch="//" if over else "",
        )  # fmt: skip
        axes.plot([100 * border] * 2, [row - 0.36, row + 0.36], color=INK, linestyle="--", linewidth=1.3)
        said = f"{value:.1%}{' !' if over else ''}"
        end = (100 * max(value, border), row)
        axes.annotate(said, end, xytext=(7, 0), textcoords="offset points", va="center", color=INK)
        words.append(f"{name}: {value:.1%}, {'over' if over else 'within'} the border of {border:.0%}")
    axes.set_yticks(range(len(known)), labels=list(known))
    axes.invert_yaxis()
    axes.set_xlim(0, 115 * max(max(pair) for pair in known.values()))
    axes.set_xlabel("% (dashed: the border of the alert)")
    show(figure, title, f"{title}. {'; '.join(words)}.")


def tools(found: Mapping[str, tuple[int, int]]) -> None:
    """One bar a tool: runs that worked, and hatched behind them those that gave an error."""
    if not found:
        return
    title = "Which tools ran"
    figure, axes = _canvas(title, height=0.5 * len(found) + 1.3)
    words = []
    for row, (tool, (made, bad)) in enumerate(found.items()):
        axes.barh(row, made - bad, height=0.6, color=GOOD, alpha=0.4, edgecolor=GOOD)
        if bad:
            axes.barh(row, bad, left=made - bad, height=0.6, color="white", edgecolor=BAD, hatch="///")
        said = f"{made}" + (f", {bad} failed" if bad else "")
        axes.annotate(said, (made, row), xytext=(6, 0), textcoords="offset points", va="center", color=INK)
        words.append(f"{tool} {made} times, {bad} of them failed")
    axes.set_yticks(range(len(found)), labels=list(found))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * max(made for made, _ in found.values()))
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("calls (hatched: it gave an error)")
    show(figure, title, f"{title}. {'; '.join(words)}.")


KINDS = {"chat": GOOD, "embeddings": GOOD, "execute_tool": BAD, "invoke_agent": INK}


def waterfall(spans: Sequence[Kept], title: str = "One request, span by span") -> None:
    """The spans of a request on its time: calls filled, tools hatched, layers outlined, without the idle ones.

    `print(kept_traces.text(spans))` shows all of them.
    """
    rows = kept_traces.folded(spans)
    if not rows:
        return
    figure, axes = _canvas(title, height=0.27 * len(rows) + 1.2)
    words, labels = [], []
    whole = max(row.after + row.span.seconds for row in rows)
    for place, row in enumerate(rows):
        kind = str(row.span.attributes.get(names.OPERATION, ""))
        colour = KINDS.get(kind, WAIT)
        axes.barh(
            place, 1000 * row.span.seconds, left=1000 * row.after, height=0.62,
            color=colour if kind in ("chat", "embeddings") else "white", alpha=0.55 if kind else 1.0,
            edgecolor=colour, hatch="////" if kind == "execute_tool" else "", linewidth=1,
        )  # fmt: skip
        failed = " (failed)" if row.span.failed else ""
        axes.annotate(
            f"{1000 * row.span.seconds:.0f} ms{failed}", (1000 * (row.after + row.span.seconds), place),
            xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color=BAD if failed else INK,
        )  # fmt: skip
        name = "   " * row.depth + row.span.name
        labels.append(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…")
        if kind and row.depth:
            words.append(f"{row.span.name} at {1000 * row.after:.0f} ms for {1000 * row.span.seconds:.0f} ms{failed}")
    axes.set_yticks(range(len(rows)), labels=labels, fontsize=8)
    for label in axes.get_yticklabels():
        label.set_horizontalalignment("left")
    axes.tick_params(axis="y", pad=7.0 * 0.72 * max(map(len, labels)), length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1150 * whole)
    axes.set_xlabel("milliseconds after the question (filled: model calls, hatched: tools, outlined: layers)")
    left_out = len(spans) - len(rows)
    said = f"{len(spans)} spans in {1000 * whole:.0f} ms, of which {left_out} only passed events on and are left out"
    show(figure, title, f"{title}: {said}. {'; '.join(words)}.")
