"""Revocations: tokens that stopped counting before their end, one by one or everything of somebody up to a moment.

A revocation is an immutable item with a random id, and so is taking one back (`undoes`). What is known is a set of
items that only grows until items end, so order, repetition and replay of items make no difference.

Form of an item outside the process: a JSON object with every field of `Revocation`, and nothing else.
"""

import json
import re
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
MAX_PACKED_BYTES: Final = 64 * 1024
"""Of an item as JSON: issuer, value and client at their largest, with room for escapes."""

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


_ONE_TOKEN: Final = frozenset({RevokedBy.TOKEN, RevokedBy.JTI})


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
    before: int = 0
    """Unix seconds. One token is revoked whatever this says; of everything else, tokens whose `iat` is not after it."""
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


def key_of(revocation: Revocation) -> Key:
    """The key of the tokens that a revocation means."""
    match revocation.by:
        case RevokedBy.TOKEN:
            return (RevokedBy.TOKEN, revocation.value)
        case RevokedBy.SUBJECT if revocation.client:
            return (RevokedBy.SUBJECT, revocation.issuer, revocation.value, revocation.client)
        case _:
            return (revocation.by, revocation.issuer, revocation.value)


def keys_of(token: VerifiedToken) -> tuple[Key, ...]:
    """Every key under which a token may have been revoked."""
    principal = token.principal
    issuer, subject, client = principal.issuer, principal.subject, principal.client_id
    keys: list[Key] = [(RevokedBy.TOKEN, digest.hex()) for digest in token.digests]
    keys.append((RevokedBy.SUBJECT, issuer, subject))
    if token.token_id:
        keys.append((RevokedBy.JTI, issuer, token.token_id))
    if client:
        keys.append((RevokedBy.SUBJECT, issuer, subject, client))
        keys.append((RevokedBy.CLIENT, issuer, client))
    if principal.organization:
        keys.append((RevokedBy.ORGANIZATION, issuer, principal.organization))
        if principal.name:
            keys.append((RevokedBy.USER, issuer, f"{principal.organization}/{principal.name}"))
    return tuple(keys)


def revokes(revocation: Revocation, issued_at: int | None) -> bool:
    """Whether an item means a token that shares its key and was issued then. Without `iat`, no token is too new."""
    return revocation.by in _ONE_TOKEN or issued_at is None or issued_at <= revocation.before


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
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def parse(data: bytes) -> Revocation | RevocationFault:
    """Read what `pack` wrote. Times are not judged: the reader's clock is not the writer's. Never raises."""
    if len(data) > MAX_PACKED_BYTES:
        return RevocationFault(f"larger than {MAX_PACKED_BYTES} bytes")
    found = read_json(data, max_depth=1)
    if isinstance(found, JsonFault):
        return RevocationFault(found.detail)
    if not isinstance(found, dict) or found.keys() != _TYPES.keys():
        return RevocationFault("not an object with the members of a revocation, and only these")
    members = dict(found)
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
            "a token's digest needs no `issuer` and no `client`: leave them out" if item.issuer or item.client else None
        )
    if not 0 < _bytes(item.issuer) <= MAX_ISSUER_BYTES:
        return f"`issuer` is not a text of 1 to {MAX_ISSUER_BYTES} bytes"
    if not 0 < _bytes(item.value) <= MAX_IDENTITY_BYTES:
        return f"`value` is not a text of 1 to {MAX_IDENTITY_BYTES} bytes"
    if item.client and item.by is not RevokedBy.SUBJECT:
        return "`client` narrows a subject's revocation only: leave it out"
    if not 0 <= _bytes(item.client) <= MAX_IDENTITY_BYTES:
        return f"`client` is not a text of at most {MAX_IDENTITY_BYTES} bytes"
    return None


def _bytes(text: str) -> int:
    """Length in UTF-8; -1 for a text that has none (a lone surrogate)."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return -1
