import json
from dataclasses import replace
from typing import Any

import pytest

from extauthz.pdp.answer.verdict import Reply, forward, refuse
from extauthz.pdp.decision.decision import Deny, Indeterminate, Permit
from extauthz.pdp.operation import Era, MessageKind, Operation
from extauthz.pdp.policy import ChallengeScopes, DenialForm, UpstreamHeaders
from extauthz.pdp.reason import ANSWERS, Reason
from extauthz.pdp.request import HttpRequest
from tests.support.policies import resource
from tests.unit.pdp.answer.test_caller import ALICE, caller

REQUEST = HttpRequest(method="POST", scheme="https", authority="h", path="/", headers={})
CALL = Operation(kind=MessageKind.REQUEST, method="tools/call", era=Era.MODERN)


def with_headers(**headers: str) -> HttpRequest:
    return REQUEST._replace(headers={name.replace("__", "-"): value for name, value in headers.items()})


def refused(reason: Reason, **more: Any) -> Reply:
    kind = Indeterminate if ANSWERS[reason].status == 503 else Deny
    settings = {"request": REQUEST, "decision_id": "id1", "resource": resource(), **more}
    return refuse(kind(reason=reason), **settings)


def test_a_decision_for_somebody_else_forwards_nothing() -> None:
    permit = Permit(principal=replace(ALICE, subject="mallory"), rule=None, cacheable=True)
    with pytest.raises(ValueError, match="somebody else"):
        forward(resource(), permit, caller(), REQUEST, "id1")


@pytest.mark.parametrize(
    ("sent", "removed"),
    [
        ({}, {"authorization"}),
        ({"x__auth__subject": "root"}, {"authorization"}),
        ({"x__auth__role": "root"}, {"authorization", "x-auth-role"}),
        ({"x_auth_subject": "root"}, {"authorization", "x_auth_subject"}),
        ({"x_auth_role": "root"}, {"authorization", "x_auth_role"}),
        ({"x__auth_": "root"}, {"authorization", "x-auth_"}),
        ({"x__authority": "fine", "auth__x": "fine"}, {"authorization"}),
    ],
)
def test_client_sent_identity_headers_are_removed_unless_they_are_overwritten(
    sent: dict[str, str], removed: set[str]
) -> None:
    permit = Permit(principal=ALICE, rule=None, cacheable=True)
    verdict = forward(resource(), permit, caller(), with_headers(**sent), "id1")
    assert removed == set(verdict.remove_headers)


def test_no_header_is_both_set_and_removed() -> None:
    """Envoy removes a header that an answer both sets and removes."""
    permit = Permit(principal=ALICE, rule=None, cacheable=True)
    names = ("subject", "issuer", "organization", "client-id", "scopes", "decision", "other")
    verdict = forward(
        resource(), permit, caller(), REQUEST._replace(headers={f"x-auth-{name}": "x" for name in names}), "id1"
    )
    assert not {name for name, _ in verdict.set_headers} & set(verdict.remove_headers)


def test_the_token_goes_along_only_when_the_resource_says_so() -> None:
    permit = Permit(principal=ALICE, rule=None, cacheable=True)
    where = resource(upstream_headers=UpstreamHeaders(forward_token=True))
    assert "authorization" not in forward(where, permit, caller(), REQUEST, "id1").remove_headers


@pytest.mark.parametrize("reason", ANSWERS)
def test_every_refusal_is_complete_and_never_a_success(reason: Reason) -> None:
    reply = refused(reason)
    headers = dict(reply.headers)
    assert 400 <= reply.status < 600
    assert json.loads(reply.body)["error"]["code"] == ANSWERS[reason].code
    assert headers["cache-control"] == "no-store"
    assert headers["x-extauthz-decision"] == "id1"
    assert ("retry-after" in headers) == (reply.status == 503) == reply.indeterminate
    assert ("www-authenticate" in headers) == (ANSWERS[reason].challenge is not None)
    assert ("allow" in headers) == (reply.status == 405)


@pytest.mark.parametrize("reason", ANSWERS)
def test_decision_and_reason_are_in_the_error_that_sdks_show(reason: Reason) -> None:
    assert json.loads(refused(reason).body)["error"]["data"] == {"decision": "id1", "reason": reason}


@pytest.mark.parametrize("reason", ANSWERS)
def test_before_the_token_is_accepted_the_text_depends_on_the_reason_alone(reason: Reason) -> None:
    kind = Indeterminate if ANSWERS[reason].status == 503 else Deny
    reply = refuse(kind(reason=reason, detail="SECRET"), request=REQUEST, decision_id="i", resource=resource())
    assert json.loads(reply.body)["error"]["message"] == ANSWERS[reason].message


@pytest.mark.parametrize(
    ("version", "operation", "status"),
    [
        ("2026-07-28", None, 404),
        ("2099-01-01", None, 404),
        ("2025-11-25", None, 400),
        ("2025-03-26", None, 400),
        (None, None, 400),
        ("no version", None, 400),
        (None, CALL, 404),
        ("2026-07-28", CALL._replace(era=Era.LEGACY), 400),
    ],
)
def test_an_unknown_method_never_ends_a_session(version: str | None, operation: Operation | None, status: int) -> None:
    """404 to a request with a session id means that the session has ended (MCP 2025-11-25, Session Management)."""
    request = REQUEST._replace(headers={} if version is None else {"mcp-protocol-version": version})
    assert refused(Reason.METHOD_UNKNOWN, request=request, operation=operation).status == status


@pytest.mark.parametrize("reason", ANSWERS)
def test_no_header_of_a_refusal_can_split_the_answer(reason: Reason) -> None:
    """Envoy sends a CR LF in a denial's header value as it is."""
    for _, value in refused(reason).headers:
        assert value.isprintable()


def test_the_decision_id_is_never_in_the_challenge() -> None:
    """Clients tell a repeated challenge by its text."""
    assert "id1" not in dict(refused(Reason.TOKEN_EXPIRED).headers)["www-authenticate"]


def test_without_a_resource_there_is_no_challenge() -> None:
    assert "www-authenticate" not in dict(refused(Reason.RESOURCE_UNKNOWN, resource=None).headers)


@pytest.mark.parametrize("request_id", [None, 7, "a", "\u2028\ud800"])
def test_the_request_id_is_echoed_as_it_was(request_id: Any) -> None:
    assert json.loads(refused(Reason.POLICY_DENIED, request_id=request_id).body)["id"] == request_id


@pytest.mark.parametrize(
    ("reason", "kind", "status"),
    [
        (Reason.POLICY_DENIED, MessageKind.REQUEST, 200),
        (Reason.OPERATION_UNCOVERED, MessageKind.REQUEST, 200),
        (Reason.SCOPE_INSUFFICIENT, MessageKind.REQUEST, 200),
        (Reason.SCOPE_INSUFFICIENT, MessageKind.NOTIFICATION, 403),
        (Reason.SCOPE_INSUFFICIENT, MessageKind.STREAM, 403),
        (Reason.TOKEN_EXPIRED, MessageKind.REQUEST, 401),
        (Reason.METHOD_UNKNOWN, MessageKind.REQUEST, 404),
        (Reason.KEYS_UNAVAILABLE, MessageKind.REQUEST, 503),
    ],
)
def test_jsonrpc_denials_are_for_requests_that_policy_refuses(reason: Reason, kind: MessageKind, status: int) -> None:
    where = resource(denial=DenialForm.JSONRPC)
    assert refused(reason, resource=where, operation=CALL._replace(kind=kind)).status == status


def test_step_up_names_required_and_granted_scopes_where_the_resource_says_so() -> None:
    where = resource(challenge_scopes=ChallengeScopes.REQUIRED_AND_GRANTED)
    denial = Deny(reason=Reason.SCOPE_INSUFFICIENT, required=("weather:write",))
    principal = replace(ALICE, scopes=frozenset({"weather:read", "offline_access"}))
    reply = refuse(denial, request=REQUEST, decision_id="i", resource=where, operation=CALL, principal=principal)
    assert 'scope="weather:write weather:read"' in dict(reply.headers)["www-authenticate"]
