"""From a case to the bytes that are sent.

In targets, header values and bodies stand

    ${tool} ${arguments}                a permitted tool and its arguments; ${call} both as members of params
    ${forbidden} ${forbidden-arguments} a refused one; ${forbidden-call} both as members of params
    ${guarded}                          a tool that is refused for some arguments; ${guarded-call} with permitted ones
    ${guarded-call:CHANGE}              with refused ones, as they are or changed (`reargued`)
    ${forbidden-uri} ${forbidden-uri:CHANGE}   a refused resource, or its URI spelt otherwise (`respelled`)
    ${meta}                             `"_meta":{…},` of the modern era, nothing in the other
    ${meta-only}                        the same without its comma
    ${version}                          the protocol version of the era
    ${path} ${authority} ${host} ${origin} ${session}
    ${token} ${token:CHANGE}            the token, or the token changed (`tampered`)
    ${tokens:NAME}                      one of the set of tokens that have to be refused
    ${b64:tool} ${b64:forbidden} ${b64:token}   in base64
    ${repeat:N:TEXT:}                   TEXT N times: deep and huge things stay readable
"""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final

from extauthz.attack.case import Attempt, Era, SessionUse
from extauthz.attack.reargued import reargue
from extauthz.attack.respelled import respell
from extauthz.attack.tampered import tamper
from extauthz.attack.target import Target, Values

VERSIONS: Final = {Era.LEGACY: "2025-11-25", Era.MODERN: "2026-07-28"}
ACCEPT: Final = "application/json, text/event-stream"
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""Twice what the largest known server reads: enough to be over every limit."""

_META: Final = (
    '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    '"io.modelcontextprotocol/clientCapabilities":{},'
    '"io.modelcontextprotocol/clientInfo":{"name":"extauthz-attack","version":"1"}},'
)
_REPEAT: Final = re.compile(r"\$\{repeat:([0-9]{1,7}):(.*?):\}", re.DOTALL)
_PLACE: Final = re.compile(r"\$\{([a-z0-9-]+)(?::([a-z0-9-]+))?\}")


class CannotComposeError(Exception):
    """A value that the case needs is not there; the text says which option gives it."""


@dataclass(frozen=True, slots=True)
class RawRequest:
    """One HTTP/1.1 request, line by line. `wire()` is what goes over the connection."""

    method: str
    target: str
    http_version: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    chunked: bool
    half_close: bool

    def wire(self) -> bytes:
        """The bytes."""
        lines = [
            f"{self.method} {self.target} {self.http_version}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        head = "\r\n".join((*lines, "", "")).encode("latin-1")
        if not self.chunked:
            return head + self.body
        return head + b"%x\r\n" % len(self.body) + self.body + b"\r\n0\r\n\r\n"


def compose(attempt: Attempt, target: Target, values: Values, session: str = "") -> RawRequest:
    """Make the request of an attempt. `session` is the session to use, empty when the server has given none.

    Raises CannotComposeError when a value is missing.
    """
    request = attempt.case.request
    fill = _Filler(attempt.era, target, values, session)
    for need in sorted(attempt.case.needs):
        fill.value(need, None)
    body = b"" if request.body is None else fill.text(request.body).encode(request.encoding)
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"{attempt.id}: a body of {len(body)} bytes: keep it below {MAX_BODY_BYTES}")
    usual: dict[str, str] = {"host": target.authority, "connection": "close"}
    if request.method == "POST":
        usual |= {"accept": ACCEPT, "content-type": "application/json"}
    elif request.method == "GET":
        usual["accept"] = "text/event-stream"
    if values.token:
        usual["authorization"] = f"Bearer {values.token}"
    if request.method in ("POST", "GET", "DELETE"):
        usual |= _protocol_headers(attempt, fill, session)
    if body and not request.chunked:
        usual["content-length"] = str(len(body))
    elif request.chunked:
        usual["transfer-encoding"] = "chunked"
    changed = {name.lower() for name, _ in request.headers}
    lines = [(name, value) for name, value in usual.items() if name not in changed]
    lines += [(name, fill.text(value)) for name, values_ in request.headers for value in values_]
    return RawRequest(
        method=request.method,
        target=fill.text(request.target),
        http_version=request.http_version,
        headers=tuple(lines),
        body=body,
        chunked=request.chunked,
        half_close=request.half_close,
    )


def _protocol_headers(attempt: Attempt, fill: "_Filler", session: str) -> dict[str, str]:
    request = attempt.case.request
    found: dict[str, str] = {}
    if attempt.era is Era.LEGACY:
        if session and request.session is not SessionUse.NONE:
            found = {"mcp-protocol-version": VERSIONS[Era.LEGACY], "mcp-session-id": session}
        elif request.mirror[0] != "initialize":
            found = {"mcp-protocol-version": VERSIONS[Era.LEGACY]}
    elif request.method == "POST":
        method, name = request.mirror
        changed = {one.lower() for one, _ in request.headers}
        found = {"mcp-protocol-version": VERSIONS[Era.MODERN]}
        if method and "mcp-method" not in changed:
            found["mcp-method"] = method
        if name and "mcp-name" not in changed:
            found["mcp-name"] = fill.text(name)
    return found


class _Filler:
    """Puts the values of a run in their places."""

    def __init__(self, era: Era, target: Target, values: Values, session: str) -> None:
        self.era, self.target, self.values, self.session = era, target, values, session

    def text(self, template: str) -> str:
        """The template with everything in its place."""
        grown = _REPEAT.sub(lambda found: found[2] * int(found[1]), template)
        return _PLACE.sub(lambda found: self.value(found[1], found[2]), grown) if "${" in grown else grown

    def value(self, name: str, part: str | None) -> str:
        """One value. Raises CannotComposeError when it is not there, ValueError when there is no such name."""
        values = self.values
        match name:
            case "b64":
                return b64encode(self.value(part or "", None).encode()).decode()
            case "token" if part is not None:
                changed = tamper(self.value("token", None), part)
                if changed is None:
                    raise CannotComposeError("a token that is a JWT (--token)")
                return changed
            case "tokens":
                return self._given(values.tokens.get(part or "", ""), "the token of its name (--tokens)")
            case "token":
                return self._given(values.token, "a token (--token)")
            case "origin":
                return self._given(values.origin, "an allowed browser origin (--origin)")
            case "session":
                return self._given(self.session, "a server that gives session ids")
            case "tool" | "call" | "arguments":
                tool = self._given(values.tool, "a permitted tool (--tool)")
                return {"tool": tool, "arguments": values.arguments}.get(name, _members(tool, values.arguments))
            case "forbidden" | "forbidden-call" | "forbidden-arguments":
                tool = self._given(values.forbidden, "a tool that policy refuses (--forbidden-tool)")
                arguments = values.forbidden_arguments
                return {"forbidden": tool, "forbidden-arguments": arguments}.get(name, _members(tool, arguments))
            case "forbidden-uri":
                uri = self._given(values.forbidden_uri, "the URI of a resource that policy refuses (--forbidden-uri)")
                respelt = uri if part is None else respell(uri, part)
                return self._given(respelt or "", "a URI with a slash and each of _ - ~ in its path (--forbidden-uri)")
            case "guarded" | "guarded-call":
                tool = self._given(values.guarded, "a tool that is refused for some arguments (--guarded-tool)")
                return tool if name == "guarded" else _members(tool, self._guarded_arguments(part))
            case "meta":
                return _META if self.era is Era.MODERN else ""
            case "meta-only":
                return _META.rstrip(",") if self.era is Era.MODERN else ""
            case "version":
                return VERSIONS[self.era]
            case "path":
                return self.target.path
            case "authority":
                return self.target.authority
            case "host":
                return self.target.host
            case _:
                raise ValueError(f"no value is called {name}: see extauthz/attack/compose.py for those that there are")

    def _guarded_arguments(self, change: str | None) -> str:
        values = self.values
        match change:
            case None:
                return values.guarded_permitted
            case "refused":
                return values.guarded_refused
            case _:
                changed = reargue(values.guarded_permitted, values.guarded_refused, change)
                return self._given(changed or "", "arguments with a number and a boolean (--guarded-refused)")

    def _given(self, value: str, what: str) -> str:
        if not value:
            raise CannotComposeError(what)
        return value


def _members(tool: str, arguments: str) -> str:
    return f'"name":"{tool}","arguments":{arguments}'
