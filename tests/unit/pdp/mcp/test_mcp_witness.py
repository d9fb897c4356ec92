"""Envoy's own mcp filter as a second witness."""

from typing import Any

import pytest

from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import Operation, Unreadable
from extauthz.pdp.reason import Reason
from tests.support.mcp_requests import bodyless, call, post, request


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"method": "tools/call"},
        {"method": "tools/call", "id": 1.0, "jsonrpc": "2.0", "is_mcp_request": True, "status": "mcp_ok"},
        {"method": "tools/call", "params": {"name": "get_forecast"}},
        {"method": "tools/call", "params": {"name": "get_forecast", "_meta": {"progressToken": 1.0}}},
        {"method": "tools/call", "params": {}},
        {"passthrough_reason": "body too large", "is_exceeding_limit": True},
    ],
)
def test_a_witness_that_agrees_or_says_nothing_changes_nothing(metadata: dict[str, Any]) -> None:
    assert read_operation(post(call(), mcp_metadata=metadata)) == read_operation(post(call()))


@pytest.mark.parametrize(
    "metadata",
    [
        {"method": "tools/list"},
        {"method": "TOOLS/CALL"},
        {"method": ""},
        {"method": None},
        {"method": ["tools/call"]},
        {"method": "__jsonrpc_response"},
        {"method": "tools/call", "params": {"name": "other"}},
        {"method": "tools/call", "params": {"name": None}},
        {"method": "tools/call", "params": {"name": "get_forecast", "uri": "a://b"}},
        {"method": "tools/call", "params": {"taskId": "t"}},
        {"method": "tools/call", "params": "name"},
        {"params": {"name": "other"}},
    ],
)
def test_a_witness_that_read_something_else_is_a_mismatch(metadata: dict[str, Any]) -> None:
    """envoy.md §7: last duplicate wins in 1.39 and 1.40, the first in 1.38; headers may be what it read."""
    outcome = read_operation(post(call(), mcp_metadata=metadata))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.HEADER_MISMATCH


def test_resources_and_responses_are_witnessed_too() -> None:
    read = request("resources/read", {"uri": "a://b"})
    assert isinstance(read_operation(post(read, mcp_metadata={"params": {"uri": "a://b"}})), Operation)
    assert isinstance(read_operation(post(read, mcp_metadata={"params": {"uri": "a://c"}})), Unreadable)
    answer = {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert isinstance(read_operation(post(answer, mcp_metadata={"method": "__jsonrpc_response"})), Operation)
    assert isinstance(read_operation(post(answer, mcp_metadata={"method": "tools/call"})), Unreadable)


def test_a_request_without_a_message_has_no_witness() -> None:
    assert isinstance(read_operation(bodyless("GET", mcp_metadata={})), Operation)
    for metadata in ({"method": "tools/call"}, {"params": {"name": "x"}}):
        outcome = read_operation(bodyless("GET", mcp_metadata=metadata))
        assert isinstance(outcome, Unreadable)
        assert outcome.reason is Reason.HEADER_MISMATCH


def test_the_witness_never_stands_in_for_the_body() -> None:
    metadata = {"method": "tools/call", "params": {"name": "get_forecast"}}
    outcome = read_operation(post(b"", {"content-length": None}, mcp_metadata=metadata))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.BODY_MISSING
