"""What a message names."""

from typing import Any

import pytest

from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.mcp.targets import MAX_NAME_LENGTH, MAX_TARGETS, MAX_TARGETS_LENGTH, MAX_URI_LENGTH
from extauthz.pdp.operation import Operation, Target, TargetKind, Unreadable
from extauthz.pdp.reason import Reason
from tests.support.mcp_requests import modern, notification, post, request

TOOL, PROMPT, RESOURCE, TASK = TargetKind.TOOL, TargetKind.PROMPT, TargetKind.RESOURCE, TargetKind.TASK


def targets(message: Any) -> tuple[Target, ...]:
    outcome = read_operation(post(message))
    assert isinstance(outcome, Operation), outcome
    return outcome.targets


def refused(message: Any) -> str:
    outcome = read_operation(post(message))
    assert isinstance(outcome, Unreadable), outcome
    assert outcome.reason is Reason.MESSAGE_INVALID
    assert outcome.request_id == 1
    return outcome.detail


@pytest.mark.parametrize(
    ("method", "params", "target"),
    [
        ("tools/call", {"name": "get_forecast"}, Target(TOOL, "get_forecast")),
        ("tools/call", {"name": "Wetter für Köln, heute!"}, Target(TOOL, "Wetter für Köln, heute!")),
        ("tools/call", {"name": "x", "uri": "file:///y", "taskId": "z"}, Target(TOOL, "x")),
        ("prompts/get", {"name": "code_review"}, Target(PROMPT, "code_review")),
        ("resources/read", {"uri": "weather://berlin"}, Target(RESOURCE, "weather://berlin")),
        ("resources/read", {"uri": "weather://berlin", "name": "other"}, Target(RESOURCE, "weather://berlin")),
        ("resources/subscribe", {"uri": "weather://berlin"}, Target(RESOURCE, "weather://berlin")),
        ("resources/unsubscribe", {"uri": "weather://berlin"}, Target(RESOURCE, "weather://berlin")),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p", "title": "P"}}, Target(PROMPT, "p")),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "a://{x}"}}, Target(RESOURCE, "a://{x}")),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "a://b"}}, Target(RESOURCE, "a://b")),
        ("tasks/get", {"taskId": "786512e2"}, Target(TASK, "786512e2")),
        ("tasks/result", {"taskId": "t"}, Target(TASK, "t")),
        ("tasks/cancel", {"taskId": "t"}, Target(TASK, "t")),
        ("tasks/update", {"taskId": "t", "inputResponses": {}}, Target(TASK, "t")),
    ],
)
def test_a_message_names_its_target(method: str, params: dict[str, Any], target: Target) -> None:
    assert targets(request(method, params)) == (target,)


def test_a_task_is_the_one_in_params_whatever_meta_says() -> None:
    """MCP 2025-11-25, tasks: `related-task` in _meta MUST be ignored there."""
    meta = {"io.modelcontextprotocol/related-task": {"taskId": "other"}}
    assert targets(request("tasks/get", {"taskId": "t", "_meta": meta})) == (Target(TASK, "t"),)


def test_a_retry_with_answers_is_the_same_operation() -> None:
    """MCP 2026-07-28, Multi Round-Trip Requests."""
    retry = request("tools/call", {"name": "x", "inputResponses": {"a": {"name": "y"}}, "requestState": "s"})
    outcome = read_operation(modern(retry))
    assert isinstance(outcome, Operation)
    assert outcome.targets == (Target(TOOL, "x"),)


def test_a_tasks_status_notification_names_its_task_and_needs_the_baseline() -> None:
    outcome = read_operation(post(notification("notifications/tasks/status", {"taskId": "t", "status": "working"})))
    assert isinstance(outcome, Operation)
    assert (outcome.targets, outcome.baseline) == ((Target(TASK, "t"),), True)


def test_listening_names_each_resource_and_task() -> None:
    listen = {"resourceSubscriptions": ["a://1", "a://2"], "taskIds": ["t"], "toolsListChanged": True}
    message = request("subscriptions/listen", {"notifications": listen})
    assert targets(message) == (Target(RESOURCE, "a://1"), Target(RESOURCE, "a://2"), Target(TASK, "t"))
    outcome = read_operation(modern(message))
    assert isinstance(outcome, Operation)
    assert not outcome.baseline


@pytest.mark.parametrize(
    "listen",
    [{}, {"toolsListChanged": True, "promptsListChanged": False}, {"resourceSubscriptions": [], "taskIds": []}],
)
def test_listening_to_no_name_needs_no_more_than_the_baseline(listen: dict[str, Any]) -> None:
    outcome = read_operation(modern(request("subscriptions/listen", {"notifications": listen})))
    assert isinstance(outcome, Operation)
    assert (outcome.targets, outcome.baseline) == ((), True)


@pytest.mark.parametrize(
    "listen",
    [
        {"resourceSubscriptions": "a://1"},
        {"resourceSubscriptions": None},
        {"resourceSubscriptions": {"0": "a://1"}},
        {"resourceSubscriptions": [1]},
        {"resourceSubscriptions": [["a://1"]]},
        {"resourceSubscriptions": ["a://1", ""]},
        {"resourceSubscriptions": ["a://1/../2"]},
        {"taskIds": "t"},
        {"taskIds": [None]},
        {"taskIds": [f"t{number}" for number in range(MAX_TARGETS + 1)]},
        {"taskIds": ["t"], "resourceSubscriptions": ["a://1"] * MAX_TARGETS},
        {"promptSubscriptions": ["p"]},
        {"toolsListChanged": "yes"},
        {"x": None},
    ],
)
def test_listening_to_what_no_rule_can_see_is_refused(listen: dict[str, Any]) -> None:
    assert refused(request("subscriptions/listen", {"notifications": listen}))


def test_listening_is_bounded_and_not_more() -> None:
    listen = {"resourceSubscriptions": ["a://1"] * MAX_TARGETS}
    assert len(targets(request("subscriptions/listen", {"notifications": listen}))) == MAX_TARGETS


def test_what_is_listened_to_is_bounded_in_characters() -> None:
    """Each URI is compared in several forms with each pattern."""
    uris = ["a://1/".ljust(MAX_TARGETS_LENGTH // 16, "x")] * 16
    assert len(targets(request("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}}))) == 16
    more = {"resourceSubscriptions": [*uris, "a://1"]}
    assert f"more than {MAX_TARGETS_LENGTH} characters" in refused(
        request("subscriptions/listen", {"notifications": more})
    )


def test_an_unknown_switch_of_listening_is_let_through() -> None:
    assert targets(request("subscriptions/listen", {"notifications": {"skillsListChanged": True}})) == ()


@pytest.mark.parametrize(
    ("method", "field", "kind"),
    [
        ("tools/call", "name", TOOL),
        ("prompts/get", "name", PROMPT),
        ("resources/read", "uri", RESOURCE),
        ("resources/subscribe", "uri", RESOURCE),
        ("tasks/result", "taskId", TASK),
    ],
)
@pytest.mark.parametrize(
    "value",
    [None, "", 1, True, [], ["x"], {}, {"name": "x"}, "a\x00", "a\nb", "\x7f", "a\x85", "a\u2028", "\x1b[31mx"],
)
def test_a_name_that_cannot_be_judged_is_refused(method: str, field: str, kind: TargetKind, value: Any) -> None:
    assert refused(request(method, {field: value}))
    assert refused(request(method, {}))
    assert refused(request(method))


@pytest.mark.parametrize(
    ("method", "field", "limit"),
    [
        ("tools/call", "name", MAX_NAME_LENGTH),
        ("prompts/get", "name", MAX_NAME_LENGTH),
        ("tasks/result", "taskId", MAX_NAME_LENGTH),
        ("resources/read", "uri", MAX_URI_LENGTH),
    ],
)
def test_names_are_bounded(method: str, field: str, limit: int) -> None:
    assert targets(request(method, {field: "x" * limit}))
    assert refused(request(method, {field: "x" * (limit + 1)}))


@pytest.mark.parametrize(
    "ref",
    [
        None,
        "ref/prompt",
        [],
        {},
        {"name": "p"},
        {"type": "ref/tool", "name": "x"},
        {"type": "REF/PROMPT", "name": "x"},
        {"type": ["ref/prompt"], "name": "x"},
        {"type": "ref/prompt"},
        {"type": "ref/prompt", "uri": "a://b"},
        {"type": "ref/prompt", "name": 1},
        {"type": "ref/prompt", "name": "p", "uri": "secret://x"},
        {"type": "ref/resource", "name": "p"},
        {"type": "ref/resource", "uri": "secret://x", "name": "p"},
        {"type": "ref/resource", "uri": "a://../x"},
    ],
)
def test_a_reference_that_is_not_one_thing_is_refused(ref: Any) -> None:
    assert refused(request("completion/complete", {"ref": ref}))


def test_a_method_that_the_era_lacks_need_not_name_anything() -> None:
    """The server answers -32601, which the conformance suite looks for (server-stateless)."""
    outcome = read_operation(modern(request("resources/subscribe", {})))
    assert isinstance(outcome, Operation)
    assert (outcome.known, outcome.targets) == (True, ())


def test_a_method_that_the_era_lacks_is_judged_by_what_it_names() -> None:
    """A server that carries it out all the same carries out what was judged."""
    outcome = read_operation(modern(request("resources/subscribe", {"uri": "secret://x"})))
    assert isinstance(outcome, Operation)
    assert outcome.targets == (Target(RESOURCE, "secret://x"),)
    assert targets(request("subscriptions/listen", {"notifications": {"taskIds": ["t"]}})) == (Target(TASK, "t"),)
    assert isinstance(read_operation(modern(request("resources/subscribe", {"uri": None}))), Unreadable)
