"""SSO-logout notifications of Casdoor, and what they have in common with its webhooks (`casdoor.md` §7.3).

Read from Casdoor's source at v3.158.0: `object/notification.go`, `controllers/account.go`. Webhooks are read by
`pdp.revocation.casdoor_webhook`.
"""

import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, TypeAlias

from extauthz.pdp.policy import Issuer
from extauthz.pdp.revocation.logout_token import MAX_EVENT_AGE_S, MAX_EVENT_AHEAD_S
from extauthz.pdp.revocation.revocation import DEFAULT_LIFE_S, Revocation, RevokedBy
from extauthz.pdp.strict_json import JsonFault, JsonValue, read_json
from extauthz.pdp.token.claims import MAX_IDENTITY_BYTES, has_control

SSO_SOURCE: Final = "casdoor-sso-logout"

MAX_WORD_CHARS: Final = 1_000
"""Of a nonce, a session id, a date or a request's path: Casdoor's own columns are no longer."""
MAX_DIGESTS_OF_ONE: Final = 100
"""Tokens of one user that are revoked one by one. Who has more live tokens is revoked by name and subject alone."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

Members: TypeAlias = Mapping[str, JsonValue]
NewId: TypeAlias = Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CasdoorEvent:
    """An event that was understood and believed. `replay_id` is the same when the same event comes again."""

    replay_id: str = field(repr=False)
    revocations: tuple[Revocation, ...]
    coarser: tuple[Revocation, ...] = ()
    """What to revoke instead where there is no room for tokens one by one; empty where there are none."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event from which nothing follows; `detail` says why, and what to do where something should follow."""

    detail: str


@dataclass(frozen=True, slots=True)
class EventFault:
    """Not an event to be believed. `detail` is one sentence for the operator, without values from the event."""

    detail: str


def read_sso_logout(
    content: bytes, issuer: Issuer, secrets: Iterable[bytes], now: float, new_id: NewId
) -> CasdoorEvent | Ignored | EventFault:
    """Read and authenticate a notification. Never raises.

    The signature is HMAC-SHA-256 with the client secret of the user's sign-up application over
    `owner|name|nonce|timestamp|session ids|token hashes`. Two things follow: each token hash is revoked, and everything
    of the user `owner/name` that was issued up to `timestamp`, since a token that was refreshed has left Casdoor's list
    and counts offline nevertheless. `id`, the subject, is not covered by the signature, and decides nothing but where
    there are too many hashes: it then stands for them, within the organization that is signed.
    Casdoor lists all tokens of the user also where only one browser session ends (`logoutAll=false`); a client whose
    grant goes on gets a new token by its refresh token.
    """
    found = read_json(content)
    if isinstance(found, JsonFault):
        return EventFault(f"not strict JSON ({found.kind})")
    if not isinstance(found, dict):
        return EventFault("not a JSON object")
    owner, name, nonce = (_word(found, member) for member in ("owner", "name", "nonce"))
    timestamp, signature = found.get("timestamp"), found.get("signature")
    sessions, hashes = _words(found.get("sessionIds")), _words(found.get("accessTokenHashes"))
    # `bool` is an `int` in Python.
    if not owner or not name or not nonce or type(timestamp) is not int or not isinstance(signature, str):
        return EventFault("`owner`, `name`, `nonce`, `timestamp` or `signature` is missing or of another form")
    if sessions is None or hashes is None:
        return EventFault("`sessionIds` or `accessTokenHashes` is not a list of words")
    # What stands between fields under the signature must not stand in them, or they could be read in two ways.
    divided = any("|" in text for text in (owner, name, nonce, *sessions)) or any("," in text for text in sessions)
    if divided or not all(map(_DIGEST.fullmatch, hashes)):
        return EventFault("a field has a divider in it, or a token hash is no SHA-256")
    signed = f"{owner}|{name}|{nonce}|{timestamp}|{','.join(sessions)}|{','.join(hashes)}".encode(errors="replace")
    if not _signed_with_one_of(secrets, signed, signature):
        return EventFault("no configured secret fits the signature: set the client secret of the sign-up application")
    if not timestamp - MAX_EVENT_AHEAD_S <= now <= timestamp + MAX_EVENT_AGE_S:
        return EventFault("`timestamp` is not the present: set the clocks of Casdoor and this host right")
    if found.get("event") != "sso-logout":
        return Ignored("a notification about something other than a logout")
    make = ItemMaker(issuer, SSO_SOURCE, timestamp, now, new_id)
    user, subject = make.user(owner, name), _word(found, "id")
    tokens = [make.item(RevokedBy.TOKEN, digest) for digest in dict.fromkeys(hashes)]
    coarser = (user, make.item(RevokedBy.SUBJECT, subject, owner)) if subject and tokens else ()
    if coarser and len(tokens) > MAX_DIGESTS_OF_ONE:
        return CasdoorEvent(replay_id=nonce, revocations=coarser)
    return CasdoorEvent(replay_id=nonce, revocations=(user, *tokens), coarser=coarser)


@dataclass(frozen=True, slots=True)
class ItemMaker:
    """Makes the revocations that follow from one event."""

    issuer: Issuer
    source: str
    before: int
    now: float
    new_id: NewId

    def user(self, organization: str, name: str) -> Revocation:
        """Everything of a user, by name."""
        return self.item(RevokedBy.USER, f"{organization}/{name}", organization)

    def item(self, by: RevokedBy, value: str, organization: str = "") -> Revocation:
        """One item."""
        return Revocation(
            id=self.new_id(),
            by=by,
            issuer="" if by is RevokedBy.TOKEN else self.issuer.issuer,
            value=value,
            organization=organization,
            before=self.before,
            until=int(self.now) + DEFAULT_LIFE_S,
            source=self.source,
        )


def _signed_with_one_of(secrets: Iterable[bytes], signed: bytes, signature: str) -> bool:
    given = signature.encode(errors="replace")
    fits = [hmac.compare_digest(hmac.new(each, signed, sha256).hexdigest().encode(), given) for each in secrets]
    return any(fits)


def _word(members: Members, name: str) -> str:
    return word(members.get(name))


def word(value: object) -> str:
    """A text that can name somebody; empty when the value is none."""
    if not isinstance(value, str) or len(value) > MAX_WORD_CHARS or has_control(value):
        return ""
    return value if len(value.encode(errors="replace")) <= MAX_IDENTITY_BYTES else ""


def _words(value: JsonValue) -> list[str] | None:
    """A list of texts; Go writes an absent list as null."""
    if value is None:
        return []
    if not isinstance(value, list):
        return None
    words = [entry for entry in value if isinstance(entry, str) and len(entry) <= MAX_WORD_CHARS]
    return words if len(words) == len(value) else None
