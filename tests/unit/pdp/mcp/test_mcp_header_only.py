"""Requests whose body was not handed over, in the order of the steps of docs/explanation/header-only.md."""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import find, given, settings

from extauthz.pdp.decision.decide import decide
from extauthz.pdp.decision.decision import Permit
from extauthz.pdp.mcp.header_only import SETTLED_METHODS, VERIFYING_REVISIONS, settled_methods
from extauthz.pdp.mcp.headers import MAX_PARAM_HEADERS
from extauthz.pdp.mcp.methods import METHODS, REVISIONS
from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import Era, MessageKind, Operation, Target, TargetKind, Unreadable
from extauthz.pdp.policy import Truth
from extauthz.pdp.principal import Principal
from extauthz.pdp.reason import Reason
from extauthz.pdp.request import HttpRequest
from extauthz.service.call import Call
from tests.property.test_mcp_reading import SEARCH, messages, requests
from tests.support.checks import check_request
from tests.support.mcp_requests import MODERN, bodyless, call, modern, request
from tests.support.policies import policy, resource, rule
from tests.support.world import World, mint, weather

TOOL, PROMPT, RESOURCE = TargetKind.TOOL, TargetKind.PROMPT, TargetKind.RESOURCE


def bare(headers: Mapping[str, str | None] | None = None, message: dict[str, Any] | None = None) -> HttpRequest:
    """A conforming request of 2026-07-28 but for the given headers, its body kept back by the proxy."""
    return modern(message or call(), headers)._replace(body=b"", body_size=0)


def settled(message: HttpRequest, methods: frozenset[str] = SETTLED_METHODS) -> Operation:
    outcome = read_operation(message, methods)
    assert isinstance(outcome, Operation), outcome
    return outcome


def refused(message: HttpRequest, methods: frozenset[str] = SETTLED_METHODS) -> Unreadable:
    outcome = read_operation(message, methods)
    assert isinstance(outcome, Unreadable), outcome
    return outcome


def needs_body(message: HttpRequest) -> str:
    """The reason that is told when the body is needed."""
    outcome = refused(message)
    assert outcome.reason is Reason.BODY_MISSING, outcome
    assert "with_request_body" in outcome.detail
    return outcome.detail


def sentinel(value: bytes) -> str:
    return f"=?base64?{b64encode(value).decode()}?="


# What is decided on headers


@pytest.mark.parametrize(
    ("message", "targets"),
    [
        (call("get_forecast"), (Target(TOOL, "get_forecast"),)),
        (request("prompts/get", {"name": "packing_list"}), (Target(PROMPT, "packing_list"),)),
        (request("resources/read", {"uri": "weather://berlin"}), (Target(RESOURCE, "weather://berlin"),)),
        (request("tools/list"), ()),
        (request("prompts/list"), ()),
        (request("resources/list"), ()),
        (request("resources/templates/list"), ()),
        (request("server/discover"), ()),
    ],
)
def test_the_headers_are_the_operation(message: dict[str, Any], targets: tuple[Target, ...]) -> None:
    operation = settled(bare(message=message))
    assert (operation.method, operation.targets, operation.era) == (message["method"], targets, Era.MODERN)
    assert operation.kind is MessageKind.REQUEST
    assert operation.protocol_version == MODERN
    assert operation.header_only
    assert not operation.arguments_exact


def test_encoded_names_and_white_space_are_read_as_in_any_request() -> None:
    assert settled(bare({"mcp-name": sentinel("wähle, bitte!".encode())})).targets[0].name == "wähle, bitte!"
    assert settled(bare({"mcp-name": " get_x\t", "mcp-method": " tools/call"})).targets[0].name == "get_x"


# Step 1: off unless the resource says so, and only where nothing of a body arrived


def test_without_the_setting_a_body_is_needed_for_everything() -> None:
    outcome = read_operation(bare())
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.BODY_MISSING


def test_a_body_that_is_there_is_read_and_counts() -> None:
    assert refused(modern(call("admin"), {"mcp-name": "get_forecast"})).reason is Reason.HEADER_MISMATCH
    assert not settled(modern(call())).header_only
    uncounted = modern(call("admin"), {"mcp-name": "get_forecast"}, body_size=0)
    assert refused(uncounted).reason is Reason.HEADER_MISMATCH


@pytest.mark.parametrize("value", ["true", "false", ""])
def test_a_body_that_the_proxy_cut_is_never_left_out(value: str) -> None:
    assert refused(bare({"x-envoy-auth-partial-body": value})).reason in (Reason.BODY_TRUNCATED, Reason.BODY_MISSING)
    assert refused(bare()._replace(body_size=70_000)).reason is Reason.BODY_TRUNCATED


@pytest.mark.parametrize("length", ["0", "00", "-1", "1,1", "", "x"])
def test_a_request_that_has_no_body_is_none(length: str) -> None:
    needs_body(bare({"content-length": length}))


def test_a_body_of_unknown_length_may_be_there() -> None:
    assert settled(bare({"content-length": None})).header_only
    assert settled(bare({"content-length": None, "transfer-encoding": "chunked"})).header_only


@pytest.mark.parametrize(
    "header", [("content-type", "text/plain"), ("content-encoding", "gzip"), ("transfer-encoding", "gzip")]
)
def test_the_declared_form_is_held_to_the_same_rules(header: tuple[str, str]) -> None:
    assert refused(bare(dict([header]))).reason is Reason.BODY_ENCODING


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_get_and_delete_are_what_they_were(method: str) -> None:
    assert settled(bodyless(method)) == read_operation(bodyless(method))


# Step 2: the revision obliges the server to compare


def test_the_revisions_are_those_with_the_obligation() -> None:
    """MCP 2026-07-28, Streamable HTTP, Server Validation. No earlier revision has the headers."""
    assert VERIFYING_REVISIONS == {REVISIONS[-1]}


@pytest.mark.parametrize("version", [None, *REVISIONS[:-1], "2027-01-01", "DRAFT-2026-v1", "2026-07-28,2026-07-28", ""])
def test_any_other_revision_needs_the_body(version: str | None) -> None:
    """Absent or older: servers go by the body and look at no header (tests/differential/test_header_only.py)."""
    assert "MCP-Protocol-Version" in needs_body(bare({"mcp-protocol-version": version}))


@pytest.mark.parametrize("version", [f"2025-11-25,{MODERN}", f"{MODERN},2025-11-25"])
def test_a_repeated_version_needs_the_body(version: str) -> None:
    """mcp.md §5.4: one server takes the first copy."""
    needs_body(bare({"mcp-protocol-version": version}))


def test_a_session_id_needs_the_body() -> None:
    """Servers of two eras that keep sessions could take the request for one of an initialize-based revision."""
    assert "session id" in needs_body(bare({"mcp-session-id": "s-1"}))


# Step 3: the method is one that headers settle


def test_the_methods_are_the_requests_of_the_revision_that_name_at_most_one_mirrored_thing() -> None:
    assert SETTLED_METHODS == {
        *("server/discover", "tools/list", "resources/list", "resources/templates/list", "prompts/list"),
        *("tools/call", "resources/read", "prompts/get"),
    }


@pytest.mark.parametrize("method", sorted(METHODS.keys() - SETTLED_METHODS))
def test_every_other_method_needs_the_body(method: str) -> None:
    """Among them initialize, notifications, subscriptions/listen, completion/complete and tasks."""
    assert "Mcp-Method" in needs_body(bare({"mcp-method": method}))
    assert refused(bare({"mcp-method": method}), frozenset(METHODS)).reason is Reason.BODY_MISSING


@pytest.mark.parametrize(
    "method",
    [
        None,
        "",
        "tools/call,tools/call",
        "tools/list,tools/call",
        "TOOLS/CALL",
        "tools/call!",
        "custom/method",
        "response",
    ],
)
def test_what_is_not_one_known_method_needs_the_body(method: str | None) -> None:
    needs_body(bare({"mcp-method": method}))


# Step 4: the name is one name


@pytest.mark.parametrize("name", ["get_forecast,admin", "a,b", ",", sentinel(b"a") + "," + sentinel(b"b")])
def test_a_name_with_a_comma_needs_the_body(name: str) -> None:
    """It can be two headers that the proxy joined, of which a server takes one: `get_*` would match both."""
    needs_body(bare({"mcp-name": name}))


def test_a_name_with_an_exclamation_mark_needs_the_body() -> None:
    """Without `encode_raw_headers` the proxy writes it for every byte outside ASCII."""
    needs_body(bare({"mcp-name": "get_!"}))


@pytest.mark.parametrize(
    "name", ["=?base64?YQ?=", "=?base64?YQ==x?=", "=?base64?/w==?=", "=?base64?=", "wähle", "a\x7f", "x" * 12_001]
)
def test_a_malformed_name_is_refused(name: str) -> None:
    assert refused(bare({"mcp-name": name})).reason is Reason.HEADER_MISMATCH


@pytest.mark.parametrize("name", ["", sentinel(b"a\n"), "x" * 513])
def test_a_name_that_no_policy_can_speak_of_is_refused(name: str) -> None:
    assert refused(bare({"mcp-name": name})).reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("uri", ["file:///a/../b", "FILE:///a", "weather://berlin\\x"])
def test_a_uri_that_servers_rewrite_is_refused(uri: str) -> None:
    message = request("resources/read", {"uri": "weather://berlin"})
    assert refused(bare({"mcp-name": uri}, message)).reason is Reason.MESSAGE_INVALID


def test_an_absent_name_and_one_too_many_are_refused() -> None:
    assert refused(bare({"mcp-name": None})).reason is Reason.HEADER_MISMATCH
    assert refused(bare({"mcp-name": "x"}, request("tools/list"))).reason is Reason.HEADER_MISMATCH


@pytest.mark.parametrize("name", ["mcp_method", "mcp_name", "mcp_protocol_version", "content_type"])
def test_a_header_that_some_gateway_takes_for_another_is_refused(name: str) -> None:
    assert refused(bare({name: "x"})).reason is Reason.HEADER_MISMATCH


def test_mirrored_arguments_must_be_well_formed_and_decide_nothing() -> None:
    assert settled(bare({"mcp-param-city": "Rome"})).arguments == {}
    assert refused(bare({"mcp-param-city": "=?base64?x?="})).reason is Reason.HEADER_MISMATCH
    many: dict[str, str | None] = {f"mcp-param-{number}": "x" for number in range(MAX_PARAM_HEADERS + 1)}
    assert refused(bare(many)).reason is Reason.HEADER_MISMATCH


def test_the_proxys_own_reading_must_agree_where_there_is_one() -> None:
    read = {"method": "tools/call", "params": {"name": "get_forecast"}}
    assert settled(bare()._replace(mcp_metadata=read)).header_only
    for other in ({"method": "tools/list"}, {"method": "tools/call", "params": {"name": "admin"}}):
        assert refused(bare()._replace(mcp_metadata=other)).reason is Reason.HEADER_MISMATCH
    listed = bare(message=request("tools/list"))
    assert refused(listed._replace(mcp_metadata=read)).reason is Reason.HEADER_MISMATCH


# Step 5: what headers do not say decides nothing


@dataclass(frozen=True)
class Reads:
    """A condition that holds, and reads arguments or not."""

    reads_arguments: bool
    reads_beyond_identity: bool = True
    text: str = "…"

    def evaluate(self, principal: Principal, operation: Operation, request: Mapping[str, Any]) -> Truth:
        return Truth.TRUE


def test_methods_whose_rules_read_arguments_are_not_settled() -> None:
    reading = rule(["tools/*"], when=Reads(reads_arguments=True))
    assert settled_methods([reading]) == SETTLED_METHODS - {"tools/call", "tools/list"}
    assert settled_methods([rule(["*"], when=Reads(reads_arguments=True))]) == frozenset()
    assert settled_methods([rule(["*"], when=Reads(reads_arguments=False)), rule(["*"])]) == SETTLED_METHODS
    assert refused(bare(), settled_methods([reading])).reason is Reason.BODY_MISSING


def test_a_condition_on_arguments_is_never_met_on_headers_alone() -> None:
    """Even if a method with such a rule were settled by mistake."""
    where = resource([rule(["tools/call"], [], when=Reads(reads_arguments=True))], baseline=[])
    me = Principal(
        issuer="i",
        subject="s",
        organization="o",
        name="n",
        client_id="c",
        scopes=frozenset(),
        roles=frozenset(),
        groups=frozenset(),
        machine=False,
    )
    assert isinstance(decide(where, me, settled(modern(call())), {}), Permit)
    assert not isinstance(decide(where, me, settled(bare()), {}), Permit)


@SEARCH
@given(requests())
def test_with_the_body_at_hand_the_same_would_be_decided(message: HttpRequest) -> None:
    """Whatever body comes with headers that settle an operation: it is that operation, or it is refused."""
    headers = read_operation(message._replace(body=b"", body_size=0), SETTLED_METHODS)
    body = read_operation(message)
    if isinstance(headers, Operation) and isinstance(body, Operation) and message.method == "POST":
        assert body == headers._replace(
            arguments=body.arguments,
            arguments_exact=True,
            request_id=body.request_id,
            header_only=False,
        )


def test_bodies_that_say_the_same_are_among_them() -> None:
    """Else the search would show nothing."""

    def both(message: HttpRequest) -> bool:
        headers = read_operation(message._replace(body=b"", body_size=0), SETTLED_METHODS)
        named = isinstance(headers, Operation) and headers.header_only and headers.targets != ()
        return named and isinstance(read_operation(message), Operation)

    find(requests(messages("tools/call")), both, settings=settings(SEARCH, max_examples=5_000))


def test_the_same_decision_is_made_and_remembered_with_and_without_the_body() -> None:
    world = World(policy=policy(weather(header_only=SETTLED_METHODS)))
    headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "get_forecast"}
    body = modern(call("get_forecast")).body
    without = check_request(b"", token=mint(), headers={**headers, "content-length": str(len(body))})
    first, second = world.check(without), world.check(check_request(body, token=mint(), headers=headers))
    assert (first.reason, second.reason) == (Reason.ALLOWED, Reason.ALLOWED)
    assert (first.rule, str(second.cache)) == (second.rule, "memory")
    assert [one.details(Call(1), 2).header_only for one in (first, second)] == [True, False]


# The page


def test_the_page_names_tests_that_there_are() -> None:
    """docs/explanation/header-only.md: every step of the argument has its tests."""
    root = Path(__file__).parents[4]
    steps = re.split(r"\n\d\. ", (root / "docs/explanation/header-only.md").read_text().partition("## The argument")[2])
    assert len(steps) == 8
    for step in (each.partition("\n## ")[0] for each in steps[1:]):
        files = [Path(__file__), *(root / file for file in re.findall(r"`(tests/[\w/]+\.py)`", step))]
        there = "\n".join(file.read_text() for file in files)
        named = re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+){4,})`", step)
        assert named
        assert [name for name in named if not re.search(rf"^def test_{name}\b", there, re.MULTILINE)] == []
