"""Where spans go: into the state folder, and over OTLP to a collector. Neither can hold a request up or break it.

Spans wait in a bounded queue for a thread that writes them. When a collector is down or slow, the queue fills and what
does not fit is dropped, counted (`metrics.value("tracing.dropped")`) and said once; requests notice nothing.

The usual variables hold: OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS, _PROTOCOL (`http/protobuf` unless it says `grpc`),
_TIMEOUT; OTEL_BSP_MAX_QUEUE_SIZE (2,048 spans) and others.
"""

import atexit
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import Span, SpanKind

from . import metrics
from .kept_traces import Keeper

log = logging.getLogger(__name__)

FLUSH_SECONDS = 3.0
KEEP_DELAY = 200  # milliseconds until spans are in the state folder; a collector has the SDK's 5,000
QUEUE = 2_048  # spans, where OTEL_BSP_MAX_QUEUE_SIZE says nothing
SERVICE = "patterns"


class Pipeline:
    """The spans of this process on their way: `keep` in the state folder, `send` to a collector."""

    def __init__(self, *, keep: bool, send: bool) -> None:
        self._ids = _Ids()
        self._provider = TracerProvider(
            id_generator=self._ids,
            resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or SERVICE}),
            shutdown_on_exit=False,  # `close` does it, with a limit
        )
        if keep:
            self._provider.add_span_processor(
                Outlet(Counted(Keeper(), "the state folder", "patterns.kept_traces"), KEEP_DELAY)
            )
        if send:
            self._provider.add_span_processor(Outlet(_otlp()))
        self._tracer = self._provider.get_tracer("patterns")
        atexit.register(self.close)

    def begin(
        self, name: str, attributes: Mapping[str, Any], trace_id: int = 0, kind: SpanKind = SpanKind.INTERNAL
    ) -> Span:
        """A new span inside the current one; where there is none, the first span of the trace `trace_id`."""
        self._ids.first.number = trace_id
        return self._tracer.start_span(name, kind=kind, attributes=attributes)

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Write and send what has ended, in `seconds` at most."""
        thread = threading.Thread(target=self._provider.force_flush, daemon=True)  # it has no limit of its own
        thread.start()
        thread.join(seconds)

    def close(self) -> None:
        """The same, and end."""
        atexit.unregister(self.close)
        self._provider.shutdown()


class _Ids(IdGenerator):
    """Random span ids; for the first span of a trace, the id that was asked for."""

    def __init__(self) -> None:
        self.first = threading.local()
        self._random = RandomIdGenerator()

    def generate_span_id(self) -> int:
        return self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        return self.first.number or self._random.generate_trace_id()


def _otlp() -> "Counted":
    """To OTEL_EXPORTER_OTLP_ENDPOINT. Over HTTP, which every collector takes, where nothing says `grpc`."""
    variables = "OTEL_EXPORTER_OTLP_TRACES_{}", "OTEL_EXPORTER_OTLP_{}"
    protocol, endpoint = (
        next((os.environ[name] for variable in variables if os.environ.get(name := variable.format(what))), "")
        for what in ("PROTOCOL", "ENDPOINT")
    )
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Counted(Grpc(), endpoint, "opentelemetry.exporter.otlp.proto.grpc.exporter")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

    return Counted(Http(), endpoint, "opentelemetry.exporter.otlp.proto.http.trace_exporter")


class Outlet(BatchSpanProcessor):
    """The SDK's queue and thread before an exporter, with what is dropped counted and an end that comes in time."""

    def __init__(self, exporter: "Counted", delay: float | None = None) -> None:
        self._most = int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or QUEUE)
        self._counted = exporter
        super().__init__(exporter, schedule_delay_millis=delay)

    def on_end(self, span: ReadableSpan) -> None:
        if self._counted.room(self._most):
            super().on_end(span)

    def shutdown(self) -> None:
        self._batch_processor.shutdown(timeout_millis=int(1000 * FLUSH_SECONDS))  # the SDK's own limit: 30 seconds


class Counted(SpanExporter):
    """An exporter that counts what is lost, and whose trouble is told once until it is over."""

    def __init__(self, exporter: SpanExporter | Keeper, where: str, its_log: str) -> None:
        self._exporter, self._where, self._its_log = exporter, where, logging.getLogger(its_log)
        self._lock, self._waiting = threading.Lock(), 0
        self._reasons, self._told = _Reasons(), False
        self._its_log.addFilter(self._reasons)

    def room(self, most: int) -> bool:
        """Whether one more span may wait; it is lost otherwise."""
        with self._lock:
            fits = self._waiting < most
            self._waiting += fits
        if not fits:
            self._lost(1, "They come faster than they are taken.")
        return fits

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            self._waiting -= len(spans)
        self._reasons.first = ""
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._told = False
        else:
            self._lost(len(spans), self._reasons.first)
        return result

    def _lost(self, spans: int, reason: str) -> None:
        for _ in range(spans):
            metrics.count("tracing.dropped")
        if not self._told:
            self._told = True
            log.warning("Spans do not reach %s and are dropped; requests go on. %s", self._where, reason)

    def shutdown(self) -> None:
        self._exporter.shutdown()
        self._its_log.removeFilter(self._reasons)


class _Reasons(logging.Filter):
    """Keeps an exporter's own complaints to itself, several for each batch, and remembers the first."""

    first = ""

    def filter(self, record: logging.LogRecord) -> bool:
        self.first = self.first or record.getMessage()
        return False
