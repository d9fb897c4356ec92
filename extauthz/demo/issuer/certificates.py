"""Signing certificates, made at start: Casdoor's `kid` is a certificate's name."""

import base64
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

RSA_BITS: Final = 2048
"""Made in 0.1 s; Casdoor's default of 4096 would take seconds at each start."""
LIFETIME: Final = dt.timedelta(days=30)
CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "ES256": ec.SECP256R1(),
    "ES384": ec.SECP384R1(),
    "ES512": ec.SECP521R1(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A key pair under a name. `jwk` is the public half as Casdoor's JWKS shows it."""

    name: str
    algorithm: str
    private_key: PrivateKey = field(repr=False)
    jwk: Mapping[str, Any]

    @classmethod
    def make(cls, name: str, algorithm: str = "RS256") -> Self:
        """A new key. `algorithm` is one that Casdoor signs tokens with: RS256, RS512, ES256, ES384, ES512."""
        key: PrivateKey
        if algorithm in CURVES:
            key = ec.generate_private_key(CURVES[algorithm])
            public = json.loads(ECAlgorithm.to_jwk(key.public_key()))
        else:
            key = rsa.generate_private_key(public_exponent=65_537, key_size=RSA_BITS)
            public = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
        members = {name: value for name, value in public.items() if name in ("kty", "n", "e", "crv", "x", "y")}
        der = _self_signed(name, key).public_bytes(Encoding.DER)
        jwk = {"use": "sig", "kid": name, "alg": algorithm, "x5c": [base64.b64encode(der).decode("ascii")], **members}
        return cls(name=name, algorithm=algorithm, private_key=key, jwk=jwk)


def _self_signed(name: str, key: PrivateKey) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, name),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "extauthz demo, not for production"),
        ]
    )
    start = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + LIFETIME)
        .sign(key, hashes.SHA256())
    )
