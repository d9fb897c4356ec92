"""A store over a cluster whose slots are being moved: redirections are followed, and nothing is lost or won twice."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from extauthz.adapters.redis.router import FIND_EVERY_S
from extauthz.adapters.redis.store import KEY_PREFIX, RedisStore, connect
from extauthz.service.ports import StoreUnavailable
from tests.contract.conftest import oldest_binary
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer
from tests.support.store_load import StoreLoad

KEYS = tuple(f"key {number}" for number in range(24))
GENEROUS_S = 2.0

Body = Callable[[RedisStore, RedisStore], Awaitable[None]]


@pytest.fixture(scope="module", params=["Valkey", pytest.param("Redis 6.2", marks=pytest.mark.long)])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three nodes that share the slots, and one that has none."""
    binary = oldest_binary() if request.param == "Redis 6.2" else None
    with RedisCluster(tmp_path_factory.mktemp("s"), spares=1, binary=binary) as running:
        yield running


def with_two(cluster: RedisCluster, body: Body) -> None:
    """Two processes' view, each with connections to all nodes."""

    async def main() -> None:
        cluster.flush()
        one, two = (connect(cluster.url, clock=time.monotonic, deadline_s=GENEROUS_S) for _ in range(2))
        try:
            for store in (one, two):
                await asyncio.gather(*(store.get(f"warm {number}") for number in range(40)))
            await body(one, two)
        finally:
            await one.close()
            await two.close()

    asyncio.run(main())


def slots(cluster: RedisCluster, *keys: str) -> tuple[int, ...]:
    return tuple(sorted({cluster.slot_of(KEY_PREFIX + key) for key in keys}))


def other(cluster: RedisCluster, *than: RedisServer) -> RedisServer:
    return next(node for node in cluster.nodes[:3] if node not in than)


def test_while_slots_are_moved_every_operation_succeeds(cluster: RedisCluster) -> None:
    """To a node that had none, and on to another; under load, and with no more commands than redirections explain."""

    async def body(store: RedisStore, _two: RedisStore) -> None:
        load = StoreLoad(store, KEYS)
        await load.until_all_is_well()
        for node in cluster.nodes:
            node.command("CONFIG", "RESETSTAT")
        load.forget()

        def move() -> None:
            moved = slots(cluster, *KEYS)
            for slot in moved:
                cluster.move_slot(slot, to=cluster.nodes[3])
            for slot in moved[1:]:  # a node that gives its last slot away becomes a replica
                cluster.move_slot(slot, to=cluster.nodes[0])

        await load.during(move)
        assert load.failures == {}
        assert load.wrong == []
        assert load.slow == 0
        sent = sum(node.calls(command) for node in cluster.nodes for command in ("getrange", "set"))
        assert load.operations <= sent <= load.operations * 3

    with_two(cluster, body)


def test_a_slot_on_its_way_is_read_and_written_at_both_ends(cluster: RedisCluster) -> None:
    async def body(one: RedisStore, two: RedisStore) -> None:
        (slot,) = slots(cluster, "{tag}")
        await one.put("{tag} old", b"old", 60)
        target = other(cluster, cluster.owner_of(slot))
        source = cluster.begin_move(slot, to=target)
        await one.put("{tag} new", b"new", 60)
        assert await two.get("{tag} new") == b"new"
        assert await two.get("{tag} old") == b"old"
        assert await two.get("{tag} none") is None
        cluster.move_keys(slot, source, to=target)
        assert await one.get("{tag} old") == b"old"
        await two.delete_if_equal("{tag} old", b"other")
        assert await one.get("{tag} old") == b"old"
        await two.delete_if_equal("{tag} old", b"old")
        assert await one.get("{tag} old") is None
        cluster.finish_move(slot, to=target)
        for store in (one, two):
            assert await store.get("{tag} new") == b"new"

    with_two(cluster, body)


def test_of_many_who_claim_while_slots_are_moved_exactly_one_wins(cluster: RedisCluster) -> None:
    async def body(one: RedisStore, two: RedisStore) -> None:
        async def claimed(key: str) -> set[bytes]:
            claims = (store.put_if_absent(key, b"%d" % number, 60) for number in range(6) for store in (one, two))
            return set(await asyncio.gather(*claims))

        (slot,) = slots(cluster, "{claim}")
        done = asyncio.Event()
        standing: dict[str, set[bytes]] = {}

        async def claim() -> None:
            number = 0
            while not done.is_set():
                key = f"{{claim}} {number}"
                standing[key] = await claimed(key)
                number += 1

        def move() -> None:
            for _ in range(6):
                cluster.move_slot(slot, to=other(cluster, cluster.owner_of(slot)))

        claiming = asyncio.ensure_future(claim())
        await asyncio.get_running_loop().run_in_executor(None, move)
        done.set()
        await claiming
        assert len(standing) > 6
        assert [key for key, values in standing.items() if len(values) != 1] == []
        for key, (value,) in standing.items():
            assert await one.get(key) == value

    with_two(cluster, body)


def test_servers_that_send_a_client_to_each_other_are_left_after_two_redirections(cluster: RedisCluster) -> None:
    async def body(store: RedisStore, _two: RedisStore) -> None:
        (slot,) = slots(cluster, "{lost}")
        owner = cluster.owner_of(slot)
        target = other(cluster, owner)
        cluster.begin_move(slot, to=target)
        # The target does not take what it is asked for: it has forgotten that the slot is on its way to it.
        assert target.patient_command("CLUSTER", "SETSLOT", str(slot), "STABLE") == b"+OK\r\n"
        for node in cluster.nodes:
            node.command("CONFIG", "RESETSTAT")
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match=r"redirected more than|being probed"):
                await store.get("{lost}")
        sent = sum(node.calls("getrange") for node in cluster.nodes)
        assert sent <= (3 + 3) * 3  # each of ours, and the probe that it may have begun: once, and redirected twice
        owner.patient_command("CLUSTER", "SETSLOT", str(slot), "STABLE")
        for _ in range(500):
            if store.available and await _reads(store):
                return
            await asyncio.sleep(0.01)
        pytest.fail("the store has not come back")

    with_two(cluster, body)


async def _reads(store: RedisStore) -> bool:
    try:
        return await store.get("{lost}") is None
    except StoreUnavailable:
        return False


def test_the_map_is_asked_for_no_more_often_than_it_may_be(cluster: RedisCluster) -> None:
    """All slots go to one server: two that take slots at the same moment may contradict each other for seconds."""

    async def body(store: RedisStore, _two: RedisStore) -> None:
        target, moved = cluster.nodes[0], 0
        for node in cluster.nodes:
            node.command("CONFIG", "RESETSTAT")
        began = time.monotonic()
        for number in range(30):
            (slot,) = slots(cluster, f"{{{number}}}")
            if cluster.owner_of(slot) is target:
                continue
            cluster.move_slot(slot, to=target)
            moved += 1
            await store.put(f"{{{number}}}", b"v", 60)
            assert await store.get(f"{{{number}}}") == b"v"
        assert moved > 10
        asked = sum(node.calls("cluster|slots") for node in cluster.nodes)
        assert asked <= (time.monotonic() - began) / FIND_EVERY_S + 2

    with_two(cluster, body)


def test_entries_have_no_hash_tag_and_spread_over_all_nodes(cluster: RedisCluster) -> None:
    async def body(store: RedisStore, _two: RedisStore) -> None:
        for number in range(60):
            await store.put(f"decision:{number:064x}", b"v", 60)
        sizes = [int(node.command("DBSIZE")[1:]) for node in cluster.nodes]
        assert sum(sizes) == 60
        assert sum(size > 0 for size in sizes) >= 3

    with_two(cluster, body)
