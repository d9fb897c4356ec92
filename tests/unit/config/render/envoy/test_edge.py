"""What an edge may be told, and what is refused before Envoy sees it."""

from dataclasses import replace

import pytest

from extauthz.config.render.envoy.edge import MAX_BODY_BYTES, Edge, ServiceTls, edge_faults
from extauthz.service.endpoint import TcpEndpoint, UnixEndpoint

DEFAULT = Edge()
SOCKET = UnixEndpoint("/run/extauthz.sock")


def test_the_defaults_are_fine() -> None:
    assert edge_faults(DEFAULT) == ()


@pytest.mark.parametrize(
    "edge",
    [
        replace(DEFAULT, listen=TcpEndpoint("::", 8080)),
        replace(DEFAULT, admin=None),
        replace(DEFAULT, authz=(SOCKET, TcpEndpoint("127.0.0.1", 9001))),
        replace(DEFAULT, authz=(TcpEndpoint("extauthz", 9001), TcpEndpoint("127.0.0.1", 9001))),
        replace(DEFAULT, max_body_bytes=MAX_BODY_BYTES),
    ],
)
def test_what_envoy_can_do_is_accepted(edge: Edge) -> None:
    assert edge_faults(edge) == ()


@pytest.mark.parametrize(
    ("edge", "fault"),
    [
        (replace(DEFAULT, listen=TcpEndpoint("localhost", 8080)), "listen address localhost:8080"),
        (replace(DEFAULT, admin=TcpEndpoint("admin.internal", 1)), "admin address admin.internal:1"),
        (replace(DEFAULT, listen=TcpEndpoint("127.0.0.1", 0)), "port 0"),
        (replace(DEFAULT, authz=(TcpEndpoint("127.0.0.1", 0),)), "port 0"),
        (replace(DEFAULT, authz=()), "no service to ask"),
        (replace(DEFAULT, authz=(SOCKET, SOCKET)), "the same service endpoint"),
        (replace(DEFAULT, authz=(UnixEndpoint("run/a.sock"),)), "a relative socket path"),
        (replace(DEFAULT, authz=(SOCKET, TcpEndpoint("extauthz", 9001))), "service endpoints mix"),
        (replace(DEFAULT, authz=(SOCKET,), authz_tls=ServiceTls(ca="/ca.pem")), "TLS to the service"),
        (replace(DEFAULT, max_body_bytes=0), "largest request body 0"),
        (replace(DEFAULT, max_body_bytes=MAX_BODY_BYTES + 1), "largest request body"),
        (replace(DEFAULT, max_stream_s=0), "longest stream 0 s"),
        (replace(DEFAULT, trusted_hops=-1), "trusted hops -1"),
    ],
)
def test_what_envoy_would_refuse_or_misunderstand_is_a_fault(edge: Edge, fault: str) -> None:
    (found,) = edge_faults(edge)
    assert found.startswith(fault)


def test_all_faults_come_at_once() -> None:
    assert len(edge_faults(replace(DEFAULT, authz=(), max_stream_s=0, max_body_bytes=0))) == 3
