"""Header lines are counted in the bytes as the generated code counts them."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.reason import Reason
from extauthz.pdp.request import MAX_HEADERS
from extauthz.service.call import Call
from extauthz.service.check.codec import MAX_UNCOUNTED_BYTES, decode
from extauthz.service.check.header_count import MAX_STEPS, more_lines_than
from extauthz.wire import check_pb2 as wire
from tests.support.checks import check_request
from tests.support.world import World


def with_lines(count: int, *, in_map: bool, value_chars: int = 1, body: bytes = b"{}") -> bytes:
    headers = {f"h{number:05}": "v" * value_chars for number in range(count)}
    return check_request(body, headers=headers, raw_headers=in_map, bare=True)


OWN: Final = len(wire.CheckRequest.FromString(with_lines(0, in_map=False)).attributes.request.http.headers)
"""Pseudo headers and the like that the helper adds."""


@pytest.mark.parametrize("value_chars", [1, 120, 130, 20_000])
@pytest.mark.parametrize("in_map", [True, False])
@pytest.mark.parametrize("body", [b"{}", b"\n\x1a" * 100_000])
def test_the_last_line_that_is_too_many_is_found(value_chars: int, *, in_map: bool, body: bytes) -> None:
    exact = with_lines(40 - OWN, in_map=in_map, value_chars=value_chars, body=body)
    assert not more_lines_than(exact, 40)
    assert more_lines_than(exact, 39)


names = st.text(st.characters(codec="utf-8"), max_size=200)


@given(
    st.dictionaries(names, names, max_size=30),
    st.lists(st.tuples(names, st.binary(max_size=300)), max_size=30),
    st.binary(max_size=300),
    st.integers(0, 31),
)
def test_it_agrees_with_the_generated_code(
    headers: dict[str, str], lines: list[tuple[str, bytes]], body: bytes, most: int
) -> None:
    request = wire.CheckRequest()
    http = request.attributes.request.http
    http.method, http.path, http.host, http.size, http.raw_body = "POST", "/mcp", "h", len(body), body
    for name, value in headers.items():
        http.headers[name] = value
    for name, raw in lines:
        http.header_map.headers.add(key=name, raw_value=raw)
    request.attributes.context_extensions["resource"] = "weather"
    request.attributes.metadata_context.filter_metadata["x"].update({"a": 1})
    data = request.SerializeToString()
    assert more_lines_than(data, most) == (len(headers) + len(lines) > most)


@given(st.binary(max_size=300), st.integers(0, 3))
def test_any_bytes_are_counted_or_left_alone(data: bytes, most: int) -> None:
    more_lines_than(data, most)
    for end in range(len(data)):
        more_lines_than(data[:end], most)


@given(st.integers(0, 400), st.integers(0, 255))
def test_damaged_requests_are_counted_or_left_alone(place: int, byte: int) -> None:
    data = bytearray(with_lines(20, in_map=bool(place % 2)))
    data[place % len(data)] = byte
    more_lines_than(bytes(data), 20)


def test_it_gives_up_after_so_many_fields() -> None:
    """Fields that are no header lines: whoever sends them is not Envoy, and the generated code counts what there is."""

    def inside(number: int, value: bytes) -> bytes:
        length = len(value)
        return bytes([number << 3 | 2, length & 0x7F | 0x80, length >> 7]) + value

    lines = b"\x1a\x00" * (MAX_HEADERS + 1)
    few, many = (inside(1, inside(4, inside(2, b"\x48\x01" * others + lines))) for others in (10, MAX_STEPS - 3))
    assert wire.CheckRequest.FromString(many).attributes.request.http.size == 1
    assert more_lines_than(few, MAX_HEADERS)
    assert not more_lines_than(many, MAX_HEADERS)


@pytest.mark.parametrize("in_map", [True, False])
@pytest.mark.parametrize("value_chars", [1, MAX_UNCOUNTED_BYTES])
def test_a_request_with_too_many_header_lines_is_refused_unread(value_chars: int, *, in_map: bool) -> None:
    world = World()
    fits, over = (
        with_lines(MAX_HEADERS - OWN + more, in_map=in_map, value_chars=value_chars if more else 1) for more in (0, 1)
    )
    assert len(decode(fits).headers) == MAX_HEADERS
    assert world.ask(fits).reason == Reason.TOKEN_MISSING
    assert decode(over).too_many_headers
    checked = world.check(over)
    assert checked.reason is Reason.RESOURCE_UNKNOWN
    assert "more than 128 header lines" in checked.details(Call(0), 1).detail


def test_lines_of_one_name_count_each() -> None:
    request = wire.CheckRequest.FromString(check_request(raw_headers=True))
    for _ in range(MAX_HEADERS):
        request.attributes.request.http.header_map.headers.add(key="x", raw_value=b"1")
    assert decode(request.SerializeToString()).too_many_headers
