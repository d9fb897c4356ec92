"""The fast path and grpcio's own server answer alike, whatever is asked; and TLS holds through rotations."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from extauthz.adapters.grpc.threads import CheckThreads
from extauthz.adapters.grpc.tls import ServerTls
from extauthz.adapters.io_loop import IoLoop
from tests.support.certificates import Authority
from tests.support.checks import call_tool, check_request, seen
from tests.support.transport import CHECK_PATH, HEALTH_PATH, TIMEOUT_S, call, channel, serving
from tests.support.world import mint
from tests.unit.adapters.test_blocking_shell import bench
from tests.unit.adapters.test_large_checks import threads_of

SEED = 20_261_130
ROTATIONS = 40


@contextmanager
def way_in(*, fast_path: bool) -> Iterator[Any]:
    """A channel to a whole service."""
    loop, threads = IoLoop(), CheckThreads()
    loop.start()
    try:
        one = threads_of(bench(loop), threads)
        with (
            serving(one.shell.begin, threads=threads, fast_path=fast_path) as server,
            channel(server.address) as opened,
        ):
            yield opened
    finally:
        loop.stop()


def odd_requests(count: int) -> Iterator[bytes]:
    """Good ones, noise, and everything in between; the same for everybody."""
    chance = random.Random(SEED)
    tokens = [mint(), mint(scope="weather:write"), mint(exp=1), "not.a.token", ""]
    bodies = [call_tool("get_forecast"), call_tool("set_alert"), b"{", b"[]", b"\xff", b'{"a":1,"a":2}', b"x" * 100_000]
    for _ in range(count):
        data = check_request(
            chance.choice(bodies),
            token=chance.choice(tokens) or None,
            method=chance.choice(["POST", "POST", "GET", "DELETE", "PUT"]),
            path=chance.choice(["/weather/mcp", "/weather/mcp?x=1", "/other", ""]),
        )
        match chance.randrange(5):
            case 0:
                at = chance.randrange(len(data))
                data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
            case 1:
                data = data[: chance.randrange(len(data))]
            case 2:
                data = chance.randbytes(chance.randrange(200))
            case _:
                pass
        yield data


def answer_of(opened: Any, data: bytes) -> object:
    """All of an answer but its id."""
    answer = seen(call(opened, data))
    headers = {name: value for name, value in answer.headers.items() if name != "x-extauthz-decision"}
    metadata = {name: value for name, value in answer.metadata.items() if name not in ("decision_id", "cache")}
    return answer.status, headers, answer.removed, answer.body, metadata, answer.code


def test_2_000_odd_requests_are_answered_alike() -> None:
    with way_in(fast_path=True) as fast, way_in(fast_path=False) as public:
        kinds = set()
        for data in odd_requests(2_000):
            expected = answer_of(public, data)
            assert answer_of(fast, data) == expected, data
            kinds.add(repr(expected)[:40])
        assert len(kinds) > 5


@pytest.mark.parametrize("path", [CHECK_PATH, HEALTH_PATH, "/grpc.health.v1.Health/Nothing", "/", "/x/y"])
@pytest.mark.parametrize("messages", [0, 1, 2], ids=["no message", "one", "two"])
def test_calls_of_another_shape_end_alike(path: str, messages: int) -> None:
    """Unary calls with no message or with two, and methods that do not exist."""

    def ending(opened: Any) -> str:
        try:
            return repr(answer_of_stream(opened, path, messages))
        except grpc.RpcError as error:
            return error.code().name

    def answer_of_stream(opened: Any, path: str, messages: int) -> bytes:
        requests = iter([b"\xff"] * messages)
        answer: bytes = opened.stream_unary(path)(requests, timeout=TIMEOUT_S, wait_for_ready=True)
        return seen(answer).reason.encode() if path == CHECK_PATH else answer

    with way_in(fast_path=True) as fast, way_in(fast_path=False) as public:
        endings = {ending(fast), ending(public)}
    if messages == 1 or path not in (CHECK_PATH, HEALTH_PATH):
        assert len(endings) == 1
    # Without a message the public server says UNIMPLEMENTED, the fast path what is missing; neither answers a check.
    assert not any("allowed" in one for one in endings)


def test_604_handshakes_over_40_rotations_succeed(tmp_path: Path) -> None:
    """15 after each change of the certificate, beside 4 connections that stay open all the while."""
    authority = Authority()
    tls = ServerTls(cert_file=str(tmp_path / "crt"), key_file=str(tmp_path / "key"))

    def rotate() -> None:
        pair = authority.issue()
        Path(tls.cert_file).write_bytes(pair.cert)
        Path(tls.key_file).write_bytes(pair.key)

    rotate()
    credentials = grpc.ssl_channel_credentials(authority.cert)
    with serving(lambda request, _: request, tls=tls) as server, ExitStack() as stack:
        kept = [stack.enter_context(channel(server.address, credentials=credentials)) for _ in range(4)]
        for number in range(ROTATIONS):
            rotate()
            for _ in range(15):
                with channel(server.address, credentials=credentials) as opened:
                    assert call(opened, b"new") == b"new"
            for opened in kept:
                assert call(opened, b"%d" % number) == b"%d" % number
