"""An OpenTelemetry collector for tests: receives OTLP over gRPC and HTTP on loopback, and keeps what it got.

with OtlpReceiver() as collector:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc_endpoint)
    …
    [span] = collector.wait_for_spans(1)
"""

import gzip
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self, TypeVar

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

WAIT_S: Final = 20.0

Got = TypeVar("Got")


@dataclass(frozen=True, kw_only=True)
class Span:
    """Ids in hex; `parent_id` empty for a root; `kind` and `status` are the numbers of the protocol."""

    trace_id: str
    span_id: str
    parent_id: str
    trace_state: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status: int
    status_message: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: str


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of one metric. `value` is a number, or (count, sum, bucket counts, bounds) of a histogram."""

    name: str
    unit: str
    temporality: int
    attributes: dict[str, Any]
    value: Any
    start_ns: int
    resource: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class LogRecord:
    """One log record."""

    trace_id: str
    span_id: str
    severity: str
    event: str
    body: Any
    time_ns: int
    resource: dict[str, Any]


@dataclass
class OtlpReceiver:
    """Both transports from entering to leaving the context."""

    spans: list[Span] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    logs: list[LogRecord] = field(default_factory=list)
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Each export: `grpc` or the path of the request, and its metadata or headers."""
    _news: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self) -> Self:
        self._grpc = grpc.server(ThreadPoolExecutor(2))
        self._grpc.add_generic_rpc_handlers([self._handler(*each) for each in _SIGNALS])
        self.grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _http_handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._grpc.stop(0).wait()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def grpc_endpoint(self) -> str:
        return f"http://127.0.0.1:{self.grpc_port}"

    @property
    def http_endpoint(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def wait_for_spans(self, count: int) -> list[Span]:
        return self._wait(lambda: self.spans if len(self.spans) >= count else None)

    def wait_for_logs(self, count: int) -> list[LogRecord]:
        return self._wait(lambda: self.logs if len(self.logs) >= count else None)

    def wait_for_points(self, name: str) -> list[Point]:
        return self._wait(lambda: [point for point in self.points if point.name == name] or None)

    def take(self, signal: str, message: bytes, source: str, headers: Mapping[str, str]) -> None:
        with self._news:
            self.calls.append((source, dict(headers)))
            match signal:
                case "trace":
                    self.spans.extend(_spans(ExportTraceServiceRequest.FromString(message)))
                case "metrics":
                    self.points.extend(_points(ExportMetricsServiceRequest.FromString(message)))
                case _:
                    self.logs.extend(_logs(ExportLogsServiceRequest.FromString(message)))
            self._news.notify_all()

    def _wait(self, look: Callable[[], list[Got] | None]) -> list[Got]:
        with self._news:
            found = self._news.wait_for(look, WAIT_S)
            assert found, f"not received within {WAIT_S:g} s; {len(self.calls)} exports came"
            return list(found)

    def _handler(self, signal: str, service: str) -> Any:
        def export(message: bytes, context: Any) -> bytes:
            self.take(signal, message, "grpc", dict(context.invocation_metadata()))
            return b""

        method = grpc.unary_unary_rpc_method_handler(export)
        return grpc.method_handlers_generic_handler(f"opentelemetry.proto.collector.{service}", {"Export": method})


_SIGNALS: Final = (
    ("trace", "trace.v1.TraceService"),
    ("metrics", "metrics.v1.MetricsService"),
    ("logs", "logs.v1.LogsService"),
)
_PATHS: Final = {"/v1/traces": "trace", "/v1/metrics": "metrics", "/v1/logs": "logs"}


def _http_handler(receiver: OtlpReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                message = gzip.decompress(message)
            receiver.take(_PATHS[self.path], message, self.path, dict(self.headers))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def _value(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_value(one) for one in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case kind:
            return getattr(value, kind)


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _spans(message: ExportTraceServiceRequest) -> list[Span]:
    return [
        Span(
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            trace_state=span.trace_state,
            name=span.name,
            kind=span.kind,
            start_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            status=span.status.code,
            status_message=span.status.message,
            attributes=_attributes(span.attributes),
            resource=_attributes(batch.resource.attributes),
            scope=scope.scope.name,
        )
        for batch in message.resource_spans
        for scope in batch.scope_spans
        for span in scope.spans
    ]


def _points(message: ExportMetricsServiceRequest) -> list[Point]:
    found = []
    for batch in message.resource_metrics:
        for scope in batch.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                assert kind is not None
                data = getattr(metric, kind)
                for point in data.data_points:
                    if kind == "histogram":
                        value: Any = (point.count, point.sum, tuple(point.bucket_counts), tuple(point.explicit_bounds))
                    else:
                        value = getattr(point, point.WhichOneof("value"))
                    found.append(
                        Point(
                            name=metric.name,
                            unit=metric.unit,
                            temporality=getattr(data, "aggregation_temporality", 0),
                            attributes=_attributes(point.attributes),
                            value=value,
                            start_ns=point.start_time_unix_nano,
                            resource=_attributes(batch.resource.attributes),
                        )
                    )
    return found


def _logs(message: ExportLogsServiceRequest) -> list[LogRecord]:
    return [
        LogRecord(
            trace_id=record.trace_id.hex(),
            span_id=record.span_id.hex(),
            severity=record.severity_text,
            event=record.event_name,
            body=_value(record.body),
            time_ns=record.time_unix_nano,
            resource=_attributes(batch.resource.attributes),
        )
        for batch in message.resource_logs
        for scope in batch.scope_logs
        for record in scope.log_records
    ]
