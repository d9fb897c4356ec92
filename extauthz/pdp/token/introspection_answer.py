"""What an issuer's answer about a token means here (RFC 7662 §2.2).

Only a boolean `active` is an answer. A token that is active but bound to a key (`cnf`, or a `token_type` other than
Bearer) is inactive for us: it came as a bearer token, which is not how it may be used (RFC 9449 §7.2, RFC 8705 §3), and
Casdoor shows the binding nowhere else (casdoor.md §2.7).
"""

from extauthz.pdp.strict_json import JsonValue


def is_active_bearer(document: dict[str, JsonValue]) -> bool | None:
    """Whether the issuer says that the token may be used as it came; None when it does not say."""
    active = document.get("active")
    if not isinstance(active, bool):
        return None
    kind = document.get("token_type", "Bearer")
    return active and isinstance(kind, str) and kind.lower() == "bearer" and "cnf" not in document
