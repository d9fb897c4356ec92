import pytest

from extauthz.adapters.telemetry.environment import Exporter, ExportPlan, TelemetryFault, read_plan

GRPC, HTTP, CONSOLE = Exporter.OTLP_GRPC, Exporter.OTLP_HTTP, Exporter.CONSOLE
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ExportPlan()),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}, ExportPlan()),
        (ENDPOINT, ExportPlan(traces=(GRPC,), metrics=(GRPC,))),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, ExportPlan()),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"}, ExportPlan(traces=(GRPC,))),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4317"}, ExportPlan(metrics=(GRPC,))),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c:4317"}, ExportPlan()),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ExportPlan(traces=(GRPC,))),
        ({"OTEL_TRACES_EXPORTER": "none", **ENDPOINT}, ExportPlan(metrics=(GRPC,))),
        ({"OTEL_METRICS_EXPORTER": "prometheus", **ENDPOINT}, ExportPlan(traces=(GRPC,))),
        ({"OTEL_LOGS_EXPORTER": "otlp"}, ExportPlan(logs=(GRPC,))),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", **ENDPOINT}, ExportPlan(traces=(HTTP,), metrics=(HTTP,))),
        (
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
                "OTEL_LOGS_EXPORTER": "otlp",
                **ENDPOINT,
            },
            ExportPlan(traces=(GRPC,), metrics=(HTTP,), logs=(HTTP,)),
        ),
        ({"OTEL_TRACES_EXPORTER": " OTLP , console,otlp "}, ExportPlan(traces=(GRPC, CONSOLE))),
        ({"OTEL_TRACES_EXPORTER": "otlp_proto_http"}, ExportPlan(traces=(HTTP,))),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_LOGS_EXPORTER": "otlp", **ENDPOINT}, ExportPlan()),
        ({"OTEL_SDK_DISABLED": "false", **ENDPOINT}, ExportPlan(traces=(GRPC,), metrics=(GRPC,))),
    ],
)
def test_the_variables_say_what_is_exported(environ: dict[str, str], expected: ExportPlan) -> None:
    assert read_plan(environ) == expected


@pytest.mark.parametrize(
    ("logs", "lines", "otlp"),
    [((), True, None), ((GRPC,), False, GRPC), ((CONSOLE,), True, None), ((HTTP, CONSOLE), True, HTTP)],
)
def test_audit_records_are_lines_unless_they_go_to_otlp_alone(
    logs: tuple[Exporter, ...], lines: bool, otlp: Exporter | None
) -> None:
    plan = ExportPlan(logs=logs)
    assert (plan.audit_lines, plan.audit_otlp) == (lines, otlp)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: no exporter 'zipkin' here: use one of otlp"),
        ({"OTEL_TRACES_EXPORTER": "prometheus"}, "OTEL_TRACES_EXPORTER: no exporter 'prometheus'"),
        ({"OTEL_METRICS_EXPORTER": "otlp,x"}, "OTEL_METRICS_EXPORTER: no exporter 'x'"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", **ENDPOINT},
            "OTEL_EXPORTER_OTLP_PROTOCOL: no protocol 'http/json' here: use grpc or http/protobuf",
        ),
        (
            {"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "tcp", "OTEL_LOGS_EXPORTER": "otlp"},
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: no protocol 'tcp'",
        ),
    ],
)
def test_what_cannot_be_followed_is_named_with_a_way_out(environ: dict[str, str], message: str) -> None:
    with pytest.raises(TelemetryFault) as fault:
        read_plan(environ)
    assert message in str(fault.value)
