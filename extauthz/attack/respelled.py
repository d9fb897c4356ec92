"""Other spellings of a URI that policy refuses, each of which some server takes for the same.

The texts are as they stand inside a JSON string: a backslash is two.
"""

from collections.abc import Callable, Mapping
from re import compile as compile_pattern
from typing import Final

_FORM: Final = compile_pattern(r"([a-z][a-z0-9+.\-]*)://([a-z0-9.\-]*[a-z][a-z0-9.\-]*)/([A-Za-z0-9._~/\-]*[A-Za-z])")
_FULL_WIDTH: Final = 0xFEE0
"""From a visible ASCII character to its full-width form."""


def uri_parts(uri: str) -> tuple[str, str, str] | None:
    """Scheme, host and path of a URI that can be spelt otherwise: plain characters, a letter at the end."""
    found = _FORM.fullmatch(uri)
    return None if found is None else (found[1], found[2], found[3])


def respell(uri: str, change: str) -> str | None:
    """The URI after one of `URI_CHANGES`; None when it lacks the character that is changed.

    Raises ValueError when there is no such change.
    """
    if change not in URI_CHANGES:
        raise ValueError(f"no change of a URI is called {change}: use one of {', '.join(URI_CHANGES)}")
    parts = uri_parts(uri)
    changed = None if parts is None else URI_CHANGES[change](*parts)
    return None if changed == uri else changed


_Change = Callable[[str, str, str], str]


def _last(old: str, new: str) -> _Change:
    """The last of a character in host and path written otherwise."""

    def change(scheme: str, host: str, path: str) -> str:
        head, found, tail = f"{host}/{path}".rpartition(old)
        return f"{scheme}://{head}{new if found else ''}{tail}"

    return change


def _end(text: str) -> _Change:
    return lambda scheme, host, path: f"{scheme}://{host}/{path}{text}"


def _start(text: str) -> _Change:
    """Something between host and path."""
    return lambda scheme, host, path: f"{scheme}://{host}/{text}{path}"


def _host(change: Callable[[str], str]) -> _Change:
    return lambda scheme, host, path: f"{scheme}://{change(host)}/{path}"


def _escape(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _last_character(change: Callable[[str], str]) -> _Change:
    return lambda scheme, host, path: f"{scheme}://{host}/{path[:-1]}{change(path[-1])}"


URI_CHANGES: Final[Mapping[str, _Change]] = {
    "underscore": _last("_", "%5F"),
    "underscore-small": _last("_", "%5f"),
    "underscore-twice": _last("_", "%255F"),
    "underscore-thrice": _last("_", "%25255F"),
    "hyphen": _last("-", "%2D"),
    "hyphen-small": _last("-", "%2d"),
    "tilde": _last("~", "%7E"),
    "tilde-small": _last("~", "%7e"),
    "letter": _last_character(_escape),
    "letter-twice": _last_character(lambda one: _escape(one).replace("%", "%25")),
    "letter-deep": _last_character(lambda one: _escape(one).replace("%", "%2525252525")),
    "letter-unicode": _last_character(lambda one: f"%u{ord(one):04x}"),
    "letter-full-width": _last_character(lambda one: _escape(chr(ord(one) + _FULL_WIDTH))),
    "letter-full-width-raw": _last_character(lambda one: f"\\u{ord(one) + _FULL_WIDTH:04x}"),
    "slash": _last("/", "%2F"),
    "slash-small": _last("/", "%2f"),
    "slash-twice": _last("/", "%252F"),
    "slash-thrice": _last("/", "%25252F"),
    "slash-full-width": _last("/", "%EF%BC%8F"),
    "slash-overlong": _last("/", "%C0%AF"),
    "slash-doubled": _last("/", "//"),
    "slash-doubled-escaped": _last("/", "/%2F"),
    "slash-behind": _end("/"),
    "slash-behind-escaped": _end("%2F"),
    "backslash": _last("/", "%5C"),
    "backslash-twice": _last("/", "%255C"),
    "backslash-raw": _last("/", "\\\\"),
    "dot": _start("./"),
    "dot-behind": _end("/."),
    "dot-dot": _start("x/../"),
    "dot-dot-escaped": _start("x/%2E%2E/"),
    "dot-dot-half-escaped": _start("x/.%2e/"),
    "dot-dot-slash-escaped": _start("x%2F..%2F"),
    "dot-dot-twice": _start("x/%252E%252E/"),
    "dot-dot-thrice": _start("x%25252F%25252E%25252E%25252F"),
    "dot-dot-full-width": _start("x/%EF%BC%8E%EF%BC%8E/"),
    "dot-dot-overlong": _start("x/%C0%AE%C0%AE/"),
    "dot-dot-parameter": _start("x/..;a/"),
    "dot-dot-backslash": _start("x%5C..%5C"),
    "fragment": _end("#x"),
    "fragment-empty": _end("#"),
    "fragment-escaped-text": _end("#%5F"),
    "query": _end("?x=1"),
    "query-empty": _end("?"),
    "query-and-fragment": _end("?x=1#y"),
    "query-parameters": _end("?a&b=1&&c=%20"),
    "user": _host(lambda host: f"x@{host}"),
    "user-password": _host(lambda host: f"x:y@{host}"),
    "user-escaped": _host(lambda host: f"%5Fx@{host}"),
    "port": _host(lambda host: f"{host}:1"),
    "host-upper": _host(str.upper),
    "host-title": _host(str.title),
    "scheme-upper": lambda scheme, host, path: f"{scheme.upper()}://{host}/{path}",
    "scheme-title": lambda scheme, host, path: f"{scheme.title()}://{host}/{path}",
    "nul": _end("%00"),
    "nul-twice": _end("%2500"),
    "newline": _end("%0A"),
    "line-separator": _end("%E2%80%A8"),
    "next-line": _end("%C2%85"),
    "not-utf-8": _end("%FF"),
    "surrogate": _end("%ED%A0%80"),
    "percent": _end("%"),
    "tab-raw": _last_character(lambda one: f"\\t{one}"),
    "newline-raw": _end("\\n"),
    "space-raw": _end(" "),
}
