"""A decision as it stands in the shared store: a signed statement that this very token was found genuine.

What is stored holds no claim, scope or subject: only which way the decision went, why, and by which rule. Whoever
reads it holds the token already, reads the claims from there, decides again by its own policy, and takes the entry
only if it says the same. So the entry saves the signature check and the introspection, and can never change an answer.
"""

import json
from typing import Final

from extauthz.pdp.decision.decision import Deny, Permit
from extauthz.pdp.operation import Operation
from extauthz.pdp.reason import Outcome, Reason
from extauthz.service.cache.signed_entry import framed_digest

KIND: Final = "decision"
FORM: Final = 1
"""Stands first in every statement. A process takes none of another form than its own."""


def decision_key(revision: str, resource: str, token_digest: bytes, operation: Operation) -> str:
    """The store's key: a digest over all that a memorable decision read, each part framed by its length."""
    targets = (part for target in operation.targets for part in (target.kind, target.name))
    return "decision:" + framed_digest(
        revision,
        resource,
        token_digest,
        operation.kind,
        operation.era,
        operation.method,
        "baseline" if operation.baseline else "",
        *targets,
    )


def pack(decision: Permit | Deny, until: int) -> bytes:
    """The statement: form, explicit outcome, reason, the rule's index (-1: the baseline, or none), its end of life.

    Some 35 bytes; a compact binary form would save 25 of the 120 that an entry takes with key and seal.
    """
    return json.dumps((*_statement(decision), until), separators=(",", ":")).encode()


def vouched_until(payload: bytes, decision: Permit | Deny) -> int | None:
    """Until when (Unix seconds) an authentic statement vouches; None when it does not say what we decided ourselves.

    Whoever goes by the statement must forget no later: the ceiling on remembering counts from the signature check.
    """
    try:
        *statement, until = json.loads(payload)
    except (ValueError, TypeError):
        # Authentic, but written by a version that states something else.
        return None
    return until if tuple(statement) == _statement(decision) and isinstance(until, int) else None


def _statement(decision: Permit | Deny) -> tuple[int, str, str, int]:
    index = -1 if decision.rule is None else decision.rule.index
    match decision:
        case Permit():
            return (FORM, Outcome.ALLOW, Reason.ALLOWED, index)
        case Deny():
            return (FORM, Outcome.DENY, decision.reason, index)
