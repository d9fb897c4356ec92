"""The official conformance suite finds the same through Envoy and the service as without them.

A server with what the suite asks for is tested twice: at its own address, and behind an Envoy that adds a token to each
request, the rendered Envoy and `extauthz serve`. Outcomes are compared check by check; which of them pass is the
server's affair.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.request import urlopen

import pytest
import yaml

from extauthz.demo import programs
from extauthz.demo.processes import LOOPBACK, Program, accepts_tcp, free_port
from extauthz.demo.system import Addresses, System
from tests.e2e.client_environments import UnavailableError, digest_of, made_once, node, node_major, npm, run_to_end

HERE = Path(__file__).parent
SUITE = HERE / "suite"
LEAST_NODE = 22
SUITE_WITHIN_S = 150
REVISIONS = ("2025-11-25", "2026-07-28")
# Scenarios that the suite has for each: fewer would mean that it did not run.
LEAST_SCENARIOS = 25
# Each scenario is a few requests: that they came by the service is seen in Envoy's own count.
LEAST_CHECKS = 60
SCOPE = "everything:use"
EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"

Outcomes: TypeAlias = dict[str, list[tuple[str, str]]]
"""By scenario: checks and their status, sorted."""


def suite() -> tuple[Path, Path]:
    """A Node that runs the suite, and the suite's program."""
    runtime = node()
    files = ("package.json", "package-lock.json")
    digest = digest_of(b"".join((SUITE / file).read_bytes() for file in files))

    def make(folder: Path) -> None:
        folder.mkdir()
        for file in files:
            shutil.copy(SUITE / file, folder / file)
        path = os.pathsep.join([str(runtime.parent), os.environ.get("PATH", "")])
        run_to_end([*npm(runtime), "ci", "--no-audit", "--no-fund"], folder, {"PATH": path})

    modules = made_once(f"conformance-{digest}", make) / "node_modules"
    candidates = [runtime, *modules.glob("node-linux-*/bin/node")]
    for candidate in candidates:
        if node_major(candidate) >= LEAST_NODE:
            return candidate, modules / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    raise UnavailableError(f"there is no Node >= {LEAST_NODE}, and none for this machine among the packages")


def policy(public: str, *, header_only: bool) -> Callable[[Addresses], str]:
    """Everything is allowed to whoever has the one scope."""

    def text(addresses: Addresses) -> str:
        document = {
            "version": 1,
            "issuers": {
                "demo": {
                    "issuer": addresses.issuer,
                    "jwks_uri": addresses.jwks,
                    "profile": "casdoor",
                    "organizations": ["acme"],
                }
            },
            "resources": {
                "everything": {
                    "uri": f"{public}/mcp",
                    "issuers": ["demo"],
                    "upstream": addresses.upstream,
                    "scopes": {SCOPE: {"description": "Everything"}},
                    "baseline": [SCOPE],
                    "rules": [{"methods": ["*"], "scopes": [SCOPE]}],
                    "header_only": header_only,
                    "origins": [public, public.replace(LOOPBACK, "localhost")],
                }
            },
        }
        return yaml.safe_dump(document, sort_keys=False)

    return text


def injector(folder: Path, port: int, to: int, token: str) -> Program:
    """An Envoy that adds the token to each request and changes nothing else."""
    added = {
        "header": {"key": "authorization", "value": f"Bearer {token}"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "next", "timeout": "0s"}, "request_headers_to_add": [added]}
    manager = {
        "@type": f"{EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "injector",
        "stream_idle_timeout": "0s",
        "server_header_transformation": "PASS_THROUGH",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{EXTENSIONS}.http.router.v3.Router"},
            }
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    next_hop = {
        "name": "next",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "next",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(to)}}]}],
        },
    }
    admin_port = free_port()
    config = folder / "injector.yaml"
    listener = {"name": "in", "address": _address(port), "filter_chains": [chain]}
    bootstrap = {
        "admin": {"address": _address(admin_port)},
        "static_resources": {"listeners": [listener], "clusters": [next_hop]},
    }
    config.write_text(json.dumps(bootstrap))
    own = folder / "injector"
    own.mkdir()
    return programs.envoy(own, config=config, port=port, admin_port=admin_port)


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


def outcomes(url: str, revision: str, folder: Path) -> Outcomes:
    """Run the suite of a revision against a server."""
    runtime, program = suite()
    ended = subprocess.run(
        [str(runtime), str(program), "server", "--url", url, "--requirements", revision, "-o", str(folder)],
        capture_output=True,
        text=True,
        timeout=SUITE_WITHIN_S,
        check=False,
    )
    found: Outcomes = {}
    for checks in folder.glob("*/checks.json"):
        scenario = re.sub(r"-\d{4}-\d\d-\d\dT[-\dZ]*$", "", checks.parent.name)
        found[scenario] = sorted((check["id"], check["status"]) for check in json.loads(checks.read_text()))
    assert len(found) >= LEAST_SCENARIOS, (ended.stdout + ended.stderr)[-3000:]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The server's own address, the one with the service in between, and the system that is in between."""

    direct: str
    through: str
    system: System

    def allowed(self) -> int:
        """How many requests Envoy has let through on the service's word."""
        url = f"http://{LOOPBACK}:{self.system.envoy_admin_port}/stats?format=json&filter=ext_authz.*ok$"
        with urlopen(url, timeout=SUITE_WITHIN_S) as answer:
            return sum(stat["value"] for stat in json.load(answer)["stats"] if "value" in stat)


@pytest.fixture(scope="module", params=[False, True], ids=["bodies", "header-only"])
def setting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """Everything running, with requests decided on by their bodies, or by their headers where these settle them."""
    try:
        suite()
    except UnavailableError as error:
        if os.environ.get("CI"):
            pytest.fail(f"the conformance suite is not there, and in CI it must be: {error}")
        pytest.skip(f"the conformance suite cannot be had: {error}")
    folder = tmp_path_factory.mktemp("transparency")
    port = free_port()
    public = f"http://{LOOPBACK}:{port}"
    direct: list[str] = []

    def told(given: Addresses) -> str:
        direct.append(given.upstream)
        return policy(public, header_only=request.param)(given)

    system = System(folder, policy=told)
    upstream_port = int(direct[0].rsplit(":", 1)[1].partition("/")[0])
    system.mcp_server = Program(
        "the everything server",
        [sys.executable, str(HERE / "everything_server.py"), "--port", str(upstream_port)],
        log=folder / "everything.log",
        ready=accepts_tcp(upstream_port),
        environment=programs.clean_environment(),
    )
    with system:
        token = system.issuer.token("alice", resource=f"{public}/mcp", scopes=[SCOPE]).access_token
        with injector(folder, port, system.port, token):
            yield Setting(direct=direct[0], through=f"{public}/mcp", system=system)


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("revision", REVISIONS)
def test_the_suite_finds_the_same_through_the_service(setting: Setting, revision: str, tmp_path: Path) -> None:
    direct = outcomes(setting.direct, revision, tmp_path / "direct")
    before = setting.allowed()
    through = outcomes(setting.through, revision, tmp_path / "through")
    allowed = setting.allowed() - before
    passed = sum(status == "SUCCESS" for checks in direct.values() for _, status in checks)
    checks = sum(map(len, direct.values()))
    print(f"{revision}: {len(direct)} scenarios, {checks} checks, {passed} passed; {allowed} requests allowed")
    assert through == direct
    assert allowed >= LEAST_CHECKS
