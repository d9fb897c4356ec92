"""The `WWW-Authenticate` challenge (RFC 9110 §11.6.1, RFC 6750 §3, RFC 9728 §5.1) in the one form that clients read.

Real MCP clients look for `key="value"` with unanchored expressions, take the first match in the whole header, and want
the scheme, one space, and lower-case unspaced parameters. So: one header, always in the order error, scope,
resource_metadata, error_description; the description last and free of `=`; the same bytes for the same cause, since
clients tell a repeated challenge by its text.
"""

from collections.abc import Iterable

from extauthz.pdp.policy import ChallengeScopes, Resource
from extauthz.pdp.reason import ANSWERS, ChallengeError, Reason


def build_challenge(resource: Resource, reason: Reason, scopes: Iterable[str]) -> str:
    """The header value for a refusal whose reason has a challenge. `scopes` in the order to name them."""
    answer = ANSWERS[reason]
    error = answer.challenge
    parameters = []
    if error:
        parameters.append(f'error="{error}"')
    scope = " ".join(scopes)
    if scope and error is not ChallengeError.INVALID_REQUEST:
        parameters.append(f'scope="{scope}"')
    parameters.append(f'resource_metadata="{resource.metadata_url}"')
    if error:
        parameters.append(f'error_description="{answer.message}"')
    return "Bearer " + ", ".join(parameters)


def challenge_scopes(resource: Resource, required: tuple[str, ...], granted: frozenset[str]) -> tuple[str, ...]:
    """The scopes of a step-up: all that the operation needs, and for clients that do not accumulate also those held.

    Of what is held only scopes of this resource are named, in file order; never `offline_access` (MCP 2026-07-28,
    authorization, Refresh Tokens: a resource server should not ask for it).
    """
    if resource.challenge_scopes is ChallengeScopes.REQUIRED:
        return required
    held = tuple(scope for scope in resource.scopes if scope in granted and scope not in required)
    return required + held
