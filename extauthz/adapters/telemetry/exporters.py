"""OpenTelemetry's exporters, set up by their own variables. Importing them takes 100 ms: only when one is wanted."""

import sys
from typing import assert_never

from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from extauthz.adapters.telemetry.environment import Exporter


def tracer_provider(exporters: tuple[Exporter, ...], resource: Resource) -> TracerProvider:
    """Spans in batches (`OTEL_BSP_*`), sampled by `OTEL_TRACES_SAMPLER`."""
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(_span_exporter(exporter)))
    return provider


def logger_provider(exporter: Exporter, resource: Resource) -> LoggerProvider:
    """Log records in batches (`OTEL_BLRP_*`)."""
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    made = HttpLogExporter() if exporter is Exporter.OTLP_HTTP else GrpcLogExporter()
    provider.add_log_record_processor(BatchLogRecordProcessor(made))
    return provider


def metric_exporter(exporter: Exporter) -> MetricExporter:
    """What a periodic reader hands metrics to. The console is standard error: standard output has the audit lines."""
    match exporter:
        case Exporter.OTLP_GRPC:
            return GrpcMetricExporter()
        case Exporter.OTLP_HTTP:
            return HttpMetricExporter()
        case Exporter.CONSOLE:
            return ConsoleMetricExporter(out=sys.stderr)
    assert_never(exporter)


def _span_exporter(exporter: Exporter) -> SpanExporter:
    match exporter:
        case Exporter.OTLP_GRPC:
            return GrpcSpanExporter()
        case Exporter.OTLP_HTTP:
            return HttpSpanExporter()
        case Exporter.CONSOLE:
            return ConsoleSpanExporter(out=sys.stderr)
    assert_never(exporter)
