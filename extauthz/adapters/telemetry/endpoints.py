"""What is wrong with the settings of OTLP exporters, before they are made: the SDK finds out later, or never says.

Sources: OpenTelemetry specification, "OpenTelemetry Protocol Exporter" (variables, default ports) and "Environment
Variable Specification" (`OTEL_PROPAGATORS`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from extauthz.pdp.quoting import quoted

GRPC: Final = "grpc"
HTTP: Final = "http/protobuf"
GRPC_PORT: Final = 4317
HTTP_PORT: Final = 4318

SUPPORTED_PROPAGATORS: Final = frozenset({"tracecontext", "baggage", "none"})
"""W3C trace context is read and written, baggage is neither; `none` is nobody's word against that."""

_FILES: Final = ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")


def endpoint_faults(environ: Mapping[str, str], signal: str) -> Iterator[str]:
    """What makes exporting a signal by OTLP impossible, each with its remedy."""
    variable, endpoint = _setting(environ, signal, "ENDPOINT")
    if endpoint:
        try:
            url = urlsplit(endpoint)
            usable = url.scheme in ("http", "https") and url.hostname is not None and (url.port or 1) > 0
        except ValueError:
            usable = False
        if not usable:
            yield (
                f"{variable} is {_shown(endpoint)}, expected http:// or https:// and a host: write the scheme before "
                f"the host, as in http://collector:{GRPC_PORT}"
            )
    for name in _FILES:
        variable, file = _setting(environ, signal, name)
        if file and not _is_readable(Path(file)):
            yield f"{variable} is {quoted(file)}, which is not a file that can be read: name a PEM file"


def endpoint_hints(environ: Mapping[str, str], signal: str, protocol: str) -> Iterator[str]:
    """What will hardly work, though it could: the default port of the other protocol."""
    variable, endpoint = _setting(environ, signal, "ENDPOINT")
    try:
        port = urlsplit(endpoint).port
    except ValueError:
        return
    other = {GRPC_PORT: GRPC, HTTP_PORT: HTTP}.get(port or 0, protocol)
    if other != protocol:
        yield (
            f"{variable} is {_shown(endpoint)}, and {port} is the port of OTLP over {other}, while {protocol} is "
            f"spoken: set OTEL_EXPORTER_OTLP_PROTOCOL={other}, or another port"
        )


def propagator_hints(environ: Mapping[str, str]) -> Iterator[str]:
    """Propagators that are asked for and not there."""
    asked = [name.strip().lower() for name in environ.get("OTEL_PROPAGATORS", "").split(",") if name.strip()]
    unknown = [name for name in asked if name not in SUPPORTED_PROPAGATORS]
    if unknown:
        yield (
            f"OTEL_PROPAGATORS names {', '.join(map(quoted, unknown))}, only tracecontext is supported: spans follow "
            "`traceparent` headers; have the proxy send them"
        )


def _shown(endpoint: str) -> str:
    """The endpoint without user and password, which a URL can carry."""
    before, sign, rest = endpoint.rpartition("@")
    scheme, slashes, _ = before.partition("://")
    return quoted((f"{scheme}{slashes}" if slashes else "") + "…@" + rest if sign else endpoint)


def _setting(environ: Mapping[str, str], signal: str, name: str) -> tuple[str, str]:
    """The variable that counts for a signal, and its value."""
    own, common = f"OTEL_EXPORTER_OTLP_{signal}_{name}", f"OTEL_EXPORTER_OTLP_{name}"
    variable = own if environ.get(own, "").strip() else common
    return variable, environ.get(variable, "").strip()


def _is_readable(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:
        return False
