"""The texts that a server can take one resource URI for.

A rule names a resource as text, and so does a request, but what a handler acts on is neither: the official SDKs decode
the variables of a URI template (Python 2.x, Go), or hand over a parsed URL whose parts handlers decode (TypeScript);
parameters of a query have no order, unknown ones and fragments are dropped, and hosts compare without case. Two texts
of which a server makes the same must not be told apart by a deny rule, and two of which it makes different things must
not be one to an allow rule. Hence several forms of one URI:

* *plain*: as written, with escapes in capitals and unreserved characters unescaped (RFC 3986 §6.2.2.1, §6.2.2.2);
* *decoded*: all escapes undone, once and again until none is left;
* *meant*: decoded, and with everything made alike that one or another reader takes for the same.
"""

from re import Match
from re import compile as compile_pattern
from typing import Final, NamedTuple
from unicodedata import normalize

# How often a URI can be escaped. A URL inside a URL inside a URI is escaped three times.
MAX_DECODINGS: Final = 3
# Parameters of a query. Tools of search engines have about twenty.
MAX_PARAMETERS: Final = 64

_ESCAPE: Final = compile_pattern(r"%([0-9A-Fa-f]{2})")
_ESCAPES: Final = compile_pattern(r"(?:%[0-9A-Fa-f]{2})+")
# Lower-case digits, and unreserved characters: of these, `uri_fault` lets `%2D`, `%5F` and `%7E` through.
_NOT_PLAIN: Final = compile_pattern(r"%(?:[a-f]|[0-9A-F][a-f]|2[14789DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)")
# RFC 3986 §2.3, and `!$'()`: reserved, but parted by them is nothing, and one encoder in two escapes them.
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$'()")
# A NUL stands for the star of a pattern, which can be anywhere; no URI has one.
_AUTHORITY: Final = compile_pattern(r"([A-Za-z\x00][A-Za-z0-9+.\-\x00]*://)([^/?#]*)")
_PORT: Final = compile_pattern(r":[0-9]*$")
_SLASHES: Final = compile_pattern(r"//+")
# Form decoding reads `+` as a space (WHATWG URL §5.1), path functions of Windows `\` as `/`.
_ALIKE: Final = str.maketrans("+\\", " /")


class UriParts(NamedTuple):
    """A URI as RFC 3986 §3 divides it. What is not there is None."""

    scheme: str
    """With `://` behind it; empty for a URI without authority, which is all path then."""
    authority: str
    path: str
    query: str | None
    fragment: str | None


class UriForms(NamedTuple):
    """One URI in the forms that rules compare."""

    plain: str
    meant: str
    names: tuple[str, ...]
    """Every text by which a deny rule can know the resource: plain, meant, and meant without each of the parts that
    some handler does not look at (fragment, query, user, port, slashes at the end), each once."""
    parts: UriParts


def forms_of(uri: str) -> UriForms:
    """The forms of a URI or URI template that `uri_fault` has nothing against."""
    plain = plain_form(uri)
    parts = divided(plain)
    if _is_simple(plain, parts):
        return UriForms(plain, plain, (plain,), parts)
    path = _alike(parts.path)
    ends = [path]
    if parts.query is not None:
        ends += [path + parameter_marks(parts.query), f"{path}?{_alike(parts.query)}"]
    if parts.fragment is not None:
        ends.append(f"{ends[-1]}#{_alike(parts.fragment)}")
    starts = [_alike(one) for one in (parts.authority, *other_authorities(parts.authority))]
    meant = _one_slash(parts.scheme + starts[0] + ends[-1])
    names = [plain, meant, *(_one_slash(parts.scheme + start + end) for start in starts for end in ends)]
    names += [name.rstrip("/") for name in names if name.endswith("/")]
    return UriForms(plain, meant, tuple(dict.fromkeys(names)), parts)


def readings_of(uri: str) -> tuple[str, ...]:
    """The URI as it is written and as handlers decode it, once, twice, …, also with `+` as a space; each once."""
    plain = plain_form(uri)
    spaced = plain.replace("+", " ")
    return tuple(dict.fromkeys((plain, *decodings(plain), spaced, *decodings(spaced))))


def plain_form(text: str) -> str:
    """Escapes in capitals, unreserved characters and `!$'()` without (RFC 3986 §6.2.2)."""
    return _ESCAPE.sub(_plain_escape, text) if _NOT_PLAIN.search(text) else text


def _plain_escape(found: Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in _UNRESERVED else found[0].upper()


def decodings(text: str) -> tuple[str, ...]:
    """The text decoded once, twice, …, as long as it changes and `MAX_DECODINGS` times at most."""
    found: list[str] = []
    while "%" in text and len(found) < MAX_DECODINGS:
        text, count = _ESCAPES.subn(_characters, text)
        if not count:
            break
        found.append(text)
    return tuple(found)


def is_escaped(text: str) -> bool:
    """Whether there is anything to decode."""
    return "%" in text and _ESCAPES.search(text) is not None


def _characters(found: Match[str]) -> str:
    return bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "replace")


def decoded_to_the_end(text: str) -> str:
    """The text without any escape."""
    found = decodings(text)
    return found[-1] if found else text


def meant_form(plain: str) -> str:
    """The whole text, decoded to the end and folded: of a pattern (with NUL for its stars) as of a URI."""
    return _one_slash(_alike(plain))


def divided(plain: str) -> UriParts:
    """The parts of a URI in its plain form."""
    rest, hash_sign, fragment = plain.partition("#")
    base, question_mark, query = rest.partition("?")
    found = _AUTHORITY.match(base)
    scheme, authority = (found[1], found[2]) if found is not None else ("", "")
    return UriParts(
        scheme=scheme,
        authority=authority,
        path=base[len(scheme) + len(authority) :],
        query=query if question_mark else None,
        fragment=fragment if hash_sign else None,
    )


def joined(parts: UriParts) -> str:
    """The URI of these parts."""
    query = "" if parts.query is None else f"?{parts.query}"
    fragment = "" if parts.fragment is None else f"#{parts.fragment}"
    return f"{parts.scheme}{parts.authority}{parts.path}{query}{fragment}"


def parameters_of(query: str) -> tuple[str, ...]:
    """The parameters of a query, without empty ones."""
    return tuple(pair for pair in query.split("&") if pair)


def parameter_marks(query: str) -> str:
    """A query in which each parameter can be found whole, with marks of its own around it: `?&a=1&&b=2&`."""
    return "?" + "".join(f"&{_alike(pair)}&" for pair in parameters_of(query))


def other_authorities(authority: str) -> tuple[str, ...]:
    """The authority without its user, without its port, and without both."""
    if "@" not in authority and ":" not in authority:
        return ()
    host = authority.rpartition("@")[2]
    return tuple(sorted({host, _PORT.sub("", host), _PORT.sub("", authority)} - {authority}))


def _is_simple(plain: str, parts: UriParts) -> bool:
    """Whether every form is the URI itself."""
    return (
        parts.query is None
        and parts.fragment is None
        and not any(sign in plain for sign in "%+\\")
        and plain.isascii()
        and "//" not in parts.path
        and not parts.path.endswith("/")
        and parts.authority == parts.authority.lower()
        and not other_authorities(parts.authority)
    )


def _alike(plain: str) -> str:
    """Decoded to the end, in the compatibility form of Unicode (RFC 3987 §5.3.2.2), `+` as a space and `\\` as `/`."""
    text = decoded_to_the_end(plain)
    return (text if text.isascii() else normalize("NFKC", text)).translate(_ALIKE)


def _one_slash(text: str) -> str:
    """With the host in lower case (RFC 3986 §6.2.2.1), and with one slash where there are several."""
    found = _AUTHORITY.match(text)
    if found is None:
        return _SLASHES.sub("/", text)
    return found[1] + found[2].lower() + _SLASHES.sub("/", text[found.end() :])
