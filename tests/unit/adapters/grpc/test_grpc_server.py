"""The transport with real gRPC clients on loopback."""

import json
import logging
import os
import socket
import stat
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
import pytest

from extauthz.adapters.grpc import core
from extauthz.adapters.grpc import server as grpc_server
from extauthz.adapters.grpc.fast_path import Begun
from extauthz.adapters.grpc.server import MAX_MESSAGE_BYTES, GrpcServer
from extauthz.adapters.grpc.threads import CheckThreads
from extauthz.adapters.listening import ListenFault
from extauthz.service.call import Call
from tests.support.transport import CHECK_PATH, HEALTH_PATH, REFUSAL, TIMEOUT_S, WATCH_PATH, call, channel, serving
from tests.support.waiting import eventually

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"
AUTHORIZATION = b"\n\x23envoy.service.auth.v3.Authorization"


def echo(request: bytes, _: Call) -> bytes:
    return b"answer to " + request


def code_of(error: pytest.ExceptionInfo[grpc.RpcError]) -> grpc.StatusCode:
    return error.value.code()


@pytest.fixture(autouse=True, params=["fast path", "public way"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs with the fast path, and as with a grpcio that has nothing to make one of."""
    if request.param == "public way":
        monkeypatch.setattr(core, "_NEEDED_OF_SERVER", ("of another make",))
    return str(request.param)


class Gate:
    """A check that waits: says when it was reached and goes on when it may."""

    def __init__(self) -> None:
        self.reached = threading.Semaphore(0)
        self.open = threading.Event()

    def __call__(self, request: bytes, _: Call) -> Begun:
        return lambda: self.wait(request)

    def wait(self, request: bytes) -> bytes:
        self.reached.release()
        assert self.open.wait(TIMEOUT_S)
        return request


class TestAnswers:
    def test_bytes_go_to_the_answer_and_its_bytes_come_back(self) -> None:
        with serving(echo) as server, channel(server.address) as opened:
            assert call(opened, b"\x00\xff question") == b"answer to \x00\xff question"

    def test_what_raises_is_answered_with_the_refusal_and_logged_without_the_request(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(request: bytes, _: Call) -> bytes:
            raise ValueError(request.decode())

        with serving(fail) as server, channel(server.address) as opened:
            assert call(opened, b"Bearer eyJsecret") == REFUSAL
        assert "a check failed with ValueError" in caplog.text
        assert "eyJsecret" not in caplog.text

    def test_even_an_exit_from_within_is_answered_with_the_refusal(self) -> None:
        def leave(_: bytes, __: Call) -> bytes:
            raise SystemExit

        with serving(leave) as server, channel(server.address) as opened:
            assert call(opened) == REFUSAL
            assert call(opened) == REFUSAL

    def test_an_empty_answer_which_a_proxy_would_take_for_allowed_becomes_the_refusal(self) -> None:
        with serving(lambda _, __: b"") as server, channel(server.address) as opened:
            assert call(opened) == REFUSAL

    @pytest.mark.parametrize("rest", ["fails", "leaves", "says nothing"])
    def test_what_had_to_wait_and_then_fails_is_answered_with_the_refusal(self, rest: str) -> None:
        def wait() -> bytes:
            if rest == "says nothing":
                return b""
            raise SystemExit if rest == "leaves" else ValueError

        with serving(lambda _, __: wait) as server, channel(server.address) as opened:
            assert call(opened) == REFUSAL
            assert call(opened) == REFUSAL

    def test_a_call_without_a_message_is_no_check(self) -> None:
        asked: list[bytes] = []

        def answer(request: bytes, _: Call) -> bytes:
            asked.append(request)
            return b"x"

        with serving(answer) as server, channel(server.address) as opened:
            with pytest.raises(grpc.RpcError):
                opened.stream_unary(CHECK_PATH)(iter(()), timeout=TIMEOUT_S, wait_for_ready=True)
            assert asked == []
            assert call(opened, b"") == b"x"

    def test_a_server_without_a_refusal_cannot_be_made(self) -> None:
        with pytest.raises(ValueError, match="must not be empty"):
            GrpcServer(echo, listen="127.0.0.1:0", refusal=b"", threads=CheckThreads())

    def test_a_message_of_the_allowed_size_is_read_and_a_larger_one_refused(self) -> None:
        unlimited = ("grpc.max_send_message_length", -1)
        with (
            serving(lambda request, _: str(len(request)).encode()) as server,
            channel(server.address, unlimited) as opened,
        ):
            assert call(opened, bytes(MAX_MESSAGE_BYTES)) == str(MAX_MESSAGE_BYTES).encode()
            with pytest.raises(grpc.RpcError) as error:
                call(opened, bytes(MAX_MESSAGE_BYTES + 1))
            assert code_of(error) is grpc.StatusCode.RESOURCE_EXHAUSTED

    def test_other_methods_are_unknown(self) -> None:
        with serving(echo) as server, channel(server.address) as opened:
            with pytest.raises(grpc.RpcError) as error:
                call(opened, path="/envoy.service.auth.v2.Authorization/Check")
            assert code_of(error) is grpc.StatusCode.UNIMPLEMENTED


class TestCalls:
    @pytest.fixture
    def seen(self) -> list[Call]:
        return []

    def test_trace_context_comes_from_the_metadata_of_the_call(self, seen: list[Call]) -> None:
        def answer(_: bytes, made: Call) -> bytes:
            seen.append(made)
            return b"x"

        metadata = (("x-request-id", "1"), ("traceparent", TRACEPARENT), ("tracestate", "a=1,b=2"), ("x-bin", b"\0"))
        with serving(answer) as server, channel(server.address) as opened:
            call(opened, metadata=metadata)
            call(opened)
        assert [(made.traceparent, made.tracestate) for made in seen] == [(TRACEPARENT, "a=1,b=2"), ("", "")]

    def test_the_deadline_of_the_proxy_arrives_as_a_moment(self, seen: list[Call]) -> None:
        def answer(_: bytes, made: Call) -> bytes:
            seen.append(made)
            return b"x"

        with serving(answer) as server, channel(server.address) as opened:
            before = time.time()
            call(opened, timeout=15)
            after = time.time()
            call(opened, timeout=None)
        with_deadline, without = seen
        assert with_deadline.deadline is not None
        assert before + 14 <= with_deadline.deadline <= after + 15.1
        assert before <= with_deadline.now_ns / 1e9 <= after
        assert without.deadline is None


class TestWaiting:
    def test_a_check_that_nobody_waits_for_any_more_is_not_decided(self, way: str) -> None:
        """One thread, so that the second check stands in line while the first is being decided."""
        reached, go_on, decided = threading.Event(), threading.Event(), []

        def answer(request: bytes, _: Call) -> bytes:
            decided.append(request)
            reached.set()
            assert go_on.wait(TIMEOUT_S)
            return b"x"

        with serving(answer, threads=CheckThreads(threads=1, slots=0)) as server, channel(server.address) as opened:
            stub = opened.unary_unary(CHECK_PATH)
            first = stub.future(b"first", timeout=TIMEOUT_S)
            assert reached.wait(TIMEOUT_S)
            late = stub.future(b"late", timeout=0.05)
            assert late.exception(TIMEOUT_S).code() is grpc.StatusCode.DEADLINE_EXCEEDED
            go_on.set()
            assert first.result(TIMEOUT_S) == b"x"
            assert call(opened, b"next") == b"x"
        assert decided == [b"first", b"next"]

    def test_every_call_gets_its_own_answer_however_they_overtake_each_other(self) -> None:
        """An answer that goes to another call would be somebody else's allow."""
        waiting, go_on = threading.Semaphore(0), [threading.Event() for _ in range(30)]

        def answer(request: bytes, _: Call) -> Begun:
            number = int(request)
            return (lambda: wait(number)) if number < len(go_on) else b"answer %d" % number

        def wait(number: int) -> bytes:
            waiting.release()
            assert go_on[number].wait(TIMEOUT_S)
            return b"answer %d" % number

        with (
            serving(answer, threads=CheckThreads(threads=len(go_on), slots=0)) as server,
            channel(server.address) as one,
            channel(server.address) as two,
        ):
            stubs = [opened.unary_unary(CHECK_PATH) for opened in (one, two)]
            calls = [stubs[number % 2].future(b"%d" % number, timeout=TIMEOUT_S) for number in range(300)]
            for _ in go_on:
                assert waiting.acquire(timeout=TIMEOUT_S)
            for event in reversed(go_on):
                event.set()
            assert [call.result(TIMEOUT_S) for call in calls] == [b"answer %d" % number for number in range(300)]

    def test_calls_beyond_the_limit_are_refused_and_not_held(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(grpc_server, "MAX_CALLS", 2)
        gate = Gate()
        with serving(gate) as server, channel(server.address) as opened:
            stub = opened.unary_unary(CHECK_PATH)
            held = [stub.future(b"held", timeout=TIMEOUT_S) for _ in range(2)]
            for _ in held:
                assert gate.reached.acquire(timeout=TIMEOUT_S)
            with pytest.raises(grpc.RpcError) as error:
                call(opened)
            assert code_of(error) is grpc.StatusCode.RESOURCE_EXHAUSTED
            gate.open.set()
            assert [one.result(TIMEOUT_S) for one in held] == [b"held"] * 2
            assert call(opened, b"again") == b"again"

    def test_checks_that_wait_in_all_seats_do_not_keep_warm_ones_from_being_answered(self) -> None:
        threads, gate, slots = CheckThreads(threads=2, slots=5), Gate(), []

        def answer(request: bytes, _: Call) -> Begun:
            return in_a_seat if request == b"cold" else b"warm"

        def in_a_seat() -> bytes:
            if not threads.take_slot():
                return b"no seat"
            try:
                return gate.wait(b"cold")
            finally:
                threads.leave_slot()

        with serving(answer, threads=threads) as server, channel(server.address) as opened:
            stub = opened.unary_unary(CHECK_PATH)
            slots = [stub.future(b"cold", timeout=TIMEOUT_S) for _ in range(5)]
            for _ in slots:
                assert gate.reached.acquire(timeout=TIMEOUT_S)
            assert {call(opened, b"warm") for _ in range(20)} == {b"warm"}
            assert call(opened, b"cold") == b"no seat"
            gate.open.set()
            assert [cold.result(TIMEOUT_S) for cold in slots] == [b"cold"] * 5

    def test_health_is_answered_while_every_thread_is_busy(self) -> None:
        gate = Gate()
        with serving(gate, threads=CheckThreads(threads=1, slots=0)) as server, channel(server.address) as opened:
            busy = [opened.unary_unary(CHECK_PATH).future(b"x", timeout=TIMEOUT_S) for _ in range(3)]
            assert gate.reached.acquire(timeout=TIMEOUT_S)
            assert call(opened, b"", path=HEALTH_PATH) == SERVING
            assert next(opened.unary_stream(WATCH_PATH)(b"", timeout=TIMEOUT_S)) == SERVING
            gate.open.set()
            assert [done.result(TIMEOUT_S) for done in busy] == [b"x"] * 3


class TestHealth:
    @pytest.mark.parametrize("request_", [b"", b"\n\x00", AUTHORIZATION])
    def test_the_server_and_its_service_are_known(self, request_: bytes) -> None:
        with serving(echo) as server, channel(server.address) as opened:
            assert call(opened, request_, path=HEALTH_PATH) == SERVING

    def test_another_service_is_not_found(self) -> None:
        with serving(echo) as server, channel(server.address) as opened:
            with pytest.raises(grpc.RpcError) as error:
                call(opened, b"\n\x03abc", path=HEALTH_PATH)
            assert code_of(error) is grpc.StatusCode.NOT_FOUND

    def test_a_server_that_is_not_ready_says_so_until_it_is(self) -> None:
        with serving(echo, serving=False) as server, channel(server.address) as opened:
            assert call(opened, b"", path=HEALTH_PATH) == NOT_SERVING
            server.health.set_serving(serving=True)
            assert call(opened, b"", path=HEALTH_PATH) == SERVING

    def test_watchers_are_told_at_once_and_hold_no_thread_that_answers_checks(self) -> None:
        with serving(echo, threads=CheckThreads(threads=1, slots=0)) as server, channel(server.address) as opened:
            watches = [opened.unary_stream(WATCH_PATH)(b"", timeout=TIMEOUT_S) for _ in range(10)]
            assert [next(watch) for watch in watches] == [SERVING] * 10
            assert call(opened, b"x") == b"answer to x"
            server.health.set_serving(serving=False)
            assert [next(watch) for watch in watches] == [NOT_SERVING] * 10

    def test_watching_an_unknown_service_says_so_and_nothing_else(self) -> None:
        with serving(echo) as server, channel(server.address) as opened:
            watch = opened.unary_stream(WATCH_PATH)(b"\n\x03abc", timeout=TIMEOUT_S)
            assert next(watch) == SERVICE_UNKNOWN
            server.health.set_serving(serving=False)
            server.stop(finish_s=TIMEOUT_S)
            assert list(watch) == []

    def test_watchers_are_bounded_and_make_room_when_they_leave(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("extauthz.adapters.grpc.health.MAX_WATCHERS", 2)
        with serving(echo) as server, channel(server.address) as opened:
            stub = opened.unary_stream(WATCH_PATH)
            watches = [stub(b"", timeout=TIMEOUT_S) for _ in range(2)]
            assert [next(watch) for watch in watches] == [SERVING] * 2
            with pytest.raises(grpc.RpcError) as error:
                next(stub(b"", timeout=TIMEOUT_S))
            assert code_of(error) is grpc.StatusCode.RESOURCE_EXHAUSTED
            watches[0].cancel()
            eventually(lambda: len(server.health._watchers) == 1, "the watcher that left is forgotten")
            assert next(stub(b"", timeout=TIMEOUT_S)) == SERVING


def test_a_grpcio_of_another_make_costs_speed_and_is_told(way: str, caplog: pytest.LogCaptureFixture) -> None:
    with serving(echo) as server, channel(server.address) as opened:
        assert call(opened, b"x") == b"answer to x"
    told = "which has no of another make: using the standard server"
    assert (told in caplog.text) is (way == "public way")


class TestAddresses:
    def test_a_busy_port_is_told_with_a_way_out(self) -> None:
        with serving(echo) as first:
            with pytest.raises(ListenFault, match="another program listens there: stop it, or choose another address"):
                GrpcServer(echo, listen=str(first.address), refusal=REFUSAL, threads=CheckThreads()).start()
            with channel(first.address) as opened:
                assert call(opened, b"x") == b"answer to x"

    def test_a_unix_socket_is_served_with_the_permissions_asked_for(self, tmp_path: Path) -> None:
        path = tmp_path / "extauthz.sock"
        with serving(echo, listen=f"unix:{path}", socket_mode=0o620) as server, channel(server.address) as opened:
            assert stat.S_IMODE(path.stat().st_mode) == 0o620
            assert call(opened, b"x") == b"answer to x"

    def test_a_socket_left_by_a_dead_process_is_replaced_and_one_in_use_is_not(self, tmp_path: Path) -> None:
        path = tmp_path / "extauthz.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(os.fspath(path))
        with serving(echo, listen=f"unix:{path}"):
            with pytest.raises(ListenFault, match="another program"), serving(echo, listen=f"unix:{path}"):
                pass
            with channel(f"unix:{path}") as opened:
                assert call(opened, b"x") == b"answer to x"

    def test_pings_of_an_idle_proxy_do_not_cost_the_connection(self, caplog: pytest.LogCaptureFixture) -> None:
        """gRPC's default answer to pings without calls is GOAWAY (too many pings), seen as a lost connection."""
        caplog.set_level(logging.INFO)
        pings = (
            ("grpc.keepalive_time_ms", 1_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        )
        states: list[grpc.ChannelConnectivity] = []
        with serving(echo) as server, channel(server.address, *pings) as opened:
            call(opened)
            opened.subscribe(states.append)
            lost = threading.Event()
            opened.subscribe(lambda state: lost.set() if state is not grpc.ChannelConnectivity.READY else None)
            assert not lost.wait(4.5), "four pings, one a second: the third strike would close the connection"
        assert states[:1] == [grpc.ChannelConnectivity.READY]


class Load:
    """Clients that call without a pause over one channel and count what they get."""

    def __init__(self, target: str, *options: tuple[str, object], clients: int = 4) -> None:
        self.outcomes: Counter[str] = Counter()
        self._halt = threading.Event()
        self._target, self._options = target, options
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        self.answered = threading.Semaphore(0)

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._halt.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S)

    def more(self, count: int) -> None:
        """Wait for as many further answers."""
        for _ in range(count):
            assert self.answered.acquire(timeout=TIMEOUT_S)

    def _run(self) -> None:
        with channel(self._target, *self._options) as opened:
            stub = opened.unary_unary(CHECK_PATH)
            while not self._halt.is_set():
                try:
                    outcome = stub(b"x", timeout=TIMEOUT_S, wait_for_ready=True).decode()
                except grpc.RpcError as error:
                    outcome = f"{error.code().name}: {error.details()}"
                self.outcomes[outcome] += 1
                self.answered.release()


class TestTheEnd:
    def test_under_load_no_call_fails_while_one_of_two_servers_drains(self) -> None:
        """The client does what Envoy does: it watches health, and goes elsewhere when told NOT_SERVING."""
        policy = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
        options = (("grpc.service_config", json.dumps(policy)), ("grpc.enable_retries", 0))
        with (
            serving(lambda _, __: b"first") as first,
            serving(lambda _, __: b"second") as second,
            Load(f"ipv4:{first.address},{second.address}", *options) as load,
        ):
            load.more(200)
            assert load.outcomes["first"] > 20
            assert load.outcomes["second"] > 20
            assert first.drain(wait_s=1.0, finish_s=TIMEOUT_S)
            load.more(200)
        assert set(load.outcomes) == {"first", "second"}

    def test_answers_go_on_while_the_proxy_has_not_noticed(self) -> None:
        hurry = threading.Event()
        with serving(echo) as server, channel(server.address) as opened, Load(str(server.address)) as load:
            watch = opened.unary_stream(WATCH_PATH)(b"", timeout=TIMEOUT_S)
            assert next(watch) == SERVING
            ending = threading.Thread(target=lambda: server.drain(wait_s=TIMEOUT_S, finish_s=TIMEOUT_S, hurry=hurry))
            ending.start()
            assert next(watch) == NOT_SERVING
            assert call(opened, b"", path=HEALTH_PATH) == NOT_SERVING
            load.more(100)
            assert call(opened, b"late") == b"answer to late"
            assert set(load.outcomes) == {"answer to x"}
            load._halt.set()
            hurry.set()
            ending.join(TIMEOUT_S)
            assert not ending.is_alive()

    def test_a_call_under_way_is_finished(self) -> None:
        gate, outcome = Gate(), []
        with serving(gate) as server, channel(server.address) as opened:
            under_way = opened.unary_unary(CHECK_PATH).future(b"x", timeout=TIMEOUT_S)
            assert gate.reached.acquire(timeout=TIMEOUT_S)
            ending = threading.Thread(target=lambda: outcome.append(server.drain(wait_s=0, finish_s=TIMEOUT_S)))
            ending.start()
            gate.open.set()
            assert under_way.result(TIMEOUT_S) == b"x"
            ending.join(TIMEOUT_S)
            assert outcome == [True]

    def test_a_call_that_does_not_finish_is_cut_off_and_that_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        gate = Gate()
        with serving(gate) as server, channel(server.address) as opened:
            under_way = opened.unary_unary(CHECK_PATH).future(b"x", timeout=TIMEOUT_S)
            assert gate.reached.acquire(timeout=TIMEOUT_S)
            threading.Timer(1.0, gate.open.set).start()
            assert not server.stop(finish_s=0.2)
            assert under_way.exception(TIMEOUT_S).code() in (
                grpc.StatusCode.CANCELLED,
                grpc.StatusCode.UNAVAILABLE,
            )
        assert "still under way" in caplog.text

    def test_open_watches_do_not_hold_up_the_end(self) -> None:
        with serving(echo) as server, channel(server.address) as opened:
            watch = opened.unary_stream(WATCH_PATH)(b"", timeout=TIMEOUT_S)
            assert next(watch) == SERVING
            assert server.stop(finish_s=TIMEOUT_S)
            assert list(watch) == [NOT_SERVING]

    def test_the_socket_file_goes_with_the_server(self, tmp_path: Path) -> None:
        path = tmp_path / "extauthz.sock"
        with serving(echo, listen=f"unix:{path}"):
            assert path.exists()
        assert not path.exists()
