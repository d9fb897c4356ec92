import pytest

from extauthz.service.endpoint import (
    MAX_SOCKET_PATH_BYTES,
    Endpoint,
    EndpointFault,
    TcpEndpoint,
    UnixEndpoint,
    endpoint_of,
    worker_endpoint,
)


@pytest.mark.parametrize(
    ("text", "endpoint", "written"),
    [
        ("127.0.0.1:9001", TcpEndpoint("127.0.0.1", 9001), "127.0.0.1:9001"),
        ("[::1]:9001", TcpEndpoint("::1", 9001), "[::1]:9001"),
        ("localhost:0", TcpEndpoint("localhost", 0), "localhost:0"),
        ("unix:/run/a.sock", UnixEndpoint("/run/a.sock"), "unix:/run/a.sock"),
        ("unix:///run/a.sock", UnixEndpoint("/run/a.sock"), "unix:/run/a.sock"),
        ("unix:a.sock", UnixEndpoint("a.sock"), "unix:a.sock"),
    ],
)
def test_endpoints(text: str, endpoint: Endpoint, written: str) -> None:
    assert endpoint_of(text) == endpoint
    assert str(endpoint) == written


@pytest.mark.parametrize(
    "text",
    [
        *("", "9001", ":9001", "host", "host:", "host:x", "host:65536", "host:-1", "::1:9001", "[::1]", "[zz]:1"),
        *("[1.2.3]:1", "http://host:1", "host:1/", "unix:", "unix:/a\0b", "unix:/" + "a" * MAX_SOCKET_PATH_BYTES),
        *("host :1", "host:123456"),
    ],
)
def test_other_endpoints(text: str) -> None:
    assert isinstance(endpoint_of(text), EndpointFault)


def test_sockets_of_workers_have_their_number() -> None:
    assert [worker_endpoint(UnixEndpoint("/a"), number).__str__() for number in (0, 1)] == ["unix:/a", "unix:/a.1"]
    assert worker_endpoint(TcpEndpoint("h", 0), 3) == TcpEndpoint("h", 0)


@pytest.mark.parametrize("text", ["fe80::1%1", "[fe80::1%zz]:1", "[::1%]:1x"])
def test_addresses_with_a_zone_are_read_as_far_as_they_are_addresses(text: str) -> None:
    assert isinstance(endpoint_of(text), EndpointFault)
    assert endpoint_of("[fe80::1%1]:7") == TcpEndpoint("fe80::1%1", 7)


def test_a_path_is_measured_in_bytes() -> None:
    longest = "/" + "ü" * (MAX_SOCKET_PATH_BYTES // 2)
    assert endpoint_of(f"unix:{longest}") == UnixEndpoint(longest)
    assert isinstance(endpoint_of(f"unix:{longest}ü"), EndpointFault)
    assert isinstance(endpoint_of(f"unix:{longest}", MAX_SOCKET_PATH_BYTES - 1), EndpointFault)
    assert isinstance(endpoint_of("unix:/\ud800" + "a" * MAX_SOCKET_PATH_BYTES), EndpointFault)
