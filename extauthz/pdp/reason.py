"""Why a request was answered as it was, and what each reason looks like on the wire.

One closed vocabulary: the same strings are reason codes in headers' decisions, span attributes, metric labels, audit
lines and test names. `ANSWERS` is the one table from a reason to the HTTP answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Reason(StrEnum):
    """The reason of a decision, in the order in which the checks are made."""

    ALLOWED = "allowed"
    PREFLIGHT = "preflight"
    RESOURCE_UNKNOWN = "resource_unknown"
    HTTP_METHOD_REFUSED = "http_method_refused"
    ORIGIN_REFUSED = "origin_refused"
    TOKEN_MISSING = "token_missing"  # noqa: S105 - a reason, not a secret
    CREDENTIALS_MALFORMED = "credentials_malformed"
    TOKEN_MALFORMED = "token_malformed"  # noqa: S105 - a reason, not a secret
    TOKEN_ALGORITHM = "token_algorithm"  # noqa: S105 - a reason, not a secret
    TOKEN_TYPE = "token_type"  # noqa: S105 - a reason, not a secret
    TOKEN_KEY_UNKNOWN = "token_key_unknown"  # noqa: S105 - a reason, not a secret
    TOKEN_SIGNATURE = "token_signature"  # noqa: S105 - a reason, not a secret
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a reason, not a secret
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"  # noqa: S105 - a reason, not a secret
    TOKEN_ISSUER = "token_issuer"  # noqa: S105 - a reason, not a secret
    TOKEN_ORGANIZATION = "token_organization"  # noqa: S105 - a reason, not a secret
    TOKEN_AUDIENCE = "token_audience"  # noqa: S105 - a reason, not a secret
    TOKEN_SUBJECT = "token_subject"  # noqa: S105 - a reason, not a secret
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - a reason, not a secret
    BODY_MISSING = "body_missing"
    BODY_TRUNCATED = "body_truncated"
    BODY_ENCODING = "body_encoding"
    BODY_NOT_JSON = "body_not_json"
    MESSAGE_INVALID = "message_invalid"
    BATCH_REFUSED = "batch_refused"
    KEY_AMBIGUOUS = "key_ambiguous"
    HEADER_MISMATCH = "header_mismatch"
    METHOD_UNKNOWN = "method_unknown"
    SESSION_UNKNOWN = "session_unknown"
    OPERATION_UNCOVERED = "operation_uncovered"
    POLICY_DENIED = "policy_denied"
    SCOPE_INSUFFICIENT = "scope_insufficient"
    KEYS_UNAVAILABLE = "keys_unavailable"
    INTROSPECTION_UNAVAILABLE = "introspection_unavailable"
    REVOCATIONS_UNAVAILABLE = "revocations_unavailable"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    INTERNAL_ERROR = "internal_error"


class Outcome(StrEnum):
    """XACML's three: permitted, denied, or could not be decided (which the proxy also refuses)."""

    ALLOW = "allow"
    DENY = "deny"
    INDETERMINATE = "indeterminate"


class ChallengeError(StrEnum):
    """The `error` of a Bearer challenge (RFC 6750 §3.1); `ABSENT` when no credentials were sent."""

    ABSENT = ""
    INVALID_REQUEST = "invalid_request"
    INVALID_TOKEN = "invalid_token"  # noqa: S105 - a reason, not a secret
    INSUFFICIENT_SCOPE = "insufficient_scope"


@dataclass(frozen=True, slots=True)
class Answer:
    """How a refusal looks: HTTP status, JSON-RPC code, challenge, and the sentence that the client may read.

    `challenge` is None where no `WWW-Authenticate` is sent. `message` is all that a caller without a valid token reads;
    a caller with one is told the cause besides (`extauthz.pdp.answer.cause`).
    """

    status: int
    code: int
    message: str
    challenge: ChallengeError | None = None


# JSON-RPC codes. -32700 … -32600 are JSON-RPC's own, -32020 is MCP's HeaderMismatch; ours stand outside the range that
# JSON-RPC and MCP reserve (-32768 … -32000), one per HTTP class, so that they can never collide.
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
HEADER_MISMATCH: Final = -32020
UNAUTHENTICATED: Final = -40100
FORBIDDEN: Final = -40300
UNAVAILABLE: Final = -50300

_TOKEN = ChallengeError.INVALID_TOKEN

ANSWERS: Final[Mapping[Reason, Answer]] = MappingProxyType(
    {
        Reason.RESOURCE_UNKNOWN: Answer(404, METHOD_NOT_FOUND, "no MCP server is published at this address"),
        Reason.HTTP_METHOD_REFUSED: Answer(405, INVALID_REQUEST, "use POST, GET or DELETE"),
        Reason.ORIGIN_REFUSED: Answer(403, FORBIDDEN, "this browser origin is not allowed"),
        Reason.TOKEN_MISSING: Answer(401, UNAUTHENTICATED, "an access token is required", ChallengeError.ABSENT),
        Reason.CREDENTIALS_MALFORMED: Answer(
            400,
            INVALID_REQUEST,
            "send exactly one access token, in one Authorization header",
            ChallengeError.INVALID_REQUEST,
        ),
        Reason.TOKEN_MALFORMED: Answer(401, UNAUTHENTICATED, "the access token is not a well-formed JWT", _TOKEN),
        Reason.TOKEN_ALGORITHM: Answer(401, UNAUTHENTICATED, "the access token is not acceptable", _TOKEN),
        Reason.TOKEN_TYPE: Answer(401, UNAUTHENTICATED, "this is not an access token", _TOKEN),
        Reason.TOKEN_KEY_UNKNOWN: Answer(401, UNAUTHENTICATED, "the access token is not acceptable", _TOKEN),
        Reason.TOKEN_SIGNATURE: Answer(401, UNAUTHENTICATED, "the access token is not acceptable", _TOKEN),
        Reason.TOKEN_EXPIRED: Answer(401, UNAUTHENTICATED, "the access token has expired", _TOKEN),
        Reason.TOKEN_NOT_YET_VALID: Answer(401, UNAUTHENTICATED, "the access token is not valid yet", _TOKEN),
        Reason.TOKEN_ISSUER: Answer(401, UNAUTHENTICATED, "the access token is not acceptable", _TOKEN),
        Reason.TOKEN_ORGANIZATION: Answer(401, UNAUTHENTICATED, "the access token is not acceptable", _TOKEN),
        Reason.TOKEN_AUDIENCE: Answer(401, UNAUTHENTICATED, "the access token was not issued for this server", _TOKEN),
        Reason.TOKEN_SUBJECT: Answer(401, UNAUTHENTICATED, "the access token is not acceptable", _TOKEN),
        Reason.TOKEN_REVOKED: Answer(401, UNAUTHENTICATED, "the access token has been revoked", _TOKEN),
        Reason.BODY_MISSING: Answer(400, INVALID_REQUEST, "a POST needs a JSON-RPC message in its body"),
        Reason.BODY_TRUNCATED: Answer(413, INVALID_REQUEST, "the message is larger than this server reads"),
        Reason.BODY_ENCODING: Answer(415, INVALID_REQUEST, "send application/json in UTF-8 without content-encoding"),
        Reason.BODY_NOT_JSON: Answer(400, PARSE_ERROR, "the body is not valid JSON"),
        Reason.MESSAGE_INVALID: Answer(400, INVALID_REQUEST, "the body is not a valid MCP message"),
        Reason.BATCH_REFUSED: Answer(400, INVALID_REQUEST, "batches are not supported: send one message per request"),
        Reason.KEY_AMBIGUOUS: Answer(
            400, INVALID_REQUEST, "the message has member names that servers may read differently"
        ),
        Reason.HEADER_MISMATCH: Answer(400, HEADER_MISMATCH, "MCP headers and the message do not agree"),
        Reason.METHOD_UNKNOWN: Answer(404, METHOD_NOT_FOUND, "method not found"),
        Reason.SESSION_UNKNOWN: Answer(404, METHOD_NOT_FOUND, "session not found"),
        Reason.OPERATION_UNCOVERED: Answer(403, FORBIDDEN, "this operation is not permitted"),
        Reason.POLICY_DENIED: Answer(403, FORBIDDEN, "this operation is not permitted"),
        Reason.SCOPE_INSUFFICIENT: Answer(
            403, FORBIDDEN, "this operation needs more scopes", ChallengeError.INSUFFICIENT_SCOPE
        ),
        Reason.KEYS_UNAVAILABLE: Answer(503, UNAVAILABLE, "tokens cannot be checked at the moment"),
        Reason.INTROSPECTION_UNAVAILABLE: Answer(503, UNAVAILABLE, "tokens cannot be checked at the moment"),
        Reason.REVOCATIONS_UNAVAILABLE: Answer(503, UNAVAILABLE, "tokens cannot be checked at the moment"),
        Reason.DEADLINE_EXCEEDED: Answer(503, UNAVAILABLE, "the check took too long"),
        Reason.INTERNAL_ERROR: Answer(503, UNAVAILABLE, "the check failed"),
    }
)


def outcome_of(reason: Reason) -> Outcome:
    """The outcome that a reason belongs to."""
    if reason in (Reason.ALLOWED, Reason.PREFLIGHT):
        return Outcome.ALLOW if reason is Reason.ALLOWED else Outcome.DENY
    return Outcome.INDETERMINATE if ANSWERS[reason].status == 503 else Outcome.DENY
