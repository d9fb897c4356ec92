"""What the standard variables ask to be exported. The SDK reads all others itself (endpoint, headers, sampler, …).

Sources: OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter". Two
differences, both so that nothing set means no export: a signal's exporter is `otlp` by default only when an endpoint is
named, and audit records go to OTLP only when `OTEL_LOGS_EXPORTER` asks for it by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from extauthz.adapters.telemetry.endpoints import endpoint_faults, endpoint_hints, propagator_hints


class TelemetryFault(Exception):
    """A variable that cannot be followed; the message says which and how to mend it."""


class Signal(StrEnum):
    """One kind of telemetry, as the names of variables have it."""

    TRACES = "TRACES"
    METRICS = "METRICS"
    LOGS = "LOGS"


class Exporter(StrEnum):
    """Where a signal goes."""

    OTLP_GRPC = "grpc"
    OTLP_HTTP = "http/protobuf"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    """The exporters of each signal."""

    traces: tuple[Exporter, ...] = ()
    metrics: tuple[Exporter, ...] = ()
    logs: tuple[Exporter, ...] = ()

    @property
    def audit_lines(self) -> bool:
        """Whether audit records are written to standard output: unless they go to OTLP alone."""
        return not self.logs or Exporter.CONSOLE in self.logs

    @property
    def audit_otlp(self) -> Exporter | None:
        """Where audit records go by OTLP."""
        return next((exporter for exporter in self.logs if exporter is not Exporter.CONSOLE), None)


# `otlp_proto_…` are the Python SDK's own names of the two protocols. Metrics can always be scraped at `/metrics`, which
# is what `prometheus` asks for.
_NAMES: Final = ("otlp", "otlp_proto_grpc", "otlp_proto_http", "console", "none")


def read_plan(environ: Mapping[str, str]) -> ExportPlan:
    """Read the variables. Raises `TelemetryFault`."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ExportPlan()
    plan = ExportPlan(
        traces=_exporters(environ, Signal.TRACES),
        metrics=_exporters(environ, Signal.METRICS),
        logs=_exporters(environ, Signal.LOGS),
    )
    for signal, _ in _by_otlp(plan):
        for fault in endpoint_faults(environ, signal):
            raise TelemetryFault(fault)
    return plan


def read_hints(environ: Mapping[str, str], plan: ExportPlan) -> tuple[str, ...]:
    """What the variables ask for that will hardly work, or is not there: for the log, each once."""
    hints = [hint for signal, exporter in _by_otlp(plan) for hint in endpoint_hints(environ, signal, exporter)]
    return tuple(dict.fromkeys((*hints, *propagator_hints(environ))))


def _by_otlp(plan: ExportPlan) -> list[tuple[Signal, Exporter]]:
    signals = ((Signal.TRACES, plan.traces), (Signal.METRICS, plan.metrics), (Signal.LOGS, plan.logs))
    return [(signal, each) for signal, exporters in signals for each in exporters if each is not Exporter.CONSOLE]


def _exporters(environ: Mapping[str, str], signal: Signal) -> tuple[Exporter, ...]:
    variable = f"OTEL_{signal}_EXPORTER"
    names = [name.strip().lower() for name in environ.get(variable, "").split(",") if name.strip()]
    if not names and signal is not Signal.LOGS and _endpoint_named(environ, signal):
        names = ["otlp"]
    found: list[Exporter] = []
    for name in names:
        match name:
            case "otlp":
                found.append(_protocol(environ, signal))
            case "otlp_proto_grpc":
                found.append(Exporter.OTLP_GRPC)
            case "otlp_proto_http":
                found.append(Exporter.OTLP_HTTP)
            case "console":
                found.append(Exporter.CONSOLE)
            case "none":
                pass
            case "prometheus" if signal is Signal.METRICS:
                pass
            case _:
                raise TelemetryFault(f"{variable}: no exporter {name!r} here: use one of {', '.join(_NAMES)}")
    return tuple(dict.fromkeys(found))


def _endpoint_named(environ: Mapping[str, str], signal: Signal) -> bool:
    variables = (f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return any(environ.get(variable, "").strip() for variable in variables)


def _protocol(environ: Mapping[str, str], signal: Signal) -> Exporter:
    """gRPC unless said otherwise, as the Python SDK has it (the specification recommends http/protobuf)."""
    for variable in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        match environ.get(variable, "").strip().lower():
            case "":
                continue
            case "grpc":
                return Exporter.OTLP_GRPC
            case "http/protobuf":
                return Exporter.OTLP_HTTP
            case other:
                raise TelemetryFault(f"{variable}: no protocol {other!r} here: use grpc or http/protobuf")
    return Exporter.OTLP_GRPC
