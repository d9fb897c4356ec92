"""A real Valkey Cluster on loopback: nodes may be killed and frozen, and slots moved between them under load.

with RedisCluster(tmp_path) as cluster:
    store = connect(cluster.url, clock=time.monotonic)
    cluster.move_slot(cluster.slot_of("key"), to=cluster.nodes[2])
"""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from extauthz.demo.processes import DEFAULT_EPHEMERAL_START, LOOPBACK, free_port, port_is_free
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

SLOTS: Final = 16_384
NODE_TIMEOUT_MS: Final = 1_000
"""After which a node that does not answer is failed over; a busy machine must not reach it by itself."""
KEYS_PER_MOVE: Final = 1_000
BUS_OFFSET: Final = 10_000
MIGRATE_WITHIN_MS: Final = 5_000


class RedisCluster:
    """`masters` nodes that share the slots evenly, `spares` without slots, and a replica each with `replicas=True`.

    With `announce`, clients are sent to the `announced` ports, where something must relay to the nodes.

    It takes two seconds to start: a node waits that long before it takes commands.
    """

    def __init__(
        self,
        folder: Path,
        *settings: str,
        masters: int = 3,
        spares: int = 0,
        replicas: bool = False,
        announce: bool = False,
        binary: str | None = None,
    ) -> None:
        count = masters + spares + (masters if replicas else 0)
        self._masters = masters
        self._stack = ExitStack()
        everyone: list[RedisServer] = []
        self.announced: Final = tuple(free_port() for _ in range(count)) if announce else ()
        for number in range(count):
            place = folder / f"n{number}"
            place.mkdir()
            # Redis 6.2 talks to other nodes at its port plus 10,000, and has no setting for it.
            bus = ("--cluster-port", str(free_port())) if binary is None else ()
            port = None if bus else _port_with_bus()
            told = ("--cluster-announce-port", str(self.announced[number])) if announce else ()
            everyone.append(RedisServer(place, *_CLUSTER_SETTINGS, *bus, *told, *settings, binary=binary, port=port))
        self.nodes: Final = tuple(everyone[: masters + spares])
        self.replicas: Final = tuple(everyone[masters + spares :])
        """In the order of the nodes that they follow."""

    def __enter__(self) -> Self:
        try:
            for node in (*self.nodes, *self.replicas):
                self._stack.enter_context(node)
            self._join()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """What EXTAUTHZ_REDIS_URL would be."""
        return "redis+cluster://" + ",".join(f"{LOOPBACK}:{node.port}" for node in self.nodes[:2])

    def slot_of(self, key: str) -> int:
        """The slot of a key as Redis has it, prefix included."""
        return _number(self.nodes[0].command("CLUSTER", "KEYSLOT", key))

    def owner_of(self, slot: int) -> RedisServer:
        """The node that has a slot, by the first node's map."""
        (line,) = [line for line in self._lines(self.nodes[0]) if _has(line, slot)]
        return self._at(line)

    def flush(self) -> None:
        """Empty every master."""
        for node in self.nodes:
            assert node.command("FLUSHALL") == b"+OK\r\n"

    def begin_move(self, slot: int, *, to: RedisServer) -> RedisServer:
        """From now on the slot's present owner answers ASK for a key that it does not have; the owner."""
        source = self.owner_of(slot)
        _did(to.patient_command("CLUSTER", "SETSLOT", str(slot), "IMPORTING", self.id_of(source)))
        _did(source.patient_command("CLUSTER", "SETSLOT", str(slot), "MIGRATING", self.id_of(to)))
        return source

    def move_keys(self, slot: int, source: RedisServer, *, to: RedisServer) -> None:
        """Move the keys of a slot that is being moved."""
        while keys := _items(source.command("CLUSTER", "GETKEYSINSLOT", str(slot), str(KEYS_PER_MOVE))):
            where = (LOOPBACK, str(to.port), "", "0", str(MIGRATE_WITHIN_MS), "KEYS")
            _did(source.command("MIGRATE", *where, *keys), b"+OK", b"+NOKEY")

    def finish_move(self, slot: int, *, to: RedisServer) -> None:
        """The slot belongs to its new owner: every other node answers MOVED."""
        for node in (to, *(node for node in self.nodes if node is not to)):
            # A node that has given away its last slot becomes a replica of who has it, and hears of the others' anyway.
            as_replica = () if node is to else (b"+OK", b"-ERR Please use SETSLOT only with masters.")
            # Valkey waits for its replicas before it answers, and drops a client that has hung up meanwhile.
            reply = node.patient_command("CLUSTER", "SETSLOT", str(slot), "NODE", self.id_of(to))
            _did(reply, *as_replica)
        # Who takes a slot numbers it one above the highest epoch that it knows. Before all nodes know this one, another
        # move could get the same number, and two nodes contradict each other about whose the slots are, for seconds.
        eventually(lambda: self._agreed(slot, to), f"all nodes know that slot {slot} has moved")

    def move_slot(self, slot: int, *, to: RedisServer) -> None:
        """Move a slot with its keys, as resharding does."""
        source = self.begin_move(slot, to=to)
        if source is not to:
            self.move_keys(slot, source, to=to)
        self.finish_move(slot, to=to)

    def fail_over(self, number: int) -> None:
        """Let the replica of a node take its place, in agreement with it."""
        _did(self.replicas[number].command("CLUSTER", "FAILOVER"))

    def id_of(self, node: RedisServer) -> str:
        """The name of a node within the cluster."""
        return _items(node.command("CLUSTER", "MYID"))[0].decode()

    def settled(self) -> bool:
        """Whether every node says that all is well, and knows all others."""
        everyone = (*self.nodes, *self.replicas)
        infos = [node.command("CLUSTER", "INFO") for node in everyone]
        known = b"cluster_known_nodes:%d\r" % len(everyone)
        return all(b"cluster_state:ok" in info and known in info for info in infos)

    def _agreed(self, slot: int, owner: RedisServer) -> bool:
        """Whether every node has the slot at its owner, and the same highest epoch."""
        infos = [node.command("CLUSTER", "INFO") for node in self.nodes]
        epochs = {line for info in infos for line in info.split(b"\r\n") if line.startswith(b"cluster_current_epoch:")}
        owners = [[self._at(line) for line in self._lines(node) if _has(line, slot)] for node in self.nodes]
        return len(epochs) == 1 and owners == [[owner]] * len(self.nodes)

    def _join(self) -> None:
        first = self.nodes[0]
        for epoch, node in enumerate((*self.nodes, *self.replicas), 1):
            _did(node.command("CLUSTER", "SET-CONFIG-EPOCH", str(epoch)))
        share = -(-SLOTS // self._masters)
        for number, node in enumerate(self.nodes[: self._masters]):
            slots = range(number * share, min(SLOTS, (number + 1) * share))
            _did(node.command("CLUSTER", "ADDSLOTS", *map(str, slots)))
        for node in (*self.nodes[1:], *self.replicas):
            _did(node.command("CLUSTER", "MEET", LOOPBACK, str(first.port), str(_bus_of(first))))
        if self.replicas:
            for replica, master in zip(self.replicas, self.nodes, strict=False):
                eventually(partial(_follows, replica, self.id_of(master)), "the replica follows its master")
        eventually(self.settled, "the cluster has formed")
        eventually(lambda: all(map(_is_in_step, self.replicas)), "the replicas are in step with their masters")

    def _lines(self, node: RedisServer) -> list[list[str]]:
        text = _items(node.command("CLUSTER", "NODES"))[0].decode()
        return [line.split() for line in text.splitlines()]

    def _at(self, line: list[str]) -> RedisServer:
        port = int(line[1].partition("@")[0].rpartition(":")[2])
        everyone = (*self.nodes, *self.replicas)
        ports = self.announced or tuple(node.port for node in everyone)
        return everyone[ports.index(port)]


_CLUSTER_SETTINGS: Final = (
    *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"),
    *("--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--repl-diskless-sync-delay", "0"),
)


def _port_with_bus() -> int:
    """A free port, and its bus port free and not one that the kernel gives to outgoing connections."""
    while True:
        port = free_port()
        if port + BUS_OFFSET < DEFAULT_EPHEMERAL_START and port_is_free(port + BUS_OFFSET):
            return port


def _bus_of(node: RedisServer) -> int:
    line = _items(node.command("CLUSTER", "NODES"))[0].decode().split()
    return int(line[1].partition("@")[2].partition(",")[0])


def _follows(replica: RedisServer, master: str) -> bool:
    return replica.command("CLUSTER", "REPLICATE", master) == b"+OK\r\n"


def _is_in_step(replica: RedisServer) -> bool:
    return b"master_link_status:up" in replica.command("INFO", "replication")


def _has(line: list[str], slot: int) -> bool:
    for text in line[8:]:
        start, _, end = text.partition("-")
        if not text.startswith("[") and int(start) <= slot <= int(end or start):
            return True
    return False


def _did(reply: bytes, *good: bytes) -> None:
    assert reply.strip() in (good or (b"+OK",)), reply


def _number(reply: bytes) -> int:
    assert reply.startswith(b":"), reply
    return int(reply[1:])


def _items(reply: bytes) -> list[bytes]:
    """The strings of a reply that is one string or an array of them (RESP2)."""
    found: list[bytes] = []
    at = 0
    while at < len(reply):
        head, _, _ = reply[at:].partition(b"\r\n")
        at += len(head) + 2
        if head[:1] == b"$":
            length = int(head[1:])
            found.append(reply[at : at + length])
            at += length + 2
        else:
            assert head[:1] == b"*", reply
    return found
