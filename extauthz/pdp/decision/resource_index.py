"""Which resource a request is for: by the proxy's own word, else by authority and path."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from extauthz.pdp.policy import Policy, Resource
from extauthz.pdp.request import HttpRequest

_DEFAULT_PORT: Final = {"http": ":80", "https": ":443"}
_LOWER: Final = {upper: upper + 0x20 for upper in range(0x41, 0x5B)}

MAX_PATH_CHARS: Final = 1_024
"""Of a path that is compared. It is read before anything is known of the caller; a URI of a resource is far shorter."""

# RFC 3986 §3.3 path characters without `;`, one slash at a time. Everything else (backslash, controls, non-ASCII,
# empty segments, broken escapes) is read differently by some proxy or server.
_PLAIN_PATH: Final = re.compile(r"(?:/(?!/)|[A-Za-z0-9._~!$&'()*+,=:@-]++|%[0-9A-Fa-f]{2})++")
# Escapes that somebody might undo: unreserved characters, slashes, dots, `;`, `%` itself, controls.
_UNDONE_ESCAPE: Final = re.compile(
    r"%(?:[01][0-9A-Fa-f]|7[Ff]|2[5DdEeFf]|3[0-9Bb]|4[1-9A-Fa-f]|5[0-9AaCcFf]|6[1-9A-Fa-f]|7[0-9AaEe]|[89A-Fa-f].)"
)
_DOT_SEGMENT: Final = re.compile(r"/\.{1,2}(?:/|$)")


def path_of(target: str) -> str | None:
    """The path of a request target without its query.

    None when it could be read in more than one way, or is longer than `MAX_PATH_CHARS`.
    """
    path, _, _ = target.partition("?")
    if len(path) > MAX_PATH_CHARS or not path.startswith("/") or _PLAIN_PATH.fullmatch(path) is None:
        return None
    if _DOT_SEGMENT.search(path) or ("%" in path and _UNDONE_ESCAPE.search(path)):
        return None
    return path


def authority_of(authority: str, scheme: str) -> str:
    """An authority in the form in which authorities compare: lower case, without the scheme's default port.

    Only ASCII has lower case here (RFC 9110 §4.2.3, RFC 3986 §6.2.2.1): U+212A is another character than `k`.
    """
    return authority.translate(_LOWER).removesuffix(_DEFAULT_PORT.get(scheme.lower(), "\0"))


@dataclass(frozen=True, slots=True)
class ResourceIndex:
    """All resources of a policy, found by name or by (authority, path)."""

    by_name: Mapping[str, Resource]
    by_authority: Mapping[str, tuple[tuple[str, Resource], ...]]
    """For each authority: (path, resource), longest path first."""

    @classmethod
    def of(cls, policy: Policy) -> "ResourceIndex":
        """Index a policy whose resources do not overlap (the policy loader has checked it)."""
        found: dict[str, list[tuple[str, Resource]]] = {}
        for resource in policy.resources.values():
            scheme, _, rest = resource.uri.partition("://")
            host, slash, path = rest.partition("/")
            own = authority_of(host, scheme)
            # A proxy behind a TLS terminator reports scheme http, so the default port may still be there.
            names = {own, own + _DEFAULT_PORT.get(scheme, "")} | {authority_of(name, scheme) for name in resource.hosts}
            for name in names:
                found.setdefault(name, []).append((slash + path, resource))
        return cls(
            by_name=dict(policy.resources),
            by_authority={
                name: tuple(sorted(entries, key=lambda entry: -len(entry[0]))) for name, entries in found.items()
            },
        )

    def find(self, request: HttpRequest) -> Resource | None:
        """The resource that the request is for, or None."""
        if request.route_resource:
            return self.by_name.get(request.route_resource)
        entries = self.by_authority.get(authority_of(request.authority, request.scheme))
        path = path_of(request.path)
        if entries is None or path is None:
            return None
        for own, resource in entries:
            below = own if own.endswith("/") else own + "/"
            if path == own or path.startswith(below):
                return resource
        return None
