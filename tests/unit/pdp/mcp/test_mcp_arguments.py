"""What conditions read as `args`: the arguments of tools and prompts, and those of completions."""

import json
from typing import Any

import pytest

from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import Operation
from extauthz.pdp.request import HttpRequest


def read(method: str, params: dict[str, Any]) -> Operation:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {"content-type": "application/json", "mcp-protocol-version": "2025-11-25"}
    request = HttpRequest(method="POST", scheme="https", authority="h", path="/mcp", headers=headers, body=body)
    operation = read_operation(request)
    assert isinstance(operation, Operation)
    return operation


@pytest.mark.parametrize("method", ["tools/call", "prompts/get"])
def test_arguments_of_tools_and_prompts_are_args(method: str) -> None:
    assert read(method, {"name": "x", "arguments": {"city": "Rome"}}).arguments == {"city": "Rome"}
    assert read(method, {"name": "x"}).arguments == {}


REF = {"type": "ref/prompt", "name": "x"}
COMPLETIONS = [
    ({"argument": {"name": "city", "value": "Ro"}}, {"city": "Ro"}, True),
    ({"argument": {"name": "city", "value": ""}, "context": {}}, {"city": ""}, True),
    (
        {"argument": {"name": "city", "value": "Ro"}, "context": {"arguments": {"country": "IT"}}},
        {"country": "IT", "city": "Ro"},
        True,
    ),
    ({"argument": {"name": "city", "value": "Ro"}, "context": {"arguments": {"city": "Ro"}}}, {"city": "Ro"}, True),
    # two values for one argument, other types, parts that are missing: what a handler reads is undecided
    ({"argument": {"name": "city", "value": "Ro"}, "context": {"arguments": {"city": "Bonn"}}}, {"city": "Ro"}, False),
    ({"argument": {"name": "city", "value": 1}}, {}, False),
    ({"argument": {"name": 1, "value": "x"}}, {}, False),
    ({"argument": {"name": "city"}}, {}, False),
    ({}, {}, False),
    ({"argument": {"name": "city", "value": "x"}, "context": {"arguments": []}}, {}, False),
    ({"argument": {"name": "a", "value": "x"}, "context": {"arguments": {"b": 1}}}, {"a": "x", "b": 1}, False),
]


@pytest.mark.parametrize(("params", "arguments", "exact"), COMPLETIONS)
def test_arguments_of_completions_are_args(params: dict[str, Any], arguments: dict[str, Any], exact: bool) -> None:
    operation = read("completion/complete", {"ref": REF, **params})
    assert (operation.arguments, operation.arguments_exact) == (arguments, exact)


def test_methods_without_arguments_have_none() -> None:
    assert read("resources/read", {"uri": "x://h", "arguments": {"a": 1}}).arguments == {}
    assert read("x/y", {"arguments": {"a": 1}}).arguments == {}
