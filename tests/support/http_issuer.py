"""A real HTTP server on loopback that answers what a test tells it to, and remembers what it was asked.

    with HttpIssuer() as issuer:
        issuer.answer("/jwks", body=key_set_document())
        ...
        assert [seen.path for seen in issuer.seen] == ["/jwks"]

With `tls=self_signed(folder)[1]` it speaks HTTPS for `localhost` and 127.0.0.1.
"""

import datetime as dt
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.certificates import CA_USAGE

HANG_AT_MOST_S: Final = 30.0
"""A handler told to hang goes on after this even when the test forgets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(slots=True, kw_only=True)
class Answer:
    """What to send. `chunks` go out one after the other; with `hang` nothing follows them until the server stops."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Iterable[bytes] = ()
    hang: bool = False


class HttpIssuer:
    """Answers by path; 404 with an HTML page where nothing was said."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[Seen] = []
        self._answers: dict[str, Answer] = {}
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "http" if tls is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def answer(
        self,
        path: str,
        *,
        body: bytes | Mapping[str, Any] | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        chunks: Iterable[bytes] = (),
        hang: bool = False,
    ) -> None:
        """From now on. `body` is sent with its length, `chunks` without (the connection's end is the body's)."""
        sent = dict(headers or {})
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent = {"content-length": str(len(data))} | sent
            chunks = (data,)
        self._answers[path] = Answer(status=status, headers=sent, chunks=chunks, hang=hang)

    def count(self, path: str) -> int:
        """How often `path` was asked for."""
        return sum(seen.path == path for seen in self.seen)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                issuer.seen.append(Seen(method=self.command, path=self.path, headers=headers, body=body))
                issuer.send(self)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

    def send(self, handler: BaseHTTPRequestHandler) -> None:
        answer = self._answers.get(handler.path)
        if answer is None:
            answer = Answer(status=404, headers={"content-type": "text/html"}, chunks=(b"<html>not here</html>",))
        handler.close_connection = "content-length" not in answer.headers
        try:
            handler.send_response(answer.status)
            for name, value in answer.headers.items():
                handler.send_header(name, value)
            if handler.close_connection:
                handler.send_header("connection", "close")
            handler.end_headers()
            for chunk in answer.chunks:
                handler.wfile.write(chunk)
                handler.wfile.flush()
            if answer.hang:
                self._released.wait(HANG_AT_MOST_S)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True  # the client has had enough


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that breaks off (a refused certificate) is what some tests want."""


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost and issuer.test, its own CA: the PEM file to trust, and the server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "extauthz test")])
    start = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    names = [x509.DNSName("localhost"), x509.DNSName("issuer.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=10))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(CA_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate = folder / "ca.pem"
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    secret = folder / "key.pem"
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, secret)
    return certificate, context
