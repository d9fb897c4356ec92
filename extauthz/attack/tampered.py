"""Changes to an access token after which nobody may believe it any more."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

_OWN_KEY_BITS: Final = 2048
_EMPTY_SECRET: Final = b"\0" * 64
"""What a verifier uses that takes a public key file it could not find for an HMAC secret."""
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

_Json = dict[str, Any]


def tamper(token: str, change: str) -> str | None:
    """The token after one of `CHANGES`; None when it is no JWT. Raises ValueError when there is no such change."""
    if change not in CHANGES:
        raise ValueError(f"no change of a token is called {change}: use one of {', '.join(CHANGES)}")
    parts = token.split(".")
    if len(parts) != 3:
        return None
    header, payload = _read(parts[0]), _read(parts[1])
    if header is None or payload is None:
        return None
    return CHANGES[change](parts, header, payload)


def _read(part: str) -> _Json | None:
    try:
        value = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (Base64Error, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _part(value: _Json | str) -> str:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _header(**members: Any) -> Callable[[list[str], _Json, _Json], str]:
    """Another header over the old payload and signature; None leaves a member out."""

    def change(parts: list[str], header: _Json, _: _Json) -> str:
        new = {name: value for name, value in (header | members).items() if value is not None}
        return f"{_part(new)}.{parts[1]}.{parts[2]}"

    return change


def _payload(**members: Any) -> Callable[[list[str], _Json, _Json], str]:
    def change(parts: list[str], _: _Json, payload: _Json) -> str:
        new = {name: value for name, value in (payload | members).items() if value is not None}
        return f"{parts[0]}.{_part(new)}.{parts[2]}"

    return change


def _unsigned(algorithm: str) -> Callable[[list[str], _Json, _Json], str]:
    return lambda parts, header, _: f"{_part(header | {'alg': algorithm})}.{parts[1]}."


def _hmac(parts: list[str], header: _Json, payload: _Json) -> str:
    del parts
    return jwt.encode(payload, _EMPTY_SECRET, algorithm="HS256", headers={"kid": header.get("kid", "")})


@cache
def _foreign_key() -> RSAPrivateKey:
    """A key that nobody trusts, made when first needed."""
    return generate_private_key(public_exponent=65537, key_size=_OWN_KEY_BITS)


def _own_key(where: str) -> Callable[[list[str], _Json, _Json], str]:
    """Signed by a key that comes with the token itself, or from where the token says."""

    def change(parts: list[str], header: _Json, payload: _Json) -> str:
        del parts
        key = _foreign_key()
        own: _Json = {"kid": header.get("kid", "")}
        if where == "jwk":
            public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            own["jwk"] = {name: public[name] for name in ("kty", "n", "e")}
        elif where:
            own[where] = "https://attacker.invalid/keys"
        return jwt.encode(payload, key, algorithm="RS256", headers=own)

    return change


def _algorithm_twice(parts: list[str], header: _Json, payload: _Json) -> str:
    del payload
    text = json.dumps(header).removesuffix("}") + ', "alg": "none"}'
    return f"{_part(text)}.{parts[1]}.{parts[2]}"


def _trailing_bits(parts: list[str], header: _Json, payload: _Json) -> str:
    """The bits of the signature's last character that decode to nothing, or its first bit where there are none."""
    del header, payload
    signature = parts[2]
    spare = {2: 4, 3: 2}.get(len(signature) % 4, 0)
    if not spare:
        return f"{parts[0]}.{parts[1]}.{_flipped(signature)}"
    return f"{parts[0]}.{parts[1]}.{signature[:-1]}{_ALPHABET[_ALPHABET.index(signature[-1]) ^ 1]}"


def _flipped(part: str) -> str:
    return _ALPHABET[_ALPHABET.index(part[0]) ^ 1] + part[1:]


CHANGES: Final[Mapping[str, Callable[[list[str], _Json, _Json], str]]] = {
    "alg-none": _unsigned("none"),
    "alg-none-mixed-case": _unsigned("nOnE"),
    "alg-absent": lambda parts, header, _: (
        f"{_part({name: value for name, value in header.items() if name != 'alg'})}.{parts[1]}."
    ),
    "alg-none-with-signature": _header(alg="none"),
    "alg-other": _header(alg="RS999"),
    "hmac-empty-secret": _hmac,
    "signature-removed": lambda parts, _header, _payload: f"{parts[0]}.{parts[1]}.",
    "signature-flipped": lambda parts, _header, _payload: f"{parts[0]}.{parts[1]}.{_flipped(parts[2])}",
    "signature-trailing-bits": _trailing_bits,
    "signature-padded": lambda parts, _header, _payload: f"{parts[0]}.{parts[1]}.{parts[2]}==",
    "scope-added": _payload(scope="openid admin mcp:admin *"),
    "audience-changed": _payload(aud=["*"]),
    "subject-changed": _payload(sub="admin", name="admin"),
    "expiry-moved": _payload(exp=4_102_444_800),
    "expiry-removed": _payload(exp=None),
    "own-key": _own_key(""),
    "own-key-embedded": _own_key("jwk"),
    "own-key-by-url": _own_key("jku"),
    "own-key-by-certificate": _own_key("x5u"),
    "kid-path": _header(kid="../../../../dev/null"),
    "kid-quote": _header(kid="x' UNION SELECT 'k"),
    "critical-unknown": _header(crit=["exp"]),
    "payload-unencoded": _header(b64=False, crit=["b64"]),
    "compressed": _header(zip="DEF"),
    "two-parts": lambda parts, _header, _payload: f"{parts[0]}.{parts[1]}",
    "five-parts": lambda parts, _header, _payload: f"{parts[0]}..{parts[1]}.{parts[2]}.AAAA",
    "algorithm-twice": _algorithm_twice,
}
"""By name: from the parts, header and payload of a token to the changed token."""
