"""What every `Store` does, over every store that there is."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest

from extauthz.adapters.memory_store import MemoryStore
from extauthz.adapters.redis.store import connect
from extauthz.service.cache.signed_entry import MAX_ENTRY_BYTES
from extauthz.service.ports import Store
from tests.contract.conftest import Backing

GENEROUS_S = 10.0
"""Deadline for tests of what an operation does, connecting by TLS included: this machine may be busy."""

Body: TypeAlias = Callable[[Store, Store], Awaitable[None]]


@asynccontextmanager
async def two_stores(backing: Backing | None) -> AsyncIterator[tuple[Store, Store]]:
    """Two processes' view of one store."""
    if backing is None:
        store = MemoryStore(clock=time.monotonic)
        yield store, store
        return
    backing.flush()
    one, two = (connect(backing.url, clock=time.monotonic, deadline_s=GENEROUS_S) for _ in range(2))
    try:
        yield one, two
    finally:
        await one.close()
        await two.close()


KINDS = {
    "memory": "",
    "redis": "single",
    "resp3": "typed",
    "unix socket": "local",
    "TLS": "encrypted",
    "Sentinel": "watched",
    "Cluster": "clustered",
    "Cluster with TLS": "encrypted_cluster",
    "Redis 6.2": "oldest",
    "Sentinel of Redis 6.2": "watched_oldest",
    "Cluster of Redis 6.2": "clustered_oldest",
}
"""Each over a fixture of conftest.py."""


@pytest.fixture(params=KINDS)
def over(request: pytest.FixtureRequest) -> Callable[[Body], None]:
    """Runs a body of the contract over one kind of store."""
    fixture = KINDS[request.param]
    backing: Backing | None = request.getfixturevalue(fixture) if fixture else None

    def run(body: Body) -> None:
        async def main() -> None:
            async with two_stores(backing) as (one, two):
                await body(one, two)

        asyncio.run(main())

    return run


def test_what_one_process_puts_the_other_gets(over: Callable[[Body], None]) -> None:
    async def body(one: Store, two: Store) -> None:
        await one.put("k", bytes(range(256)), 60)
        assert await two.get("k") == bytes(range(256))

    over(body)


def test_an_absent_entry_is_none(over: Callable[[Body], None]) -> None:
    async def body(one: Store, _: Store) -> None:
        assert await one.get("nothing") is None

    over(body)


def test_a_later_put_replaces_an_earlier_one(over: Callable[[Body], None]) -> None:
    async def body(one: Store, two: Store) -> None:
        await one.put("k", b"first", 60)
        await two.put("k", b"second", 60)
        assert await one.get("k") == b"second"

    over(body)


def test_an_entry_ends_with_its_time(over: Callable[[Body], None]) -> None:
    async def body(one: Store, two: Store) -> None:
        await one.put("k", b"v", 0.01)
        for _ in range(500):
            if await two.get("k") is None:
                return
            await asyncio.sleep(0.01)
        pytest.fail("an entry of 10 ms is there after seconds")

    over(body)


@pytest.mark.parametrize("ttl_s", [0, -1, float("inf"), float("nan")])
def test_nothing_is_written_without_an_end_of_life(over: Callable[[Body], None], ttl_s: float) -> None:
    async def body(one: Store, _: Store) -> None:
        await one.put("k", b"v", ttl_s)
        assert await one.put_if_absent("l", b"v", ttl_s) == b"v"
        assert (await one.get("k"), await one.get("l")) == (None, None)

    over(body)


def test_put_if_absent_writes_once_and_tells_both_what_stands_there(over: Callable[[Body], None]) -> None:
    async def body(one: Store, two: Store) -> None:
        assert await one.put_if_absent("k", b"first", 60) == b"first"
        assert await two.put_if_absent("k", b"second", 60) == b"first"
        assert await one.put_if_absent("k", b"first", 60) == b"first"
        assert await two.get("k") == b"first"

    over(body)


def test_of_many_who_claim_at_once_exactly_one_wins(over: Callable[[Body], None]) -> None:
    async def body(one: Store, two: Store) -> None:
        claims = [b"claim %d" % number for number in range(16)]
        stores = (one, two)
        standing = await asyncio.gather(
            *(stores[number % 2].put_if_absent("k", claim, 60) for number, claim in enumerate(claims))
        )
        assert len(set(standing)) == 1
        assert standing[0] in claims

    over(body)


def test_a_claim_has_an_end_of_life(over: Callable[[Body], None]) -> None:
    async def body(one: Store, two: Store) -> None:
        await one.put_if_absent("k", b"first", 0.01)
        for _ in range(500):
            if await two.put_if_absent("k", b"second", 60) == b"second":
                return
            await asyncio.sleep(0.01)
        pytest.fail("a claim of 10 ms is there after seconds")

    over(body)


def test_delete_if_equal_removes_only_what_it_names(over: Callable[[Body], None]) -> None:
    async def body(one: Store, two: Store) -> None:
        await one.put("k", b"v", 60)
        await two.delete_if_equal("k", b"w")
        assert await one.get("k") == b"v"
        await two.delete_if_equal("k", b"v")
        assert await one.get("k") is None
        await two.delete_if_equal("k", b"v")

    over(body)


def test_a_large_entry_comes_back_whole(over: Callable[[Body], None]) -> None:
    async def body(one: Store, two: Store) -> None:
        await one.put("k", b"x" * MAX_ENTRY_BYTES, 60)
        assert await two.get("k") == b"x" * MAX_ENTRY_BYTES

    over(body)
