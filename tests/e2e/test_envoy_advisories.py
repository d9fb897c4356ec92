"""Published advisories about proxies, tried on a real Envoy in front of the real service: each test named after one.

The issuer behind them publishes a key set of nonsense and then nothing at all, which is what some of them needed.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from extauthz.config.policy_file.policy_file import load_policy
from extauthz.config.render.envoy.edge import Edge
from extauthz.demo.processes import LOOPBACK, Program, free_port
from extauthz.pdp.policy import Policy
from extauthz.service.endpoint import TcpEndpoint
from tests.support import tokens
from tests.support.checks import message
from tests.support.http_issuer import HttpIssuer
from tests.support.rendered_edge import Answer, RecordingUpstream, ask, envoy, loopback, render
from tests.support.served import Served, policy_text

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("envoy-advisories")]

HOST = "mcp.example.com"
MCP = "/weather/mcp"
PRM = f"/.well-known/oauth-protected-resource{MCP}"
FIXED_SINCE = (1, 38, 0)
"""The first series begun after both fixes were merged: CVE-2025-64527 (2025-12-03), CVE-2026-26330 (2026-03-10)."""


@dataclass(frozen=True, kw_only=True)
class Rig:
    """What runs."""

    port: int
    admin: int
    envoy: Program
    issuer: HttpIssuer
    upstream: RecordingUpstream

    def ask(self, method: str, path: str, *authorization: str, body: bytes = b"") -> Answer:
        """A request with these credentials."""
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        # Header names are told apart by case here, and by Envoy not: the same header more than once.
        names = ("authorization", "Authorization", "AUTHORIZATION")
        headers |= dict(zip(names, authorization, strict=False))
        return ask(self.port, method, path, host=HOST, headers=headers, body=body)

    def admin_says(self, path: str) -> Any:
        """A JSON document of Envoy's admin interface."""
        answer = ask(self.admin, "GET", path, host="admin")
        assert answer.status == 200
        return json.loads(answer.body)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder: Path = tmp_path_factory.mktemp("advisories")
    port, admin = free_port(), free_port()
    with HttpIssuer() as issuer, RecordingUpstream() as upstream:
        issuer.answer("/jwks", body=b'{"keys":[{"kty":"EC","kid":"cert-rs256","crv":"P-256","x":"","y":[]},{},7]}')
        text = policy_text(issuer.url) + f"    upstream: {upstream.url('/mcp')}\n"
        with Served(folder, text) as served:
            policy = load_policy(served.policy)
            assert isinstance(policy, Policy), policy
            edge = Edge(
                listen=loopback(port), admin=loopback(admin), authz=(TcpEndpoint(host=LOOPBACK, port=served.port),)
            )
            with envoy(render(policy, edge), folder, admin) as program:
                yield Rig(port=port, admin=admin, envoy=program, issuer=issuer, upstream=upstream)


def http_filters(tree: Any) -> Iterator[str]:
    """The names of all HTTP filters anywhere in a configuration."""
    if isinstance(tree, dict):
        for one in tree.get("http_filters", ()):
            yield one["name"]
        for value in tree.values():
            yield from http_filters(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from http_filters(value)


def test_cve_2025_64527_two_tokens_and_a_key_set_of_nonsense_bring_no_proxy_down(rig: Rig) -> None:
    """Envoy's own JWT filter crashed on two tokens while keys could not be fetched. It has no part in this."""
    token = f"Bearer {tokens.mint({'scope': 'weather:read'}, now=None)}"
    other = f"Bearer {tokens.mint({'sub': 'other'}, kid='unheard-of', now=None)}"
    for fault in ("nonsense", "gone"):
        if fault == "gone":
            rig.issuer.answer("/jwks", status=500, body=b"")
        assert rig.ask("POST", MCP, token, other, body=message()).status == 400
        assert rig.ask("POST", MCP, token, body=message()).status == 503
        assert rig.ask("POST", MCP, other, body=message()).status == 503
    assert rig.ask("GET", PRM).status == 200
    assert rig.envoy.alive()
    assert not rig.upstream.seen
    assert "envoy.filters.http.jwt_authn" not in set(http_filters(rig.admin_says("/config_dump")))


def test_cve_2026_26330_no_filter_runs_that_is_not_needed(rig: Rig) -> None:
    """Envoy's rate limit filter used memory after it was freed. Of its filters four run, in releases with the fix."""
    assert list(http_filters(rig.admin_says("/config_dump")["configs"][0]["bootstrap"])) == [
        "envoy.filters.http.cors",
        "envoy.filters.http.body_size_limit",
        "envoy.filters.http.ext_authz",
        "envoy.filters.http.router",
    ]
    version = rig.admin_says("/server_info")["version"].split("/")[1]
    assert tuple(map(int, version.split("."))) >= FIXED_SINCE


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "path",
    [
        "/authorize?client_id=a&redirect_uri=https://evil.test/",
        "/consent",
        "/auth/callback?code=stolen&state=s",
        "/token",
        "/register",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/weather/mcp",
        "/.well-known/openid-configuration",
    ],
)
def test_cve_2026_27124_fastmcp_no_login_is_proxied(rig: Rig, method: str, path: str) -> None:
    """An OAuth proxy finished logins that its user had not agreed to. Here there is none: no address takes part."""
    rig.upstream.seen.clear()
    assert rig.ask(method, path, body=b"" if method == "GET" else b"{}").status == 404
    assert not rig.upstream.seen


def test_cve_2026_27124_fastmcp_clients_are_sent_to_the_issuer_itself(rig: Rig) -> None:
    document = json.loads(rig.ask("GET", PRM).body)
    assert document["authorization_servers"] == [tokens.ISSUER]
