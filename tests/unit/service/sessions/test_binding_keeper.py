"""What a process knows of sessions survives whatever happens to the store."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from extauthz.adapters.memory_store import MemoryStore
from extauthz.service.cache.bounded_cache import BoundedCache
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.ports import StoreUnavailable
from extauthz.service.sessions.binding import TTL_S, Binding
from extauthz.service.sessions.binding_keeper import AT_ONCE, MARK_TTL_S, BindingKeeper
from tests.support.clock import Clock, run

NOW = 1_800_000_000.0
SEALER = Signer([b"0" * 32])
ALICE, MALLORY = b"alice".ljust(32), b"mallory".ljust(32)


class Store(MemoryStore):
    """A store that may be away, and counts what is written."""

    away = False
    puts = 0

    async def get(self, key: str) -> bytes | None:
        self._reach()
        return await super().get(key)

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        self._reach()
        self.puts += 1
        await super().put(key, value, ttl_s)

    async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bytes:
        self._reach()
        return await super().put_if_absent(key, value, ttl_s)

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


class Process:
    """One process: what it knows, and its keeper."""

    def __init__(self, clock: Clock, store: Store, name: str = "one") -> None:
        self.clock = clock
        self.store = store
        self.bindings: BoundedCache[Binding] = BoundedCache(10_000, 10**8)
        self.keeper = BindingKeeper(bindings=self.bindings, store=store, signer=SEALER, process=name, clock=clock)

    def knows(self, key: str, owner: bytes = ALICE, *, ended: bool = False, since: float | None = None) -> None:
        now = self.clock()
        binding = Binding(owner, ended=ended, since=since or now, until=now + TTL_S, key=key)
        self.bindings.put(key, binding, binding.until, 100)

    async def stored(self, key: str) -> Binding | None:
        return Binding.opened(SEALER, key, await MemoryStore.get(self.store, key))


def in_virtual_time(main: Callable[[Clock], Coroutine[Any, Any, None]]) -> None:
    run(main, at=NOW)


def test_after_a_flush_everything_known_is_there_again_with_the_next_step() -> None:
    async def main(clock: Clock) -> None:
        one = Process(clock, Store(clock=clock))
        await one.keeper.step()
        for number in range(3 * AT_ONCE + 1):
            one.knows(f"binding:{number}", ended=number == 0)
        await one.store.close()
        await one.keeper.step()
        for number in range(3 * AT_ONCE + 1):
            stored = await one.stored(f"binding:{number}")
            assert stored is not None
            assert (stored.owner, stored.ended) == (ALICE, number == 0)

    in_virtual_time(main)


def test_without_a_flush_a_step_writes_nothing() -> None:
    async def main(clock: Clock) -> None:
        one = Process(clock, Store(clock=clock))
        await one.keeper.step()
        one.knows("binding:1")
        before = one.store.puts
        for _ in range(100):
            await asyncio.sleep(1)
            await one.keeper.step()
        assert one.store.puts == before
        assert await one.stored("binding:1") is None

    in_virtual_time(main)


def test_the_mark_is_renewed_before_it_ends() -> None:
    async def main(clock: Clock) -> None:
        one = Process(clock, Store(clock=clock))
        await one.keeper.step()
        one.knows("binding:1")
        for _ in range(3 * MARK_TTL_S):
            await asyncio.sleep(1)
            await one.keeper.step()
        assert await one.stored("binding:1") is None

    in_virtual_time(main)


def test_a_forged_mark_is_none() -> None:
    async def main(clock: Clock) -> None:
        one = Process(clock, Store(clock=clock))
        await one.keeper.step()
        one.knows("binding:1")
        await one.store.put("mark:one", b"forged", 60)
        await one.keeper.step()
        assert await one.stored("binding:1") is not None

    in_virtual_time(main)


def test_what_ended_while_the_store_was_away_is_told_when_it_is_back() -> None:
    async def main(clock: Clock) -> None:
        one = Process(clock, Store(clock=clock))
        one.knows("binding:old")
        one.knows("binding:ended")
        await one.keeper.step()
        await asyncio.sleep(100)
        await one.keeper.step()
        one.store.away = True
        await asyncio.sleep(10)
        await one.keeper.step()
        one.knows("binding:ended", ended=True, since=NOW)
        await asyncio.sleep(10)
        await one.keeper.step()
        one.store.away = False
        before = one.store.puts
        await one.keeper.step()
        ended = await one.stored("binding:ended")
        assert ended is not None
        assert ended.ended
        assert one.store.puts == before + 1  # what did not change was not written

    in_virtual_time(main)


def test_a_store_that_goes_away_again_is_told_the_rest_later() -> None:
    async def main(clock: Clock) -> None:
        class Short(Store):
            left = AT_ONCE

            async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bytes:
                self.left -= 1
                if self.left < 0:
                    raise StoreUnavailable("full")
                return await super().put_if_absent(key, value, ttl_s)

        store = Short(clock=clock)
        one = Process(clock, store)
        for number in range(3 * AT_ONCE):
            one.knows(f"binding:{number}")
        for _ in range(4):
            await one.keeper.step()
            store.left = AT_ONCE
        assert all([await one.stored(f"binding:{number}") for number in range(3 * AT_ONCE)])

    in_virtual_time(main)


class Slow(Store):
    """A store in which whatever is to happen in the middle of putting back happens after so many entries."""

    after = 2 * AT_ONCE
    meanwhile: Callable[[], Coroutine[Any, Any, None]] | None = None

    async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bytes:
        self.after -= 1
        if self.after == 0 and self.meanwhile is not None:
            await self.meanwhile()
        return await super().put_if_absent(key, value, ttl_s)


def test_who_takes_a_session_while_bindings_are_put_back_does_not_keep_it() -> None:
    async def main(clock: Clock) -> None:
        store = Slow(clock=clock)
        one, two = Process(clock, store), Process(clock, store, "two")
        for number in range(4 * AT_ONCE):
            one.knows(f"binding:{number}", since=NOW - 100)
        last = f"binding:{4 * AT_ONCE - 1}"

        async def taken() -> None:
            assert await two.stored(last) is None, "it is not there yet"
            two.knows(last, MALLORY)
            theirs = two.bindings.get(last, clock())
            assert theirs is not None
            await store.put(last, theirs.signed(SEALER), TTL_S)

        store.meanwhile = taken
        await one.keeper.step()
        stored = await one.stored(last)
        assert stored is not None
        assert stored.owner == ALICE

    in_virtual_time(main)


def test_a_session_that_ends_while_bindings_are_put_back_is_put_back_as_ended() -> None:
    """Its end itself was never written: the store did not take it."""

    async def main(clock: Clock) -> None:
        store = Slow(clock=clock)
        one = Process(clock, store)
        for number in range(4 * AT_ONCE):
            one.knows(f"binding:{number}", since=NOW - 100)
        last = f"binding:{4 * AT_ONCE - 1}"

        async def ended() -> None:
            one.knows(last, ended=True, since=NOW - 100)

        store.meanwhile = ended
        await one.keeper.step()
        stored = await one.stored(last)
        assert stored is not None
        assert stored.ended

    in_virtual_time(main)


def test_the_earlier_binding_counts_on_both_sides() -> None:
    async def main(clock: Clock) -> None:
        store = Store(clock=clock)
        one, two = Process(clock, store), Process(clock, store, "two")
        one.knows("binding:1", ALICE, since=NOW - 100)
        two.knows("binding:1", MALLORY, since=NOW)
        for process in (two, one, two):
            await store.close()
            await process.keeper.step()
        stored = await one.stored("binding:1")
        assert stored is not None
        # The last flush left only the later one's word; once the earlier one speaks, it counts for both.
        await one.keeper.step()
        await two.keeper.step()
        await store.close()
        await one.keeper.step()
        await two.keeper.step()
        found = two.bindings.get("binding:1", clock())
        assert found is not None
        assert found.owner == ALICE
        stored = await one.stored("binding:1")
        assert stored is not None
        assert stored.owner == ALICE

    in_virtual_time(main)


def test_an_entry_that_is_none_of_ours_is_replaced() -> None:
    async def main(clock: Clock) -> None:
        one = Process(clock, Store(clock=clock))
        one.knows("binding:1")
        await one.store.put("binding:1", b"rubbish", 1000)
        await one.keeper.step()
        assert await one.stored("binding:1") is not None

    in_virtual_time(main)


def test_everything_written_has_an_end_of_life_no_later_than_the_binding() -> None:
    async def main(clock: Clock) -> None:
        one = Process(clock, Store(clock=clock))
        one.knows("binding:1")
        await asyncio.sleep(TTL_S - 10)
        await one.keeper.step()
        assert await one.stored("binding:1") is not None
        await asyncio.sleep(11)
        assert await one.store.get("binding:1") is None

    in_virtual_time(main)
