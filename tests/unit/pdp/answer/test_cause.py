"""What a caller with a valid token reads about a refusal: the cause, and nothing of the policy."""

import pytest

from extauthz.pdp.answer.cause import message_of
from extauthz.pdp.decision.decision import Deny
from extauthz.pdp.operation import Era, MessageKind, Operation, Target, TargetKind
from extauthz.pdp.reason import ANSWERS, Reason
from tests.support.policies import rule

PURGE = Operation(
    kind=MessageKind.REQUEST, method="tools/call", era=Era.LEGACY, targets=(Target(TargetKind.TOOL, "purge"),)
)
ANSWER = PURGE._replace(kind=MessageKind.RESPONSE, method="response", targets=())


def said(reason: Reason, operation: Operation | None = PURGE, detail: str = "", scopes: tuple[str, ...] = ()) -> str:
    return message_of(Deny(reason=reason, detail=detail, rule=rule(["*"], ["hidden:scope"])), operation, scopes)


@pytest.mark.parametrize(
    ("reason", "operation", "message"),
    [
        (Reason.POLICY_DENIED, PURGE, "tools/call purge: denied by policy"),
        (Reason.OPERATION_UNCOVERED, PURGE, "tools/call purge: not permitted by policy"),
        (Reason.SCOPE_INSUFFICIENT, PURGE, "tools/call purge needs more scopes: a b"),
        (Reason.METHOD_UNKNOWN, PURGE._replace(method="acme/jobs", targets=()), "method not found: acme/jobs"),
        (
            Reason.OPERATION_UNCOVERED,
            ANSWER,
            "an answer to the server's request (ping, sampling, elicitation, roots): not permitted by policy",
        ),
        (
            Reason.POLICY_DENIED,
            PURGE._replace(kind=MessageKind.STREAM, method="GET", targets=()),
            "opening an event stream (GET): denied by policy",
        ),
        (
            Reason.POLICY_DENIED,
            PURGE._replace(kind=MessageKind.END, method="DELETE", targets=()),
            "ending a session (DELETE): denied by policy",
        ),
        (
            Reason.POLICY_DENIED,
            PURGE._replace(targets=(Target(TargetKind.RESOURCE, "a://b/c"), Target(TargetKind.RESOURCE, "a://d"))),
            "tools/call a://b/c and 1 more: denied by policy",
        ),
        (Reason.SESSION_UNKNOWN, PURGE, ANSWERS[Reason.SESSION_UNKNOWN].message),
        (Reason.DEADLINE_EXCEEDED, PURGE, ANSWERS[Reason.DEADLINE_EXCEEDED].message),
    ],
)
def test_the_operation_is_named(reason: Reason, operation: Operation, message: str) -> None:
    assert said(reason, operation, "denied by the rule on line 7", ("a", "b")) == message


def test_what_is_wrong_with_the_message_is_said() -> None:
    detail = "params is not an object: send an object, or leave it out"
    assert said(Reason.MESSAGE_INVALID, None, detail).endswith(detail)


@pytest.mark.parametrize("name", ["a b", "\x1b[2J", "é", "x" * 5000, "a\nb", ""])
def test_names_are_quoted_escaped_and_cut(name: str) -> None:
    message = said(Reason.POLICY_DENIED, PURGE._replace(targets=(Target(TargetKind.TOOL, name),)))
    assert message.isprintable()
    assert len(message) < 200
    assert '"' in message


@pytest.mark.parametrize("reason", [each for each in ANSWERS if each is not Reason.SCOPE_INSUFFICIENT])
def test_no_rule_no_line_and_no_scope_of_the_policy_is_told(reason: Reason) -> None:
    message = said(reason, PURGE, "" if ANSWERS[reason].status == 400 else "denied by the rule on line 7")
    assert "line 7" not in message or reason in (Reason.BODY_TRUNCATED, Reason.BODY_ENCODING)
    assert "hidden:scope" not in message
