"""The token that `extauthz explain` decides about, and keys that fit it.

A token is judged as it would be in service. Where its signature cannot be checked for want of keys, it is signed again
with a key made for the occasion, and that is said.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import click
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm, get_default_algorithms

from extauthz.cli.input import json_object, read_input
from extauthz.pdp.policy import Issuer, Resource
from extauthz.pdp.token.access_token import UnverifiedToken, inspect
from extauthz.pdp.token.base64url import encode_base64url
from extauthz.pdp.token.jwks import KeySet, parse_key_set
from extauthz.pdp.token.profile import PROFILES

CLAIMED_LIFETIME_S: Final = 3_600


@dataclass(frozen=True, slots=True)
class Credentials:
    """The token to decide about, the keys that fit it, and what has to be said about it."""

    token: str | None
    keys: Mapping[str, KeySet]
    """By issuer name."""
    remarks: tuple[str, ...]


def read_credentials(options: Mapping[str, Any], resource: Resource, now: float) -> Credentials:
    """The token of `--token`, `--token-file` or `--claims`; none when neither is given."""
    given = [name for name in ("token", "token_file", "claims") if options[name] is not None]
    if len(given) > 1:
        raise click.UsageError(
            "more than one of --token, --token-file, --claims: give one, or none for a call without a token"
        )
    if options["claims"] is not None:
        return _claimed(json_object("--claims", options["claims"]), resource, now)
    token = options["token"]
    if options["token_file"] is not None:
        token = read_input(options["token_file"]).decode("utf-8", "replace").strip()
    if token is None:
        return Credentials(None, {}, ())
    if options["jwks_file"] is not None:
        keys = parse_key_set(read_input(options["jwks_file"]))
        if not isinstance(keys, KeySet):
            raise click.ClickException(f"{options['jwks_file']}: {keys.detail}")
        return Credentials(token, {issuer.name: keys for issuer in resource.issuers}, ())
    unverified = inspect(token)
    if not isinstance(unverified, UnverifiedToken):
        return Credentials(token, {}, ())
    signed, keys = _sign(unverified.algorithm, unverified.key_id, unverified.signing_input)
    remark = "the signature was NOT checked: give --jwks FILE to check it"
    return Credentials(signed, {issuer.name: keys for issuer in resource.issuers}, (remark,))


def _claimed(claims: Mapping[str, Any], resource: Resource, now: float) -> Credentials:
    """A token with these claims, and with what every token of the issuer's profile has."""
    issuer = next((one for one in resource.issuers if one.issuer == claims.get("iss")), resource.issuers[0])
    filled = {name: value for name, value in _usual(issuer, resource, now).items() if name not in claims}
    algorithm = next((name for name in ("ES256", "RS256") if name in issuer.algorithms), issuer.algorithms[0])
    header = {"alg": algorithm, "kid": "explain", "typ": _media_type(issuer)}
    parts = (json.dumps(part, separators=(",", ":")).encode() for part in (header, {**filled, **claims}))
    token, keys = _sign(algorithm, "explain", b".".join(encode_base64url(part) for part in parts))
    remarks = (f"filled in: {json.dumps(filled)}",) if filled else ()
    return Credentials(token, {issuer.name: keys}, remarks)


def _usual(issuer: Issuer, resource: Resource, now: float) -> Mapping[str, Any]:
    profile = PROFILES[issuer.profile]
    usual: dict[str, Any] = {
        "iss": issuer.issuer,
        "sub": "someone",
        "aud": [resource.uri],
        "iat": int(now),
        "exp": int(now) + CLAIMED_LIFETIME_S,
    }
    usual |= {claim: "explain" if value is None else value for claim, value in profile.required.items()}
    if profile.client:
        usual[profile.client[0]] = next(iter(sorted(issuer.clients)), "some-client").replace("*", "client")
    if issuer.organizations and len(profile.organization) == 1:
        usual[profile.organization[0]] = min(issuer.organizations)
    return usual


def _media_type(issuer: Issuer) -> str:
    types = PROFILES[issuer.profile].header_types
    return "JWT" if "jwt" in types else next((name for name in sorted(types) if name), "JWT")


def _sign(algorithm: str, key_id: str, signing_input: bytes) -> tuple[str, KeySet]:
    """The token with a signature of a key made now, and the key set that knows this key alone."""
    curves: Mapping[str, type[ec.EllipticCurve]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
    signer = get_default_algorithms()[algorithm]
    if algorithm in curves:
        curve_key = ec.generate_private_key(curves[algorithm]())
        signature = signer.sign(signing_input, curve_key)
        jwk = ECAlgorithm.to_jwk(curve_key.public_key(), as_dict=True)
    else:
        rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        signature = signer.sign(signing_input, rsa_key)
        jwk = RSAAlgorithm.to_jwk(rsa_key.public_key(), as_dict=True)
    jwk.pop("key_ops", None)
    keys = parse_key_set(json.dumps({"keys": [{**jwk, "kid": key_id, "use": "sig"}]}).encode())
    if not isinstance(keys, KeySet):
        raise click.ClickException(f"no key could be made for {algorithm}: {keys.detail}")
    return (signing_input + b"." + encode_base64url(signature)).decode(), keys
