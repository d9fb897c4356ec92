"""The value: its form, which tokens it means, and what is no revocation."""

import json
from dataclasses import replace
from typing import Any

import pytest

from extauthz.pdp.principal import Principal, VerifiedToken
from extauthz.pdp.revocation.revocation import (
    MAX_AHEAD_S,
    MAX_LIFE_S,
    MAX_PACKED_BYTES,
    Revocation,
    RevocationFault,
    RevokedBy,
    fault_in,
    key_of,
    keys_of,
    pack,
    parse,
    revokes,
    undo_of,
)
from extauthz.pdp.token.claims import MAX_IDENTITY_BYTES
from tests.support.revocations import revocation
from tests.support.tokens import CLIENT, ISSUER, NOW, SUBJECT

DIGEST = bytes(range(32))
TWIN = bytes(range(1, 33))


def token(**changes: Any) -> VerifiedToken:
    principal = Principal(
        issuer=ISSUER,
        subject=SUBJECT,
        organization="acme",
        name="alice",
        client_id=CLIENT,
        scopes=frozenset(),
        roles=frozenset(),
        groups=frozenset(),
        machine=False,
    )
    ordinary = VerifiedToken(
        principal=principal, issued_at=NOW, expires_at=NOW + 60, token_id="j1", digests=(DIGEST, TWIN)
    )
    of_token = {name: value for name, value in changes.items() if hasattr(ordinary, name)}
    of_principal = {name: value for name, value in changes.items() if name not in of_token}
    return replace(ordinary, principal=replace(principal, **of_principal), **of_token)


KINDS = {
    "token": {"by": RevokedBy.TOKEN, "value": DIGEST.hex()},
    "second spelling of the token": {"by": RevokedBy.TOKEN, "value": TWIN.hex()},
    "jti": {"by": RevokedBy.JTI, "value": "j1"},
    "subject": {"by": RevokedBy.SUBJECT, "value": SUBJECT},
    "subject at a client": {"by": RevokedBy.SUBJECT, "value": SUBJECT, "client": CLIENT},
    "client": {"by": RevokedBy.CLIENT, "value": CLIENT},
    "organization": {"by": RevokedBy.ORGANIZATION, "value": "acme"},
    "user": {"by": RevokedBy.USER, "value": "acme/alice"},
}
OTHERS = {
    "another token": {"by": RevokedBy.TOKEN, "value": "0" * 64},
    "another jti": {"by": RevokedBy.JTI, "value": "j2"},
    "the jti of another issuer": {"by": RevokedBy.JTI, "value": "j1", "issuer": "https://other.test"},
    "the subject of another issuer": {"value": SUBJECT, "issuer": "https://other.test"},
    "a subject in other case": {"value": SUBJECT.upper()},
    "the subject at another client": {"value": SUBJECT, "client": "other"},
    "a client with the subject's name": {"by": RevokedBy.CLIENT, "value": SUBJECT},
    "an organization with the client's name": {"by": RevokedBy.ORGANIZATION, "value": CLIENT},
}


def parsed(data: bytes) -> Revocation:
    found = parse(data)
    assert isinstance(found, Revocation), found
    return found


# Ordinary.


@pytest.mark.parametrize("name", KINDS)
def test_a_token_has_the_key_of_every_revocation_that_means_it(name: str) -> None:
    assert key_of(revocation(**KINDS[name])) in keys_of(token())


@pytest.mark.parametrize("name", OTHERS)
def test_a_token_has_no_key_of_others(name: str) -> None:
    assert key_of(revocation(**OTHERS[name])) not in keys_of(token())


def test_a_token_without_jti_client_and_organization_has_no_keys_of_these() -> None:
    bare = keys_of(token(token_id="", client_id="", organization=""))
    assert {key[0] for key in bare} == {RevokedBy.TOKEN, RevokedBy.SUBJECT}


@pytest.mark.parametrize("name", KINDS)
def test_what_is_packed_is_read_again(name: str) -> None:
    item = revocation(**KINDS[name])
    assert parsed(pack(item)) == item
    assert pack(parsed(pack(item))) == pack(item)


@pytest.mark.parametrize(
    ("issued_at", "revoked"), [(NOW - 1, True), (NOW, True), (NOW + 1, False), (-5, True), (None, True)]
)
@pytest.mark.parametrize("name", ["subject", "subject at a client", "client", "organization"])
def test_of_a_group_those_tokens_are_revoked_that_were_not_issued_later(
    name: str, issued_at: int | None, *, revoked: bool
) -> None:
    """A token of the very second is; and so is one that does not say when it was issued."""
    assert revokes(revocation(**KINDS[name]), issued_at) is revoked


@pytest.mark.parametrize("name", ["token", "jti"])
@pytest.mark.parametrize("issued_at", [0, NOW, NOW + 10_000])
def test_one_token_is_revoked_whenever_it_was_issued(name: str, issued_at: int) -> None:
    assert revokes(revocation(**KINDS[name]), issued_at)


def test_taking_back_is_an_item_of_its_own_that_lasts_as_long() -> None:
    item = revocation()
    undo = undo_of(item, id="undo-0001", source="admin")
    assert (undo.id, undo.undoes, undo.until) == ("undo-0001", item.id, item.until)
    assert parsed(pack(undo)) == undo


def test_every_item_of_the_largest_size_can_be_packed() -> None:
    """Whatever the judge of tokens lets through can be revoked, escapes included."""
    worst = "\x01" * MAX_IDENTITY_BYTES
    item = revocation(by=RevokedBy.JTI, value=worst)
    assert fault_in(item, NOW) is None
    assert len(pack(item)) <= MAX_PACKED_BYTES
    assert parsed(pack(item)) == item


def test_whom_a_revocation_means_is_not_in_its_repr() -> None:
    item = revocation(client="client-of-alice")
    assert SUBJECT not in repr(item)
    assert "client-of-alice" not in repr(item)


# What can be put in force.


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"id": "short"}, "`id`"),
        ({"id": "a" * 65}, "`id`"),
        ({"id": "a:b:c:d:e"}, "`id`"),
        ({"source": "Admin"}, "`source`"),
        ({"source": ""}, "`source`"),
        ({"undoes": "x"}, "`undoes`"),
        ({"id": "same-same", "undoes": "same-same"}, "`undoes`"),
        ({"before": -1}, "`before`"),
        ({"before": NOW + MAX_AHEAD_S + 1}, "`before`"),
        ({"until": NOW}, "`until`"),
        ({"until": NOW + MAX_LIFE_S + 1}, "`until`"),
        ({"until": 10**15}, "`until`"),
        ({"issuer": ""}, "`issuer`"),
        ({"issuer": "x" * 2_049}, "`issuer`"),
        ({"value": ""}, "`value`"),
        ({"value": "é" * 4_097}, "`value`"),
        ({"value": "\ud800"}, "`value`"),
        ({"by": RevokedBy.CLIENT, "client": "c"}, "`client`"),
        ({"client": "x" * (MAX_IDENTITY_BYTES + 1)}, "`client`"),
        ({"by": RevokedBy.TOKEN, "value": "AB" * 32}, "`value`"),
        ({"by": RevokedBy.TOKEN, "value": "a" * 63}, "`value`"),
        ({"by": RevokedBy.TOKEN, "value": "a" * 64, "issuer": ISSUER}, "`issuer`"),
    ],
)
def test_what_is_no_revocation_is_said(fields: dict[str, Any], complaint: str) -> None:
    fault = fault_in(revocation(**fields), NOW)
    assert fault is not None
    assert complaint in fault.detail


def test_a_moment_ahead_counts_within_what_clocks_are_given() -> None:
    assert fault_in(revocation(before=NOW + MAX_AHEAD_S), NOW) is None


# Hostile: what may stand in a store.


def members(**changes: Any) -> bytes:
    return json.dumps(json.loads(pack(revocation())) | changes).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"revocation"',
        b"\xff\xfe",
        pack(revocation())[:-1],
        pack(revocation()) + b"{}",
        pack(revocation()).replace(b'"id"', b'"id":"x","id"'),
        members(extra=1),
        members(before=True),
        members(before=1.5),
        members(before="1"),
        members(until=None),
        members(by="everything"),
        members(by=["token"]),
        members(value={"a": 1}),
        members(value="x" * 9_000),
        members(id="a/../../etc"),
        members(source="a\nb"),
        b" " * (MAX_PACKED_BYTES + 1),
        b"[" * 50_000,
    ],
)
def test_what_is_no_packed_revocation_is_a_fault(data: bytes) -> None:
    assert isinstance(parse(data), RevocationFault)


def test_an_item_from_a_clock_that_is_ahead_is_read() -> None:
    """Times are judged where an item is made: refusing it elsewhere would be to let the token pass."""
    assert parsed(members(before=NOW + 10_000)).before == NOW + 10_000
