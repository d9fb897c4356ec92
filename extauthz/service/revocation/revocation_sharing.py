"""How processes that share a store come to know the same revocations.

The store holds a log: one entry per item, in the order of writing, and a *head* that changes with every entry. It is a
messenger and no authority. Nobody takes what it says for complete or for lasting:

1. A round reads the head, five times a second. It says the same as before: nothing is new.
2. It moved on, and our last entry still stands where it stood: read the entries behind it.
3. Anything else (another epoch after a flush or a restart, fewer entries after a failover, a gap), and every
   `WHOLE_EVERY_S` in any case: read the whole log, learn what is new, and write what we know and it does not have.
   A part of the items that it does have is read again each time, and written again where it was spoilt.
4. A round is complete when every entry was read and understood. An entry that cannot be is looked at again in the next
   rounds; until it can be read, or ends, the process does not count as in step.

Nothing that stands in the store, and nothing that does not, removes an item from a process that knows it. Only an item
for which a merged one stands (`service.revocation.bounds`) is let go of, here, and in the log once that has the merged.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol, TypeVar

from extauthz.pdp.revocation.revocation import Revocation
from extauthz.service.ports import CacheKind, CacheResult, Observer, StoreUnavailable, Tier
from extauthz.service.revocation.revocations import MAX_REVOCATIONS, Revocations

Value = TypeVar("Value")

WHOLE_EVERY_S: Final = 10.0
"""How long a fault of the log that its head does not show can last."""
BATCH: Final = 100
"""Items read or written in one round trip."""
AT_A_STRETCH: Final = 1_000
"""Entries looked at before others on the event loop have a turn: a millisecond or two."""
MAX_REREAD: Final = 2_000
"""Known items read again in one whole round. A longer list is gone through in turns."""
MAX_RETRIED: Final = 100
"""Entries that could not be read and are tried again in one round."""


class LogDamaged(StoreUnavailable):
    """What stands in the log's place is none of ours. `append` puts it right."""


@dataclass(frozen=True, slots=True)
class Head:
    """The state of the log in three words: which log, how many entries were ever written, and the last of them."""

    epoch: str = ""
    """Random, new whenever the log begins anew; empty: there is no log."""
    count: int = 0
    last: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One item in the log: its id, and when it ends at the latest (Unix seconds)."""

    id: str
    ends_at: int
    text: str
    """How it is written; `Head.last` is one of these."""


class RevocationLog(Protocol):
    """The log in a shared store. Every call may raise `StoreUnavailable`, the first two also `LogDamaged`."""

    async def head(self) -> Head:
        """The state of the log."""
        ...

    async def entries(self, since: int) -> list[Entry]:
        """The entries written as number `since` and later, in order; from 0: all. What is no entry is left out."""
        ...

    async def read(self, ids: Sequence[str], *, first_secret: bool = False) -> list[Revocation | None]:
        """The items with these ids, at most `BATCH`; None for one that is not there, or cannot be read.

        `first_secret`: nor one that was written with another secret than the first, which is on its way out.
        """
        ...

    async def append(self, items: Sequence[Revocation], now: float) -> None:
        """Write items, at most `BATCH`, anew where they stand already; put the log right where it is damaged."""
        ...

    async def prune(self, entries: Sequence[Entry]) -> None:
        """Remove entries whose items have ended, by the store's own clock."""
        ...

    async def retire(self, entries: Sequence[Entry]) -> None:
        """Remove entries and items for which the log has a merged item."""
        ...


class RevocationSharing:
    """One process's part. One event loop. `clock` gives Unix seconds."""

    def __init__(
        self, *, revocations: Revocations, log: RevocationLog, observer: Observer, clock: Callable[[], float]
    ) -> None:
        self._revocations = revocations
        self._log = log
        self._observer = observer
        self._clock = clock
        self._head: Head | None = None
        self._whole_at = 0.0
        self._reread_at = 0.0
        self._reread_from = 0
        self._doubtful: dict[str, Entry] = {}
        self._unshared: dict[str, Revocation] = {}
        self._ended: list[Entry] = []
        self._retired: list[Entry] = []
        self._full = False

    async def round(self) -> str:
        """Read what is new, and write what is missing. Why the process is not in step, or empty when it is."""
        began = self._clock()
        try:
            await self._read(began)
        except LogDamaged as fault:
            await self._put_right()
            return str(fault)
        except StoreUnavailable as fault:
            self._observer.looked_up(Tier.REDIS, CacheKind.REVOCATION, CacheResult.UNAVAILABLE)
            return str(fault)
        incomplete = self._incomplete()
        if not incomplete:
            self._revocations.confirm(began)
        await self._write()
        return incomplete

    async def share(self, items: Iterable[Revocation]) -> bool:
        """Write items that are in force here; False: not now, and every round tries again."""
        wanted = {item.id: item for item in items if not self._revocations.replaced(item.id)}
        self._unshared |= wanted
        await self._write()
        return wanted.keys().isdisjoint(self._unshared)

    @property
    def unshared(self) -> int:
        """How many items the log is not known to have."""
        return len(self._unshared)

    async def _read(self, now: float) -> None:
        head = await self._log.head()
        whole = self._head is None or not 0 <= now - self._whole_at < WHOLE_EVERY_S
        if not whole and head != self._head:
            whole = not await self._follow(head, now)
        if whole:
            await self._read_all(head, now)
        elif self._doubtful:
            await self._retry(now)

    async def _follow(self, head: Head, now: float) -> bool:
        """Read what was written after what we have read; False when the log is not the one that we have read."""
        known = self._head
        if known is None or not known.epoch or head.epoch != known.epoch or head.count < known.count:
            return False
        entries = await self._log.entries(known.count)
        if not entries or entries[0].text != known.last or all(entry.text != head.last for entry in entries):
            return False
        self._doubtful |= await self._learn(entries, now)
        self._head = head
        return True

    async def _read_all(self, head: Head, now: float) -> None:
        entries = await self._log.entries(0)
        self._full = False
        doubtful: dict[str, Entry] = {}
        there: set[str] = set()
        ended: list[Entry] = []
        for part in _parts(entries, AT_A_STRETCH):
            there.update(entry.id for entry in part)
            ended += (entry for entry in part if entry.ends_at <= now)
            doubtful |= await self._learn(part, now)
            await asyncio.sleep(0)
        known: list[Revocation] = []
        for items in _parts(self._revocations.items(now), AT_A_STRETCH):
            known += (item for item in items if item.id in there)
            self._unshared |= {item.id: item for item in items if item.id not in there}
            await asyncio.sleep(0)
        self._head, self._whole_at, self._doubtful, self._ended = head, now, doubtful, ended
        self._retired = [entry for entry in entries if self._revocations.replaced(entry.id)]
        if not 0 <= now - self._reread_at < WHOLE_EVERY_S:
            self._reread_at = now
            await self._read_again(known)

    async def _learn(self, entries: Iterable[Entry], now: float) -> dict[str, Entry]:
        """Put in force what entries say; those that could not be read are returned."""
        doubtful: dict[str, Entry] = {}
        new = [entry for entry in entries if now < entry.ends_at and entry.id not in self._revocations]
        for batch in _batches(new):
            found = await self._log.read([entry.id for entry in batch])
            items = [item for item in found if item is not None]
            doubtful |= {entry.id: entry for entry, item in zip(batch, found, strict=True) if item is None}
            if not self._revocations.add(items, now):
                self._full = True
                for item in items:
                    self._revocations.add([item], now)
            for each in found:
                result = CacheResult.INVALID if each is None else CacheResult.HIT
                self._observer.looked_up(Tier.REDIS, CacheKind.REVOCATION, result)
        return doubtful

    async def _retry(self, now: float) -> None:
        tried = dict(islice(self._doubtful.items(), MAX_RETRIED))
        still = await self._learn(tried.values(), now)
        # What was tried goes to the end of the line.
        self._doubtful = {id_: entry for id_, entry in self._doubtful.items() if id_ not in tried} | still

    async def _read_again(self, items: Sequence[Revocation]) -> None:
        start = self._reread_from if self._reread_from < len(items) else 0
        turn = items[start : start + MAX_REREAD]
        self._reread_from = start + MAX_REREAD
        for batch in _batches(turn):
            found = await self._log.read([item.id for item in batch], first_secret=True)
            self._unshared |= {item.id: item for item, other in zip(batch, found, strict=True) if item != other}

    async def _put_right(self) -> None:
        self._head = None
        try:
            await self._log.append([], self._clock())
        except StoreUnavailable:
            # The next round meets the same damage.
            return

    async def _write(self) -> None:
        self._unshared |= {item.id: item for item in self._revocations.take_merges()}
        try:
            for batch in _batches(list(self._unshared.values())):
                await self._log.append(batch, self._now_for(batch))
                for item in batch:
                    self._unshared.pop(item.id, None)
            retired, self._retired = self._retired, []
            for entries in _batches(retired):
                await self._log.retire(entries)
            ended, self._ended = self._ended, []
            for entries in _batches(ended):
                await self._log.prune(entries)
        except StoreUnavailable:
            # What could not be written is tried again in the next round; what could not be removed, in the next whole.
            self._observer.looked_up(Tier.REDIS, CacheKind.REVOCATION, CacheResult.UNAVAILABLE)

    def _now_for(self, items: Iterable[Revocation]) -> float:
        """The moment from which their lives are counted: a clock that was set ahead must not shorten them."""
        now = self._clock()
        return min([now, *(item.until - self._revocations.life_s(item, now) for item in items)])

    def _incomplete(self) -> str:
        if self._full:
            return (
                f"Redis has more revocations than the {MAX_REVOCATIONS} that a process holds: revoke by client or "
                "organization instead of one by one"
            )
        if self._doubtful:
            return (
                f"{len(self._doubtful)} revocations in Redis cannot be read: give every replica the same cache "
                "secrets; if they have them, the entries are spoilt (see docs/explanation/revocation.md)"
            )
        return ""


def _batches(of: Sequence[Value]) -> Iterator[Sequence[Value]]:
    return _parts(of, BATCH)


def _parts(of: Sequence[Value], length: int) -> Iterator[Sequence[Value]]:
    for start in range(0, len(of), length):
        yield of[start : start + length]
