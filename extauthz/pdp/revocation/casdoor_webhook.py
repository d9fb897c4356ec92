"""Webhooks of Casdoor: audit records of requests that somebody has sent to its API (`casdoor.md` §7.3).

Read from Casdoor's source at v3.158.0: `object/record.go`, `object/webhook_util.go`, `routers/record.go`,
`routers/authz_filter.go`, `controllers/user.go`, `controllers/token.go`, `controllers/organization.go`.

A record holds what the sender wrote, whether or not Casdoor refused it, ignored it, or read it otherwise. So

1. only requests that succeeded count, and not those of which Casdoor says that nothing was affected;
2. an object is one of the actor's own organization (`organization` of the record, from Casdoor's session), unless that
   is `built-in`, whose users are all global administrators; organizations are those of owner `admin`;
3. who acts on somebody else is an administrator: Casdoor says so in `extendedUser`, its own row of the actor;
4. a member in two spellings, or twice, is not believed: Go's decoder takes the last of them, whatever its case;
5. what was believed so far and cannot be read further names somebody all the same: that somebody is revoked.

Everything is revoked by name, old and new, and by the subject as well, which a rename does not change.
"""

import calendar
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import parse_qs, urlsplit

from extauthz.pdp.policy import Issuer
from extauthz.pdp.revocation.casdoor_events import (
    MAX_WORD_CHARS,
    CasdoorEvent,
    EventFault,
    Ignored,
    ItemMaker,
    NewId,
    word,
)
from extauthz.pdp.revocation.logout_token import MAX_EVENT_AHEAD_S
from extauthz.pdp.revocation.record_scan import Nested, Scanned, Unread, Value, scan
from extauthz.pdp.revocation.revocation import Revocation, RevokedBy

WEBHOOK_SOURCE: Final = "casdoor-webhook"

MAX_WEBHOOK_AGE_S: Final = 86_400
"""A webhook is looked for every 30 s, tried three times and can be sent again by hand (`object/webhook_worker.go`). An
old one does no harm: only tokens from before its moment are revoked."""
MAX_QUERY_FIELDS: Final = 32

BUILT_IN: Final = "built-in"
"""The organization of Casdoor's global administrators (`object/user_util.go`, `IsGlobalAdmin`)."""
ADMIN: Final = "admin"
"""The owner of all organizations, applications and tokens."""

_RECORD: Final = ("name", "action", "createdTime", "organization", "user", "requestUri", "object", "response")
_POSTED: Final = ("owner", "name", "id", "isForbidden", "isDeleted", "organization", "expiresIn")
_ACTOR: Final = ("owner", "name", "id", "isAdmin")

_RFC3339: Final = re.compile(
    r"([1-9][0-9]{3})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_UNAFFECTED: Final = re.compile(r', data: ?"Unaffected"')

_Outcome: TypeAlias = tuple[Revocation, ...] | Ignored | EventFault

_FAILED: Final = Ignored("Casdoor refused the request that it tells of, or nothing was affected by it")
_UNNAMED: Final = Ignored("the record does not say whom or what it is about: have the webhook send the whole object")
_AMBIGUOUS: Final = Ignored("the object has a member twice or in two spellings, so that nobody can tell what was meant")
_ELSEWHERE: Final = Ignored("about an object of another organization than that of the user who sent the request")
_NO_ADMIN: Final = Ignored("about somebody else, by a user who is not an administrator")
_NOT_ENDED: Final = Ignored("a change that ends nothing")
_UNKNOWN_ACTOR: Final = EventFault(
    "the record does not say whether the user who acted on somebody else is an administrator: turn on `User extended` "
    "at the webhook"
)


def read_webhook(body: bytes, issuer: Issuer, now: float, new_id: NewId) -> CasdoorEvent | Ignored | EventFault:
    """Read the audit record that a webhook carries. It has no signature: authenticate the sender first. Never raises.

    ==================================  =====================================================================
    action (answered with success)      what follows
    ==================================  =====================================================================
    `logout`, `sso-logout`              everything of the user who acted, up to the record's moment
    `set-password`                      everything of the user whose password it is (`routers/record.go` names that one)
    `update-user`, forbidden/deleted    everything of the user who was changed, under the old name and the new
    `delete-user`                       everything of that user
    `delete-token`, `update-token` to   that token: its `jti` is the row's `owner/name` (casdoor.md §2.2)
    a life of 0
    `delete-organization`               everything of that organization
    ==================================  =====================================================================

    Nothing follows from changes of applications: the client id in them is what the sender wrote, not what Casdoor
    acted on.
    """
    record = scan(body.decode(errors="replace"), (*_RECORD, "extendedUser"))
    if record is None:
        return EventFault("not a JSON object")
    if record.ambiguous:
        return EventFault("a member of the record is there twice or in two spellings")
    record_id, action, created = (word(record.members.get(name)) for name in ("name", "action", "createdTime"))
    if not record_id or not action or not created:
        return EventFault("`name`, `action` or `createdTime` is missing: not an audit record of Casdoor")
    at = _moment(created)
    if at is None:
        return EventFault("`createdTime` is not a date with its offset from UTC")
    if not at - MAX_EVENT_AHEAD_S <= now <= at + MAX_WEBHOOK_AGE_S:
        return Ignored("a record that is not of the last day: revoke by hand if its tokens still live")
    event = _Event(record.members, _actor(record.members), ItemMaker(issuer, WEBHOOK_SOURCE, at, now, new_id))
    found = event.follows(action)
    if not isinstance(found, tuple):
        return found
    one_token = all(item.by is RevokedBy.JTI for item in found)
    coarser = (event.make.item(RevokedBy.ISSUER, issuer.issuer),) if one_token else ()
    return CasdoorEvent(replay_id=record_id, revocations=found, coarser=coarser)


@dataclass(frozen=True, slots=True)
class _Actor:
    """Who sent the request, by Casdoor's session. Without its row in the record `admin` is None, `subject` empty."""

    organization: str
    name: str
    admin: bool | None
    subject: str = field(repr=False)

    @property
    def is_global(self) -> bool:
        return self.organization == BUILT_IN

    def objection(self, organization: str, name: str | None = None) -> Ignored | EventFault | None:
        """Why an act on this user, or (None) on something else of the organization, is not believed."""
        if self.is_global:
            return None
        if not self.organization or organization != self.organization:
            return _ELSEWHERE
        if (name and name == self.name) or self.admin is True:
            return None
        return _UNKNOWN_ACTOR if self.admin is None else _NO_ADMIN


def _actor(record: Mapping[str, Value]) -> _Actor:
    organization, name = word(record.get("organization")), word(record.get("user"))
    unknown = _Actor(organization, name, None, "")
    row = record.get("extendedUser")
    found = scan(row.text, _ACTOR) if isinstance(row, Nested) else None
    if found is None or found.ambiguous:
        return unknown
    # The webhook's token fields may leave them out; Casdoor looks the row up by both.
    if found.members.get("owner", organization) != organization or found.members.get("name", name) != name:
        return unknown
    admin = found.members.get("isAdmin")
    return _Actor(organization, name, admin if isinstance(admin, bool) else None, word(found.members.get("id")))


@dataclass(frozen=True, slots=True)
class _Event:
    record: Mapping[str, Value]
    actor: _Actor
    make: ItemMaker

    def follows(self, action: str) -> _Outcome:
        response = self.record.get("response")
        text = response if isinstance(response, str) else ""
        succeeded = text.startswith('{status:"ok", ') and _UNAFFECTED.search(text) is None
        match action:
            case "logout" | "sso-logout":
                # A logout that ends with a redirect has no status; whoever acted is from Casdoor's own session.
                redirected = text == '{status:"", msg:""}' and action == "logout"
                return self._acting() if succeeded or redirected else _FAILED
            case "set-password":
                return self._acting() if succeeded else _FAILED
            case "update-user" | "delete-user" | "delete-token" | "update-token" | "delete-organization":
                return self._acted_on(action) if succeeded else _FAILED
            case "update-application" | "delete-application":
                return Ignored("an application was changed: where its tokens must go, `extauthz revoke --client`")
            case _:
                return Ignored("an action from which nothing follows: take it off the webhook's events")

    def _acting(self) -> _Outcome:
        actor = self.actor
        if not actor.organization or not actor.name:
            return _UNNAMED
        return tuple(self._of_user(actor.organization, (actor.name,), (actor.subject,)))

    def _acted_on(self, action: str) -> _Outcome:
        text = self.record.get("object")
        posted = scan(text, _POSTED) if isinstance(text, str) else None
        if posted is None:
            # Nobody who wrote this was understood by Casdoor, unless the webhook sends another object than it read.
            return _UNNAMED
        if posted.ambiguous:
            return _AMBIGUOUS
        match action:
            case "update-user":
                return self._updated_user(posted)
            case "delete-user":
                return self._deleted_user(posted)
            case "delete-organization":
                return self._deleted_organization(posted)
            case _:
                return self._token(posted, deleted=action == "delete-token")

    def _deleted_user(self, posted: Scanned) -> _Outcome:
        owner, name = _names(posted)
        subject = self._subject(posted, owner, name)
        unnamed = posted.whole and not posted.members.get("name")
        if not owner or unnamed or not (name or subject):
            return _UNNAMED
        return self.actor.objection(owner, name) or tuple(self._of_user(owner, (name,), (subject,)))

    def _deleted_organization(self, posted: Scanned) -> _Outcome:
        owner, name = _names(posted)
        if not owner or not name:
            return _UNNAMED
        if owner != ADMIN or name == BUILT_IN:
            # There is no such organization, or Casdoor keeps it (`object/organization.go`).
            return _FAILED
        return self.actor.objection(name) or (self.make.item(RevokedBy.ORGANIZATION, name),)

    def _token(self, posted: Scanned, *, deleted: bool) -> _Outcome:
        owner, name = _names(posted)
        if not owner or not name:
            return _UNNAMED
        life_s = posted.members.get("expiresIn")
        unread = isinstance(life_s, Unread | Nested) or (life_s is None and not posted.whole)
        if not deleted:
            if not unread and not (type(life_s) is int and life_s <= 0):
                return _NOT_ENDED
            query = self._query()
            if query is not None and query.get("id") != [f"{owner}/{name}"]:
                return Ignored("a change whose object is not the token that was changed")
        of = word(posted.members.get("organization"))
        objection = self.actor.objection(of or self.actor.organization)
        # What a global administrator sends is as good as Casdoor's own word. Anybody else's counts within the actor's
        # organization: the row may be another's, which Casdoor then has not touched (`object/token.go`, `DeleteToken`).
        within = of if self.actor.is_global else self.actor.organization
        return objection or (self.make.item(RevokedBy.JTI, f"{owner}/{name}", within),)

    def _updated_user(self, posted: Scanned) -> _Outcome:
        flags = [posted.members.get(name, False if posted.whole else Unread()) for name in ("isForbidden", "isDeleted")]
        if not any(flag is True or isinstance(flag, Unread) for flag in flags):
            return _NOT_ENDED
        owner, name = _names(posted)
        if not owner and posted.whole:
            return _UNNAMED
        query = self._query()
        if query is None:
            # What was changed cannot be read; whom the object names is known all the same.
            return self._deleted_user(posted)
        old = self._target(query, owner, name)
        if isinstance(old, Ignored):
            return old
        old_owner, old_name, subject = old
        own = (old_owner, old_name) == (self.actor.organization, self.actor.name)
        objection = self.actor.objection(old_owner, old_name) or self.actor.objection(owner or old_owner, old_name)
        if objection is not None:
            return objection
        if own and not self.actor.is_global and self.actor.admin is not True:
            # Nobody but an administrator changes name and subject, whatever was sent.
            return tuple(self._of_user(old_owner, (old_name,), (self.actor.subject,)))
        items = list(self._of_user(old_owner, (old_name, name), (subject, word(posted.members.get("id")))))
        if owner and owner != old_owner:
            items += self._of_user(owner, (name,), (word(posted.members.get("id")),))
        return tuple(items)

    def _target(self, query: Mapping[str, list[str]], owner: str, name: str) -> tuple[str, str, str] | Ignored:
        """Organization, name and subject of the user whom Casdoor changed (`controllers/user.go`, `UpdateUser`)."""
        ids, subjects, owners = (query.get(each, []) for each in ("id", "userId", "owner"))
        if max(len(ids), len(subjects), len(owners)) > 1:
            return Ignored("a change whose address names more than one user")
        if subjects:
            return (owners[0], "", subjects[0]) if owners and word(subjects[0]) else _UNNAMED
        if not ids:
            actor = self.actor
            return (owner, name, "") if (owner, name) == (actor.organization, actor.name) else _UNNAMED
        old_owner, _, old_name = ids[0].partition("/")
        return (old_owner, old_name, "") if word(old_owner) and word(old_name) else _UNNAMED

    def _subject(self, posted: Scanned, owner: str, name: str) -> str:
        """The subject that belongs to a name: the actor's own by Casdoor's row, others' by the administrator's word."""
        own = (owner, name) == (self.actor.organization, self.actor.name)
        return self.actor.subject if own and not self.actor.is_global else word(posted.members.get("id"))

    def _of_user(self, organization: str, names: tuple[str, ...], subjects: tuple[str, ...]) -> Iterator[Revocation]:
        for name in dict.fromkeys(names):
            if name:
                yield self.make.user(organization, name)
        for subject in dict.fromkeys(subjects):
            if subject:
                yield self.make.item(RevokedBy.SUBJECT, subject, organization)

    def _query(self) -> Mapping[str, list[str]] | None:
        """The request's query; None where it cannot be read, or Casdoor may have cut it (`object/record.go`)."""
        uri = self.record.get("requestUri")
        if not isinstance(uri, str) or len(uri.encode(errors="replace")) >= MAX_WORD_CHARS:
            return None
        try:
            return parse_qs(urlsplit(uri).query, max_num_fields=MAX_QUERY_FIELDS)
        except ValueError:
            return None


def _names(posted: Scanned) -> tuple[str, str]:
    return word(posted.members.get("owner")), word(posted.members.get("name"))


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
