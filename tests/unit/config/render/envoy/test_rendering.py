"""What stands in a rendered bootstrap, where a mistake would be one of security. Envoy's own view: tests/e2e."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import betterproto2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from extauthz.config.render.envoy.bootstrap import Rendered, Unrenderable, render_envoy
from extauthz.config.render.envoy.edge import Edge, KeyPair, ServiceTls
from extauthz.config.render.envoy.routes import AMBIGUOUS_PATH, route_configuration
from extauthz.config.render.envoy.sites import Layout, lay_out
from extauthz.config.render.untrusted_headers import UNTRUSTED_HEADERS, UNTRUSTED_PREFIXES
from extauthz.pdp.decision.resource_index import path_of
from extauthz.pdp.mcp.headers import METHOD_HEADER, NAME_HEADER, SESSION_HEADER, VERSION_HEADER
from extauthz.pdp.policy import Resource, UpstreamHeaders
from extauthz.service.endpoint import TcpEndpoint, UnixEndpoint
from tests.support.policies import policy, resource

WEATHER = resource(upstream="http://weather:8000/mcp")
CALC = resource(name="calc", uri="https://mcp.example.com/calc", upstream="http://127.0.0.1:8001/")
EXT_AUTHZ = "envoy.filters.http.ext_authz"


def bootstrap(*resources: Resource, edge: Edge | None = None) -> Any:
    rendered = render_envoy(policy(*resources), edge or Edge())
    assert isinstance(rendered, Rendered), rendered
    return yaml.safe_load(rendered.text)


@cache
def weather() -> Any:
    """One resource with nothing special; read only."""
    return bootstrap(WEATHER)


@cache
def weather_and_calc() -> Any:
    """Two resources under one host; read only."""
    return bootstrap(WEATHER, CALC)


def routing(*resources: Resource) -> list[Any]:
    """The routes alone, without the time that a whole bootstrap takes."""
    layout = lay_out(policy(*resources))
    assert isinstance(layout, Layout), layout
    tree = route_configuration(layout, Edge()).to_dict(casing=betterproto2.Casing.SNAKE)
    return [route for host in tree["virtual_hosts"] for route in host["routes"]]


def manager(tree: Any) -> Any:
    return tree["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]


def routes(tree: Any) -> Iterator[Any]:
    for host in manager(tree)["route_config"]["virtual_hosts"]:
        yield from host["routes"]


def http_filter(tree: Any, name: str) -> Any:
    (found,) = [one["typed_config"] for one in manager(tree)["http_filters"] if one["name"] == name]
    return found


def cluster(tree: Any, name: str) -> Any:
    (found,) = [one for one in tree["static_resources"]["clusters"] if one["name"] == name]
    return found


def test_the_same_policy_and_edge_give_the_same_bytes() -> None:
    assert render_envoy(policy(WEATHER, CALC), Edge()) == render_envoy(policy(WEATHER, CALC), Edge())


def test_faults_of_policy_and_edge_are_told_together() -> None:
    found = render_envoy(policy(resource()), Edge(authz=()))
    assert isinstance(found, Unrenderable)
    assert len(found.faults) == 2


def test_filters_stand_in_the_one_safe_order() -> None:
    """cors before everything that refuses; the limit before the check; nothing between check and router."""
    assert [one["name"].rpartition(".")[2] for one in manager(weather())["http_filters"]] == [
        "cors",
        "body_size_limit",
        "ext_authz",
        "router",
    ]


def test_the_check_fails_closed_and_says_so() -> None:
    check = http_filter(weather(), EXT_AUTHZ)
    assert check["failure_mode_allow"] is False
    assert check["status_on_error"] == {"code": "ServiceUnavailable"}
    assert check["validate_mutations"] is True
    assert check["with_request_body"] == {
        "max_request_bytes": 1_048_576,
        "allow_partial_message": False,
        "pack_as_bytes": True,
    }


def test_one_attempt_may_take_as_long_as_the_whole_check() -> None:
    """Envoy takes `max_interval` for the timeout of an attempt: a shorter one multiplies the load of a slow service."""
    service = http_filter(weather(), EXT_AUTHZ)["grpc_service"]
    assert service["retry_policy"]["retry_back_off"]["max_interval"] == service["timeout"]


@pytest.mark.parametrize("max_body_bytes", [1, 1_000_000])
def test_both_body_limits_are_the_same(max_body_bytes: int) -> None:
    tree = bootstrap(WEATHER, edge=Edge(max_body_bytes=max_body_bytes))
    assert http_filter(tree, EXT_AUTHZ)["with_request_body"]["max_request_bytes"] == max_body_bytes
    assert http_filter(tree, "envoy.filters.http.body_size_limit")["max_request_bytes"] == max_body_bytes


def test_the_check_is_off_on_metadata_routes_only() -> None:
    found = routing(replace(WEATHER, origins=frozenset({"https://app.example.com"})), CALC)
    off = {
        route["name"] for route in found if route.get("typed_per_filter_config", {}).get(EXT_AUTHZ, {}).get("disabled")
    }
    assert off == {"weather-metadata", "calc-metadata"}
    assert all("route" not in route for route in found if route["name"] in off)


def test_every_route_to_an_upstream_names_its_own_resource() -> None:
    for route in routes(weather_and_calc()):
        if "route" in route:
            check = route["typed_per_filter_config"][EXT_AUTHZ]["check_settings"]
            assert check["context_extensions"] == {"resource": route["name"]}
            assert route["route"]["cluster"] == f"upstream-{route['name']}"
            assert route["route"]["timeout"] == "0s"
            assert route["route"]["max_stream_duration"] == {"max_stream_duration": "3600s"}


@pytest.mark.parametrize(
    ("uri", "upstream", "expected"),
    [
        (
            "https://h/a/mcp",
            "http://u/mcp",
            [({"path": "/a/mcp/"}, "/mcp"), ({"path_separated_prefix": "/a/mcp"}, "/mcp")],
        ),
        ("https://h/a", "http://u", [({"path": "/a/"}, "/a"), ({"path_separated_prefix": "/a"}, None)]),
        ("https://h/a", "http://u/", [({"path": "/a"}, "/"), ({"prefix": "/a/"}, "/")]),
        ("https://h/a", "http://u/b/", [({"path": "/a"}, "/b/"), ({"prefix": "/a/"}, "/b/")]),
        ("https://h", "http://u", [({"prefix": "/"}, None)]),
        ("https://h", "http://u/b", [({"path": "/"}, "/b"), ({"prefix": "/"}, "/b/")]),
    ],
)
def test_the_upstream_path_takes_the_place_of_the_resource_path(
    uri: str, upstream: str, expected: list[tuple[dict[str, str], str | None]]
) -> None:
    found = [
        (route["match"], route["route"].get("prefix_rewrite"))
        for route in routing(resource(uri=uri, upstream=upstream))
        if "route" in route
    ]
    assert found == expected


def test_what_is_decided_on_headers_has_a_route_without_body_before_the_one_with() -> None:
    quick = replace(WEATHER, header_only=frozenset({"tools/call", "tools/list"}))
    first, second = [route for route in routing(quick) if "route" in route][2:]
    settings = first["typed_per_filter_config"][EXT_AUTHZ]["check_settings"]
    assert settings == {"context_extensions": {"resource": "weather"}, "disable_request_body_buffering": True}
    assert [(one["name"], one.get("invert_match", False)) for one in first["match"]["headers"]] == [
        (":method", False),
        ("mcp-protocol-version", False),
        ("mcp-method", False),
        ("mcp-session-id", True),
    ]
    assert first["match"]["headers"][2]["string_match"]["safe_regex"]["regex"] == "tools/call|tools/list"
    assert first["route"] == second["route"]
    assert "headers" not in second["match"]
    assert second["typed_per_filter_config"][EXT_AUTHZ]["check_settings"] == {
        "context_extensions": {"resource": "weather"}
    }


def test_without_the_setting_every_route_has_the_body() -> None:
    assert "disable_request_body_buffering" not in str(routing(WEATHER, CALC))


def test_a_host_with_one_resource_has_its_document_at_the_root_as_well() -> None:
    paths = [route["match"].get("path") for route in routes(weather()) if "direct_response" in route]
    assert paths.count("/.well-known/oauth-protected-resource") == 3
    paths = [route["match"].get("path") for route in routes(weather_and_calc()) if "direct_response" in route]
    assert "/.well-known/oauth-protected-resource" not in paths


def test_a_resource_that_is_a_whole_host_has_its_document_at_the_root_once() -> None:
    whole = resource(name="whole", uri="https://mcp.example.com", upstream="http://u")
    documents = [
        route for route in routing(whole, CALC) if route["match"].get("path") == "/.well-known/oauth-protected-resource"
    ]
    assert [route["name"] for route in documents] == ["whole-metadata"] * 3


def test_the_direct_response_limit_is_raised_for_a_long_document_only() -> None:
    assert "max_direct_response_body_size_bytes" not in manager(weather())["route_config"]
    scopes = {f"scope-{number:04}": () for number in range(400)}
    tree = bootstrap(resource(upstream="http://u", includes=scopes, baseline=scopes))
    (document,) = {
        route["direct_response"]["body"]["inline_string"]
        for route in routes(tree)
        if "body" in route.get("direct_response", {})
    }
    assert manager(tree)["route_config"]["max_direct_response_body_size_bytes"] == len(document) > 4_096


def test_client_headers_with_any_identity_prefix_are_removed_for_every_resource() -> None:
    other = replace(CALC, upstream_headers=UpstreamHeaders(prefix="x-calc-"))
    (early,) = manager(bootstrap(WEATHER, other))["early_header_mutation_extensions"]
    prefixes = {
        one["remove_on_match"]["key_matcher"]["prefix"]
        for one in early["typed_config"]["mutations"]
        if "remove_on_match" in one
    }
    assert prefixes == {"x-auth-", "x-calc-", *UNTRUSTED_PREFIXES}
    assert "x-envoy-" in prefixes


def test_headers_of_other_proxies_are_removed_before_any_filter() -> None:
    (early,) = manager(bootstrap(WEATHER))["early_header_mutation_extensions"]
    removed = [one["remove"] for one in early["typed_config"]["mutations"] if "remove" in one]
    assert removed == list(UNTRUSTED_HEADERS)


def test_the_list_of_untrusted_headers_names_each_once_and_none_that_is_needed() -> None:
    names = [*UNTRUSTED_HEADERS, *UNTRUSTED_PREFIXES]
    assert len(set(names)) == len(names)
    assert names == [name.lower() for name in names]
    assert [name for name in UNTRUSTED_HEADERS if name.startswith(UNTRUSTED_PREFIXES)] == []
    needed = {
        *("authorization", "host", "content-type", "accept", "origin", "cookie", "last-event-id", "x-request-id"),
        *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-client-cert", "traceparent", "tracestate", "baggage"),
        *(METHOD_HEADER, NAME_HEADER, SESSION_HEADER, VERSION_HEADER, "mcp-param-city", "x-extauthz-decision"),
    }
    assert [name for name in needed if name in UNTRUSTED_HEADERS or name.startswith(UNTRUSTED_PREFIXES)] == []
    asked_for = {"x-real-ip", "remote-user", "x-original-uri", "x-original-url", "x-host", "x-rewrite-url"}
    assert {*asked_for, "x-forwarded-user"} <= set(UNTRUSTED_HEADERS)


def test_the_service_may_touch_the_token_and_identity_headers_and_nothing_else() -> None:
    other = replace(CALC, upstream_headers=UpstreamHeaders(prefix="x-calc-"))
    rules = http_filter(bootstrap(WEATHER, other), EXT_AUTHZ)["decoder_header_mutation_rules"]
    assert rules["disallow_all"] is True
    assert rules["disallow_is_error"] is True
    allowed = re.compile(rules["allow_expression"]["regex"])
    for name in ("authorization", "x-auth-subject", "x-auth-", "x-calc-client-id"):
        assert allowed.fullmatch(name), name
    for name in ("host", ":path", ":authority", "x-authority", "xxauth-subject", "x-forwarded-for", "authorization2"):
        assert not allowed.fullmatch(name), name


def test_only_resources_in_use_set_the_prefixes_that_the_service_may_touch() -> None:
    only = replace(CALC, upstream_headers=UpstreamHeaders(prefix="x-calc-"))
    rules = http_filter(bootstrap(only), EXT_AUTHZ)["decoder_header_mutation_rules"]
    assert not re.fullmatch(rules["allow_expression"]["regex"], "x-auth-subject")


def test_without_origins_there_is_no_cors_policy() -> None:
    assert "cors.v3.CorsPolicy" not in str(weather())


def test_preflights_of_a_resource_with_origins_go_to_the_service_and_never_upstream() -> None:
    found = routing(replace(WEATHER, origins=frozenset({"https://app.example.com"})))
    ours = [route for route in found if route["name"] in ("weather", "weather-preflight")]
    assert [route["name"] for route in ours] == ["weather-preflight", "weather"] * 2
    for preflight, resource_route in zip(ours[::2], ours[1::2], strict=True):
        assert preflight["direct_response"] == {"status": 405}
        assert list(preflight["typed_per_filter_config"]) == [EXT_AUTHZ]
        assert "disabled" not in preflight["typed_per_filter_config"][EXT_AUTHZ]
        assert resource_route["typed_per_filter_config"]["envoy.filters.http.cors"]["allow_origin_string_match"] == [
            {"exact": "https://app.example.com"}
        ]


def test_endpoints_of_the_service_are_one_cluster() -> None:
    edge = Edge(authz=(UnixEndpoint("/run/a"), TcpEndpoint("127.0.0.1", 9002)))
    authz = cluster(bootstrap(WEATHER, edge=edge), "authz")
    assert authz["type"] == "STATIC"
    assert [one["endpoint"]["address"] for one in authz["load_assignment"]["endpoints"][0]["lb_endpoints"]] == [
        {"pipe": {"path": "/run/a"}},
        {"socket_address": {"address": "127.0.0.1", "port_value": 9002}},
    ]
    assert authz["circuit_breakers"]["thresholds"][0]["max_requests"] == 2_048


def test_names_are_resolved_and_addresses_are_not() -> None:
    tree = weather_and_calc()
    assert cluster(tree, "upstream-weather")["type"] == "STRICT_DNS"
    assert cluster(tree, "upstream-calc")["type"] == "STATIC"


def test_an_https_upstream_must_show_a_certificate_for_its_name() -> None:
    tree = bootstrap(resource(upstream="https://mcp.example.net/mcp"), edge=Edge(upstream_ca="/ca.pem"))
    context = cluster(tree, "upstream-weather")["transport_socket"]["typed_config"]
    assert context["sni"] == "mcp.example.net"
    assert context["common_tls_context"]["validation_context"] == {
        "trusted_ca": {"filename": "/ca.pem"},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "mcp.example.net"}}],
    }


def test_an_https_upstream_by_address_must_show_a_certificate_for_the_address() -> None:
    context = cluster(bootstrap(resource(upstream="https://10.0.0.1/mcp")), "upstream-weather")["transport_socket"]
    assert "sni" not in context["typed_config"]
    names = context["typed_config"]["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"]
    assert names == [{"san_type": "IP_ADDRESS", "matcher": {"exact": "10.0.0.1"}}]


def test_the_service_over_tls_is_checked_by_name_and_shown_our_certificate() -> None:
    tls = ServiceTls(ca="/ca.pem", client=KeyPair(chain="/c.pem", key="/k.pem"))
    tree = bootstrap(WEATHER, edge=Edge(authz=(TcpEndpoint("extauthz", 9001),), authz_tls=tls))
    context = cluster(tree, "authz")["transport_socket"]["typed_config"]
    assert context["sni"] == "extauthz"
    assert context["common_tls_context"]["alpn_protocols"] == ["h2"]
    assert context["common_tls_context"]["tls_certificates"][0]["private_key"] == {"filename": "/k.pem"}


def test_a_certificate_makes_the_listener_https() -> None:
    tree = bootstrap(WEATHER, edge=Edge(certificate=KeyPair(chain="/c.pem", key="/k.pem")))
    socket = tree["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"]["typed_config"]
    assert socket["common_tls_context"]["alpn_protocols"] == ["h2", "http/1.1"]


def test_without_an_admin_address_there_is_no_admin_interface() -> None:
    assert "admin" not in bootstrap(WEATHER, edge=Edge(admin=None))


def test_without_a_collector_nothing_is_traced() -> None:
    tree = weather()
    assert "tracing" not in manager(tree)
    assert [one["name"] for one in tree["static_resources"]["clusters"]] == ["authz", "upstream-weather"]


def test_logs_and_spans_hold_no_query() -> None:
    tree = bootstrap(WEATHER, edge=Edge(tracing=TcpEndpoint("127.0.0.1", 4317)))
    assert "REQ(:PATH" not in str(tree)
    assert {tag["tag"] for tag in manager(tree)["tracing"]["custom_tags"]} >= {"http.url"}


@pytest.mark.parametrize(
    "path",
    [
        "/mcp;x=1",
        "/a/..;/mcp",
        "/a/..",
        "/./a",
        "/a//b",
        "/a\\b",
        "/a%2fb",
        "/a%2Eb",
        "/%zz",
        "/a%",
        "/a%4",
        "/a%00",
        "/é",
        "/a b",
    ],
)
def test_a_path_that_servers_read_differently_is_ambiguous(path: str) -> None:
    assert re.fullmatch(AMBIGUOUS_PATH, path)


@pytest.mark.parametrize(
    "path", ["/", "/mcp", "/weather/mcp", "/a.b/..c", "/a%20b", "/.well-known/oauth-protected-resource"]
)
def test_a_plain_path_is_not(path: str) -> None:
    assert not re.fullmatch(AMBIGUOUS_PATH, path)


@given(st.text(alphabet="/.;%\\aA2eFf5c0 é?#[~-", max_size=12))
def test_envoy_routes_nothing_that_the_service_would_refuse_to_match(rest: str) -> None:
    """The two expressions are kept in two syntaxes; they must say the same."""
    path = "/" + rest.replace("?", "")
    assert bool(re.fullmatch(AMBIGUOUS_PATH, path)) == (path_of(path) is None)
