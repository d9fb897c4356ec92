"""The bounds of the in-process store; what every store does is in tests/contract."""

import asyncio

from extauthz.adapters.memory_store import MemoryStore
from tests.support.clock import Clock, run


def test_beyond_its_entries_the_least_recently_used_goes() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock, max_entries=2)
        await store.put("a", b"1", 60)
        await store.put("b", b"2", 60)
        await store.get("a")
        await store.put("c", b"3", 60)
        assert [await store.get(key) for key in "abc"] == [b"1", None, b"3"]

    run(main, at=0)


def test_beyond_its_bytes_as_many_go_as_must() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock, max_bytes=100)
        for key in "abcd":
            await store.put(key, b"x" * 24, 60)
        await store.put("e", b"x" * 49, 60)
        assert [await store.get(key) is not None for key in "abcde"] == [False, False, True, True, True]

    run(main, at=0)


def test_an_entry_larger_than_the_store_is_not_kept_and_pushes_nothing_out() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock, max_bytes=100)
        await store.put("a", b"1", 60)
        await store.put("b", b"x" * 101, 60)
        assert [await store.get("a"), await store.get("b")] == [b"1", None]

    run(main, at=0)


def test_replaced_removed_and_ended_entries_give_their_bytes_back() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=clock, max_bytes=100)
        for _ in range(50):
            await store.put("a", b"x" * 60, 60)
            await store.delete_if_equal("a", b"x" * 60)
            await store.put("b", b"x" * 60, 1)
            await store.put("b", b"x" * 70, 1)
            await asyncio.sleep(1)
            assert await store.get("b") is None
        await store.put("c", b"x" * 99, 60)
        assert await store.get("c") is not None

    run(main, at=0)


def test_an_entry_ends_at_its_very_moment() -> None:
    async def main(clock: Clock) -> None:
        store = MemoryStore(clock=lambda: start + elapsed[0])
        await store.put("a", b"1", 5)
        elapsed[0] = 4.999
        assert await store.get("a") == b"1"
        elapsed[0] = 5.0
        assert await store.get("a") is None
        assert await store.put_if_absent("a", b"2", 5) == b"2"

    start, elapsed = 1000.0, [0.0]
    run(main, at=0)
