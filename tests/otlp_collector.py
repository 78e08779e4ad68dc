"""A collector that speaks OTLP over HTTP/protobuf and over gRPC, on loopback, and keeps what it is sent.

    with collector() as received:                  # or collector(grpc=True)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.endpoint)
        ...
    received.spans, received.headers

`received.answer` is the HTTP status that it gives: 200 takes the spans, 503 refuses them for now. `received.pause` is
an Event that is waited for before each answer: clear it to make the collector hang.
"""

import gzip
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A span as it came over the wire. Ids in hex, times in nanoseconds; `parent` is empty for the first of a trace."""

    trace: str
    id: str
    parent: str
    name: str
    kind: int
    start: int
    end: int
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: int


@dataclass
class Received:
    endpoint: str = ""
    spans: list[Arrived] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answer: int = 200
    pause: threading.Event = field(default_factory=threading.Event)

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            of = _attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_arrived(span, of) for span in scope.spans]

    def named(self, name: str) -> list[Arrived]:
        return [span for span in self.spans if span.name == name]

    def by_trace(self) -> dict[str, list[Arrived]]:
        found: dict[str, list[Arrived]] = {}
        for span in self.spans:
            found.setdefault(span.trace, []).append(span)
        return found


def _arrived(span: Any, resource: dict[str, Any]) -> Arrived:
    return Arrived(
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        kind=span.kind,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        status=span.status.code,
        attributes=_attributes(span.attributes),
        resource=resource,
        events=len(span.events),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)


@contextmanager
def collector(*, grpc: bool = False) -> Iterator[Received]:
    received = Received()
    received.pause.set()
    with _over_grpc(received) if grpc else _over_http(received):
        yield received


@contextmanager
def _over_http(received: Received) -> Iterator[None]:
    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.pause.wait(30)
            received.headers.append({name.lower(): value for name, value in self.headers.items()})
            received.paths.append(self.path)
            if received.answer == 200:
                unpacked = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
                received.take(ExportTraceServiceRequest.FromString(unpacked))
            said = ExportTraceServiceResponse().SerializeToString()
            self.send_response(received.answer)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.daemon_threads = True
    received.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        received.pause.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextmanager
def _over_grpc(received: Received) -> Iterator[None]:
    import grpc
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service

    class Collector(service.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:
            received.headers.append(dict(context.invocation_metadata()))
            received.take(request)
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    service.add_TraceServiceServicer_to_server(Collector(), server)
    received.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait(5)
