"""Revocations: tokens that stopped counting before their end, one by one or everything of somebody up to a moment.

A revocation is an immutable item with a random id, and so is taking one back (`undoes`). What is known is a set of
items that only grows until items end, so order, repetition and replay of items make no difference.

An item covers another when every token that the other refuses is refused by it too, for at least as long. Where a
process holds too many, several are merged into one that covers them (`service.revocation.bounds`).

Form of an item outside the process: a JSON object with every field of `Revocation`, and nothing else; `organization`
is left out where it is empty, as in the items of 0.1.0.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Final, TypeAlias

from extauthz.pdp.principal import VerifiedToken
from extauthz.pdp.strict_json import JsonFault, read_json
from extauthz.pdp.token.claims import MAX_DATE, MAX_IDENTITY_BYTES

MAX_AHEAD_S: Final = 60
"""How far `before` may lie in the future: as much as clocks of issuers are given, so that tokens of an issuer whose
clock is ahead can be met too. More would lock out tokens that nobody has asked for yet."""
DEFAULT_LIFE_S: Final = 31 * 86_400
"""Access tokens of Casdoor live for 7 days unless told otherwise (casdoor.md §9); a month covers most others."""
MAX_LIFE_S: Final = 366 * 86_400
"""A token that lives longer than a year is not mended by revoking it."""
TOKEN_GRACE_S: Final = 60
"""A revoked token is remembered for this long after its `exp`: no issuer's leeway is larger."""
MAX_ISSUER_BYTES: Final = 2_048
MAX_PACKED_BYTES: Final = 160 * 1024
"""Of an item as JSON: issuer, value, client and organization at their largest, with room for escapes."""

OPERATOR_SOURCE: Final = "admin"
"""Items that an operator ordered. They are never merged."""
MERGED_SOURCE: Final = "merged"
"""Items that stand for several others, which are gone. They cannot be taken back."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SOURCE: Final = re.compile(r"[a-z0-9-]{1,32}")

Key: TypeAlias = tuple[str, ...]
"""What a revocation and the tokens that it means have in common."""


class RevokedBy(StrEnum):
    """What names the tokens."""

    TOKEN = "token"  # noqa: S105 - a kind of name, not a secret
    """SHA-256 of the whole token as sent, in lower-case hexadecimal."""
    JTI = "jti"
    SUBJECT = "subject"
    CLIENT = "client"
    ORGANIZATION = "organization"
    USER = "user"
    """`organization/name`, as Casdoor names a user where it does not tell the subject (casdoor.md §7.3)."""
    TENANT = "tenant"
    """An organization, and every token of the issuer that belongs to none: what items with `organization` merge into.
    """
    ISSUER = "issuer"
    """Everything of an issuer; `value` is its `iss`. What is left when nothing narrower has room."""


ORDERED: Final = tuple(kind for kind in RevokedBy if kind not in (RevokedBy.TENANT, RevokedBy.ISSUER))
"""The kinds that an operator can ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One item: tokens that count no more, or (with `undoes`) an earlier item that counts no more."""

    id: str
    """Random; 8 to 64 letters, digits, `_` and `-`."""
    by: RevokedBy
    value: str = field(repr=False)
    """The digest, `jti`, subject, client id, organization or user, compared exactly."""
    issuer: str = ""
    """`iss` of the tokens, compared exactly; empty with `by=token` alone, whose digest needs no issuer."""
    client: str = field(default="", repr=False)
    """With `by=subject`: only the subject's tokens for this client (OIDC Back-Channel Logout). Empty: for any."""
    organization: str = ""
    """With `by=user`: where the organization ends in `value`, which may have more than one `/`. With `by=subject` and
    `by=jti`: only tokens of this organization, and those that belong to none. Compared exactly."""
    before: int = 0
    """Unix seconds. One token is revoked whatever this says; of everything else, tokens whose `iat` is not after it. A
    `jti` within an organization is the latter: the word of that organization's administrators about their own."""
    until: int
    """Unix seconds: the item ends here. It has to be later than the end of every token that it means."""
    source: str
    """Where it came from: `admin`, `casdoor-backchannel`, …; lower-case letters, digits and `-`."""
    undoes: str = ""
    """The id of the item that this one takes back."""


@dataclass(frozen=True, slots=True)
class RevocationFault:
    """Why something is no revocation: one sentence that says what is wrong and how to mend it."""

    detail: str


def user_of(revocation: Revocation) -> tuple[str, str]:
    """Organization and name of `by=user`. Casdoor divides at the first `/` too (`util.GetOwnerAndNameFromIdNoCheck`).

    Names are compared in lower case: MySQL, its usual database, finds `frank` under `FRANK` (casdoor.md §7.3).
    """
    if revocation.organization:
        return revocation.organization, revocation.value[len(revocation.organization) + 1 :].casefold()
    organization, _, name = revocation.value.partition("/")
    return organization, name.casefold()


def key_of(revocation: Revocation) -> Key:
    """The key of the tokens that a revocation means; the first where there are two."""
    issuer, value = revocation.issuer, revocation.value
    match revocation.by:
        case RevokedBy.TOKEN:
            return (RevokedBy.TOKEN, value)
        case RevokedBy.SUBJECT if revocation.client:
            return (RevokedBy.SUBJECT, issuer, value, revocation.client)
        case RevokedBy.SUBJECT | RevokedBy.JTI if revocation.organization:
            return (revocation.by, _WITHIN, issuer, value, revocation.organization)
        case RevokedBy.USER:
            return (RevokedBy.USER, issuer, *user_of(revocation))
        case _:
            return (revocation.by, issuer, value)


def meant_keys(revocation: Revocation) -> tuple[Key, ...]:
    """Every key under which tokens are found that a revocation means."""
    key = key_of(revocation)
    if revocation.by is RevokedBy.TENANT or key[1] == _WITHIN:
        return (key, (*key[:-1], ""))
    return (key,)


def keys_of(token: VerifiedToken) -> tuple[Key, ...]:
    """Every key under which a token may have been revoked."""
    principal = token.principal
    issuer, subject, client = principal.issuer, principal.subject, principal.client_id
    # The organization of Casdoor's machine tokens is `admin`, whosever the client is (casdoor.md §2.8).
    organization = "" if principal.machine else principal.organization
    keys: list[Key] = [(RevokedBy.TOKEN, digest.hex()) for digest in token.digests]
    keys.append((RevokedBy.SUBJECT, issuer, subject))
    keys.append((RevokedBy.SUBJECT, _WITHIN, issuer, subject, organization))
    if token.token_id:
        keys.append((RevokedBy.JTI, issuer, token.token_id))
        keys.append((RevokedBy.JTI, _WITHIN, issuer, token.token_id, organization))
    if client:
        keys.append((RevokedBy.SUBJECT, issuer, subject, client))
        keys.append((RevokedBy.CLIENT, issuer, client))
    if principal.organization:
        keys.append((RevokedBy.ORGANIZATION, issuer, principal.organization))
        if principal.name:
            keys.append((RevokedBy.USER, issuer, principal.organization, principal.name.casefold()))
    keys.append((RevokedBy.TENANT, issuer, organization))
    keys.append((RevokedBy.ISSUER, issuer, issuer))
    return tuple(keys)


_WITHIN: Final = "within"
"""Second word of keys with an organization: five words, so that none is a key of another kind."""


def is_one_token(revocation: Revocation) -> bool:
    """Whether an item means one token whenever that was issued."""
    return revocation.by is RevokedBy.TOKEN or (revocation.by is RevokedBy.JTI and not revocation.organization)


def revokes(revocation: Revocation, issued_at: int | None) -> bool:
    """Whether an item means a token that shares its key and was issued then. Without `iat`, no token is too new."""
    return issued_at is None or issued_at <= revocation.before or is_one_token(revocation)


def covers(wide: Revocation, narrow: Revocation) -> bool:
    """Whether `wide` refuses every token that `narrow` refuses, for at least as long."""
    if wide.undoes or narrow.undoes or wide.until < narrow.until:
        return False
    if is_one_token(wide) or is_one_token(narrow):
        return key_of(wide) == key_of(narrow)
    if wide.issuer != narrow.issuer or wide.before < narrow.before:
        return False
    return key_of(wide) in covering_keys(narrow)


def covering_keys(narrow: Revocation) -> tuple[Key, ...]:
    """The keys of `narrow` and of everything `wider`, without making it: a list of thousands is gone through."""
    issuer, organization = narrow.issuer, _organization(narrow)
    keys = [key_of(narrow)]
    if is_one_token(narrow):
        return tuple(keys)
    if narrow.by is RevokedBy.SUBJECT and (narrow.client or narrow.organization):
        keys.append((RevokedBy.SUBJECT, issuer, narrow.value))
    if narrow.client:
        keys.append((RevokedBy.CLIENT, issuer, narrow.client))
    if organization:
        if narrow.by is RevokedBy.USER:
            keys.append((RevokedBy.ORGANIZATION, issuer, organization))
        keys.append((RevokedBy.TENANT, issuer, organization))
    keys.append((RevokedBy.ISSUER, issuer, issuer))
    return tuple(keys)


def wider(narrow: Revocation) -> Iterable[Revocation]:
    """What covers an item when nothing but its kind, value and narrowing is changed, from near to far.

    An item for one token alone has nothing wider: whose it is does not stand in it.
    """
    if is_one_token(narrow):
        return
    if narrow.client:
        yield replace(narrow, client="")
        yield replace(narrow, by=RevokedBy.CLIENT, value=narrow.client, client="")
    elif narrow.by is RevokedBy.SUBJECT and narrow.organization:
        yield replace(narrow, organization="")
    organization = _organization(narrow)
    if organization:
        if narrow.by is RevokedBy.USER:
            yield replace(narrow, by=RevokedBy.ORGANIZATION, value=organization, organization="")
        yield replace(narrow, by=RevokedBy.TENANT, value=organization, organization="")
    yield replace(narrow, by=RevokedBy.ISSUER, value=narrow.issuer, client="", organization="")


def _organization(item: Revocation) -> str:
    match item.by:
        case RevokedBy.USER:
            return user_of(item)[0]
        case RevokedBy.ORGANIZATION:
            return item.value
        case _:
            return item.organization


def merged(items: Iterable[Revocation], form: Revocation) -> Revocation:
    """The item of `form`'s kind and value that covers all of `items`; the same, id included, wherever it is made."""
    several = list(items)
    item = replace(
        form,
        id="-",
        before=max(each.before for each in several),
        until=max(each.until for each in several),
        source=MERGED_SOURCE,
        undoes="",
    )
    return replace(item, id="merged-" + hashlib.sha256(pack(item)).hexdigest()[:32])


def undo_of(revocation: Revocation, *, id: str, source: str) -> Revocation:  # noqa: A002 - the field's name
    """The item that takes a revocation back; it ends with it."""
    return replace(revocation, id=id, source=source, undoes=revocation.id)


def fault_in(revocation: Revocation, now: float) -> RevocationFault | None:
    """What is wrong with an item that is being made now; None when it can be put in force."""
    fault = _form_fault(revocation)
    if fault is not None:
        return RevocationFault(fault)
    if revocation.before > now + MAX_AHEAD_S:
        return RevocationFault(f"`before` is more than {MAX_AHEAD_S} s in the future: use the present moment")
    if not now < revocation.until <= now + MAX_LIFE_S:
        return RevocationFault(f"`until` has to be in the future, by at most {MAX_LIFE_S // 86_400} days")
    return None


def pack(revocation: Revocation) -> bytes:
    """The item as JSON, always the same text for the same item."""
    members = {each.name: getattr(revocation, each.name) for each in fields(Revocation)}
    if not revocation.organization:
        del members["organization"]
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def parse(data: bytes) -> Revocation | RevocationFault:
    """Read what `pack` wrote. Times are not judged: the reader's clock is not the writer's. Never raises."""
    if len(data) > MAX_PACKED_BYTES:
        return RevocationFault(f"larger than {MAX_PACKED_BYTES} bytes")
    found = read_json(data, max_depth=1)
    if isinstance(found, JsonFault):
        return RevocationFault(found.detail)
    if not isinstance(found, dict) or {"organization": "", **found}.keys() != _TYPES.keys():
        return RevocationFault("not an object with the members of a revocation, and only these")
    members = {"organization": "", **found}
    # `bool` is an `int` in Python.
    wrong = sorted(name for name, kind in _TYPES.items() if type(members[name]) is not kind)
    if wrong:
        return RevocationFault(f"members of another type: {', '.join(wrong)}")
    by = members.pop("by")
    if by not in _KINDS:
        return RevocationFault("`by` names no kind of revocation")
    revocation = Revocation(by=RevokedBy(str(by)), **members)  # type: ignore[arg-type] # types were compared above
    fault = _form_fault(revocation)
    return revocation if fault is None else RevocationFault(fault)


_TYPES: Final = {each.name: int if each.name in ("before", "until") else str for each in fields(Revocation)}
_KINDS: Final = frozenset(kind.value for kind in RevokedBy)


def _form_fault(item: Revocation) -> str | None:
    if not _ID.fullmatch(item.id):
        return "`id` is not 8 to 64 letters, digits, `_` and `-`"
    if item.undoes and (item.undoes == item.id or not _ID.fullmatch(item.undoes)):
        return "`undoes` is no id of another item"
    if not _SOURCE.fullmatch(item.source):
        return "`source` is not 1 to 32 lower-case letters, digits and `-`"
    if not (0 <= item.before <= MAX_DATE and 0 <= item.until <= MAX_DATE):
        return "`before` and `until` are dates in whole seconds since 1970"
    if item.by is RevokedBy.TOKEN:
        if not _DIGEST.fullmatch(item.value):
            return "`value` is not a SHA-256 in 64 lower-case hexadecimal digits"
        return (
            "a token's digest needs no `issuer`, `client` or `organization`: leave them out"
            if item.issuer or item.client or item.organization
            else None
        )
    if not 0 < _bytes(item.issuer) <= MAX_ISSUER_BYTES:
        return f"`issuer` is not a text of 1 to {MAX_ISSUER_BYTES} bytes"
    if not 0 < _bytes(item.value) <= MAX_IDENTITY_BYTES:
        return f"`value` is not a text of 1 to {MAX_IDENTITY_BYTES} bytes"
    if item.client and item.by is not RevokedBy.SUBJECT:
        return "`client` narrows a subject's revocation only: leave it out"
    if not 0 <= _bytes(item.client) <= MAX_IDENTITY_BYTES:
        return f"`client` is not a text of at most {MAX_IDENTITY_BYTES} bytes"
    return _organization_fault(item)


def _organization_fault(item: Revocation) -> str | None:
    if not 0 <= _bytes(item.organization) <= MAX_IDENTITY_BYTES:
        return f"`organization` is not a text of at most {MAX_IDENTITY_BYTES} bytes"
    if not item.organization:
        return None
    match item.by:
        case RevokedBy.USER:
            named = item.value.startswith(item.organization + "/") and len(item.value) > len(item.organization) + 1
            return None if named else "`value` of a user is `organization/name`, with this `organization`"
        case RevokedBy.SUBJECT | RevokedBy.JTI if not item.client:
            return None
        case _:
            return "`organization` narrows a subject, a `jti` or a user's revocation: leave it out"


def _bytes(text: str) -> int:
    """Length in UTF-8; -1 for a text that has none (a lone surrogate)."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return -1
