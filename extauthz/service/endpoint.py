"""Where something listens: `host:port`, `[IPv6]:port` or `unix:path`. One reading for settings, servers and clients."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, NamedTuple, TypeAlias

from extauthz.pdp.quoting import quoted

MAX_PORT: Final = 65_535
MAX_SOCKET_PATH_BYTES: Final = 107
"""Of a Unix socket's path: `sun_path` of Linux without its closing NUL (unix(7))."""

_TCP: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class TcpEndpoint:
    """A host name or address (IPv6 without brackets) and a port; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        """`host:port`, as gRPC and Envoy write it: an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """A Unix domain socket."""

    path: str

    def __str__(self) -> str:
        """`unix:path`, as gRPC writes it."""
        return f"unix:{self.path}"


Endpoint: TypeAlias = TcpEndpoint | UnixEndpoint


class EndpointFault(NamedTuple):
    """Why a text is not an endpoint, and what to write."""

    text: str
    hint: str

    def __str__(self) -> str:
        return f"{self.text}: {self.hint}"


def endpoint_of(text: str, max_path_bytes: int = MAX_SOCKET_PATH_BYTES) -> Endpoint | EndpointFault:
    """Read `127.0.0.1:9001`, `[::1]:9001`, `localhost:9001` or `unix:/run/extauthz.sock`."""
    if text.startswith("unix:"):
        # unix:///path is the absolute form of gRPC's naming.
        path = text.removeprefix("unix:").removeprefix("//")
        if not path or "\0" in path or len(path.encode("utf-8", "surrogatepass")) > max_path_bytes:
            return EndpointFault(
                f"{quoted(text)} is not a socket path", f"write unix:/path with at most {max_path_bytes} bytes"
            )
        return UnixEndpoint(path)
    found = _TCP.fullmatch(text)
    if found is None:
        return EndpointFault(
            f"{quoted(text)} is not an address to listen on",
            "write host:port, as 127.0.0.1:9001, or [IPv6]:port, or unix:/path",
        )
    host, port = found["host"].strip("[]"), int(found["port"])
    if port > MAX_PORT:
        return EndpointFault(f"port {port} does not exist", f"write a port up to {MAX_PORT}")
    if found["host"].startswith("[") and not _is_address(host):
        return EndpointFault(f"{quoted(text)} has no valid IPv6 address", "write it as [::1]:9001")
    return TcpEndpoint(host, port)


def worker_endpoint(first: Endpoint, worker: int) -> Endpoint:
    """The endpoint of a worker, counted from 0: ports count up, sockets get the worker's number behind their path."""
    match first:
        case TcpEndpoint(host=host, port=port):
            return TcpEndpoint(host, port + worker if port else 0)
        case UnixEndpoint(path=path):
            return UnixEndpoint(f"{path}.{worker}" if worker else path)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
