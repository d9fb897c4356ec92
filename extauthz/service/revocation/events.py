"""Events of issuers that end tokens: each authenticated, taken once, and told to the revoker.

    back-channel logout     signed by the issuer with its own keys              pdp.logout_token
    SSO-logout notification signed with a client secret                         pdp.casdoor_events
    webhook                 sent with a secret in a header                      pdp.casdoor_events

Each is addressed to one issuer of the policy, by its name there. An event can only ever refuse tokens, and only those
issued before its own moment: whoever forges or repeats one gains no access.
"""

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

from extauthz.pdp.decision.decision import Deny
from extauthz.pdp.policy import Issuer, Policy
from extauthz.pdp.revocation.casdoor_events import (
    MAX_WEBHOOK_AGE_S,
    CasdoorEvent,
    EventFault,
    Ignored,
    read_sso_logout,
    read_webhook,
)
from extauthz.pdp.revocation.logout_token import MAX_EVENT_AGE_S, MAX_EVENT_AHEAD_S, judge_logout
from extauthz.pdp.revocation.revocation import Key, Revocation, RevokedBy, key_of
from extauthz.pdp.token.claims import shown
from extauthz.pdp.token.signed_token import SignedToken, inspect
from extauthz.pdp.token.token_fault import TokenFault
from extauthz.service.keys.keyring import KeyRing
from extauthz.service.needs import Answer, Need, Resolved
from extauthz.service.revocation.replay import Replays
from extauthz.service.revocation.revoking import Refused, RefusedCause, Revoker, Spread
from extauthz.service.tokens.authentication import Moment, signed_by

CASDOOR: Final = "casdoor"
"""The profile of issuers that send notifications and webhooks."""

_ONE_TOKEN: Final = frozenset({RevokedBy.TOKEN, RevokedBy.JTI})


class EventKind(StrEnum):
    """What was sent."""

    BACKCHANNEL_LOGOUT = "backchannel-logout"
    SSO_LOGOUT = "sso-logout"
    WEBHOOK = "webhook"


class NotTakenCause(StrEnum):
    """Why an event was not taken."""

    NO_ISSUER = "no_issuer"
    """The policy has no issuer of that name that sends such events."""
    CLOSED = "closed"
    """No secret is configured for it."""
    UNAUTHENTICATED = "unauthenticated"
    """The secret in the header is none that is configured."""
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"
    """It could not be judged or kept now."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The event was believed. `spread` is None where nothing new followed from it; `detail` then says why."""

    revoked: int
    spread: Spread | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Nothing follows from what was sent. `detail` is for the operator's log, not for the sender."""

    cause: NotTakenCause
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSecrets:
    """What events are authenticated with, beside the issuers' keys. Empty: that kind of event is not taken."""

    sso: tuple[bytes, ...] = ()
    webhook: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return "EventSecrets(…)"


class KeyResolver(Protocol):
    """Obtains what judging a logout token lacks; called from the thread that judges, and bounded in time."""

    def __call__(self, need: Need) -> Answer:
        """The answer to a need."""
        ...


class EventLog(Protocol):
    """Told what became of each event. Never raises."""

    def taken(self, kind: EventKind, issuer: str, revoked: int, spread: Spread) -> None:
        """Something follows from an event of this issuer."""
        ...

    def ignored(self, kind: EventKind, issuer: str, detail: str) -> None:
        """Nothing follows from an event, and why."""
        ...

    def not_taken(self, kind: EventKind, cause: NotTakenCause, detail: str) -> None:
        """What was sent is not believed, or cannot be kept; `detail` says how to mend it."""
        ...


_Event: TypeAlias = tuple[str, tuple[Revocation, ...]]
"""What is the same when the event comes again, and what follows from it."""


class Events:
    """Takes events, from any thread but that of the I/O loop. Never raises for what was sent."""

    def __init__(
        self,
        *,
        policy: Callable[[], Policy],
        ring: KeyRing,
        supply: KeyResolver,
        revoker: Revoker,
        secrets: EventSecrets,
        log: EventLog,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._policy = policy
        self._ring = ring
        self._supply = supply
        self._revoker = revoker
        self._secrets = secrets
        self._clock = clock
        self._new_id = new_id
        self._replays = Replays()
        self._log = log

    def backchannel_logout(self, issuer_name: str, logout_token: str) -> Taken | NotTaken:
        """A logout token (OpenID Connect Back-Channel Logout 1.0 §2.5), of any kind of issuer."""
        kind = EventKind.BACKCHANNEL_LOGOUT
        issuer = self._policy().issuers.get(issuer_name)
        if issuer is None:
            return self._not_taken(
                kind, NotTakenCause.NO_ISSUER, f"no issuer of the policy is called {shown(issuer_name)}"
            )
        signed = self._signed(issuer, logout_token)
        if isinstance(signed, NotTaken):
            return self._not_taken(kind, signed.cause, signed.detail)
        now = self._clock()
        judged = judge_logout(signed, issuer, now)
        if isinstance(judged, TokenFault):
            return self._not_taken(kind, NotTakenCause.INVALID, judged.detail)
        revocations = judged.revocations(issuer, now, self._new_id)
        return self._take(kind, issuer, (judged.token_id, revocations), MAX_EVENT_AGE_S + MAX_EVENT_AHEAD_S)

    def sso_logout(self, issuer_name: str, content: bytes) -> Taken | NotTaken:
        """An SSO-logout notification of Casdoor (casdoor.md §7.3)."""
        kind, hint = EventKind.SSO_LOGOUT, "set EXTAUTHZ_CASDOOR_SSO_SECRET to the application's client secret"
        issuer = self._casdoor(kind, issuer_name, self._secrets.sso, hint)
        if isinstance(issuer, NotTaken):
            return issuer
        found = read_sso_logout(content, issuer, self._secrets.sso, self._clock(), self._new_id)
        return self._read(kind, issuer, found, MAX_EVENT_AGE_S + MAX_EVENT_AHEAD_S)

    def webhook(self, issuer_name: str, secret: str, body: bytes) -> Taken | NotTaken:
        """A webhook of Casdoor (casdoor.md §7.3), sent with this secret in its header."""
        kind, hint = EventKind.WEBHOOK, "set EXTAUTHZ_CASDOOR_WEBHOOK_SECRET to what the webhook's header carries"
        issuer = self._casdoor(kind, issuer_name, self._secrets.webhook, hint)
        if isinstance(issuer, NotTaken):
            return issuer
        if not is_one_of(secret, self._secrets.webhook):
            detail = "the Authorization header has none of the secrets in EXTAUTHZ_CASDOOR_WEBHOOK_SECRET"
            return self._not_taken(kind, NotTakenCause.UNAUTHENTICATED, detail)
        found = read_webhook(body, issuer, self._clock(), self._new_id)
        return self._read(kind, issuer, found, MAX_WEBHOOK_AGE_S + MAX_EVENT_AHEAD_S)

    def _casdoor(self, kind: EventKind, issuer_name: str, secrets: tuple[bytes, ...], hint: str) -> Issuer | NotTaken:
        issuer = self._policy().issuers.get(issuer_name)
        if issuer is None or issuer.profile != CASDOOR:
            detail = f"no issuer of the policy with profile {CASDOOR} is called {shown(issuer_name)}"
            return self._not_taken(kind, NotTakenCause.NO_ISSUER, detail)
        if not secrets:
            return self._not_taken(kind, NotTakenCause.CLOSED, f"such events are not taken: {hint}")
        return issuer

    def _signed(self, issuer: Issuer, text: str) -> SignedToken | NotTaken:
        token = inspect(text)
        if isinstance(token, TokenFault):
            return NotTaken(NotTakenCause.INVALID, token.detail)
        steps = signed_by(token, issuer, self._ring, Moment(now=self._clock(), deadline=None))
        try:
            need = next(steps)
            while True:
                need = steps.send(Resolved(answer=self._supply(need), now=self._clock()))
        except StopIteration as finished:
            signed = finished.value
        if isinstance(signed, SignedToken):
            return signed
        cause = NotTakenCause.INVALID if isinstance(signed, Deny) else NotTakenCause.UNAVAILABLE
        return NotTaken(cause, signed.detail)

    def _read(
        self, kind: EventKind, issuer: Issuer, found: CasdoorEvent | Ignored | EventFault, life_s: float
    ) -> Taken | NotTaken:
        match found:
            case EventFault(detail):
                return self._not_taken(kind, NotTakenCause.INVALID, detail)
            case Ignored(detail):
                self._log.ignored(kind, issuer.name, detail)
                return Taken(0, None, detail)
            case CasdoorEvent(replay_id=replay_id, revocations=revocations):
                return self._take(kind, issuer, (replay_id, revocations), life_s)

    def _take(self, kind: EventKind, issuer: Issuer, event: _Event, life_s: float) -> Taken | NotTaken:
        replay_id, revocations = event
        name = (kind, issuer.name, replay_id)
        if not self._replays.first(name, self._clock(), life_s):
            return Taken(0, None, "this event was taken before")
        new = tuple(self._news(revocations))
        if not new:
            return Taken(0, None, "all of it is revoked already")
        spread = self._revoker.revoke(new)
        if isinstance(spread, Refused):
            self._replays.forget(name)
            cause = NotTakenCause.INVALID if spread.cause is RefusedCause.INVALID else NotTakenCause.UNAVAILABLE
            return self._not_taken(kind, cause, spread.detail)
        self._log.taken(kind, issuer.name, len(new), spread)
        return Taken(len(new), spread)

    def _news(self, revocations: Iterable[Revocation]) -> Iterable[Revocation]:
        """Those that say more than what is in force."""
        known: dict[Key, int] = {}
        for item in self._revoker.listed():
            key = key_of(item)
            known[key] = max(item.before, known.get(key, item.before))
        for item in revocations:
            before = known.get(key_of(item))
            if before is None or (item.by not in _ONE_TOKEN and before < item.before):
                yield item

    def _not_taken(self, kind: EventKind, cause: NotTakenCause, detail: str) -> NotTaken:
        self._log.not_taken(kind, cause, detail)
        return NotTaken(cause, detail)


def is_one_of(given: str, secrets: Iterable[bytes]) -> bool:
    """Whether a secret is one of these, in a time that does not tell which or how nearly."""
    text = given.encode(errors="replace")
    fits = [hmac.compare_digest(text, each) for each in secrets]
    return any(fits)
