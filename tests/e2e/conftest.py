"""The whole system for end-to-end tests: real Envoy, `extauthz serve`, Valkey, an MCP server and a demo issuer.

    def test_x(system: System) -> None:
        system.url                      Envoy: "http://127.0.0.1:PORT"; resources at /mcp (weather), /notes/mcp (notes)
        system.issuer.token("alice", resource=f"{system.url}/mcp", scopes=["weather:read"]).access_token
        system.issuer.rotate_key(…), .stop(), .answer_jwks(…)      see extauthz.demo.issuer.DemoIssuer
        system.extauthz, .envoy, .mcp_server, .valkey              Programs: .pid, .kill(), .start(), .output()
        system.admin_port, .envoy_admin_port, .policy_file, .traces, .audit_line(decision_id)

`system` is shared by all tests of a worker: leave it as you found it, and mark such tests `xdist_group("system")`, so
that only one is started. A test that kills something, changes the policy or the issuer's keys takes `own_system`,
which takes a few seconds to start.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from extauthz.demo.issuer import DemoIssuer
from extauthz.demo.system import Addresses, System


def two_resources(addresses: Addresses) -> str:
    """Two resources under one host, behind them the same MCP server; the second wants scopes of its own."""
    return f"""\
version: 1
issuers:
  demo:
    issuer: {addresses.issuer}
    jwks_uri: {addresses.jwks}
    profile: casdoor
    organizations: [acme]
    machine_clients: [ops-bot]
resources:
  weather:
    uri: {addresses.public}/mcp
    issuers: [demo]
    audiences: [ops-bot]
    upstream: {addresses.upstream}
    scopes:
      weather:read:  {{description: Read forecasts}}
      weather:write: {{description: Change alerts, includes: [weather:read]}}
    baseline: [weather:read]
    rules:
      - {{methods: [tools/call], tools: [get_*], scopes: [weather:read]}}
      - methods: [tools/call]
        tools: [set_alert]
        scopes: [weather:write]
        when: "principal.organization == 'acme' && args.city != 'Atlantis'"
      - {{methods: [tools/call], tools: [purge], effect: deny}}
      - {{methods: [prompts/get], prompts: [packing_list], scopes: [weather:read]}}
      - {{methods: [resources/read], uris: ["weather://*"], scopes: [weather:read]}}
    origins: ["http://localhost:6274"]
  notes:
    uri: {addresses.public}/notes/mcp
    issuers: [demo]
    upstream: {addresses.upstream}
    scopes:
      notes:read: {{description: Read notes}}
    baseline: [notes:read]
    rules:
      - {{methods: [tools/call], tools: [get_forecast], scopes: [notes:read]}}
"""


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One running system for all tests of a worker."""
    folder = tmp_path_factory.mktemp("system")
    with System(folder, policy=two_resources, issuer=DemoIssuer(consents=True)) as running:
        yield running


@pytest.fixture
def own_system(tmp_path: Path) -> Iterator[System]:
    """A running system for one test, to be broken."""
    with System(tmp_path, policy=two_resources, issuer=DemoIssuer(consents=True)) as running:
        yield running
