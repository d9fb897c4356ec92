"""The value: its form, which tokens it means, and what is no revocation."""

import itertools
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
    covering_keys,
    covers,
    fault_in,
    key_of,
    keys_of,
    meant_keys,
    merged,
    pack,
    parse,
    revokes,
    undo_of,
    wider,
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
    "user, framed": {"by": RevokedBy.USER, "value": "acme/alice", "organization": "acme"},
    "user in other case": {"by": RevokedBy.USER, "value": "acme/ALICE"},
    "subject within its organization": {"by": RevokedBy.SUBJECT, "value": SUBJECT, "organization": "acme"},
    "jti within its organization": {"by": RevokedBy.JTI, "value": "j1", "organization": "acme"},
    "tenant": {"by": RevokedBy.TENANT, "value": "acme"},
    "issuer": {"by": RevokedBy.ISSUER, "value": ISSUER},
}
OTHERS = {
    "another token": {"by": RevokedBy.TOKEN, "value": "0" * 64},
    "another jti": {"by": RevokedBy.JTI, "value": "j2"},
    "the jti of another issuer": {"by": RevokedBy.JTI, "value": "j1", "issuer": "https://other.test"},
    "the subject of another issuer": {"value": SUBJECT, "issuer": "https://other.test"},
    "a subject in other case": {"value": SUBJECT.upper()},
    "the subject at another client": {"value": SUBJECT, "client": "other"},
    "a client with the subject's name": {"by": RevokedBy.CLIENT, "value": SUBJECT},
    "the subject within another organization": {"value": SUBJECT, "organization": "rival"},
    "the jti within another organization": {"by": RevokedBy.JTI, "value": "j1", "organization": "rival"},
    "another tenant": {"by": RevokedBy.TENANT, "value": "rival"},
    "the user of an organization in other case": {"by": RevokedBy.USER, "value": "ACME/alice"},
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


@pytest.mark.parametrize("by", [RevokedBy.SUBJECT, RevokedBy.JTI, RevokedBy.TENANT])
@pytest.mark.parametrize("changes", [{"organization": ""}, {"organization": "admin", "machine": True}])
def test_tokens_that_belong_to_no_organization_are_meant_by_what_counts_within_one(
    by: RevokedBy, changes: dict[str, Any]
) -> None:
    """Casdoor gives machines the organization `admin`, and a token format may leave `owner` out."""
    value = {RevokedBy.SUBJECT: SUBJECT, RevokedBy.JTI: "j1", RevokedBy.TENANT: "acme"}[by]
    within = {} if by is RevokedBy.TENANT else {"organization": "acme"}
    item = revocation(by=by, value=value, **within)
    assert not set(meant_keys(item)).isdisjoint(keys_of(token(**changes)))


@pytest.mark.parametrize(
    ("organization", "name", "revoked"),
    [("acme/b", "c", True), ("acme", "b/c", False), ("acme/b/c", "", False), ("acme/b", "C", True)],
)
def test_an_organization_and_a_name_are_not_one_string(organization: str, name: str, *, revoked: bool) -> None:
    item = revocation(by=RevokedBy.USER, value="acme/b/c", organization="acme/b")
    assert (key_of(item) in keys_of(token(organization=organization, name=name))) is revoked


def test_an_item_of_before_is_divided_at_the_first_slash() -> None:
    item = parsed(pack(revocation(by=RevokedBy.USER, value="acme/b/c")))
    assert key_of(item) in keys_of(token(organization="acme", name="b/c"))


def test_items_of_0_1_0_are_read_and_written_as_they_were() -> None:
    item = revocation()
    assert b"organization" not in pack(item)
    assert parsed(pack(item)).organization == ""


FORMS = [
    *KINDS.values(),
    {"by": RevokedBy.USER, "value": "acme/bob"},
    {"by": RevokedBy.USER, "value": "rival/alice"},
    {"by": RevokedBy.SUBJECT, "value": "bob", "client": CLIENT},
    {"by": RevokedBy.SUBJECT, "value": SUBJECT, "organization": "rival"},
    {"by": RevokedBy.ORGANIZATION, "value": "rival"},
    {"by": RevokedBy.TENANT, "value": "rival"},
    {"by": RevokedBy.JTI, "value": "j2", "organization": "acme"},
]
TOKENS = [
    token(organization=organization, name=name, subject=subject, client_id=client, token_id=token_id, machine=machine)
    for organization in ("acme", "rival", "")
    for name in ("alice", "Bob", "")
    for subject in (SUBJECT, "bob")
    for client in (CLIENT, "")
    for token_id in ("j1", "j2", "")
    for machine in (False, True)
]


def refused(item: Revocation, issued_at: int) -> set[int]:
    """Which of `TOKENS`, issued then, an item refuses."""
    keys = set(meant_keys(item))
    return {
        number for number, each in enumerate(TOKENS) if not keys.isdisjoint(keys_of(each)) and revokes(item, issued_at)
    }


@pytest.mark.parametrize("wide", FORMS, ids=str)
def test_what_covers_another_refuses_every_token_that_it_refuses_for_as_long(wide: dict[str, Any]) -> None:
    for narrow, before, until in itertools.product(FORMS, (NOW - 5, NOW, NOW + 5), (NOW + 50, NOW + 100, NOW + 150)):
        one = revocation(**{"before": NOW, "until": NOW + 100, **wide})
        other = revocation(**{"before": before, "until": until, **narrow})
        if covers(one, other):
            assert one.until >= other.until
            for issued_at in (NOW - 10, NOW - 5, NOW, NOW + 5, NOW + 10):
                assert refused(other, issued_at) <= refused(one, issued_at)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_wider_form_covers_and_its_key_is_told(form: dict[str, Any]) -> None:
    item = revocation(**{"before": NOW, **form})
    for each in wider(item):
        assert covers(each, item)
        assert fault_in(each, NOW) is None
        assert key_of(each) in covering_keys(item)
    assert covers(item, item)
    assert set(covering_keys(item)) == {key_of(item), *(key_of(each) for each in wider(item))}


def test_a_merged_item_covers_all_of_which_it_is_made_and_is_the_same_wherever_it_is_made() -> None:
    several = [revocation(before=NOW - number, until=NOW + 10 * number, client=f"c{number}") for number in range(1, 4)]
    form = replace(several[0], client="")
    wide = merged(several, form)
    assert all(covers(wide, each) for each in several)
    assert merged(reversed(several), replace(form, id="another-1", before=0)) == wide
    assert fault_in(wide, NOW) is None
    assert parsed(pack(wide)) == wide


def test_an_undo_covers_nothing_and_is_covered_by_nothing() -> None:
    item = revocation()
    undo = undo_of(item, id="undo-0002", source="admin")
    assert not covers(undo, item)
    assert not covers(item, undo)


def test_a_token_without_jti_client_and_organization_has_no_keys_of_these() -> None:
    bare = keys_of(token(token_id="", client_id="", organization=""))
    assert {key[0] for key in bare} == {RevokedBy.TOKEN, RevokedBy.SUBJECT, RevokedBy.TENANT, RevokedBy.ISSUER}


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
