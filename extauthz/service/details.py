"""What observers learn of one check: everything that telemetry may show, and nothing secret."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from extauthz.pdp.operation import RequestId, Target
from extauthz.pdp.principal import Principal
from extauthz.pdp.reason import Outcome, Reason


class CacheUse(StrEnum):
    """Where the decision came from."""

    NONE = "none"
    MEMORY = "memory"
    REDIS = "redis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """One I/O that a check waited for. Times are Unix nanoseconds."""

    name: str
    """`extauthz.jwks`, `extauthz.redis`, `extauthz.introspection`."""
    started_ns: int
    ended_ns: int
    result: str
    """A bounded word: `hit`, `miss`, `ok`, `unavailable`, …"""


class CheckDetails(NamedTuple):
    """One decision as operators see it. Empty strings and None where the check did not get that far.

    `detail` is the exact cause, in words, for operators only; it holds no token, secret or claim value. `rule` is
    `<file>:<line>` of the rule that decided, or `baseline`. A named tuple, because one is made for every check and a
    frozen dataclass of this size takes four times as long to make.
    """

    decision_id: str
    outcome: Outcome
    reason: Reason
    status: int
    """HTTP status of the answer; 0 when the request was forwarded."""
    started_ns: int
    ended_ns: int
    detail: str = ""
    resource: str = ""
    method: str = ""
    """MCP method, or GET, DELETE, response; as the client sent it: bound it before using it as a label."""
    targets: tuple[Target, ...] = ()
    protocol_version: str = ""
    request_id: RequestId = None
    principal: Principal | None = None
    rule: str = ""
    policy_revision: str = ""
    cache: CacheUse = CacheUse.NONE
    missing_scopes: tuple[str, ...] = ()
    traceparent: str = ""
    """W3C trace context of the proxy's own span, from gRPC metadata (never from the client's headers)."""
    tracestate: str = ""
    waits: tuple[Wait, ...] = ()
    header_only: bool = False
    """Whether the request was read from headers alone, because the proxy handed no body over."""
