"""Which signature algorithms count, what key each takes, and the check itself (RFC 7518 §3, §6).

An algorithm is never chosen by the token alone: it must fit the type and curve of the key (RFC 8725 §3.1), whatever
the `alg` member of the published key says (casdoor.md §4: Casdoor publishes RS256 for keys that sign RS512). Symmetric
algorithms and `none` do not exist here, so no public key can ever serve as a secret.

PyJWT's algorithm objects do the arithmetic through `cryptography`; its token functions, which read header and claims
again, are not used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm, RSAPSSAlgorithm

from extauthz.pdp.token.base64url import encode_base64url

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey


class KeyType(StrEnum):
    """JWK `kty` values that can sign access tokens (RFC 7518 §6.1). `oct` is left out on purpose."""

    RSA = "RSA"
    EC = "EC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """An elliptic curve: its JWK `crv` name, the bytes of one coordinate, and the order of its group."""

    name: str
    curve: EllipticCurve = field(repr=False)
    coordinate_bytes: int
    order: int = field(repr=False)


# Orders of the base points: SEC 2 §2.4.2, §2.5.1, §2.6.1.
CURVES: Final[Mapping[str, Curve]] = MappingProxyType(
    {
        "P-256": Curve(
            name="P-256",
            curve=SECP256R1(),
            coordinate_bytes=32,
            order=0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        ),
        "P-384": Curve(
            name="P-384",
            curve=SECP384R1(),
            coordinate_bytes=48,
            order=int(
                "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
                16,
            ),
        ),
        "P-521": Curve(
            name="P-521",
            curve=SECP521R1(),
            coordinate_bytes=66,
            order=int(
                "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
                "FA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409",
                16,
            ),
        ),
    }
)


@dataclass(frozen=True, slots=True)
class SignatureAlgorithm:
    """One JWS `alg` and the only kind of key that it may be used with. `crv` is empty for RSA."""

    name: str
    kty: KeyType
    crv: str
    verifier: RSAAlgorithm | ECAlgorithm = field(repr=False)


ALGORITHMS: Final[Mapping[str, SignatureAlgorithm]] = MappingProxyType(
    {
        algorithm.name: algorithm
        for algorithm in (
            SignatureAlgorithm("RS256", KeyType.RSA, "", RSAAlgorithm(RSAAlgorithm.SHA256)),
            SignatureAlgorithm("RS384", KeyType.RSA, "", RSAAlgorithm(RSAAlgorithm.SHA384)),
            SignatureAlgorithm("RS512", KeyType.RSA, "", RSAAlgorithm(RSAAlgorithm.SHA512)),
            SignatureAlgorithm("PS256", KeyType.RSA, "", RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256)),
            SignatureAlgorithm("PS384", KeyType.RSA, "", RSAPSSAlgorithm(RSAPSSAlgorithm.SHA384)),
            SignatureAlgorithm("PS512", KeyType.RSA, "", RSAPSSAlgorithm(RSAPSSAlgorithm.SHA512)),
            SignatureAlgorithm("ES256", KeyType.EC, "P-256", ECAlgorithm(ECAlgorithm.SHA256, SECP256R1)),
            SignatureAlgorithm("ES384", KeyType.EC, "P-384", ECAlgorithm(ECAlgorithm.SHA384, SECP384R1)),
            SignatureAlgorithm("ES512", KeyType.EC, "P-521", ECAlgorithm(ECAlgorithm.SHA512, SECP521R1)),
        )
    }
)
"""Every algorithm that an issuer's `algorithms` can list; which of them count is the issuer's to say."""


def signature_fits(algorithm: SignatureAlgorithm, key: PublicKey, signing_input: bytes, signature: bytes) -> bool:
    """Whether `signature` is one of `key` over `signing_input`. Never raises; a key of another type or curve: False."""
    verifier = algorithm.verifier
    if isinstance(verifier, ECAlgorithm):
        if not isinstance(key, EllipticCurvePublicKey) or key.curve.name != CURVES[algorithm.crv].curve.name:
            return False
        return verifier.verify(signing_input, key, signature)
    return isinstance(key, RSAPublicKey) and verifier.verify(signing_input, key, signature)


def twin_digest(algorithm: str, signing_input: bytes, signature: bytes) -> bytes | None:
    """The digest of the other text with which an ECDSA token verifies; None for RSA, where there is no other.

    If (r, s) signs a text, so does (r, n - s): whoever holds a token can write it in a second way. Both must be
    looked up where a token was revoked by its digest. Refusing one of the two is no way out, as issuers send either.
    """
    chosen = ALGORITHMS[algorithm]
    if chosen.kty is not KeyType.EC:
        return None
    curve = CURVES[chosen.crv]
    if len(signature) != 2 * curve.coordinate_bytes:
        return None
    r, s = signature[: curve.coordinate_bytes], signature[curve.coordinate_bytes :]
    other = (curve.order - int.from_bytes(s)) % curve.order
    text = signing_input + b"." + encode_base64url(r + other.to_bytes(curve.coordinate_bytes))
    return sha256(text).digest()
