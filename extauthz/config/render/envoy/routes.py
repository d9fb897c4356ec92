"""Virtual hosts and routes: metadata documents, preflights, and the resources themselves.

Order within a host: paths that two programs could read differently; metadata documents; resources, longest path first.
A path that none of these is has no route: 404 from Envoy, nobody asked.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    FilterConfig,
    HeaderMatcher,
    RetryPolicy,
    Route,
    RouteAction,
    RouteActionMaxStreamDuration,
    RouteConfiguration,
    RouteMatch,
)
from envoy_data_plane.envoy.config.route.v3 import VirtualHost as VirtualHostMessage
from envoy_data_plane.envoy.extensions.filters.http.cors.v3 import CorsPolicy
from envoy_data_plane.envoy.extensions.filters.http.ext_authz.v3 import CheckSettings, ExtAuthzPerRoute
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.google.protobuf import Any as AnyMessage

from extauthz.config.render.envoy.edge import Edge
from extauthz.config.render.envoy.sites import METADATA_ROOT, Layout, Site, VirtualHost
from extauthz.pdp.answer.cors import EXPOSED_HEADERS
from extauthz.pdp.answer.metadata import metadata_bytes
from extauthz.pdp.mcp.header_only import VERIFYING_REVISIONS
from extauthz.pdp.mcp.headers import METHOD_HEADER, VERSION_HEADER
from extauthz.pdp.mcp.session import SESSION_HEADER
from extauthz.pdp.policy import Resource

CORS_FILTER: Final = "envoy.filters.http.cors"
EXT_AUTHZ_FILTER: Final = "envoy.filters.http.ext_authz"

ROUTE_RESOURCE: Final = "resource"
"""The key of ext_authz `context_extensions` under which a route names its resource."""

ENVOY_MAX_DIRECT_RESPONSE_BYTES: Final = 4_096
"""Envoy's default for `max_direct_response_body_size_bytes`: a configuration with a longer body is refused."""
ADDRESSES_OF_UPSTREAM: Final = ("location", "content-location", "refresh")
"""Response headers in which a framework names itself by its own address, as in a redirect from `/mcp/` to `/mcp`. No
MCP message needs one: what a client could follow would lead past this proxy or nowhere."""
METADATA_MAX_AGE_S: Final = 300
"""A client that starts to authorize reads the document anew; five minutes is how long a change may take to show."""
PREFLIGHT_MAX_AGE_S: Final = 86_400

# What is left of a path after Envoy's own normalization (dot segments and slashes merged, escapes of unreserved
# characters undone) that a server behind may read differently: `..;` (Servlet path parameters), backslashes and other
# characters that RFC 3986 keeps out of paths, and escapes that may be undone once more. The complement of
# `resource_index.path_of`, in RE2 syntax, matched against the whole path without its query.
AMBIGUOUS_PATH: Final = (
    r".*(?:[^A-Za-z0-9._~!$&'()*+,=:@/%-]|//"
    r"|%(?:[01][0-9A-Fa-f]|2[5DdEeFf]|3[0-9Bb]|4[1-9A-Fa-f]|5[0-9AaCcFf]|6[1-9A-Fa-f]|7[0-9AaEeFf]|[89A-Fa-f].)"
    r"|%(?:[^0-9A-Fa-f]|.[^0-9A-Fa-f])).*"
    r"|.*/\.{1,2}(?:/.*)?"
    r"|.*%.?"
)


def route_configuration(layout: Layout, edge: Edge) -> RouteConfiguration:
    """Everything that the listener routes by."""
    largest = max(len(metadata_bytes(site.resource)) for site in layout.sites)
    return RouteConfiguration(
        name="resources",
        virtual_hosts=[_virtual_host(host, edge) for host in layout.hosts],
        response_headers_to_remove=["x-envoy-upstream-service-time", *ADDRESSES_OF_UPSTREAM],
        max_direct_response_body_size_bytes=largest if largest > ENVOY_MAX_DIRECT_RESPONSE_BYTES else None,
    )


def cluster_name(site: Site) -> str:
    """The cluster of a resource's MCP server."""
    return f"upstream-{site.resource.name}"


def _virtual_host(host: VirtualHost, edge: Edge) -> VirtualHostMessage:
    return VirtualHostMessage(
        name=host.domains[0],
        domains=list(host.domains),
        routes=[
            _ambiguous_path(),
            *_metadata_routes(host.sites),
            *(route for site in host.sites for route in _resource_routes(site, edge)),
        ],
    )


def _ambiguous_path() -> Route:
    """Not exempt from the check: the service refuses such a path by itself, and its refusal is what gets recorded."""
    return Route(
        name="ambiguous-path",
        match=RouteMatch(safe_regex=RegexMatcher(regex=AMBIGUOUS_PATH)),
        direct_response=DirectResponseAction(status=404),
    )


def _metadata_routes(sites: Sequence[Site]) -> Iterator[Route]:
    published = {site.resource.metadata_path: site for site in sites}
    if len(sites) == 1:
        published.setdefault(METADATA_ROOT, sites[0])
    # Clients write a slash at the end of the address that a challenge names, or that they make for themselves.
    for path in tuple(published):
        if not path.endswith("/"):
            published.setdefault(f"{path}/", published[path])
    for path, site in published.items():
        name = f"{site.resource.name}-metadata"
        document = metadata_bytes(site.resource).decode("ascii")
        yield _public(
            name=name,
            match=RouteMatch(path=path, headers=[_method("GET", "HEAD")]),
            answer=DirectResponseAction(status=200, body=DataSource(inline_string=document)),
            headers={
                "content-type": "application/json",
                "cache-control": f"public, max-age={METADATA_MAX_AGE_S}",
                "access-control-allow-origin": "*",
            },
        )
        yield _public(
            name=name,
            match=RouteMatch(path=path, headers=[_method("OPTIONS")]),
            answer=DirectResponseAction(status=204),
            headers={
                "allow": "GET, HEAD, OPTIONS",
                "access-control-allow-origin": "*",
                "access-control-allow-methods": "GET, HEAD, OPTIONS",
                # `*` does not cover `authorization` (Fetch §4.10), and old browsers do not know `*`.
                "access-control-allow-headers": "accept, authorization, content-type, mcp-protocol-version, *",
                "access-control-max-age": str(PREFLIGHT_MAX_AGE_S),
            },
        )
        yield _public(
            name=name,
            match=RouteMatch(path=path),
            answer=DirectResponseAction(status=405),
            headers={"allow": "GET, HEAD, OPTIONS", "access-control-allow-origin": "*"},
        )


def _public(*, name: str, match: RouteMatch, answer: DirectResponseAction, headers: dict[str, str]) -> Route:
    """A direct response that nobody is asked about: the only routes on which ext_authz is off."""
    overwrite = HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
    return Route(
        name=name,
        match=match,
        direct_response=answer,
        response_headers_to_add=[
            HeaderValueOption(header=HeaderValue(key=key, value=value), append_action=overwrite)
            for key, value in headers.items()
        ],
        typed_per_filter_config={EXT_AUTHZ_FILTER: AnyMessage.pack(FilterConfig(disabled=True))},
    )


def _resource_routes(site: Site, edge: Edge) -> Iterator[Route]:
    resource = site.resource
    check = _check(resource)
    cors = {CORS_FILTER: AnyMessage.pack(_cors_policy(resource))} if resource.origins else {}
    for match, rewrite in _matches(site):
        if resource.origins:
            yield _preflight_route(resource, match, check)
        action = RouteAction(
            cluster=cluster_name(site),
            prefix_rewrite=rewrite,
            host_rewrite_literal=site.upstream.authority,
            append_x_forwarded_host=True,
            timeout=timedelta(0),
            max_stream_duration=RouteActionMaxStreamDuration(max_stream_duration=timedelta(seconds=edge.max_stream_s)),
            # Only what surely has not reached the server: a tool call must not run twice.
            retry_policy=RetryPolicy(retry_on="connect-failure,refused-stream,reset-before-request", num_retries=2),
        )
        if resource.header_only:
            yield Route(
                name=f"{resource.name}-header-only",
                match=_narrowed(match, _header_only_headers(resource)),
                route=action,
                typed_per_filter_config=cors | {EXT_AUTHZ_FILTER: _check(resource, without_body=True)},
            )
        yield Route(
            name=resource.name,
            match=match,
            route=action,
            typed_per_filter_config=cors | {EXT_AUTHZ_FILTER: check},
        )


def _check(resource: Resource, *, without_body: bool = False) -> AnyMessage:
    settings = CheckSettings(
        context_extensions={ROUTE_RESOURCE: resource.name}, disable_request_body_buffering=without_body
    )
    return AnyMessage.pack(ExtAuthzPerRoute(check_settings=settings))


def _header_only_headers(resource: Resource) -> list[HeaderMatcher]:
    """What is decided on headers. Whatever else comes has its body read: a miss here costs time and permits nothing."""
    methods = RegexMatcher(regex="|".join(map(re.escape, sorted(resource.header_only))))
    versions = RegexMatcher(regex="|".join(sorted(VERIFYING_REVISIONS)))
    return [
        _method("POST"),
        HeaderMatcher(name=VERSION_HEADER, string_match=StringMatcher(safe_regex=versions)),
        HeaderMatcher(name=METHOD_HEADER, string_match=StringMatcher(safe_regex=methods)),
        HeaderMatcher(name=SESSION_HEADER, present_match=True, invert_match=True),
    ]


def _narrowed(match: RouteMatch, headers: list[HeaderMatcher]) -> RouteMatch:
    return RouteMatch(
        path=match.path, prefix=match.prefix, path_separated_prefix=match.path_separated_prefix, headers=headers
    )


def _preflight_route(resource: Resource, match: RouteMatch, check: AnyMessage) -> Route:
    """Preflights pass the cors filter, which knows only fixed header names, and are answered by the service.

    It allows the `mcp-param-*` names that a browser asks for. Nothing goes upstream, whatever it says.
    """
    return Route(
        name=f"{resource.name}-preflight",
        match=_narrowed(match, [_method("OPTIONS")]),
        direct_response=DirectResponseAction(status=405),
        typed_per_filter_config={EXT_AUTHZ_FILTER: check},
    )


def _cors_policy(resource: Resource) -> CorsPolicy:
    """Only what answers need: no preflight meets this policy."""
    return CorsPolicy(
        allow_origin_string_match=[StringMatcher(exact=origin) for origin in sorted(resource.origins)],
        expose_headers=EXPOSED_HEADERS,
    )


def _matches(site: Site) -> Iterator[tuple[RouteMatch, str]]:
    """The resource's own path and what is below it, each with what replaces it (empty: nothing does)."""
    own, new = site.path, site.upstream.path
    if own and not new.endswith("/"):
        # With a slash at the end it is the same resource, and means the same path of the upstream: frameworks answer
        # the other spelling of their own path with a redirect.
        yield RouteMatch(path=f"{own}/"), new or own
        yield RouteMatch(path_separated_prefix=own), new  # guard: own-paths-only
    elif not new:
        yield RouteMatch(prefix="/"), ""
    else:
        # One slash belongs to both sides, so that the path itself and what is below it are replaced differently.
        yield RouteMatch(path=own or "/"), new
        yield RouteMatch(prefix=f"{own}/"), new.rstrip("/") + "/"


def _method(*names: str) -> HeaderMatcher:
    match names:
        case (name,):
            return HeaderMatcher(name=":method", string_match=StringMatcher(exact=name))
        case _:
            pattern = RegexMatcher(regex="|".join(names))
            return HeaderMatcher(name=":method", string_match=StringMatcher(safe_regex=pattern))
