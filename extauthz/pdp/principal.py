"""Who a verified token speaks for: what is kept of the claims, and nothing else."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The identity that policy, upstream headers and the audit line see. Empty strings where the token says nothing."""

    issuer: str
    subject: str
    organization: str
    name: str
    client_id: str
    scopes: frozenset[str]
    roles: frozenset[str]
    groups: frozenset[str]
    machine: bool
    """True for a token that a client got for itself (client credentials)."""
    unread_scopes: str = ""
    """A claim with scopes that the issuer's profile does not read, where it found none in those that it reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedToken:
    """A token that passed every check: who it is for, and until when (Unix seconds as in the token, no leeway)."""

    principal: Principal
    issued_at: int
    expires_at: int
    token_id: str
    """`jti`; empty when absent."""
    digests: tuple[bytes, ...] = field(repr=False)
    """The digests under which it may have been revoked: its own first, and for ECDSA that of its second spelling."""
