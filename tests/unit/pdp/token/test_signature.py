from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm

from extauthz.pdp.token.base64url import decode_base64url
from extauthz.pdp.token.signature import (
    ALGORITHMS,
    CURVES,
    Curve,
    KeyType,
    SignatureAlgorithm,
    signature_fits,
    twin_digest,
)
from tests.support.tokens import ALGORITHMS as CASDOOR
from tests.support.tokens import SIGNING_KEYS, mint, sign

ALL = sorted(ALGORITHMS)
SIGNING_KEY_OF = {"RS384": "RS256", "PS256": "RS256", "PS384": "RS256", "PS512": "RS256"}


def taken_apart(token: str) -> tuple[bytes, bytes]:
    signing_input, _, signature = token.encode().rpartition(b".")
    data = decode_base64url(signature)
    assert data is not None
    return signing_input, data


@pytest.mark.parametrize("name", ALL)
def test_good_signature_fits(name: str) -> None:
    key = SIGNING_KEYS[SIGNING_KEY_OF.get(name, name)]
    signing_input, signature = taken_apart(sign(b"{}", b"{}", alg=name, key=key))
    assert signature_fits(ALGORITHMS[name], key.private.public_key(), signing_input, signature) is True
    assert signature_fits(ALGORITHMS[name], key.private.public_key(), signing_input + b"x", signature) is False


@pytest.mark.parametrize("signer", CASDOOR)
@pytest.mark.parametrize("name", ALL)
def test_only_the_algorithm_that_signed_fits(name: str, signer: str) -> None:
    """With each pair of algorithm and key, of the right type or not."""
    signing_input, signature = taken_apart(mint(alg=signer))
    key = SIGNING_KEYS[signer].private.public_key()
    assert signature_fits(ALGORITHMS[name], key, signing_input, signature) is (name == signer)


def test_signature_on_another_curve_of_the_same_size_does_not_fit() -> None:
    key = generate_private_key(SECP256K1())
    signature = ECAlgorithm(ECAlgorithm.SHA256).sign(b"text", key)
    assert ECAlgorithm(ECAlgorithm.SHA256).verify(b"text", key.public_key(), signature) is True
    assert signature_fits(ALGORITHMS["ES256"], key.public_key(), b"text", signature) is False


@pytest.mark.parametrize(
    "signature",
    [b"", b"x", bytes(63), bytes(64), bytes(65), bytes(256), b"\xff" * 64, b"\xff" * 256, bytes(255) + b"\1"],
)
@pytest.mark.parametrize("name", CASDOOR)
def test_signature_of_any_length_is_no_more_than_wrong(name: str, signature: bytes) -> None:
    key = SIGNING_KEYS[name].private.public_key()
    assert signature_fits(ALGORITHMS[name], key, b"text", signature) is False


def test_rsa_signature_has_no_second_form() -> None:
    """s + n is the same number modulo n; PKCS#1 (RFC 8017 §8.2.2) refuses it, so the token's digest names it."""
    key = SIGNING_KEYS["RS256"].private.public_key()
    assert isinstance(key, RSAPublicKey)
    n = key.public_numbers().n
    for serial in range(64):
        signing_input, signature = taken_apart(mint({"jti": str(serial)}))
        other = int.from_bytes(signature) + n
        if other.bit_length() <= 2048:
            break
    else:
        pytest.fail("no signature was small enough to have a second form")
    assert signature_fits(ALGORITHMS["RS256"], key, signing_input, other.to_bytes(256)) is False


@pytest.mark.parametrize("name", ["ES256", "ES384", "ES512"])
def test_twin_of_an_ecdsa_token_is_the_other_text_that_verifies(name: str) -> None:
    algorithm, key = ALGORITHMS[name], SIGNING_KEYS[name].private.public_key()
    curve = CURVES[algorithm.crv]
    token = mint(alg=name)
    signing_input, signature = taken_apart(token)
    r, s = signature[: curve.coordinate_bytes], int.from_bytes(signature[curve.coordinate_bytes :])
    other = r + (curve.order - s).to_bytes(curve.coordinate_bytes)

    assert signature_fits(algorithm, key, signing_input, other) is True
    assert twin_digest(name, signing_input, other) == sha256(token.encode()).digest()
    assert twin_digest(name, signing_input, signature) not in (None, sha256(token.encode()).digest())


@pytest.mark.parametrize(("name", "signature"), [("RS256", bytes(256)), ("ES256", b""), ("ES256", bytes(63))])
def test_token_that_has_no_twin(name: str, signature: bytes) -> None:
    assert twin_digest(name, b"a.b", signature) is None


def test_twin_of_a_zero_signature_does_not_raise() -> None:
    assert twin_digest("ES512", b"a.b", bytes(132)) is not None


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_order_and_size_are_those_of_the_curve(curve: Curve) -> None:
    assert (curve.curve.key_size + 7) // 8 == curve.coordinate_bytes
    assert curve.order.bit_length() == curve.curve.key_size


def test_no_symmetric_algorithm_and_no_none() -> None:
    assert not {name for name in ALGORITHMS if name.startswith(("HS", "none"))}
    assert {algorithm.kty for algorithm in ALGORITHMS.values()} == {KeyType.RSA, KeyType.EC}
    assert all(isinstance(algorithm, SignatureAlgorithm) for algorithm in ALGORITHMS.values())
    assert set(CASDOOR) <= set(ALGORITHMS)
