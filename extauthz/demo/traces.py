"""A receiver of OpenTelemetry spans (OTLP over gRPC) that keeps them in memory, and the tree that they form."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from extauthz.demo.processes import LOOPBACK, ProgramError, free_port

MAX_SPANS: Final = 10_000
"""Older ones are dropped: a demo that stays up must not grow."""
WAIT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One finished span. Times in Unix nanoseconds; ids in lower-case hex, `parent_id` empty for a root."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, str]

    @property
    def duration_ms(self) -> float:
        """How long it took."""
        return (self.end_ns - self.start_ns) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A span and those under it, in order of their start."""

    span: Span
    children: tuple["Branch", ...]


def tree(spans: Iterable[Span]) -> tuple[Branch, ...]:
    """The spans by parent. One whose parent is not among them stands at the top."""
    every = sorted(spans, key=lambda span: span.start_ns)
    known = {span.span_id for span in every}

    def under(parent: str) -> tuple[Branch, ...]:
        return tuple(Branch(span=span, children=under(span.span_id)) for span in every if span.parent_id == parent)

    tops = [span for span in every if span.parent_id not in known]
    return tuple(Branch(span=span, children=under(span.span_id)) for span in tops)


class TraceReceiver:
    """Listens on loopback from `start()` to `stop()`, or as a context manager."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_port()
        self._spans: list[Span] = []
        self._arrived = threading.Condition()
        self._server: grpc.Server | None = None

    @property
    def endpoint(self) -> str:
        """For `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Listen. Raises ProgramError when the port is taken."""
        server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
        methods = {
            "trace.v1.TraceService": self._export,
            "metrics.v1.MetricsService": lambda _request, _context: b"",
            "logs.v1.LogsService": lambda _request, _context: b"",
        }
        server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    f"opentelemetry.proto.collector.{service}",
                    {"Export": grpc.unary_unary_rpc_method_handler(method)},
                )
                for service, method in methods.items()
            ]
        )
        try:
            server.add_insecure_port(f"{LOOPBACK}:{self.port}")
        except RuntimeError as error:
            raise ProgramError(f"the trace receiver cannot listen on {self.endpoint}") from error
        server.start()
        self._server = server

    def stop(self) -> None:
        """Stop listening. May be called again."""
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None

    def spans(self, trace_id: str = "") -> tuple[Span, ...]:
        """What has arrived, of one trace or all."""
        with self._arrived:
            return tuple(span for span in self._spans if trace_id in ("", span.trace_id))

    def tree(self, trace_id: str) -> tuple[Branch, ...]:
        """The spans of one trace, by parent."""
        return tree(self.spans(trace_id))

    def wait_for(
        self, enough: Callable[[tuple[Span, ...]], bool], *, trace_id: str = "", timeout_s: float = WAIT_S
    ) -> tuple[Span, ...]:
        """The spans as soon as they are enough, or whatever there is when time runs out."""
        with self._arrived:
            self._arrived.wait_for(lambda: enough(self.spans(trace_id)), timeout_s)
        return self.spans(trace_id)

    def _export(self, request: bytes, _context: Any) -> bytes:
        message = ExportTraceServiceRequest.FromString(request)
        with self._arrived:
            self._spans.extend(_read(message))
            del self._spans[:-MAX_SPANS]
            self._arrived.notify_all()
        return ExportTraceServiceResponse().SerializeToString()


def _read(message: ExportTraceServiceRequest) -> list[Span]:
    return [
        Span(
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            service=next((_text(each.value) for each in batch.resource.attributes if each.key == "service.name"), ""),
            name=span.name,
            start_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            attributes={each.key: _text(each.value) for each in span.attributes},
        )
        for batch in message.resource_spans
        for scope in batch.scope_spans
        for span in scope.spans
    ]


def _text(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return ""
        case "bool_value":
            return str(value.bool_value).lower()
        case "array_value":
            return ", ".join(_text(each) for each in value.array_value.values)
        case _:
            return str(getattr(value, kind))
