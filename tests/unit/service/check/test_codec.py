import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.answer.verdict import Forward, Reply
from extauthz.pdp.request import BodyForm
from extauthz.service.check.codec import NotACheckRequest, decode, encode, encode_undecided
from extauthz.wire import check_pb2 as wire
from tests.support.checks import check_request, seen

FORWARD = Forward(
    identity=(("x-auth-subject", "u1"),), decision=("x-auth-decision", "id1"), remove_headers=("authorization",)
)


def test_both_header_forms_read_alike() -> None:
    one = decode(check_request(token="t"))
    other = decode(check_request(token="t", raw_headers=True))
    assert one.headers == other.headers
    assert one.headers["authorization"] == "Bearer t"


def test_repeated_raw_header_lines_are_joined_as_envoy_joins_them() -> None:
    request = wire.CheckRequest()
    lines = request.attributes.request.http.header_map.headers
    lines.add(key="Mcp-Name", raw_value=b"a")
    lines.add(key="mcp-name", raw_value=b"b")
    assert decode(request.SerializeToString()).headers == {"mcp-name": "a,b"}


def test_a_raw_value_that_is_not_utf8_becomes_the_replacement_character() -> None:
    request = wire.CheckRequest()
    request.attributes.request.http.header_map.headers.add(key="origin", raw_value=b"https://\xff")
    assert decode(request.SerializeToString()).headers == {"origin": "\ufffd"}


def test_both_body_forms_are_read_and_told_apart() -> None:
    raw, text = decode(check_request(b"{}")), decode(check_request(b"{}", text_body=True))
    assert (raw.body, raw.body_form) == (b"{}", BodyForm.RAW)
    assert (text.body, text.body_form) == (b"{}", BodyForm.TEXT)


def test_the_count_of_received_bytes_comes_along() -> None:
    assert decode(check_request(b"{}", size=99)).body_size == 99


def test_the_word_of_the_route_comes_along() -> None:
    assert decode(check_request(route="weather")).route_resource == "weather"


def test_metadata_of_envoys_mcp_filter_comes_along() -> None:
    request = wire.CheckRequest()
    request.attributes.metadata_context.filter_metadata["envoy.filters.http.mcp"].update({"method": "tools/call"})
    assert decode(request.SerializeToString()).mcp_metadata == {"method": "tools/call"}
    assert decode(check_request()).mcp_metadata is None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_refused_as_none(data: bytes) -> None:
    with contextlib.suppress(NotACheckRequest):
        decode(data)


def test_code_zero_only_for_a_forward() -> None:
    """Envoy takes status code 0 for an allow, whatever else the answer says."""
    assert seen(encode(FORWARD, {"reason": "allowed"})).code == 0
    for indeterminate in (False, True):
        reply = Reply(status=403, headers=(), indeterminate=indeterminate)
        assert seen(encode(reply, {"reason": "x"})).code != 0


def test_two_answers_for_one_caller_differ_only_in_the_decision() -> None:
    one = wire.CheckResponse.FromString(encode(FORWARD, {"decision_id": "id1"}))
    other = wire.CheckResponse.FromString(encode(replace(FORWARD, decision=("x-auth-decision", "id2")), {}))
    assert list(one.ok_response.headers_to_remove) == list(other.ok_response.headers_to_remove) == ["authorization"]
    assert [o.header.value for o in other.ok_response.headers] == ["u1", "id2"]
    assert one.WhichOneof("http_response") == "ok_response"


def test_append_and_append_action_are_never_set() -> None:
    """With `append` Envoy drops a denial's header; for a request it never adds one."""
    ok = wire.CheckResponse.FromString(encode(FORWARD, {}))
    denied = wire.CheckResponse.FromString(encode(Reply(status=401, headers=(("a", "b"),)), {}))
    for option in (*ok.ok_response.headers, *denied.denied_response.headers):
        assert option.append_action == wire.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD


def test_header_values_are_never_raw_values() -> None:
    """Envoy ignores `raw_value` in answers: the header would arrive empty."""
    ok = wire.CheckResponse.FromString(encode(FORWARD, {}))
    assert [(o.header.value, o.header.raw_value) for o in ok.ok_response.headers] == [("u1", b""), ("id1", b"")]


def test_an_indeterminate_answer_is_an_error_with_its_own_status() -> None:
    parsed = wire.CheckResponse.FromString(encode(Reply(status=503, headers=(), indeterminate=True), {}))
    assert parsed.WhichOneof("http_response") == "error_response"
    assert (parsed.status.code, parsed.error_response.status.code) == (14, 503)


def test_the_answer_to_a_fault_of_ours_is_complete_and_no_allow() -> None:
    answer = seen(encode_undecided("id1"))
    assert (answer.status, answer.reason, answer.code) == (503, "internal_error", 14)
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["x-extauthz-decision"] == "id1"
    assert answer.body["error"]["code"] == -50300


@pytest.mark.parametrize("value", [b"", b"\x00", b"\xff" * 20])
def test_bytes_that_are_no_message(value: bytes) -> None:
    if value:
        with pytest.raises(NotACheckRequest):
            decode(value)
    else:
        assert decode(value).method == ""
