"""One published key: whether it can verify access tokens, and its thumbprint (RFC 7517 §4, RFC 7518 §6, RFC 7638)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from extauthz.pdp.strict_json import JsonValue
from extauthz.pdp.token.base64url import decode_base64url, encode_base64url
from extauthz.pdp.token.jose import MAX_KEY_ID_CHARS
from extauthz.pdp.token.signature import CURVES, KeyType, PublicKey, SignatureAlgorithm

# RFC 7518 §3.3 demands 2048 bits; one verification takes OpenSSL 0.3 ms at 8192, and time grows with the square.
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
# Odd and at least 3 by RFC 8017 §3.1. Keys in use have 65537 or 3; a large exponent only makes verification slow.
MIN_RSA_EXPONENT: Final = 3
MAX_RSA_EXPONENT: Final = 2**32 - 1

PUBLIC_DEMO_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {"KikP8HIWMxFExJUuKXl8KOws9iLU8E7MiM8jVlJWyLI": "Casdoor's demo key (object/token_jwt_key.pem)"}
)
"""RFC 7638 thumbprints of keys whose private half anybody can download (casdoor.md §3.4)."""


class UnusableKey(StrEnum):
    """Why a key of a set does not count."""

    PUBLIC_DEMO_KEY = "public_demo_key"
    PRIVATE_KEY_PUBLISHED = "private_key_published"
    NOT_FOR_SIGNATURES = "not_for_signatures"
    UNSUPPORTED_TYPE = "unsupported_type"
    KEY_SIZE = "key_size"
    MALFORMED = "malformed"
    TOO_MANY_UNDER_ONE_ID = "too_many_under_one_id"


@dataclass(frozen=True, slots=True)
class IgnoredKey:
    """A key of a set that was left out, for the operator. `key_id` is empty where there is none that can be shown."""

    key_id: str
    why: UnusableKey
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public key that can verify signatures. `crv` is empty for RSA; `thumbprint` is RFC 7638's with SHA-256."""

    key_id: str
    kty: KeyType
    crv: str
    thumbprint: str
    public: PublicKey = field(repr=False, compare=False)
    members: Mapping[str, str] = field(repr=False, compare=False)
    """The JWK members that make the key, and no others (RFC 7638 §3.2)."""

    def takes(self, algorithm: SignatureAlgorithm) -> bool:
        """Whether the algorithm is one for this type and curve of key (RFC 8725 §3.1)."""
        return algorithm.kty is self.kty and algorithm.crv == self.crv


def read_key(entry: JsonValue) -> Key | IgnoredKey:
    """Read one entry of a JWK Set's `keys`; what cannot be used says why. Never raises.

    The `alg` member is not looked at: Casdoor's can differ from what the key signs (casdoor.md §4).
    """
    if not isinstance(entry, dict):
        return IgnoredKey("", UnusableKey.MALFORMED, "an entry is not a JSON object")
    key_id = entry.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_KEY_ID_CHARS:
        return IgnoredKey(
            "", UnusableKey.MALFORMED, f"a key has no `kid` of at most {MAX_KEY_ID_CHARS} characters to choose it by"
        )
    kty = entry.get("kty")
    if kty not in (KeyType.RSA, KeyType.EC):
        return IgnoredKey(key_id, UnusableKey.UNSUPPORTED_TYPE, "`kty` is neither RSA nor EC")
    if "d" in entry:
        return IgnoredKey(
            key_id,
            UnusableKey.PRIVATE_KEY_PUBLISHED,
            "its private half stands in the set, so anybody can sign with it: replace the key at the issuer",
        )
    operations = entry.get("key_ops")
    if entry.get("use", "sig") != "sig" or not (
        operations is None or (isinstance(operations, list) and "verify" in operations)
    ):
        return IgnoredKey(
            key_id, UnusableKey.NOT_FOR_SIGNATURES, "`use` or `key_ops` say that it is not for signatures"
        )
    key = _read_rsa(key_id, entry) if kty == KeyType.RSA else _read_ec(key_id, entry)
    if isinstance(key, Key) and key.thumbprint in PUBLIC_DEMO_KEYS:  # guard: public-demo-keys
        return IgnoredKey(
            key_id,
            UnusableKey.PUBLIC_DEMO_KEY,
            f"it is {PUBLIC_DEMO_KEYS[key.thumbprint]}, whose private half is public: make a new certificate at the "
            "issuer and use it in every application",
        )
    return key


def _read_rsa(key_id: str, entry: Mapping[str, JsonValue]) -> Key | IgnoredKey:
    n, e = _number(entry.get("n")), _number(entry.get("e"))
    if n is None or e is None:
        return IgnoredKey(key_id, UnusableKey.MALFORMED, "`n` or `e` is not canonical base64url")
    if not MIN_RSA_BITS <= n.bit_length() <= MAX_RSA_BITS:
        return IgnoredKey(
            key_id, UnusableKey.KEY_SIZE, f"RSA with {n.bit_length()} bits: use {MIN_RSA_BITS} to {MAX_RSA_BITS}"
        )
    if not MIN_RSA_EXPONENT <= e <= MAX_RSA_EXPONENT or e % 2 == 0 or n % 2 == 0:
        return IgnoredKey(key_id, UnusableKey.MALFORMED, "modulus or exponent is not one of an RSA key: use e = 65537")
    # Spelt again from the numbers: a leading zero byte must not give a known key another thumbprint.
    members = {"e": _spell(e, (e.bit_length() + 7) // 8), "kty": "RSA", "n": _spell(n, (n.bit_length() + 7) // 8)}
    return _key(key_id, KeyType.RSA, "", members, RSAPublicNumbers(e, n))


def _read_ec(key_id: str, entry: Mapping[str, JsonValue]) -> Key | IgnoredKey:
    crv = entry.get("crv")
    curve = CURVES.get(crv) if isinstance(crv, str) else None
    if curve is None:
        return IgnoredKey(key_id, UnusableKey.UNSUPPORTED_TYPE, f"`crv` is none of {', '.join(CURVES)}")
    x, y = _bytes(entry.get("x")), _bytes(entry.get("y"))
    if x is None or y is None or not len(x) == len(y) == curve.coordinate_bytes:
        return IgnoredKey(
            key_id, UnusableKey.MALFORMED, f"`x` or `y` is not canonical base64url of {curve.coordinate_bytes} bytes"
        )
    members = {"crv": curve.name, "kty": "EC", "x": _spell_bytes(x), "y": _spell_bytes(y)}
    numbers = EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve.curve)
    return _key(key_id, KeyType.EC, curve.name, members, numbers)


def _key(
    key_id: str,
    kty: KeyType,
    crv: str,
    members: Mapping[str, str],
    numbers: RSAPublicNumbers | EllipticCurvePublicNumbers,
) -> Key | IgnoredKey:
    try:
        public = numbers.public_key()
    except ValueError:  # guard: odd-key-is-ignored
        return IgnoredKey(key_id, UnusableKey.MALFORMED, "the numbers are not those of a key (a point off the curve?)")
    # RFC 7638 §3: the members in lexical order, without white space.
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    thumbprint = encode_base64url(sha256(canonical).digest()).decode()
    return Key(
        key_id=key_id, kty=kty, crv=crv, thumbprint=thumbprint, public=public, members=MappingProxyType(dict(members))
    )


def _bytes(value: JsonValue) -> bytes | None:
    return decode_base64url(value.encode()) if isinstance(value, str) else None


def _number(value: JsonValue) -> int | None:
    data = _bytes(value)
    return int.from_bytes(data) if data else None


def _spell(number: int, length: int) -> str:
    return _spell_bytes(number.to_bytes(length))


def _spell_bytes(data: bytes) -> str:
    return encode_base64url(data).decode()
