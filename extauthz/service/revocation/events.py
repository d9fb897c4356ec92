"""Events of issuers that end tokens: each authenticated, taken once, and told to the revoker.

    back-channel logout     signed by the issuer with its own keys              pdp.logout_token
    SSO-logout notification signed with a client secret                         pdp.casdoor_events
    webhook                 sent with a secret in a header                      pdp.casdoor_webhook

Each is addressed to one issuer of the policy, by its name there. An event can only ever refuse tokens, and only those
issued before its own moment: whoever forges or repeats one gains no access.
"""

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from extauthz.pdp.decision.decision import Deny
from extauthz.pdp.policy import Issuer, Policy
from extauthz.pdp.revocation.casdoor_events import CasdoorEvent, EventFault, Ignored, read_sso_logout
from extauthz.pdp.revocation.casdoor_webhook import MAX_WEBHOOK_AGE_S, read_webhook
from extauthz.pdp.revocation.logout_token import MAX_EVENT_AGE_S, MAX_EVENT_AHEAD_S, judge_logout
from extauthz.pdp.revocation.revocation import OPERATOR_SOURCE, Key, Revocation, covers, is_one_token, key_of
from extauthz.pdp.token.claims import shown
from extauthz.pdp.token.signed_token import SignedToken, inspect
from extauthz.pdp.token.token_fault import TokenFault
from extauthz.service.asking import drive
from extauthz.service.call import Moment
from extauthz.service.keys.keyring import KeyRing
from extauthz.service.needs import Answer, Awaited, Need, NeedLock, Resolved
from extauthz.service.revocation.bounds import MAX_OF_TOKENS
from extauthz.service.revocation.replay import Replays
from extauthz.service.revocation.revoking import Refused, RefusedCause, Revoker, Spread
from extauthz.service.tokens.authentication import signed_by

CASDOOR: Final = "casdoor"
"""The profile of issuers that send notifications and webhooks."""


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
    """The event was believed. `spread` is None where there was nothing to put in force; `detail` then says why."""

    revoked: int
    """How many revocations refuse what nothing else in force refuses."""
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


class Events:
    """Takes events, from any thread but that of the I/O loop. Never raises for what was sent."""

    def __init__(
        self,
        *,
        policy: Callable[[], Policy],
        ring: KeyRing,
        resolve_keys: KeyResolver,
        revoker: Revoker,
        secrets: EventSecrets,
        log: EventLog,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        """`clock` gives Unix seconds, by which events are judged; `monotonic` seconds that nobody sets."""
        self._policy = policy
        self._ring = ring
        self._resolve_keys = resolve_keys
        self._revoker = revoker
        self._secrets = secrets
        self._clock = clock
        self._monotonic = monotonic
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
        event = CasdoorEvent(replay_id=judged.token_id, revocations=revocations)
        return self._take(kind, issuer, event, MAX_EVENT_AGE_S + MAX_EVENT_AHEAD_S)

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

    def knows_webhook(self, secret: str) -> bool:
        """Whether this is a secret of webhooks."""
        return is_one_of(secret, self._secrets.webhook)

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
        moment = Moment(now=self._clock(), deadline=None)
        signed = drive(signed_by(token, issuer, self._ring, moment), self._resolved)
        if isinstance(signed, SignedToken):
            return signed
        cause = NotTakenCause.INVALID if isinstance(signed, Deny) else NotTakenCause.UNAVAILABLE
        return NotTaken(cause, signed.detail)

    def _resolved(self, need: Awaited) -> Resolved:
        answer = None if isinstance(need, NeedLock) else self._resolve_keys(need)
        return Resolved(answer=answer, now=self._clock())

    def _read(
        self, kind: EventKind, issuer: Issuer, found: CasdoorEvent | Ignored | EventFault, life_s: float
    ) -> Taken | NotTaken:
        match found:
            case EventFault(detail):
                return self._not_taken(kind, NotTakenCause.INVALID, detail)
            case Ignored(detail):
                self._log.ignored(kind, issuer.name, detail)
                return Taken(0, None, detail)
            case CasdoorEvent():
                return self._take(kind, issuer, found, life_s)

    def _take(self, kind: EventKind, issuer: Issuer, event: CasdoorEvent, life_s: float) -> Taken | NotTaken:
        name = (kind, issuer.name, event.replay_id)
        if not self._replays.first(name, self._monotonic(), life_s):
            return Taken(0, None, "this event was taken before")
        known = self._revoker.listed()
        items = _not_said_before(_within_bounds(event, known), known)
        if not items:
            return Taken(0, None, "all of it is revoked already")
        spread = self._revoker.revoke(items)
        if isinstance(spread, Refused):
            self._replays.forget(name)
            cause = NotTakenCause.INVALID if spread.cause is RefusedCause.INVALID else NotTakenCause.UNAVAILABLE
            return self._not_taken(kind, cause, spread.detail)
        revoked = len(_news(items, known))
        self._log.taken(kind, issuer.name, revoked, spread)
        return Taken(revoked, spread)

    def _not_taken(self, kind: EventKind, cause: NotTakenCause, detail: str) -> NotTaken:
        self._log.not_taken(kind, cause, detail)
        return NotTaken(cause, detail)


def _within_bounds(event: CasdoorEvent, known: Sequence[Revocation]) -> tuple[Revocation, ...]:
    """What an event revokes: single tokens only while there is room for them, since nothing is wider than these."""
    single = sum(is_one_token(item) for item in event.revocations)
    if not event.coarser or not single:
        return event.revocations
    there = sum(is_one_token(item) and item.source != OPERATOR_SOURCE for item in known)
    return event.revocations if there + single <= MAX_OF_TOKENS else event.coarser


def _not_said_before(items: Sequence[Revocation], known: Sequence[Revocation]) -> tuple[Revocation, ...]:
    """Those that have to be kept: also what something else in force refuses as well, which may be taken back.

    What the same source has said of the same token, and of the same group until the same moment, is no new word.
    """
    said = _by_key(items, known)
    return tuple(
        item
        for item in items
        if not any(
            covers(other, item) and other.source == item.source and (is_one_token(item) or other.before == item.before)
            for other in said.get(key_of(item), ())
        )
    )


def _news(items: Sequence[Revocation], known: Sequence[Revocation]) -> tuple[Revocation, ...]:
    """Those that refuse something, or for longer, that nothing else in force does."""
    there = _by_key(items, known)
    return tuple(item for item in items if not any(covers(other, item) for other in there.get(key_of(item), ())))


def _by_key(items: Sequence[Revocation], known: Sequence[Revocation]) -> dict[Key, list[Revocation]]:
    wanted = {key_of(item) for item in items}
    found: dict[Key, list[Revocation]] = {}
    for other in known:
        key = key_of(other)
        if key in wanted:
            found.setdefault(key, []).append(other)
    return found


def is_one_of(given: str, secrets: Iterable[bytes]) -> bool:
    """Whether a secret is one of these, in a time that does not tell which or how nearly."""
    text = given.encode(errors="replace")
    fits = [hmac.compare_digest(text, each) for each in secrets]
    return any(fits)
