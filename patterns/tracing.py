"""Traces: one for each request, with a span for every layer, tool and model call (OpenTelemetry, names of GenAI).

    tracing.start()                         keeps spans on this machine (`kept_traces.py`)
    OTEL_EXPORTER_OTLP_ENDPOINT=http://...  sends them to whatever speaks OTLP (`span_export.py`)

While neither is set, a layer costs one look at a variable, and OpenTelemetry is not even imported.

A span is the current one only while its layer works: it is set before each step of the layer's generator and put back
after it, never across a yield. So whatever a layer starts (a call of its own, a tool, a task) finds the right parent,
and two requests never mix. What calls and tools say of themselves is in `call_spans.py`.

The trace's id is the number in `turn.trace_id`: the `trace_00c0ffee00c0ffee` of the ledger and of the header x-trace is
trace 00c0ffee00c0ffee in Jaeger, with zeros before it.
"""

import hashlib
import os
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from . import call_spans, events
from . import genai_names as names
from .errors import PatternsError
from .events import Answer, ConfirmationRequired, Event, Failed, Handler, Layer, TextDelta, Turn

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from .span_export import Pipeline

AGENT = "support_assistant"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

pipeline: "Pipeline | None" = None  # None: off


def start(*, keep: bool = True) -> None:
    """Trace from now on: into the state folder with `keep`, and to a collector where the environment names one.

    Does nothing where it is on already. What OpenTelemetry reads from the environment holds as well, such as
    OTEL_SERVICE_NAME and OTEL_TRACES_SAMPLER.
    """
    global pipeline
    if pipeline is None:
        from .span_export import Pipeline

        pipeline = Pipeline(keep=keep, send=exports())


def start_if_asked() -> None:
    """`start` where the environment asks for it: with an OTLP endpoint, or PATTERNS_TRACES=1 to keep spans here."""
    keep = os.environ.get("PATTERNS_TRACES") == "1"
    if keep or exports():
        start(keep=keep)


def exports() -> bool:
    """Whether the environment names a collector, and does not switch OpenTelemetry off."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    off = off or os.environ.get("OTEL_TRACES_EXPORTER", "").lower() == "none"
    return not off and any(os.environ.get(name) for name in ENDPOINTS)


def flush() -> None:
    """Wait until the spans that have ended are written and sent, a few seconds at most."""
    if pipeline is not None:
        pipeline.flush()


def stop() -> None:
    """Send what is waiting, for a few seconds at most, and trace no more."""
    global pipeline
    if pipeline is not None:
        stopped, pipeline = pipeline, None
        stopped.close()


# the spans of a request


def stack(core: Handler, *layers: Layer) -> Handler:
    """`events.stack`, with a span around the request and around each of its layers whenever tracing is on."""
    return events.stack(core, request, *map(spanned, layers))


def request(inner: Handler) -> Handler:
    """The span that holds a request's other spans, and says how it was served."""

    def begin(on: "Pipeline", turn: Turn) -> "Span":
        attributes = {
            names.OPERATION: "invoke_agent",
            names.AGENT: AGENT,
            names.TRACE: turn.trace_id,
            names.REQUEST: turn.request_id,
            names.TENANT: turn.user.tenant,
            names.FEATURE: turn.feature,
        }
        return on.begin(f"invoke_agent {AGENT}", attributes, otel_trace_id(turn.trace_id))

    return _traced(inner, begin, whole=True)


def spanned(layer: Layer, name: str = "") -> Layer:
    """`layer` with a span of its own, by default called after its module and function: "caching.response_cache"."""
    called = name or name_of(layer)

    def begin(on: "Pipeline", turn: Turn) -> "Span":
        return on.begin(called, {names.LAYER: called})

    return lambda inner: _traced(layer(inner), begin)


def name_of(layer: Any) -> str:
    """Module and function of a layer; for one that a function has made, of that function."""
    layer = getattr(layer, "func", layer)  # a functools.partial has no name of its own
    named = layer if hasattr(layer, "__qualname__") else type(layer)
    return f"{named.__module__.rpartition('.')[2]}.{named.__qualname__.partition('.<locals>')[0]}"


def otel_trace_id(trace_id: str) -> int:
    """The number of a trace: what is in `trace_<16 hex digits>`, and a digest of any other text."""
    found = re.fullmatch(r"trace_([0-9a-f]{16})", trace_id)
    number = int(found[1], 16) if found else 0
    return number or int.from_bytes(hashlib.sha256(trace_id.encode("utf-8", "replace")).digest()[:16])


Begin = Callable[["Pipeline", Turn], "Span"]


def _traced(inner: Handler, begin: Begin, whole: bool = False) -> Handler:
    """`inner` inside a span; `whole` for that of the request."""

    def handle(turn: Turn) -> AsyncGenerator[Event, None]:
        on = pipeline
        return inner(turn) if on is None else _steps(inner(turn), lambda: _Watch(begin(on, turn), whole))

    return handle


async def _steps(stream: AsyncGenerator[Event, None], begin: "Callable[[], _Watch]") -> AsyncGenerator[Event, None]:
    from opentelemetry.context import attach, get_current
    from opentelemetry.trace import set_span_in_context

    watch = begin()
    try:
        async with aclosing(stream):
            inside = set_span_in_context(watch.span)
            while True:
                before = get_current()
                attach(inside)
                try:
                    event = await anext(stream)
                except StopAsyncIteration:
                    watch.ends("done")
                    return
                finally:
                    attach(before)  # not `detach`: that fails where a loop was closed in the middle of a step
                watch.see(event)
                yield event
    except PatternsError as error:
        watch.ends(error.code, failed=True)
        raise
    except Exception as error:
        watch.ends(type(error).__name__, failed=True)
        raise
    finally:
        call_spans.end(watch.span, watch.outcome, watch.failed)


class _Watch:
    """How a layer ends: with its last event, with an error, or with a reader who left before either."""

    def __init__(self, span: "Span", whole: bool) -> None:
        self.span, self._whole, self._begun = span, whole, time.perf_counter()
        self.outcome, self.failed = "aborted", False

    def see(self, event: Event) -> None:
        match event:
            case TextDelta():
                if self._whole and self._begun:
                    self.span.set_attribute(names.FIRST_TEXT, time.perf_counter() - self._begun)
                    self._begun = 0.0
            case Answer():
                self.ends(event.outcome if self._whole else "done")
                if self._whole:
                    self.span.set_attributes(_served(event))
            case ConfirmationRequired():
                self.ends("waiting")
            case Failed():
                self.ends(event.code, failed=True)
            case _:
                pass

    def ends(self, outcome: str, failed: bool = False) -> None:
        if self.outcome == "aborted" or failed:
            self.outcome, self.failed = outcome, failed


def _served(answer: Answer) -> dict[str, str | float]:
    found: dict[str, str | float] = {names.SERVED: answer.served, names.TIER: answer.tier}
    return found if answer.cost_usd is None else found | {names.COST: answer.cost_usd}
