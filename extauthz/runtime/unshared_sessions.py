"""Policies that several workers without a shared store cannot keep: each would bind session ids for itself alone."""

from extauthz.pdp.policy import Policy

_NAMED = 3
"""Resources named in the message; a policy can have hundreds."""


def unshared_sessions(policy: Policy) -> str:
    """Why workers that share nothing cannot serve this policy; empty where they can.

    The second worker would take a session's first caller there for its owner: a thief gets in, and the owner is refused
    from then on.
    """
    bound = [name for name, resource in policy.resources.items() if resource.session_binding]
    if not bound:
        return ""
    names = ", ".join(bound[:_NAMED]) + (f" and {len(bound) - _NAMED} more" if len(bound) > _NAMED else "")
    return (
        f"several workers without Redis cannot bind session ids to their owners (resources: {names}): set "
        "EXTAUTHZ_REDIS_URL, or use one worker, or set session_binding: false where servers keep no sessions"
    )
