"""`extauthz attack` against the whole system, where nothing may get through, and against the MCP server alone."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, Final

import pytest

from extauthz.cli import run
from extauthz.demo.system import System

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("system")]
TOOLS: Final = ("--tool", "get_forecast", "--arguments", '{"city": "Oslo"}', "--forbidden-tool", "purge")
URI: Final = ("--forbidden-uri", "docs://vault/2026/secret_plan-v1~draft")
FAST: Final = ("--rate", "1000")
ORIGIN: Final = "http://localhost:6274"


def attacked(capsys: pytest.CaptureFixture[str], url: str, *options: str) -> tuple[int, dict[str, Any]]:
    code = run(["attack", url, *TOOLS, *URI, *FAST, "--json", *options])
    output = capsys.readouterr()
    assert output.out, output.err
    found: dict[str, Any] = json.loads(output.out)
    return code, found


def token_file(system: System, folder: Path) -> str:
    file = folder / "token"
    granted = system.issuer.token("alice", resource=f"{system.url}/mcp", scopes=["weather:read"])
    file.write_text(granted.access_token)
    return str(file)


def token_set(system: System, folder: Path) -> str:
    """Tokens of the same issuer that this resource has to refuse."""
    resource = f"{system.url}/mcp"

    def issued(user: str = "alice", **changes: Any) -> str:
        return system.issuer.token(user, resource=resource, scopes=["weather:read"], claims=changes).access_token

    pair = system.issuer.token("alice", resource=resource, scopes=["weather:read"])
    tokens = {
        "expired": issued(exp=1_600_000_000, nbf=1_500_000_000, iat=1_500_000_000),
        "not-yet-valid": issued(nbf=4_000_000_000),
        "other-audience": system.issuer.token(
            "alice", resource=f"{system.url}/notes/mcp", scopes=["weather:read"]
        ).access_token,
        "other-issuer": issued(iss="https://attacker.invalid"),
        "other-organization": issued(owner="globex"),
        "refresh-token": pair.refresh_token,
        "id-token": issued(tokenType="id-token"),
        "without-audience": issued(aud=None),
        "without-expiry": issued(exp=None),
        "without-subject": issued(sub=None),
        "without-scope": issued(scope=""),
        "other-user": system.issuer.token("bob", resource=resource, scopes=["weather:read"]).access_token,
    }
    file = folder / "tokens.json"
    file.write_text(json.dumps(tokens))
    return str(file)


def test_nothing_gets_through_envoy_and_the_service(
    system: System, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    junit = tmp_path / "junit.xml"
    code, report = attacked(
        capsys,
        f"{system.url}/mcp",
        *("--token-file", token_file(system, tmp_path), "--tokens", token_set(system, tmp_path)),
        *("--origin", ORIGIN, "--junit", str(junit)),
    )
    failed = [case for case in report["cases"] if case["verdict"] in ("got through", "control refused")]
    assert failed == []
    assert code == 0
    skipped = {case["id"] for case in report["cases"] if case["verdict"] == "skipped"}
    # No tool of this server takes a number and a boolean that the policy of the demo reads.
    assert {one for one in skipped if not one.startswith("arguments/")} == {"tokens/foreign-key", "tokens/revoked"}
    otherwise = [(case["id"], case["seen"]) for case in report["cases"] if case["verdict"] == "refused otherwise"]
    assert otherwise == []
    suites = ET.parse(junit).getroot()
    assert (suites.get("failures"), suites.get("tests")) == ("0", str(len(report["cases"])))


def test_the_server_alone_lets_much_through(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    """What is known of this server (python-sdk 2.3): the last of two names wins, and Python reads NaN and UTF-16."""
    port = system.mcp_server.arguments[-1]
    some = [f"--only={one}" for one in ("duplicates/name-*", "json/nan", "encoding/utf-16-le", "targets/forbidden")]
    code, report = attacked(capsys, f"http://127.0.0.1:{port}/mcp", "--only=controls/*", *some)
    assert code == 1
    assert {
        "duplicates/name-permitted-then-forbidden/modern",
        "duplicates/name-permitted-then-forbidden/legacy",
        "json/nan/legacy",
        "encoding/utf-16-le/modern",
        "targets/forbidden/modern",
    } <= {case["id"] for case in report["cases"] if case["verdict"] == "got through"}
    assert "control refused" not in {case["verdict"] for case in report["cases"]}
