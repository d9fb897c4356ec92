"""Logout tokens: an issuer's signed word that a subject is logged out at a client.

OpenID Connect Back-Channel Logout 1.0; what Casdoor sends is in `casdoor.md` §2.6 and §7.3. A logout token is taken
apart by `inspect` and its signature checked by `verify_signature`, as an access token's is; what its claims say is
judged here, and no access token passes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from extauthz.pdp.policy import Issuer
from extauthz.pdp.reason import Reason
from extauthz.pdp.revocation.revocation import DEFAULT_LIFE_S, Revocation, RevokedBy
from extauthz.pdp.token.claims import Claims, read_audiences, read_date, read_identity, read_token_id, shown
from extauthz.pdp.token.signed_token import SignedToken
from extauthz.pdp.token.token_fault import TokenFault

LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
"""§2.4: the member of `events` that makes a JWT a logout token."""
MAX_EVENT_AGE_S: Final = 300
"""Issuers send a logout token at once and Casdoor never again; five minutes leave room for clocks and queues."""
MAX_EVENT_AHEAD_S: Final = 60
"""How far an issuer's clock may be ahead."""
MAX_CLIENTS: Final = 16
"""Audiences of one logout token. Casdoor names one (casdoor.md §2.6)."""
SOURCE: Final = "backchannel-logout"

# §2.4 recommends `logout+jwt`; Casdoor sends `JWT` (casdoor.md §2.1).
_TYPES: Final = frozenset({"", "jwt", "logout+jwt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedOut:
    """A subject is logged out at these clients since a moment (Unix seconds)."""

    subject: str = field(repr=False)
    clients: tuple[str, ...] = field(repr=False)
    at: int
    token_id: str = field(repr=False)
    """`jti`: a logout token with the same one is the same event."""

    def revocations(self, issuer: Issuer, now: float, new_id: Callable[[], str]) -> tuple[Revocation, ...]:
        """What follows: the subject's tokens for each client, as far as they were issued up to that moment."""
        return tuple(
            Revocation(
                id=new_id(),
                by=RevokedBy.SUBJECT,
                issuer=issuer.issuer,
                value=self.subject,
                client=client,
                before=self.at,
                until=int(now) + DEFAULT_LIFE_S,
                source=SOURCE,
            )
            for client in self.clients
        )


def judge_logout(signed: SignedToken, issuer: Issuer, now: float) -> LoggedOut | TokenFault:
    """Judge the claims of a token that the issuer's keys signed, by Back-Channel Logout 1.0 §2.6. Never raises.

    1. `iss` is this issuer's, byte for byte
    2. `typ` is one that logout tokens have; the algorithm is any that the key is for, since Casdoor signs logout
       tokens with RS256 where the application's other tokens have RS512         casdoor.md §2.1
    3. `events` names a logout and `nonce` is absent: no access or ID token passes
    4. `iat` is the present, give or take the limits above; `exp`, which Casdoor leaves out, has not passed
    5. `sub` is there: a `sid` alone says nothing about access tokens
    6. `aud` names clients whose tokens count
    7. `jti` is there, to know a token that comes twice
    """
    token, claims = signed.token, signed.token.claims
    # 1
    if token.issuer != issuer.issuer:
        return _fault(Reason.TOKEN_ISSUER, f"`iss` is not {shown(issuer.issuer)}: send it to its own issuer's address")
    # 2, 3
    if token.media_type not in _TYPES:
        return _fault(Reason.TOKEN_TYPE, "header `typ` is not one of a logout token")
    if not _tells_a_logout(claims):
        return _fault(Reason.TOKEN_TYPE, f"not a logout token: `events` has no object {LOGOUT_EVENT}")
    if "nonce" in claims:
        return _fault(Reason.TOKEN_TYPE, "claim `nonce` is there, which logout tokens never have")
    # 4
    at, ends = read_date(claims, "iat"), read_date(claims, "exp")
    if isinstance(at, TokenFault):
        return at
    if isinstance(ends, TokenFault):
        return ends
    if at is None:
        return _fault(Reason.TOKEN_MALFORMED, "claim `iat` is missing")
    # Written so that a clock that is not a number refuses.
    if not at - MAX_EVENT_AHEAD_S <= now <= at + MAX_EVENT_AGE_S:
        where = "past" if now > at else "ahead"
        return _fault(
            Reason.TOKEN_EXPIRED, f"`iat` is {abs(now - at):.0f} s {where}: set the clocks of issuer and host right"
        )
    if ends is not None and not now < ends + issuer.leeway_s:
        return _fault(Reason.TOKEN_EXPIRED, "`exp` has passed: set the clocks of issuer and host right")
    # 5
    subject = read_identity(claims.get("sub"), "sub")
    if isinstance(subject, TokenFault):
        return subject
    if not subject:
        return _fault(Reason.TOKEN_SUBJECT, "claim `sub` is missing: have the issuer name the subject")
    # 6
    clients = _clients(claims, issuer)
    if isinstance(clients, TokenFault):
        return clients
    # 7
    token_id = read_token_id(claims.get("jti"))
    if isinstance(token_id, TokenFault):
        return token_id
    if not token_id:
        return _fault(Reason.TOKEN_MALFORMED, "claim `jti` is missing")
    return LoggedOut(subject=subject, clients=clients, at=math.ceil(at), token_id=token_id)


def _tells_a_logout(claims: Claims) -> bool:
    events = claims.get("events")
    return isinstance(events, dict) and isinstance(events.get(LOGOUT_EVENT), dict)


def _clients(claims: Claims, issuer: Issuer) -> tuple[str, ...] | TokenFault:
    audiences = read_audiences(claims.get("aud"))
    if isinstance(audiences, TokenFault):
        return audiences
    if len(audiences) > MAX_CLIENTS:
        return _fault(Reason.TOKEN_AUDIENCE, f"claim `aud` names more than {MAX_CLIENTS} clients")
    clients = []
    for audience in dict.fromkeys(audiences):
        client = read_identity(audience, "aud")
        if isinstance(client, TokenFault):
            return client
        if client and issuer.takes_client(client):
            clients.append(client)
    if not clients:
        return _fault(Reason.TOKEN_AUDIENCE, f"claim `aud` names none of `clients` of issuer {issuer.name}")
    return tuple(clients)


def _fault(reason: Reason, detail: str) -> TokenFault:
    return TokenFault(reason, detail)
