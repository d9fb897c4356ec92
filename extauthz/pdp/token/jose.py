"""A compact JWS read strictly: structure and JOSE header, nothing about what the claims mean (RFC 7515, RFC 8725).

    BASE64URL(header) "." BASE64URL(payload) "." BASE64URL(signature)          RFC 7515 §3.1

Whatever another library might read in a second way is refused: another spelling of the same bytes, duplicate members,
parameters that change what is signed or where the key comes from.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from extauthz.pdp.reason import Reason
from extauthz.pdp.strict_json import JsonFault, JsonValue, read_json
from extauthz.pdp.token.base64url import decode_base64url
from extauthz.pdp.token.signature import ALGORITHMS
from extauthz.pdp.token.token_fault import TokenFault

# Envoy refuses a request whose headers exceed 60 KiB altogether, by default, before it asks us
# (`max_request_headers_kb`). A larger token can only come through a proxy that was set to pass it.
MAX_TOKEN_BYTES: Final = 60 * 1024
# Casdoor's key ids are certificate names (varchar(100)); other issuers use thumbprints or UUIDs.
MAX_KEY_ID_CHARS: Final = 256
# A header is one object of strings; two levels leave room for members that mean nothing to us.
MAX_HEADER_DEPTH: Final = 4

# Parameters that a verifier has to understand or refuse, and what they would do.
_REFUSED_PARAMETERS: Final = {
    "crit": "names extensions that must be understood (RFC 7515 §4.1.11); none is known here",  # guard: crit
    "b64": "changes what is signed (RFC 7797)",
    "zip": "asks to decompress the payload (RFC 8725 §3.6)",
    "jwk": "brings its own key (RFC 7515 §4.1.3); only published keys count",  # guard: jwk
    "jku": "names where its key is to be fetched (RFC 7515 §4.1.2); only published keys count",  # guard: jku
    "x5c": "brings its own certificate (RFC 7515 §4.1.6); only published keys count",  # guard: x5c
    "x5u": "names where its certificate is to be fetched (RFC 7515 §4.1.5); only published keys count",  # guard: x5u
}
# Headers that are not read twice, and how long one may be to be kept: at most 256 KiB altogether.
_REMEMBERED_HEADERS: Final = 256
_REMEMBERED_BYTES: Final = 512
# A token that is no JWS, by the number of its parts.
_PARTS: Final = {
    1: "an opaque token (one part, a JWT has three): the client must ask for a JWT, at most issuers by naming this "
    'server as `resource` or `audience`; or the issuer\'s setting for this API is "opaque" or "reference" tokens',
    5: "an encrypted token (JWE, five parts; a signed JWT has three): switch encryption of access tokens off for this "
    "API at the issuer",
}
_OTHER_PARTS: Final = "the token has not the three parts of a JWT: the client must send the access token as it got it"
_NOT_CANONICAL: Final = "a part of the token is not canonical base64url: send the token exactly as the issuer gave it"


@dataclass(frozen=True, slots=True)
class JoseHeader:
    """What counts of a JOSE header: an asymmetric algorithm that is known here, and how it names key and kind.

    `media_type` is `typ` in lower case without `application/` (RFC 7515 §4.1.9), empty when absent. `key_id` is empty
    when the header has no `kid`.
    """

    algorithm: str
    key_id: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Jws:
    """A well-formed JWS; nothing of it is verified."""

    header: JoseHeader
    payload: bytes = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def read_jws(text: bytes) -> Jws | TokenFault:
    """Take a compact JWS apart.

    1. at most `MAX_TOKEN_BYTES`
    2. three parts, each canonical base64url, with a signature          RFC 7515 §5.2, §7.1
    3. the header                                                       `read_header`
    """
    # 1
    if len(text) > MAX_TOKEN_BYTES:
        return _malformed(
            f"the token is longer than {MAX_TOKEN_BYTES} bytes: choose a smaller token format at the issuer "
            "(Casdoor: JWT-Custom, JWT-Empty or JWT-Standard)"
        )
    # 2
    parts = text.split(b".", 3)
    if len(parts) != 3:
        return _malformed(_PARTS.get(len(text.split(b".", 5)), _OTHER_PARTS))
    payload, signature = decode_base64url(parts[1]), decode_base64url(parts[2])
    if payload is None or signature is None:
        return _malformed(_NOT_CANONICAL)
    if not signature:
        return _malformed("the token has no signature: send the access token as the issuer gave it")
    # 3
    header = _remembered_header(parts[0]) if len(parts[0]) <= _REMEMBERED_BYTES else read_header(parts[0])
    if isinstance(header, TokenFault):
        return header
    return Jws(header, payload, text[: -len(parts[2]) - 1], signature)


def read_header(part: bytes) -> JoseHeader | TokenFault:
    """Read the first part of a JWS.

    1. it is one strict JSON object in canonical base64url              RFC 7515 §5.2, RFC 8725 §2.4
    2. `alg` is an asymmetric algorithm that is known here              RFC 7515 §4.1.1, RFC 8725 §3.1
    3. no parameter changes key, signing input or payload               RFC 7515 §4.1.2-6, §4.1.11, RFC 7797
    4. `typ`, if present, is a string                                   RFC 7515 §4.1.9
    5. `kid`, if present, is a string of at most `MAX_KEY_ID_CHARS`     RFC 7515 §4.1.4
    """
    # 1
    data = decode_base64url(part)
    if data is None:
        return _malformed(_NOT_CANONICAL)
    header = read_json_object(data, "header", max_depth=MAX_HEADER_DEPTH)
    if isinstance(header, TokenFault):
        return header
    # 2
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:  # guard: known-algorithm
        return TokenFault(
            Reason.TOKEN_ALGORITHM,
            f"`alg` is none of {', '.join(ALGORITHMS)}: set the issuer's signing method to one that `algorithms` lists",
        )
    # 3
    for name, effect in _REFUSED_PARAMETERS.items():
        if name in header:
            return _malformed(f"header parameter `{name}` {effect}")
    # 4
    typ = header.get("typ", "")
    if not isinstance(typ, str):
        return _malformed("header parameter `typ` is not a string")
    # 5
    key_id = header.get("kid", "")
    if not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID_CHARS:
        return _malformed(f"header parameter `kid` is not a string of at most {MAX_KEY_ID_CHARS} characters")
    return JoseHeader(algorithm, key_id, typ.lower().removeprefix("application/"))


# All tokens of one key have the same header, to the byte.
_remembered_header: Final = lru_cache(maxsize=_REMEMBERED_HEADERS)(read_header)


def read_json_object(data: bytes, part: str, **limits: int) -> dict[str, JsonValue] | TokenFault:
    """One strict JSON object; `part` names it in the fault."""
    value = read_json(data, **limits)
    if isinstance(value, JsonFault):
        return _malformed(f"the {part} is not strict JSON ({value.kind}): {value.detail}")
    if not isinstance(value, dict):
        return _malformed(f"the {part} is not a JSON object")
    return value


def _malformed(detail: str) -> TokenFault:
    return TokenFault(Reason.TOKEN_MALFORMED, detail)
