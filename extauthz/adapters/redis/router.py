"""Sends each command to the server that has its key, and finds out again who that is when there is reason to doubt it.

The client library's own cluster client is not used: it sends ASKING and the command that it is for on different
connections of its pool, so that keys of a slot on its way are not found; it follows up to 16 redirections, fails when
its pool is busy, sleeps for 0.25 s while it holds a caller, and needs the right to COMMAND.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from extauthz.adapters.redis.client import MAX_FAULT_CHARS, Command, RedisBusy, RedisRefusal, RedisUnreachable
from extauthz.adapters.redis.dialer import Dialer
from extauthz.adapters.redis.greeting import ConnectFault
from extauthz.adapters.redis.nodes import Node, SlotMap, finder
from extauthz.adapters.redis.url import Address, Form, RedisUrl
from extauthz.pdp.quoting import one_line, visible
from extauthz.pdp.redaction import Redactor

MAX_REDIRECTIONS: Final = 2
"""A map that is old (MOVED), then a slot on its way (ASK). Who is redirected further asks servers that disagree."""
MAX_UNDER_WAY: Final = 512
"""Commands sent and not answered, whether or not a caller still waits."""
FIND_EVERY_S: Final = 0.25
"""At most this often sentinels or nodes are asked who is where, whatever fails meanwhile."""
LENT_S: Final = 10.0
"""How long a server that has no slot of its own is kept, after one on its way to it was used."""

_QUOTED_ARGUMENTS: Final = ", with args beginning with"
"""From here on an error repeats the command that the server did not know."""


class Router:
    """`client.RedisClient` over one server, a master watched by sentinels, or a cluster."""

    def __init__(
        self,
        url: RedisUrl,
        *,
        clock: Callable[[], float],
        deadline_s: float,
        password: Callable[[], str] | None = None,
    ) -> None:
        self._clock = clock
        self._deadline_s = deadline_s
        self._redactor = Redactor(url.secrets)
        self._follows = url.form is Form.CLUSTER
        self._dialer = Dialer(url, None if password is None else self._learning(password))
        self._finder = finder(url, self._dialer)
        self._map: SlotMap | None = self._finder.given
        self._nodes: dict[Address, Node] = {}
        self._suspects: set[Address] = set()
        self._finding: asyncio.Task[None] | None = None
        self._found_at = -math.inf
        self._under_way: set[asyncio.Task[list[Any]]] = set()
        self._retiring: dict[asyncio.Task[None], Node] = {}

    def place(self, key: str) -> Address | None:
        """Where the key is believed to be, without asking; None when nothing is known yet."""
        return None if self._map is None else self._map.owner(key)

    async def send(self, key: str, *commands: Command, within_s: float | None = None) -> list[Any]:
        """Send commands about the hash slot of `key`, in one round trip.

        What is not done in time is left to itself, not cancelled: a connection may take longer to open than a command
        may last, and a reply that nobody waits for must not meet the next caller. The sockets' timeouts end it.
        """
        if len(self._under_way) >= MAX_UNDER_WAY:
            raise RedisBusy(f"{MAX_UNDER_WAY} operations are waiting for Redis")
        wait_s = self._deadline_s if within_s is None else within_s
        task = asyncio.ensure_future(self._sent(key, commands))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait({task}, timeout=wait_s)
        if not task.done():
            raise RedisUnreachable(f"Redis did not answer within {wait_s * 1000:g} ms")
        error = task.exception()
        if error is None:
            return task.result()
        fault = self._told(error)
        if isinstance(error, ResponseError) and not _is_misplaced(error):
            raise RedisRefusal(fault) from error
        raise RedisUnreachable(fault) from error

    def _learning(self, password: Callable[[], str]) -> Callable[[], str]:
        def learnt() -> str:
            found = password()
            self._redactor.learn((found,))
            return found

        return learnt

    def _told(self, error: BaseException) -> str:
        """What may be shown of an error. Servers quote what they were sent, and say what they like."""
        text = str(error).partition(_QUOTED_ARGUMENTS)[0]
        kind = "" if isinstance(error, ConnectFault) else f"{type(error).__name__}: "
        return visible(one_line(self._redactor.cut(f"Redis: {kind}{text}")))[:MAX_FAULT_CHARS]

    async def close(self) -> None:
        """Give up what is under way and close the connections."""
        nodes = [*self._nodes.values(), *self._retiring.values()]
        tasks = [*self._under_way, *self._retiring, *([] if self._finding is None else [self._finding])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for node in nodes:
            await node.close()
        await self._finder.close()

    async def _sent(self, key: str, commands: Sequence[Command]) -> list[Any]:
        known = self._map or await self._found()
        address = known.owner(key)
        if address is None:
            self._doubt()
            raise ClusterDownError("no server of the cluster has the slot of this key")
        replies: list[Any] = [None] * len(commands)
        waiting = list(range(len(commands)))
        asking = False
        for _ in range(1 + MAX_REDIRECTIONS):
            answers = await self._asked(address, [commands[at] for at in waiting], asking=asking)
            for at, answer in zip(waiting, answers, strict=True):
                replies[at] = answer
            redirected = [at for at in waiting if isinstance(replies[at], AskError)]
            if not redirected:
                return replies
            waiting = redirected
            address, asking = await self._redirected(replies[redirected[0]], address)
        raise ClusterDownError(f"redirected more than {MAX_REDIRECTIONS} times: the cluster is being changed")

    async def _asked(self, address: Address, commands: Sequence[Command], *, asking: bool) -> list[Any]:
        """The replies of one server, redirections among them. Raises for any other error."""
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = self._new_node(address)
        if asking:
            node.lent_at = self._clock()
        try:
            answers = await node.send(commands, asking=asking)
        except (RedisError, OSError, TimeoutError):
            self._doubt()
            raise
        for answer in answers:
            if isinstance(answer, ResponseError) and not isinstance(answer, AskError):
                if _is_misplaced(answer):
                    self._doubt(address)
                raise answer
        return answers

    def _new_node(self, address: Address) -> Node:
        connections = self._dialer.server(address, timeout_s=self._deadline_s)
        return Node(connections, timeout_s=self._deadline_s)

    async def _redirected(self, answer: AskError, by: Address) -> tuple[Address, bool]:
        """Where to go on, and whether the slot is only on its way there. Raises for where nobody may send us.

        A connection begins with the password. So only a cluster is followed, and only to servers that it has named
        when it was asked who belongs to it.
        """
        if not self._follows:
            raise ConnectFault(
                f"{by} is part of a cluster and sends us to other servers, which is not followed: write "
                "redis+cluster for redis in the URL"
            )
        address = Address(str(answer.host) or by.host, int(answer.port))
        if self._map is None or not self._map.names(address):
            # Perhaps it has joined since.
            self._doubt()
            if self._finding is not None:
                await asyncio.shield(self._finding)
            if self._map is None or not self._map.names(address):
                raise ClusterDownError("redirected to a server that the cluster does not name: not followed")
        if not isinstance(answer, MovedError):
            return address, True
        self._map.move(int(answer.slot_id), address)
        self._doubt()
        return address, False

    def _ended(self, task: "asyncio.Task[list[Any]]") -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: its caller may have left

    async def _found(self) -> SlotMap:
        """The first map."""
        self._doubt()
        try:
            if self._finding is not None:
                await asyncio.shield(self._finding)
        except (RedisError, OSError, TimeoutError) as error:
            # Also when a server has answered that it is neither a sentinel nor part of a cluster.
            raise RedisConnectionError(f"nobody says where Redis is: {_of(error)}") from error
        if self._map is None:
            raise RedisConnectionError("nobody has said where Redis is yet")
        return self._map

    def _doubt(self, suspect: Address | None = None) -> None:
        """Find out again who has what, and leave all connections to a suspect."""
        if suspect is not None:
            self._suspects.add(suspect)
        if self._finding is None or self._finding.done():
            self._finding = asyncio.ensure_future(self._find())
            self._finding.add_done_callback(_seen)

    async def _find(self) -> None:
        await asyncio.sleep(max(0.0, self._found_at + FIND_EVERY_S - self._clock()))
        self._found_at = self._clock()
        self._map = await self._finder.find()
        has_slots, lent_since = self._map.addresses, self._clock() - LENT_S
        for address, node in list(self._nodes.items()):
            lent = node.lent_at is not None and node.lent_at >= lent_since
            if address in self._suspects or not (address in has_slots or lent):
                del self._nodes[address]
                task = asyncio.ensure_future(node.retire())
                self._retiring[task] = node
                task.add_done_callback(self._retiring.pop)
        self._suspects.clear()


def _is_misplaced(error: Exception) -> bool:
    """Whether the answer is that of a server which cannot serve the key now: a replica, or part of a broken cluster.

    The error of a script quotes that of its command (before Redis 7), behind other words.
    """
    return isinstance(error, ReadOnlyError | ClusterDownError | TryAgainError) or "-READONLY " in str(error)


def _of(error: Exception) -> str:
    return str(error) if isinstance(error, ConnectFault) else f"{type(error).__name__}: {error}"


def _seen(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        task.exception()
