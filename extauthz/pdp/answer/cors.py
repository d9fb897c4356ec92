"""Cross-origin requests (Fetch standard, CORS protocol) where no proxy filter stands before us (Istio)."""

import re
from typing import Final

from extauthz.pdp.policy import Resource
from extauthz.pdp.quoting import quoted
from extauthz.pdp.request import HttpRequest

ALLOWED_METHODS: Final = "GET, POST, DELETE, OPTIONS"
ALLOWED_HEADERS: Final = (
    "authorization",
    "content-type",
    "accept",
    "last-event-id",
    "mcp-session-id",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
)
EXPOSED_HEADERS: Final = "WWW-Authenticate, Mcp-Session-Id, x-extauthz-decision"
PREFLIGHT_MAX_AGE_S: Final = 600
MAX_PARAMETER_HEADERS: Final = 32
"""How many `mcp-param-*` names one preflight answer repeats: more than any tool mirrors."""

MAX_ORIGINS_SHOWN: Final = 5
"""Of a resource's origins in one message, which is one line."""
MAX_ASKED_CHARS: Final = 4_096
"""Of the list of header names that a preflight asks for; names beyond are not allowed."""
MAX_ASKED_NAMES: Final = 100
"""Likewise: as many headers as Envoy lets a request have."""

_PARAMETER_HEADER: Final = re.compile(r"mcp-param-[!#$%&'*+.^_`|~0-9a-z-]{1,128}")

Headers = tuple[tuple[str, str], ...]


def origin_allowed(resource: Resource, request: HttpRequest) -> bool:
    """Whether the browser origin, if there is one, may talk to the resource (MCP Streamable HTTP, Security)."""
    origin = request.headers.get("origin")
    return origin is None or origin in resource.origins


def origin_detail(resource: Resource, request: HttpRequest) -> str:
    """Why the origin is refused, for the operator."""
    allowed = ", ".join(quoted(origin) for origin in sorted(resource.origins)[:MAX_ORIGINS_SHOWN]) or "none"
    return (
        f"Origin is {quoted(request.headers.get('origin', ''))}; `origins` of resource {resource.name}: {allowed}: add "
        "it if pages from there may call this server"
    )


def is_preflight(request: HttpRequest) -> bool:
    """A CORS preflight: OPTIONS with an origin and the method it asks for (Fetch §4.8)."""
    return (
        request.method == "OPTIONS"
        and "origin" in request.headers
        and "access-control-request-method" in request.headers
    )


def preflight_headers(request: HttpRequest) -> Headers:
    """The headers of the 204 for an allowed origin. `mcp-param-*` names are allowed as asked."""
    listed = request.headers.get("access-control-request-headers", "")[:MAX_ASKED_CHARS].split(",", MAX_ASKED_NAMES)
    asked = (name.strip().lower() for name in listed[:MAX_ASKED_NAMES])
    parameters = [name for name in asked if _PARAMETER_HEADER.fullmatch(name)][:MAX_PARAMETER_HEADERS]
    return (
        ("access-control-allow-origin", request.headers["origin"]),
        ("access-control-allow-methods", ALLOWED_METHODS),
        ("access-control-allow-headers", ", ".join((*ALLOWED_HEADERS, *dict.fromkeys(parameters)))),
        ("access-control-max-age", str(PREFLIGHT_MAX_AGE_S)),
        ("vary", "origin, access-control-request-headers"),
    )


def denial_headers(resource: Resource, request: HttpRequest) -> Headers:
    """What a browser needs to read a denial; nothing unless the origin is allowed."""
    origin = request.headers.get("origin")
    if origin is None or origin not in resource.origins:
        return ()
    return (
        ("access-control-allow-origin", origin),
        ("access-control-expose-headers", EXPOSED_HEADERS),
        ("vary", "origin"),
    )
