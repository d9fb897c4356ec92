"""What observers learn of one check: everything that telemetry may show, and nothing secret."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from extauthz.pdp.operation import RequestId, Target
from extauthz.pdp.principal import Principal
from extauthz.pdp.reason import Outcome, Reason

MAX_TOLD_CHARS: Final = 512
"""Of one text that a caller or a proxy chose. Spans and audit lines show 256; more would only be kept, in queues and on
the status page, for thousands of checks."""
MAX_TOLD_TARGETS: Final = 32
"""Things that one operation names: as many as an audit line shows."""
MAX_TOLD_NAMES_CHARS: Final = 1_024
"""Of all their names together: a request can name things with 65,536."""


def told(text: str) -> str:
    """As much of a text as observers are told."""
    return text if len(text) <= MAX_TOLD_CHARS else text[:MAX_TOLD_CHARS]


def told_targets(targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """As many of the targets as observers are told, and as much of their names; the same tuple when that is all."""
    kept: list[Target] = []
    left = MAX_TOLD_NAMES_CHARS
    for kind, name in targets[:MAX_TOLD_TARGETS]:
        if left <= 0:
            break
        cut = name[: min(left, MAX_TOLD_CHARS)]
        left -= len(cut)
        kept.append(Target(kind, cut))
    made = tuple(kept)
    return targets if made == targets else made


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
    frozen dataclass of this size takes four times as long to make. Made by `Checked.details`, which bounds what callers
    choose (`told`).
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
    shortened: bool = False
    """Whether `targets` are not all that the request named."""
    header_only: bool = False
    """Whether the request was read from headers alone, because the proxy handed no body over."""
