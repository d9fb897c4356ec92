"""The connections to one server: only such as are ready to be used, and never more than a bound.

Making one (name, TCP, TLS, sign-in, first reply) takes as long as it takes, within a limit of its own, in a task of its
own. Who needs one waits for whichever comes first, one that is made or one that is given back, but not longer than a
command may last; one that comes too late for its caller is there for the next. A proxy that delays the first reply of
each connection therefore costs the first callers a miss, and nothing after them.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

FAULTS: Final = (RedisError, OSError, TimeoutError)
"""What making or using a connection raises when the server, or the way to it, is at fault."""


class Connections:
    """One event loop. `make` gives a connection that has been answered at least once, within a limit of its own."""

    def __init__(self, make: Callable[[], Awaitable[AbstractConnection]], *, at_most: int, wait_s: float) -> None:
        self._make = make
        self._at_most = at_most
        self._wait_s = wait_s
        self._idle: list[AbstractConnection] = []
        self._lent: set[AbstractConnection] = set()
        self._making: set[asyncio.Task[None]] = set()
        self._waiting: deque[asyncio.Future[AbstractConnection]] = deque()
        self._closed = False

    @contextlib.asynccontextmanager
    async def lent(self) -> AsyncIterator[AbstractConnection]:
        """A connection for one exchange. After a fault it is closed, since a late reply may be on its way.

        Raises the fault with which none could be made, or that none was ready in time.
        """
        connection = await self._taken()
        try:
            yield connection
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            if self._closed:
                await connection.disconnect(nowait=True)
            self._give_back(connection)

    async def close(self) -> None:
        """Close all; what is being made as well."""
        self._closed = True
        making = tuple(self._making)
        for task in making:
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)
        for connection in (*self._idle, *self._lent):
            await ended(connection)
        self._idle.clear()

    async def _taken(self) -> AbstractConnection:
        while self._idle:
            connection = self._idle.pop()
            if await _is_quiet(connection):
                self._lent.add(connection)
                return connection
            await connection.disconnect(nowait=True)
        arrival: asyncio.Future[AbstractConnection] = asyncio.get_running_loop().create_future()
        self._waiting.append(arrival)
        self._make_more()
        try:
            await asyncio.wait({arrival}, timeout=self._wait_s)
        except BaseException:
            # The caller was cancelled, perhaps in the very moment in which the connection came.
            self._leave(arrival)
            if not arrival.cancelled() and arrival.exception() is None:
                self._give_back(arrival.result())
            raise
        if not arrival.done():
            self._leave(arrival)
            busy = f"all {self._at_most} are in use" if len(self._lent) == self._at_most else "one is being made"
            raise RedisTimeoutError(f"no connection within {self._wait_s * 1000:g} ms: {busy}")
        return arrival.result()

    def _leave(self, arrival: asyncio.Future[AbstractConnection]) -> None:
        arrival.cancel()
        if arrival in self._waiting:
            self._waiting.remove(arrival)

    def _give_back(self, connection: AbstractConnection) -> None:
        self._lent.discard(connection)
        self._offer(connection)

    def _offer(self, connection: AbstractConnection) -> None:
        """To who has waited longest, else to the next."""
        if not connection.is_connected:
            self._make_more()
            return
        while self._waiting:
            arrival = self._waiting.popleft()
            if not arrival.done():
                self._lent.add(connection)
                arrival.set_result(connection)
                return
        self._idle.append(connection)

    def _make_more(self) -> None:
        """One for each who waits, as far as the bound allows."""
        room = self._at_most - len(self._idle) - len(self._lent) - len(self._making)
        for _ in range(min(room, len(self._waiting) - len(self._making))):
            if self._closed:
                return
            task = asyncio.ensure_future(self._made())
            self._making.add(task)
            task.add_done_callback(self._making.discard)

    async def _made(self) -> None:
        try:
            connection = await self._make()
        except FAULTS as fault:
            self._failed(fault)
            return
        if self._closed:
            await connection.disconnect(nowait=True)
            return
        self._offer(connection)

    def _failed(self, fault: Exception) -> None:
        """Tell those who wait, unless others are in use that will be given back."""
        if self._lent:
            return
        waiting, self._waiting = self._waiting, deque()
        for arrival in waiting:
            if not arrival.done():
                arrival.set_exception(fault)


async def ended(connection: AbstractConnection) -> None:
    """Close, and wait for that, but not for longer than making one may take."""
    with contextlib.suppress(*FAULTS):
        await connection.disconnect()


async def _is_quiet(connection: AbstractConnection) -> bool:
    """Whether nobody closed it meanwhile, and nothing has come that nobody asked for."""
    try:
        return connection.is_connected and not await connection.can_read()
    except FAULTS:
        return False
