"""The shapes of one JSON-RPC message, and nothing between them."""

from typing import Any

import pytest

from extauthz.pdp.mcp.message import MAX_ID_LENGTH, MAX_METHOD_LENGTH
from extauthz.pdp.mcp.methods import METHODS
from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import RESPONSE_METHOD, Era, MessageKind, Operation, Target, TargetKind, Unreadable
from extauthz.pdp.reason import Reason
from tests.support.mcp_requests import VERSION_KEY, call, modern, notification, post, request


def read(body: Any) -> Operation:
    outcome = read_operation(post(body))
    assert isinstance(outcome, Operation), outcome
    return outcome


def refused(body: Any) -> Unreadable:
    outcome = read_operation(post(body))
    assert isinstance(outcome, Unreadable), outcome
    return outcome


# Ordinary


def test_a_tool_call_is_a_request_about_a_tool() -> None:
    assert read(call("get_forecast")) == Operation(
        kind=MessageKind.REQUEST,
        method="tools/call",
        era=Era.LEGACY,
        targets=(Target(TargetKind.TOOL, "get_forecast"),),
        arguments={"city": "Berlin"},
        request_id=1,
    )


def test_a_notification_has_no_id() -> None:
    operation = read(notification("notifications/initialized"))
    assert (operation.kind, operation.request_id, operation.baseline) == (MessageKind.NOTIFICATION, None, True)


@pytest.mark.parametrize(
    "answer",
    [
        {"result": {}},
        {"result": {"action": "accept", "content": {"name": "x", "Name": "y"}}},
        {"error": {"code": -1, "message": "no"}},
        {"error": {"code": -32603, "message": "no", "data": {"x": 1}}},
    ],
)
def test_an_answer_to_a_server_is_a_response(answer: dict[str, Any]) -> None:
    operation = read({"jsonrpc": "2.0", "id": "s-1", **answer})
    assert operation == Operation(
        kind=MessageKind.RESPONSE, method=RESPONSE_METHOD, era=Era.LEGACY, baseline=True, request_id="s-1"
    )


@pytest.mark.parametrize("request_id", [0, 1, -1, 2**53 - 1, "", "a", "0b3c-x", "\u00e9", "x" * MAX_ID_LENGTH])
def test_ids_are_integers_or_strings(request_id: int | str) -> None:
    assert read(request("ping", id=request_id)).request_id == request_id


def test_params_may_be_absent_or_empty() -> None:
    assert read(request("tools/list")).baseline
    assert read(request("tools/list", {})).baseline


def test_arguments_are_free() -> None:
    """Their names belong to the tool: nothing there looks like anything."""
    arguments = {"Name": 1, "name\x00": 2, "name": 3, "_meta": {"x": 1}, "arguments": {"NAME": [1]}, "na\u017fe": {}}
    assert read(call(arguments=arguments)).arguments == arguments


def test_arguments_of_a_prompt_are_kept_and_those_of_other_methods_are_not() -> None:
    assert read(request("prompts/get", {"name": "p", "arguments": {"a": "b"}})).arguments == {"a": "b"}
    assert read(request("tools/call", {"name": "x"})).arguments == {}
    assert read(request("x/y", {"arguments": {"a": 1}})).arguments == {}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_of_mcp_is_known(name: str) -> None:
    row = METHODS[name]
    examples: dict[str, dict[str, Any]] = {
        "": {},
        "name": {"name": "n"},
        "uri": {"uri": "test://x"},
        "taskId": {"taskId": "t"},
        "ref": {"ref": {"type": "ref/prompt", "name": "n"}},
        "notifications": {"notifications": {}},
    }
    params = examples[row.target_field]
    message = request(name, params) if row.kind is MessageKind.REQUEST else notification(name, params)
    operation = read(message)
    assert (operation.known, operation.kind, operation.baseline) == (True, row.kind, row.baseline)


# From the specification


@pytest.mark.parametrize(
    "method",
    [
        *("TOOLS/CALL", "Tools/call", "tools/call ", " tools/call", "tools/call\x00", "tools//call", "tools\uff0fcall"),
        *("tool\u017f/call", "toolscall", "resources_read", "tools/ca\u200bll", "logging/setlevel"),
    ],
)
def test_a_method_that_looks_like_another_is_no_method_whatever_the_policy_says(method: str) -> None:
    """MCP 2026-07-28, Case Sensitivity; mcp.md §5.4: -32601 everywhere. No deny rule of the other would see it."""
    outcome = read_operation(post(request(method, {"name": "admin"})))
    assert isinstance(outcome, Unreadable)
    assert (outcome.reason, outcome.request_id) == (Reason.METHOD_UNKNOWN, 1)


@pytest.mark.parametrize("method", ["x", "skills/get", "notifications/unknown", "resources/directory/read"])
def test_a_method_of_no_revision_is_unknown_and_names_nothing(method: str) -> None:
    for message in (request(method, {"name": "n", "uri": "u"}), notification(method)):
        operation = read(message)
        assert (operation.method, operation.known, operation.baseline, operation.targets) == (method, False, False, ())


@pytest.mark.parametrize("method", ["tools/call", "tools/list", "initialize", "resources/read"])
def test_a_request_without_an_id_is_refused(method: str) -> None:
    """mcp.md §5.4: 202 and not carried out, as far as is known."""
    assert refused(notification(method, {"name": "n", "uri": "test://x"})).reason is Reason.MESSAGE_INVALID


def test_a_notification_with_an_id_is_refused() -> None:
    """JSON-RPC 2.0 §4.1; MCP: notifications MUST NOT include an id."""
    assert refused(request("notifications/initialized")).reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("body", ["[]", "[[]]", '[{"jsonrpc":"2.0","id":1,"method":"ping"}]', " [ ] ", "[1]"])
def test_batches_are_refused(body: str) -> None:
    """MCP 2025-06-18: removed; mcp.md §5.4: two servers run them; toolhive#5745, deploy-gate#59."""
    assert refused(body).reason is Reason.BATCH_REFUSED


@pytest.mark.parametrize("body", ["1", '"x"', "null", "true", "1.5"])
def test_other_values_are_no_message(body: str) -> None:
    assert refused(body).reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("version", [None, "", "1.0", "2.0 ", 2.0, 2, ["2.0"], True])
def test_the_json_rpc_version_is_the_string_2_0(version: Any) -> None:
    assert refused({**call(), "jsonrpc": version}).reason is Reason.MESSAGE_INVALID


def test_the_json_rpc_version_is_required() -> None:
    assert refused({"id": 1, "method": "ping"}).reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("request_id", [None, True, False, 1.5, 1.0, [], {}, [1], "x" * (MAX_ID_LENGTH + 1)])
def test_an_id_of_another_type_is_refused(request_id: Any) -> None:
    """mcp.md §5.4: 202 in one server, 400 in others."""
    assert refused(request("tools/call", {"name": "x"}, id=request_id)).reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("method", [None, 1, True, [], {}, "", ["tools/call"], "x" * (MAX_METHOD_LENGTH + 1)])
def test_a_method_of_another_type_is_refused(method: Any) -> None:
    assert refused(request(method)).reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("params", ["null", "[]", '["get_forecast"]', '"x"', "1", "true"])
def test_params_are_an_object(params: str) -> None:
    body = f'{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{params}}}'
    assert refused(body).reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("arguments", [None, [], [1], "x", 1, True])
@pytest.mark.parametrize("method", ["tools/call", "prompts/get"])
def test_arguments_are_an_object(method: str, arguments: Any) -> None:
    assert refused(request(method, {"name": "n", "arguments": arguments})).reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("value", [None, True, 1, 1.5, [], {}, ["x"]])
def test_arguments_of_a_prompt_are_strings(value: Any) -> None:
    """The Go SDK takes null for the empty string, the other SDKs refuse it."""
    outcome = refused(request("prompts/get", {"name": "p", "arguments": {"city": "Berlin", "other": value}}))
    assert outcome.reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("place", ["message", "params", "_meta", "arguments", "deep"])
def test_a_member_that_javascript_drops_is_ambiguous_everywhere(place: str) -> None:
    message = call(_meta={}, arguments={"deep": [{}]})
    places = {
        "message": message,
        "params": message["params"],
        "_meta": message["params"]["_meta"],
        "arguments": message["params"]["arguments"],
        "deep": message["params"]["arguments"]["deep"][0],
    }
    places[place]["__proto__"] = {"name": "admin"}
    assert refused(message).reason is Reason.KEY_AMBIGUOUS


@pytest.mark.parametrize("meta", [None, [], "x", 1])
def test_meta_is_an_object(meta: Any) -> None:
    assert refused(request("tools/list", {"_meta": meta})).reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "2.0"},
        {},
        {"jsonrpc": "2.0", "result": {}},
        {"jsonrpc": "2.0", "id": 1, "result": None},
        {"jsonrpc": "2.0", "id": 1, "result": []},
        {"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "id": 1, "error": {}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": "1", "message": "x"}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": True, "message": "x"}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": 1}},
        {"jsonrpc": "2.0", "id": None, "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "error": {"code": 1, "message": "x"}},
        {"jsonrpc": "2.0", "id": 1, "result": {}, "params": {"name": "x"}},
        {"jsonrpc": "2.0", "id": 1, "params": {"name": "x"}},
    ],
)
def test_a_message_of_no_shape_is_refused(message: dict[str, Any]) -> None:
    assert refused(message).reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("member", ["result", "error"])
@pytest.mark.parametrize("value", [{}, None, {"code": 1, "message": "x"}])
def test_a_request_that_is_a_response_too_is_refused(member: str, value: Any) -> None:
    """mcp.md §5.4: one server RAN it, others answer 400."""
    assert refused({**call(), member: value}).reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("member", ["extra", "auth", "trace", "x-y", "\u540d"])
def test_members_that_json_rpc_does_not_define_are_refused(member: str) -> None:
    """mcp.md §5.4: one server RAN it, others answer 400."""
    assert refused({**call(), member: 1}).reason is Reason.MESSAGE_INVALID


def test_other_members_of_params_are_let_through() -> None:
    """Extensions define them, and servers ignore those that they do not know."""
    assert read(call(extension={"x": 1}, title="y")).targets == (Target(TargetKind.TOOL, "get_forecast"),)


def test_responses_are_refused_in_the_modern_era() -> None:
    """MCP 2026-07-28, Sending Messages 4: the client MUST NOT send JSON-RPC responses."""
    body = {"jsonrpc": "2.0", "id": 1, "result": {}}
    outcome = read_operation(post(body, {"mcp-protocol-version": "2026-07-28"}))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.MESSAGE_INVALID


# Hostile: look-alikes of published advisories


PLACES: dict[str, tuple[str, dict[str, Any]]] = {
    "params": ("tools/call", {"name": "get_forecast", "arguments": {}}),
    "params._meta": ("tools/call", {"name": "get_forecast", "_meta": {"progressToken": 1}}),
    "params.task": ("tools/call", {"name": "get_forecast", "task": {"ttl": 1}}),
    "params.ref": ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}}),
    "params.argument": ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a"}}),
    "params.context": (
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "p"}, "context": {"arguments": {}}},
    ),
    "params.notifications": ("subscriptions/listen", {"notifications": {"resourceSubscriptions": []}}),
}
LOOK_ALIKES = {
    "params": ["Name", "NAME", "ARGUMENTS", "argument\u017f", "name\x00", "_Meta", "meta", "input_responses", " name"],
    "params._meta": [
        "progresstoken",
        "progress_token",
        "IO.modelcontextprotocol/protocolVersion",
        VERSION_KEY + "\x00",
    ],
    "params.task": ["TTL", "ttl "],
    "params.ref": ["Name", "URI", "Type", "type\u200b"],
    "params.argument": ["VALUE", "Name"],
    "params.context": ["Arguments"],
    "params.notifications": [
        "resource_subscriptions",
        "ResourceSubscriptions",
        "taskids",
        "resource\u017fubscriptions",
    ],
}


@pytest.mark.parametrize(("place", "name"), [(place, name) for place, names in LOOK_ALIKES.items() for name in names])
@pytest.mark.parametrize("first", [True, False])
def test_a_look_alike_is_ambiguous_wherever_servers_read_names(place: str, name: str, first: bool) -> None:
    """CVE-2026-27896, GHSA-q382-vc8q-7jhj, GHSA-4gph-2hhr-5mwg."""
    method, params = PLACES[place]
    message = request(method, {**params})
    read(message)
    inner: dict[str, Any] = message["params"]
    for part in place.split(".")[1:]:
        inner[part] = dict(inner[part])
        inner = inner[part]
    old = dict(inner)
    inner.clear()
    inner.update({name: "evil", **old} if first else {**old, name: "evil"})
    outcome = refused(message)
    assert (outcome.reason, outcome.request_id, outcome.method) == (Reason.KEY_AMBIGUOUS, 1, method)


@pytest.mark.parametrize(
    "name",
    ["Method", "METHOD", "method\x00", "\u200bmethod", "Params", "ID", "\u0131d", "JSONRPC", "Result", "params "],
)
def test_a_look_alike_at_the_top_is_ambiguous(name: str) -> None:
    outcome = refused({**call(), name: "x"})
    assert (outcome.reason, outcome.request_id, outcome.method) == (Reason.KEY_AMBIGUOUS, 1, "tools/call")


def test_a_look_alike_instead_of_the_name_is_ambiguous() -> None:
    assert refused(request("tools/call", {"Name": "admin"})).reason is Reason.KEY_AMBIGUOUS
    assert refused({"jsonrpc": "2.0", "id": 1, "Method": "ping"}).reason is Reason.KEY_AMBIGUOUS


def test_a_method_hidden_in_a_response_is_ambiguous() -> None:
    """NVIDIA/OpenShell#1865: what has no method passes as a response."""
    body = {"jsonrpc": "2.0", "id": 1, "result": {}, "Method": "tools/call", "Params": {"name": "admin"}}
    assert refused(body).reason is Reason.KEY_AMBIGUOUS


@pytest.mark.parametrize(
    "body",
    [
        '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"admin"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok"},"params":{"name":"admin"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok","name":"admin"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok","na\\u006de":"admin"}}',
        '{"jsonrpc":"2.0","id":1,"m\\u0065thod":"tools/call","method":"ping"}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok","arguments":{"a":{"b":1,"b":2}}}}',
    ],
)
def test_duplicate_members_are_ambiguous(body: str) -> None:
    """mcp.md §5.4: last wins in the SDKs, first wins in Envoy 1.38's filter."""
    assert refused(body).reason is Reason.KEY_AMBIGUOUS


def test_what_was_understood_of_a_refused_message_is_told() -> None:
    outcome = refused(request("tools/call", {"name": ""}, id="r-7"))
    assert (outcome.request_id, outcome.method) == ("r-7", "tools/call")
    outcome = refused({**call(), "id": None})
    assert outcome.request_id is None


def test_a_modern_message_is_held_to_the_same_shapes() -> None:
    for body in ({**call(), "extra": 1}, {**call(), "Method": "x"}):
        outcome = read_operation(modern(body))
        assert isinstance(outcome, Unreadable)
