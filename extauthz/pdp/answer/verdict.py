"""From a decision to what the proxy is told: forward with these headers, or reply with this answer.

A `Forward` can only be made from a `Permit`: there is no other way to let a request pass.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from extauthz.pdp.answer.caller import Caller, Headers
from extauthz.pdp.answer.cause import message_of
from extauthz.pdp.answer.challenge import build_challenge, challenge_scopes
from extauthz.pdp.answer.cors import denial_headers, preflight_headers
from extauthz.pdp.decision.decide import granted_scopes
from extauthz.pdp.decision.decision import Deny, Indeterminate, Permit
from extauthz.pdp.mcp.headers import era_of_headers
from extauthz.pdp.mcp.session import LAST_EVENT_HEADER, is_resumable, session_of
from extauthz.pdp.operation import Era, MessageKind, Operation, RequestId
from extauthz.pdp.policy import DenialForm, Resource
from extauthz.pdp.principal import Principal
from extauthz.pdp.reason import ANSWERS, Reason
from extauthz.pdp.request import HttpRequest

RETRY_AFTER_S: Final = 5
"""Told with a 503: long enough for an issuer or a proxy to recover, short enough for a person to wait."""

DECISION_HEADER: Final = "x-extauthz-decision"

_JSONRPC_REASONS: Final = frozenset({Reason.OPERATION_UNCOVERED, Reason.POLICY_DENIED, Reason.SCOPE_INSUFFICIENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """Let the request pass: set these request headers (lower-case names), remove those."""

    identity: Headers = field(repr=False)
    """Who asks: the same for every check of one caller."""
    decision: tuple[str, str]
    """The header with the decision id."""
    remove_headers: tuple[str, ...]

    @property
    def set_headers(self) -> Headers:
        """All headers to set."""
        return (*self.identity, self.decision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Answer in the server's stead. `indeterminate` tells the proxy that this is an error, not a verdict."""

    status: int
    headers: Headers
    body: str = ""
    indeterminate: bool = False


Verdict: TypeAlias = Forward | Reply


def removed_headers(resource: Resource, request: HttpRequest, set_names: frozenset[str]) -> tuple[str, ...]:
    """Client headers that must not reach the upstream: the token, whatever looks like one of our identity headers, and
    a `Last-Event-ID` that belongs to no session.

    Envoy removes a name that is both set and removed, so names being set are not listed: setting overwrites them.
    Servers of the CGI family read `_` and `-` alike, so a name counts with either.
    """
    prefix = resource.upstream_headers.prefix
    removed: list[str] = []
    # One search over all names: most requests have none that could be meant.
    if prefix in "\n".join(request.headers).replace("_", "-"):
        removed = [
            name
            for name in request.headers
            if name not in set_names and (name.startswith(prefix) or name.replace("_", "-").startswith(prefix))
        ]
    if not resource.upstream_headers.forward_token:
        removed.append("authorization")
    if LAST_EVENT_HEADER in request.headers and not is_resumable(request.headers, session_of(request)):
        removed.append(LAST_EVENT_HEADER)
    return tuple(removed)


def forward(resource: Resource, permit: Permit, caller: Caller, request: HttpRequest, decision_id: str) -> Forward:
    """Let a permitted request pass, with the verified identity. `permit` is what makes a `Forward` possible."""
    if permit.principal != caller.principal:
        raise ValueError("the decision was made for somebody else")
    return Forward(
        identity=caller.headers,
        decision=(caller.decision_header, decision_id),
        remove_headers=removed_headers(resource, request, caller.header_names),
    )


def preflight(request: HttpRequest, decision_id: str) -> Reply:
    """Answer a CORS preflight of an allowed origin."""
    return Reply(status=204, headers=(*preflight_headers(request), (DECISION_HEADER, decision_id)))


def refuse(
    decision: Deny | Indeterminate,
    *,
    request: HttpRequest,
    decision_id: str,
    resource: Resource | None = None,
    operation: Operation | None = None,
    request_id: RequestId = None,
    principal: Principal | None = None,
) -> Reply:
    """Answer a request that is not let through. `request_id` is that of the message, where it was understood."""
    answer = ANSWERS[decision.reason]
    headers = [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        (DECISION_HEADER, decision_id),
    ]
    scopes: tuple[str, ...] = ()
    if resource is not None:
        headers.extend(denial_headers(resource, request))
        if answer.challenge is not None:
            scopes = _scopes_to_name(decision, resource, principal)
            headers.append(("www-authenticate", build_challenge(resource, decision.reason, scopes)))
    if answer.status == 405:
        headers.append(("allow", "GET, POST, DELETE"))
    if answer.status == 503:
        headers.append(("retry-after", str(RETRY_AFTER_S)))
    return Reply(
        status=_status(decision, answer.status, resource, operation, request),
        headers=tuple(headers),
        body=_error_body(
            request_id,
            answer.code,
            answer.message if principal is None else message_of(decision, operation, scopes),
            {"decision": decision_id, "reason": decision.reason},
        ),
        indeterminate=answer.status == 503,
    )


def _scopes_to_name(decision: Deny | Indeterminate, resource: Resource, principal: Principal | None) -> tuple[str, ...]:
    if isinstance(decision, Deny) and decision.reason is Reason.SCOPE_INSUFFICIENT:
        granted = granted_scopes(resource, principal) if principal is not None else frozenset()
        return challenge_scopes(resource, decision.required, granted)
    return resource.baseline


def _status(
    decision: Deny | Indeterminate,
    status: int,
    resource: Resource | None,
    operation: Operation | None,
    request: HttpRequest,
) -> int:
    """The reason's status, but for two kinds of clients.

    200 for those that break on 403, only for a request (a notification has no answer to put the error in). 400 instead
    of 404 for an unknown method of an initialize-based session: 404 there says that the session has ended, and clients
    initialize again (MCP 2025-11-25, basic/transports, Session Management).
    """
    if decision.reason is Reason.METHOD_UNKNOWN:
        era = era_of_headers(request.headers) if operation is None else operation.era
        return status if era is Era.MODERN else 400
    if (
        decision.reason in _JSONRPC_REASONS
        and resource is not None
        and resource.denial is DenialForm.JSONRPC
        and operation is not None
        and operation.kind is MessageKind.REQUEST
    ):
        return 200
    return status


def _error_body(request_id: RequestId, code: int, message: str, data: Mapping[str, str]) -> str:
    error: Mapping[str, object] = {"code": code, "message": message, "data": data}
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "error": error}, separators=(",", ":"))
