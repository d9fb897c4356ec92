"""The session that a request belongs to: one id, in `Mcp-Session-Id` or, with the transport HTTP+SSE, in the query.

HTTP+SSE (MCP 2024-11-05) has no header: its servers name an address for messages, in which the SDKs put the session id
as `session_id` (Python) or `sessionId` (TypeScript, Go, Java, C#).

`Last-Event-ID` on a GET resumes a stream of a session (MCP 2025-03-26 to 2025-11-25, Resumability). Servers that look
for the event without a session would replay what was sent in another one, so that it counts only beside a session id.
"""

from collections.abc import Mapping
from re import compile as compile_pattern
from typing import Final
from urllib.parse import unquote_plus

from extauthz.pdp.request import HttpRequest

SESSION_HEADER: Final = "mcp-session-id"
LAST_EVENT_HEADER: Final = "last-event-id"

# MCP 2025-11-25, Session Management: visible ASCII. A comma would be a repeated header.
_SESSION_ID: Final = compile_pattern(r"[\x21-\x2b\x2d-\x7e]{1,1024}")
# What the SDKs put into a query: UUIDs, hexadecimal digits, base64url. What needs no escape has one spelling.
_QUERY_ID: Final = compile_pattern(r"[A-Za-z0-9._~-]{1,1024}")
_SEPARATORS: Final = compile_pattern("[&;]")
# Names of parameters without case, `_` and `-`: frameworks differ in what they take for the same name.
_QUERY_NAMES: Final = frozenset(("sessionid", "mcpsessionid"))


def read_session(request: HttpRequest) -> str | None:
    """The session id of a request, empty where there is none; None when it is not one session id."""
    named = request.headers.get(SESSION_HEADER)
    if named is not None and not _SESSION_ID.fullmatch(named):
        return None
    if "?" not in request.path:
        return named or ""
    asked = _in_query(request.path.partition("?")[2])
    if not asked:
        return named or ""
    (first, *more) = asked
    if more or not _QUERY_ID.fullmatch(first) or (named is not None and named != first):
        return None
    return first


def session_of(request: HttpRequest) -> str:
    """The session id of a request that is refused for other reasons; empty where there is not one."""
    return read_session(request) or ""


def is_resumable(headers: Mapping[str, str], session_id: str) -> bool:
    """Whether `Last-Event-ID`, if there is one, is one event id that belongs to a session."""
    event = headers.get(LAST_EVENT_HEADER)
    # A comma joins repeated headers.
    return event is None or (session_id != "" and event != "" and "," not in event)


def _in_query(query: str) -> list[str]:
    """The values of all parameters that a server could take for a session id."""
    if "%" not in query and "session" not in query.lower():
        return []
    found: list[str] = []
    for part in _SEPARATORS.split(query):
        name, _, value = part.partition("=")
        plain = unquote_plus(name) if "%" in name or "+" in name else name
        if plain.strip().lower().replace("_", "").replace("-", "") in _QUERY_NAMES:
            found.append(value)
    return found
