"""The one access token of a request (RFC 6750 §2), or why there is not exactly one."""

import re
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from extauthz.pdp.request import HttpRequest

MAX_QUERY_CHARS: Final = 1_024
"""Of a request's query. MCP puts nothing there; servers of its first transport put a session id there. It is searched
for a token before anything is known of the caller."""

# No expression here goes back over what it has matched (`++`, `*+`), so that each costs one step a character.
# RFC 6750 §2.1: credentials = "Bearer" 1*SP b64token; RFC 9110 §11.1: the scheme compares without case.
_BEARER: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] ++([A-Za-z0-9\-._~+/]++=*+)")
_SCHEME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++(?: |$)")

# White space as servers may strip it from a name: itself, `+`, or its UTF-8 bytes escaped. All of `str.isspace`.
_SPACES: Final = (
    r"(?:[\s+]|%(?:0[9A-Da-d]|1[C-Fc-f]|20|[Cc]2%(?:85|[Aa]0)|[Ee]1%9[Aa]%80|[Ee]3%80%80"
    r"|[Ee]2%8(?:0%(?:8[0-9Aa]|[Aa][89Ff])|1%9[Ff])))*+"
)
_TOKEN_NAME: Final = "".join(
    f"(?:{char}|%{ord(char) >> 4}[{ord(char) & 15:X}{ord(char) & 15:x}])" for char in "access_token"
)
_TOKEN_PARAMETER: Final = re.compile(f"[&;]{_SPACES}{_TOKEN_NAME}{_SPACES}(?:[=&;]|$)")
"""A query parameter that some server would read as `access_token`, in a query with `&` put before it."""

# HTTP Authentication Scheme Registry (IANA), and what clients send besides.
_SCHEMES: Final = (
    *("Basic", "Concealed", "Digest", "DPoP", "GNAP", "HOBA", "Mutual", "Negotiate", "OAuth", "PrivateToken"),
    *("SCRAM-SHA-1", "SCRAM-SHA-256", "vapid", "NTLM", "Token", "ApiKey", "Key", "JWT", "AWS4-HMAC-SHA256"),
)


@dataclass(frozen=True, slots=True)
class Bearer:
    """Exactly one well-formed token."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoCredentials:
    """No `Authorization`, or a scheme that is not ours. `detail` is for the operator."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class BadCredentials:
    """More than one token, or something that is no token. `detail` is for the operator."""

    detail: str


Credentials: TypeAlias = Bearer | NoCredentials | BadCredentials


def bearer_credentials(request: HttpRequest) -> Credentials:
    """Read the credentials of a request.

    A token in the query (RFC 6750 §2.3, forbidden by MCP) is malformed even beside a good header: the upstream might
    read that one. A query that is too long to be searched could hold one. Envoy joins repeated
    `Authorization` lines with a comma, which no b64token has.
    """
    _, _, query = request.path.partition("?")
    if query:
        if len(query) > MAX_QUERY_CHARS:
            return BadCredentials(f"a query of {len(query)} characters: send at most {MAX_QUERY_CHARS}")
        if _TOKEN_PARAMETER.search("&" + query) is not None:
            return BadCredentials("a token in the query: send it in the Authorization header only")
    value = request.headers.get("authorization")  # guard: one-credential
    if not value:
        return NoCredentials("no Authorization header: the client must send its access token as Bearer")
    found = _BEARER.fullmatch(value)
    if found is not None:
        return Bearer(found[1])
    if "," in value:
        return BadCredentials("more than one Authorization header, or a comma in it")
    scheme = _SCHEME.match(value)
    if scheme is not None and scheme[0].strip().lower() != "bearer":
        return NoCredentials(_other_scheme(scheme[0]))
    return BadCredentials("the Authorization header is not `Bearer` and one b64token (RFC 6750 §2.1)")


def _other_scheme(found: str) -> str:
    """Names a scheme of the registry only: what comes without one may be the token itself."""
    scheme = found.strip()
    if not found.endswith(" "):
        return "the Authorization header has no scheme: the client must write `Bearer` before the token"
    name = next((known for known in _SCHEMES if known.lower() == scheme.lower()), "")
    said = f"the scheme {name}" if name else "a scheme that is not registered"
    return f"the Authorization header has {said}, expected Bearer: the client must send its access token as Bearer"
