"""`extauthz healthcheck` against a real admin port."""

import socket
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from extauthz.adapters.admin.server import AdminServer
from extauthz.adapters.admin.status import Component, Status
from extauthz.cli.healthcheck import healthcheck
from extauthz.service.endpoint import TcpEndpoint

READY = Component(name="policy", ready=True)
WAITING = Component(name="keys of casdoor", ready=False, detail="no set could be fetched yet")


class Source:
    parts: tuple[Component, ...] = (READY,)

    def components(self) -> tuple[Component, ...]:
        return self.parts

    def status(self) -> Status:
        return Status(version="1", started_at=0.0, policy_source="p", policy_revision="r")


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second for each server to notice that it is to stop would add up."""
    monkeypatch.setattr("extauthz.adapters.admin.server.LOOK_EVERY_S", 0.02)


@pytest.fixture
def server(source: Source) -> Iterator[AdminServer]:
    made = AdminServer(listen="127.0.0.1:0", source=source, exposition=lambda _: (b"", ""))
    made.start()
    yield made
    made.stop()


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env={"EXTAUTHZ_ADMIN_LISTEN": None, **environment}).invoke(healthcheck, list(arguments))


def test_a_ready_service_is_ready(server: AdminServer) -> None:
    result = run(f"--admin-listen={server.address}")
    assert (result.exit_code, result.stdout) == (0, "ready\n")


def test_the_address_may_come_from_the_environment(server: AdminServer) -> None:
    assert run(EXTAUTHZ_ADMIN_LISTEN=str(server.address)).exit_code == 0


def test_what_is_not_ready_is_named(server: AdminServer, source: Source) -> None:
    source.parts = (READY, WAITING)
    result = run(f"--admin-listen={server.address}")
    assert result.exit_code == 1
    assert "not ready: keys of casdoor: no set could be fetched yet" in result.output
    assert "policy" not in result.output


def test_alive_does_not_need_ready(server: AdminServer, source: Source) -> None:
    source.parts = (WAITING,)
    result = run("--live", f"--admin-listen={server.address}")
    assert (result.exit_code, result.stdout) == (0, "alive\n")


def test_an_address_that_means_all_of_this_machine_is_asked_on_loopback(source: Source) -> None:
    server = AdminServer(listen="0.0.0.0:0", source=source, exposition=lambda _: (b"", ""))
    server.start()
    try:
        assert run(f"--admin-listen={server.address}").exit_code == 0
    finally:
        server.stop()


def test_a_unix_socket_can_be_asked(source: Source, tmp_path: Path) -> None:
    server = AdminServer(listen=f"unix:{tmp_path / 's'}", source=source, exposition=lambda _: (b"", ""))
    server.start()
    try:
        assert run(f"--admin-listen={server.address}").exit_code == 0
    finally:
        server.stop()


def test_nobody_there_is_told_with_a_way_out(server: AdminServer) -> None:
    address = server.address
    server.stop()
    result = run(f"--admin-listen={address}")
    assert result.exit_code == 1
    assert f"no answer from {address} (Connection refused): start the service, or" in result.output


def test_somebody_else_there_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extauthz.cli.healthcheck.TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.listen()
        result = run(f"--admin-listen={TcpEndpoint('127.0.0.1', other.getsockname()[1])}")
    assert result.exit_code == 1
    assert "no answer from" in result.output


def test_what_is_no_address_is_wrong_usage() -> None:
    result = run("--admin-listen=9002")
    assert result.exit_code == click.UsageError.exit_code
    assert "write host:port" in result.output
