"""What an operator asks the admin port to revoke: a JSON object, or a list of them.

    {"by": "subject", "issuer": "casdoor", "value": "1f0e…", "client": "ops-bot", "before": 1795437163}

`by` and `value` are required. `issuer` is the issuer's name in the policy or its `iss`; it may be left out where the
policy has one, and has to be where `by` is `token`. `before` is the present when left out, `until` a month from now.
A user is `{"by": "user", "value": "acme/alice"}`; where one of the two names has a slash in it, `organization` says
where the first ends: `{"by": "user", "organization": "acme/b", "value": "acme/b/c"}`.
"""

from collections.abc import Callable, Collection
from typing import Final, TypeGuard

from extauthz.pdp.policy import Issuer
from extauthz.pdp.revocation.revocation import (
    DEFAULT_LIFE_S,
    OPERATOR_SOURCE,
    ORDERED,
    Revocation,
    RevocationFault,
    RevokedBy,
    fault_in,
)
from extauthz.pdp.strict_json import JsonFault, JsonValue, read_json

MAX_AT_ONCE: Final = 100
"""Items of one request: two for a token, and room for scripts."""
SOURCE: Final = OPERATOR_SOURCE

_MEMBERS: Final = ("by", "value", "issuer", "client", "organization", "before", "until")


def read_request(
    body: bytes, issuers: Collection[Issuer], now: float, new_id: Callable[[], str]
) -> tuple[Revocation, ...] | RevocationFault:
    """The items asked for, each of which can be put in force. Never raises."""
    found = read_json(body)
    if isinstance(found, JsonFault):
        return RevocationFault(f"the body is not strict JSON: {found.detail}")
    entries = found if isinstance(found, list) else [found]
    if not 0 < len(entries) <= MAX_AT_ONCE:
        return RevocationFault(f"send 1 to {MAX_AT_ONCE} revocations at once")
    items = []
    for entry in entries:
        item = _item(entry, issuers, now, new_id)
        if isinstance(item, RevocationFault):
            return item
        items.append(item)
    return tuple(items)


def _item(
    entry: JsonValue, issuers: Collection[Issuer], now: float, new_id: Callable[[], str]
) -> Revocation | RevocationFault:
    if not isinstance(entry, dict) or not entry.keys() <= set(_MEMBERS):
        return RevocationFault(f"not an object with members of {', '.join(_MEMBERS)}, and only these")
    value, given, client, organization = (entry.get(name, "") for name in ("value", "issuer", "client", "organization"))
    before, until = entry.get("before", int(now)), entry.get("until", int(now) + DEFAULT_LIFE_S)
    by = next((kind for kind in ORDERED if kind == entry.get("by")), None)
    if by is None:
        return RevocationFault(f"`by` is not one of {', '.join(ORDERED)}")
    if not (isinstance(value, str) and isinstance(given, str)):
        return RevocationFault("`value` and `issuer` are texts")
    if not (isinstance(client, str) and isinstance(organization, str)):
        return RevocationFault("`client` and `organization` are texts")
    if by is RevokedBy.USER and not organization and value.count("/") != 1:
        return RevocationFault(
            "`value` of a user is `organization/name` with one slash: where a name has a slash, say in `organization` "
            "where the first ends"
        )
    if not (_is_date(before) and _is_date(until)):
        return RevocationFault("`before` and `until` are whole Unix seconds")
    issuer = _issuer(by, given, issuers)
    if isinstance(issuer, RevocationFault):
        return issuer
    item = Revocation(
        id=new_id(),
        by=by,
        issuer=issuer,
        value=value,
        client=client,
        organization=organization,
        before=before,
        until=until,
        source=SOURCE,
    )
    return fault_in(item, now) or item


def _is_date(value: JsonValue) -> TypeGuard[int]:
    # `bool` is an `int` in Python.
    return type(value) is int


def _issuer(by: RevokedBy, given: str, issuers: Collection[Issuer]) -> str | RevocationFault:
    """`iss` of the issuer that is meant."""
    if by is RevokedBy.TOKEN:
        return given
    if not given and len(issuers) == 1:
        return next(iter(issuers)).issuer
    for issuer in issuers:
        if given in (issuer.name, issuer.issuer):
            return issuer.issuer
    names = ", ".join(sorted(issuer.name for issuer in issuers))
    told = "name the issuer" if not given else "the policy has no such issuer"
    return RevocationFault(f"{told}: `issuer` is one of {names}, or its `iss`")
