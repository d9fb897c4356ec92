"""49 raw requests at the admin port with everything behind it: nothing is revoked, nothing is shown, it stays alive."""

import socket
from typing import Final

import pytest

from extauthz.service.endpoint import TcpEndpoint
from tests.support.admin_port import WAIT_S, AdminPort

_HOST: Final = b"Host: localhost\r\n"
_REVOKE: Final = b'{"by":"token","value":"' + b"0" * 64 + b'"}'
_LENGTH: Final = b"Content-Length: %d\r\n" % len(_REVOKE)


def _post(headers: bytes, body: bytes = _REVOKE, path: bytes = b"/v1/revocations") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\n" + _HOST + headers + b"\r\n" + body


REQUESTS: Final = {
    # no request line at all
    "nothing": b"",
    "line end": b"\r\n",
    "line ends": b"\r\n\r\n\r\n\r\n",
    "nul bytes": b"\0" * 64,
    "noise": bytes(range(256)),
    "half a line": b"GET /livez",
    "one word": b"GET\r\n\r\n",
    "four words": b"GET / x HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a line of 1 MiB": b"GET /" + b"a" * 1_048_576 + b" HTTP/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 60,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\n" + _HOST + b"\r\n",
    "HTTP/1.10": b"GET / HTTP/1.10\r\n" + _HOST + b"\r\n",
    "a long version": b"GET / HTTP/1." + b"1" * 5_000 + b"\r\n\r\n",
    "method in small letters": b"post /v1/revocations HTTP/1.1\r\n" + _HOST + _LENGTH + b"\r\n" + _REVOKE,
    "unknown method": b"REVOKE /v1/revocations HTTP/1.1\r\n" + _HOST + b"\r\n",
    "CONNECT": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + _HOST + b"\r\n",
    # targets
    "another server": b"GET http://127.0.0.1:22/ HTTP/1.1\r\n" + _HOST + b"\r\n",
    "dots": b"GET /../../etc/passwd HTTP/1.1\r\n" + _HOST + b"\r\n",
    "escaped dots": b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n" + _HOST + b"\r\n",
    "two slashes": b"POST //v1/revocations HTTP/1.1\r\n" + _HOST + _LENGTH + b"\r\n" + _REVOKE,
    "a target with NUL": b"GET /livez\0 HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a target beyond ASCII": b"GET /\xff\xfe HTTP/1.1\r\n" + _HOST + b"\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\n" + _HOST + b"\r\n",
    # headers
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "another host": b"GET / HTTP/1.1\r\nHost: attacker.example\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: attacker.example\r\n" + _HOST + b"\r\n",
    "folded header": b"GET / HTTP/1.1\r\nHost: attacker\r\n .example\r\n\r\n",
    "header without colon": b"GET / HTTP/1.1\r\n" + _HOST + b"nonsense\r\n\r\n",
    "header without name": b"GET / HTTP/1.1\r\n" + _HOST + b": x\r\n\r\n",
    "1,000 headers": b"GET / HTTP/1.1\r\n" + _HOST + b"a: b\r\n" * 1_000 + b"\r\n",
    "a header of 1 MiB": b"GET / HTTP/1.1\r\n" + _HOST + b"a: " + b"b" * 1_048_576 + b"\r\n\r\n",
    "bare line ends": b"GET / HTTP/1.1\nHost: attacker.example\n\n",
    # bodies, none with the admin token
    "no credentials": _post(_LENGTH),
    "empty bearer": _post(b"Authorization: Bearer \r\n" + _LENGTH),
    "wrong bearer": _post(b"Authorization: Bearer " + b"x" * 32 + b"\r\n" + _LENGTH),
    "bearer beyond ASCII": _post(b"Authorization: Bearer \xff\xff\r\n" + _LENGTH),
    "two authorizations": _post(b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n" + _LENGTH),
    "no length": _post(b""),
    "negative length": _post(b"Content-Length: -1\r\n"),
    "length of a word": _post(b"Content-Length: many\r\n"),
    "length beyond 64 bits": _post(b"Content-Length: " + b"9" * 40 + b"\r\n"),
    "two lengths": _post(_LENGTH + b"Content-Length: 1\r\n"),
    "length and chunks": _post(_LENGTH + b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "chunks": _post(b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    "a second request behind": _post(_LENGTH, _REVOKE + _post(_LENGTH)),
    "an upgrade": b"GET / HTTP/1.1\r\n" + _HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "expectation": _post(b"Expect: 100-continue\r\n" + _LENGTH),
}


def answer_of(port: int, request: bytes) -> bytes:
    """All that the port says until it closes; the client sends nothing more after its request."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as client:
        received = b""
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65_536):
                received += chunk
        except OSError:
            pass  # closed before all was sent or read; a socket that waited too long says so by what is missing
        return received


def test_there_are_49() -> None:
    assert len(REQUESTS) == 49


@pytest.mark.parametrize("name", REQUESTS)
def test_a_raw_request_changes_and_shows_nothing(name: str) -> None:
    with AdminPort() as port:
        assert isinstance(port.server.address, TcpEndpoint)
        received = answer_of(port.server.address.port, REQUESTS[name])
        assert port.in_force == set()
        assert port.ask("GET", "/livez").status == 200
    for secret in port.admin_tokens:
        assert secret not in received
    assert b"Traceback" not in received
    if b"attacker" in REQUESTS[name] or name.startswith(
        ("no credentials", "no length", "two ", "wrong", "empty", "bearer", "length", "chunk")
    ):
        assert not received.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2"))
