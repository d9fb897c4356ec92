"""What Casdoor tells of logouts beside logout tokens: SSO-logout notifications and webhooks (`casdoor.md` §7.3).

Read from Casdoor's source at v3.158.0: `object/notification.go`, `object/record.go`, `object/webhook_util.go`,
`controllers/account.go`, `controllers/user.go`. Nothing is concluded from what Casdoor has not itself looked up or
acted on: the body of a request stands in a webhook whether or not the request was refused, and members that Casdoor
ignores stand in it as the sender wrote them.
"""

import calendar
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, TypeAlias
from urllib.parse import parse_qs, urlsplit

from extauthz.pdp.policy import Issuer
from extauthz.pdp.revocation.logout_token import MAX_EVENT_AGE_S, MAX_EVENT_AHEAD_S
from extauthz.pdp.revocation.revocation import DEFAULT_LIFE_S, Revocation, RevokedBy
from extauthz.pdp.strict_json import JsonFault, JsonValue, read_json
from extauthz.pdp.token.claims import MAX_IDENTITY_BYTES, has_control

SSO_SOURCE: Final = "casdoor-sso-logout"
WEBHOOK_SOURCE: Final = "casdoor-webhook"

MAX_WEBHOOK_AGE_S: Final = 86_400
"""A webhook is looked for every 30 s, tried three times and can be sent again by hand (`object/webhook_worker.go`). An
old one does no harm: only tokens from before its moment are revoked."""
MAX_WORD_CHARS: Final = 1_000
"""Of a nonce, a session id, a date or a request's path: Casdoor's own columns are no longer."""
MAX_QUERY_FIELDS: Final = 32

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_RFC3339: Final = re.compile(
    r"([1-9][0-9]{3})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)

Members: TypeAlias = Mapping[str, JsonValue]
NewId: TypeAlias = Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CasdoorEvent:
    """An event that was understood and believed. `replay_id` is the same when the same event comes again."""

    replay_id: str = field(repr=False)
    revocations: tuple[Revocation, ...]


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
    `owner|name|nonce|timestamp|session ids|token hashes`. It does not cover `id`, the subject: nothing is concluded
    from that. Two things follow: each token hash is revoked, and everything of the user `owner/name` that was issued
    up to `timestamp`, since a token that was refreshed has left Casdoor's list and counts offline nevertheless.
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
    make = _Maker(issuer, SSO_SOURCE, timestamp, now, new_id)
    tokens = [make.item(RevokedBy.TOKEN, digest) for digest in dict.fromkeys(hashes)]
    return CasdoorEvent(replay_id=nonce, revocations=(make.item(RevokedBy.USER, f"{owner}/{name}"), *tokens))


def read_webhook(body: bytes, issuer: Issuer, now: float, new_id: NewId) -> CasdoorEvent | Ignored | EventFault:
    """Read the audit record that a webhook carries. It has no signature: authenticate the sender first. Never raises.

    ==================================  =====================================================================
    action (answered with success)      what follows
    ==================================  =====================================================================
    `logout`, `sso-logout`              everything of the user who acted, up to the record's moment
    `set-password`                      everything of the user whose password it is (`routers/record.go` names that one)
    `update-user`, forbidden/deleted    everything of the user who was changed
    `delete-user`                       everything of that user
    `delete-token`, `update-token` to   that token: its `jti` is the row's `owner/name` (casdoor.md §2.2)
    a life of 0
    `delete-organization`               everything of that organization
    ==================================  =====================================================================

    Nothing follows from changes of applications: the client id in them is what the sender wrote, not what Casdoor
    acted on.
    """
    found = read_json(body)
    if isinstance(found, JsonFault):
        return EventFault(f"not strict JSON ({found.kind})")
    if not isinstance(found, dict):
        return EventFault("not a JSON object")
    record_id, action, created = (_word(found, member) for member in ("name", "action", "createdTime"))
    if not record_id or not action or not created:
        return EventFault("`name`, `action` or `createdTime` is missing: not an audit record of Casdoor")
    at = _moment(created)
    if at is None:
        return EventFault("`createdTime` is not a date with its offset from UTC")
    if not at - MAX_EVENT_AHEAD_S <= now <= at + MAX_WEBHOOK_AGE_S:
        return Ignored("a record that is not of the last day: revoke by hand if its tokens still live")
    meant = _meant(action, found)
    if isinstance(meant, Ignored):
        return meant
    by, value = meant
    make = _Maker(issuer, WEBHOOK_SOURCE, at, now, new_id)
    return CasdoorEvent(replay_id=record_id, revocations=(make.item(by, value),))


@dataclass(frozen=True, slots=True)
class _Maker:
    issuer: Issuer
    source: str
    before: int
    now: float
    new_id: NewId

    def item(self, by: RevokedBy, value: str) -> Revocation:
        return Revocation(
            id=self.new_id(),
            by=by,
            issuer="" if by is RevokedBy.TOKEN else self.issuer.issuer,
            value=value,
            before=self.before,
            until=int(self.now) + DEFAULT_LIFE_S,
            source=self.source,
        )


_Meant: TypeAlias = tuple[RevokedBy, str]
_FAILED: Final = Ignored("Casdoor refused the request that it tells of")
_UNNAMED: Final = Ignored("the record does not say whom or what it is about: have the webhook send the whole object")


def _meant(action: str, record: Members) -> _Meant | Ignored:
    response = record.get("response")
    succeeded = isinstance(response, str) and response.startswith('{status:"ok", ')
    match action:
        case "logout" | "sso-logout":
            # A logout that ends with a redirect has no status; whoever acted is from Casdoor's own session.
            redirected = response == '{status:"", msg:""}' and action == "logout"
            return _acting(record) if succeeded or redirected else _FAILED
        case "set-password":
            return _acting(record) if succeeded else _FAILED
        case "update-user" | "delete-user" | "delete-token" | "update-token" | "delete-organization":
            return _acted_on(action, record) if succeeded else _FAILED
        case "update-application" | "delete-application":
            return Ignored("an application was changed: where its tokens must go, `extauthz revoke --client`")
        case _:
            return Ignored("an action from which nothing follows: take it off the webhook's events")


def _acting(record: Members) -> _Meant | Ignored:
    organization, user = _word(record, "organization"), _word(record, "user")
    return (RevokedBy.USER, f"{organization}/{user}") if organization and user else _UNNAMED


def _acted_on(action: str, record: Members) -> _Meant | Ignored:
    text = record.get("object")
    posted = read_json(text.encode(errors="replace")) if isinstance(text, str) else None
    if not isinstance(posted, dict):
        return _UNNAMED
    owner, name = _word(posted, "owner"), _word(posted, "name")
    if not owner or not name:
        return _UNNAMED
    named = f"{owner}/{name}"
    match action:
        case "delete-user":
            return RevokedBy.USER, named
        case "delete-token":
            return RevokedBy.JTI, named
        case "delete-organization":
            return RevokedBy.ORGANIZATION, name
        case "update-token":
            life_s = posted.get("expiresIn")
            ended = type(life_s) is int and life_s <= 0
            return (RevokedBy.JTI, named) if ended and _is_target(record, named, owner) else _NOT_ENDED
        case _:
            ended = posted.get("isForbidden") is True or posted.get("isDeleted") is True
            return (RevokedBy.USER, named) if ended and _is_target(record, named, owner) else _NOT_ENDED


_NOT_ENDED: Final = Ignored("a change that ends nothing, or whose object is not the one that was changed")


def _is_target(record: Members, named: str, owner: str) -> bool:
    """Whether the object that was posted is what Casdoor changed, which the query says (`controllers/user.go`).

    Casdoor refuses to give a user the name of another, so that both cannot be somebody else's.
    """
    uri = record.get("requestUri")
    if not isinstance(uri, str) or len(uri) > MAX_WORD_CHARS:
        return False
    try:
        query = parse_qs(urlsplit(uri).query, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        return False
    if "userId" in query:
        return query.get("owner") == [owner]
    return query.get("id") == [named]


def _signed_with_one_of(secrets: Iterable[bytes], signed: bytes, signature: str) -> bool:
    given = signature.encode(errors="replace")
    fits = [hmac.compare_digest(hmac.new(each, signed, sha256).hexdigest().encode(), given) for each in secrets]
    return any(fits)


def _word(members: Members, name: str) -> str:
    """A text that can name somebody; empty when the member is none."""
    value = members.get(name)
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


def _moment(text: str) -> int | None:
    """RFC 3339 in Unix seconds, as Go writes it; None for what is no date, or none of that form."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    *parts, sign, hours, minutes = found.groups()
    year, month, day, hour, minute, second = map(int, parts)
    if not (1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    offset_s = 0 if sign is None else (int(hours) * 60 + int(minutes)) * (60 if sign == "+" else -60)
    return calendar.timegm((year, month, day, hour, minute, second)) - offset_s
