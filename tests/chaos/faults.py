"""The faults that Redis can have: each begins, goes on while checks are made, and is mended.

`tests.bench.chaos` measures what `test_redis_outages` judges.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from extauthz.demo.processes import LOOPBACK
from tests.chaos.redis_words import keys
from tests.chaos.rig import Place, Rig
from tests.support.link import LinkState
from tests.support.redis_cluster import SLOTS
from tests.support.redis_sentinel import RedisSentinel
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

EVERY_S: Final = 0.02
"""How often somebody who goes on doing harm does it again."""
SENTINELS_TAKE_S: Final = 60.0
"""Two seconds on an idle machine."""
SOME_SLOTS: Final = 50
SLOW_S: Final = 0.1
"""Five times what a check waits."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`begin` breaks something for as long as the block lasts."""

    name: str
    begin: Callable[[Rig], AbstractContextManager[None]]
    result: str
    """What the cache metric calls a look-up meanwhile, by which a test knows that the fault was felt; or empty."""
    place: Place = Place.SERVER
    """What it needs. Whatever one server can suffer it can also suffer behind a link."""


class Harm:
    """Something done again and again beside the load, from a thread of its own."""

    def __init__(self, do: Callable[[], object], *, every_s: float = EVERY_S) -> None:
        self._do = do
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="harm", daemon=True)
        self._errors: list[Exception] = []
        self.times = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        assert not self._errors, f"the harm could not be done: {self._errors[0]!r}"

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._do()
            except Exception as error:  # noqa: BLE001 - told to the test, which fails with it
                self._errors.append(error)
                return
            self.times += 1
            self._stop.wait(self._every_s)


@contextmanager
def killed(rig: Rig) -> Iterator[None]:
    rig.redis.kill()
    try:
        yield
    finally:
        rig.redis.restart()


@contextmanager
def frozen(rig: Rig) -> Iterator[None]:
    rig.redis.freeze()
    try:
        yield
    finally:
        rig.redis.thaw()


@contextmanager
def full(rig: Rig) -> Iterator[None]:
    ok(rig.redis, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    ok(rig.redis, "CONFIG", "SET", "maxmemory", "1")
    try:
        yield
    finally:
        ok(rig.redis, "CONFIG", "SET", "maxmemory", "0")


@contextmanager
def demoted(rig: Rig) -> Iterator[None]:
    """A replica of a server that is not there, which takes no writes and says so to reads."""
    ok(rig.redis, "CONFIG", "SET", "replica-serve-stale-data", "no")
    ok(rig.redis, "REPLICAOF", LOOPBACK, "1")
    try:
        yield
    finally:
        ok(rig.redis, "REPLICAOF", "NO", "ONE")


@contextmanager
def forbidden(rig: Rig) -> Iterator[None]:
    """The user's rights are taken away."""
    commands = ("getrange", "set", "eval")
    ok(rig.redis, "ACL", "SETUSER", "default", *(f"-{command}" for command in commands))
    try:
        yield
    finally:
        ok(rig.redis, "ACL", "SETUSER", "default", *(f"+{command}" for command in commands))


@contextmanager
def flushed(rig: Rig) -> Iterator[None]:
    with Harm(lambda: ok(rig.redis, "FLUSHALL")):
        yield


@contextmanager
def disconnected(rig: Rig) -> Iterator[None]:
    """Redis closes all connections, over and over."""
    with Harm(lambda: rig.redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")):
        yield


def _link(state: LinkState) -> Callable[[Rig], AbstractContextManager[None]]:
    @contextmanager
    def begin(rig: Rig) -> Iterator[None]:
        rig.link.state = state
        try:
            yield
        finally:
            rig.link.state = LinkState.WHOLE

    return begin


@contextmanager
def slow(rig: Rig) -> Iterator[None]:
    rig.link.delay_s = SLOW_S
    try:
        yield
    finally:
        rig.link.delay_s = 0.0


@contextmanager
def failing_over(rig: Rig) -> Iterator[None]:
    """An operator's failover: the master becomes the replica, and stays reachable."""
    old = _well(rig.sentinel)
    rig.sentinel.fail_over()
    try:
        yield
    finally:
        eventually(lambda: _has_another_master(rig.sentinel, old), "another master", SENTINELS_TAKE_S)


@contextmanager
def master_killed(rig: Rig) -> Iterator[None]:
    old = _well(rig.sentinel)
    old.kill()
    try:
        yield
    finally:
        eventually(lambda: _has_another_master(rig.sentinel, old), "another master", SENTINELS_TAKE_S)
        old.restart()
        # A sentinel does the same, but not before ten seconds have passed.
        ok(old, "REPLICAOF", LOOPBACK, str(rig.sentinel.master.port))


def _well(sentinel: RedisSentinel) -> RedisServer:
    """The master, once there is a replica to take over from it."""

    def well() -> bool:
        replica = sentinel.replica
        return b"master_link_status:up" in replica.command("INFO", "replication") and sentinel.can_fail_over()

    eventually(well, "there is a replica to take over", SENTINELS_TAKE_S)
    return sentinel.master


def _has_another_master(sentinel: RedisSentinel, than: RedisServer) -> bool:
    master = sentinel.master
    return master is not than and b"role:master" in master.command("INFO", "replication")


@contextmanager
def node_killed(rig: Rig) -> Iterator[None]:
    """A third of the keys has nobody who answers for them."""
    rig.cluster.nodes[2].kill()
    try:
        yield
    finally:
        rig.cluster.nodes[2].restart()
        eventually(rig.cluster.settled, "the cluster is whole again")


@contextmanager
def node_frozen(rig: Rig) -> Iterator[None]:
    rig.cluster.nodes[2].freeze()
    try:
        yield
    finally:
        rig.cluster.nodes[2].thaw()
        eventually(rig.cluster.settled, "the cluster is whole again")


@contextmanager
def resharding(rig: Rig) -> Iterator[None]:
    """Slots go from node to node, first of all those of entries that are there."""
    cluster = rig.cluster
    held = [key.decode() for node in cluster.nodes for key in keys(node)]
    used = [cluster.slot_of(key) for key in held]
    slots = itertools.cycle([*used, *range(0, SLOTS, 61)])

    def move() -> None:
        slot = next(slots)
        owner = cluster.nodes.index(cluster.owner_of(slot))
        cluster.move_slot(slot, to=cluster.nodes[(owner + 1) % len(cluster.nodes)])

    with Harm(move, every_s=0.0) as harm:
        yield
        eventually(lambda: harm.times > SOME_SLOTS, "slots are moved")


OUTAGES: Final = (
    Fault("killed", killed, "unavailable"),
    Fault("frozen", frozen, "unavailable"),
    Fault("full", full, "unavailable"),
    Fault("slow", slow, "unavailable", Place.LINK),
    Fault("silent", _link(LinkState.SILENT), "unavailable", Place.LINK),
    Fault("cut off", _link(LinkState.CUT), "unavailable", Place.LINK),
    Fault("talking rubbish", _link(LinkState.RUBBISH), "unavailable", Place.LINK),
    Fault("demoted", demoted, "unavailable"),
    Fault("forbidden", forbidden, "unavailable"),
    Fault("disconnected", disconnected, "unavailable"),
    Fault("flushed", flushed, ""),
)
MOVES: Final = (
    Fault("failing over (Sentinel)", failing_over, "", Place.SENTINEL),
    Fault("its master killed (Sentinel)", master_killed, "unavailable", Place.SENTINEL),
    Fault("resharding (Cluster)", resharding, "", Place.CLUSTER),
    Fault("a node short (Cluster)", node_killed, "unavailable", Place.CLUSTER),
    Fault("a node frozen (Cluster)", node_frozen, "unavailable", Place.CLUSTER),
)


def ok(redis: RedisServer, *words: str | bytes) -> None:
    """Send a command that must succeed."""
    reply = redis.command(*words)
    assert reply == b"+OK\r\n", (words, reply)
