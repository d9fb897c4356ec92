"""The one access token of a request (RFC 6750 §2), or why there is not exactly one."""

import re
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import unquote_plus

from extauthz.pdp.request import HttpRequest

# RFC 6750 §2.1: credentials = "Bearer" 1*SP b64token; RFC 9110 §11.1: the scheme compares without case.
_BEARER: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9\-._~+/]+=*)")
_SCHEME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?: |$)")


@dataclass(frozen=True, slots=True)
class Bearer:
    """Exactly one well-formed token."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoCredentials:
    """No `Authorization`, or a scheme that is not ours."""


@dataclass(frozen=True, slots=True)
class BadCredentials:
    """More than one token, or something that is no token. `detail` is for the operator."""

    detail: str


Credentials: TypeAlias = Bearer | NoCredentials | BadCredentials


def bearer_credentials(request: HttpRequest) -> Credentials:
    """Read the credentials of a request.

    A token in the query (RFC 6750 §2.3, forbidden by MCP) is malformed even beside a good header: the upstream might
    read that one. Envoy joins repeated `Authorization` lines with a comma, which no b64token has.
    """
    _, _, query = request.path.partition("?")
    if query and any(
        unquote_plus(pair.partition("=")[0]).strip() == "access_token" for pair in re.split("[&;]", query)
    ):
        return BadCredentials("a token in the query: send it in the Authorization header only")
    value = request.headers.get("authorization")
    if not value:
        return NoCredentials()
    found = _BEARER.fullmatch(value)
    if found is not None:
        return Bearer(found[1])
    if "," in value:
        return BadCredentials("more than one Authorization header, or a comma in it")
    scheme = _SCHEME.match(value)
    if scheme is not None and scheme[0].strip().lower() != "bearer":
        return NoCredentials()
    return BadCredentials("the Authorization header is not `Bearer` and one b64token (RFC 6750 §2.1)")


def _parameter_names(query: str) -> frozenset[str]:
    return frozenset(unquote_plus(pair.partition("=")[0]).strip() for pair in re.split("[&;]", query))
