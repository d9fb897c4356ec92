"""The whole system on loopback from one policy file: issuer, MCP server, Valkey, extauthz, Envoy, trace receiver.

The demo and the end-to-end tests both run it. It starts what a user would start: `extauthz serve`, and Envoy with the
output of `extauthz render envoy`. Only the issuer and the trace receiver live in this process.
"""

import secrets
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

from extauthz.demo import programs
from extauthz.demo.issuer import DemoIssuer
from extauthz.demo.processes import LOOPBACK, Program, ProgramError, free_port, port_is_free
from extauthz.demo.traces import TraceReceiver

RENDER_WITHIN_S: Final = 30.0
JWKS_APPLICATION: Final = "app-demo"
"""Whose key set the policy trusts: Casdoor's global set holds every tenant's keys."""
SECRET_BYTES: Final = 32
"""The least that `EXTAUTHZ_CACHE_SECRET` may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """What a policy for this system has to name. No address ends with a slash."""

    public: str
    """Scheme, host and port of Envoy."""
    issuer: str
    jwks: str
    upstream: str
    """The MCP server's endpoint."""


PolicyText: TypeAlias = Callable[[Addresses], str]
Told: TypeAlias = Callable[[str, str], None]
"""Told the name of each part and where it is, as soon as it is ready."""


def demo_policy(addresses: Addresses) -> str:
    """The policy of the demo: the one of the documentation's examples, with this system's addresses."""
    return f"""\
version: 1
issuers:
  demo:
    issuer: {addresses.issuer}
    jwks_uri: {addresses.jwks}
    profile: casdoor
    organizations: [acme]
resources:
  weather:
    uri: {addresses.public}/mcp
    issuers: [demo]
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
    origins: ["http://localhost:6274", "http://127.0.0.1:6274"]   # MCP Inspector
"""


class System:
    """Runs between `start()` and `stop()`, or as a context manager. `port` 0 takes a free one for Envoy.

    `folder` gets the policy, the rendered configuration and the logs; it must exist. `redis=False` leaves Valkey out.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        policy: PolicyText = demo_policy,
        issuer: DemoIssuer | None = None,
        redis: bool = True,
        told: Told | None = None,
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        """Envoy's address, without a path."""
        self.issuer = issuer if issuer is not None else DemoIssuer()
        self.traces = TraceReceiver()
        self.policy_file = folder / "extauthz.yaml"
        self.envoy_config = folder / "envoy.yaml"
        mcp_port, self.authz_port, self.admin_port, self.envoy_admin_port = (free_port() for _ in range(4))
        addresses = Addresses(
            public=self.url,
            issuer=self.issuer.url,
            jwks=self.issuer.application_jwks_uri(JWKS_APPLICATION),
            upstream=f"http://{LOOPBACK}:{mcp_port}/mcp",
        )
        self.policy_file.write_text(policy(addresses), encoding="utf-8")
        self.mcp_server = programs.mcp_server(folder, mcp_port)
        self.valkey: Program | None = None
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.traces.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_INSECURE": "true",
            "OTEL_BSP_SCHEDULE_DELAY": str(programs.SPAN_DELAY_MS),
        }
        if redis:
            valkey_port = free_port()
            self.valkey = programs.valkey(folder, valkey_port)
            environment["EXTAUTHZ_REDIS_URL"] = f"redis://{LOOPBACK}:{valkey_port}/0"
            environment["EXTAUTHZ_CACHE_SECRET"] = secrets.token_hex(SECRET_BYTES)
        self.extauthz = programs.extauthz_serve(
            folder,
            policy=self.policy_file,
            port=self.authz_port,
            admin_port=self.admin_port,
            environment=environment,
        )
        self.envoy = programs.envoy(folder, config=self.envoy_config, port=self.port, admin_port=self.envoy_admin_port)
        self._told = told or (lambda _name, _where: None)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Start everything and wait until all of it is ready. Raises ProgramError, with nothing left running."""
        if not port_is_free(self.port):
            raise ProgramError(f"port {self.port} on {LOOPBACK} is in use by another program")
        try:
            self._start()
        except BaseException:  # Ctrl-C too must leave nothing running; it goes on from here
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything. May be called again."""
        self._stack.close()

    def _start(self) -> None:
        self._stack.enter_context(self.traces)
        self._stack.enter_context(self.issuer)
        self._told("demo issuer", self.issuer.url)
        parts = [("extauthz serve", self.extauthz, f"{LOOPBACK}:{self.authz_port}")]
        parts.append(("MCP server", self.mcp_server, "official Python SDK, no auth code"))
        if self.valkey is not None:
            parts.insert(0, ("Valkey", self.valkey, "shared cache"))
        for _, program, _ in parts:
            self._stack.callback(program.stop)
            program.start()
        self.render(self.envoy_config)
        for name, program, where in parts:
            program.wait_until_ready()
            self._told(name, where)
        self._stack.callback(self.envoy.stop)
        self.envoy.start()
        self.envoy.wait_until_ready()
        self._told("Envoy", self.url)

    def render(self, output: Path, extra: Sequence[str] = ()) -> None:
        """Write Envoy's configuration from the policy file, as a user would: `extauthz render envoy`."""
        program = Program(
            "extauthz render envoy",
            [
                *(sys.executable, "-m", "extauthz", "render", "envoy", "--policy", str(self.policy_file)),
                *("--listen", f"{LOOPBACK}:{self.port}", "--authz", f"{LOOPBACK}:{self.authz_port}"),
                *("--admin", f"{LOOPBACK}:{self.envoy_admin_port}", "--tracing", f"{LOOPBACK}:{self.traces.port}"),
                *("-o", str(output), *extra),
            ],
            log=self.folder / "render.log",
            environment=programs.clean_environment(),
        )
        program.start()
        try:
            status = program.wait(RENDER_WITHIN_S)
        finally:
            program.stop()
        if status != 0:
            raise ProgramError(f"extauthz render envoy ended with status {status}:\n{program.tail()}")

    def audit_line(self, decision_id: str, within_s: float = 2.0) -> str:
        """The line that the service wrote about one decision; empty when none has come in time."""
        deadline = time.monotonic() + within_s
        while True:
            found = next((line for line in self.extauthz.output().splitlines() if decision_id in line), "")
            if found or time.monotonic() >= deadline:
                return found
            time.sleep(0.02)
