"""Keeps the session bindings that this process knows in the shared store, whatever happens to the store.

A store that was flushed, restarted without its data, or failed over to a copy that lagged behind would leave sessions
free for whoever comes first. Each process leaves a mark of its own there and looks for it once a second: when the mark
is gone, everything that the process knows is put there again, and after the store was away what was bound or ended
meanwhile. What other processes have bound is settled as always: the earlier binding counts, and ended is ended.
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Final

from extauthz.service.cache.bounded_cache import ENTRY_BYTES, BoundedCache
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.ports import Store, StoreUnavailable
from extauthz.service.sessions.binding import RENEW_S, TTL_S, Binding

STEP_S: Final = 1.0
"""How often the mark is looked for."""
MARK_TTL_S: Final = 600
MARK_RENEW_S: Final = 300.0
AT_ONCE: Final = 2
"""Entries under way at the same time while bindings are put back. Checks need the store and the event loop meanwhile:
16 added 8 to 12 ms to the p99 of what asks the store, 2 add 3 ms."""

_KIND: Final = "mark"


class BindingKeeper:
    """One event loop. `process` is a name that no other process has; `clock` gives Unix seconds."""

    def __init__(
        self,
        *,
        bindings: BoundedCache[Binding],
        store: Store,
        signer: Signer,
        process: str,
        clock: Callable[[], float],
    ) -> None:
        self._bindings = bindings
        self._store = store
        self._signer = signer
        self._mark = f"{_KIND}:{process}"
        self._clock = clock
        self._renew_at = 0.0
        self._reached_at = clock()
        self._away = False
        self._pending: list[tuple[Hashable, Binding]] = []

    async def step(self) -> None:
        """Look for the mark and put back what may be missing. Never raises; what failed is tried in the next step."""
        now = self._clock()
        try:
            entry = await self._store.get(self._mark)
            lost = entry is None or self._signer.open(_KIND, self._mark, entry, now) is None
            if lost:
                self._pending = self._known(since=0.0, now=now)
            elif self._away:
                self._pending += self._known(since=self._reached_at, now=now)
            if lost or now >= self._renew_at:
                mark = self._signer.sign(_KIND, self._mark, b"", int(now) + MARK_TTL_S)
                await self._store.put(self._mark, mark, MARK_TTL_S)
                self._renew_at = now + MARK_RENEW_S
            self._reached_at, self._away = now, False
            await self._put_back()
        except StoreUnavailable:
            self._away = True

    def _known(self, *, since: float, now: float) -> list[tuple[Hashable, Binding]]:
        """The bindings that were made, used or ended since then."""
        return [(name, each) for name, each in self._bindings.items(now) if each.until - TTL_S >= since]

    async def _put_back(self) -> None:
        while self._pending:
            await asyncio.gather(*(self._settle(name, mine) for name, mine in self._pending[:AT_ONCE]))
            del self._pending[:AT_ONCE]

    async def _settle(self, name: Hashable, mine: Binding) -> None:
        now = self._clock()
        # It may have been used or ended since it was picked, and the store may not have taken that.
        mine = self._bindings.get(name, now) or mine
        # What is remembered lives, also where a clock that was set ahead says otherwise.
        ttl_s = int(mine.until - now)
        ttl_s = ttl_s if ttl_s > 0 else RENEW_S
        entry = await self._store.put_if_absent(mine.key, mine.signed(self._signer), ttl_s)
        standing = Binding.opened(self._signer, mine.key, entry)
        # What is none of ours tells nothing, and is replaced.
        binding = mine if standing is None else mine.joined(standing, one_owner=mine.owner == standing.owner)
        if standing is None or binding.outdates(standing):
            write = binding.write(self._signer, now)
            await self._store.put(write.key, write.value, write.ttl_s)
        if (binding.owner, binding.ended) != (mine.owner, mine.ended):
            self._bindings.put_if_same(name, mine, binding, until=binding.until, now=now, size_bytes=ENTRY_BYTES)
