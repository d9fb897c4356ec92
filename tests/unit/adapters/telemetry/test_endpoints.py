"""OTLP settings that can never work are told at start, and those that hardly will get a line in the log."""

from pathlib import Path

import pytest

from extauthz.adapters.telemetry.environment import TelemetryFault, read_hints, read_plan

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    "endpoint",
    [
        "collector:4317",
        "collector.observability:4318",
        "collector",
        "10.0.0.7:4317",
        "grpc://c:4317",
        "http://",
        "//c:1",
    ],
)
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_an_endpoint_without_a_scheme_is_refused_with_its_remedy(endpoint: str, protocol: str) -> None:
    with pytest.raises(TelemetryFault) as fault:
        read_plan({ENDPOINT: endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
    assert f'{ENDPOINT} is "{endpoint}", expected http:// or https://' in str(fault.value)


@pytest.mark.parametrize("endpoint", ["http://c:99999", "http://[::1", "https://c:x"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(TelemetryFault):
        read_plan({ENDPOINT: endpoint})


def test_the_variable_of_the_signal_is_named_where_it_counts() -> None:
    with pytest.raises(TelemetryFault) as fault:
        read_plan({ENDPOINT: "http://c:4317", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "c:4317"})
    assert str(fault.value).startswith("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is")


@pytest.mark.parametrize("name", ["CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"])
def test_a_file_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    environ = {ENDPOINT: "https://c:4317", f"OTEL_EXPORTER_OTLP_{name}": str(file)}
    with pytest.raises(TelemetryFault) as fault:
        read_plan(environ)
    assert f"OTEL_EXPORTER_OTLP_{name} is" in str(fault.value)
    assert "not a file that can be read" in str(fault.value)
    file.write_text("pem")
    assert read_plan(environ).traces


@pytest.mark.parametrize("environ", [{}, {ENDPOINT: "c:4317", "OTEL_SDK_DISABLED": "true"}])
def test_what_is_not_exported_is_not_judged(environ: dict[str, str]) -> None:
    assert read_plan(environ).traces == ()


@pytest.mark.parametrize(
    ("environ", "hint"),
    [
        ({ENDPOINT: "http://c:4318"}, "4318 is the port of OTLP over http/protobuf, while grpc is spoken"),
        (
            {ENDPOINT: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            "4317 is the port of OTLP over grpc, while http/protobuf is spoken",
        ),
        ({"OTEL_PROPAGATORS": "b3"}, 'OTEL_PROPAGATORS names "b3", only tracecontext is supported'),
        ({"OTEL_PROPAGATORS": "tracecontext,nonsense"}, 'OTEL_PROPAGATORS names "nonsense", only'),
    ],
)
def test_what_will_hardly_work_is_one_line(environ: dict[str, str], hint: str) -> None:
    found = read_hints(environ, read_plan(environ))
    assert len([one for one in found if hint in one]) == 1


@pytest.mark.parametrize(
    "environ",
    [
        {ENDPOINT: "http://c:4317"},
        {ENDPOINT: "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
        {ENDPOINT: "https://c"},
        {"OTEL_PROPAGATORS": "tracecontext,baggage"},
        {"OTEL_PROPAGATORS": "none"},
        {"OTEL_PROPAGATORS": ""},
    ],
)
def test_the_usual_settings_get_no_line(environ: dict[str, str]) -> None:
    assert read_hints(environ, read_plan(environ)) == ()


@pytest.mark.parametrize("endpoint", ["user:hunter2@c:4317", "grpc://user:hunter2@c:4317", "a@b:hunter2@c:x"])
def test_no_password_of_an_endpoint_is_told(endpoint: str) -> None:
    with pytest.raises(TelemetryFault) as fault:
        read_plan({ENDPOINT: endpoint})
    assert "hunter2" not in str(fault.value)
    assert "@c:" in str(fault.value)
    environ = {ENDPOINT: "http://user:hunter2@c:4318"}
    assert "hunter2" not in str(read_hints(environ, read_plan(environ)))
