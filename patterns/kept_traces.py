"""Spans in the state folder, so that a request can be looked at without a collector.

    print(text(spans("trace_00c0ffee00c0ffee")))        the tree of a request, as text
    python -m patterns.kept_traces [trace id]           the same; without an id, of the last request

A span is written when it has ended, by the thread of `span_export.py`. The oldest make room for the newest.
"""

import json
import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import genai_names as names
from . import state, store, tracing
from .errors import CallerError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult

log = logging.getLogger(__name__)

MOST = 50_000  # spans: about 2,000 requests
SCHEMA = """
CREATE TABLE IF NOT EXISTS spans (
    number INTEGER PRIMARY KEY,
    trace TEXT NOT NULL, span TEXT NOT NULL, parent TEXT NOT NULL,
    name TEXT NOT NULL,
    started REAL NOT NULL, seconds REAL NOT NULL,      -- Unix time; seconds
    failed INTEGER NOT NULL,
    attributes TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS spans_trace ON spans (trace);
"""
_INSERT = "INSERT INTO spans VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Kept:
    """One span. `trace`, `id` and `parent` in hex as in every other tool; `parent` is empty for the first."""

    trace: str
    id: str
    parent: str
    name: str
    started: float
    seconds: float
    failed: bool
    attributes: Mapping[str, Any]


class Traces:
    """The spans at `path`. Every method raises CallerError (`store_unwritable`) when the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with store.trouble(path, "trace store"):
            self._db = store.connect(path, SCHEMA)

    def add(self, spans: Sequence[Kept]) -> None:
        rows = [
            (one.trace, one.id, one.parent, one.name, one.started, one.seconds, one.failed, json.dumps(one.attributes))
            for one in spans
        ]
        with store.trouble(self.path, "trace store"), self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(_INSERT, rows)
                self._db.execute("DELETE FROM spans WHERE number <= (SELECT max(number) FROM spans) - ?", (MOST,))
            finally:
                self._db.execute("COMMIT")

    def of(self, trace: str) -> list[Kept]:
        """The spans of a trace, in the order in which they began."""
        rows = self._execute("SELECT * FROM spans WHERE trace = ? ORDER BY started, number", trace)
        return [Kept(*row[1:7], failed=bool(row[7]), attributes=json.loads(row[8])) for row in rows]

    def latest(self) -> str:
        """The trace of the span that ended last; empty when there is none."""
        rows = self._execute("SELECT trace FROM spans ORDER BY number DESC LIMIT 1")
        return rows[0][0] if rows else ""

    def close(self) -> None:
        self._db.close()

    def _execute(self, statement: str, *values: Any) -> list[Any]:
        with store.trouble(self.path, "trace store"), self._lock:
            return self._db.execute(statement, values).fetchall()


def default() -> Traces:
    """The traces in the state folder (see `patterns.state`)."""
    return store.shared(Traces, state.file("traces.sqlite3"))


def spans(trace_id: str = "") -> list[Kept]:
    """The spans of a request, by the `trace_id` of its turn; of the last request without one. Unfinished ones lack."""
    tracing.flush()
    wanted = f"{tracing.otel_trace_id(trace_id):032x}" if trace_id else default().latest()
    return default().of(wanted)


class Keeper:
    """Writes into `default()`, as an exporter of OpenTelemetry."""

    def __init__(self) -> None:
        self._traces = default()

    def export(self, spans: "Sequence[ReadableSpan]") -> "SpanExportResult":
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            self._traces.add([_kept(span) for span in spans])
        except CallerError as error:
            log.error("%s", error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing: the file belongs to the process, and others may read it."""


def _kept(span: "ReadableSpan") -> Kept:
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    began, ended = span.start_time or 0, span.end_time or 0
    return Kept(
        trace=f"{context.trace_id:032x}",
        id=f"{context.span_id:016x}",
        parent=f"{parent.span_id:016x}" if parent else "",
        name=span.name,
        started=began / 1e9,
        seconds=(ended - began) / 1e9,
        failed=not span.status.is_ok,
        attributes=dict(span.attributes or {}),
    )


# as a tree


@dataclass(frozen=True, slots=True)
class Row:
    """A span in the tree of its request: how deep it stands, and when it began, in seconds after the first."""

    span: Kept
    depth: int
    after: float


def tree(spans: Sequence[Kept]) -> list[Row]:
    """The spans from the outermost in, each directly above those inside it; what lost its parent begins a tree."""
    begun, known = min((one.started for one in spans), default=0.0), {one.id for one in spans}
    inside: dict[str, list[Kept]] = {}
    for one in sorted(spans, key=lambda one: one.started):
        inside.setdefault(one.parent if one.parent in known else "", []).append(one)
    rows: list[Row] = []
    waiting = [(one, 0) for one in reversed(inside.get("", []))]
    while waiting:
        one, depth = waiting.pop()
        rows.append(Row(one, depth, one.started - begun))
        waiting += [(child, depth + 1) for child in reversed(inside.get(one.id, []))]
    return rows


def folded(spans: Sequence[Kept], share: float = 0.01) -> list[Row]:
    """The tree without the layers that only passed events on: whose own work took less than `share` of the request.

    Calls, tools and errors stay. What stands inside a layer that is left out moves up to the next one that is there.
    """
    every = tree(spans)
    whole = max((row.span.seconds for row in every), default=0.0)
    inside: dict[str, list[Kept]] = {}
    for one in spans:
        inside.setdefault(one.parent, []).append(one)
    rows: list[Row] = []
    kept: list[tuple[int, int]] = []  # depth in the whole tree and in this one, of the spans around
    for row in every:
        while kept and kept[-1][0] >= row.depth:
            kept.pop()
        worked = own_seconds(row.span, inside.get(row.span.id, ())) >= share * whole
        if worked or row.depth == 0 or row.span.failed or names.LAYER not in row.span.attributes:
            depth = kept[-1][1] + 1 if kept else 0
            rows.append(Row(row.span, depth, row.after))
            kept.append((row.depth, depth))
    return rows


def own_seconds(span: Kept, children: Sequence[Kept]) -> float:
    """The time of a span in which none of its children worked."""
    free, until = span.seconds, span.started
    for child in sorted(children, key=lambda one: one.started):
        end = min(child.started + child.seconds, span.started + span.seconds)
        free -= max(0.0, end - max(until, child.started))
        until = max(until, end)
    return max(0.0, free)


def text(spans: Sequence[Kept]) -> str:
    """The tree of a request with its times, one span a line."""
    rows = tree(spans)
    if not rows:
        return "There is no such trace."
    width = max(2 * row.depth + len(row.span.name) for row in rows)
    lines = [f"trace {rows[0].span.trace}, {len(rows)} spans"]
    for row in rows:
        name = "  " * row.depth + row.span.name
        lines.append(
            f"{name:{width}}  {1000 * row.after:7.1f} ms + {1000 * row.span.seconds:7.1f} ms  {_said(row.span)}"
        )
    return "\n".join(line.rstrip() for line in lines)


def _said(span: Kept) -> str:
    """What is worth a look: an end that is not the usual one, tokens, dollars, the rung."""
    known, said = span.attributes, []
    if known.get(names.OUTCOME, "done") not in ("done", "success"):
        said.append(str(known[names.OUTCOME]))
    if names.INPUT_TOKENS in known:
        said.append(f"{known[names.INPUT_TOKENS]} in, {known[names.OUTPUT_TOKENS]} out")
    if names.COST in known:
        said.append(f"${known[names.COST]:.5f}")
    if names.SERVED in known:
        said.append("/".join(filter(None, (str(known[names.SERVED]), str(known.get(names.TIER, ""))))))
    return " · ".join(said)


def main() -> None:
    print(text(spans(*sys.argv[1:2])))


if __name__ == "__main__":
    main()
