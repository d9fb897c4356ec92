"""Which authorities and paths of an Envoy belong to which resource, and what stands behind each.

The one place where the policy's URLs are taken apart for Envoy. Whatever is not laid out here has no route, so Envoy
answers 404 and asks nobody.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from extauthz.pdp.policy import Policy, Resource
from extauthz.service.endpoint import TcpEndpoint

METADATA_ROOT: Final = "/.well-known/oauth-protected-resource"
"""Where a client looks last (MCP, Protected Resource Metadata Discovery Requirements)."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The MCP server behind a resource."""

    endpoint: TcpEndpoint
    tls: bool
    authority: str
    """What it is called in `Host`: as in the policy file."""
    path: str
    """What takes the place of the resource's own path; empty (a URL that ends after its authority): nothing does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A resource as Envoy sees it."""

    resource: Resource
    path: str
    """Its own path without a slash at the end; empty for a resource that is a whole host."""
    domains: tuple[str, ...]
    """Every authority, spelt as a client may spell it: lower case, with and without a default port."""
    upstream: Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualHost:
    """Authorities under which the same resources are found; `sites` longest path first, as routes must stand."""

    domains: tuple[str, ...]
    sites: tuple[Site, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A whole policy, laid out."""

    sites: tuple[Site, ...]
    hosts: tuple[VirtualHost, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutFaults:
    """What keeps a policy from being rendered: everything at once, each with how to mend it."""

    messages: tuple[str, ...]


def lay_out(policy: Policy) -> Layout | LayoutFaults:
    """Lay out all resources of a policy, in file order."""
    sites: list[Site] = []
    faults: list[str] = []
    for resource in policy.resources.values():
        match _upstream(resource):
            case str(fault):
                faults.append(fault)
            case upstream:
                path = urlsplit(resource.uri).path.rstrip("/")
                sites.append(Site(resource=resource, path=path, domains=_domains(resource), upstream=upstream))
    if not policy.resources:
        faults.append("the policy has no resources: add one under `resources`")
    faults.extend(_overlaps(sites))
    if faults:
        return LayoutFaults(messages=tuple(faults))
    return Layout(sites=tuple(sites), hosts=_virtual_hosts(sites))


def _upstream(resource: Resource) -> Upstream | str:
    where = f"resource {resource.name!r}"
    if not resource.upstream:
        return f"{where} has no `upstream`: write the URL of its MCP server, as in http://{resource.name}:8000/mcp"
    try:
        url = urlsplit(resource.upstream)
        port = url.port
    except ValueError as error:
        return f"{where}: `upstream` {resource.upstream!r} is no URL ({error})"
    if url.scheme not in _DEFAULT_PORTS or not url.hostname or url.username or url.query or url.fragment:
        return f"{where}: `upstream` {resource.upstream!r} must be http(s)://HOST[:PORT][/PATH] and nothing else"
    return Upstream(
        endpoint=TcpEndpoint(host=url.hostname, port=_DEFAULT_PORTS[url.scheme] if port is None else port),
        tls=url.scheme == "https",
        authority=url.netloc,
        path=url.path,
    )


def _domains(resource: Resource) -> tuple[str, ...]:
    """Envoy compares authorities without case, but a default port must be listed (Envoy `VirtualHost.domains`)."""
    url = urlsplit(resource.uri)
    default = f":{_DEFAULT_PORTS.get(url.scheme, '')}"
    found: list[str] = []
    for authority in (url.netloc.lower(), *(host.lower() for host in resource.hosts)):
        bare = authority.removesuffix(default)
        # The port is what follows the last colon outside the brackets of an IPv6 address.
        has_port = ":" in bare.rpartition("]")[2]
        found.extend((bare,) if has_port else (bare, bare + default))
    return tuple(dict.fromkeys(found))


def _overlaps(sites: Iterable[Site]) -> Iterable[str]:
    """Two resources at one address: Envoy would send everything to the first."""
    owners: dict[tuple[str, str], str] = {}
    for site in sites:
        for domain in site.domains:
            owner = owners.setdefault((domain, site.path), site.resource.name)
            if owner != site.resource.name:
                yield (
                    f"resources {owner!r} and {site.resource.name!r} are both at {domain}{site.path or '/'}: "
                    "give each a path of its own in `uri`, or take the host out of `hosts` of one of them"
                )
                break


def _virtual_hosts(sites: Iterable[Site]) -> tuple[VirtualHost, ...]:
    by_domain: dict[str, list[Site]] = {}
    for site in sites:
        for domain in site.domains:
            by_domain.setdefault(domain, []).append(site)
    domains_of: dict[tuple[str, ...], list[str]] = {}
    for domain, found in by_domain.items():
        domains_of.setdefault(tuple(site.resource.name for site in found), []).append(domain)
    return tuple(
        VirtualHost(
            domains=tuple(domains),
            sites=tuple(sorted(by_domain[domains[0]], key=lambda site: -len(site.path))),
        )
        for domains in domains_of.values()
    )
