"""The admin port over real sockets."""

import http.client
import json
import logging
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extauthz.adapters.admin import server as admin_http
from extauthz.adapters.admin.server import AdminServer
from extauthz.adapters.admin.status import Component, Status
from extauthz.adapters.listening import ListenFault
from extauthz.pdp.redaction import Redactor
from extauthz.service.endpoint import TcpEndpoint
from tests.support.waiting import eventually

WAIT_S = 20.0


class Source:
    """A status that tests set."""

    def __init__(self) -> None:
        self.parts: tuple[Component, ...] = (Component(name="policy", ready=True),)
        self.fault: Exception | None = None

    def components(self) -> tuple[Component, ...]:
        if self.fault is not None:
            raise self.fault
        return self.parts

    def status(self) -> Status:
        return Status(
            version="1", started_at=0.0, policy_source="p.yaml", policy_revision="r", components=self.components()
        )


def exposition(accept: str) -> tuple[bytes, str]:
    return f"# asked for {accept}\n".encode(), "text/plain; version=1"


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second for each server to notice that it is to stop would add up."""
    monkeypatch.setattr(admin_http, "LOOK_EVERY_S", 0.02)


@pytest.fixture
def server(source: Source) -> Iterator[AdminServer]:
    made = AdminServer(listen="127.0.0.1:0", source=source, exposition=exposition)
    made.start()
    yield made
    made.stop()


def port_of(server: AdminServer) -> int:
    assert isinstance(server.address, TcpEndpoint)
    return server.address.port


def ask(server: AdminServer, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=WAIT_S)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def raw(server: AdminServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(server)), timeout=WAIT_S)


class TestProbes:
    def test_it_is_alive(self, server: AdminServer) -> None:
        response, body = ask(server, "/livez")
        assert (response.status, body) == (200, b"alive\n")

    def test_it_is_ready_when_every_component_is(self, server: AdminServer) -> None:
        response, body = ask(server, "/readyz")
        assert (response.status, response.getheader("Content-Type")) == (200, "application/json")
        assert json.loads(body) == {"ready": True, "components": [{"name": "policy", "ready": True}]}

    def test_one_component_that_is_not_ready_is_enough_and_is_named(self, server: AdminServer, source: Source) -> None:
        source.parts += (Component(name="keys of casdoor", ready=False, detail="no set could be fetched yet"),)
        response, body = ask(server, "/readyz")
        assert response.status == 503
        assert json.loads(body)["components"][1] == {
            "name": "keys of casdoor",
            "ready": False,
            "detail": "no set could be fetched yet",
        }

    def test_a_process_without_components_is_not_ready(self, server: AdminServer, source: Source) -> None:
        source.parts = ()
        assert ask(server, "/readyz")[0].status == 503

    def test_a_query_changes_nothing(self, server: AdminServer) -> None:
        assert ask(server, "/livez?verbose=1")[0].status == 200


class TestPages:
    def test_metrics_come_in_the_form_that_the_scraper_accepts(self, server: AdminServer) -> None:
        response, body = ask(server, "/metrics", Accept="application/openmetrics-text")
        assert body == b"# asked for application/openmetrics-text\n"
        assert response.getheader("Content-Type") == "text/plain; version=1"

    def test_the_status_page_is_guarded_by_its_headers(self, server: AdminServer) -> None:
        response, body = ask(server, "/")
        assert response.getheader("Content-Type") == "text/html; charset=utf-8"
        assert "default-src 'none'" in (response.getheader("Content-Security-Policy") or "")
        assert response.getheader("X-Content-Type-Options") == "nosniff"
        assert response.getheader("Cache-Control") == "no-store"
        assert b"extauthz is ready" in body

    def test_no_answer_names_software_versions(self, server: AdminServer) -> None:
        assert ask(server, "/")[0].getheader("Server") == "extauthz"

    @pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/"])
    def test_head_is_get_without_the_body(self, server: AdminServer, path: str) -> None:
        _, body = ask(server, path)
        with raw(server) as client:
            client.sendall(f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
            answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
        assert f"\r\nContent-Length: {len(body)}\r\n".encode() in answer
        assert answer.endswith(b"\r\n\r\n")
        assert answer.count(b"\r\n\r\n") == 1

    @pytest.mark.parametrize("path", ["/nothing", "/livez/", "/LIVEZ", "/../etc/passwd"])
    def test_everything_else_is_not_found(self, server: AdminServer, path: str) -> None:
        assert ask(server, path)[0].status == 404

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "x"])
    def test_other_methods_are_not_allowed(self, server: AdminServer, method: str) -> None:
        response, body = ask(server, "/livez", method)
        assert (response.status, response.getheader("Allow"), body) == (405, "GET, HEAD", b"")

    def test_a_fault_of_ours_is_not_shown(
        self, server: AdminServer, source: Source, caplog: pytest.LogCaptureFixture
    ) -> None:
        source.fault = ValueError("postgres://user:password@host")
        response, body = ask(server, "/readyz")
        assert response.status == 500
        assert "ValueError" in caplog.text
        assert b"password" not in body
        assert "password" not in caplog.text


class TestHostNames:
    @pytest.mark.parametrize(
        "host", ["localhost", "localhost:9002", "127.0.0.1:1", "[::1]:9002", "LOCALHOST", "127.9.9.9"]
    )
    def test_on_loopback_requests_for_this_machine_are_answered(self, server: AdminServer, host: str) -> None:
        assert ask(server, "/", Host=host)[0].status == 200

    @pytest.mark.parametrize("host", ["attacker.example", "localhost.attacker.example", "10.0.0.1:9002", "", "[::2]"])
    @pytest.mark.parametrize("path", ["/", "/metrics", "/readyz"])
    def test_on_loopback_a_name_of_somebody_elses_is_refused(self, server: AdminServer, path: str, host: str) -> None:
        """DNS rebinding: a page in an operator's browser points its own name here."""
        assert ask(server, path, Host=host)[0].status == 421

    def test_elsewhere_any_name_is_answered(self, source: Source) -> None:
        server = AdminServer(listen="0.0.0.0:0", source=source, exposition=exposition)
        server.start()
        try:
            assert ask(server, "/readyz", Host="extauthz.default.svc:9002")[0].status == 200
        finally:
            server.stop()


class TestBadClients:
    @pytest.mark.parametrize(
        "request_",
        [
            b"\r\n",
            b"\x16\x03\x01\x00",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /" + b"x" * 70_000,
            b"\0" * 100,
        ],
    )
    def test_what_is_no_request_gets_no_page(self, server: AdminServer, request_: bytes) -> None:
        with raw(server) as client:
            client.sendall(request_)
            client.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while got := client.recv(65_536):
                    answer += got
            except ConnectionResetError:
                pass
        assert not answer.startswith(b"HTTP/1.0 200")
        assert b"<" not in answer
        assert ask(server, "/livez")[0].status == 200

    def test_too_many_headers_are_refused(self, server: AdminServer) -> None:
        assert ask(server, "/livez", **{f"x-{number}": "y" for number in range(200)})[0].status == 431

    def test_clients_that_say_nothing_do_not_keep_probes_out(
        self, server: AdminServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(admin_http, "MAX_CONNECTIONS", 4)
        silent = [raw(server) for _ in range(12)]
        try:
            for _ in range(5):
                assert ask(server, "/livez")[0].status == 200
            silent[0].settimeout(admin_http.MAX_CONNECTION_S / 2)
            assert silent[0].recv(1) == b"", "the oldest was closed at once"
        finally:
            for client in silent:
                client.close()

    def test_a_client_that_says_one_byte_at_a_time_is_cut_off(
        self, server: AdminServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(admin_http, "MAX_CONNECTION_S", 0.3)
        ended = threading.Event()
        with raw(server) as client:

            def drip() -> None:
                try:
                    while not ended.wait(0.05):
                        client.send(b"G")
                except OSError:
                    return

            dripping = threading.Thread(target=drip)
            dripping.start()
            try:
                assert client.recv(1) == b""
            finally:
                ended.set()
                dripping.join()

    def test_threads_end_with_their_connections(self, server: AdminServer) -> None:
        before = threading.active_count()
        clients = [raw(server) for _ in range(8)]
        for client in clients:
            client.close()
        assert ask(server, "/livez")[0].status == 200
        eventually(lambda: threading.active_count() <= before, "no thread is left of closed connections")

    def test_nothing_is_logged_for_requests(
        self, server: AdminServer, caplog: pytest.LogCaptureFixture, capfd: Any
    ) -> None:
        caplog.set_level(logging.INFO)
        ask(server, "/livez")
        ask(server, "/nothing")
        assert caplog.text == ""
        assert capfd.readouterr() == ("", "")


class TestAddresses:
    def test_a_busy_port_is_told_with_a_way_out(self, server: AdminServer, source: Source) -> None:
        second = AdminServer(listen=str(server.address), source=source, exposition=exposition)
        with pytest.raises(ListenFault, match="another program listens there: stop it, or choose another address"):
            second.start()
        second.stop()

    def test_a_unix_socket_works_as_well(self, source: Source, tmp_path: Path) -> None:
        path = tmp_path / "admin.sock"
        server = AdminServer(listen=f"unix:{path}", source=source, exposition=exposition)
        server.start()
        try:
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(WAIT_S)
                client.connect(os.fspath(path))
                client.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
                assert client.makefile("rb").read().endswith(b"\r\n\r\nalive\n")
        finally:
            server.stop()
        assert not path.exists()

    def test_after_the_end_nobody_answers(self, server: AdminServer) -> None:
        port = port_of(server)
        server.stop()
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)


@pytest.mark.parametrize("path", ["/", "/readyz"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_secret_is_answered(source: Source, path: str, method: str) -> None:
    secret = "hunter2&hunter2"
    source.parts = (
        Component(name="redis", ready=False, detail=f"ERR unknown command, args: '{secret}' {secret[:12]}"),
    )
    made = AdminServer(listen="127.0.0.1:0", source=source, exposition=exposition, redact=Redactor([secret]).cut)
    made.start()
    try:
        answer, body = ask(made, path, method)
    finally:
        made.stop()
    assert b"hunter2" not in body
    whole = body.count(b"[secret]") == 2 and len(body) == int(answer.headers["Content-Length"])
    assert whole or method == "HEAD"
