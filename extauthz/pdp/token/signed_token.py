"""From the text of a token to one whose signature is good. Nothing about what its claims mean.

The two results have types of their own, so that no claim can be believed before its signature was checked.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from extauthz.pdp.reason import Reason
from extauthz.pdp.token.claims import Claims
from extauthz.pdp.token.jose import JoseHeader, read_json_object, read_jws
from extauthz.pdp.token.jwk import Key
from extauthz.pdp.token.signature import ALGORITHMS, signature_fits, twin_digest
from extauthz.pdp.token.token_fault import TokenFault


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A well-formed JWT of which nothing is verified: good for choosing an issuer and a key, and for nothing else.

    `digest` is the SHA-256 of the whole text: the name of this token in caches and deny-lists. `issuer` is what the
    token says of itself; it may be compared with configured issuers, and never be used to find one.
    """

    header: JoseHeader
    issuer: str
    digest: bytes
    claims: Claims = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def algorithm(self) -> str:
        """The header's `alg`: one of `ALGORITHMS`."""
        return self.header.algorithm

    @property
    def key_id(self) -> str:
        """The header's `kid`, never empty."""
        return self.header.key_id

    @property
    def media_type(self) -> str:
        """The header's `typ`, see `JoseHeader`."""
        return self.header.media_type


class _Warrant(StrEnum):
    """Why a signature is taken to be good."""

    VERIFIED = "verified"
    VOUCHED = "vouched"


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token whose signature is good. Made by `verify_signature`, or by `vouched` where its conditions hold."""

    token: UnverifiedToken
    warrant: _Warrant

    @classmethod
    def vouched(cls, token: UnverifiedToken) -> "SignedToken":
        """Take the signature as good without checking it.

        Only for a caller that holds, authenticated by its own secret, a record of this very `token.digest` made after
        its signature was verified with the keys of the same issuer: the shared decision cache. The claims are judged
        again, so that a record never outlives `exp` or a change of policy; a withdrawn signing key is noticed when the
        record ends.
        """
        return cls(token, _Warrant.VOUCHED)


def digest_of(token: str) -> bytes:
    """`UnverifiedToken.digest` of a text that was not inspected. Only for looking up a token seen before."""
    return sha256(token.encode(errors="surrogatepass")).digest()  # guard: whole-token


def inspect(token: str) -> UnverifiedToken | TokenFault:
    """Read a token's structure.

    1. the characters and the shape of a compact JWS, its header            `jose.read_jws`
    2. the claims are one strict JSON object                                RFC 7519 §7.2, RFC 8725 §2.4
    3. `iss` is a string, to choose the issuer by                           casdoor.md §1.4
    4. `kid` is there, to choose the key by: refresh tokens of Casdoor have none    casdoor.md §1.4, §2.6
    """
    # 1
    if not token.isascii():
        return TokenFault(Reason.TOKEN_MALFORMED, "the token has characters outside ASCII: it was changed on its way")
    text = token.encode()
    jws = read_jws(text)
    if isinstance(jws, TokenFault):
        return jws
    # 2
    claims = read_json_object(jws.payload, "payload")
    if isinstance(claims, TokenFault):
        return claims
    # 3
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not issuer:
        return TokenFault(
            Reason.TOKEN_ISSUER, "claim `iss` is missing or not a string: send an access token of an issuer"
        )
    # 4
    if not jws.header.key_id:
        if claims.get("tokenType") == "refresh-token" or "TokenType" in claims:
            return TokenFault(Reason.TOKEN_TYPE, "a refresh token of Casdoor: send the access token")
        return TokenFault(
            Reason.TOKEN_KEY_UNKNOWN, "the header has no `kid`, so that no key can be chosen for the token"
        )
    digest = sha256(text).digest()  # guard: whole-token-inspected
    return UnverifiedToken(jws.header, issuer, digest, claims, jws.signing_input, jws.signature)


def verify_signature(token: UnverifiedToken, keys: tuple[Key, ...]) -> SignedToken | None:
    """Check the signature with each of `keys`: those of the token's issuer, from `KeySet.candidates`.

    The algorithm has to be one for the key's type and curve (RFC 8725 §3.1, casdoor.md §1.3), whatever keys are handed
    over. None means that no key fits.
    """
    algorithm = ALGORITHMS[token.algorithm]
    for key in keys:
        if key.takes(algorithm) and signature_fits(algorithm, key.public, token.signing_input, token.signature):
            return SignedToken(token, _Warrant.VERIFIED)
    return None


def revocation_digests(token: UnverifiedToken) -> tuple[bytes, ...]:
    """The digests under which this token may have been revoked: its own, and for ECDSA that of its second spelling."""
    twin = twin_digest(token.algorithm, token.signing_input, token.signature)
    return (token.digest,) if twin is None else (token.digest, twin)  # guard: second-spelling
