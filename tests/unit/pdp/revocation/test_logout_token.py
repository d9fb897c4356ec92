"""Logout tokens: recorded from a real Casdoor, by the specification, and hostile."""

import json
from dataclasses import replace
from functools import cache
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.revocation.logout_token import LOGOUT_EVENT, MAX_CLIENTS, LoggedOut, judge_logout
from extauthz.pdp.revocation.revocation import RevokedBy, fault_in
from extauthz.pdp.token.jwks import KeySet, parse_key_set
from extauthz.pdp.token.signed_token import SignedToken, inspect, verify_signature
from extauthz.pdp.token.token_fault import TokenFault
from tests.support.tokens import ABSENT, CLIENT, DATA, ISSUER, NOW, SUBJECT, issuer, key_set_document, mint_logout
from tests.support.tokens import mint as mint_access


@cache
def recorded() -> tuple[dict[str, Any], ...]:
    corpus = json.loads((DATA / "corpus.json").read_text())
    return tuple(token for token in corpus["tokens"] if token["kind"] == "logout")


def keys(document: bytes | None = None) -> KeySet:
    found = parse_key_set(document or key_set_document())
    assert isinstance(found, KeySet)
    return found


def signed(text: str, key_set: KeySet | None = None) -> SignedToken:
    token = inspect(text)
    assert not isinstance(token, TokenFault), token
    found = verify_signature(token, (key_set or keys()).candidates(token.key_id, token.algorithm))
    assert found is not None
    return found


@cache
def signed_once() -> SignedToken:
    return signed(mint_logout())


def judged(text: str, now: float = NOW, **terms: Any) -> LoggedOut | TokenFault:
    return judge_logout(signed(text), issuer(**terms), now)


class TestRecorded:
    def test_there_are_tokens_of_each_kind_of_logout_and_key(self) -> None:
        read = [inspect(token["token"]) for token in recorded()]
        seen = {(token.algorithm, "sid" in token.claims) for token in read if not isinstance(token, TokenFault)}
        assert seen == {("RS256", True), ("RS256", False), ("ES256", True), ("ES256", False)}

    @pytest.mark.parametrize("token", recorded(), ids=lambda token: token["id"])
    def test_what_casdoor_sent_is_taken(self, token: dict[str, Any]) -> None:
        key_set = keys((DATA / token["jwks"]).read_bytes())
        logout = signed(token["token"], key_set)
        (client,) = cast("list[str]", logout.token.claims["aud"])
        at = cast("int", logout.token.claims["iat"])
        found = judge_logout(logout, issuer(), at + 1)
        assert isinstance(found, LoggedOut)
        assert (found.clients, found.at) == ((client,), at)
        assert client.startswith("client-")
        assert found.subject == "86928aff-3d6e-44b0-a94c-96e56b801d8c"


class TestOrdinary:
    @pytest.mark.parametrize("alg", ["RS256", "RS512", "ES256", "ES384", "ES512"])
    def test_any_algorithm_of_the_key_will_do_whatever_access_tokens_have(self, alg: str) -> None:
        """Casdoor signs logout tokens with RS256 where the application signs with RS512."""
        found = judged(mint_logout(alg=alg), algorithms=("RS512",))
        assert isinstance(found, LoggedOut)

    def test_the_subjects_tokens_for_that_client_are_revoked_up_to_that_moment(self) -> None:
        found = judged(mint_logout())
        assert isinstance(found, LoggedOut)
        ids = iter(["first-item", "second-item"])
        (item,) = found.revocations(issuer(), NOW, lambda: next(ids))
        assert (item.by, item.issuer, item.value, item.client) == (RevokedBy.SUBJECT, ISSUER, SUBJECT, CLIENT)
        assert (item.before, item.id) == (NOW, "first-item")
        assert fault_in(item, NOW) is None

    @pytest.mark.parametrize("age_s", [0, 299, 300, -60])
    def test_the_present_has_some_width(self, age_s: int) -> None:
        assert isinstance(judged(mint_logout({"iat": NOW - age_s})), LoggedOut)

    def test_only_clients_whose_tokens_count_are_kept(self) -> None:
        found = judged(mint_logout({"aud": [CLIENT, "another"]}), clients=frozenset({CLIENT}))
        assert isinstance(found, LoggedOut)
        assert found.clients == (CLIENT,)


class TestSpecification:
    """OpenID Connect Back-Channel Logout 1.0."""

    @pytest.mark.parametrize(
        "claims",
        [
            pytest.param({"exp": NOW + 120}, id="2.4 exp"),
            pytest.param({"aud": CLIENT}, id="2.4 one audience as a string"),
            pytest.param({"sid": "08a5019c"}, id="2.4 sid beside sub"),
            pytest.param({"events": {LOGOUT_EVENT: {}, "https://example.com/other": {}}}, id="2.4 further events"),
            pytest.param({"events": {LOGOUT_EVENT: {"reason": "x"}}}, id="2.4 an event with members"),
        ],
    )
    def test_what_it_allows_is_taken(self, claims: dict[str, Any]) -> None:
        assert isinstance(judged(mint_logout(claims)), LoggedOut)

    @pytest.mark.parametrize("typ", ["logout+jwt", "application/logout+jwt", "JWT", ABSENT])
    def test_the_type_is_that_of_a_logout_token_or_says_nothing(self, typ: object) -> None:
        assert isinstance(judged(mint_logout(header={"typ": typ})), LoggedOut)


REFUSED: dict[str, dict[str, Any]] = {
    "no events": {"events": ABSENT},
    "events of another kind": {"events": {"https://example.com/other": {}}},
    "events as a list": {"events": [LOGOUT_EVENT]},
    "events as a text": {"events": LOGOUT_EVENT},
    "the event is no object": {"events": {LOGOUT_EVENT: True}},
    "a nonce": {"nonce": "n"},
    "a nonce of null": {"nonce": None},
    "no iat": {"iat": ABSENT},
    "iat as a text": {"iat": str(NOW)},
    "iat is true": {"iat": True},
    "too old": {"iat": NOW - 301},
    "too far ahead": {"iat": NOW + 61},
    "exp has passed": {"exp": NOW - 61},
    "exp is a text": {"exp": "never"},
    "no sub": {"sub": ABSENT, "sid": "08a5019c"},
    "sub is empty": {"sub": ""},
    "sub is a list": {"sub": ["a"]},
    "sub with a line end": {"sub": "a\nb"},
    "no aud": {"aud": ABSENT},
    "aud is empty": {"aud": []},
    "aud of an empty text": {"aud": [""]},
    "aud with a number": {"aud": [CLIENT, 1]},
    "too many audiences": {"aud": [f"client-{number}" for number in range(MAX_CLIENTS + 1)]},
    "no jti": {"jti": ABSENT},
    "jti is a number": {"jti": 7},
    "another issuer": {"iss": ISSUER + "/"},
}


class TestHostile:
    @pytest.mark.parametrize("claims", REFUSED.values(), ids=REFUSED.keys())
    def test_what_is_no_logout_token_is_refused(self, claims: dict[str, Any]) -> None:
        assert isinstance(judged(mint_logout(claims)), TokenFault)

    def test_an_access_token_is_none(self) -> None:
        assert isinstance(judged(mint_access()), TokenFault)

    @pytest.mark.parametrize("typ", ["at+jwt", "oauth-id-jag+jwt", "dpop+jwt"])
    def test_a_token_of_another_type_is_none(self, typ: str) -> None:
        assert isinstance(judged(mint_logout(header={"typ": typ})), TokenFault)

    def test_clients_whose_tokens_do_not_count_anyway_are_refused(self) -> None:
        assert isinstance(judged(mint_logout(), clients=frozenset({"another"})), TokenFault)

    def test_a_clock_that_is_no_number_refuses(self) -> None:
        assert isinstance(judged(mint_logout(), now=float("nan")), TokenFault)

    def test_no_fault_repeats_what_the_token_says(self) -> None:
        for claims in REFUSED.values():
            found = judged(mint_logout({"sub": "secret-subject", "jti": "secret-jti", **claims}))
            assert "secret" not in repr(found)

    @given(
        st.dictionaries(
            st.sampled_from(["iss", "sub", "aud", "iat", "jti", "events", "nonce", "exp", "sid"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=8),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
                max_leaves=4,
            ),
        )
    )
    def test_no_claims_raise(self, claims: dict[str, Any]) -> None:
        good = signed_once().token
        changed = replace(good, claims={**good.claims, **claims})
        assert isinstance(judge_logout(SignedToken.vouched(changed), issuer(), NOW), LoggedOut | TokenFault)
