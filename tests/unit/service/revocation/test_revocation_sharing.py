"""Sharing over a scripted log: what depends on the order of many events, and on which round reads what."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from extauthz.pdp.revocation.revocation import Revocation, RevokedBy, undo_of
from extauthz.service.revocation.revocation_sharing import MAX_REREAD, WHOLE_EVERY_S
from extauthz.service.revocation.revocations import STALE_AFTER_S
from tests.support.revocation_fleet import Hand, MemoryLog, Replica
from tests.support.revocations import revocation
from tests.support.tokens import NOW


class CountingLog(MemoryLog):
    """Notes what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def head(self) -> Any:
        self.asked.append("head")
        return await super().head()

    async def entries(self, since: int) -> Any:
        self.asked.append("entries")
        return await super().entries(since)

    async def read(self, ids: Any, *, first_secret: bool = False) -> Any:
        self.asked.append("read")
        return await super().read(ids, first_secret=first_secret)


def run(main: Callable[[MemoryLog, Replica, Replica], Coroutine[Any, Any, None]], log: MemoryLog | None = None) -> None:
    log = log or MemoryLog()
    clock = Hand()
    asyncio.run(main(log, Replica(log, clock), Replica(log, clock)))


def test_a_round_without_news_asks_once() -> None:
    log = CountingLog()

    async def main(_: MemoryLog, one: Replica, two: Replica) -> None:
        await one.revoke(revocation())
        await two.round()
        log.asked.clear()
        await two.round()
        assert log.asked == ["head"]

    run(main, log)


def test_news_are_read_and_nothing_else() -> None:
    log = CountingLog()

    async def main(_: MemoryLog, one: Replica, two: Replica) -> None:
        await one.revoke(*(revocation() for _ in range(150)))
        await two.round()
        item = revocation()
        await one.revoke(item)
        log.asked.clear()
        await two.round()
        assert two.knows(item)
        assert log.asked == ["head", "entries", "read"]

    run(main, log)


def test_every_item_is_read_again_in_turns() -> None:
    """However long the list is, a spoilt item is put right after as many whole rounds as it takes."""

    async def main(log: MemoryLog, one: Replica, _: Replica) -> None:
        items = [revocation(by=RevokedBy.JTI, value=f"j{number}") for number in range(MAX_REREAD + 50)]
        await one.revoke(*items)
        await one.round()
        for spoilt in (items[0], items[-1]):
            del log.items[spoilt.id]
        for _round in range(3):
            one.clock.now += WHOLE_EVERY_S
            await one.round()
        assert len(log.items) == len(items)

    run(main)


def test_a_clock_that_was_set_back_leads_to_a_whole_round() -> None:
    async def main(log: MemoryLog, one: Replica, two: Replica) -> None:
        item = revocation()
        await one.revoke(item)
        await one.round()
        log.log.clear()
        one.clock.now -= 3_600
        await one.round()
        await two.round()
        assert two.knows(item)

    run(main)


def test_time_that_a_round_takes_counts_against_it() -> None:
    """What was written after a round began may have been missed by it."""

    class Slow(MemoryLog):
        async def head(self) -> Any:
            found = await super().head()
            clock.now += STALE_AFTER_S
            return found

    clock = Hand()
    replica = Replica(Slow(), clock)
    asyncio.run(replica.round())
    assert replica.is_stale()


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_nothing_known_is_lost_and_all_come_to_know_the_same(seed: int) -> None:
    """Random revocations, undos, flushes, outages, losses of parts, in any order, among three processes."""

    async def main() -> None:
        lots, log, clock = random.Random(seed), MemoryLog(seed), Hand()
        replicas = [Replica(log, clock) for _ in range(3)]
        told: list[list[Revocation]] = [[] for _ in replicas]

        async def revoke(number: int) -> None:
            mine = replicas[number].known.in_force(clock())
            item = revocation(by=RevokedBy.JTI, value=f"j{lots.randrange(8)}", before=0)
            if mine and lots.random() < 0.3:
                item = undo_of(lots.choice(mine), id=item.id, source="admin")
            told[number].append(item)
            await replicas[number].revoke(item)

        for _ in range(80):
            number = lots.randrange(3)
            match lots.randrange(9):
                case 0 | 1 | 2:
                    await revoke(number)
                case 3 | 4 | 5:
                    await asyncio.gather(replicas[number].round(), replicas[lots.randrange(3)].round())
                case 6:
                    log.away = not log.away
                case 7:
                    log.reset()
                case _:
                    if log.items:
                        del log.items[lots.choice(sorted(log.items))]
                    if log.log and lots.random() < 0.5:
                        del log.log[lots.randrange(len(log.log))]
            clock.now += lots.choice((0.2, 0.2, 3.0))
            for replica, items in zip(replicas, told, strict=True):
                assert {item.id for item in items} <= {item.id for item in replica.known.items(clock())}

        log.away = False
        # A whole round of each writes what is missing, and another reads it.
        for _ in range(2):
            clock.now += WHOLE_EVERY_S
            for replica in replicas:
                await replica.round()
        for replica in replicas:
            assert await replica.round() == ""
            assert not replica.is_stale()
        everything = {item for items in told for item in items}
        assert all(set(replica.known.items(clock())) == everything for replica in replicas)
        assert len({frozenset(replica.known.in_force(clock())) for replica in replicas}) == 1
        assert NOW < clock()

    asyncio.run(main())
