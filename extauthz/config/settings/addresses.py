"""What URLs, hosts and origins in a policy may look like. Each check returns what is wrong, or None."""

import re
from ipaddress import AddressValueError, IPv6Address, ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from extauthz.config.policy_file.fault import Problem
from extauthz.pdp.decision.resource_index import authority_of, path_of
from extauthz.pdp.quoting import quoted

# Characters. Longer URLs do not fit the header budgets of proxies once they stand in challenges.
MAX_URL_CHARS: Final = 2_048

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# RFC 3986 §2: what a URI is written with. Everything else must be percent-encoded.
_URI_CHARACTERS: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LOWER_CASE_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*"
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?"
)
_METADATA_PREFIX: Final = "/.well-known/oauth-protected-resource"
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")

_HTTP_MEND: Final = "use https, or set unsafe_allow_http: true, which leaves tokens and keys unprotected"


def is_loopback(host: str) -> bool:
    """Whether a host name or literal can only be this machine (RFC 6761 §6.3, RFC 8252 §7.3)."""
    name = host.lower().strip("[]").removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def url_complaint(text: str, *, allow_http: bool, allow_query: bool = False) -> Problem | None:
    """An absolute `https` URL without user info or fragment; `http` for loopback hosts, or when allowed."""
    url = _split(text)
    if isinstance(url, Problem):
        return url
    if url.scheme not in _DEFAULT_PORTS:
        return Problem(f"{quoted(text)} is not an http or https URL", 'write it as "https://host/path"')
    if "#" in text:
        return Problem(f"{quoted(text)} has a fragment", 'remove "#" and what follows')
    if "?" in text and not allow_query:
        return Problem(f"{quoted(text)} has a query", 'remove "?" and what follows')
    if url.scheme == "http" and not allow_http and not is_loopback(url.hostname or ""):
        return Problem(f"{quoted(text)} is plain http to another machine", _HTTP_MEND)
    return None


def resource_uri_complaint(text: str, *, allow_http: bool) -> Problem | None:
    """A canonical resource identifier (RFC 8707 §2, RFC 9728 §1.2; MCP 2026-07-28, Canonical Server URI).

    Canonical is what clients send and tokens name: lower-case scheme and host, no default port, no trailing slash,
    and a path that requests can match.
    """
    complaint = url_complaint(text, allow_http=allow_http)
    if complaint is not None:
        return complaint
    url = urlsplit(text)
    if url.path and path_of(url.path) is None:
        return Problem(
            f"no request can match the path of {quoted(text)}",
            'write it without "//", dot segments, ";", non-ASCII, and escapes of anything that needs none',
        )
    canonical = canonical_uri(text)
    if canonical != text:
        return Problem(f"{quoted(text)} is not in canonical form", f"write {quoted(canonical)}")
    if url.path == _METADATA_PREFIX or url.path.startswith(_METADATA_PREFIX + "/"):
        return Problem(f"{_METADATA_PREFIX} is where metadata is served", "give the resource a path of its own")
    return None


def canonical_uri(text: str) -> str:
    """Scheme and host in lower case, no default port, upper-case escapes, no trailing slash."""
    url = urlsplit(text)
    path = _LOWER_CASE_ESCAPE.sub(lambda escape: escape[0].upper(), url.path)
    return f"{url.scheme}://{authority_of(url.netloc, url.scheme)}{path.rstrip('/')}"


def authority_complaint(text: str) -> Problem | None:
    """A further authority of a resource: `host` or `host:port`."""
    hint = 'write "host" or "host:port"'
    if "/" in text or "@" in text or "?" in text or "#" in text:
        return Problem(f"{quoted(text)} is more than a host", hint)
    if "*" in text:
        return Problem(f"{quoted(text)} has a wildcard", "list each host by name")
    url = _split(f"http://{text}")
    return Problem(f"{quoted(text)} is not a host", hint) if isinstance(url, Problem) else None


def origin_complaint(text: str, *, allow_http: bool) -> Problem | None:
    """A browser origin exactly as browsers send it (RFC 6454 §6.2): `scheme://host[:port]`, lower case."""
    if text in ("*", "null"):
        return Problem(f"the origin {quoted(text)} would let any page call the server", "list each origin")
    url = _split(text)
    if isinstance(url, Problem):
        return url
    exact = f"{url.scheme}://{authority_of(url.netloc, url.scheme)}"
    if text != exact:
        return Problem(f"browsers never send {quoted(text)} as the origin", f"write {quoted(exact)}")
    if url.scheme == "http" and not allow_http and not is_loopback(url.hostname or ""):
        return Problem(f"pages of {quoted(text)} can be changed on their way to the browser", _HTTP_MEND)
    return None


def _split(text: str) -> SplitResult | Problem:
    """The parts of an absolute URL with a host, or what is wrong with it."""
    shape = 'write it as "https://host/path"'
    if len(text) > MAX_URL_CHARS:
        return Problem(f"the URL is longer than {MAX_URL_CHARS} characters", "shorten it")
    if "@" in text.partition("://")[2].split("/")[0]:
        return Problem("the URL has a user name or password in it", 'remove everything up to "@"')
    if not _URI_CHARACTERS.fullmatch(text):
        return Problem(f"{quoted(text)} has characters that a URL cannot hold", "percent-encode them")
    if _BROKEN_ESCAPE.search(text):
        return Problem(f'{quoted(text)} has a "%" that begins no escape', 'write "%25" for the sign itself')
    scheme, separator, _ = text.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        return Problem(f"{quoted(text)} is not an absolute URL", shape)
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return Problem(f"{quoted(text)} has a host or port that cannot be", shape)
    if url.netloc.endswith(":") or (port is not None and (port == 0 or not url.netloc.endswith(f":{port}"))):
        return Problem(f"{quoted(text)} has an odd port", "write a port from 1 to 65535 without leading zeros, or none")
    if not _is_host(url):
        return Problem(f"{quoted(text)} has no valid host", shape)
    return url


def _is_host(url: SplitResult) -> bool:
    host = url.hostname or ""
    if "[" not in url.netloc:
        return _HOST_NAME.fullmatch(host) is not None
    try:
        IPv6Address(host)
    except AddressValueError:
        return False
    return True
