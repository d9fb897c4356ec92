"""What an operator may ask for, and how it is told what is wrong."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.revocation.revocation import (
    DEFAULT_LIFE_S,
    MAX_LIFE_S,
    ORDERED,
    Revocation,
    RevocationFault,
    RevokedBy,
)
from extauthz.pdp.revocation.revocation_request import MAX_AT_ONCE, read_request
from tests.support.tokens import ISSUER, NOW, issuer

DIGEST = "a" * 64
OTHER = issuer(name="keycloak", issuer="https://key.example.com/realms/acme")


def asked(body: Any, *, issuers: int = 1) -> tuple[Revocation, ...] | RevocationFault:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    ids = itertools.count()
    return read_request(data, (issuer(), OTHER)[:issuers], NOW + 0.5, lambda: f"item-{next(ids):08}")


def one(body: Any, **more: Any) -> Revocation:
    found = asked(body, **more)
    assert not isinstance(found, RevocationFault), found
    (item,) = found
    return item


class TestOrdinary:
    def test_what_is_left_out_is_the_present_the_only_issuer_and_a_month(self) -> None:
        assert one({"by": "subject", "value": "alice"}) == Revocation(
            id="item-00000000",
            by=RevokedBy.SUBJECT,
            issuer=ISSUER,
            value="alice",
            before=NOW,
            until=NOW + DEFAULT_LIFE_S,
            source="admin",
        )

    @pytest.mark.parametrize("by", [kind for kind in ORDERED if kind is not RevokedBy.TOKEN])
    def test_every_kind_of_an_operator_can_be_asked_for(self, by: RevokedBy) -> None:
        assert one({"by": by, "value": "acme/x" if by is RevokedBy.USER else "x"}).by is by

    def test_names_with_slashes_are_divided_by_the_organization(self) -> None:
        item = one({"by": "user", "organization": "acme/b", "value": "acme/b/c"})
        assert (item.organization, item.value) == ("acme/b", "acme/b/c")

    def test_a_token_is_named_by_its_digest_and_no_issuer(self) -> None:
        assert one({"by": "token", "value": DIGEST}).issuer == ""

    @pytest.mark.parametrize("name", ["keycloak", "https://key.example.com/realms/acme"])
    def test_an_issuer_is_named_as_in_the_policy_or_as_in_tokens(self, name: str) -> None:
        assert one({"by": "jti", "value": "j", "issuer": name}, issuers=2).issuer == OTHER.issuer

    def test_a_subject_may_be_narrowed_to_a_client(self) -> None:
        assert one({"by": "subject", "value": "alice", "client": "ops-bot"}).client == "ops-bot"

    def test_several_may_be_asked_for_at_once(self) -> None:
        found = asked([{"by": "token", "value": DIGEST}, {"by": "jti", "value": "j", "before": NOW - 9}])
        assert isinstance(found, tuple)
        assert [(item.by.value, item.before) for item in found] == [("token", NOW), ("jti", NOW - 9)]


REFUSED: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", "strict JSON"),
    "a member twice": (b'{"by":"jti","by":"jti","value":"j"}', "strict JSON"),
    "nothing": ([], "1 to"),
    "too many": ([{"by": "jti", "value": "j"}] * (MAX_AT_ONCE + 1), "1 to"),
    "a text": ("jti", "not an object"),
    "an unknown member": ({"by": "jti", "value": "j", "undoes": "item-00000000"}, "and only these"),
    "an id of its own": ({"by": "jti", "value": "j", "id": "item-00000000"}, "and only these"),
    "no kind": ({"value": "j"}, "`by` is not one of"),
    "an unknown kind": ({"by": "everything", "value": "j"}, "`by` is not one of"),
    "a kind that is a list": ({"by": ["jti"], "value": "j"}, "`by` is not one of"),
    "what only merging makes": ({"by": "tenant", "value": "acme"}, "`by` is not one of"),
    "everything of an issuer": ({"by": "issuer", "value": "x"}, "`by` is not one of"),
    "a user without an organization": ({"by": "user", "value": "alice"}, "with one slash"),
    "a user that can be divided in two ways": ({"by": "user", "value": "acme/b/c"}, "where the first ends"),
    "a user of another organization": (
        {"by": "user", "organization": "rival", "value": "acme/alice"},
        "with this `organization`",
    ),
    "an organization that is a number": ({"by": "user", "organization": 1, "value": "acme/alice"}, "are texts"),
    "an organization of a client": ({"by": "client", "organization": "acme", "value": "c"}, "leave it out"),
    "no value": ({"by": "jti"}, "`value`"),
    "a value that is a number": ({"by": "jti", "value": 7}, "`value`"),
    "a token instead of its digest": ({"by": "token", "value": "eyJhbGciOi.e30.x"}, "SHA-256"),
    "a token with an issuer": ({"by": "token", "value": DIGEST, "issuer": "casdoor"}, "needs no `issuer`"),
    "an unknown issuer": ({"by": "jti", "value": "j", "issuer": "door"}, "no such issuer: `issuer` is one of casdoor"),
    "a client of a client": ({"by": "client", "value": "a", "client": "b"}, "narrows a subject's"),
    "a moment to come": ({"by": "subject", "value": "a", "before": NOW + 62}, "in the future"),
    "a moment that is a text": ({"by": "subject", "value": "a", "before": "now"}, "whole Unix seconds"),
    "a moment that is true": ({"by": "subject", "value": "a", "before": True}, "whole Unix seconds"),
    "an end that has passed": ({"by": "jti", "value": "j", "until": NOW}, "`until`"),
    "an end too far away": ({"by": "jti", "value": "j", "until": NOW + MAX_LIFE_S + 2}, "`until`"),
}


class TestHostile:
    @pytest.mark.parametrize(("body", "told"), REFUSED.values(), ids=REFUSED.keys())
    def test_what_cannot_be_put_in_force_is_told_why(self, body: Any, told: str) -> None:
        found = asked(body)
        assert isinstance(found, RevocationFault)
        assert told in found.detail

    def test_of_several_issuers_one_has_to_be_named(self) -> None:
        found = asked({"by": "jti", "value": "j"}, issuers=2)
        assert found == RevocationFault("name the issuer: `issuer` is one of casdoor, keycloak, or its `iss`")

    def test_one_fault_refuses_all(self) -> None:
        assert isinstance(asked([{"by": "jti", "value": "j"}, {"by": "jti"}]), RevocationFault)

    @given(st.binary(max_size=200))
    def test_no_bytes_raise(self, body: bytes) -> None:
        assert isinstance(asked(body), RevocationFault)
