"""A finished check told step by step, for people. Everything is read off the result; nothing is decided again."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from extauthz.pdp.decision.decision import Deny, Indeterminate, Permit
from extauthz.pdp.operation import Operation
from extauthz.pdp.reason import Reason
from extauthz.pdp.token.key_scope import describe_keys
from extauthz.service.check.checked import Checked


class Step(StrEnum):
    """The steps of the procedure, by the names that product and docs use, in order."""

    RESOURCE = "resource"
    ORIGIN = "origin"
    CREDENTIALS = "credentials"
    TOKEN = "token"  # noqa: S105 - the name of a step
    BODY = "body"
    OPERATION = "operation"
    POLICY = "policy"
    SESSION = "session"


# Where each refusal stops the check. What is not here stops at the token.
_STOPS: Final = {
    Reason.RESOURCE_UNKNOWN: Step.RESOURCE,
    Reason.ORIGIN_REFUSED: Step.ORIGIN,
    Reason.HTTP_METHOD_REFUSED: Step.ORIGIN,
    Reason.PREFLIGHT: Step.ORIGIN,
    Reason.TOKEN_MISSING: Step.CREDENTIALS,
    Reason.CREDENTIALS_MALFORMED: Step.CREDENTIALS,
    Reason.BODY_MISSING: Step.BODY,
    Reason.BODY_TRUNCATED: Step.BODY,
    Reason.BODY_ENCODING: Step.BODY,
    Reason.BODY_NOT_JSON: Step.BODY,
    Reason.MESSAGE_INVALID: Step.BODY,
    Reason.BATCH_REFUSED: Step.BODY,
    Reason.KEY_AMBIGUOUS: Step.BODY,
    Reason.HEADER_MISMATCH: Step.OPERATION,
    Reason.METHOD_UNKNOWN: Step.POLICY,
    Reason.OPERATION_UNCOVERED: Step.POLICY,
    Reason.POLICY_DENIED: Step.POLICY,
    Reason.SCOPE_INSUFFICIENT: Step.POLICY,
    Reason.SESSION_UNKNOWN: Step.SESSION,
    Reason.INTERNAL_ERROR: Step.RESOURCE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One step: whether it let the request go on, and in words what was found."""

    step: Step
    passed: bool
    found: str


def explain(checked: Checked) -> tuple[Told, ...]:
    """The steps that were taken, the last one being the one that decided."""
    stop = None if checked.reason is Reason.ALLOWED else _STOPS.get(checked.reason, Step.TOKEN)
    told = []
    for step in Step:
        passed = step is not stop
        found = _found(step, checked) if passed else _why(checked)
        if found:
            told.append(Told(step=step, passed=passed, found=found))
        if not passed:
            break
    return tuple(told)


def _found(step: Step, checked: Checked) -> str:
    resource, principal, operation = checked.resource, checked.principal, checked.operation
    match step:
        case Step.RESOURCE:
            return "" if resource is None else f"{resource.name}, {resource.uri}"
        case Step.ORIGIN:
            return "no browser origin, or an allowed one"
        case Step.CREDENTIALS:
            return "one bearer token"
        case Step.TOKEN:
            if principal is None:
                return ""
            scopes = " ".join(sorted(principal.scopes)) or "no scopes"
            kind = "machine" if principal.machine else "subject"
            who = f"{kind} {principal.subject} of {principal.organization or principal.issuer}, {scopes}"
            return f"{who}; keys: {_keys(checked)}"
        case Step.BODY:
            if isinstance(operation, Operation) and operation.header_only:
                return "not handed over: decided on headers, which the server has to compare with it (header_only)"
            return "" if operation is None else "one message that every server reads alike"
        case Step.OPERATION:
            if not isinstance(operation, Operation):
                return ""
            targets = " ".join(f"{target.kind} {target.name}" for target in operation.targets)
            return f"{operation.method} {targets}".strip() + f" ({operation.kind}, {operation.era})"
        case Step.POLICY:
            return f"permitted by {_by(checked)}"
        case Step.SESSION:
            return ""


def _keys(checked: Checked) -> str:
    """Which key set vouched for the token."""
    issuers = () if checked.resource is None else checked.resource.issuers
    principal = checked.principal
    for issuer in issuers:
        if principal is not None and issuer.issuer == principal.issuer:
            return describe_keys(issuer)
    return "an issuer that the resource does not have"


def _why(checked: Checked) -> str:
    decision = checked.decision
    if decision is None:
        return "a CORS preflight of an allowed origin, answered here"
    detail = decision.detail if isinstance(decision, Deny | Indeterminate) else ""
    place = f" [{checked.rule}]" if checked.rule else ""
    return f"{checked.reason}: {detail}{place}" if detail else f"{checked.reason}{place}"


def _by(checked: Checked) -> str:
    decision = checked.decision
    if isinstance(decision, Permit) and decision.rule is not None:
        return f"the rule at {checked.rule}"
    return "the baseline"
