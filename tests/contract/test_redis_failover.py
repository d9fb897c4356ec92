"""A store while the master behind it changes: nothing wrong is answered, nobody waits, nothing is sent in a storm."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from extauthz.adapters.redis.router import FIND_EVERY_S
from extauthz.adapters.redis.store import KEY_PREFIX, RedisStore, connect
from extauthz.service.ports import StoreUnavailable
from tests.contract.conftest import oldest_binary
from tests.support.link import Link
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_sentinel import NAME, RedisSentinel
from tests.support.redis_server import RedisServer
from tests.support.store_load import StoreLoad
from tests.support.waiting import eventually

KEYS = tuple(f"key {number}" for number in range(24))
GENEROUS_S = 2.0


def with_store(url: str, body: Callable[[RedisStore], Awaitable[None]], *, deadline_s: float | None = None) -> None:
    async def main() -> None:
        store = connect(url, clock=time.monotonic, **({} if deadline_s is None else {"deadline_s": deadline_s}))
        try:
            await body(store)
        finally:
            await store.close()

    asyncio.run(main())


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[RedisSentinel]:
    with RedisSentinel(tmp_path) as running:
        yield running


@pytest.mark.parametrize("ill", ["killed", pytest.param("frozen", marks=pytest.mark.long)])
def test_a_master_that_is_lost_costs_misses_until_another_is_named(watched: RedisSentinel, ill: str) -> None:
    """And the sentinel is asked no more often than it may be, however much fails meanwhile."""
    with Link(watched.sentinel_ports[0], recording=True) as link:

        async def body(store: RedisStore) -> None:
            load = StoreLoad(store, KEYS)
            await load.until_all_is_well()
            old = watched.master
            load.forget()
            link.heard.clear()

            def lose() -> None:
                old.kill() if ill == "killed" else old.freeze()
                watched.wait_for_another_master(old)

            took_s = await load.during(lose)
            assert load.failures
            took_s += await load.until_all_is_well()
            assert load.wrong == []
            assert load.slow == 0
            asked = link.heard.upper().count(b"SENTINEL\r\n")
            assert 0 < asked <= took_s / FIND_EVERY_S + 2

        eventually(watched.can_fail_over, "the sentinel knows the replica")
        with_store(f"redis+sentinel://127.0.0.1:{link.port}/{NAME}", body)
    for server in watched.servers:
        server.thaw()


def test_any_sentinel_that_answers_is_enough_and_when_none_does_the_master_is_kept(tmp_path: Path) -> None:
    with RedisSentinel(tmp_path, sentinels=2) as watched:

        async def body(store: RedisStore) -> None:
            await store.put("k", b"v", 60)
            watched.kill_sentinel(1)
            await store.put("l", b"v", 60)
            assert (await store.get("k"), await store.get("l")) == (b"v", b"v")

        watched.kill_sentinel(0)
        with_store(watched.url, body, deadline_s=GENEROUS_S)


@pytest.mark.parametrize("url", ["redis+sentinel://127.0.0.1:{port}/mymaster", "redis+cluster://127.0.0.1:{port}"])
def test_when_nobody_says_where_redis_is_every_answer_is_a_miss(tmp_path: Path, url: str) -> None:
    """The server there is neither a sentinel nor part of a cluster."""
    with RedisServer(tmp_path) as server:

        async def body(store: RedisStore) -> None:
            for _ in range(3):
                with pytest.raises(StoreUnavailable):
                    await store.get("k")
            assert not store.available
            assert store.last_fault

        with_store(url.format(port=server.port), body, deadline_s=GENEROUS_S)


@pytest.mark.parametrize("version", ["Valkey", "Redis 6.2"])
@pytest.mark.parametrize("operation", ["put", "put_if_absent", "delete_if_equal"])
def test_a_replica_where_the_master_was_is_a_failure_and_left(tmp_path: Path, version: str, operation: str) -> None:
    """As behind a name that leads to another server after a failover. New connections are made, to find that one."""
    binary = oldest_binary() if version == "Redis 6.2" else None
    with RedisServer(tmp_path, binary=binary) as server:

        async def body(store: RedisStore) -> None:
            async def write() -> None:
                if operation == "delete_if_equal":
                    await store.delete_if_equal("k", b"v")
                else:
                    await getattr(store, operation)("l", b"v", 60)

            await store.put("k", b"v", 60)
            assert server.command("REPLICAOF", "127.0.0.1", "1") == b"+OK\r\n"
            before = _connections(server)
            with pytest.raises(StoreUnavailable, match=r"READONLY|read only"):
                await write()
            (way,) = store._ways.values()
            assert way.breaker._failures > 0
            assert server.command("REPLICAOF", "NO", "ONE") == b"+OK\r\n"
            for _ in range(500):
                try:
                    await write()
                    break
                except StoreUnavailable:
                    await asyncio.sleep(0.01)
            else:
                pytest.fail("the store has not come back")
            await asyncio.sleep(0)
            assert _connections(server) > before + 2  # and one by each command of ours

        with_store(server.url, body, deadline_s=GENEROUS_S)


def test_a_replica_without_its_master_that_serves_nothing_is_unavailable(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--replica-serve-stale-data", "no") as server:

        async def body(store: RedisStore) -> None:
            await store.put("k", b"v", 60)
            server.command("REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(StoreUnavailable, match="MasterDown"):
                await store.get("k")
            await _until(lambda: any(way.breaker.is_open for way in store._ways.values()))
            server.command("REPLICAOF", "NO", "ONE")
            await _until(lambda: store.available)
            assert await store.get("k") == b"v"

        with_store(server.url, body, deadline_s=GENEROUS_S)


def test_a_node_that_is_lost_costs_its_own_keys_only_until_its_replica_has_taken_over(tmp_path: Path) -> None:
    """It refuses connections: the deadline plays no part, and is generous so that a busy machine does not either."""
    with RedisCluster(tmp_path, "--cluster-require-full-coverage", "no", replicas=True) as cluster:

        async def body(store: RedisStore) -> None:
            load = StoreLoad(store, KEYS)
            await load.until_all_is_well()
            lost = cluster.nodes[1]
            owned = {key for key in KEYS if cluster.owner_of(cluster.slot_of(KEY_PREFIX + key)) is lost}
            assert 0 < len(owned) < len(KEYS)
            for node in cluster.nodes:
                node.command("CONFIG", "RESETSTAT")
            load.forget()

            def lose() -> None:
                lost.kill()
                replica = cluster.replicas[1]
                eventually(lambda: b"role:master" in replica.command("INFO", "replication"), "the replica takes over")

            took_s = await load.during(lose)
            assert load.failures.keys() == owned
            took_s += await load.until_all_is_well()
            assert load.failures.keys() == owned
            assert load.wrong == []
            assert load.slow == 0
            asked = sum(
                node.calls("cluster|slots") for node in (cluster.nodes[0], cluster.nodes[2], cluster.replicas[1])
            )
            assert 0 < asked <= took_s / FIND_EVERY_S + 2

        with_store(cluster.url, body, deadline_s=GENEROUS_S)


@pytest.mark.long
def test_a_failover_that_is_agreed_on_loses_nothing_that_matters(tmp_path: Path) -> None:
    with RedisCluster(tmp_path, replicas=True) as cluster:

        async def body(store: RedisStore) -> None:
            load = StoreLoad(store, KEYS)
            await load.until_all_is_well()

            def change() -> None:
                cluster.fail_over(0)
                eventually(lambda: cluster.owner_of(0) is cluster.replicas[0], "the replica takes over")

            await load.during(change)
            await load.until_all_is_well()
            assert load.wrong == []
            assert load.slow == 0

        with_store(cluster.url, body)


@pytest.mark.long
def test_a_cluster_that_is_down_is_a_miss_and_comes_back(tmp_path: Path) -> None:
    """It serves nothing while a part of it is missing, which is what a cluster does unless told otherwise."""
    with RedisCluster(tmp_path) as cluster:

        async def body(store: RedisStore) -> None:
            load = StoreLoad(store, KEYS)
            await load.until_all_is_well()
            load.forget()

            def lose() -> None:
                cluster.nodes[2].kill()
                eventually(lambda: b"cluster_state:fail" in cluster.nodes[0].command("CLUSTER", "INFO"), "it is down")

            await load.during(lose)
            await _until(lambda: not store.available)
            cluster.nodes[2].restart()
            await load.until_all_is_well()
            assert load.wrong == []
            assert load.slow == 0

        with_store(cluster.url, body)


def _connections(server: RedisServer) -> int:
    info = server.command("INFO", "stats").decode()
    (line,) = [line for line in info.splitlines() if line.startswith("total_connections_received:")]
    return int(line.partition(":")[2])


async def _until(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    pytest.fail("did not happen within 10 s")
