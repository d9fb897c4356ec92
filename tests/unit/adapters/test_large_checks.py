"""Checks with large bodies: never where small ones are decided, one at a time, and answered as any other."""

import asyncio
import json
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from extauthz.adapters import blocking_shell, large_checks
from extauthz.adapters.grpc.threads import CheckThreads
from extauthz.adapters.io_loop import IoLoop
from extauthz.adapters.large_checks import LARGE_CHECK_BYTES
from extauthz.pdp.reason import Reason
from extauthz.service.call import Call
from extauthz.service.check.procedure import check
from tests.support.checks import call_tool, check_request, seen
from tests.support.transport import TIMEOUT_S, call, channel, serving
from tests.support.waiting import eventually
from tests.support.world import mint
from tests.unit.adapters.test_blocking_shell import NOW_NS, Bench, KeyResolver, bench

SMALL = check_request(token=mint())


@pytest.fixture
def loop() -> Iterator[IoLoop]:
    running = IoLoop()
    running.start()
    yield running
    running.stop()


def body_of(size: int, tool: str = "get_forecast") -> bytes:
    """A call whose arguments carry so many bytes."""
    message = json.loads(call_tool(tool))
    message["params"]["arguments"] = {"text": "x" * size}
    return json.dumps(message).encode()


def large(jti: str = "large") -> bytes:
    return check_request(body_of(LARGE_CHECK_BYTES), token=mint(jti=jti))


class Held:
    """The procedure, held at its first step for every large check until the test lets one go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.now = 0
        self.most = 0
        monkeypatch.setattr(blocking_shell, "check", self._check)

    def _check(self, data: bytes, *rest: Any) -> Generator[Any, Any, Any]:
        if len(data) > LARGE_CHECK_BYTES:
            self.now += 1
            self.most = max(self.most, self.now)
            self.begun.release()
            assert self.go.acquire(timeout=TIMEOUT_S)
            self.now -= 1
        return (yield from check(data, *rest))


def threads_of(one: Bench, threads: CheckThreads) -> Bench:
    one.shell._slots = threads
    one.shell._large = large_checks.LargeChecks(threads)
    return one


class TestApart:
    def test_a_large_check_is_not_begun_where_small_ones_are_decided(
        self, loop: IoLoop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def never(*_: object) -> None:
            raise AssertionError("begun")

        one = bench(loop)
        monkeypatch.setattr(blocking_shell, "check", never)
        assert callable(one.shell.begin(large(), Call(NOW_NS)))
        assert one.shell.begun == 1

    @pytest.mark.parametrize("fast_path", [True, False], ids=["fast path", "public way"])
    def test_small_checks_are_answered_while_a_large_one_computes(
        self, loop: IoLoop, monkeypatch: pytest.MonkeyPatch, fast_path: bool
    ) -> None:
        """Warm ones, and cold ones that need a thread themselves; whatever number of large ones is there."""
        held, threads = Held(monkeypatch), CheckThreads()
        one = threads_of(bench(loop, keys=False), threads)
        with (
            serving(one.shell.begin, threads=threads, fast_path=fast_path) as server,
            channel(server.address) as opened,
        ):
            stub = opened.unary_unary("/envoy.service.auth.v3.Authorization/Check")
            waiting = [stub.future(large(str(number)), timeout=TIMEOUT_S) for number in range(10)]
            assert held.begun.acquire(timeout=TIMEOUT_S)
            for number in range(20):
                assert seen(call(opened, SMALL)).allowed
                assert seen(call(opened, check_request(token=mint(jti=f"cold {number}")))).allowed
            assert not any(answer.done() for answer in waiting)
            for _ in waiting:
                held.go.release()
            assert all(seen(answer.result(TIMEOUT_S)).allowed for answer in waiting)
        assert held.most == 1

    def test_large_checks_compute_one_at_a_time(self, loop: IoLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        held, one = Held(monkeypatch), bench(loop)
        with ThreadPoolExecutor(3) as pool:
            answers = [pool.submit(one.ask, large(str(number))) for number in range(3)]
            eventually(lambda: one.slots.taken == 2, "two wait for their turn")
            for _ in answers:
                held.go.release()
            assert all(answer.result(TIMEOUT_S).allowed for answer in answers)
        assert (held.most, one.slots.taken) == (1, 0)

    def test_one_that_waits_for_keys_lets_others_compute(self, loop: IoLoop) -> None:
        supply = KeyResolver(go=asyncio.Event())
        one = bench(loop, keys=False, supply=supply)
        with ThreadPoolExecutor(3) as pool:
            answers = [pool.submit(one.ask, large(str(number))) for number in range(3)]
            eventually(lambda: len(supply.needs) == 3, "all wait for keys at once")

            async def go() -> None:
                assert supply.go is not None
                supply.go.set()

            loop.submit(go())
            assert all(answer.result(TIMEOUT_S).allowed for answer in answers)
        assert [wait.name for details in one.watching.seen for wait in details.waits] == ["extauthz.jwks"] * 3


class TestAnswers:
    @pytest.mark.parametrize("beyond", [-1, 0, 1, 2, 100_000, 4_000_000])
    @pytest.mark.parametrize("tool", ["get_forecast", "set_alert", "unknown_tool"])
    def test_size_decides_nothing(self, loop: IoLoop, beyond: int, tool: str) -> None:
        """Beside the threshold, and far beyond: the answer is that of a small body with the same names."""
        data = check_request(body_of(0, tool), token=mint())
        sized = check_request(body_of(max(0, LARGE_CHECK_BYTES - len(data) + beyond), tool), token=mint())
        one = bench(loop)
        assert one.ask(sized).reason == one.ask(data).reason

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (body_of(100_000)[:-2], Reason.BODY_NOT_JSON),
            (b'{"a":1,' + body_of(100_000)[1:-1] + b',"a":2}', Reason.KEY_AMBIGUOUS),
            (b"[" + body_of(100_000) + b"]", Reason.BATCH_REFUSED),
        ],
        ids=["cut", "late duplicate", "batch"],
    )
    def test_a_large_body_is_read_as_strictly(self, loop: IoLoop, body: bytes, reason: Reason) -> None:
        assert bench(loop).ask(check_request(body, token=mint())).reason == reason

    def test_a_large_body_without_a_token_is_refused_alike(self, loop: IoLoop) -> None:
        assert bench(loop).ask(check_request(body_of(100_000))).status == 401

    def test_what_raises_is_refused(self, loop: IoLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("secret")

        monkeypatch.setattr(blocking_shell, "check", fail)
        one = bench(loop)
        assert [one.ask(large()).reason for _ in range(40)] == [Reason.INTERNAL_ERROR] * 40


class TestBounds:
    def test_beyond_so_many_large_checks_one_is_refused_at_once(
        self, loop: IoLoop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(large_checks, "MAX_LARGE_CHECKS", 2)
        held, one = Held(monkeypatch), bench(loop)
        with ThreadPoolExecutor(2) as pool:
            answers = [pool.submit(one.ask, large(str(number))) for number in range(2)]
            eventually(lambda: one.slots.taken == 1, "one waits for its turn")
            refused = one.ask(large("third"))
            assert (refused.status, refused.reason) == (503, Reason.DEADLINE_EXCEEDED)
            assert one.ask(SMALL).allowed
            for _ in answers:
                held.go.release()
            assert all(answer.result(TIMEOUT_S).allowed for answer in answers)
        held.go.release()
        assert one.ask(large("later")).allowed
        assert "too many checks with large bodies" in one.watching.seen[0].detail

    @pytest.mark.parametrize("slots", [0, 4], ids=["no seat", "no time"])
    def test_one_whose_turn_does_not_come_is_refused(
        self, loop: IoLoop, monkeypatch: pytest.MonkeyPatch, slots: int
    ) -> None:
        held, one = Held(monkeypatch), bench(loop, slots=slots)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(one.ask, large("first"))
            assert held.begun.acquire(timeout=TIMEOUT_S)
            refused = one.ask(large("second"), deadline=NOW_NS / 1e9 + 0.05)
            assert (refused.status, refused.reason) == (503, Reason.DEADLINE_EXCEEDED)
            held.go.release()
            assert first.result(TIMEOUT_S).allowed

    def test_a_token_that_expired_while_the_check_stood_in_the_queue_is_refused(self, loop: IoLoop) -> None:
        """The moment of a large check is the one at which it computes."""
        one = bench(loop)
        data = check_request(body_of(LARGE_CHECK_BYTES), token=mint(exp=NOW_NS // 10**9 + 100))
        begun = one.shell.begin(data, Call(NOW_NS))
        assert callable(begun)
        one.shell._clock_ns = lambda: NOW_NS + 10_000 * 10**9
        assert seen(begun()).reason == Reason.TOKEN_EXPIRED
