"""Resource URIs: taken as they are, and only in the form in which URL parsers leave them.

MCP gives no normalisation for `uri` (schema: `format: uri`), so patterns of a policy compare with the text itself.
But servers built on the official SDKs do normalise before they look a resource up: the TypeScript SDK through
`new URL(uri)` (WHATWG URL), the Python SDK 1.x through pydantic's `AnyUrl` (the same algorithm). They would read
`file:///public/../secret` as `file:///secret`, `SECRET://x` as `secret://x`. A URI that such a parser rewrites is
therefore not one that all servers read alike, and is refused.
"""

from re import compile as compile_pattern
from typing import Final
from unicodedata import normalize

from extauthz.pdp.uri.uri_forms import MAX_DECODINGS, MAX_PARAMETERS, decodings, is_escaped

# RFC 3986 §2: all that a URI is made of. Anything else is dropped, encoded or refused, depending on the parser.
_URI: Final = compile_pattern(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
# RFC 6570 §2: a URI template has braces besides.
_TEMPLATE: Final = compile_pattern(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%{}]+")
# An escape that is none, or of a control, a letter, a digit or a dot: no encoder writes these (RFC 3986 §2.3), and
# parsers differ in whether they undo them. `%2D`, `%5F` and `%7E` are written by some (Java's `URLEncoder`, Rust's
# `NON_ALPHANUMERIC`), as are lower-case digits (.NET's `HttpUtility`): rules compare without that difference.
_BAD_ESCAPE: Final = compile_pattern(
    r"%(?![0-9A-Fa-f]{2})|%(?:[01][0-9A-Fa-f]|2[Ee]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|7[Ff])"
)
# With what follows the segment in servers that take path parameters off first (`..;x`, RFC 3986 §3.3).
_DOT_SEGMENT: Final = compile_pattern(r"(?:^|[/:])\.\.?(?:[/;]|$)")
# In a query or fragment, where dots beside a slash are a path that a template's variable takes along.
_DOT_SEGMENT_IN_VALUE: Final = compile_pattern(r"/\.\.?(?:[/&;,#]|$)|(?:^|[?&=;,#])\.\.?/")
# What decoders that do not fail put in the place of bytes that are not UTF-8, and the escapes of the character itself.
_REPLACEMENT: Final = "\ufffd"
_REPLACEMENT_ESCAPE: Final = compile_pattern("%[Ee][Ff]%[Bb][Ff]%[Bb][Dd]")
# C0, DEL, C1, and the two separators that end lines.
_CONTROL: Final = compile_pattern("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SCHEME: Final = compile_pattern(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_AUTHORITY: Final = compile_pattern(
    r"(?:[A-Za-z0-9\-._~!$&'()*+,%]+(?::[A-Za-z0-9\-._~!$&'()*+,%]+)?@)?"
    r"([A-Za-z0-9\-._~!$&'()*+,;=%]*)"
    r"(?::(0|[1-9][0-9]{0,4}))?"
)
_DOMAIN: Final = compile_pattern(r"[a-z0-9_\-]+(?:\.[a-z0-9_\-]+)*")
_IPV4: Final = compile_pattern(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}")
_NUMERIC_LABEL: Final = compile_pattern(r"[0-9]+|0x[0-9a-f]*")
# WHATWG URL §4.2. Before it, the parser of the Python SDK 1.x drops the host.
_DRIVE_LETTER: Final = compile_pattern(r"/[A-Za-z]:(?:[/?#]|$)")
# WHATWG URL §3.1: the schemes whose URLs are rewritten most.
DEFAULT_PORTS: Final = {"ftp": "21", "http": "80", "https": "443", "ws": "80", "wss": "443", "file": ""}


def uri_fault(uri: str, *, template: bool = False) -> str:
    """Why servers would not read this URI alike, as a sentence; empty when they would.

    `template` allows the braces of a URI template: servers compare templates as texts, and no parser takes one for a
    URL. A text without a scheme is no URI either, so nothing that a parser could rewrite, and is taken as it is.
    """
    if not (_TEMPLATE if template else _URI).fullmatch(uri):
        return "the URI has a character that no URI has: percent-encode it"
    if fault := escape_fault(uri) or segment_fault(uri):
        return fault
    if uri.count("&") >= MAX_PARAMETERS:
        return f"the query of the URI has more than {MAX_PARAMETERS} parameters: ask for less"
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return ""
    name, rest = scheme[1], uri[scheme.end() :]
    if not name.islower():
        return "the scheme of the URI is not in lower case: write it in lower case"
    if "{" in uri:
        return ""
    default_port = DEFAULT_PORTS.get(name)
    if not rest.startswith("//"):
        return "" if default_port is None else f"a {name} URI begins with {name}://: write it so"
    authority = rest[2:].partition("#")[0].partition("?")[0].partition("/")[0]
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        return "the authority of the URI is not in its plain form: write host, or host:port"
    if default_port is None:
        return ""
    return _special_fault(name, parts[1], parts[2], default_port, rest[2 + len(authority) :])


def escape_fault(text: str) -> str:
    """What is wrong with the escapes of a URI, or of a piece of a pattern for one."""
    if "%" not in text:
        return ""
    if _BAD_ESCAPE.search(text):
        return "the URI has an escape that URL parsers differ about: write the character itself"
    decoded = decodings(text)
    if (
        decoded
        and _REPLACEMENT in decoded[0]
        and decoded[0].count(_REPLACEMENT) != len(_REPLACEMENT_ESCAPE.findall(text))
    ):
        return "the URI has escapes that are not UTF-8, which servers decode differently: encode UTF-8"
    if any(map(_CONTROL.search, decoded)):
        return "the URI has an escape of a control character: leave it out"
    if len(decoded) == MAX_DECODINGS and is_escaped(decoded[-1]):
        return f"the URI is escaped more than {MAX_DECODINGS} times over: encode it once"
    return ""


def segment_fault(text: str) -> str:
    """Whether a URI, or a piece of a pattern for one, leads elsewhere than it says, however often it is decoded."""
    hierarchy, _, value = _at_the_query(text)
    for path in (hierarchy, *(_as_path(one) for one in decodings(hierarchy))):
        if _DOT_SEGMENT.search(path):
            return _DOTS
    if not value:
        return ""
    values = (value, *(_as_path(one) for one in decodings(value)))
    return _DOTS if any(map(_DOT_SEGMENT_IN_VALUE.search, values)) else ""


_DOTS: Final = "the URI has a dot segment: write the path that it leads to"


def _at_the_query(text: str) -> tuple[str, str, str]:
    """What comes before the query or fragment, and all that comes behind."""
    at = min((found for found in (text.find("?"), text.find("#")) if found >= 0), default=len(text))
    return text[:at], text[at : at + 1], text[at + 1 :]


def _as_path(decoded: str) -> str:
    """Decoded text as it looks to path functions: of Windows too, and after a normalisation of Unicode."""
    return (decoded if decoded.isascii() else normalize("NFKC", decoded)).replace("\\", "/")


def _special_fault(scheme: str, host: str, port: str | None, default_port: str, after: str) -> str:
    """The further rules for `http`, `https`, `ws`, `wss`, `ftp` and `file` (WHATWG URL §3.1, §3.5, §4.4)."""
    if scheme == "file":
        if port is not None or host == "localhost" or after.startswith("//"):
            return "the file URI is not in its plain form: write file:///path"
        if host and _DRIVE_LETTER.match(after):
            return "the file URI has a host before a drive letter: write file:///C:/path"
    elif not host or port == default_port:
        return "the URI names no host, or the scheme's own port: write host, or host:port"
    if host and not _canonical_host(host):
        return "the host of the URI is not in its canonical form: write a name in lower case, or four decimal numbers"
    if not after.startswith("/"):
        return "the URI has no path: end the authority with a slash"
    if "'" in after.partition("#")[0].partition("?")[2]:
        return "the query of the URI has an apostrophe: percent-encode it"
    return ""


def _canonical_host(host: str) -> bool:
    if _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
        return _IPV4.fullmatch(host) is not None
    return _DOMAIN.fullmatch(host) is not None
