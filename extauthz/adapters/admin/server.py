"""The admin port: `/livez`, `/readyz`, `/metrics`, the status page `/`, and what can be done (`actions`).

It is for operators, probes, scrapers and the events of issuers: it listens on loopback unless told otherwise. Each
connection serves one request and lives for `MAX_CONNECTION_S` at most; when too many are open, the oldest is closed, so
that a client that says nothing cannot keep probes out.
"""

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, cast

from extauthz.adapters.admin.actions import MAX_BODY_BYTES, AdminActions, AdminAnswer, AdminRequest
from extauthz.adapters.admin.page import CONTENT_SECURITY_POLICY, page
from extauthz.adapters.admin.status import StatusSource
from extauthz.adapters.listening import ListenFault, claim, parse_listen
from extauthz.service.endpoint import TcpEndpoint, UnixEndpoint

MAX_CONNECTIONS: Final = 32
"""Connections at once: probes, a scraper and a few people. Each costs a thread."""
MAX_CONNECTION_S: Final = 5.0
"""From accepting a connection to its end, whatever the client does."""
LOOK_EVERY_S: Final = 0.5
"""How often connections are looked over for being too old."""
SOCKET_MODE: Final = 0o660
"""Permissions of a Unix socket: the service's user and group."""

MAX_THROWN_AWAY_BYTES: Final = 4 * 1024 * 1024
"""Of a body that is too large: as much as is read so that its sender learns why."""

_LOOKING: Final = ("GET", "HEAD")
_LENGTH: Final = re.compile(r"[0-9]{1,10}")
_OTHER_NAME: Final = b"ask for localhost: this port is for this machine only\n"
_TEXT: Final = "text/plain; charset=utf-8"
_HTML: Final = "text/html; charset=utf-8"
_JSON: Final = "application/json"

_log = logging.getLogger("extauthz.admin")

Exposition = Callable[[str], tuple[bytes, str]]
"""From an `Accept` header to all metrics and their content type."""


class AdminServer:
    """Made, started, stopped. Without `actions` there is nothing to be done here but to look."""

    def __init__(
        self,
        *,
        listen: str,
        source: StatusSource,
        exposition: Exposition,
        actions: AdminActions | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        """`redact` cuts secrets out of all that is answered. Raises `ListenFault` for an address that is none."""
        self._redact = redact
        self._address = parse_listen(listen)
        self._source = source
        self._exposition = exposition
        self._actions = actions
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> TcpEndpoint | UnixEndpoint:
        """Where the server listens: once started, with the port that a port of 0 became."""
        return self._address

    def start(self) -> None:
        """Listen, and serve in threads. Raises `ListenFault`."""
        claim(self._address)
        try:
            self._server = _Server(self._address, self._source, self._exposition, self._actions, self._redact)
        except OSError as error:
            raise ListenFault(f"cannot listen on {self._address}: {error.strerror or error}: choose another") from error
        if isinstance(self._address, TcpEndpoint):
            self._address = TcpEndpoint(self._address.host, int(self._server.server_address[1]))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(LOOK_EVERY_S,), name="extauthz-admin", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening. Safe to call twice, or without `start`."""
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.shutdown()
        self._thread.join()
        server.server_close()
        if isinstance(self._address, UnixEndpoint):
            Path(self._address.path).unlink(missing_ok=True)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Threads are not waited for at the end: each ends with its connection.
    block_on_close = False
    request_queue_size = MAX_CONNECTIONS

    def __init__(
        self,
        address: TcpEndpoint | UnixEndpoint,
        source: StatusSource,
        exposition: Exposition,
        actions: AdminActions | None,
        redact: Callable[[str], str],
    ) -> None:
        self.source = source
        self.redact = redact
        self.exposition = exposition
        self.actions = actions
        self.loopback = isinstance(address, UnixEndpoint) or _is_loopback(address.host)
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        where: Any
        match address:
            case UnixEndpoint(path=where):
                self.address_family = socket.AF_UNIX
            case TcpEndpoint(host=host, port=port):
                self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
                where = (host, port)
        super().__init__(where, _Handler)

    def server_bind(self) -> None:
        """As the parent's, without its search for a name of the host, which can take seconds."""
        if self.address_family != socket.AF_UNIX:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "extauthz", 0
        if self.address_family == socket.AF_UNIX:
            Path(str(self.server_address)).chmod(SOCKET_MODE)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, at the cost of the oldest when there are too many."""
        connection, peer = super().get_request()
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                _cut(next(iter(self._open)))
            self._open[connection] = time.monotonic()
        return connection, peer

    def service_actions(self) -> None:
        """Between requests: end what has lasted too long."""
        oldest = time.monotonic() - MAX_CONNECTION_S
        with self._lock:
            for connection, since in self._open.items():
                if since < oldest:
                    _cut(connection)

    def shutdown_request(self, request: Any) -> None:
        """The connection has been served."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the parent's signature
        """A client that went away, or a fault of ours: the parent prints a traceback, which may hold anything."""
        _log.debug("a connection to the admin port broke off")


def _cut(connection: socket.socket) -> None:
    """End a connection that a thread may be reading from; the thread closes it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Unread(Exception):
    """The body cannot be had; the message tells the client why."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server_version = "extauthz"
    sys_version = ""
    timeout = MAX_CONNECTION_S

    @property
    def _admin(self) -> _Server:
        return cast("_Server", self.server)

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if self.command not in self._methods():
            self.send_error(HTTPStatus.METHOD_NOT_ALLOWED)
            return
        headers: tuple[tuple[str, str], ...] = ()
        try:
            if self._admin.loopback and not self._asked_by_loopback_name():
                status, content_type, body = HTTPStatus.MISDIRECTED_REQUEST, _TEXT, _OTHER_NAME
            elif (told := self._act()) is not None:
                status, content_type, body, headers = told.status, _JSON, told.body, told.headers
            else:
                status, content_type, body = self._content()
        except _Unread as unread:
            status, content_type, body = unread.status, _TEXT, f"{unread}\n".encode()
        except Exception as error:  # noqa: BLE001 - the outermost handler of a request; the client learns no more than that
            _log.error("a request to the admin port failed: %s", type(error).__name__)
            status, content_type, body = HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT, b"this failed: see the log\n"
        if content_type in (_TEXT, _HTML, _JSON):
            # Not metrics: their labels are words of ours and of the policy, and must stay what they are.
            body = self._admin.redact(body.decode("utf-8", "replace")).encode("utf-8", "replace")
        self._send(status, content_type, b"" if self.command == "HEAD" else body, length=len(body), further=headers)

    def _methods(self) -> tuple[str, ...]:
        actions = self._admin.actions
        return (actions.methods(self.path.partition("?")[0]) if actions is not None else ()) or _LOOKING

    def _act(self) -> AdminAnswer | None:
        """Do what the request asks for; None where the path is one to look at. Raises `_Unread`."""
        path, _, query = self.path.partition("?")
        actions = self._admin.actions
        if actions is None or not actions.methods(path):
            return None
        names = [name.lower() for name in self.headers]
        headers = {name: self.headers[name] for name in names if names.count(name) == 1}
        allowed = actions.max_body_bytes(path, headers.get("authorization", ""))
        body = self._body(allowed) if self.command == "POST" else b""
        return actions.answer(AdminRequest(method=self.command, path=path, query=query, headers=headers, body=body))

    def _body(self, allowed: int) -> bytes:
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
            raise _Unread(HTTPStatus.LENGTH_REQUIRED, "send the body whole, with its Content-Length")
        length = int(lengths[0])
        try:
            if length > allowed:
                # Read and thrown away: closing a connection with unread bytes takes the answer from the client.
                thrown_away = min(length, MAX_THROWN_AWAY_BYTES)
                for start in range(0, thrown_away, MAX_BODY_BYTES):
                    self.rfile.read(min(MAX_BODY_BYTES, thrown_away - start))
                _log.warning(
                    "a request to the admin port was not read: %d bytes, at most %d are taken", length, allowed
                )
                raise _Unread(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"send at most {allowed} bytes")
            body = self.rfile.read(length)
        except OSError as error:
            raise _Unread(HTTPStatus.REQUEST_TIMEOUT, f"send the body within {MAX_CONNECTION_S:g} s") from error
        if len(body) < length:
            raise _Unread(HTTPStatus.BAD_REQUEST, "the body broke off")
        return body

    def _content(self) -> tuple[HTTPStatus, str, bytes]:
        match self.path.partition("?")[0]:
            case "/livez":
                return HTTPStatus.OK, _TEXT, b"alive\n"
            case "/readyz":
                return self._readiness()
            case "/metrics":
                body, content_type = self._admin.exposition(self.headers.get("Accept", ""))
                return HTTPStatus.OK, content_type, body
            case "/":
                return HTTPStatus.OK, _HTML, page(self._admin.source.status(), time.time()).encode("utf-8", "replace")
            case _:
                return HTTPStatus.NOT_FOUND, _TEXT, b"nothing here: see /, /livez, /readyz, /metrics\n"

    def _readiness(self) -> tuple[HTTPStatus, str, bytes]:
        components = self._admin.source.components()
        ready = bool(components) and all(component.ready for component in components)
        told = {
            "ready": ready,
            "components": [
                {"name": one.name, "ready": one.ready, **({"detail": one.detail} if one.detail else {})}
                for one in components
            ],
        }
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return status, _JSON, json.dumps(told).encode() + b"\n"

    def _asked_by_loopback_name(self) -> bool:
        """Whether the request was meant for this machine.

        A page in an operator's browser can have its own name point here (DNS rebinding); it cannot name another host.
        """
        host = self.headers.get("Host", "localhost")
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        return _is_loopback(name)

    def _send(
        self,
        status: HTTPStatus,
        content_type: str,
        body: bytes,
        *,
        length: int,
        further: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", content_type),
            ("Content-Length", str(length)),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Connection", "close"),
            *further,
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the parent refuses by itself: a request line or headers that are none, or another method."""
        del message, explain
        if code in (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.METHOD_NOT_ALLOWED):
            self.send_response(HTTPStatus.METHOD_NOT_ALLOWED)
            self.send_header("Allow", ", ".join(self._methods()))
        else:
            self.send_response(code)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def version_string(self) -> str:
        """The name without a version: whoever may know it finds it on the status page."""
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's signature
        """Probes and scrapes are not worth a line each."""


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
