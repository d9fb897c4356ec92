"""Who uses which session of which MCP server, and how."""

from dataclasses import dataclass, field
from re import compile as compile_pattern
from typing import Final

from extauthz.pdp.decision.resource_index import authority_of
from extauthz.pdp.mcp.session import session_of
from extauthz.pdp.operation import MessageKind, Operation, Unreadable
from extauthz.pdp.policy import Resource
from extauthz.pdp.principal import Principal
from extauthz.pdp.request import HttpRequest
from extauthz.service.sessions.accounts import Account

_UUID_DECORATION: Final = compile_pattern(r"urn:|uuid:|[-_{}+]")
_UUID_DIGITS: Final = compile_pattern(r"[0-9a-f]{1,32}")


@dataclass(frozen=True, slots=True)
class SessionUse:
    """One principal using one session id at one MCP server."""

    session: tuple[str, str] = field(repr=False)
    """The server (`server_of`) and the session id (`one_spelling`)."""
    owner: tuple[str, str, str] = field(repr=False)
    """Issuer, subject and client: who must be the same for as long as the session lives."""
    ends: bool
    """Whether this use is the DELETE that ends the session."""

    @property
    def account(self) -> Account:
        """On whose account new session ids go."""
        return self.owner[:2]

    @classmethod
    def of(
        cls,
        resource: Resource,
        request: HttpRequest,
        operation: Operation | Unreadable,
        principal: Principal,
        *,
        permitted: bool,
    ) -> "SessionUse | None":
        """The use that a request makes of a session; None where nothing has to be bound.

        The era that a request claims does not matter: the Go SDK 1.8.0 opens the stream of a session, and ends it, also
        for a GET or DELETE that names 2026-07-28, and the Python SDK 1.x takes such an `initialize` into the session.
        Nor does it matter what the request asks for, or whether it can be read: the session is the caller's all the
        same. Only a DELETE that is let through ends it.
        """
        if not resource.session_binding:
            return None
        session_id = operation.session_id if isinstance(operation, Operation) else session_of(request)
        if not session_id:
            return None
        ends = permitted and isinstance(operation, Operation) and operation.kind is MessageKind.END
        owner = (principal.issuer, principal.subject, principal.client_id)
        return cls((server_of(resource), one_spelling(session_id)), owner, ends)


def server_of(resource: Resource) -> str:
    """The MCP server behind a resource, as far as the policy tells: host and port of its `upstream`.

    Not the resource's name or URI, which may change, and of which one server may have several; nor the path, by which
    one server may have several names as well. Resources without `upstream` may all have the same server.
    """
    scheme, _, rest = resource.upstream.partition("://")
    host, _, port = authority_of(rest.partition("/")[0], scheme).rpartition(":")
    if not host or port.endswith("]"):
        host, port = authority_of(rest.partition("/")[0], scheme), "443" if scheme.lower() == "https" else "80"
    return f"{host.removesuffix('.')}:{port}" if resource.upstream else ""


def one_spelling(session_id: str) -> str:
    """The session id, in one of the spellings that servers take for the same.

    Servers that read session ids as UUIDs or hexadecimal numbers (the SSE transport of the Python SDK by `UUID(hex=…)`,
    the PHP SDK by `Uuid::fromString`) take upper case, dashes, braces and `urn:uuid:` as they come. Other ids are what
    they are: servers compare them byte for byte.
    """
    digits = _UUID_DECORATION.sub("", session_id.lower())
    return digits.lstrip("0") if _UUID_DIGITS.fullmatch(digits) else session_id
