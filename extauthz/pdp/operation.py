"""What a request asks an MCP server to do, as one value."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from extauthz.pdp.reason import Reason

RequestId: TypeAlias = str | int | None

# The names that stand for the HTTP methods without a message, and for a client's answer to a server's request.
STREAM_METHOD: Final = "GET"
END_METHOD: Final = "DELETE"
RESPONSE_METHOD: Final = "response"


class TargetKind(StrEnum):
    """What kind of thing an operation names."""

    TOOL = "tool"
    PROMPT = "prompt"
    RESOURCE = "resource"
    TASK = "task"


class Target(NamedTuple):
    """One named thing: a tool or prompt by name, a resource by URI (or URI template), a task by id."""

    kind: TargetKind
    name: str


class MessageKind(StrEnum):
    """Which of the shapes of the transport this is."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"
    STREAM = "stream"
    """GET: opens or resumes the server's event stream (initialize-based eras)."""
    END = "end"
    """DELETE: ends a session (initialize-based eras)."""


class Era(StrEnum):
    """MCP's two ways of talking (MCP 2026-07-28, basic/versioning)."""

    LEGACY = "legacy"
    """Sessions opened by `initialize`: revisions up to 2025-11-25."""
    MODERN = "modern"
    """Stateless, metadata with each request: 2026-07-28 and later."""


_NO_ARGUMENTS: Final[Mapping[str, Any]] = MappingProxyType({})


class Operation(NamedTuple):
    """One understood message (or GET, or DELETE).

    `method` is the JSON-RPC method, or one of `STREAM_METHOD`, `END_METHOD`, `RESPONSE_METHOD`. `known` says that
    some MCP revision has the method; `baseline` that the method needs no more than the resource's baseline.
    `arguments` are `params.arguments` where the method has them: input to conditions, never logged.

    A named tuple, as `Target` is: one is made for every check, in a quarter of the time of a frozen dataclass.
    """

    kind: MessageKind
    method: str
    era: Era
    protocol_version: str = ""
    targets: tuple[Target, ...] = ()
    known: bool = True
    baseline: bool = False
    arguments: Mapping[str, Any] = _NO_ARGUMENTS
    arguments_exact: bool = True
    """False: they are not those that the server will read (the proxy replaced bytes, or handed no body over)."""
    header_only: bool = False
    """Whether this was read from headers alone, because the proxy handed no body over (`Resource.header_only`)."""
    request_id: RequestId = None
    session_id: str = ""

    def __repr__(self) -> str:
        """Without arguments and session id."""
        return f"Operation({self.kind} {self.method} of the {self.era} era, {self.targets})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A request that is not exactly one message that every server reads alike; `detail` is for the operator.

    `method` is the method as far as it was understood, for telemetry only.
    """

    reason: Reason
    detail: str
    request_id: RequestId = None
    method: str = ""
