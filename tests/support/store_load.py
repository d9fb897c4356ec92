"""Load on a shared store while something is done to it: every answer is judged, and how it went is counted."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from extauthz.service.ports import Store, StoreUnavailable

PUT_EVERY = 4
"""One operation in this many writes, as the service's own do."""
ENDS_WITHIN_S = 0.9
"""Far above the deadline of 20 ms, far below what connecting or a failover takes: nobody waits for those."""


@dataclass(slots=True)
class StoreLoad:
    """`callers` ask and write, without a pause worth mentioning, entries that say which key they are for.

    A key's entries are numbered. An answer is wrong that is another key's, or a number that was never written. One that
    is older than the last written is right: what was lost in a failover is lost.
    """

    store: Store
    keys: tuple[str, ...]
    callers: int = 4
    operations: int = 0
    failures: dict[str, int] = field(default_factory=dict[str, int])
    """By key."""
    wrong: list[str] = field(default_factory=list[str])
    slow: int = 0
    _written: dict[str, int] = field(default_factory=dict[str, int])

    async def during(self, work: Callable[[], None]) -> float:
        """Keep up the load while a thread does the work; how long it took, in seconds."""
        began = time.monotonic()
        done = asyncio.get_running_loop().run_in_executor(None, work)
        await self._until(done.done)
        await done
        return time.monotonic() - began

    async def until_all_is_well(self, within_s: float = 15.0) -> float:
        """Keep up the load until every key can be written and read; how long that took, in seconds."""
        began = time.monotonic()
        while not await self._all_is_well():
            assert time.monotonic() - began < within_s, f"no recovery within {within_s:g} s: {self.failures}"
            await self._until(lambda: True)
        return time.monotonic() - began

    def forget(self) -> None:
        """Count from here."""
        self.operations = 0
        self.failures.clear()

    async def _all_is_well(self) -> bool:
        for key in self.keys:
            try:
                await self._write(key)
                await self._read(key)
            except StoreUnavailable:
                return False
        return True

    async def _until(self, done: Callable[[], bool]) -> None:
        async def caller(number: int) -> None:
            turn = number
            while True:
                key = self.keys[turn % len(self.keys)]
                await self._tried(key, self._write if turn % PUT_EVERY == 0 else self._read)
                turn += self.callers
                await asyncio.sleep(0.001)
                if done():
                    return

        await asyncio.gather(*(caller(number) for number in range(self.callers)))

    async def _tried(self, key: str, operation: Callable[[str], Awaitable[None]]) -> None:
        self.operations += 1
        try:
            async with asyncio.timeout(ENDS_WITHIN_S):
                await operation(key)
        except StoreUnavailable:
            self.failures[key] = self.failures.get(key, 0) + 1
        except TimeoutError:
            self.slow += 1

    async def _write(self, key: str) -> None:
        number = self._written[key] = self._written.get(key, 0) + 1
        await self.store.put(key, f"{key}={number}".encode(), 600)

    async def _read(self, key: str) -> None:
        entry = await self.store.get(key)
        if entry is not None:
            name, _, number = entry.decode().rpartition("=")
            if name != key or not 0 < int(number) <= self._written.get(key, 0):
                self.wrong.append(f"{key} gave {entry!r}")
