"""Real Envoys on rendered bootstraps: what reaches the service, what reaches a server, and what a client is told.

In front of recording MCP servers and a scripted ext_authz service that allows everything unless a test says otherwise,
so that whatever is refused here is refused by Envoy.
"""

import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
import grpc
import h2.connection
import h2.events
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from extauthz.config.render.envoy import clusters
from extauthz.config.render.envoy.edge import DEFAULT_MAX_BODY_BYTES, DEFAULT_TRUSTED_CA, Edge, KeyPair, ServiceTls
from extauthz.config.render.untrusted_headers import UNTRUSTED_HEADERS, UNTRUSTED_PREFIXES
from extauthz.demo.processes import free_port
from extauthz.pdp.answer.metadata import metadata_bytes
from extauthz.pdp.mcp.header_only import SETTLED_METHODS
from extauthz.pdp.policy import Policy, UpstreamHeaders
from extauthz.wire.check_pb2 import CheckRequest, CheckResponse
from tests.support.certificates import Authority
from tests.support.envoy_examples import EXAMPLES, FOLDER
from tests.support.policies import policy, resource
from tests.support.rendered_edge import (
    ENVOY,
    LOOPBACK,
    WAIT_S,
    Answer,
    RecordingUpstream,
    ScriptedAuthz,
    allow,
    ask,
    deny,
    envoy,
    loopback,
    render,
    resources_asked,
)
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("rendered-envoy")]

HOST = "mcp.example.com"
SOLO = "solo.example.com"
QUICK = "quick.example.com"
ORIGIN = "https://app.example.com"
PRM = "/.well-known/oauth-protected-resource"
LIMIT = DEFAULT_MAX_BODY_BYTES
MANY_REQUESTS = 4_000


@dataclass(frozen=True, kw_only=True)
class Rig:
    """An Envoy in front of weather (/weather/mcp) and calc (/calc) under one host, and solo (/mcp) under another."""

    port: int
    admin: int
    policy: Policy
    authz: ScriptedAuthz
    weather: RecordingUpstream
    calc: RecordingUpstream

    def ask(
        self,
        method: str,
        path: str,
        *,
        host: str = HOST,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """One request."""
        return ask(self.port, method, path, host=host, headers=headers, body=body)

    def reached(self) -> list[tuple[str, str]]:
        """What came to the servers: (resource, path)."""
        return [(name, seen.path) for name in ("weather", "calc") for seen in getattr(self, name).seen]

    def nobody_was_asked_or_reached(self) -> bool:
        """Whether Envoy kept a request to itself."""
        return not self.authz.checks and not self.reached()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    port, admin = free_port(), free_port()
    with RecordingUpstream() as weather, RecordingUpstream() as calc, ScriptedAuthz() as authz:
        rules = policy(
            resource(upstream=weather.url("/mcp"), origins=frozenset({ORIGIN}), hosts=("weather.internal:8080",)),
            resource(
                name="calc",
                uri=f"https://{HOST}/calc",
                upstream=calc.url("/"),
                upstream_headers=UpstreamHeaders(prefix="x-calc-"),
            ),
            resource(name="solo", uri=f"https://{SOLO}/mcp", upstream=calc.url()),
            resource(name="quick", uri=f"https://{QUICK}/mcp", upstream=calc.url("/mcp"), header_only=SETTLED_METHODS),
        )
        edge = Edge(listen=loopback(port), admin=loopback(admin), authz=(authz.endpoint,))
        with envoy(render(rules, edge), tmp_path_factory.mktemp("rig"), admin):
            yield Rig(port=port, admin=admin, policy=rules, authz=authz, weather=weather, calc=calc)


@pytest.fixture
def rig(running: Rig) -> Rig:
    """The shared Envoy, with nothing recorded yet and everything allowed."""
    running.authz.checks.clear()
    running.authz.answer = lambda _: allow()
    for upstream in (running.weather, running.calc):
        upstream.seen.clear()
        upstream.go_on.clear()
    return running


def test_every_check_comes_with_the_whole_request_and_the_name_of_the_route(rig: Rig) -> None:
    assert rig.ask("POST", "/weather/mcp?a=b", body=b'{"jsonrpc":"2.0"}').status == 200
    (check,) = rig.authz.checks
    asked = check.attributes.request.http
    assert (asked.method, asked.path, asked.host, asked.raw_body) == (
        "POST",
        "/weather/mcp?a=b",
        HOST,
        b'{"jsonrpc":"2.0"}',
    )
    assert dict(check.attributes.context_extensions) == {"resource": "weather"}
    headers = {one.key: one.raw_value for one in asked.header_map.headers}
    assert headers[":authority"] == HOST.encode()


# Metadata ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "host", "path"),
    [
        ("weather", HOST, f"{PRM}/weather/mcp"),
        ("weather", HOST, f"{PRM}/weather/mcp/"),
        ("weather", f"{HOST}:443", f"{PRM}/weather/mcp"),
        ("weather", HOST.upper(), f"{PRM}/weather/mcp"),
        ("weather", "weather.internal:8080", f"{PRM}/weather/mcp"),
        ("weather", "weather.internal:8080", PRM),
        ("calc", HOST, f"{PRM}/calc"),
        ("calc", HOST, f"{PRM}/calc?x=y"),
        ("solo", SOLO, f"{PRM}/mcp"),
        ("solo", SOLO, PRM),
        ("solo", SOLO, f"{PRM}/"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_envoy_serves_each_document_and_asks_nobody(rig: Rig, method: str, name: str, host: str, path: str) -> None:
    answer = rig.ask(method, path, host=host, headers={"origin": "https://any.example", "mcp-protocol-version": "1"})
    assert answer.status == 200
    assert answer.body == (b"" if method == "HEAD" else metadata_bytes(rig.policy.resources[name]))
    assert answer.header("content-type") == "application/json"
    assert answer.header("access-control-allow-origin") == "*"
    assert rig.nobody_was_asked_or_reached()


def test_any_page_may_preflight_a_document(rig: Rig) -> None:
    asking = {
        "origin": "https://any.example",
        "access-control-request-method": "GET",
        "access-control-request-headers": "mcp-protocol-version",
    }
    answer = rig.ask("OPTIONS", f"{PRM}/weather/mcp", headers=asking)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("access-control-allow-origin") == "*"
    assert answer.header("access-control-allow-methods") == "GET, HEAD, OPTIONS"
    assert "mcp-protocol-version" in answer.header("access-control-allow-headers").split(", ")
    assert rig.nobody_was_asked_or_reached()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_document_can_only_be_read(rig: Rig, method: str) -> None:
    answer = rig.ask(method, f"{PRM}/weather/mcp")
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD, OPTIONS")
    assert rig.nobody_was_asked_or_reached()


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (HOST, PRM),
        (HOST, f"{PRM}/"),
        (HOST, f"{PRM}/mcp"),
        (HOST, f"{PRM}/weather/MCP"),
        (SOLO, f"{PRM}/weather/mcp"),
        ("other.example.com", f"{PRM}/weather/mcp"),
    ],
)
def test_no_other_address_has_a_document(rig: Rig, host: str, path: str) -> None:
    answer = rig.ask("GET", path, host=host)
    assert answer.status == 404
    assert b"authorization_servers" not in answer.body
    assert rig.nobody_was_asked_or_reached()


# Which resource ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        ("/weather/mcp", ("weather", "/mcp")),
        ("/weather/mcp?a=b&c=%2e", ("weather", "/mcp?a=b&c=%2e")),
        ("/weather/mcp/", ("weather", "/mcp")),
        ("/weather/mcp/?a=b", ("weather", "/mcp?a=b")),
        ("/weather/mcp/messages?id=/calc", ("weather", "/mcp/messages?id=/calc")),
        ("/calc", ("calc", "/")),
        ("/calc?a=b", ("calc", "/?a=b")),
        ("/calc/", ("calc", "/")),
        ("/calc/a/b", ("calc", "/a/b")),
        # Normalized by Envoy, then routed: service and server see the path that was routed.
        ("//weather///mcp", ("weather", "/mcp")),
        ("/calc/../weather/mcp", ("weather", "/mcp")),
        ("/weather/mcp/%2e%2e/%2E./calc", ("calc", "/")),
        ("/weather/%6dcp", ("weather", "/mcp")),
        ("/weather\\mcp", ("weather", "/mcp")),
        ("/calc;a=b/../weather/mcp", ("weather", "/mcp")),
        ("/calc/..;/weather/mcp", ("weather", "/mcp")),
        ("/calc/%7c", ("calc", "/%7c")),
    ],
)
def test_a_request_reaches_the_server_of_its_resource_at_its_path(
    rig: Rig, path: str, reached: tuple[str, str]
) -> None:
    assert rig.ask("POST", path, body=b"{}").status == 200
    assert rig.reached() == [reached]
    assert resources_asked(rig.authz.checks) == [reached[0]]


@pytest.mark.parametrize(
    "path",
    [
        "/weather/mcpx",
        "/weather",
        "/weather/MCP",
        "/calculator",
        "/",
        "/mcp",
        "/weather%2fmcp",
        "/calc/%5cweather",
        "/weather/mcp;x=1",
        "/calc/%2e%2e;/weather/mcp",
        "/calc/.%2e;a=b/x",
        "/calc/%252e%252e/weather/mcp",
        "/calc/%zz",
        "/calc/%",
        "/calc/%00",
        "/calc/%c0%ae%c0%ae/x",
    ],
)
def test_a_path_of_no_resource_or_of_two_readings_reaches_no_server(rig: Rig, path: str) -> None:
    """Even though the service, if asked, allows it."""
    answer = rig.ask("POST", path, body=b"{}")
    assert answer.status in (400, 404)
    assert rig.reached() == []
    assert set(resources_asked(rig.authz.checks)) <= {""}


@pytest.mark.parametrize(
    "host",
    [
        "other.example.com",
        f"{HOST}:8080",
        f"{HOST}:80",
        f"{HOST}.",
        f"x.{HOST}",
        f"{HOST},{SOLO}",
        f"user@{HOST}",
        "weather.internal",
    ],
)
def test_a_host_of_no_resource_is_404_and_asks_nobody(rig: Rig, host: str) -> None:
    assert rig.ask("POST", "/weather/mcp", host=host, body=b"{}").status == 404
    assert rig.nobody_was_asked_or_reached()


def test_without_an_upstream_path_the_path_stays(rig: Rig) -> None:
    assert rig.ask("POST", "/mcp/a", host=SOLO, body=b"{}").status == 200
    assert rig.ask("POST", "/mcp/", host=SOLO, body=b"{}").status == 200
    assert rig.reached() == [("calc", "/mcp/a"), ("calc", "/mcp")]


def test_no_redirect_tells_a_client_the_address_of_the_server(rig: Rig) -> None:
    answer = rig.ask("POST", "/weather/mcp/redirect", body=b"{}")
    assert answer.status == 307
    assert rig.weather.url() not in f"{answer.headers}{answer.body!r}"
    assert not {"location", "content-location", "refresh"} & set(answer.headers)


# Answers that Envoy makes itself -------------------------------------------------------------------------------------


def error_of(answer: Answer) -> dict[str, Any]:
    document = json.loads(answer.body)
    assert answer.header("content-type") == "application/json"
    assert answer.header("cache-control") == "no-store"
    assert (document["jsonrpc"], document["id"]) == ("2.0", None)
    error: dict[str, Any] = document["error"]
    assert error["data"].get("request_id", error["data"].get("connection_id")) not in (None, "", "-")
    return error


@pytest.mark.parametrize(
    ("asked", "status", "code", "reason", "said"),
    [
        ({"body": b"x" * (LIMIT + 1)}, 413, -32600, "body_truncated", f"larger than {LIMIT} bytes"),
        ({"headers": {"x": "y" * 62_000}}, 431, -32600, "headers_too_large", "larger than 60 KiB"),
        ({"path": "/nowhere"}, 404, -32601, "resource_unknown", "no MCP server is published"),
        ({"host": "other.example.com"}, 404, -32601, "resource_unknown", "no MCP server is published"),
        ({"path": "/weather/mcp;x=1"}, 404, -32601, "resource_unknown", "no MCP server is published"),
        ({"path": "/weather%2fmcp"}, 400, -32600, "request_invalid", "a normal path"),
        ({"headers": {"a_b": "c"}}, 400, -32600, "request_invalid", "header names"),
    ],
)
def test_an_answer_of_envoy_itself_has_the_form_of_every_other(
    rig: Rig, asked: dict[str, Any], status: int, code: int, reason: str, said: str
) -> None:
    answer = rig.ask(**{"method": "POST", "path": "/weather/mcp", "body": b"{}"} | asked)
    error = error_of(answer)
    assert (answer.status, error["code"], error["data"]["reason"]) == (status, code, reason)
    assert said in error["message"]
    assert not rig.reached()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_upgrade_is_405_and_says_what_is_allowed(rig: Rig, method: str) -> None:
    answer = rig.ask(
        method, "/weather/mcp", headers={"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    )
    assert (answer.status, answer.header("allow")) == (405, "GET, POST, DELETE")
    assert error_of(answer)["data"]["reason"] == "http_method_refused"
    assert not rig.reached()


@pytest.mark.parametrize("status", [401, 403, 404, 413, 431, 503])
def test_a_denial_of_the_service_is_passed_on_as_it_is(rig: Rig, status: int) -> None:
    rig.authz.answer = lambda _: deny(status, {"content-type": "application/json", "x-mark": "1"}, body='{"our":"own"}')
    answer = rig.ask("POST", "/weather/mcp", body=b"{}")
    assert (answer.status, answer.body, answer.header("x-mark")) == (status, b'{"our":"own"}', "1")


# Headers -------------------------------------------------------------------------------------------------------------


def test_nobody_but_the_service_says_who_a_caller_is(rig: Rig) -> None:
    rig.authz.answer = lambda _: allow({"x-auth-subject": "alice", "x-auth-decision": "d-1"})
    forged = {"x-auth-subject": "mallory", "x-auth-organization": "evil", "X-Auth-": "1", "x-calc-subject": "mallory"}
    assert rig.ask("POST", "/weather/mcp", headers=forged, body=b"{}").status == 200
    (check,) = rig.authz.checks
    (seen,) = rig.weather.seen
    asked = {one.key for one in check.attributes.request.http.header_map.headers}
    assert not [name for name in asked if name.startswith(("x-auth-", "x-calc-"))]
    identity = {name: value for name, value in seen.headers.items() if name.startswith(("x-auth-", "x-calc-"))}
    assert identity == {"x-auth-subject": "alice", "x-auth-decision": "d-1"}


@pytest.mark.parametrize("changed", [str, str.upper, str.title])
def test_no_word_of_another_proxy_reaches_the_service_or_the_server(rig: Rig, changed: Callable[[str], str]) -> None:
    """Every name that renderings remove. Others, and those that only look alike, stay."""
    begun = [prefix + end for prefix in UNTRUSTED_PREFIXES for end in ("user", "a.b")]
    names = [*UNTRUSTED_HEADERS, *begun]
    kept = ("x-real-ip2", "xremote-user", "my-x-host", "x-api-key", "user-agent", "baggage")
    for some in (names[:40], names[40:80], names[80:]):
        forged = {changed(name): "mallory" for name in (*some, *kept)}
        assert rig.ask("POST", "/weather/mcp", headers=forged, body=b"{}").status == 200
    for check in rig.authz.checks:
        asked = check.attributes.request.http.header_map.headers
        assert {one.key for one in asked if one.raw_value == b"mallory"} == set(kept)
    assert len(rig.weather.seen) == 3
    for seen in rig.weather.seen:
        assert {name for name, value in seen.headers.items() if value == "mallory"} == set(kept)
        left = {name for name in seen.headers if name in names or name.startswith(UNTRUSTED_PREFIXES)}
        assert {name for name in left if not name.startswith("x-envoy-")} == {"x-forwarded-host"}


def test_the_service_can_remove_a_header_that_is_nothing_but_the_prefix(rig: Rig) -> None:
    rig.authz.answer = lambda _: allow(remove=("authorization", "x-auth-", "x-calc-a.b"))
    assert rig.ask("POST", "/weather/mcp", body=b"{}").status == 200


def test_the_token_stays_with_envoy(rig: Rig) -> None:
    assert rig.ask("POST", "/weather/mcp", headers={"authorization": "Bearer t"}, body=b"{}").status == 200
    (check,) = rig.authz.checks
    assert ("authorization", b"Bearer t") in [
        (one.key, one.raw_value) for one in check.attributes.request.http.header_map.headers
    ]
    assert "authorization" not in rig.weather.seen[0].headers


def test_what_proxies_say_of_a_request_is_said_by_this_envoy(rig: Rig) -> None:
    forged = {
        "x-envoy-auth-failure-mode-allowed": "true",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-original-path": "/admin",
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "https",
        "x-forwarded-prefix": "/admin",
        "x-original-url": "/admin",
        "x-rewrite-url": "/admin",
        "forwarded": "for=10.0.0.1;host=evil.example",
        "x-request-id": "mine",
    }
    assert rig.ask("POST", "/weather/mcp", headers=forged, body=b"{}").status == 200
    headers = rig.weather.seen[0].headers
    assert headers["host"] == f"{LOOPBACK}:{rig.weather.port}"
    assert headers["x-forwarded-host"] == HOST
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-envoy-original-path"] == "/weather/mcp"
    assert headers["x-request-id"] != "mine"
    gone = {
        "x-envoy-auth-failure-mode-allowed",
        "x-envoy-upstream-rq-timeout-ms",
        "x-forwarded-prefix",
        "x-original-url",
    }
    assert not {*gone, "x-rewrite-url", "forwarded"} & set(headers)


def test_a_header_name_with_an_underscore_is_refused(rig: Rig) -> None:
    assert rig.ask("POST", "/weather/mcp", headers={"x_auth_subject": "mallory"}, body=b"{}").status == 400
    assert rig.nobody_was_asked_or_reached()


@pytest.mark.parametrize("name", ["host", "x-forwarded-for", ":path", ":authority", "content-type", "x-authx"])
def test_the_service_cannot_touch_any_other_header(rig: Rig, name: str) -> None:
    rig.authz.answer = lambda _: allow({name: "/other"})
    assert rig.ask("POST", "/weather/mcp", body=b"{}").status == 500
    assert rig.reached() == []


def test_a_denial_cannot_split_the_response(rig: Rig) -> None:
    rig.authz.answer = lambda _: deny(401, {"www-authenticate": "Bearer\r\nset-cookie: a=b"})
    answer = rig.ask("POST", "/weather/mcp", body=b"{}")
    assert answer.status == 500
    assert "set-cookie" not in answer.headers


# Answers of the service ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"), [(401, -40100), (403, -40300), (400, -32600), (404, -32601), (503, -50300)]
)
def test_a_denial_reaches_the_client_whole(rig: Rig, status: int, code: int) -> None:
    challenge = f'Bearer error="invalid_token", resource_metadata="https://{HOST}{PRM}/weather/mcp"'
    headers = {
        "www-authenticate": challenge,
        "content-type": "application/json",
        "cache-control": "no-store",
        "x-extauthz-decision": "d-1",
    }
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": "no"}})
    rig.authz.answer = lambda _: deny(status, headers, body=body)
    answer = rig.ask("POST", "/weather/mcp", body=b"{}")
    assert (answer.status, answer.body.decode()) == (status, body)
    assert {name: answer.header(name) for name in headers} == headers
    assert rig.reached() == []


def test_an_allowed_page_can_read_answers_and_denials(rig: Rig) -> None:
    """Headers of both the cors filter and the service: each once."""
    cors = {
        "access-control-allow-origin": ORIGIN,
        "access-control-expose-headers": "WWW-Authenticate",
        "vary": "origin",
    }
    for reply, status in ((allow(), 200), (deny(401, {"www-authenticate": "Bearer", **cors}), 401)):
        rig.authz.answer = lambda _, reply=reply: reply
        answer = rig.ask("POST", "/weather/mcp", headers={"origin": ORIGIN}, body=b"{}")
        assert answer.status == status
        assert answer.header("access-control-allow-origin") == ORIGIN
        exposed = answer.header("access-control-expose-headers")
        assert exposed == "WWW-Authenticate, Mcp-Session-Id, x-extauthz-decision"


def test_no_other_page_can(rig: Rig) -> None:
    for origin, path in (("https://evil.example", "/weather/mcp"), (ORIGIN, "/calc")):
        answer = rig.ask("POST", path, headers={"origin": origin}, body=b"{}")
        assert "access-control-allow-origin" not in answer.headers


def test_preflights_are_the_services_to_answer(rig: Rig) -> None:
    asking = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,mcp-param-city",
    }
    allowed = {"access-control-allow-origin": ORIGIN, "access-control-allow-headers": "authorization, mcp-param-city"}
    rig.authz.answer = lambda _: deny(204, allowed)
    answer = rig.ask("OPTIONS", "/weather/mcp", headers=asking)
    assert answer.status == 204
    assert {name: answer.header(name) for name in allowed} == allowed
    assert resources_asked(rig.authz.checks) == ["weather"]


def test_a_preflight_never_reaches_a_server(rig: Rig) -> None:
    assert rig.ask("OPTIONS", "/weather/mcp", headers={"origin": ORIGIN}).status == 405
    assert rig.reached() == []


def explode(_request: CheckRequest) -> CheckResponse:
    raise RuntimeError("a fault of the service")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_service_is_503_and_not_a_decision(rig: Rig) -> None:
    rig.authz.answer = explode
    answer = rig.ask("POST", "/weather/mcp", body=b"{}")
    assert answer.status == 503
    assert error_of(answer)["data"]["reason"] == "authorization_unavailable"
    assert answer.header("retry-after")
    assert rig.reached() == []


def test_a_slow_check_is_asked_once(rig: Rig) -> None:
    """Envoy would give up on, and repeat, every attempt that takes longer than its retry back-off's `max_interval`."""

    def slow(_request: CheckRequest) -> CheckResponse:
        threading.Event().wait(0.3)
        return allow()

    rig.authz.answer = slow
    assert rig.ask("POST", "/weather/mcp", body=b"{}").status == 200
    assert len(rig.authz.checks) == 1


# Bodies and streams --------------------------------------------------------------------------------------------------


def test_a_body_at_the_limit_is_judged_and_passed_on_whole(rig: Rig) -> None:
    body = bytes(range(256)) * (LIMIT // 256)
    assert rig.ask("POST", "/weather/mcp", body=body).status == 200
    assert rig.authz.checks[0].attributes.request.http.raw_body == body
    assert rig.weather.seen[0].body == body


def test_a_body_of_an_html_form_is_no_exception(rig: Rig) -> None:
    """Content types do not change what is judged."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert rig.ask("POST", "/weather/mcp", headers=headers, body=b"a=b").status == 200
    assert rig.authz.checks[0].attributes.request.http.raw_body == b"a=b"


def test_a_body_over_the_limit_is_413_and_asks_nobody(rig: Rig) -> None:
    assert rig.ask("POST", "/weather/mcp", body=b"x" * (LIMIT + 1)).status == 413
    assert rig.nobody_was_asked_or_reached()


def test_a_chunked_body_over_the_limit_is_413_and_asks_nobody(rig: Rig) -> None:
    connection = http.client.HTTPConnection(LOOPBACK, rig.port, timeout=WAIT_S)
    chunks = [b"x" * LIMIT, b"x"]
    connection.request("POST", "/weather/mcp", body=iter(chunks), headers={"host": HOST}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    assert rig.nobody_was_asked_or_reached()


def test_over_http2_not_even_the_last_frame_may_pass_the_limit(rig: Rig) -> None:
    """Without `body_size_limit` Envoy would ask about the first part and forward everything."""
    assert post_over_http2(rig.port, "/weather/mcp", b"x" * (LIMIT + 100)) == 413
    assert rig.nobody_was_asked_or_reached()
    assert post_over_http2(rig.port, "/weather/mcp", b"x" * LIMIT) == 200
    assert [len(seen.body) for seen in rig.weather.seen] == [LIMIT]


# Decided on headers --------------------------------------------------------------------------------------------------

SETTLED = {
    "content-type": "application/json",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "get_forecast",
}


@pytest.mark.parametrize("size", [2, 40_000])
def test_what_headers_settle_is_asked_about_without_its_body_which_reaches_the_server_whole(
    rig: Rig, size: int
) -> None:
    assert rig.ask("POST", "/mcp", host=QUICK, headers=SETTLED, body=b"x" * size).status == 200
    (check,) = rig.authz.checks
    asked = check.attributes.request.http
    assert (asked.raw_body, asked.body, asked.size) == (b"", "", 0)
    assert dict(check.attributes.context_extensions) == {"resource": "quick"}
    headers = {one.key: one.raw_value for one in asked.header_map.headers}
    assert headers["content-length"] == str(size).encode()
    assert "x-envoy-auth-partial-body" not in headers
    (seen,) = rig.calc.seen
    assert (seen.path, len(seen.body)) == ("/mcp", size)


def test_a_body_over_the_limit_is_413_even_where_headers_settle(rig: Rig) -> None:
    assert rig.ask("POST", "/mcp", host=QUICK, headers=SETTLED, body=b"x" * (LIMIT + 1)).status == 413
    assert not rig.reached()


@pytest.mark.parametrize(
    "change",
    [
        {"mcp-protocol-version": "2025-11-25"},
        {"mcp-protocol-version": ""},
        {"mcp-method": "subscriptions/listen"},
        {"mcp-method": "tools/call/x"},
        {"mcp-method": "notifications/cancelled"},
        {"mcp-session-id": "s-1"},
    ],
)
def test_everything_else_is_asked_about_with_its_body(rig: Rig, change: Mapping[str, str]) -> None:
    assert rig.ask("POST", "/mcp", host=QUICK, headers={**SETTLED, **change}, body=b"{}").status == 200
    assert [check.attributes.request.http.raw_body for check in rig.authz.checks] == [b"{}"]


def test_nothing_of_a_resource_without_the_setting_is_asked_about_without_its_body(rig: Rig) -> None:
    assert rig.ask("POST", "/weather/mcp", headers=SETTLED, body=b"{}").status == 200
    assert [check.attributes.request.http.raw_body for check in rig.authz.checks] == [b"{}"]


def post_over_http2(port: int, path: str, body: bytes) -> int:
    """One POST with prior knowledge, without a content-length; the status."""
    client = h2.connection.H2Connection()
    client.initiate_connection()
    client.send_headers(1, [(":method", "POST"), (":path", path), (":authority", HOST), (":scheme", "http")])
    left = memoryview(body)
    with socket.create_connection((LOOPBACK, port), timeout=WAIT_S) as connection:
        while True:
            while left and (
                size := min(client.local_flow_control_window(1), client.max_outbound_frame_size, len(left))
            ):
                client.send_data(1, left[:size], end_stream=size == len(left))
                left = left[size:]
            connection.sendall(client.data_to_send())
            received = connection.recv(65_536)
            assert received, "Envoy closed the connection without an answer"
            for event in client.receive_data(received):
                if isinstance(event, h2.events.ResponseReceived):
                    return int(dict(event.headers or [])[b":status"])
                assert not isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated)


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", b"{}")])
def test_events_pass_one_by_one_while_the_stream_is_open(rig: Rig, method: str, body: bytes | None) -> None:
    """The client's own stream, and the answer to a call."""
    connection = http.client.HTTPConnection(LOOPBACK, rig.port, timeout=WAIT_S)
    connection.request(method, "/weather/mcp/events", body, {"host": HOST, "accept": "text/event-stream"})
    response = connection.getresponse()
    assert response.getheader("content-type") == "text/event-stream"
    first = response.read(9)
    assert not rig.weather.go_on.is_set(), "the server has sent one event only"
    rig.weather.go_on.set()
    assert (first, response.read()) == (b"data: 1\n\n", b"data: 2\n\n")
    connection.close()


def test_the_end_of_a_session_and_its_answer_pass_untouched(rig: Rig) -> None:
    headers = {"mcp-session-id": "s-1", "mcp-protocol-version": "2025-11-25"}
    answer = rig.ask("DELETE", "/weather/mcp", headers=headers)
    (seen,) = rig.weather.seen
    assert (seen.method, seen.path, seen.body) == ("DELETE", "/mcp", b"")
    assert {name: seen.headers[name] for name in headers} == headers
    assert (answer.status, answer.header("mcp-session-id"), answer.body) == (200, "s-1", b"upstream")


# Operations ----------------------------------------------------------------------------------------------------------


def test_the_admin_interface_can_be_read_and_nothing_else(rig: Rig) -> None:
    assert ask(rig.admin, "GET", "/ready", host="admin").status == 200
    assert ask(rig.admin, "GET", "/stats?filter=ext_authz", host="admin").status == 200
    for path in ("/quitquitquit", "/logging?level=trace", "/drain_listeners", "/healthcheck/fail"):
        assert ask(rig.admin, "POST", path, host="admin").status == 403


def test_without_the_service_nothing_passes_and_it_comes_back_by_itself(tmp_path: Path) -> None:
    port, admin = free_port(), free_port()
    with RecordingUpstream() as upstream, ScriptedAuthz() as authz:
        edge = Edge(listen=loopback(port), admin=loopback(admin), authz=(authz.endpoint,))
        bootstrap = render(policy(resource(upstream=upstream.url("/mcp"))), edge)

        def status() -> int:
            return ask(port, "POST", "/weather/mcp", host=HOST, body=b"{}").status

        with envoy(bootstrap, tmp_path, admin):
            assert status() == 200
            authz.stop()
            assert {status() for _ in range(5)} == {503}
            assert len(upstream.seen) == 1
            assert ask(port, "GET", f"{PRM}/weather/mcp", host=HOST).status == 200
            with ScriptedAuthz(authz.port):
                eventually(lambda: status() == 200, "the service is asked again")


def test_one_of_two_workers_may_be_gone(tmp_path: Path) -> None:
    port, admin = free_port(), free_port()
    with RecordingUpstream() as upstream, ScriptedAuthz() as staying, ScriptedAuthz() as leaving:
        edge = Edge(listen=loopback(port), admin=loopback(admin), authz=(staying.endpoint, leaving.endpoint))
        with envoy(render(policy(resource(upstream=upstream.url("/mcp"))), edge), tmp_path, admin):
            asked = lambda: ask(port, "POST", "/weather/mcp", host=HOST, body=b"{}").status  # noqa: E731
            assert {asked() for _ in range(10)} == {200}
            assert leaving.checks, "both are asked"
            leaving.stop()
            assert {asked() for _ in range(10)} == {200}


@pytest.mark.long
def test_no_retry_ends_at_the_worker_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before health checks have noticed: each request that meets the dead one is retried at the other."""
    monkeypatch.setattr(clusters, "HEALTH_INTERVAL_S", 600)
    port, admin = free_port(), free_port()
    with RecordingUpstream() as upstream, ScriptedAuthz() as staying, ScriptedAuthz() as leaving:
        edge = Edge(listen=loopback(port), admin=loopback(admin), authz=(staying.endpoint, leaving.endpoint))
        with envoy(render(policy(resource(upstream=upstream.url("/mcp"))), edge), tmp_path, admin):
            leaving.stop()
            answers = Counter(
                ask(port, "POST", "/weather/mcp", host=HOST, body=b"{}").status for _ in range(MANY_REQUESTS)
            )
    assert answers == {200: MANY_REQUESTS}


def test_logs_and_spans_name_the_decision_and_hold_no_query(tmp_path: Path) -> None:
    port, admin, collector = free_port(), free_port(), free_port()
    spans: list[Span] = []
    with RecordingUpstream() as upstream, ScriptedAuthz() as authz:
        authz.answer = lambda _: allow(metadata={"decision_id": "d-1", "reason": "allowed", "resource": "weather"})
        edge = Edge(listen=loopback(port), admin=loopback(admin), authz=(authz.endpoint,), tracing=loopback(collector))
        bootstrap = render(policy(resource(upstream=upstream.url("/mcp"))), edge)
        server = collecting(spans, collector)
        with envoy(bootstrap, tmp_path, admin) as program:
            for _ in range(3):  # Envoy sends spans in fives
                answer = ask(port, "POST", "/weather/mcp?access_token=secret", host=HOST, body=b"{}")
                assert answer.status == 200
            eventually(lambda: any(span.kind == Span.SPAN_KIND_SERVER for span in spans), "a span")
        server.stop(grace=None).wait(WAIT_S)
    (span, *_) = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    attributes = {one.key: one.value.string_value for one in span.attributes}
    assert attributes["http.url"] == f"http://{HOST}/weather/mcp"
    assert attributes["extauthz.decision.id"] == "d-1"
    assert "secret" not in str(spans)
    lines = [json.loads(line) for line in program.output().splitlines() if line.startswith("{")]
    assert len(lines) == 3
    expected = {
        "authority": HOST,
        "path": "/weather/mcp",
        "route": "weather",
        "resource": "weather",
        "decision_id": "d-1",
        "reason": "allowed",
        "status": 200,
    }
    assert expected.items() <= lines[0].items()
    assert "secret" not in program.output()


def collecting(spans: list[Span], port: int) -> grpc.Server:
    """An OTLP collector that keeps every span."""

    def export(request: ExportTraceServiceRequest, _context: grpc.ServicerContext) -> bytes:
        spans.extend(span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans)
        return b""

    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    handler = grpc.unary_unary_rpc_method_handler(export, request_deserializer=ExportTraceServiceRequest.FromString)
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Export": handler})])
    assert server.add_insecure_port(f"{LOOPBACK}:{port}") == port
    server.start()
    return server


def test_tls_on_every_side_with_names_checked(tmp_path: Path) -> None:
    """HTTPS for clients, mutual TLS to the service, and only the https upstream that proves its name is reached."""
    ours, theirs = Authority(), Authority("another authority")
    ca = tmp_path / "ca.crt"
    ca.write_bytes(ours.cert)
    chain, key = ours.issue().write(tmp_path, "ours")
    good = server_context(chain, key)
    foreign = server_context(*theirs.issue().write(tmp_path, "theirs"))
    pair = ours.issue()
    credentials = grpc.ssl_server_credentials([(pair.key, pair.cert)], ours.cert, require_client_auth=True)
    port, admin = free_port(), free_port()
    with (
        RecordingUpstream(tls=good) as named,
        RecordingUpstream(tls=good, host="127.0.0.2") as misnamed,
        RecordingUpstream(tls=foreign) as untrusted,
        ScriptedAuthz(credentials=credentials) as authz,
    ):
        upstreams = {"named": named, "misnamed": misnamed, "untrusted": untrusted}
        resources = [
            resource(name=name, uri=f"https://{HOST}/{name}", upstream=upstream.url("/mcp"))
            for name, upstream in upstreams.items()
        ]
        pair_of_envoy = KeyPair(chain=chain, key=key)
        edge = Edge(
            listen=loopback(port),
            admin=loopback(admin),
            authz=(authz.endpoint,),
            authz_tls=ServiceTls(ca=str(ca), client=pair_of_envoy),
            certificate=pair_of_envoy,
            upstream_ca=str(ca),
        )
        with envoy(render(policy(*resources), edge), tmp_path, admin):
            client = ssl.create_default_context(cafile=str(ca))
            found = {
                name: ask(port, "POST", f"/{name}", host=HOST, body=b"{}", tls=client).status for name in upstreams
            }
    assert found == {"named": 200, "misnamed": 503, "untrusted": 503}
    assert [seen.headers["x-forwarded-proto"] for seen in named.seen] == ["https"]
    assert not misnamed.seen + untrusted.seen
    assert len(authz.checks) == 3


def server_context(chain: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context


# Validation ----------------------------------------------------------------------------------------------------------


def validate(text: str, folder: Path) -> str:
    """What `envoy --mode validate` has against a bootstrap; empty when nothing."""
    config = folder / "envoy.yaml"
    config.write_text(text.replace(DEFAULT_TRUSTED_CA, certifi.where()), encoding="utf-8")
    done = subprocess.run(
        [ENVOY, "--mode", "validate", "-c", config, "--log-level", "error"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "" if done.returncode == 0 else done.stderr


@pytest.mark.parametrize("name", EXAMPLES)
def test_envoy_accepts_every_example(name: str, tmp_path: Path) -> None:
    assert validate((FOLDER / name / "envoy.yaml").read_text(encoding="utf-8"), tmp_path) == ""


def test_envoy_accepts_everything_that_can_be_rendered_at_once(tmp_path: Path) -> None:
    """Names that YAML readers take for something else, a document over Envoy's limit, every option."""
    scopes = {f"scope-{number:04}": () for number in range(500)}
    names = ("y", "no", "1e3", "0x10", "null", "~", "12")
    awkward = [
        resource(name=name, uri=f"https://{HOST}/{number}", upstream="https://mcp.example.net/")
        for number, name in enumerate(names)
    ]
    long = resource(upstream="http://weather", includes=scopes, baseline=scopes, origins=frozenset({ORIGIN}))
    chain, key = Authority().issue().write(tmp_path, "edge")
    pair = KeyPair(chain=chain, key=key)
    edge = Edge(
        certificate=pair,
        admin=None,
        authz_tls=ServiceTls(ca=certifi.where(), client=pair),
        tracing=loopback(4317),
        trusted_hops=1,
    )
    text = render(policy(*awkward, long), edge)
    assert validate(text, tmp_path) == ""
    assert validate(text.replace("validate_mutations", "validate_mutation"), tmp_path) != ""


def test_the_commands_of_the_reference_run(tmp_path: Path) -> None:
    (tmp_path / "envoy").symlink_to(FOLDER)
    reference = (FOLDER.parent / "docs" / "reference" / "envoy.md").read_text(encoding="utf-8")
    block = reference.partition("```sh\n")[2].partition("```")[0]
    environment = {**os.environ, "PATH": f"{ENVOY.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-ec", block],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "envoy.yaml").exists()
    assert done.stdout.count('"resource_name"') == 2
