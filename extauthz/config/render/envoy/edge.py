"""What a policy file cannot know about an Envoy: where it listens, where the service is, and its limits."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from extauthz.service.endpoint import Endpoint, TcpEndpoint, UnixEndpoint

DEFAULT_LISTEN: Final = TcpEndpoint("0.0.0.0", 8080)  # noqa: S104 - a proxy is there to be reached
DEFAULT_ADMIN: Final = TcpEndpoint("127.0.0.1", 9901)
DEFAULT_AUTHZ: Final = TcpEndpoint("127.0.0.1", 9001)
"""Where `extauthz serve` listens by default."""
DEFAULT_MAX_BODY_BYTES: Final = 1_048_576
"""A request body is held in Envoy and sent to the service whole. 1 MiB takes arguments that carry a document; servers
of MCP take 4 MiB, at which gRPC servers refuse a message."""
MAX_BODY_BYTES: Final = 3_145_728
"""3 MiB: leaves 1 MiB of gRPC's default 4 MiB message limit to headers and certificates."""
DEFAULT_MAX_STREAM_S: Final = 3_600
"""The check runs once, when a request starts: this is how long an event stream may outlive its token."""
DEFAULT_TRUSTED_CA: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian, Ubuntu, Alpine and the official Envoy images keep the system's certificate authorities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """PEM files, as Envoy will find them, that prove who somebody is; `chain` leaf first."""

    chain: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTls:
    """How Envoy and the service prove themselves to each other: the service's CA, and Envoy's own certificate."""

    ca: str
    client: KeyPair | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One Envoy. All sizes in bytes, all times in seconds."""

    listen: TcpEndpoint = DEFAULT_LISTEN
    certificate: KeyPair | None = None
    """None: plain HTTP, for loopback or behind something that ends TLS."""
    admin: TcpEndpoint | None = DEFAULT_ADMIN
    """None: no admin interface."""
    authz: tuple[Endpoint, ...] = (DEFAULT_AUTHZ,)
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


def edge_faults(edge: Edge) -> tuple[str, ...]:
    """What no Envoy would accept, or would accept and then do something else than was meant."""
    faults: list[str] = []
    for what, endpoint in (("listen", edge.listen), ("admin", edge.admin)):
        if endpoint is not None and not is_ip_address(endpoint.host):
            faults.append(f"{what} address {endpoint}: Envoy binds IP addresses only, as in 127.0.0.1 or 0.0.0.0")
    every = (edge.listen, edge.admin, edge.tracing, *edge.authz)
    if any(isinstance(endpoint, TcpEndpoint) and endpoint.port == 0 for endpoint in every):
        faults.append("port 0 lets the system choose, and nobody would know which: name a port")
    return (*faults, *_authz_faults(edge), *_limit_faults(edge))


def _authz_faults(edge: Edge) -> Iterator[str]:
    sockets = [endpoint for endpoint in edge.authz if isinstance(endpoint, UnixEndpoint)]
    if not edge.authz:
        yield "no service to ask: name at least one endpoint of it, as in 127.0.0.1:9001"
    if len(set(edge.authz)) < len(edge.authz):
        yield "the same service endpoint is named twice: each worker listens on one of its own"
    if any(not socket.path.startswith("/") for socket in sockets):
        yield "a relative socket path depends on where Envoy is started: write an absolute one"
    if sockets and any(
        isinstance(endpoint, TcpEndpoint) and not is_ip_address(endpoint.host) for endpoint in edge.authz
    ):
        yield "service endpoints mix Unix sockets and DNS names, which one Envoy cluster cannot: use one kind"
    if sockets and edge.authz_tls is not None:
        yield "TLS to the service needs TCP endpoints: name HOST:PORT, or leave TLS out on Unix sockets"


def _limit_faults(edge: Edge) -> Iterator[str]:
    if not 0 < edge.max_body_bytes <= MAX_BODY_BYTES:
        yield f"largest request body {edge.max_body_bytes}: choose 1 to {MAX_BODY_BYTES} bytes"
    if edge.max_stream_s <= 0:
        yield f"longest stream {edge.max_stream_s} s: choose at least 1; 0 would let streams run for ever"
    if edge.trusted_hops < 0:
        yield f"trusted hops {edge.trusted_hops}: count the proxies in front of Envoy, 0 when there are none"
