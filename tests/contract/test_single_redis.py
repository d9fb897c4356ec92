"""What only a real Redis shows of the store: limits, outages, odd values, and what is sent."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from extauthz.adapters.redis.dialer import MAX_CONNECTIONS
from extauthz.adapters.redis.router import MAX_UNDER_WAY
from extauthz.adapters.redis.store import DEADLINE_S, KEY_PREFIX, RedisStore, connect
from extauthz.service.cache.signed_entry import MAX_ENTRY_BYTES
from extauthz.service.ports import StoreUnavailable
from tests.support.redis_server import RedisServer

GENEROUS_S = 2.0
"""Deadline for tests of what an operation does: this machine may be busy."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("r")) as running:
        yield running


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may ill-treat."""
    with RedisServer(tmp_path) as running:
        yield running


def with_redis(
    url: str,
    body: Callable[[RedisStore], Awaitable[None]],
    *,
    deadline_s: float = GENEROUS_S,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    async def main() -> None:
        store = connect(url, clock=clock, deadline_s=deadline_s)
        try:
            await body(store)
        finally:
            await store.close()

    asyncio.run(main())


def _failures(store: RedisStore) -> float:
    return sum(way.breaker._failures for way in store._ways.values())


def every_failure_counts() -> Callable[[], float]:
    """A clock for the breaker by which no two failures are of one moment."""
    return (float(hour) for hour in range(0, 1_000_000, 3600)).__next__


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Bounded wait for something that another process does."""
    for _ in range(1000):
        if await condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("did not happen within 10 s")


def test_every_key_carries_the_prefix_and_an_end_of_life(server: RedisServer) -> None:
    async def body(store: RedisStore) -> None:
        server.command("FLUSHALL")
        await store.put("a", b"v", 60)
        await store.put_if_absent("b", b"v", 60)
        assert server.command("DBSIZE") == b":2\r\n"
        for key in ("a", "b"):
            assert 0 < int(server.command("PTTL", KEY_PREFIX + key)[1:-2]) <= 60_000

    with_redis(server.url, body)


WRONG_TYPES = {
    "list": ("RPUSH", "k", "x"),
    "hash": ("HSET", "k", "f", "v"),
    "stream": ("XADD", "k", "*", "f", "v"),
    "empty string": ("SET", "k", ""),
}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_a_value_of_the_wrong_type_is_a_miss(server: RedisServer, name: str) -> None:
    async def body(store: RedisStore) -> None:
        server.command("FLUSHALL")
        command, key, *rest = WRONG_TYPES[name]
        server.command(command, KEY_PREFIX + key, *rest)
        for _ in range(20):  # more than would open the breaker
            assert await store.get("k") is None
            with pytest.raises(StoreUnavailable):
                await store.put_if_absent("k", b"v", 60)
        assert store.available

    with_redis(server.url, body, clock=every_failure_counts())


def test_an_entry_larger_than_any_of_ours_is_a_miss_and_is_not_sent_whole(server: RedisServer) -> None:
    async def body(store: RedisStore) -> None:
        server.command("SET", KEY_PREFIX + "k", b"x" * (8 * MAX_ENTRY_BYTES))
        server.command("CONFIG", "RESETSTAT")
        assert await store.get("k") is None
        info = server.command("INFO", "stats").decode()
        (sent,) = [line for line in info.splitlines() if line.startswith("total_net_output_bytes:")]
        assert int(sent.partition(":")[2]) < 2 * MAX_ENTRY_BYTES

    with_redis(server.url, body)


@pytest.mark.parametrize("protocol", [2, 3])
def test_only_commands_of_redis_6_are_sent(server: RedisServer, protocol: int) -> None:
    async def body(store: RedisStore) -> None:
        await store.get("k")
        await store.put("k", b"v", 60)
        await store.put_if_absent("k", b"v", 60)
        await store.delete_if_equal("k", b"v")

    server.command("CONFIG", "RESETSTAT")
    with_redis(f"{server.url}?protocol={protocol}", body)
    info = server.command("INFO", "commandstats").decode()
    commands = {
        line.partition(":")[0].removeprefix("cmdstat_") for line in info.splitlines() if line.startswith("cmdstat_")
    }
    allowed = {"getrange", "set", "eval", "get", "del", "hello", "config|resetstat", "info"}
    assert commands - allowed - ({"client|maint_notifications"} if protocol == 3 else set()) == set()


def test_a_put_that_redis_refuses_for_want_of_memory_leaves_reading_as_it_was(victim: RedisServer) -> None:
    async def body(store: RedisStore) -> None:
        await store.put("k", b"v", 60)
        victim.command("CONFIG", "SET", "maxmemory", "1")
        for _ in range(20):
            with pytest.raises(StoreUnavailable, match="OutOfMemory"):
                await store.put("l", b"v", 60)
            assert await store.get("k") == b"v"
        assert store.available

    with_redis(victim.url, body, clock=every_failure_counts())


def test_a_killed_redis_is_a_miss_then_costs_nothing_and_is_found_again(victim: RedisServer) -> None:
    async def body(store: RedisStore) -> None:
        await store.put("k", b"v", 60)
        victim.kill()

        async def given_up() -> bool:
            with pytest.raises(StoreUnavailable):
                await store.get("k")
            return not store.available

        await until(given_up)
        failures = _failures(store)

        async def probed_in_vain() -> bool:
            return _failures(store) > failures

        await until(probed_in_vain)
        assert not store.available
        victim.restart()

        async def back() -> bool:
            return store.available

        await until(back)
        await store.put("k", b"again", 60)
        assert await store.get("k") == b"again"

    with_redis(victim.url, body, deadline_s=GENEROUS_S)


def test_a_frozen_redis_is_a_miss_and_no_reply_reaches_another_caller(victim: RedisServer) -> None:
    async def body(store: RedisStore) -> None:
        for number in range(50):
            await store.put(f"k{number}", b"%d" % number, 600)
        victim.freeze()
        answers = await asyncio.gather(*(store.get(f"k{number}") for number in range(50)), return_exceptions=True)
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)

        async def given_up() -> bool:
            with pytest.raises(StoreUnavailable):
                await store.get("k0")
            return not store.available

        await until(given_up)
        victim.thaw()

        async def back() -> bool:
            return store.available

        await until(back)

        async def answered() -> bool:
            answers = await asyncio.gather(*(store.get(f"k{number}") for number in range(50)), return_exceptions=True)
            wrong = [
                (number, answer)
                for number, answer in enumerate(answers)
                if answer != b"%d" % number and not isinstance(answer, StoreUnavailable)
            ]
            assert wrong == []
            return b"49" in answers

        for _ in range(4):
            await answered()
        await until(answered)

    with_redis(victim.url, body, deadline_s=0.2)


def test_an_operation_on_a_frozen_redis_ends_with_its_deadline(victim: RedisServer) -> None:
    """Compared with a bound far above the deadline, far below the connect timeout of one second."""

    async def body(store: RedisStore) -> None:
        victim.freeze()
        for _ in range(4):
            async with asyncio.timeout(0.9):
                with pytest.raises(StoreUnavailable):
                    await store.get("k")

    with_redis(victim.url, body, deadline_s=DEADLINE_S)


def test_an_operation_does_not_wait_for_a_connection_that_does_not_come() -> None:
    """The listener's queue is full, so connecting takes until its timeout of one second."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(full.getsockname())

        async def body(store: RedisStore) -> None:
            async with asyncio.timeout(0.9):
                with pytest.raises(StoreUnavailable, match="did not answer within 20 ms"):
                    await store.get("k")

        with_redis(f"redis://127.0.0.1:{full.getsockname()[1]}", body, deadline_s=DEADLINE_S)
        for one in crowd:
            one.close()


def test_a_caller_waits_once_for_a_frozen_redis_which_is_probed_before_anybody_asks_again(victim: RedisServer) -> None:
    async def body(store: RedisStore) -> None:
        victim.freeze()
        said: list[str] = []
        for _ in range(6):
            with pytest.raises(StoreUnavailable) as caught:
                await store.get("k")
            said.append(str(caught.value))
        assert ["is being probed" in each for each in said] == [False, *[True] * 5]

    with_redis(victim.url, body, deadline_s=DEADLINE_S, clock=every_failure_counts())


def test_after_a_hiccup_redis_is_asked_again_as_soon_as_it_answers_and_the_breaker_stays_closed(
    victim: RedisServer,
) -> None:
    async def body(store: RedisStore) -> None:
        await store.put("k", b"v", 60)
        opened = False
        victim.freeze()
        with pytest.raises(StoreUnavailable, match="did not answer"):
            await store.get("k")
        assert not store.available
        victim.thaw()

        async def back() -> bool:
            nonlocal opened
            opened = opened or any(way.breaker.is_open for way in store._ways.values())
            return store.available

        await until(back)
        assert not opened
        assert await store.get("k") == b"v"

    with_redis(victim.url, body, deadline_s=GENEROUS_S)


def test_a_probe_that_ends_by_a_fault_of_the_client_is_followed_by_another(victim: RedisServer) -> None:
    async def body(store: RedisStore) -> None:
        async def faulty(_key: str, _within_s: float) -> bool:
            raise RuntimeError("a fault of the client")

        whole = store._answers
        victim.kill()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "_answers", faulty)
            with pytest.raises(StoreUnavailable):
                await store.get("k")
            await until(_available(store))
        assert store._answers == whole
        victim.restart()
        await until(_available(store))
        assert await store.get("k") is None

    with_redis(victim.url, body, deadline_s=GENEROUS_S)


def _available(store: RedisStore) -> Callable[[], Awaitable[bool]]:
    async def available() -> bool:
        return store.available

    return available


def test_a_callers_cancellation_leaves_the_connection_in_order(server: RedisServer) -> None:
    async def body(store: RedisStore) -> None:
        server.command("FLUSHALL")
        await store.put("mine", b"mine", 60)
        await store.put("yours", b"yours", 60)
        for _ in range(50):
            task = asyncio.ensure_future(store.get("yours"))
            await asyncio.sleep(0)
            task.cancel()
            assert await store.get("mine") == b"mine"

    with_redis(server.url, body)


def test_connections_are_bounded_whatever_the_load(victim: RedisServer) -> None:
    async def body(store: RedisStore) -> None:
        await asyncio.gather(*(store.put(f"k{number}", b"v", 60) for number in range(400)))
        clients = victim.command("CLIENT", "LIST", "TYPE", "normal").count(b"id=")
        assert clients <= MAX_CONNECTIONS + 1  # and the one that asks

    with_redis(victim.url, body)


def test_operations_that_wait_are_bounded(victim: RedisServer) -> None:
    async def body(store: RedisStore) -> None:
        await store.get("k")
        victim.freeze()
        calls = [store.get("k") for _ in range(MAX_UNDER_WAY + 5)]
        said = [str(fault) for fault in await asyncio.gather(*calls, return_exceptions=True)]
        assert sum("operations are waiting" in each for each in said) == 5

    with_redis(victim.url, body, deadline_s=DEADLINE_S)


def test_nothing_is_retried(victim: RedisServer) -> None:
    async def body(store: RedisStore) -> None:
        await store.get("k")
        victim.command("CONFIG", "RESETSTAT")
        with pytest.raises(StoreUnavailable):
            await store.put_if_absent("list", b"v", 60)

    victim.command("RPUSH", KEY_PREFIX + "list", "x")
    with_redis(victim.url, body)
    info = victim.command("INFO", "commandstats").decode()
    assert "cmdstat_set:calls=1," in info


def test_user_and_password_of_the_url_are_used_and_never_shown(tmp_path: Path) -> None:
    password = "Correct%20Horse"
    with RedisServer(tmp_path, "--user", "svc", "on", ">Correct Horse", "~extauthz:*", "+@all") as server:
        server.command("CONFIG", "SET", "requirepass", "other")
        good, bad = (f"redis://svc:{word}@127.0.0.1:{server.port}" for word in (password, "Wrong%20Horse"))

        async def works(store: RedisStore) -> None:
            await store.put("k", b"v", 60)
            assert await store.get("k") == b"v"

        async def fails(store: RedisStore) -> None:
            with pytest.raises(StoreUnavailable) as caught:
                await store.get("k")
            assert "Horse" not in f"{caught.value!r} {caught.value.__cause__!r} {store!r} {store.last_fault}"
            assert "AuthenticationError" in store.last_fault

        with_redis(good, works)
        with_redis(bad, fails)


def test_a_store_can_be_made_while_redis_is_away() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused

        async def body(store: RedisStore) -> None:
            for _ in range(3):
                with pytest.raises(StoreUnavailable):
                    await store.get("k")

        with_redis(f"redis://127.0.0.1:{taken.getsockname()[1]}", body)


def test_closing_ends_everything_that_is_under_way(victim: RedisServer) -> None:
    async def main() -> None:
        store = connect(victim.url, clock=time.monotonic, deadline_s=0.02)
        await store.put("k", b"v", 60)
        victim.freeze()
        calls: list[Any] = [store.get("k") for _ in range(30)]
        await asyncio.gather(*calls, return_exceptions=True)
        await store.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
