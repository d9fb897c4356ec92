"""HTTP as we speak it to issuers: bounded in time and bytes, verified, without credentials or cookies of our own.

* Redirects are refused: an answer may not choose where we look next.
* Nothing is kept between answers: Casdoor sets a session cookie with each, one that can be an administrator's
  (casdoor.md §7.1).
* The body is counted as it arrives *and* as it unpacks, so a small compressed answer cannot fill the memory.
* Proxies come from `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, certificates from `SSL_CERT_FILE` and
  `SSL_CERT_DIR` unless a CA file is given.

`httpx` is imported on first use: it takes 0.3 s, and a service that finds its keys in the store can answer before.
"""

import asyncio
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from extauthz import __version__

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_S: Final = 2.0
READ_TIMEOUT_S: Final = 2.0
"""Between two pieces of an answer."""
MAX_CONNECTIONS: Final = 16
"""Per client; requests beyond wait within their deadline."""
KEEP_ALIVE_S: Final = 2.0
"""Shorter than servers wait (5 s and more), or we would send on connections that they are about to close."""
MAX_URL_CHARS: Final = 2048
MAX_CAUSE_CHARS: Final = 200
"""Of an error that the network library wrote."""

HEADERS: Final[Mapping[str, str]] = {
    "accept": "application/json",
    "accept-encoding": "identity",  # a compressed answer is read all the same, some servers do not ask
    "user-agent": f"extauthz/{__version__}",
}


class HttpFault(Exception):
    """A request got no usable answer. The message says why and how to mend it; it holds no secret."""


class AnswerFault(HttpFault):
    """The server was reached, and what it answered (or that it did not) may be due to what it was asked."""


class CertificateFault(HttpFault):
    """The server's certificate could not be verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A whole answer."""

    status: int
    content_type: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a request goes: `url`, by way of `address` when that is given (a resolved IP address of its host)."""

    url: str
    address: str = ""


def origin(url: str) -> str:
    """Scheme, host and port of a URL, lower case, default port left out (RFC 6454 §4); empty when it has none.

    Also empty for what we never ask: user information, a fragment, spaces or controls, another scheme than http(s).
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if not _is_plain(url, parts):
        return ""
    default = {"https": 443, "http": 80}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if port in (None, default) else f":{port}")


def _is_plain(url: str, parts: SplitResult) -> bool:
    return (
        len(url) <= MAX_URL_CHARS
        and url.isascii()
        and url.isprintable()
        and " " not in url
        and "#" not in url
        and parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and "@" not in parts.netloc
    )


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a URL."""
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return None if not proxy or proxy_bypass(parts.netloc) else proxy


class Trust:
    """The certificates by which servers are verified: those of `ca_file`; if empty, the environment's or bundled ones.

    Read on first use, in a thread: it takes 60 ms, and importing the client 0.7 s, in which nothing else would go on.
    """

    def __init__(self, ca_file: str) -> None:
        self._ca_file = ca_file
        self._context: ssl.SSLContext | None = None

    async def context(self) -> ssl.SSLContext:
        """For a client. Raises HttpFault when the certificates cannot be read."""
        if self._context is None:
            self._context = await asyncio.to_thread(self._read)
        return self._context

    def reread(self) -> None:
        """A server could not be verified: its CA may have been renewed, and the file with it."""
        self._context = None

    def _read(self) -> ssl.SSLContext:
        import httpx  # noqa: PLC0415 - see the module's docstring

        try:
            context = ssl.create_default_context(cafile=self._ca_file) if self._ca_file else httpx.create_ssl_context()
        except OSError as error:
            where = self._ca_file or "SSL_CERT_FILE"
            raise HttpFault(f"the CA certificates ({where}) cannot be read: {error.strerror or error}") from error
        httpx.AsyncClient(verify=context, trust_env=False)  # brings in what making the first client would
        return context


def open_client(url: str, tls: ssl.SSLContext) -> "httpx.AsyncClient":
    """A client for requests to the host of `url`; the caller closes it."""
    import httpx  # noqa: PLC0415 - 0.2 s and 15 MiB: only where something is fetched

    return httpx.AsyncClient(
        verify=tls,
        proxy=proxy_for(url),
        trust_env=False,  # what it would read is read above, where the address policy can see it
        follow_redirects=False,
        headers=HEADERS,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        limits=httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEP_ALIVE_S),
    )


async def exchange(
    client: "httpx.AsyncClient",
    target: Target,
    *,
    total_s: float,
    max_bytes: int,
    form: Mapping[str, str] | None = None,
) -> HttpAnswer:
    """GET the target, or POST `form` to it. Raises HttpFault for anything but a whole answer of at most `max_bytes`."""
    import httpx  # noqa: PLC0415 - 0.2 s and 15 MiB: only where something is fetched

    where = target.url.partition("?")[0]
    try:
        async with asyncio.timeout(total_s):
            request = _request(client, target, form)
            response = await client.send(request, stream=True)
            try:
                body = await _body(response, max_bytes)
            finally:
                await response.aclose()
    except TimeoutError as error:
        raise AnswerFault(
            f"{where}: no whole answer within {total_s:g} s: check the way there, and the server"
        ) from error
    except httpx.ConnectTimeout as error:
        raise HttpFault(f"{where}: no connection within {CONNECT_TIMEOUT_S:g} s: check host, port, firewall") from error
    except httpx.TimeoutException as error:
        raise AnswerFault(f"{where}: silent for {READ_TIMEOUT_S:g} s: check the server") from error
    except httpx.ConnectError as error:
        cause = str(error)[:MAX_CAUSE_CHARS]
        if "CERTIFICATE_VERIFY" in cause:
            raise CertificateFault(f"{where}: cannot connect ({cause}): give its CA in SSL_CERT_FILE") from error
        raise HttpFault(f"{where}: cannot connect ({cause}): check host and port") from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ImportError, OSError, ValueError) as error:
        cause = f"{type(error).__name__}: {error}"[:MAX_CAUSE_CHARS]
        raise AnswerFault(f"{where}: the exchange failed ({cause}): check URL, proxy and server") from error
    if 300 <= response.status_code < 400:
        raise AnswerFault(f"{where}: a redirect, which is not followed: configure the URL it leads to")
    content_type = response.headers.get("content-type", "")
    return HttpAnswer(status=response.status_code, content_type=content_type, body=body)


def _request(client: "httpx.AsyncClient", target: Target, form: Mapping[str, str] | None) -> "httpx.Request":
    import httpx  # noqa: PLC0415 - 0.2 s and 15 MiB: only where something is fetched

    url = httpx.URL(target.url)
    headers, extensions = {}, {}
    if target.address:
        # The name stays what TLS verifies and the server sees; only the connection goes to the address.
        headers["host"] = url.netloc.decode("ascii")
        extensions["sni_hostname"] = url.host
        url = url.copy_with(host=target.address)
    return client.build_request(
        "GET" if form is None else "POST", url, headers=headers, data=form, extensions=extensions
    )


async def _body(response: "httpx.Response", max_bytes: int) -> bytes:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise ValueError(f"content encoding {encoding[:20]!a} was not asked for")
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if "gzip" in encoding else None
    body = bytearray()
    received = 0
    async for piece in response.aiter_raw():
        received += len(piece)
        try:
            body += piece if unpacker is None else unpacker.decompress(piece, max_bytes + 1 - len(body))
        except zlib.error as error:
            raise ValueError("the gzip body is damaged") from error
        if received > max_bytes or len(body) > max_bytes:
            raise ValueError(f"larger than {max_bytes} bytes")
    if unpacker is not None and not unpacker.eof:
        raise ValueError("the gzip body is cut short")
    return bytes(body)
