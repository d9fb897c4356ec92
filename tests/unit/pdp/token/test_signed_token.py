from hashlib import sha256

import pytest

from extauthz.pdp.reason import Reason
from extauthz.pdp.token.jwks import KeySet, parse_key_set
from extauthz.pdp.token.signed_token import (
    SignedToken,
    UnverifiedToken,
    digest_of,
    inspect,
    revocation_digests,
    verify_signature,
)
from extauthz.pdp.token.token_fault import TokenFault
from tests.support.tokens import ABSENT, ALGORITHMS, ISSUER, SIGNING_KEYS, key_set_document, mint, sign


def keys() -> KeySet:
    parsed = parse_key_set(key_set_document())
    assert isinstance(parsed, KeySet)
    return parsed


def inspected(token: str) -> UnverifiedToken:
    unverified = inspect(token)
    assert isinstance(unverified, UnverifiedToken), unverified
    return unverified


def fault(token: str) -> TokenFault:
    outcome = inspect(token)
    assert isinstance(outcome, TokenFault)
    return outcome


# Ordinary.


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_token_is_inspected(alg: str) -> None:
    token = mint(alg=alg)
    unverified = inspected(token)
    assert (unverified.algorithm, unverified.key_id) == (alg, SIGNING_KEYS[alg].kid)
    assert (unverified.media_type, unverified.issuer) == ("jwt", ISSUER)
    assert unverified.digest == digest_of(token) == sha256(token.encode()).digest()


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_good_signature_is_found(alg: str) -> None:
    unverified = inspected(mint(alg=alg))
    signed = verify_signature(unverified, keys().candidates(unverified.key_id, unverified.algorithm))
    assert isinstance(signed, SignedToken)
    assert signed.token is unverified


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_every_key_is_tried_and_one_is_enough(alg: str) -> None:
    unverified = inspected(mint(alg=alg))
    assert verify_signature(unverified, keys().keys) is not None
    assert verify_signature(unverified, tuple(reversed(keys().keys))) is not None


def test_no_keys_no_signature() -> None:
    assert verify_signature(inspected(mint()), ()) is None


def test_vouched_token_is_taken_as_signed() -> None:
    unverified = inspected(mint(key=SIGNING_KEYS["attacker"]))
    assert SignedToken.vouched(unverified).token is unverified
    assert SignedToken.vouched(unverified) != verify_signature(inspected(mint()), keys().keys)


# Hostile.


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(mint(key=SIGNING_KEYS["attacker"], kid="cert-rs256"), id="unknown key under a trusted name"),
        pytest.param(mint(key=SIGNING_KEYS["RS512"], kid="cert-rs256"), id="name of another RSA key"),
        pytest.param(mint(alg="ES256", kid="cert-es384"), id="name of a key on another curve"),
        pytest.param(mint(header={"alg": "RS512"}), id="another hash in the header"),
        pytest.param(mint(header={"alg": "PS256"}), id="another padding in the header"),
        pytest.param(mint(header={"alg": "ES256"}), id="another type of key in the header"),
        pytest.param(mint().rpartition(".")[0] + "." + mint({"jti": "x"}).rpartition(".")[2], id="other signature"),
    ],
)
def test_signature_of_another_key_or_algorithm_is_not_good(token: str) -> None:
    unverified = inspected(token)
    assert verify_signature(unverified, keys().candidates(unverified.key_id, unverified.algorithm)) is None


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_algorithm_is_tied_to_the_key_whatever_keys_are_handed_over(alg: str) -> None:
    unverified = inspected(mint(alg=alg))
    others = tuple(key for key in keys().keys if key.key_id != unverified.key_id)
    assert verify_signature(unverified, others) is None


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": ABSENT}, Reason.TOKEN_ISSUER),
        ({"iss": None}, Reason.TOKEN_ISSUER),
        ({"iss": ""}, Reason.TOKEN_ISSUER),
        ({"iss": 7}, Reason.TOKEN_ISSUER),
        ({"iss": [ISSUER]}, Reason.TOKEN_ISSUER),
    ],
)
def test_issuer_is_a_string(claims: dict[str, object], reason: Reason) -> None:
    assert fault(mint(claims)).reason is reason


@pytest.mark.parametrize(
    ("claims", "kid", "reason"),
    [
        ({}, ABSENT, Reason.TOKEN_KEY_UNKNOWN),
        ({}, "", Reason.TOKEN_KEY_UNKNOWN),
        ({"tokenType": "refresh-token"}, ABSENT, Reason.TOKEN_TYPE),
        ({"TokenType": "refresh-token"}, ABSENT, Reason.TOKEN_TYPE),
        ({"TokenType": "refresh-token"}, "", Reason.TOKEN_TYPE),
    ],
)
def test_token_without_a_key_id_is_refused(claims: dict[str, object], kid: object, reason: Reason) -> None:
    assert fault(mint(claims, header={"kid": kid})).reason is reason


@pytest.mark.parametrize(
    "payload", [b"", b"null", b"[]", b'"x"', b"{", b'{"iss":"a","iss":"b"}', b'{"exp":NaN}', b"\xff"]
)
def test_claims_are_one_strict_object(payload: bytes) -> None:
    assert fault(sign(b'{"alg":"RS256","kid":"cert-rs256"}', payload)).reason is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "token", ["", "\u00e9", "a.b.\u00e9", mint().replace("e", "\uff45", 1), "\ud800", mint() + "\n"]
)
def test_text_outside_ascii_or_the_shape_is_refused(token: str) -> None:
    assert fault(token).reason is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("token", ["", "\u00e9", "\ud800"])
def test_any_text_has_a_digest(token: str) -> None:
    assert len(digest_of(token)) == 32


# Revocation.


def test_rsa_token_can_be_revoked_under_its_own_digest_only() -> None:
    token = mint()
    assert revocation_digests(inspected(token)) == (digest_of(token),)


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_ecdsa_token_can_be_revoked_under_either_of_its_spellings(alg: str) -> None:
    token = mint(alg=alg)
    own, twin = revocation_digests(inspected(token))
    assert own == digest_of(token)
    assert twin != own


# Nothing leaks.


def test_repr_holds_no_claim_and_no_signature() -> None:
    token = mint({"name": "TESTONLY", "totpSecret": "TESTONLY"})
    unverified = inspected(token)
    signed = verify_signature(unverified, keys().keys)
    for text in (repr(unverified), repr(signed)):
        assert "TESTONLY" not in text
        assert "alice" not in text
        assert token.rpartition(".")[2] not in text
        assert repr(unverified.signature) not in text
