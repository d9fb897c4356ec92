"""Where a process listens: `host:port` or `unix:path`."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from os import fsencode
from typing import Final, TypeAlias

from extauthz.config.policy_file.fault import Problem
from extauthz.pdp.quoting import quoted

MAX_PORT: Final = 65_535
# Bytes of a Unix socket's path, from `struct sockaddr_un` of Linux, less its end and a worker's number.
MAX_SOCKET_PATH_BYTES: Final = 104

_TCP: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class TcpEndpoint:
    """A host name or address (IPv6 without brackets) and a port; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        """`host:port`, as gRPC and Envoy write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """A Unix domain socket."""

    path: str

    def __str__(self) -> str:
        """`unix:path`, as gRPC writes it."""
        return f"unix:{self.path}"


Endpoint: TypeAlias = TcpEndpoint | UnixEndpoint


def endpoint_of(text: str) -> Endpoint | Problem:
    """Read `127.0.0.1:9001`, `[::1]:9001`, `localhost:9001` or `unix:/run/extauthz.sock`."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if path.startswith("//"):
            path = path.removeprefix("//")  # unix:///path, the absolute form of gRPC's naming
        if not path or "\0" in path or len(fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            hint = f"write unix:/path with at most {MAX_SOCKET_PATH_BYTES} bytes"
            return Problem(f"{quoted(text)} is not a socket path", hint)
        return UnixEndpoint(path)
    found = _TCP.fullmatch(text)
    if found is None:
        return Problem(
            f"{quoted(text)} is no address to listen on", "write host:port, as 127.0.0.1:9001, or unix:/path"
        )
    host, port = found["host"].strip("[]"), int(found["port"])
    if port > MAX_PORT:
        return Problem(f"port {port} does not exist", f"use a port up to {MAX_PORT}")
    if found["host"].startswith("[") and not _is_address(host):
        return Problem(f"{quoted(text)} has no valid IPv6 address", "write it as [::1]:9001")
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
