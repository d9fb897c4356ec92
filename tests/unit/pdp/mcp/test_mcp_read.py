"""The attack tables of the sources, row by row, and the body as text.

`mcp.md` §5.4 is a measured matrix: what three official servers did with each input. The other rows are public
advisories; each carries its source in its id.
"""

from typing import Any

import pytest

from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import Era, Operation, Target, TargetKind, Unreadable
from extauthz.pdp.reason import Reason
from extauthz.pdp.request import HttpRequest
from tests.support.mcp_requests import (
    MODERN,
    TEXT,
    VERSION_KEY,
    bodyless,
    call,
    modern,
    notification,
    post,
    request,
)

ADMIN = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"admin"}}'
READ = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}'
CLAIMS = {VERSION_KEY: MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
MODERN_HEADERS = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "read"}
NESTED = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","arguments":{"x":%s}}}'

MATRIX: dict[str, tuple[HttpRequest, Reason]] = {
    "duplicate params.name": (post(READ.replace('"read"', '"read","name":"admin"')), Reason.KEY_AMBIGUOUS),
    "duplicate method": (post(READ.replace('"id":1', '"id":1,"method":"ping"')), Reason.KEY_AMBIGUOUS),
    "duplicate params": (post(READ.replace('"id":1', '"id":1,"params":{"name":"x"}')), Reason.KEY_AMBIGUOUS),
    "duplicate through escape": (post(READ.replace('"read"', '"read","na\\u006de":"x"')), Reason.KEY_AMBIGUOUS),
    "Name beside name": (post(READ.replace('"read"', '"read","Name":"admin"')), Reason.KEY_AMBIGUOUS),
    "name NUL beside name": (post(READ.replace('"read"', '"read","name\\u0000":"x"')), Reason.KEY_AMBIGUOUS),
    "batch, no version header": (post(f"[{READ},{ADMIN}]"), Reason.BATCH_REFUSED),
    "batch, 2025-11-25": (post(f"[{READ},{ADMIN}]", {"mcp-protocol-version": "2025-11-25"}), Reason.BATCH_REFUSED),
    "batch with modern header": (post(f"[{READ},{ADMIN}]", MODERN_HEADERS), Reason.BATCH_REFUSED),
    "UTF-16 body, modern path": (post(READ.encode("utf-16"), MODERN_HEADERS), Reason.BODY_NOT_JSON),
    "UTF-16 body, legacy path": (post(READ.encode("utf-16-le")), Reason.BODY_NOT_JSON),
    "UTF-8 BOM": (post("\ufeff" + READ), Reason.BODY_NOT_JSON),
    "invalid UTF-8 in an unrelated value": (
        post(READ.encode().replace(b'"read"', b'"read","arguments":{"x":"\xff"}')),
        Reason.BODY_NOT_JSON,
    ),
    "lone surrogate escape": (post(NESTED % '"\\ud800"'), Reason.BODY_NOT_JSON),
    "NaN literal": (post(NESTED % "NaN"), Reason.BODY_NOT_JSON),
    "trailing garbage": (post(READ + "x"), Reason.BODY_NOT_JSON),
    "two documents": (post(READ + ADMIN), Reason.BODY_NOT_JSON),
    "comments": (post("/* x */" + READ), Reason.BODY_NOT_JSON),
    "extra top-level member": (post(READ.replace('"id":1', '"id":1,"x":1')), Reason.MESSAGE_INVALID),
    "method and result together": (post(READ.replace('"id":1', '"id":1,"result":{}')), Reason.MESSAGE_INVALID),
    "id null": (post(READ.replace('"id":1', '"id":null')), Reason.MESSAGE_INVALID),
    "id 1.5": (post(READ.replace('"id":1', '"id":1.5')), Reason.MESSAGE_INVALID),
    "id true": (post(READ.replace('"id":1', '"id":true')), Reason.MESSAGE_INVALID),
    "tools/call without id": (post(READ.replace('"id":1,', "")), Reason.MESSAGE_INVALID),
    "Content-Encoding: gzip over plain JSON": (post(READ, {"content-encoding": "gzip"}), Reason.BODY_ENCODING),
    "charset=utf-16 on UTF-8 JSON": (
        post(READ, {"content-type": "application/json; charset=utf-16"}),
        Reason.BODY_ENCODING,
    ),
    "lying Mcp-Method, version header absent": (post(READ, {"mcp-method": "ping"}), Reason.HEADER_MISMATCH),
    "lying Mcp-Name, version header absent": (post(READ, {"mcp-name": "other"}), Reason.HEADER_MISMATCH),
    "lying Mcp-Name, 2025-11-25": (
        post(READ, {"mcp-name": "other", "mcp-protocol-version": "2025-11-25"}),
        Reason.HEADER_MISMATCH,
    ),
    "modern body, lying Mcp-Method, version header absent": (
        post(call("read", _meta=CLAIMS), {"mcp-method": "ping"}),
        Reason.HEADER_MISMATCH,
    ),
    "modern body, version header absent": (post(call("read", _meta=CLAIMS)), Reason.HEADER_MISMATCH),
    "modern body, version header legacy": (
        post(call("read", _meta=CLAIMS), {"mcp-protocol-version": "2025-11-25"}),
        Reason.HEADER_MISMATCH,
    ),
    "lying headers on a proper modern request": (modern(call("read"), {"mcp-name": "x"}), Reason.HEADER_MISMATCH),
    "duplicated Mcp-Name": (modern(call("read"), {"mcp-name": "read,read"}), Reason.HEADER_MISMATCH),
    "duplicated MCP-Protocol-Version and lie": (
        modern(call("read"), {"mcp-protocol-version": f"2025-11-25,{MODERN}", "mcp-name": "other"}),
        Reason.HEADER_MISMATCH,
    ),
    "100k-deep nesting in arguments": (post(NESTED % ("[" * 99_000 + "]" * 99_000)), Reason.MESSAGE_INVALID),
    "5 MiB body": (post(NESTED % ('"' + "x" * (5 << 20) + '"')), Reason.BODY_TRUNCATED),
}


@pytest.mark.parametrize("row", MATRIX.values(), ids=MATRIX.keys())
def test_a_row_of_the_matrix_where_servers_differ_is_refused(row: tuple[HttpRequest, Reason]) -> None:
    http_request, reason = row
    outcome = read_operation(http_request)
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is reason
    assert ": " in outcome.detail, "what is wrong, and how to mend it"


@pytest.mark.parametrize("method", ["TOOLS/CALL", "tools/call "])
def test_rows_of_the_matrix_where_all_servers_answer_32601_are_unknown_methods(method: str) -> None:
    outcome = read_operation(post(READ.replace("tools/call", method)))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.METHOD_UNKNOWN


def test_delete_without_a_session_is_let_through_to_the_server() -> None:
    """The matrix: 405 or 200, and nothing happens."""
    outcome = read_operation(bodyless("DELETE"))
    assert isinstance(outcome, Operation)
    assert (outcome.method, outcome.baseline, outcome.session_id) == ("DELETE", True, "")


ADVISORIES: dict[str, tuple[HttpRequest, Reason]] = {
    "CVE-2026-27896 Method": (post(READ.replace('"method"', '"Method"')), Reason.KEY_AMBIGUOUS),
    "CVE-2026-27896 NAME": (post(READ.replace('"name"', '"NAME"')), Reason.KEY_AMBIGUOUS),
    "CVE-2026-27896 U+017F": (post(READ.replace('"params"', '"param\u017f"')), Reason.KEY_AMBIGUOUS),
    "CVE-2026-27896 U+212A": (
        post(request("tasks/get", {"tas\u212aId": "t"})),
        Reason.KEY_AMBIGUOUS,
    ),
    "GHSA-q382-vc8q-7jhj method NUL": (post(READ.replace('"method"', '"method\\u0000"')), Reason.KEY_AMBIGUOUS),
    "GHSA-4gph-2hhr-5mwg before": (post(READ.replace('"name"', '"Name":"admin","name"')), Reason.KEY_AMBIGUOUS),
    "GHSA-4gph-2hhr-5mwg after": (post(READ.replace('"read"', '"read","NAME":"admin"')), Reason.KEY_AMBIGUOUS),
    "GHSA-4gph-2hhr-5mwg Params": (
        post(READ.replace('"id":1', '"id":1,"Params":{"name":"admin"}')),
        Reason.KEY_AMBIGUOUS,
    ),
    "GHSA-4gph-2hhr-5mwg METHOD": (post(READ.replace('"id":1', '"id":1,"METHOD":"x"')), Reason.KEY_AMBIGUOUS),
    "Envoy mcp filter duplicate method": (
        post(READ.replace('"id":1', '"m\\u0065thod":"ping","id":1')),
        Reason.KEY_AMBIGUOUS,
    ),
    "toolhive#5745 batch": (post(f"[{ADMIN}]"), Reason.BATCH_REFUSED),
    "deploy-gate#59 empty batch": (post("[ ]"), Reason.BATCH_REFUSED),
    "deploy-gate#59 nested batch": (post(f"[[{ADMIN}]]"), Reason.BATCH_REFUSED),
    "jacobian#1102 Infinity": (post(NESTED % "Infinity"), Reason.BODY_NOT_JSON),
    "jacobian#1102 bad UTF-8": (post(READ.encode().replace(b"read", b"re\xc3d")), Reason.BODY_NOT_JSON),
    "OpenShell#1865 mixed batch": (post('[{"jsonrpc":"2.0","id":1,"result":{}},' + ADMIN + "]"), Reason.BATCH_REFUSED),
    "OpenShell#1865 response with a method": (
        post({"jsonrpc": "2.0", "id": 1, "result": {}, "method": "tools/call", "params": {"name": "admin"}}),
        Reason.MESSAGE_INVALID,
    ),
    "AISVS#182 duplicate in the arguments": (post(NESTED % '{"a":1,"a":2}'), Reason.KEY_AMBIGUOUS),
    "kube-agentic-networking#320 marker": (post(READ, {"x-envoy-auth-partial-body": "true"}), Reason.BODY_TRUNCATED),
    "kube-agentic-networking#320 length": (post(READ, {"content-length": "4096"}), Reason.BODY_TRUNCATED),
    "kube-agentic-networking#320 size": (post(READ, body_size=4096), Reason.BODY_TRUNCATED),
    "CVE-2026-26308 several values in one header": (
        modern(call("read"), {"mcp-method": "tools/list,tools/call"}),
        Reason.HEADER_MISMATCH,
    ),
    "CVE-2021-32777 last of several": (modern(call("admin"), {"mcp-name": "read,admin"}), Reason.HEADER_MISMATCH),
    "CVE-2023-27488 replaced byte in a header": (modern(call("read"), {"mcp-name": "read!"}), Reason.HEADER_MISMATCH),
    "CVE-2023-27488 raw byte in a header": (
        modern(call("re\u00e9d"), {"mcp-name": "re\u00e9d"}),
        Reason.HEADER_MISMATCH,
    ),
    "CVE-2025-64484 underscores": (post(READ, {"mcp_name": "admin"}), Reason.HEADER_MISMATCH),
}


@pytest.mark.parametrize("row", ADVISORIES.values(), ids=ADVISORIES.keys())
def test_what_an_advisory_describes_is_refused(row: tuple[HttpRequest, Reason]) -> None:
    http_request, reason = row
    outcome = read_operation(http_request)
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is reason
    assert ": " in outcome.detail


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "post", "get", "", "POST "])
def test_other_http_methods_are_refused(method: str) -> None:
    outcome = read_operation(post(READ, method=method))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.HTTP_METHOD_REFUSED


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", ""])
def test_any_upgrade_is_refused(upgrade: str) -> None:
    for http_request in (post(READ, {"upgrade": upgrade}), bodyless("GET", {"upgrade": upgrade})):
        outcome = read_operation(http_request)
        assert isinstance(outcome, Unreadable)
        assert outcome.reason is Reason.HTTP_METHOD_REFUSED


# Bodies as text: each byte that is not UTF-8 arrives as `!` (envoy.md §3.3)


def test_a_body_as_text_is_read_like_one_in_bytes() -> None:
    assert read_operation(post(call(), body_form=TEXT)) == read_operation(post(call()))


@pytest.mark.parametrize(
    "message",
    [
        call("get_!"),
        call("!"),
        request("acme/call!", {}),
        request("resources/read", {"uri": "weather://h/!"}),
        request("subscriptions/listen", {"notifications": {"taskIds": ["a", "b!"]}}),
        request("completion/complete", {"ref": {"type": "ref/prompt", "name": "p!"}}),
    ],
)
def test_a_name_in_which_a_byte_may_have_been_replaced_is_refused(message: dict[str, Any]) -> None:
    """Judged `get_!`, carried out `get_` and whatever the server makes of the byte."""
    assert isinstance(read_operation(post(message)), Operation)
    outcome = read_operation(post(message, body_form=TEXT))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.BODY_ENCODING
    assert "pack_as_bytes" in outcome.detail


def test_a_member_name_in_which_a_byte_may_have_been_replaced_is_ambiguous() -> None:
    """A server that drops the byte reads `name` twice."""
    for body in (call(**{"name!": "admin"}), {**call(), "method!": "x"}):
        outcome = read_operation(post(body, body_form=TEXT))
        assert isinstance(outcome, Unreadable)
        assert outcome.reason is Reason.KEY_AMBIGUOUS


@pytest.mark.parametrize(
    ("arguments", "exact"),
    [
        ({"text": "Hello"}, True),
        ({"text": "Hello!"}, False),
        ({"deep": [{"x": ["!"]}]}, False),
        ({"a!": 1}, False),
        ({}, True),
    ],
)
def test_arguments_in_which_a_byte_may_have_been_replaced_are_not_exact(arguments: dict[str, Any], exact: bool) -> None:
    outcome = read_operation(post(call(arguments=arguments, note="!"), body_form=TEXT))
    assert isinstance(outcome, Operation)
    assert (outcome.arguments, outcome.arguments_exact) == (arguments, exact)
    outcome = read_operation(post(call(arguments=arguments)))
    assert isinstance(outcome, Operation)
    assert outcome.arguments_exact


# Ordinary messages of real clients


@pytest.mark.parametrize(
    ("http_request", "era", "targets"),
    [
        (
            post(
                {"method": "tools/call", "params": {"name": "x", "arguments": {}, "_meta": {"progressToken": 0}}}
                | {"jsonrpc": "2.0", "id": 0},
                {"mcp-protocol-version": "2025-06-18", "mcp-session-id": "1f", "content-type": "application/json"},
            ),
            Era.LEGACY,
            (Target(TargetKind.TOOL, "x"),),
        ),
        (
            modern(
                call(
                    "x",
                    _meta={
                        "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
                        "io.modelcontextprotocol/logLevel": "info",
                        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                        "com.example/tenant": "a",
                    },
                )
            ),
            Era.MODERN,
            (Target(TargetKind.TOOL, "x"),),
        ),
        (post(notification("notifications/cancelled", {"requestId": 3, "reason": "x"})), Era.LEGACY, ()),
        (post(notification("notifications/progress", {"progressToken": 1, "progress": 0.5})), Era.LEGACY, ()),
    ],
)
def test_what_real_clients_send_is_read(http_request: HttpRequest, era: Era, targets: tuple[Target, ...]) -> None:
    outcome = read_operation(http_request)
    assert isinstance(outcome, Operation)
    assert (outcome.era, outcome.targets) == (era, targets)
