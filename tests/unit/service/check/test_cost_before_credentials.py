"""What a caller without a token can make us do: a bounded number of steps, and one pass over what was sent.

Steps are counted and not timed: instructions of the interpreter, and calls of functions in C, with the dearest requests
of each kind, at two sizes. What happens inside a function in C cannot be counted; there the memory that is taken shows
lists that were made, and regular expressions are looked at themselves.
"""

import re
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import pytest

from extauthz.pdp.answer import cors
from extauthz.pdp.decision import resource_index
from extauthz.pdp.reason import Reason
from extauthz.pdp.request import MAX_HEADERS
from extauthz.pdp.token import credentials
from extauthz.service.check.codec import decode
from extauthz.wire import check_pb2 as wire
from tests.support.checks import check_request
from tests.support.policies import policy
from tests.support.world import World, weather

APP: Final = "https://app.example.com"
SIZES: Final = (58_000, 580_000)
"""Envoy's own bound on all header bytes, and ten times that."""

FIXED_STEPS: Final = 7_000
"""Of any refusal; a plain request without a token takes 2,500."""
COUNTING_STEPS: Final = 18_000
"""Where header lines are counted, up to the one that is too many, or to where the counting gives up."""
COUNTED: Final = frozenset({"lines", "raw lines", "raw lines of one name", "bytes that are no message"})
STEPS_OF_A_HEADER: Final = 90
GROWTH: Final = 250
"""Between the two sizes: what a few more decimal digits and one more pass may take, but no step for each byte."""
BYTES_TAKEN: Final = 3.5
"""For each byte sent: the request as a message, its texts, and one copy of a part."""


PREFLIGHT: Final = {"origin": APP, "access-control-request-method": "POST"}


def query(pattern: str) -> Callable[[int], bytes]:
    return lambda size: check_request(path="/weather/mcp?" + pattern * (size // len(pattern)))


def path(pattern: str) -> Callable[[int], bytes]:
    return lambda size: check_request(path="/" + pattern * (size // len(pattern)))


def header(name: str, before: str, pattern: str, after: str = "") -> Callable[[int], bytes]:
    return lambda size: check_request(headers={name: before + pattern * (size // len(pattern)) + after})


def preflight(pattern: str) -> Callable[[int], bytes]:
    wanted = "access-control-request-headers"
    return lambda size: check_request(
        method="OPTIONS", body=b"", headers=PREFLIGHT | {wanted: pattern * (size // len(pattern))}
    )


def lines(*, in_map: bool, one_name: bool = False) -> Callable[[int], bytes]:
    def made(size: int) -> bytes:
        request = wire.CheckRequest.FromString(check_request(raw_headers=in_map))
        http = request.attributes.request.http
        for number in range(size // 20):
            if in_map:
                http.header_map.headers.add(key="x" if one_name else f"h{number}", raw_value=b"vvvvvvvv")
            else:
                http.headers[f"h{number}"] = "vvvvvvvv"
        return request.SerializeToString()

    return made


def metadata(size: int) -> bytes:
    request = wire.CheckRequest.FromString(check_request())
    read = request.attributes.metadata_context.filter_metadata["envoy.filters.http.mcp"]
    for number in range(size // 20):
        read.fields[f"member{number}"].number_value = number
    return request.SerializeToString()


DEAREST: Final[dict[str, Callable[[int], bytes]]] = {
    **{f"query of {one}": query(one) for one in ("&", ";", "a=b&", "+", "&+", "%20", "%E3%80%80", "&%E2%80%8", "%61")},
    "query almost a token": query("&access_toke"),
    "query of values that are no names": query("&x=access_token"),
    **{f"path of {one}": path(one) for one in ("a", "a/", "/", "%20", "../a/", ";", "é")},
    "authorization, one wrong character": header("authorization", "Bearer ", "a", "!"),
    "authorization of spaces": header("authorization", "Bearer", " ", "!"),
    "authorization of =": header("authorization", "Bearer a", "=", "!"),
    "authorization, a long scheme": header("authorization", "", "a", "\x7f"),
    "authorization of commas": header("authorization", "Basic ", ","),
    "authorization, joined": header("authorization", "Bearer a", ",Bearer a"),
    "origin": header("origin", "", "o"),
    "cookies": header("cookie", "", "access_token=x; "),
    "a header of ours": header("x-auth-subject", "", "x_-"),
    "preflight of commas": preflight(","),
    "preflight of spaces": preflight(" "),
    "preflight of parameters": preflight("mcp-param-a,"),
    "lines": lines(in_map=False),
    "raw lines": lines(in_map=True),
    "raw lines of one name": lines(in_map=True, one_name=True),
    "authority": lambda size: check_request(authority="A" * size),
    "method": lambda size: check_request(method="P" * size, body=b""),
    "scheme": lambda size: check_request(scheme="h" * size),
    "route": lambda size: check_request(route="r" * size),
    "metadata of Envoy's MCP filter": metadata,
    "body": lambda size: check_request(b"[" * size),
    "body as text": lambda size: check_request(b"[" * size, text_body=True),
    "bytes that are no message": lambda size: b"\x0a" * size,
}


def world() -> World:
    return World(policy=policy(weather(origins=frozenset({APP}))))


def steps_of(work: Callable[[], object]) -> int:
    """Instructions and calls into C."""
    count = 0

    def traced(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return traced

    def profiled(_frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event == "c_call"

    tracing, profiling = sys.gettrace(), sys.getprofile()
    sys.settrace(traced)
    sys.setprofile(profiled)
    try:
        work()
    finally:
        sys.settrace(tracing)
        sys.setprofile(profiling)
    return count


@pytest.mark.parametrize("name", DEAREST)
def test_steps_do_not_grow_with_what_was_sent(name: str) -> None:
    where = world()
    small, large = (DEAREST[name](size) for size in SIZES)
    where.check(small)
    some, more = (steps_of(lambda data=data: where.check(data)) for data in (small, large))  # type: ignore[misc]
    assert some <= (COUNTING_STEPS if name in COUNTED else FIXED_STEPS)
    assert more - some <= GROWTH


@pytest.mark.parametrize("name", DEAREST)
def test_memory_is_that_of_a_few_copies(name: str) -> None:
    where = world()
    data = DEAREST[name](SIZES[0])
    where.check(data)
    tracemalloc.start()
    try:
        where.check(data)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken <= BYTES_TAKEN * len(data) + 40_000


@pytest.mark.parametrize("in_map", [True, False])
def test_as_many_header_lines_as_are_read_take_so_many_steps(*, in_map: bool) -> None:
    where = world()
    few, most = (lines(in_map=in_map)(count * 20) for count in (10, MAX_HEADERS - 20))
    where.check(few)
    assert where.check(most).reason is Reason.TOKEN_MISSING
    grown = steps_of(lambda: where.check(most)) - steps_of(lambda: where.check(few))
    assert grown <= STEPS_OF_A_HEADER * (MAX_HEADERS - 30)


def test_metadata_of_the_mcp_filter_is_unpacked_when_it_is_read() -> None:
    request = decode(metadata(20_000))
    assert request.mcp_metadata is not None
    before = steps_of(lambda: request.mcp_metadata)
    assert steps_of(lambda: len(request.mcp_metadata or ())) > 1_000 > before
    assert request.mcp_metadata["member7"] == 7
    assert steps_of(lambda: len(request.mcp_metadata or ())) < 1_000


BACKTRACKS: Final = {"MAX_REPEAT", "MIN_REPEAT"}


def repeats(parsed: Any) -> list[tuple[str, int]]:
    """Every repetition of an expression that can be undone: its kind, and how often at most."""
    found: list[tuple[str, int]] = []
    for operation, argument in parsed:
        kind = str(operation)
        if kind in BACKTRACKS:
            found.append((kind, int(argument[1])))
        for part in _parts(argument):
            found += repeats(part)
    return found


def _parts(argument: Any) -> list[Any]:
    if isinstance(argument, re._parser.SubPattern):  # type: ignore[attr-defined]
        return [argument]
    if isinstance(argument, tuple | list):
        return [part for one in argument for part in _parts(one)]
    return []


PATTERNS: Final = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in (cors, credentials, resource_index)
    for name, value in vars(module).items()
    if isinstance(value, re.Pattern)
}
FEW: Final = 128
"""Repetitions that may be undone one by one."""


def test_the_expressions_are_found() -> None:
    assert {"credentials._BEARER", "credentials._TOKEN_PARAMETER", "resource_index._PLAIN_PATH"} <= set(PATTERNS)


@pytest.mark.parametrize("name", PATTERNS)
def test_no_expression_goes_back_over_what_it_has_matched(name: str) -> None:
    parsed = re._parser.parse(PATTERNS[name].pattern, PATTERNS[name].flags & ~re.UNICODE)  # type: ignore[attr-defined]
    assert all(most <= FEW for _, most in repeats(parsed)), "possessive, as in [a-z]++"
