"""What a caller with a valid token is told about a refusal: its cause, in one sentence.

Never policy text, rule lines or other principals. A caller without a valid token reads the reason's own sentence.
"""

from re import compile as compile_pattern
from typing import Final

from extauthz.pdp.decision.decision import Deny, Indeterminate
from extauthz.pdp.operation import MessageKind, Operation
from extauthz.pdp.quoting import quoted
from extauthz.pdp.reason import ANSWERS, Reason

# Names that need no quotes to be read as one word.
_PLAIN: Final = compile_pattern(r"[A-Za-z0-9_./:@*{}?=&%~+-]{1,80}")

_OF_THE_MESSAGE: Final = frozenset(
    {
        Reason.BODY_MISSING,
        Reason.BODY_TRUNCATED,
        Reason.BODY_ENCODING,
        Reason.BODY_NOT_JSON,
        Reason.MESSAGE_INVALID,
        Reason.KEY_AMBIGUOUS,
        Reason.HEADER_MISMATCH,
    }
)
"""Reasons whose detail speaks of nothing but what the caller sent."""


def message_of(decision: Deny | Indeterminate, operation: Operation | None, scopes: tuple[str, ...]) -> str:
    """The `message` of the JSON-RPC error. `scopes` are those of the challenge, where there is one."""
    if decision.told:
        return decision.told
    general = ANSWERS[decision.reason].message
    if decision.reason in _OF_THE_MESSAGE:
        return f"{general}: {decision.detail}" if decision.detail else general
    if operation is None:
        return general
    match decision.reason:
        case Reason.SCOPE_INSUFFICIENT:
            return f"{_what(operation)} needs more scopes: {' '.join(scopes)}"
        case Reason.POLICY_DENIED:
            return f"{_what(operation)}: denied by policy"
        case Reason.OPERATION_UNCOVERED:
            return f"{_what(operation)}: not permitted by policy"
        case Reason.METHOD_UNKNOWN:
            return f"{general}: {_what(operation)}"
        case _:
            return general


def _what(operation: Operation) -> str:
    """The operation in words: `tools/call purge`."""
    match operation.kind:
        case MessageKind.RESPONSE:
            return "an answer to the server's request (ping, sampling, elicitation, roots)"
        case MessageKind.STREAM:
            return "opening an event stream (GET)"
        case MessageKind.END:
            return "ending a session (DELETE)"
        case MessageKind.REQUEST | MessageKind.NOTIFICATION:
            names = operation.targets
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return " ".join([_word(operation.method), *(_word(target.name) for target in names[:1])]) + more


def _word(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else quoted(name)
