"""Decisions as observers see them."""

from typing import Any, Final

from extauthz.pdp.operation import Target, TargetKind
from extauthz.pdp.principal import Principal
from extauthz.pdp.reason import Outcome, Reason
from extauthz.service.details import CacheUse, CheckDetails

TRACE_ID: Final = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID: Final = "b7ad6b7169203331"
TRACEPARENT: Final = f"00-{TRACE_ID}-{PARENT_ID}-01"
UNSAMPLED: Final = f"00-{TRACE_ID}-{PARENT_ID}-00"

STARTED_NS: Final = 1_795_437_163_000_100_000
ALICE: Final = Principal(
    issuer="https://door.example.com",
    subject="a0170273-317f-4cd1-bbd2-3ecb2303e51a",
    organization="acme",
    name="Alice Example",
    client_id="client-mcp",
    scopes=frozenset({"weather:read", "scope-of-alice"}),
    roles=frozenset({"role-of-alice"}),
    groups=frozenset({"group-of-alice"}),
    machine=False,
)


def tool(name: str) -> tuple[Target, ...]:
    return (Target(TargetKind.TOOL, name),)


def decided(**fields: Any) -> CheckDetails:
    """An allowed `tools/call` of Alice's that took 65 us, but for the fields given."""
    usual: dict[str, Any] = {
        "decision_id": "4f1d0c8e2a7b9356",
        "outcome": Outcome.ALLOW,
        "reason": Reason.ALLOWED,
        "status": 0,
        "resource": "weather",
        "method": "tools/call",
        "targets": tool("get_forecast"),
        "protocol_version": "2026-07-28",
        "request_id": 7,
        "principal": ALICE,
        "rule": "extauthz.yaml:31",
        "policy_revision": "5d41402abc4b2a76",
        "cache": CacheUse.MEMORY,
        "traceparent": TRACEPARENT,
        "started_ns": STARTED_NS,
        "ended_ns": STARTED_NS + 65_000,
    }
    return CheckDetails(**(usual | fields))
