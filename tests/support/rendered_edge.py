"""A real Envoy on a rendered bootstrap, between a recording MCP server and a scripted authorization service.

with RecordingUpstream() as upstream, ScriptedAuthz() as authz:
    bootstrap = render(policy(resource(upstream=upstream.url)), Edge(listen=..., authz=(authz.endpoint,)))
    with envoy(bootstrap, tmp_path, port) as program:
        answer = ask(port, "POST", "/weather/mcp", host="mcp.example.com")
"""

import http.client
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from extauthz.config.render.envoy.bootstrap import Rendered, render_envoy
from extauthz.config.render.envoy.edge import Edge
from extauthz.demo.processes import Probe, Program, free_port
from extauthz.pdp.policy import Policy
from extauthz.service.endpoint import TcpEndpoint
from extauthz.wire.check_pb2 import CheckRequest, CheckResponse, HeaderValue, HeaderValueOption

ENVOY = Path(sys.executable).with_name("envoy")
LOOPBACK = "127.0.0.1"
WAIT_S = 10.0

_OK = 0
_PERMISSION_DENIED = 7
_SERVING = b"\x08\x01"
_NOT_SERVING = b"\x08\x02"


def loopback(port: int) -> TcpEndpoint:
    """An endpoint on loopback."""
    return TcpEndpoint(host=LOOPBACK, port=port)


def render(policy: Policy, edge: Edge) -> str:
    """The text; fails the test with the faults when there is none."""
    rendered = render_envoy(policy, edge)
    assert isinstance(rendered, Rendered), rendered
    return rendered.text


def envoy(bootstrap: str, folder: Path, admin_port: int) -> Program:
    """An Envoy on this bootstrap, ready when its admin interface says so."""
    config = folder / "envoy.yaml"
    config.write_text(bootstrap, encoding="utf-8")
    arguments = [str(ENVOY), "--config-path", str(config), "--disable-hot-restart", "--concurrency", "1"]
    return Program(
        "envoy", [*arguments, "--log-level", "warning"], log=folder / "envoy.log", ready=_answers_ready(admin_port)
    )


def _answers_ready(port: int) -> Probe:
    def probe() -> bool:
        try:
            return ask(port, "GET", "/ready", host="admin").status == 200
        except OSError:
            return False

    return probe


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a client got."""

    status: int
    headers: Mapping[str, list[str]]
    body: bytes

    def header(self, name: str) -> str:
        """The one value of a header; fails when it came twice."""
        values = self.headers.get(name, [])
        assert len(values) <= 1, f"{name}: {values}"
        return values[0] if values else ""


def ask(
    port: int,
    method: str,
    path: str,
    *,
    host: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """One HTTP/1.1 request with the path and the names exactly as given."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=WAIT_S)
    if tls is not None:
        connection = http.client.HTTPSConnection(LOOPBACK, port, timeout=WAIT_S, context=tls)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"host": host, **(headers or {})}.items():
            connection.putheader(name, value)
        if body or method == "POST":
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        found: dict[str, list[str]] = {}
        for name, value in response.getheaders():
            found.setdefault(name.lower(), []).append(value)
        return Answer(status=response.status, headers=found, body=response.read())
    finally:
        connection.close()


@dataclass(kw_only=True)
class Seen:
    """One request as it reached the MCP server."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away (an Envoy that is stopped) is nothing to report."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@dataclass
class RecordingUpstream:
    """An MCP server's HTTP side: answers 200 with `upstream` and keeps every request.

    `…/redirect` names the server by its own address. `GET …/events` streams: one event, then nothing until `go_on` is
    set, then another. With `tls` it speaks HTTPS.
    """

    tls: ssl.SSLContext | None = None
    host: str = LOOPBACK
    seen: list[Seen] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    _server: _Server | None = None

    def __enter__(self) -> Self:
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and body are two writes: 40 ms apart otherwise

            def answer(self) -> None:
                body = self.body()
                headers = {name.lower(): value for name, value in self.headers.items()}
                recorder.seen.append(Seen(method=self.command, path=self.path, headers=headers, body=body))
                if self.path.endswith("/events"):
                    self.stream()
                    return
                if self.path.endswith("/redirect"):
                    self.send_response(307)
                    for name in ("location", "content-location", "refresh"):
                        self.send_header(name, f"http://{recorder.host}:{recorder.port}/mcp")
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("content-length", "8")
                self.send_header("mcp-session-id", "s-1")
                self.end_headers()
                self.wfile.write(b"upstream")

            def body(self) -> bytes:
                if self.headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length", 0)))
                chunks = []
                while size := int(self.rfile.readline(), 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            def stream(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for event in (b"data: 1\n\n", b"data: 2\n\n"):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
                    self.wfile.flush()
                    recorder.go_on.wait(WAIT_S)
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
                pass

        for method in ("GET", "POST", "DELETE", "OPTIONS", "PUT"):
            setattr(Handler, f"do_{method}", Handler.answer)

        self._server = _Server((self.host, free_port()), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def url(self, path: str = "") -> str:
        """The `upstream` of a resource."""
        return f"{'http' if self.tls is None else 'https'}://{self.host}:{self.port}{path}"


def allow(
    set_headers: Mapping[str, str] | None = None,
    *,
    remove: tuple[str, ...] = ("authorization",),
    metadata: Mapping[str, str] | None = None,
) -> CheckResponse:
    """Let it pass."""
    response = CheckResponse()
    response.status.code = _OK
    response.ok_response.headers.extend(_options(set_headers or {}))
    response.ok_response.headers_to_remove.extend(remove)
    response.dynamic_metadata.update(metadata or {})
    return response


def deny(status: int, headers: Mapping[str, str] | None = None, *, body: str = "") -> CheckResponse:
    """Refuse it."""
    response = CheckResponse()
    response.status.code = _PERMISSION_DENIED
    response.denied_response.status.code = status  # type: ignore[assignment] # the stub knows names only
    response.denied_response.headers.extend(_options(headers or {}))
    response.denied_response.body = body
    return response


def _options(headers: Mapping[str, str]) -> list[HeaderValueOption]:
    return [HeaderValueOption(header=HeaderValue(key=key, value=value)) for key, value in headers.items()]


class ScriptedAuthz:
    """An ext_authz service over real gRPC whose answer is `answer(request)`; keeps every check."""

    def __init__(self, port: int | None = None, *, credentials: grpc.ServerCredentials | None = None) -> None:
        self.port = free_port() if port is None else port
        self.credentials = credentials
        self.checks: list[CheckRequest] = []
        self.answer: Callable[[CheckRequest], CheckResponse] = lambda _: allow()
        self.serving = True
        self._server: grpc.Server | None = None

    @property
    def endpoint(self) -> TcpEndpoint:
        """Where it listens."""
        return loopback(self.port)

    def __enter__(self) -> Self:
        self._server = grpc.server(ThreadPoolExecutor(max_workers=4))
        check = grpc.unary_unary_rpc_method_handler(
            self._check,
            request_deserializer=CheckRequest.FromString,
            response_serializer=CheckResponse.SerializeToString,
        )
        health = grpc.unary_unary_rpc_method_handler(
            lambda _request, _context: _SERVING if self.serving else _NOT_SERVING
        )
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", {"Check": check}),
                grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": health}),
            ]
        )
        address = f"{LOOPBACK}:{self.port}"
        if self.credentials is None:
            assert self._server.add_insecure_port(address) == self.port
        else:
            assert self._server.add_secure_port(address, self.credentials) == self.port
        self._server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End at once, with whatever is under way."""
        if self._server is not None:
            self._server.stop(grace=None).wait(WAIT_S)
            self._server = None

    def _check(self, request: CheckRequest, _context: grpc.ServicerContext) -> CheckResponse:
        self.checks.append(request)
        return self.answer(request)


def resources_asked(checks: list[CheckRequest]) -> list[str]:
    """The resource that the route named, for each check."""
    return [check.attributes.context_extensions["resource"] for check in checks]
