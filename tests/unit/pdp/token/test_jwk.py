import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from extauthz.pdp.token.jwk import (
    MAX_RSA_BITS,
    MAX_RSA_EXPONENT,
    MIN_RSA_BITS,
    PUBLIC_DEMO_KEYS,
    IgnoredKey,
    Key,
    UnusableKey,
    read_key,
)
from extauthz.pdp.token.signature import ALGORITHMS, KeyType
from tests.support.tokens import ALGORITHMS as CASDOOR
from tests.support.tokens import DATA, SIGNING_KEYS

RSA = SIGNING_KEYS["RS256"].jwk()
EC = SIGNING_KEYS["ES256"].jwk()


def uint(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def why(entry: Any) -> UnusableKey | None:
    key = read_key(entry)
    return key.why if isinstance(key, IgnoredKey) else None


def demo_key() -> dict[str, Any]:
    keys = json.loads((DATA / "jwks" / "app-built-in.json").read_text())["keys"]
    assert len(keys) == 1
    entry: dict[str, Any] = keys[0]
    return entry


# Ordinary.


@pytest.mark.parametrize("name", CASDOOR)
def test_key_of_casdoor_is_read(name: str) -> None:
    signing = SIGNING_KEYS[name]
    key = read_key(signing.jwk())
    assert isinstance(key, Key)
    assert (key.key_id, key.kty) == (signing.kid, KeyType.EC if name.startswith("ES") else KeyType.RSA)
    assert key.public == signing.private.public_key()
    assert [algorithm.name for algorithm in ALGORITHMS.values() if key.takes(algorithm)] == (
        [name] if key.kty is KeyType.EC else ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
    )


@pytest.mark.parametrize("alg", ["RS512", "ES256", "HS256", "none", "", None, 7])
def test_algorithm_of_the_published_key_is_not_looked_at(alg: Any) -> None:
    assert read_key(RSA | {"alg": alg}) == read_key(RSA)


@pytest.mark.parametrize(
    "members", [{"use": "sig"}, {"key_ops": ["verify"]}, {"key_ops": ["sign", "verify"]}, {"x5c": ["AAAA"]}, {"ext": 1}]
)
def test_key_for_signatures_is_used(members: dict[str, Any]) -> None:
    entry = {name: value for name, value in RSA.items() if name != "use"} | members
    assert read_key(entry) == read_key(RSA)


# From the specification.


def test_thumbprint_is_that_of_rfc_7638() -> None:
    """The example of RFC 7638 §3.1."""
    key = read_key(
        {
            "kty": "RSA",
            "n": (
                "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiF"
                "V4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9"
                "c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1"
                "jF44-csFCur-kEgU8awapJzKnqDKgw"
            ),
            "e": "AQAB",
            "alg": "RS256",
            "kid": "2011-04-29",
        }
    )
    assert isinstance(key, Key)
    assert key.thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_thumbprint_of_an_elliptic_key() -> None:
    canonical = json.dumps({"crv": "P-256", "kty": "EC", "x": EC["x"], "y": EC["y"]}, separators=(",", ":"))
    key = read_key(EC)
    assert isinstance(key, Key)
    digest = hashlib.sha256(canonical.encode()).digest()
    assert key.thumbprint == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.mark.parametrize("entry", [None, 1, "x", [], [RSA]])
def test_entry_that_is_no_object_is_ignored(entry: Any) -> None:
    assert why(entry) is UnusableKey.MALFORMED


@pytest.mark.parametrize("kid", [None, "", 1, ["k"], "k" * 257])
def test_key_without_a_usable_id_is_ignored(kid: Any) -> None:
    assert why(RSA | {"kid": kid}) is UnusableKey.MALFORMED


@pytest.mark.parametrize("kty", [None, "", "oct", "OKP", "rsa", "AKP", 1, ["RSA"]])
@pytest.mark.parametrize("entry", [RSA, EC])
def test_other_type_is_ignored(entry: dict[str, Any], kty: Any) -> None:
    assert why(entry | {"kty": kty}) is UnusableKey.UNSUPPORTED_TYPE


@pytest.mark.parametrize("crv", [None, "P-224", "secp256k1", "Ed25519", "p-256", 1, ["P-256"]])
def test_other_curve_is_ignored(crv: Any) -> None:
    assert why(EC | {"crv": crv}) is UnusableKey.UNSUPPORTED_TYPE


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"use": ""},
        {"use": None},
        {"use": ["sig"]},
        {"key_ops": []},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"use": "sig", "key_ops": ["encrypt"]},
    ],
)
def test_key_for_something_else_is_ignored(members: dict[str, Any]) -> None:
    assert why(RSA | members) is UnusableKey.NOT_FOR_SIGNATURES


@pytest.mark.parametrize(
    ("bits", "usable"),
    [(1024, False), (MIN_RSA_BITS - 1, False), (MIN_RSA_BITS, True), (MAX_RSA_BITS, True), (MAX_RSA_BITS + 1, False)],
)
def test_rsa_key_has_a_bounded_size(bits: int, usable: bool) -> None:
    assert why(RSA | {"n": uint((1 << (bits - 1)) + 1)}) is (None if usable else UnusableKey.KEY_SIZE)


# Hostile.


@pytest.mark.parametrize("e", [1, 2, 4, 65536, MAX_RSA_EXPONENT + 2, (1 << 2047) + 1])
def test_exponent_that_no_rsa_key_has_is_refused(e: int) -> None:
    """With e = 1 the text is its own signature."""
    assert why(RSA | {"e": uint(e)}) is UnusableKey.MALFORMED


@pytest.mark.parametrize("e", [3, 17, 65537, MAX_RSA_EXPONENT])
def test_usual_exponent_is_accepted(e: int) -> None:
    assert why(RSA | {"e": uint(e)}) is None


def test_even_modulus_is_refused() -> None:
    assert why(RSA | {"n": uint(1 << 2047)}) is UnusableKey.MALFORMED


@pytest.mark.parametrize("member", ["n", "e"])
@pytest.mark.parametrize("value", [None, "", 65537, "AQAB=", "AQA", "AQ+B", " AQAB", "AQAB\n", ["AQAB"], "ÄQAB"])
def test_rsa_number_that_is_not_canonical_is_refused(member: str, value: Any) -> None:
    assert why(RSA | {member: value}) in (UnusableKey.MALFORMED, UnusableKey.KEY_SIZE)


@pytest.mark.parametrize("member", ["x", "y"])
@pytest.mark.parametrize("value", [None, "", 1, "AA", EC["x"] + "AAAA", EC["x"] + "=", "A" * 43, "_" * 43])
def test_point_that_is_not_on_the_curve_is_refused(member: str, value: Any) -> None:
    assert why(EC | {member: value}) is UnusableKey.MALFORMED


@pytest.mark.parametrize("member", ["x", "y"])
def test_coordinate_has_its_full_length_and_no_more(member: str) -> None:
    """RFC 7518 §6.2.1.2: the same number behind a zero byte would be the same key under another thumbprint."""
    data = base64.urlsafe_b64decode(EC[member] + "==")
    assert why(EC | {member: base64.urlsafe_b64encode(b"\0" + data).rstrip(b"=").decode()}) is UnusableKey.MALFORMED


@pytest.mark.parametrize("entry", [RSA | {"d": "AQAB"}, EC | {"d": EC["x"]}, EC | {"d": None}])
def test_key_whose_private_half_is_published_is_not_trusted(entry: dict[str, Any]) -> None:
    assert why(entry) is UnusableKey.PRIVATE_KEY_PUBLISHED


def test_public_demo_key_is_not_trusted() -> None:
    ignored = read_key(demo_key())
    assert isinstance(ignored, IgnoredKey)
    assert (ignored.why, ignored.key_id) == (UnusableKey.PUBLIC_DEMO_KEY, "cert-built-in")
    assert "new certificate" in ignored.detail
    assert list(PUBLIC_DEMO_KEYS) == ["KikP8HIWMxFExJUuKXl8KOws9iLU8E7MiM8jVlJWyLI"]


@pytest.mark.parametrize("change", [{"kid": "other"}, {"alg": "RS512"}, {"x5c": []}])
def test_public_demo_key_is_known_under_any_name(change: dict[str, Any]) -> None:
    assert why(demo_key() | change) is UnusableKey.PUBLIC_DEMO_KEY


@pytest.mark.parametrize("member", ["n", "e"])
def test_public_demo_key_is_known_behind_zero_bytes(member: str) -> None:
    """RFC 7518 §6.3.1.1 tells of libraries that put a zero byte in front; it must not make another thumbprint."""
    data = base64.urlsafe_b64decode(demo_key()[member] + "==")
    padded = base64.urlsafe_b64encode(b"\0" + data).rstrip(b"=").decode()
    assert why(demo_key() | {member: padded}) is UnusableKey.PUBLIC_DEMO_KEY


def test_key_has_no_material_in_its_repr() -> None:
    key = read_key(RSA)
    assert isinstance(key, Key)
    assert isinstance(key.public, RSAPublicKey)
    assert RSA["n"] not in repr(key)
