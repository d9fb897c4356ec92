"""Tokens for tests: minted with the test keys of the recorded corpus, shaped like Casdoor's `JWT-Empty`.

    mint()                                          a good token of alice@acme for `RESOURCE`, valid at `NOW`
    mint({"scope": "mcp:write"})                    the same with another claim
    mint({"nbf": ABSENT})                           the same without a claim
    mint(alg="ES512")                               signed with that algorithm's key, `kid` to match
    mint(key=SIGNING_KEYS["attacker"], kid="cert-rs256")   any key under any `kid`
    mint(MACHINE)                                   what the client credentials grant gives
    mint_logout()                                   a logout token about the same person and client, as Casdoor sends it
    key_set_document()                              the JWK Set that knows the keys of `ALGORITHMS`
    issuer(), resource()                            the `Issuer` and `Resource` that accept `mint()`

Signing a token takes 1 ms (RS512: 5 ms); keys are read once per process, on first use.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm, get_default_algorithms
from jwt.utils import base64url_encode

from extauthz.pdp.policy import Issuer, Resource

DATA: Final = Path(__file__).parent.parent / "data" / "casdoor"

NOW: Final = 1_795_437_163
"""The corpus' clock (2026-11-23): every recorded token is judged at this time."""
ISSUER: Final = "https://door.casdoor.test"
RESOURCE: Final = "https://mcp.acme.test/mcp"
CLIENT: Final = "client-mcp"
SUBJECT: Final = "a0170273-317f-4cd1-bbd2-3ecb2303e51a"

ALGORITHMS: Final = ("RS256", "RS512", "ES256", "ES384", "ES512")

ABSENT: Final = object()
"""As the value of a claim or header member: leave it out."""

MACHINE: Final[Mapping[str, Any]] = {
    "owner": "admin",
    "name": "app-mcp",
    "sub": "admin/app-mcp",
    "aud": [CLIENT],
    "azp": CLIENT,
}
"""The claims in which a client credentials token differs (casdoor.md §2.8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private test key and the `kid` under which the corpus' key set knows it."""

    kid: str
    private: RSAPrivateKey | EllipticCurvePrivateKey

    def jwk(self, **members: Any) -> dict[str, Any]:
        """The public half as Casdoor publishes it, with `members` on top."""
        if isinstance(self.private, RSAPrivateKey):
            public = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
            del public["key_ops"]
        else:
            public = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {"use": "sig", "kid": self.kid} | public | members


class _SigningKeys(Mapping[str, SigningKey]):
    """By algorithm (`RS256`, …), and `attacker` (in no trusted set), `rs1024` (too short), `rotate`, `rotate-new`, and
    `rs256-dup` (another tenant's, under the name of RS256's)."""

    _FILES: Final = {
        name: f"cert-{name.lower()}"
        for name in (*ALGORITHMS, "attacker", "rs1024", "rotate", "rotate-new", "rs256-dup")
    }

    @staticmethod
    @cache
    def _read(file: str) -> SigningKey:
        private = load_pem_private_key((DATA / "keys" / f"{file}.key.pem").read_bytes(), password=None)
        assert isinstance(private, RSAPrivateKey | EllipticCurvePrivateKey)
        return SigningKey(kid=file.removesuffix("-new").removesuffix("-dup"), private=private)

    def __getitem__(self, name: str) -> SigningKey:
        return self._read(self._FILES[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._FILES)

    def __len__(self) -> int:
        return len(self._FILES)


SIGNING_KEYS: Final[Mapping[str, SigningKey]] = _SigningKeys()


def key_set_document(keys: Iterable[SigningKey] | None = None, *, extra: Iterable[Mapping[str, Any]] = ()) -> bytes:
    """A JWK Set; by default with one key for each of `ALGORITHMS`. `extra` are raw JWKs to add."""
    chosen = (SIGNING_KEYS[name] for name in ALGORITHMS) if keys is None else keys
    return json.dumps({"keys": [*(key.jwk() for key in chosen), *extra]}).encode()


def claims(
    overrides: Mapping[str, Any] | None = None, *, now: float | None = NOW, lifetime_s: int = 3600
) -> dict[str, Any]:
    """The claims of a good access token; `now=None` takes the wall clock (for tests through real programs)."""
    issued_at = int(time.time() if now is None else now)
    good = {
        "owner": "acme",
        "name": "alice",
        "id": SUBJECT,
        "displayName": "Alice Liddell",
        "avatar": "",
        "email": "alice@acme.test",
        "email_verified": True,
        "phone": "4155550100",
        "tokenType": "access-token",
        "scope": "openid profile mcp:read",
        "azp": CLIENT,
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": [RESOURCE],
        "exp": issued_at + lifetime_s,
        "nbf": issued_at,
        "iat": issued_at,
        "jti": "admin/11111111-2222-3333-4444-555555555555",
    }
    return _without_absent(good | dict(overrides or {}))


def mint(
    overrides: Mapping[str, Any] | None = None,
    *,
    alg: str = "RS256",
    kid: Any = None,
    key: SigningKey | None = None,
    header: Mapping[str, Any] | None = None,
    now: float | None = NOW,
    lifetime_s: int = 3600,
) -> str:
    """A signed token. `alg` chooses key and `kid` unless they are given; `header` adds or replaces members."""
    key = key or SIGNING_KEYS[alg]
    members = _without_absent({"alg": alg, "kid": key.kid if kid is None else kid, "typ": "JWT"} | dict(header or {}))
    body = claims(overrides, now=now, lifetime_s=lifetime_s)
    return sign(json.dumps(members).encode(), json.dumps(body).encode(), alg=alg, key=key)


def mint_logout(
    overrides: Mapping[str, Any] | None = None,
    *,
    alg: str = "RS256",
    key: SigningKey | None = None,
    header: Mapping[str, Any] | None = None,
    now: float | None = NOW,
) -> str:
    """A signed logout token of Casdoor's form (casdoor.md §2.6): no `exp`, `typ` is `JWT`."""
    key = key or SIGNING_KEYS[alg]
    members = _without_absent({"alg": alg, "kid": key.kid, "typ": "JWT"} | dict(header or {}))
    usual = {
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": [CLIENT],
        "iat": int(time.time() if now is None else now),
        "jti": "admin/22222222-3333-4444-5555-666666666666",
    }
    body = _without_absent(usual | dict(overrides or {}))
    return sign(json.dumps(members).encode(), json.dumps(body).encode(), alg=alg, key=key)


def sign(header: bytes, payload: bytes, *, alg: str = "RS256", key: SigningKey | None = None) -> str:
    """A compact JWS over any bytes, for the tokens that no issuer would make."""
    signing_input = base64url_encode(header) + b"." + base64url_encode(payload)
    signature = get_default_algorithms()[alg].sign(signing_input, (key or SIGNING_KEYS[alg]).private)
    return (signing_input + b"." + base64url_encode(signature)).decode()


def issuer(**fields: Any) -> Issuer:
    """The corpus' issuer, organisation `acme`, leeway 60 s as the corpus' verdicts have it."""
    usual = Issuer(
        name="casdoor",
        issuer=ISSUER,
        jwks_uri=f"{ISSUER}/.well-known/jwks",
        organizations=frozenset({"acme"}),
        leeway_s=60,
    )
    return replace(usual, **fields)


def resource(**fields: Any) -> Resource:
    """The corpus' MCP server, without rules."""
    usual = Resource(name="mcp", uri=RESOURCE, issuers=(issuer(),), scopes={}, baseline=(), rules=(), closure={})
    return replace(usual, **fields)


def _without_absent(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not ABSENT}
