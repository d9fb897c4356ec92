"""Processes that share revocations through a store, round by round, with a clock in the test's hand.

async with fleet(server.url) as (one, two):
    await one.revoke(item)                put in force, and offered to the others
    assert await two.round() == ""        in step
    assert two.knows(item)
    two.clock.now += WHOLE_EVERY_S        the next round reads everything
"""

import asyncio
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from extauthz.adapters.redis.connect import redis_client
from extauthz.adapters.redis.revocation_log import PREFIX, RedisRevocationLog
from extauthz.pdp.revocation.revocation import Revocation, key_of
from extauthz.service.ports import CacheKind, CacheResult, StoreUnavailable, Tier
from extauthz.service.revocation.revocation_cipher import RevocationCipher
from extauthz.service.revocation.revocation_sharing import (
    BATCH,
    WHOLE_EVERY_S,
    Entry,
    Head,
    RevocationLog,
    RevocationSharing,
)
from extauthz.service.revocation.revocations import Revocations
from tests.support.key_fleet import Recorder
from tests.support.tokens import NOW

SECRET = b"s" * 32
DEADLINE_S = 5.0
"""Of one command, where nothing is meant to be slow: this machine may be busy."""


@dataclass(slots=True)
class Hand:
    """A clock that the test sets. Unix seconds."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


class Replica:
    """One process."""

    def __init__(self, log: RevocationLog, clock: Hand, passed: Hand | None = None) -> None:
        """`passed` is the time that nobody sets; without it, `clock` alone says when items end."""
        self.clock = clock
        self.observer = Recorder()
        steady = {} if passed is None else {"monotonic": passed}
        self.known = Revocations(shared_since=clock.now, **steady)
        self.sharing = RevocationSharing(revocations=self.known, log=log, observer=self.observer, clock=clock)

    async def round(self) -> str:
        return await self.sharing.round()

    async def revoke(self, *items: Revocation) -> bool:
        assert self.known.add(items, self.clock())
        return await self.sharing.share(items)

    def knows(self, item: Revocation) -> bool:
        now = self.clock()
        return item in self.known.in_force(now) and self.known.revoked([key_of(item)], item.before, now) is not None

    def is_stale(self) -> bool:
        return self.known.stale(self.clock())

    def seen(self, result: CacheResult) -> int:
        return self.observer.look_ups.count((Tier.REDIS, CacheKind.REVOCATION, result))


@asynccontextmanager
async def fleet(
    url: str,
    *,
    count: int = 2,
    secret_sets: tuple[tuple[bytes, ...], ...] = (),
    deadline_s: float = DEADLINE_S,
) -> AsyncIterator[list[Replica]]:
    """Processes over a real Redis, all with one clock. `secret_sets` are the cache secrets of each, for its number."""
    sets = secret_sets or ((SECRET,),) * count
    clients = [redis_client(url, clock=time.monotonic, deadline_s=deadline_s) for _ in sets]
    clock = Hand()
    logs = [
        RedisRevocationLog(
            client,
            cipher=RevocationCipher(each, os.urandom),
            new_epoch=lambda: secrets.token_hex(16),
            clock=clock,
        )
        for client, each in zip(clients, sets, strict=True)
    ]
    try:
        yield [Replica(log, clock) for log in logs]
    finally:
        await asyncio.gather(*(client.close() for client in clients))


Body: TypeAlias = Callable[[list[Replica]], Awaitable[None]]


def over(url: str, body: Body, *, count: int = 2, secret_sets: tuple[tuple[bytes, ...], ...] = ()) -> None:
    """Run a test's body with a fleet over a Redis."""

    async def main() -> None:
        async with fleet(url, count=count, secret_sets=secret_sets) as replicas:
            await body(replicas)

    asyncio.run(main())


def item_key(item: Revocation) -> str:
    """Where an item stands."""
    return f"{PREFIX}item:{item.id}"


async def whole(*replicas: Replica) -> None:
    """Let each read and write everything once, as it does every few seconds."""
    replicas[0].clock.now += WHOLE_EVERY_S
    for replica in replicas:
        await replica.round()


async def until_in_step(replica: Replica) -> None:
    """Rounds until one is complete; each is bounded by the client's own deadlines."""
    for _ in range(200):
        if await replica.round() == "" and not replica.sharing.unshared:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("not in step after 200 rounds")


class MemoryLog:
    """`RevocationLog` in memory, for what depends on the order of many events. May be lost, spoilt, or away."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self.away = False
        self.reset()

    def reset(self) -> None:
        """What a flush does."""
        self._head = Head()
        self.log: list[tuple[int, Entry]] = []
        self.items: dict[str, Revocation] = {}

    async def head(self) -> Head:
        await self._asked()
        return self._head

    async def entries(self, since: int) -> list[Entry]:
        await self._asked()
        return [entry for number, entry in self.log if number >= since]

    async def read(self, ids: Sequence[str], *, first_secret: bool = False) -> list[Revocation | None]:
        await self._asked()
        assert len(ids) <= BATCH
        return [self.items.get(id_) for id_ in ids]

    async def append(self, items: Sequence[Revocation], now: float) -> None:
        await self._asked()
        assert len(items) <= BATCH
        head = self._head
        if not head.epoch:
            head = Head(f"{self._random.getrandbits(64):x}", max((number for number, _ in self.log), default=0), "-")
        there = {entry.id for _, entry in self.log}
        for item in items:
            if item.id not in there:
                head = Head(head.epoch, head.count + 1, item.id)
                self.log.append((head.count, Entry(item.id, item.until, item.id)))
            self.items[item.id] = item
        self._head = head

    async def prune(self, entries: Sequence[Entry]) -> None:
        await self._asked()
        gone = {entry.text for entry in entries}
        self.log = [(number, entry) for number, entry in self.log if entry.text not in gone]

    async def retire(self, entries: Sequence[Entry]) -> None:
        await self.prune(entries)
        for entry in entries:
            self.items.pop(entry.id, None)

    async def _asked(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("scripted")
