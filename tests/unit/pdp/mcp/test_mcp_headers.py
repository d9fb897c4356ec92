"""MCP's headers against the message, in every era."""

from base64 import b64encode
from typing import Any

import pytest

from extauthz.pdp.mcp.headers import MAX_ENCODED_LENGTH, MAX_PARAM_HEADERS, decode_value
from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import Era, MessageKind, Operation, Unreadable
from extauthz.pdp.reason import Reason
from extauthz.pdp.request import HttpRequest
from tests.support.mcp_requests import MODERN, VERSION_KEY, bodyless, call, modern, notification, post, request

LEGACY_VERSIONS = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]


def allowed(message: HttpRequest) -> Operation:
    outcome = read_operation(message)
    assert isinstance(outcome, Operation), outcome
    return outcome


def mismatch(message: HttpRequest) -> Unreadable:
    outcome = read_operation(message)
    assert isinstance(outcome, Unreadable), outcome
    assert outcome.reason is Reason.HEADER_MISMATCH, outcome
    return outcome


def sentinel(value: str) -> str:
    return f"=?base64?{b64encode(value.encode()).decode()}?="


def with_meta(version: Any, message: dict[str, Any] | None = None) -> dict[str, Any]:
    message = message or call()
    return {**message, "params": {**message.get("params", {}), "_meta": {VERSION_KEY: version}}}


# Version and era


@pytest.mark.parametrize("version", LEGACY_VERSIONS)
def test_a_legacy_version_puts_a_message_in_the_legacy_era(version: str) -> None:
    operation = allowed(post(call(), {"mcp-protocol-version": version}))
    assert (operation.era, operation.protocol_version) == (Era.LEGACY, version)


def test_no_version_at_all_is_the_legacy_era() -> None:
    """MCP 2025-06-18: the server SHOULD assume 2025-03-26."""
    operation = allowed(post(call()))
    assert (operation.era, operation.protocol_version) == (Era.LEGACY, "")


@pytest.mark.parametrize("version", [MODERN, "2027-01-01", "2099-12-31", "v999.0.0", "2025-09-01", "DRAFT-2026-v1"])
def test_any_other_version_is_held_to_the_rules_of_the_modern_era(version: str) -> None:
    """The server says what it supports (-32022); nothing is refused here that a later revision could allow."""
    operation = allowed(modern(call(), version=version))
    assert (operation.era, operation.protocol_version) == (Era.MODERN, version)
    mismatch(modern(call(), {"mcp-method": None}, version=version))


@pytest.mark.parametrize(
    "version",
    [
        "",
        " ",
        "2026-07-28,2026-07-28",
        "2025-11-25,2026-07-28",
        "2026-07-28, 2025-11-25",
        "2026 07 28",
        "\u0662026",
        "x" * 33,
        "-1",
        "2026-07-28;q=1",
    ],
)
def test_what_is_not_one_version_is_refused(version: str) -> None:
    """mcp.md §5.4: with the version repeated, one server took the first copy and RAN past a lying name."""
    mismatch(post(call(), {"mcp-protocol-version": version}))
    mismatch(modern(call(), {"mcp-protocol-version": version}))
    outcome = read_operation(bodyless("GET", {"mcp-protocol-version": version}))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.HEADER_MISMATCH


def test_white_space_around_a_value_is_none_of_it() -> None:
    """RFC 9110 §5.5."""
    headers = {"mcp-protocol-version": f" {MODERN}\t", "mcp-method": " tools/call ", "mcp-name": "\tget_forecast  "}
    assert allowed(modern(call(), headers)).protocol_version == MODERN


@pytest.mark.parametrize(
    ("header", "meta"),
    [
        (None, MODERN),
        ("2025-11-25", MODERN),
        (MODERN, "2025-11-25"),
        (MODERN, "2027-01-01"),
        ("2027-01-01", MODERN),
        (None, "2025-11-25"),
        ("2025-11-25", "2025-06-18"),
        (MODERN, None),
        (MODERN, 20260728),
        (MODERN, [MODERN]),
        (MODERN, MODERN + " "),
        (MODERN, ""),
        ("2025-11-25", ""),
    ],
)
def test_the_two_places_of_the_version_must_agree(header: str | None, meta: Any) -> None:
    """mcp.md §5.4: Python routes by the header alone, TypeScript by _meta first."""
    mismatch(
        post(
            with_meta(meta),
            {"mcp-protocol-version": header, "mcp-method": "tools/call", "mcp-name": "get_forecast"},
        )
    )


@pytest.mark.parametrize("version", LEGACY_VERSIONS)
def test_a_legacy_version_has_no_place_in_meta(version: str) -> None:
    """One SDK's server runs it as legacy, the other refuses it as modern."""
    headers = {"mcp-protocol-version": version, "mcp-method": "tools/call", "mcp-name": "get_forecast"}
    assert "leave it out" in mismatch(post(with_meta(version), headers)).detail


def test_a_modern_request_without_the_version_in_meta_goes_on_to_the_server() -> None:
    """Every known server answers -32602, which the conformance suite looks for (server-stateless)."""
    headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "get_forecast"}
    assert allowed(post(call(), headers)).era is Era.MODERN
    mismatch(post(call(), {**headers, "mcp-method": None}))
    mismatch(post(call(), {**headers, "mcp-name": None}))
    mismatch(post(call(), {**headers, "mcp-name": "other"}))


# initialize


INITIALIZE = request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x"}})


@pytest.mark.parametrize("version", [None, *LEGACY_VERSIONS])
def test_initialize_is_of_the_legacy_era(version: str | None) -> None:
    operation = allowed(post(INITIALIZE, {"mcp-protocol-version": version}))
    assert (operation.era, operation.baseline) == (Era.LEGACY, True)


@pytest.mark.parametrize("version", [MODERN, "2027-01-01", "x"])
def test_initialize_with_a_modern_header_is_refused(version: str) -> None:
    mismatch(post(INITIALIZE, {"mcp-protocol-version": version, "mcp-method": "initialize"}))


def test_a_modern_request_for_initialize_goes_on_to_the_server() -> None:
    """Both places say modern: servers of that era answer -32601, older ones carry out what was decided on."""
    operation = allowed(modern(request("initialize", {})))
    assert operation.era is Era.MODERN


def test_initialize_that_claims_the_modern_era_in_meta_alone_is_refused() -> None:
    """The TypeScript server would follow the claim, the Python server would shake hands."""
    mismatch(post(with_meta(MODERN, INITIALIZE)))


# Mcp-Method and Mcp-Name


NAMED = [
    ("tools/call", {"name": "get_forecast"}, "get_forecast"),
    ("prompts/get", {"name": "code_review"}, "code_review"),
    ("resources/read", {"uri": "file:///a,b.txt"}, "file:///a,b.txt"),
    ("tasks/get", {"taskId": "t"}, "t"),
    ("tasks/update", {"taskId": "t"}, "t"),
    ("tasks/cancel", {"taskId": "t"}, "t"),
]


@pytest.mark.parametrize(("method", "params", "name"), NAMED)
def test_a_modern_request_carries_its_method_and_name(method: str, params: dict[str, Any], name: str) -> None:
    message = request(method, params)
    assert allowed(modern(message)).targets[0].name == name
    mismatch(modern(message, {"mcp-method": None}))
    mismatch(modern(message, {"mcp-name": None}))
    mismatch(modern(message, {"mcp-method": "tools/list"}))
    mismatch(modern(message, {"mcp-name": "other"}))
    mismatch(modern(message, {"mcp-name": ""}))


@pytest.mark.parametrize("method", ["tools/list", "server/discover", "completion/complete", "x/unknown"])
def test_a_modern_request_without_a_mirrored_name_needs_its_method_only(method: str) -> None:
    params = {"ref": {"type": "ref/prompt", "name": "p"}} if method == "completion/complete" else {}
    allowed(modern(request(method, params)))
    mismatch(modern(request(method, params), {"mcp-method": None}))


@pytest.mark.parametrize("version", [None, *LEGACY_VERSIONS])
@pytest.mark.parametrize(
    "lie",
    [
        {"mcp-method": "tools/list"},
        {"mcp-method": "TOOLS/CALL"},
        {"mcp-method": "tools/call,tools/list"},
        {"mcp-method": "tools/call,tools/call"},
        {"mcp-method": ""},
        {"mcp-name": "other"},
        {"mcp-name": "GET_FORECAST"},
        {"mcp-name": "get_forecast,get_forecast"},
        {"mcp-name": "get_forecast,admin"},
        {"mcp-name": ""},
        {"mcp-name": "get_forecast", "mcp-method": "ping"},
    ],
)
def test_a_header_that_is_there_must_agree_in_every_era(version: str | None, lie: dict[str, str]) -> None:
    """mcp.md §5.4: lying headers without a modern version RAN by the body everywhere."""
    mismatch(post(call(), {"mcp-protocol-version": version, **lie}))
    mismatch(modern(call(), lie))


def test_headers_that_agree_are_fine_in_the_legacy_era_too() -> None:
    allowed(post(call(), {"mcp-method": "tools/call", "mcp-name": "get_forecast"}))
    allowed(post(request("resources/subscribe", {"uri": "a://b"}), {"mcp-name": "a://b"}))


@pytest.mark.parametrize("message", [request("tools/list"), request("ping"), notification("notifications/initialized")])
def test_a_name_without_anything_to_name_is_refused(message: dict[str, Any]) -> None:
    mismatch(post(message, {"mcp-name": "get_forecast"}))


def test_a_name_for_several_things_is_refused() -> None:
    message = request("subscriptions/listen", {"notifications": {"taskIds": ["a", "b"]}})
    mismatch(post(message, {"mcp-name": "a"}))


def test_a_name_on_an_unknown_method_must_be_one_of_what_methods_mirror() -> None:
    message = request("skills/get", {"name": "n", "uri": "a://b", "taskId": "t", "other": "o"})
    for name in ("n", "a://b", "t", sentinel("n")):
        allowed(post(message, {"mcp-name": name}))
    for name in ("o", "", "x", sentinel("o"), "=?base64?!?="):
        mismatch(post(message, {"mcp-name": name}))


def test_headers_on_a_response_have_nothing_to_agree_with() -> None:
    answer = {"jsonrpc": "2.0", "id": 1, "result": {}}
    allowed(post(answer))
    mismatch(post(answer, {"mcp-method": "tools/call"}))
    mismatch(post(answer, {"mcp-method": "response"}))
    mismatch(post(answer, {"mcp-name": "x"}))


def test_the_headers_of_a_modern_notification_are_optional_but_true() -> None:
    """MCP 2026-07-28: header requirements for notification POSTs are not defined."""
    message = notification("notifications/cancelled", {"requestId": 1})
    assert allowed(post(message, {"mcp-protocol-version": MODERN})).kind is MessageKind.NOTIFICATION
    allowed(post(message, {"mcp-protocol-version": MODERN, "mcp-method": "notifications/cancelled"}))
    mismatch(post(message, {"mcp-protocol-version": MODERN, "mcp-method": "tools/call"}))
    mismatch(post(with_meta(MODERN, message)))


# Value encoding


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("us-west1", "us-west1"),
        ("=?base64?SGVsbG8sIOS4lueVjA==?=", "Hello, 世界"),
        ("=?base64?IHBhZGRlZCA=?=", " padded "),
        ("=?base64?bGluZTEKbGluZTI=?=", "line1\nline2"),
        ("=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=", "=?base64?literal?="),
        ("=?base64??=", ""),
        ("", ""),
        ("SGVsbG8=", "SGVsbG8="),
        ("=?base64?SGVsbG8=", "=?base64?SGVsbG8="),
        ("SGVsbG8=?=", "SGVsbG8=?="),
        ("=?BASE64?SGVsbG8=?=", "=?BASE64?SGVsbG8=?="),
        ("=?Base64?SGVsbG8=?=", "=?Base64?SGVsbG8=?="),
        ("a\tb", "a\tb"),
        (" \ta ", "a"),
    ],
)
def test_values_are_plain_or_base64_in_its_markers(header: str, value: str) -> None:
    """MCP 2026-07-28, Value Encoding; conformance, http-custom-header-server-validation."""
    assert decode_value(header) == value


@pytest.mark.parametrize(
    "header",
    [
        "=?base64?SGVsbG8?=",
        "=?base64?SGVs!!!bG8=?=",
        "=?base64?SGVsbG8==?=",
        "=?base64?SGVsbG9=?=",
        "=?base64?SGVs bG8=?=",
        "=?base64?SGVsbG8=SGVsbG8=?=",
        "=?base64?_-8=?=",
        "=?base64?/w==?=",
        "=?base64?=",
        "=?base64?7aCA?=",
        "caf\u00e9",
        "a\x00b",
        "a\nb",
        "a\x7f",
        "x" * (MAX_ENCODED_LENGTH + 1),
    ],
)
def test_malformed_values_are_none(header: str) -> None:
    """Padding, characters, trailing bits, UTF-8 and markers must all be right."""
    assert decode_value(header) is None


def test_a_name_outside_ascii_is_compared_after_decoding() -> None:
    name = "Wetter für Köln"
    assert allowed(modern(call(name), {"mcp-name": sentinel(name)})).targets[0].name == name
    mismatch(modern(call(name), {"mcp-name": sentinel("Wetter fur Koln")}))
    mismatch(modern(call(name), {"mcp-name": name}))


def test_an_encoded_name_that_need_not_be_encoded_is_read_too() -> None:
    allowed(modern(call(), {"mcp-name": sentinel("get_forecast")}))
    mismatch(modern(call("get"), {"mcp-name": sentinel("get_forecast")}))


def test_a_name_that_looks_encoded_must_be_encoded() -> None:
    name = "=?base64?eA==?="
    mismatch(modern(call(name), {"mcp-name": name}))
    allowed(modern(call(name), {"mcp-name": sentinel(name)}))
    mismatch(modern(call("x"), {"mcp-name": sentinel(name)}))


# Mcp-Param-*


ARGUMENTS = {
    "region": "us-west1",
    "limit": 42,
    "deep": {"flag": True, "text": "Hello, 世界", "ratio": 0.5},
    "list": ["hidden"],
    "nothing": None,
    "big": 2**53 - 1,
}


@pytest.mark.parametrize(
    "value",
    [
        "us-west1",
        "42",
        "42.0",
        "true",
        sentinel("Hello, 世界"),
        sentinel("us-west1"),
        " 42 ",
        "0.5",
        "5e-1",
        str(2**53 - 1),
    ],
)
def test_a_parameter_header_mirrors_an_argument(value: str) -> None:
    allowed(modern(call(arguments=ARGUMENTS), {"mcp-param-x": value}))


@pytest.mark.parametrize(
    "value",
    [
        "eu-west1",
        "US-WEST1",
        "43",
        "0x2a",
        "false",
        "True",
        "hidden",
        "null",
        "None",
        "",
        "us-west1,us-west1",
        "nan",
        "inf",
        "us-west1,eu-west1",
        sentinel("eu-west1"),
        "=?base64?!!?=",
        "café",
        "9" * 400,
        "1" + "0" * 16,
    ],
)
def test_a_parameter_header_that_mirrors_no_argument_is_refused(value: str) -> None:
    """MCP 2026-07-28, Server Behavior for Custom Headers; repeated copies arrive joined."""
    mismatch(modern(call(arguments=ARGUMENTS), {"mcp-param-x": value}))
    mismatch(post(call(arguments=ARGUMENTS), {"mcp-param-x": value}))


def test_a_parameter_header_without_arguments_is_refused() -> None:
    mismatch(modern(request("tools/call", {"name": "x"}), {"mcp-param-x": "1"}))


def test_parameter_headers_are_bounded() -> None:
    headers: dict[str, str | None] = {f"mcp-param-{number}": "42" for number in range(MAX_PARAM_HEADERS)}
    allowed(modern(call(arguments=ARGUMENTS), headers))
    mismatch(modern(call(arguments=ARGUMENTS), {**headers, "mcp-param-more": "42"}))


def test_parameter_headers_of_other_methods_are_nobodys() -> None:
    allowed(post(request("tools/list"), {"mcp-param-x": "1"}))


# Names of headers


@pytest.mark.parametrize(
    "name",
    [
        "mcp_method",
        "mcp_name",
        "mcp_protocol_version",
        "mcp-protocol_version",
        "mcp_session_id",
        "content_type",
        "content_encoding",
        "content_length",
        "transfer_encoding",
    ],
)
def test_a_header_spelt_with_underscores_is_refused(name: str) -> None:
    """CVE-2025-64484: what stands behind a CGI-like gateway takes `_` for `-`."""
    mismatch(post(call(), {name: "x"}))
    outcome = read_operation(bodyless("DELETE", {name: "x"}))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.HEADER_MISMATCH


def test_other_headers_may_have_underscores() -> None:
    allowed(post(call(), {"x_request_id": "1", "mcp_param_x": "1"}))


# Mcp-Session-Id


@pytest.mark.parametrize("session_id", ["1868a90c", "a" * 1024, "!~", "eyJhbGciOi.J9.x_-=+/"])
def test_the_session_id_is_kept_in_every_era(session_id: str) -> None:
    assert allowed(post(call(), {"mcp-session-id": session_id})).session_id == session_id
    assert allowed(modern(call(), {"mcp-session-id": session_id})).session_id == session_id
    assert allowed(bodyless("GET", {"mcp-session-id": session_id})).session_id == session_id
    assert allowed(bodyless("DELETE", {"mcp-session-id": session_id})).session_id == session_id


@pytest.mark.parametrize("session_id", ["", "a b", " a", "a,b", "a,a", "a\x00", "a\x7f", "\u00e9", "a" * 1025, "a\t"])
def test_what_is_not_one_session_id_is_refused(session_id: str) -> None:
    """MCP 2025-11-25: visible ASCII; envoy.md §3.2: repeats arrive joined by a comma."""
    for message in (post(call(), {"mcp-session-id": session_id}), bodyless("GET", {"mcp-session-id": session_id})):
        outcome = read_operation(message)
        assert isinstance(outcome, Unreadable)
        assert outcome.reason is Reason.MESSAGE_INVALID


def test_the_session_id_is_in_no_repr() -> None:
    operation = allowed(post(call(), {"mcp-session-id": "s3cret"}))
    assert "s3cret" not in repr(operation)


# GET and DELETE


@pytest.mark.parametrize(("method", "kind"), [("GET", MessageKind.STREAM), ("DELETE", MessageKind.END)])
@pytest.mark.parametrize("version", [None, "2025-11-25", MODERN])
def test_streams_and_ends_need_the_baseline(method: str, kind: MessageKind, version: str | None) -> None:
    headers = {} if version is None else {"mcp-protocol-version": version}
    operation = allowed(bodyless(method, headers))
    assert (operation.kind, operation.method, operation.baseline, operation.targets) == (kind, method, True, ())
    assert operation.era is (Era.MODERN if version == MODERN else Era.LEGACY)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("name", ["mcp-method", "mcp-name"])
def test_streams_and_ends_have_nothing_to_mirror(method: str, name: str) -> None:
    outcome = read_operation(bodyless(method, {name: "tools/list"}))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.HEADER_MISMATCH


def test_a_mismatch_echoes_the_id() -> None:
    """MCP 2026-07-28: the error response carries the request's id."""
    outcome = mismatch(post(call(), {"mcp-method": "ping"}))
    assert (outcome.request_id, outcome.method) == (1, "tools/call")
