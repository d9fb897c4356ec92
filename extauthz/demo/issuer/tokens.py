"""Tokens in Casdoor's `JWT-Custom` format with the fields Owner, Name, Groups and an attribute `role_names`."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt

from extauthz.demo.issuer.certificates import Certificate
from extauthz.demo.issuer.realm import Application, User

LIFETIME_S: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token is issued for.

    `user` None: for the client itself (client credentials). `resource` empty: the audience is the client id.
    """

    application: Application
    user: User | None
    scope: str = ""
    resource: str = ""
    nonce: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    """An access token and, for people, the refresh token of the same issue (same `jti`)."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)


def issue(
    grant: Grant,
    certificate: Certificate,
    *,
    issuer: str,
    now: float,
    lifetime_s: int = LIFETIME_S,
    changes: Mapping[str, Any] | None = None,
) -> TokenPair:
    """Sign a pair. `changes` overwrite claims of the access token; None as a value leaves the claim out."""
    claims = _claims(grant, issuer=issuer, now=int(now), lifetime_s=lifetime_s)
    for name, value in (changes or {}).items():
        if value is None:
            claims.pop(name, None)
        else:
            claims[name] = value
    access = _signed(claims, certificate, {"kid": certificate.name})
    refresh = ""
    if grant.user is not None:
        # Casdoor's fault with JWT-Custom: the mark stands under another name, and only the missing `kid` helps.
        refresh = _signed({**claims, "TokenType": "refresh-token"}, certificate, {})
    return TokenPair(access_token=access, refresh_token=refresh, claims=claims)


def _claims(grant: Grant, *, issuer: str, now: int, lifetime_s: int) -> dict[str, Any]:
    application, user = grant.application, grant.user
    return {
        "iss": issuer,
        "sub": f"admin/{application.name}" if user is None else user.id,
        "aud": [grant.resource or application.client_id],
        "exp": now + lifetime_s,
        "nbf": now,
        "iat": now,
        "jti": f"admin/{uuid.uuid4()}",
        "tokenType": "access-token",
        "azp": application.client_id,
        "nonce": grant.nonce,
        "scope": grant.scope,
        "owner": "admin" if user is None else user.organization,
        "name": application.name if user is None else user.name,
        "groups": [] if user is None else list(user.groups),
        "role_names": list(user.roles) if user is not None and user.roles else None,
    }


def _signed(claims: Mapping[str, Any], certificate: Certificate, headers: Mapping[str, Any]) -> str:
    return jwt.encode(dict(claims), certificate.private_key, algorithm=certificate.algorithm, headers=dict(headers))
