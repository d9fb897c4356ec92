"""The official MCP SDKs go through real Envoy from no token to a tool result, and are refused what they must not have.

401 -> metadata from Envoy -> token with `resource` -> call -> 403 step-up -> new token -> call.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extauthz.demo.system import System
from tests.e2e.client_environments import CLIENTS, UnavailableError, node, python_v1, typescript

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("system")]

CLIENT_WITHIN_S = 60
LOG_WITHIN_S = 10
METADATA_ROUTE = "weather-metadata"
"""Name of the rendered route that serves the document of /mcp."""


def run(arguments: list[str]) -> dict[str, Any]:
    """Run a client to its end and return its report."""
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=CLIENT_WITHIN_S, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def environment(make: Callable[[], Path]) -> Path:
    """An environment, or a skip that says why there is none. In CI nothing may be missing."""
    try:
        return make()
    except UnavailableError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"this client cannot be had here: {error}")


def metadata_reads(system: System, *, at_least: int = 0) -> int:
    """How often Envoy has served the resource's metadata, by its access log, which it writes a little later."""
    deadline = time.monotonic() + LOG_WITHIN_S
    while True:
        found = sum(METADATA_ROUTE in line for line in system.envoy.output().splitlines() if line.startswith("{"))
        if found >= at_least or time.monotonic() >= deadline:
            return found
        time.sleep(0.02)


def assert_whole_way(report: dict[str, Any], system: System, *, first_scope: str = "weather:read") -> None:
    """What every client must have got, whatever its SDK."""
    user = system.issuer.realm.user("alice")
    assert user is not None
    assert sorted(report["tools"]) == ["get_forecast", "purge", "set_alert"]
    first, second = report["asked"][0], report["asked"][1]
    assert first_scope in first["scope"].split()
    assert "weather:write" not in first["scope"].split()
    assert "weather:write" in second["scope"].split()
    for asked in report["asked"]:
        assert asked["resource"] == f"{system.url}/mcp"
        assert asked["code_challenge_method"] == "S256"
    for answer in (report["forecast"], report["alert"], report["again"]):
        assert answer["caller"]["headers"]["x-auth-subject"] == user.id
        assert answer["caller"]["token_arrived"] is False
    assert "weather:write" not in report["forecast"]["caller"]["headers"]["x-auth-scopes"].split()
    assert "weather:write" in report["alert"]["caller"]["headers"]["x-auth-scopes"].split()
    assert report["purge"] != "allowed"
    assert report["asked_after_purge"] == 0, "a plain 403 sent the client through another consent"


@pytest.mark.parametrize(("mode", "protocol"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_python_sdk_2_gets_from_no_token_to_a_result(system: System, mode: str, protocol: str) -> None:
    before = metadata_reads(system)
    report = run([sys.executable, str(CLIENTS / "python_v2.py"), f"{system.url}/mcp", "alice", mode])
    assert_whole_way(report, system)
    assert report["protocol"] == protocol
    assert set(report["asked"][1]["scope"].split()) >= {"weather:read", "weather:write"}
    assert len(report["asked"]) == 2
    assert metadata_reads(system, at_least=before + 1) > before


def test_python_sdk_1_gets_from_no_token_to_a_result(system: System) -> None:
    """1.x asks for exactly the challenge's scopes at a step-up, so that `includes` must make them enough."""
    python = environment(python_v1)
    report = run([str(python), str(CLIENTS / "python_v1.py"), f"{system.url}/mcp", "alice"])
    assert_whole_way(report, system)
    assert report["protocol"] == "2025-11-25"
    assert "weather:read" not in report["asked"][1]["scope"].split()
    assert len(report["asked"]) == 2


@pytest.mark.parametrize(("mode", "protocol"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_typescript_sdk_gets_from_no_token_to_a_result(system: System, mode: str, protocol: str) -> None:
    folder = environment(typescript)
    report = run([str(node()), str(folder / "client.mjs"), f"{system.url}/mcp", "alice", mode])
    assert_whole_way(report, system)
    assert report["protocol"] == protocol
    assert set(report["asked"][1]["scope"].split()) >= {"weather:read", "weather:write"}
    assert len(report["asked"]) == 2
