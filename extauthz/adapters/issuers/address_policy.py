"""Which URLs from an issuer's discovery document may be asked, and at which address.

A discovery document is data from the network, and whoever can change it must not be able to make us ask hosts that
only we can reach (cloud metadata, admin ports of the cluster): SSRF. URLs that the policy file gives are the
operator's word and are not judged here. A URL from discovery is accepted when one of these holds:

1. It has the origin of the issuer URL itself.
2. It is `https:` and every address of its host is public. The connection then goes to the address that was judged, so
   that a second answer of the DNS cannot lead elsewhere.
3. It is `https:` and the issuer URL's own host is at a private address: the operator runs issuer and service in one
   network, and the issuer is at home there.

Where the environment names a proxy for the URL, the proxy resolves names and is what limits them; then only hosts
written as addresses, and `localhost`, are judged.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from extauthz.adapters.issuers.http_client import HttpFault, Target, origin, proxy_for

Resolve: TypeAlias = Callable[[str, int], Awaitable[tuple[str, ...]]]
"""All addresses of a host, for a port; OSError when there is none."""

RESOLVE_TIMEOUT_S: Final = 2.0

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


async def resolve(host: str, port: int) -> tuple[str, ...]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


async def derived_target(url: str, issuer_url: str, member: str, resolver: Resolve) -> Target:
    """Where to ask for a URL that stood in the issuer's discovery document under `member`.

    Raises HttpFault when the URL is not to be asked.
    """
    home = origin(issuer_url)
    there = origin(url)
    if not there:
        raise HttpFault(f"`{member}` of the discovery document is no plain http(s) URL: set it in the policy file")
    if there == home:
        return Target(url=url)
    if not there.startswith("https://"):
        raise HttpFault(f"`{member}` of the discovery document is not https: set it in the policy file")
    host = _host(there)
    if proxy_for(url) is not None:
        if _literal_is_private(host) and not _literal_is_private(_host(home)):
            raise _refused(member)
        return Target(url=url)
    addresses = await _addresses(there, resolver, member)
    if all(map(is_public, addresses)):
        return Target(url=url, address=addresses[0])
    if all(map(is_public, await _addresses(home, resolver, "issuer"))):
        raise _refused(member)
    return Target(url=url)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, also after every known way to write an IPv4 one in IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if inner is None and parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return parsed.is_global and not parsed.is_multicast


def _host(of: str) -> str:
    return urlsplit(of).hostname or ""


def _literal_is_private(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return not is_public(host)


async def _addresses(of: str, resolver: Resolve, member: str) -> tuple[str, ...]:
    parts = urlsplit(of)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            addresses = await resolver(parts.hostname or "", port)
    except (OSError, UnicodeError, TimeoutError) as error:
        raise HttpFault(f"the host of `{member}` cannot be resolved: check the name and the DNS") from error
    if not addresses:
        raise HttpFault(f"the host of `{member}` has no address: check the name and the DNS")
    return addresses


def _refused(member: str) -> HttpFault:
    return HttpFault(
        f"`{member}` of the discovery document is at a private address while the issuer is not: "
        "if that is intended, set it in the policy file"
    )
