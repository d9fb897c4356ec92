"""Clients that keep the server waiting, or talk without end: nobody else notices.

Each client is written by frames; good checks come meanwhile through an ordinary gRPC client. The hostile clients must
keep nothing for long, so what they hold is watched through what the server does to them, never by the clock.
"""

import resource
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import grpc
import pytest

from extauthz.adapters.grpc import calls, fast_path
from extauthz.adapters.grpc import server as grpc_server
from extauthz.adapters.grpc.calls import MAX_PER_CONNECTION
from extauthz.adapters.grpc.server import MAX_CALLS, MAX_STREAMS, GrpcServer
from extauthz.service.call import Call
from extauthz.service.endpoint import TcpEndpoint
from tests.bench.h2_load import END_HEADERS, HEADERS, PING, RST_STREAM, SETTINGS, frame
from tests.support.h2_client import H2Client, headers_of, message_of
from tests.support.transport import CHECK_PATH, HEALTH_PATH, TIMEOUT_S, call, channel, serving
from tests.support.waiting import eventually

GOOD_CHECKS: Final = 200
CONNECTIONS: Final = MAX_CALLS // MAX_STREAMS + 1
"""As many as it takes to open more calls than there may be checks."""
SERVING: Final = b"\x08\x01"


def echo(request: bytes, _: Call) -> bytes:
    return b"answer to " + request


def port_of(server: GrpcServer) -> int:
    assert isinstance(server.address, TcpEndpoint)
    return server.address.port


@contextmanager
def good_clients(server: GrpcServer) -> Iterator[Callable[[], None]]:
    """Checks and health checks that must all be answered: call it as often as wanted."""
    with channel(server.address) as opened:

        def ask() -> None:
            for number in range(GOOD_CHECKS):
                assert call(opened, b"%d" % number) == b"answer to %d" % number
            assert call(opened, path=HEALTH_PATH, request=b"") == SERVING

        ask()
        yield ask


def hold(stack: ExitStack, server: GrpcServer, *data: tuple[bytes, bool], path: str, **more: Any) -> list[H2Client]:
    """Open as many calls as the server allows, on enough connections to pass the limit of checks."""
    clients = [stack.enter_context(H2Client(port_of(server), **more)) for _ in range(CONNECTIONS)]
    for client in clients:
        client.send(client.call_frames(MAX_STREAMS, *data, path=path))
    return clients


class TestCallsThatKeepTheServerWaiting:
    @pytest.mark.parametrize("path", [CHECK_PATH, HEALTH_PATH], ids=["checks", "health"])
    @pytest.mark.parametrize(
        "data",
        [
            (),
            ((b"\0\0\0", False),),
            ((b"\0\0\x10\0\0half of it", False),),
            ((b"\0\0\x10\0\0half of it, and the end", True),),
        ],
        ids=["no message", "half a prefix", "half a message", "cut short"],
    )
    def test_calls_without_a_message_stop_nobody(self, path: str, data: tuple[tuple[bytes, bool], ...]) -> None:
        with serving(echo) as server, good_clients(server) as ask, ExitStack() as stack:
            hold(stack, server, *data, path=path)
            ask()
            ask()

    @pytest.mark.parametrize("path", [CHECK_PATH, HEALTH_PATH], ids=["checks", "health"])
    def test_answers_that_nobody_takes_stop_nobody(self, path: str) -> None:
        """No window for answers (RFC 9113 §6.9.2): each answered call stays open until the client makes room."""
        with serving(echo) as server, good_clients(server) as ask, ExitStack() as stack:
            hold(stack, server, (message_of(b""), True), path=path, initial_window=0)
            ask()
            ask()

    def test_a_call_without_a_message_is_ended_after_its_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fast_path, "MESSAGE_WITHIN_S", 0.2)
        with serving(echo) as server, H2Client(port_of(server)) as client:
            client.send(client.call_frames(10))
            client.read_until(lambda it: len(it.ended) == 10)
            assert set(client.ended.values()) <= {"4", "?"}  # DEADLINE_EXCEEDED
            good = client.call(b"x")
            client.read_until(lambda it: good in it.ended)

    def test_an_answer_that_is_not_taken_is_cancelled_after_its_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fast_path, "ANSWER_TAKEN_WITHIN_S", 0.2)
        with serving(echo) as server, H2Client(port_of(server), initial_window=0) as client:
            stream = client.call(b"x")
            client.read_until(lambda it: stream in it.ended)
            assert client.ended[stream] in ("1", "RST_STREAM")  # CANCELLED

    def test_one_connection_has_a_bound_of_its_own(self) -> None:
        with serving(echo) as server, H2Client(port_of(server)) as client:
            client.send(client.call_frames(MAX_PER_CONNECTION + 50))
            client.read_until(lambda it: len(it.ended) == 50)
            assert min(client.ended) == 2 * MAX_PER_CONNECTION + 1
            with channel(server.address) as opened:
                assert call(opened, b"x") == b"answer to x"

    def test_the_message_of_a_call_that_was_ended_decides_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fast_path, "MESSAGE_WITHIN_S", 0.1)
        asked: list[bytes] = []

        def answer(request: bytes, _: Call) -> bytes:
            asked.append(request)
            return b"x"

        with serving(answer) as server, H2Client(port_of(server)) as client:
            client.send(client.call_frames(1))
            client.read_until(lambda it: 1 in it.ended)
            client.send(frame(0, 1, 1, message_of(b"late")))
            good = client.call(b"good")
            client.read_until(lambda it: good in it.ended)
        assert asked == [b"good"]

    def test_checks_that_are_decided_count_and_their_limit_holds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The other side: what has come whole is bounded as ever."""
        monkeypatch.setattr(grpc_server, "MAX_CALLS", 2)
        go_on, reached = threading.Event(), threading.Semaphore(0)

        def wait() -> bytes:
            reached.release()
            assert go_on.wait(TIMEOUT_S)
            return b"x"

        with serving(lambda _, __: wait) as server, channel(server.address) as opened, ExitStack() as stack:
            client = stack.enter_context(H2Client(port_of(server)))
            client.send(client.call_frames(100))
            stub = opened.unary_unary(CHECK_PATH)
            held = [stub.future(b"held", timeout=TIMEOUT_S) for _ in range(2)]
            for _ in held:
                assert reached.acquire(timeout=TIMEOUT_S)
            with pytest.raises(grpc.RpcError) as refused:
                call(opened)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            go_on.set()
            assert [one.result(TIMEOUT_S) for one in held] == [b"x", b"x"]


class TestWaitingCalls:
    """The bounds themselves, on a clock of the test's."""

    class _Call:
        def __init__(self, peer: bytes) -> None:
            self.peer = peer

    @pytest.fixture
    def now(self) -> list[float]:
        return [100.0]

    def waiting(self, now: list[float], **more: Any) -> Any:
        return calls.WaitingCalls(2.0, clock=lambda: now[0], **more)

    def test_only_what_has_waited_too_long_is_overdue(self, now: list[float]) -> None:
        waiting = self.waiting(now)
        early, late = self._Call(b"a"), self._Call(b"a")
        assert waiting.add(early)
        now[0] += 1.5
        assert waiting.add(late)
        assert waiting.overdue() == []
        now[0] += 0.5
        assert waiting.overdue() == [early]
        assert waiting.overdue() == []
        assert waiting.of_peer(b"a") == 1

    def test_beyond_the_bound_in_all_the_oldest_goes(self, now: list[float]) -> None:
        waiting = self.waiting(now, max_in_all=3)
        made = [self._Call(b"%d" % number) for number in range(5)]
        assert all(map(waiting.add, made))
        assert waiting.overdue() == made[:2]
        assert len(waiting) == 3

    @pytest.mark.parametrize(("peer", "taken"), [(b"ipv4:1.2.3.4:5", 2), (b"ipv6:[::1]:5", 2), (b"unix:/run/x", 5)])
    def test_a_connection_has_its_bound_and_a_unix_socket_none(self, now: list[float], peer: bytes, taken: int) -> None:
        waiting = self.waiting(now, max_per_connection=2)
        assert [waiting.add(self._Call(peer)) for _ in range(5)].count(True) == taken
        assert waiting.add(self._Call(b"ipv4:1.2.3.4:6"))

    def test_what_is_removed_makes_room_and_leaves_no_trace(self, now: list[float]) -> None:
        waiting = self.waiting(now, max_per_connection=1)
        for _ in range(3):
            one = self._Call(b"a")
            assert waiting.add(one)
            waiting.remove(one)
            waiting.remove(one)
        assert (len(waiting), dict(waiting._per_peer)) == (0, {})


class TestFloods:
    """Frames that cost nothing to send. The connection may be closed for it; nobody else notices."""

    @staticmethod
    def flood(client: H2Client, frames: bytes, times: int) -> None:
        try:
            for _ in range(times):
                client.send(frames)
        except OSError:
            return  # closed by the server, which is as good

    @pytest.mark.parametrize(
        "kind", ["rapid reset", "ping", "settings", "settings acks", "empty data", "window updates"]
    )
    def test_a_flood_of_frames_stops_nobody(self, kind: str) -> None:
        with serving(echo) as server, good_clients(server) as ask, H2Client(port_of(server)) as client:
            if kind == "rapid reset":
                block = headers_of(CHECK_PATH)
                for start in range(1, 20_001, 2_000):
                    frames = b"".join(
                        frame(HEADERS, END_HEADERS, stream, block) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
                        for stream in range(start, start + 2_000, 2)
                    )
                    self.flood(client, frames, 1)
            elif kind == "empty data":
                client.send(client.call_frames(1))
                self.flood(client, frame(0, 0, 1, b"") * 1_000, 20)
            else:
                one = {
                    "ping": frame(PING, 0, 0, b"12345678"),
                    "settings": frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535)),
                    "settings acks": frame(SETTINGS, 1, 0, b""),
                    "window updates": frame(8, 0, 0, struct.pack(">I", 1)),
                }[kind]
                self.flood(client, one * 1_000, 20)
            ask()

    @pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.long)])
    def test_idle_connections_stop_nobody(self, count: int) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * count + 500  # both ends are in this process
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, wanted), hard), hard))
        try:
            with serving(echo) as server, good_clients(server) as ask, ExitStack() as stack:
                for _ in range(count):
                    stack.enter_context(H2Client(port_of(server)))
                ask()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_connection_that_closes_leaves_nothing_behind() -> None:
    with serving(echo) as server:
        receiving = server._fast_paths[0].receiving
        with H2Client(port_of(server)) as client:
            client.send(client.call_frames(100))
            eventually(lambda: len(receiving) == 100, "all calls have come")
        eventually(lambda: len(receiving) == 0, "all calls are forgotten")
