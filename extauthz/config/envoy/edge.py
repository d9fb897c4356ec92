"""What a policy file cannot know about an Envoy: where it listens, where the service is, and its limits."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

DEFAULT_MAX_BODY_BYTES: Final = 262_144
"""A request body is held in Envoy and sent to the service whole. 256 KiB is far above MCP messages that carry no
files, and 16 times below the 4 MiB at which gRPC servers refuse a message."""
MAX_BODY_BYTES: Final = 3_145_728
"""3 MiB: leaves 1 MiB of gRPC's default 4 MiB message limit to headers and certificates."""
DEFAULT_MAX_STREAM_S: Final = 3_600
"""The check runs once, when a request starts: this is how long an event stream may outlive its token."""
DEFAULT_TRUSTED_CA: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian, Ubuntu, Alpine and the official Envoy images keep the system's certificate authorities."""

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpEndpoint:
    """A TCP address. `host` is an IP address without brackets, or a DNS name."""

    host: str
    port: int

    @property
    def is_ip(self) -> bool:
        """Whether `host` needs no name resolution."""
        return is_ip_address(self.host)

    @property
    def text(self) -> str:
        """As written on a command line: an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixEndpoint:
    """A Unix domain socket, by its absolute path."""

    path: str

    @property
    def text(self) -> str:
        """As written on a command line."""
        return f"unix:{self.path}"


Endpoint: TypeAlias = TcpEndpoint | UnixEndpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFault:
    """Why a text is no endpoint, and what to write."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """PEM files with which a server proves who it is; `chain` leaf first."""

    chain: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTls:
    """How Envoy and the service prove themselves to each other: the service's CA, and Envoy's own certificate."""

    ca: str
    client: ServerCertificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One Envoy. All sizes in bytes, all times in seconds."""

    listen: TcpEndpoint = TcpEndpoint(host="0.0.0.0", port=8080)  # noqa: S104 - a proxy is there to be reached
    certificate: ServerCertificate | None = None
    """None: plain HTTP, for loopback or behind something that ends TLS."""
    admin: TcpEndpoint | None = TcpEndpoint(host="127.0.0.1", port=9901)
    """None: no admin interface."""
    authz: tuple[Endpoint, ...] = (TcpEndpoint(host="127.0.0.1", port=9001),)
    """One for each worker process: Envoy keeps one connection per endpoint, and a port shared by processes would get
    all its traffic on one of them."""
    authz_tls: ServiceTls | None = None
    tracing: TcpEndpoint | None = None
    """An OTLP/gRPC collector."""
    upstream_ca: str = DEFAULT_TRUSTED_CA
    """PEM file that `https` upstreams are checked against."""
    trusted_hops: int = 0
    """How many proxies in front of this one are trusted to write `x-forwarded-for` and `x-forwarded-proto`."""
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    max_stream_s: int = DEFAULT_MAX_STREAM_S


def is_ip_address(host: str) -> bool:
    """Whether `host` is an IP address (IPv6 without brackets)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def parse_endpoint(text: str) -> Endpoint | EndpointFault:
    """Read `HOST:PORT`, `[IPV6]:PORT` or `unix:/PATH`."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path:
            return EndpointFault(message=f"{text!r}: write the socket's absolute path, as in unix:/run/extauthz.sock")
        return UnixEndpoint(path=path)
    return parse_tcp_endpoint(text)


def parse_tcp_endpoint(text: str) -> TcpEndpoint | EndpointFault:
    """Read `HOST:PORT` or `[IPV6]:PORT`."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not host:
        return EndpointFault(message=f"{text!r}: write HOST:PORT, as in 127.0.0.1:9001")
    readable = bracketed and is_ip_address(host) if ":" in host else not bracketed and _HOST_NAME.fullmatch(host)
    if not readable:
        return EndpointFault(message=f"{text!r}: {host!r} is neither a host name nor an IP address ([…] for IPv6)")
    if not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65_536 and len(port) < 6):
        return EndpointFault(message=f"{text!r}: the port must be a number from 1 to 65535")
    return TcpEndpoint(host=host, port=int(port))


def edge_faults(edge: Edge) -> tuple[str, ...]:
    """What no Envoy would accept, or would accept and then do something else than was meant."""
    faults: list[str] = []
    for what, endpoint in (("listen", edge.listen), ("admin", edge.admin)):
        if endpoint is not None and not endpoint.is_ip:
            faults.append(f"{what} address {endpoint.text}: Envoy binds IP addresses only, as in 127.0.0.1 or 0.0.0.0")
    sockets = [endpoint for endpoint in edge.authz if isinstance(endpoint, UnixEndpoint)]
    if not edge.authz:
        faults.append("no service to ask: name at least one endpoint of it, as in 127.0.0.1:9001")
    if len(set(edge.authz)) < len(edge.authz):
        faults.append("the same service endpoint is named twice: each worker listens on one of its own")
    if sockets and any(isinstance(endpoint, TcpEndpoint) and not endpoint.is_ip for endpoint in edge.authz):
        faults.append("service endpoints mix Unix sockets and DNS names, which one Envoy cluster cannot: use one kind")
    if sockets and edge.authz_tls is not None:
        faults.append("TLS to the service needs TCP endpoints: name HOST:PORT, or leave TLS out on Unix sockets")
    if not 0 < edge.max_body_bytes <= MAX_BODY_BYTES:
        faults.append(f"largest request body {edge.max_body_bytes}: choose 1 to {MAX_BODY_BYTES} bytes")
    if edge.max_stream_s <= 0:
        faults.append(f"longest stream {edge.max_stream_s} s: choose at least 1; 0 would let streams run for ever")
    if edge.trusted_hops < 0:
        faults.append(f"trusted hops {edge.trusted_hops}: count the proxies in front of Envoy, 0 when there are none")
    return tuple(faults)
