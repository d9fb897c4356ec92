"""One server of Redis, and how to find which servers there are: by name, by sentinels, or by a cluster's own word."""

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol, assert_never

from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from extauthz.adapters.redis.client import MAX_FAULT_CHARS, Command
from extauthz.adapters.redis.connections import Connections, ended
from extauthz.adapters.redis.dialer import Dialer
from extauthz.adapters.redis.url import MAX_PORT, Address, Form, RedisUrl

FIND_TIMEOUT_S: Final = 0.5
"""For each step with one sentinel, and for a node's answer about who is where. One that is dead delays the next."""
MAX_ASKED: Final = 3
"""Nodes asked for the map of a cluster in one attempt; the next attempt goes on with others."""
MAX_NODES_BYTES: Final = 1_048_576
"""Of an answer to CLUSTER NODES that is read: about 5,000 nodes; a cluster has 1,000 at most."""
MAX_PORT_DIGITS: Final = 5
NOWHERE: Final = Address("", 0)
"""The address of a unix socket, which its URL has."""


class SlotMap:
    """Which server has which slot; outside a cluster one server has everything."""

    __slots__ = ("_named", "_owners")

    def __init__(self, owners: list[Address | None], named: Iterable[Address] = ()) -> None:
        """Of each slot, or a single one. `named` are further servers that belong to the cluster."""
        self._owners = owners
        self._named = frozenset(named)

    @property
    def addresses(self) -> frozenset[Address]:
        """Every server that has a slot."""
        return frozenset(owner for owner in self._owners if owner is not None)

    def names(self, address: Address) -> bool:
        """Whether the cluster itself has named this server; a redirection to any other is not followed."""
        return address in self._named or address in self._owners

    def owner(self, key: str) -> Address | None:
        """Who has the key; None when nobody does."""
        return self._owners[0 if len(self._owners) == 1 else key_slot(key.encode())]

    def move(self, slot: int, address: Address) -> None:
        """A redirection said so."""
        if 0 <= slot < len(self._owners):
            self._owners[slot] = address


class Node:
    """One server, behind a bounded number of connections."""

    def __init__(self, connections: Connections, *, timeout_s: float) -> None:
        """`timeout_s` is for sending and all replies, once there is a connection."""
        self._connections = connections
        self._timeout_s = timeout_s
        self._under_way = 0
        self._idle = asyncio.Event()
        self.lent_at: float | None = None
        """When it was last asked for a slot that is on its way to it."""

    async def send(self, commands: Sequence[Command], *, asking: bool) -> list[Any]:
        """Send in one round trip; of each command the reply, or the error that Redis answered."""
        # ASKING holds for the next command on the same connection.
        words = [word for command in commands for word in ((("ASKING",), command) if asking else (command,))]
        self._under_way += 1
        try:
            async with self._connections.lent() as connection:
                replies = await exchanged(connection, words, timeout_s=self._timeout_s)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
        return replies[1::2] if asking else replies

    async def retire(self) -> None:
        """Close when what is under way has ended, which its own timeouts see to."""
        while self._under_way:
            self._idle.clear()
            await self._idle.wait()
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()


async def exchanged(connection: AbstractConnection, commands: Sequence[Command], *, timeout_s: float) -> list[Any]:
    """Send the commands at once; of each the reply, or the error that Redis answered. Raises anything else."""
    replies: list[Any] = []
    async with asyncio.timeout(timeout_s):
        await connection.send_packed_command(connection.pack_commands(commands))
        for _ in commands:
            try:
                replies.append(await connection.read_response(timeout=math.inf))  # ours is around it
            except ResponseError as error:
                replies.append(error)
    return replies


class Finder(Protocol):
    """Finds out which server has what."""

    @property
    def given(self) -> SlotMap | None:
        """What is so without asking."""
        ...

    async def find(self) -> SlotMap:
        """Ask. Raises RedisError, OSError or TimeoutError when nobody can tell."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def finder(url: RedisUrl, dialer: Dialer) -> Finder:
    """The way of finding out that fits a URL."""
    match url.form:
        case Form.SINGLE:
            return _Named(url)
        case Form.SENTINEL:
            return _Watched(url, dialer)
        case Form.CLUSTER:
            return _Clustered(url, dialer)
    assert_never(url.form)


class _Named:
    def __init__(self, url: RedisUrl) -> None:
        self.given = SlotMap([url.hosts[0] if url.hosts else NOWHERE])

    async def find(self) -> SlotMap:
        return self.given

    async def close(self) -> None:
        return


class _Watched:
    """Asks one sentinel after the other; who answered is asked first the next time."""

    def __init__(self, url: RedisUrl, dialer: Dialer) -> None:
        self.given = None
        self._master = url.master
        self._sentinel = Sentinel([])  # type: ignore[no-untyped-call]  # redis-py
        self._clients = tuple(dialer.sentinel(host, timeout_s=FIND_TIMEOUT_S) for host in url.hosts)
        self._sentinel.sentinels = list(self._clients)

    async def find(self) -> SlotMap:
        try:
            host, port = await self._sentinel.discover_master(self._master)
        except MasterNotFoundError as error:
            raise RedisConnectionError(f"no sentinel names a master {self._master!r} that is up") from error
        return SlotMap([Address(str(host), int(port))])

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


class _Clustered:
    """Asks nodes in turn, those found and those of the URL, so that one with an old map is not asked twice in a row."""

    def __init__(self, url: RedisUrl, dialer: Dialer) -> None:
        self.given = None
        self._url = url
        self._dialer = dialer
        self._candidates = deque(url.hosts)

    async def find(self) -> SlotMap:
        fault: Exception = RedisConnectionError("no node of the cluster was asked")
        for _ in range(min(MAX_ASKED, len(self._candidates))):
            asked = self._candidates[0]
            self._candidates.rotate(-1)
            try:
                found = await self._asked(asked)
            except (RedisError, OSError, TimeoutError) as error:
                fault = error
                continue
            known = found.addresses
            self._candidates = deque(dict.fromkeys((*(each for each in self._candidates if each in known), *known)))
            self._candidates.extend(each for each in self._url.hosts if each not in known)
            return found
        raise fault

    async def close(self) -> None:
        return

    async def _asked(self, address: Address) -> SlotMap:
        connection = await self._dialer.informant(address)
        try:
            questions = (("CLUSTER", "SLOTS"), ("CLUSTER", "NODES"))
            slots, nodes = await exchanged(connection, questions, timeout_s=FIND_TIMEOUT_S)
        finally:
            await ended(connection)
        if isinstance(slots, ResponseError):
            raise slots
        # Who may not ask for the nodes knows those with slots: enough but for a node that is getting its first one.
        return _slot_map(slots, address, named=(*self._url.hosts, *_named_nodes(nodes, address)))


def _within(number: int, lowest: int, highest: int) -> int:
    if not lowest <= number <= highest:
        raise ValueError(f"{number} is not within {lowest} and {highest}")
    return number


def _named_nodes(reply: Any, asked: Address) -> Iterator[Address]:
    """Read CLUSTER NODES: a line per node, `id host:port@bus[,hostname[,…]] flags …`. Unreadable lines name nobody."""
    text = reply[:MAX_NODES_BYTES].decode("utf-8", "replace") if isinstance(reply, bytes) else ""
    for line in text.splitlines():
        _id, where, flags, *_ = *line.split(" ", 3), "", "", ""
        place, *further = where.split(",")
        host, _, port = place.partition("@")[0].rpartition(":")
        if "handshake" in flags or "noaddr" in flags or not (port.isascii() and port.isdigit()):
            continue
        number = int(port) if len(port) <= MAX_PORT_DIGITS else 0
        if 0 < number <= MAX_PORT:
            names = {
                host.strip("[]"),
                asked.host if not host else "",
                *(name for name in further[:1] if "=" not in name),
            }
            yield from (Address(name, number) for name in names if name)


def _slot_map(reply: Any, asked: Address, named: Iterable[Address] = ()) -> SlotMap:
    """Read CLUSTER SLOTS: `[[first, last, [host, port, …], replica…]…]`, an unknown host being that which was asked."""
    owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
    try:
        for first, last, (host, port, *_), *_ in reply[:REDIS_CLUSTER_HASH_SLOTS]:
            text = host.decode() if isinstance(host, bytes) else host
            owner = Address(text if text and text != "?" else asked.host, _within(port, 1, MAX_PORT))
            end = _within(last, _within(first, 0, last), REDIS_CLUSTER_HASH_SLOTS - 1) + 1
            owners[first:end] = [owner] * (end - first)
    except (TypeError, ValueError, IndexError) as error:
        raise ResponseError(f"no answer to CLUSTER SLOTS that can be read: {error!r}"[:MAX_FAULT_CHARS]) from error
    return SlotMap(owners, named)
