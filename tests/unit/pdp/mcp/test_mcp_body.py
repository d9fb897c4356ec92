"""Whole bodies in the one form that servers read alike."""

import pytest

from extauthz.pdp.mcp.body import MAX_BODY_BYTES
from extauthz.pdp.mcp.read import read_operation
from extauthz.pdp.operation import Operation, Unreadable
from extauthz.pdp.reason import Reason
from tests.support.mcp_requests import bodyless, call, post


def reason_of(*args: object, **changes: object) -> Reason:
    outcome = read_operation(post(*args, **changes))  # type: ignore[arg-type]  # the tests pass what post takes
    return outcome.reason if isinstance(outcome, Unreadable) else Reason.ALLOWED


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'application/json ; charset="utf-8"',
        "Application/JSON; Charset=Utf-8",
    ],
)
def test_json_in_utf_8_is_read(content_type: str) -> None:
    assert reason_of(call(), {"content-type": content_type}) is Reason.ALLOWED


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/json-rpc",
        "application/jsonx",
        "application/problem+json",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/json; charset=latin1",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json; charset=utf-8; x=y",
        "application/json; charset='utf-8'",
        'application/json; charset="utf-8',
        "application/json; version=1",
        "application/json;",
        "application/json; ;charset=utf-8",
        "application/json,application/json",
        "application/json,text/plain",
        "text/plain,application/json",
        "application/json; charset=utf-8,text/plain",
        "application/json\u00a0",
        "*/*",
    ],
)
def test_any_other_content_type_is_refused(content_type: str | None) -> None:
    """mcp.md §5.4: servers ignore the parameters and read UTF-8; another reader might not."""
    assert reason_of(call(), {"content-type": content_type}) is Reason.BODY_ENCODING


@pytest.mark.parametrize(
    "encoding", ["gzip", "br", "deflate", "GZIP", "identity, gzip", "identity,identity", "", "none", "utf-8"]
)
def test_content_encoding_is_refused(encoding: str) -> None:
    """envoy.md §3.3: nothing decodes it; mcp.md §5.4: the SDKs' servers ignore the header."""
    assert reason_of(call(), {"content-encoding": encoding}) is Reason.BODY_ENCODING


@pytest.mark.parametrize("encoding", ["identity", "Identity"])
def test_identity_is_no_encoding(encoding: str) -> None:
    assert reason_of(call(), {"content-encoding": encoding}) is Reason.ALLOWED


def test_chunked_bodies_have_no_content_length() -> None:
    assert reason_of(call(), {"content-length": None, "transfer-encoding": "chunked"}) is Reason.ALLOWED


@pytest.mark.parametrize("encoding", ["gzip", "gzip, chunked", "chunked,chunked", "identity"])
def test_other_transfer_encodings_are_refused(encoding: str) -> None:
    assert reason_of(call(), {"transfer-encoding": encoding}) is Reason.BODY_ENCODING


def test_a_post_without_a_body_is_refused() -> None:
    assert reason_of(b"", {"content-length": None}) is Reason.BODY_MISSING
    assert reason_of(b"", {"content-length": "0"}) is Reason.BODY_MISSING


def test_a_proxy_that_hands_no_bodies_over_is_refused_and_told_so() -> None:
    outcome = read_operation(post(b"", {"content-length": "300"}))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.BODY_MISSING
    assert "with_request_body" in outcome.detail


@pytest.mark.parametrize("marker", ["true", "True", "1", "", "true,false", "false,true"])
def test_a_body_that_the_proxy_cut_is_refused(marker: str) -> None:
    """envoy.md §0.2, §3.3: over HTTP/2 the marker alone tells."""
    assert reason_of(call(), {"x-envoy-auth-partial-body": marker}) is Reason.BODY_TRUNCATED
    assert reason_of(b"", {"x-envoy-auth-partial-body": marker}) is Reason.BODY_TRUNCATED


def test_a_whole_body_may_be_marked_so() -> None:
    assert reason_of(call(), {"x-envoy-auth-partial-body": "false"}) is Reason.ALLOWED


def test_a_body_shorter_than_what_the_proxy_received_is_refused() -> None:
    """kube-agentic-networking#320: a valid message followed by more."""
    request = post(call())
    assert reason_of(call(), body_size=len(request.body) + 1) is Reason.BODY_TRUNCATED
    assert reason_of(call(), body_size=0) is Reason.ALLOWED


@pytest.mark.parametrize("declared", ["1", "0", "99999999", "-1", "", "abc", "+97", "97,97", "0x61", " "])
def test_a_body_that_is_not_as_long_as_declared_is_refused(declared: str) -> None:
    assert reason_of(call(), {"content-length": declared}) is Reason.BODY_TRUNCATED


def test_a_body_beyond_what_servers_read_is_refused() -> None:
    """mcp.md §5.3: 4 MiB."""
    message = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    assert reason_of(message + b" " * (MAX_BODY_BYTES - len(message))) is Reason.ALLOWED
    assert reason_of(message + b" " * (MAX_BODY_BYTES - len(message) + 1)) is Reason.BODY_TRUNCATED


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    ("headers", "changes"),
    [
        ({}, {"body": b"{}"}),
        ({}, {"body_size": 2}),
        ({"content-length": "2"}, {}),
        ({"content-length": "0,2"}, {}),
        ({"content-length": "x"}, {}),
        ({"transfer-encoding": "chunked"}, {}),
        ({"x-envoy-auth-partial-body": "true"}, {}),
    ],
)
def test_a_get_or_delete_with_a_body_is_refused(
    method: str, headers: dict[str, str], changes: dict[str, object]
) -> None:
    outcome = read_operation(bodyless(method, headers, **changes))
    assert isinstance(outcome, Unreadable)
    assert outcome.reason is Reason.MESSAGE_INVALID


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_get_or_delete_may_say_that_it_has_none(method: str) -> None:
    assert isinstance(read_operation(bodyless(method, {"content-length": "0"})), Operation)
