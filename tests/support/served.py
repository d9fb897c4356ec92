"""`extauthz serve` as a child process, asked over real gRPC.

with Served(tmp_path, policy_text(issuer.url)) as served:
    assert served.ask(check_request(token=…)).allowed
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import grpc

from extauthz.demo.processes import LOOPBACK, Program, free_port, serves_grpc
from tests.support.checks import Seen, seen

METHOD: Final = "/envoy.service.auth.v3.Authorization/Check"
ASK_WITHIN_S: Final = 10.0

POLICY: Final = """\
version: 1
cache: {{shared: always}}
issuers:
  casdoor:
    issuer: https://door.casdoor.test
    jwks_uri: {jwks}
    organizations: [acme]
resources:
  weather:
    uri: https://mcp.example.com/weather/mcp
    issuers: [casdoor]
    audiences: ["https://mcp.acme.test/mcp"]
    scopes:
      weather:read:  {{description: Read forecasts}}
      weather:write: {{description: Change alerts, includes: [weather:read]}}
    baseline: [weather:read]
    rules:
      - {{methods: [tools/call], tools: [{tool}], scopes: [weather:read]}}
      - {{methods: [tools/call], tools: [set_alert], scopes: [weather:write]}}
"""


def policy_text(issuer: str, tool: str = '"get_*"') -> str:
    """A policy for the tokens of `tests.support.tokens`, whose key set is at `<issuer>/jwks`; decisions are shared."""
    return POLICY.format(jwks=f"{issuer}/jwks", tool=tool)


class Served:
    """One `extauthz serve` (with its workers) on free ports."""

    def __init__(
        self,
        folder: Path,
        policy: str,
        *,
        environment: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
        name: str = "extauthz",
    ) -> None:
        self.port = free_port()
        self.admin_port = free_port()
        self.policy = folder / f"{name}.yaml"
        self.policy.write_text(policy)
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("EXTAUTHZ_", "OTEL_"))}
        self.program = Program(
            name,
            [
                sys.executable,
                *("-m", "extauthz", "serve", "--drain-wait=0"),
                f"--policy={self.policy}",
                f"--listen={LOOPBACK}:{self.port}",
                f"--admin-listen={LOOPBACK}:{self.admin_port}",
                *arguments,
            ],
            log=folder / f"{name}.log",
            ready=serves_grpc(f"{LOOPBACK}:{self.port}"),
            environment={**clean, **(environment or {})},
        )

    def __enter__(self) -> Self:
        self.program.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.program.stop()

    def ask(self, data: bytes, port: int | None = None) -> Seen:
        """One check; raises grpc.RpcError when there is no answer."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"{LOOPBACK}:{port or self.port}", options=options) as channel:
            return seen(channel.unary_unary(METHOD)(data, timeout=ASK_WITHIN_S))
