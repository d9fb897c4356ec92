"""The revocations that one process knows, and whether it may be missing some that others know.

With a shared store the process is *in step* while its last complete round of reading there began no longer than
`STALE_AFTER_S` ago. Without one nobody else could know more, and it always is.

Items are only ever added and, at their end, forgotten: nothing that is read anywhere takes one away. Of what events
tell, several may be merged into a wider one when there are too many (`service.revocation.bounds`); what a merged item
stands for follows from the items alone, so that two processes that have seen the same items agree.

An item has ended when the wall clock and the time that has passed here since it was learnt both say so: a clock that
is set ahead and back again takes no revocation away.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from heapq import heappop, heappush
from typing import Final

from extauthz.pdp.decision.decision import Deny, Indeterminate
from extauthz.pdp.policy import WhenStale
from extauthz.pdp.reason import Reason
from extauthz.pdp.revocation.revocation import (
    MAX_LIFE_S,
    MERGED_SOURCE,
    OPERATOR_SOURCE,
    Key,
    Revocation,
    covering_keys,
    covers,
    key_of,
    meant_keys,
    merged,
    revokes,
)
from extauthz.service.revocation import bounds

MAX_REVOCATIONS: Final = bounds.MAX_REVOCATIONS
STALE_AFTER_S: Final = 2.0
"""The promise is 1 s while the store is up. Rounds begin every 0.2 s, so this is passed only by several that failed, or
by a process that stood still; a single late round (a command may take 0.5 s) does not pass it."""


class Revocations:
    """Thread-safe; readers take no lock: what they read is a tuple in a dictionary, replaced as one."""

    __slots__ = (
        "_by_key",
        "_confirmed_at",
        "_ends",
        "_fresh",
        "_groups",
        "_in_step_until",
        "_items",
        "_lingering",
        "_lock",
        "_monotonic",
        "_replaced",
        "_sources",
        "_steady_ends",
        "_undone",
        "look_from",
    )

    def __init__(self, *, shared_since: float | None = None, monotonic: Callable[[], float] = lambda: math.inf) -> None:
        """An empty list. `shared_since`: there is a shared store, not read yet (Unix seconds); None: there is none.

        `monotonic` gives seconds that nobody sets; without it the wall clock alone says when items end.
        """
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._items: dict[str, Revocation] = {}
        self._undone: Counter[str] = Counter()
        self._ends: list[tuple[int, str]] = []
        self._steady_ends: dict[str, float] = {}
        self._lingering: list[tuple[float, str]] = []
        self._by_key: dict[Key, tuple[Revocation, ...]] = {}
        self._groups: dict[Key, dict[str, None]] = {}
        self._sources: Counter[str] = Counter()
        self._replaced: dict[str, int] = {}
        self._fresh: dict[str, Revocation] = {}
        self._confirmed_at = shared_since
        self._in_step_until = math.inf if shared_since is None else -math.inf
        self.look_from = self._in_step_until
        """From this moment on checks have to `refuse`: always while anything is revoked, else when no more in step."""

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, revocation_id: str) -> bool:
        """Whether an item is known, or was known and a merged one stands for it."""
        return revocation_id in self._items or revocation_id in self._replaced

    def replaced(self, revocation_id: str) -> bool:
        """Whether a merged item stands for this one."""
        return revocation_id in self._replaced

    @property
    def merged(self) -> int:
        """How many items stand for several others, because there was no room for these."""
        return self._sources[MERGED_SOURCE]

    def take_merges(self) -> tuple[Revocation, ...]:
        """The items that were merged here since the last call, and that nobody else may know."""
        with self._lock:
            fresh, self._fresh = tuple(self._fresh.values()), {}
            return fresh

    def add(self, items: Iterable[Revocation], now: float) -> bool:
        """Put items in force: all, or none where there is no room (False). Known and ended ones are skipped.

        Items of events always have room, as far as they can be merged with others.
        """
        with self._lock:
            self._forget_ended(now)
            new = {item.id: item for item in items if item.id not in self and now < item.until}
            if not self._make_room(tuple(new.values()), now):
                return False
            for item in new.values():
                self._add(item, now)
            self._absorb([item for item in new.values() if item.source == MERGED_SOURCE])
            self._keep_bounds(new.values(), now)
            self._set_look_from()
            return True

    def _add(self, item: Revocation, now: float) -> None:
        if self._stands_for(item) is not None:
            self._note_replaced(item)
            return
        self._items[item.id] = item
        self._steady_ends[item.id] = self._monotonic() + min(item.until - now, MAX_LIFE_S)
        heappush(self._ends, (item.until, item.id))
        self._index(item)
        self._sources[item.source] += 1

    def _make_room(self, new: Collection[Revocation], now: float) -> bool:
        of_events = sum(item.source != OPERATOR_SOURCE for item in new)
        if of_events and self._of_events() + of_events > bounds.MAX_OF_EVENTS:
            self._narrow(None, int(bounds.MAX_OF_EVENTS * bounds.DOWN_TO), now)
            if self._of_events() + of_events > bounds.MAX_OF_EVENTS:
                return False
        return len(self._items) + len(new) <= MAX_REVOCATIONS

    def _keep_bounds(self, new: Iterable[Revocation], now: float) -> None:
        for key in dict.fromkeys(key_of(bounds.form_of(item)) for item in new if bounds.mergeable(item)):
            group = self._groups.get(key, {})
            if len(group) > bounds.MAX_OF_SUBJECT:
                several = [self._items[each] for each in group]
                self._merge([merged(several, bounds.form_of(several[0]))], several, now)
        for source, count in tuple(self._sources.items()):
            if source not in (OPERATOR_SOURCE, MERGED_SOURCE) and count > bounds.MAX_OF_SOURCE:
                self._narrow(source, int(bounds.MAX_OF_SOURCE * bounds.DOWN_TO), now)

    def _narrow(self, source: str | None, down_to: int, now: float) -> None:
        """Merge the largest families of a source (None: of all) until few enough are left."""
        items = [
            item
            for item in self._items.values()
            if bounds.mergeable(item) and item.id not in self._undone and source in (None, item.source)
        ]
        self._merge(list(bounds.narrowed(items, down_to=down_to)), None, now)

    def _merge(self, wide: list[Revocation], instead_of: Iterable[Revocation] | None, now: float) -> None:
        for item in wide:
            if item.id not in self._items:
                self._add(item, now)
                self._fresh[item.id] = item
        self._absorb(wide, instead_of)

    def _absorb(self, wide: Collection[Revocation], among: Iterable[Revocation] | None = None) -> None:
        """Let go of the items that merged ones stand for."""
        if not wide:
            return
        by_key: dict[Key, list[Revocation]] = {}
        for item in wide:
            by_key.setdefault(key_of(item), []).append(item)
        for item in tuple(self._items.values() if among is None else among):
            if bounds.mergeable(item) and self._stands_for(item, by_key) is not None:
                self._drop(item)
                self._note_replaced(item)

    def _stands_for(self, item: Revocation, by_key: dict[Key, list[Revocation]] | None = None) -> Revocation | None:
        """A merged item that covers this one."""
        if not bounds.mergeable(item):
            return None
        for key in covering_keys(item):
            for other in self._by_key.get(key, ()) if by_key is None else by_key.get(key, ()):
                if other.source == MERGED_SOURCE and other.id != item.id and covers(other, item):
                    return other
        return None

    def _note_replaced(self, item: Revocation) -> None:
        while len(self._replaced) >= 2 * MAX_REVOCATIONS:
            # What is forgotten here is read and let go of once more where the store still has it.
            del self._replaced[next(iter(self._replaced))]
        self._replaced[item.id] = item.until

    def _drop(self, item: Revocation) -> None:
        """Take an item out of everything but the queue of ends, where nothing is known of it any more."""
        del self._items[item.id]
        del self._steady_ends[item.id]
        self._sources[item.source] -= 1
        self._fresh.pop(item.id, None)
        if item.undoes:
            self._redo(item.undoes)
        else:
            self._unindex(item)

    def _of_events(self) -> int:
        return len(self._items) - self._sources[OPERATOR_SOURCE]

    def refuse(
        self, keys: Collection[Key], issued_at: int | None, when_stale: WhenStale, now: float
    ) -> Deny | Indeterminate | None:
        """Why a token with these keys does not count now; None when it does."""
        found = self.revoked(keys, issued_at, now)
        if found is not None:
            return Deny(
                reason=Reason.TOKEN_REVOKED, detail=f"by {found.by}, revocation {found.id} (source {found.source})"
            )
        if when_stale is WhenStale.DENY and self.stale(now):
            return Indeterminate(
                reason=Reason.REVOCATIONS_UNAVAILABLE,
                detail=f"no word of revocations from Redis for {self.lag_s(now):.1f} s, and `when_stale` is deny: "
                "look after Redis",
            )
        return None

    def revoked(self, keys: Collection[Key], issued_at: int | None, now: float) -> Revocation | None:
        """The item in force that means a token with these keys, issued then (Unix seconds; None: nobody knows)."""
        by_key = self._by_key
        if by_key.keys().isdisjoint(keys):
            return None
        for key in keys:
            for item in by_key.get(key, ()):
                if revokes(item, issued_at) and (now < item.until or self._lives_on(item)):
                    return item
        return None

    def _lives_on(self, item: Revocation) -> bool:
        """Whether an item that the wall clock calls ended has not had its time here."""
        return self._monotonic() < self._steady_ends.get(item.id, -math.inf)

    def life_s(self, item: Revocation, now: float) -> float:
        """For how long an item will be in force, by the clock that says longer."""
        steady_s = self._steady_ends.get(item.id, -math.inf) - self._monotonic()
        return max(item.until - now, steady_s if steady_s < math.inf else -math.inf)

    def items(self, now: float) -> tuple[Revocation, ...]:
        """Everything known that has not ended, in the order of learning: what other processes have to learn."""
        with self._lock:
            self._forget_ended(now)
            return tuple(self._items.values())

    def in_force(self, now: float) -> tuple[Revocation, ...]:
        """What revokes something now: without what was taken back, and what takes back."""
        return tuple(
            item
            for item in self.items(now)
            if not item.undoes and (item.id not in self._undone or item.source == MERGED_SOURCE)
        )

    def get(self, revocation_id: str) -> Revocation | None:
        """The item with this id, whatever became of it."""
        return self._items.get(revocation_id)

    def confirm(self, began_at: float) -> None:
        """A round of reading the shared store that began then (Unix seconds) was complete."""
        with self._lock:
            self._confirmed_at = began_at
            self._in_step_until = began_at + STALE_AFTER_S
            self._set_look_from()

    def doubt(self) -> None:
        """The process may be missing items, whatever the clock says, until the next `confirm`."""
        with self._lock:
            self._in_step_until = -math.inf
            self._set_look_from()

    def stale(self, now: float) -> bool:
        """Whether the process may be missing items."""
        return now >= self._in_step_until

    def lag_s(self, now: float) -> float:
        """Seconds for which others may have known more; 0 without a shared store."""
        return 0.0 if self._confirmed_at is None else max(0.0, now - self._confirmed_at)

    def _index(self, item: Revocation) -> None:
        if item.undoes:
            self._undone[item.undoes] += 1
            undone = self._items.get(item.undoes)
            if undone is not None and undone.source != MERGED_SOURCE:
                self._unindex(undone)
        elif item.id not in self._undone or item.source == MERGED_SOURCE:
            for key in meant_keys(item):
                self._by_key[key] = (*self._by_key.get(key, ()), item)
            if bounds.mergeable(item):
                self._groups.setdefault(key_of(bounds.form_of(item)), {})[item.id] = None

    def _unindex(self, item: Revocation) -> None:
        for key in meant_keys(item):
            left = tuple(other for other in self._by_key.get(key, ()) if other.id != item.id)
            if left:
                self._by_key[key] = left
            else:
                self._by_key.pop(key, None)
        form = key_of(bounds.form_of(item))
        group = self._groups.get(form)
        if group is not None:
            group.pop(item.id, None)
            if not group:
                del self._groups[form]

    def _forget_ended(self, now: float) -> None:
        ends, steady = self._ends, self._monotonic()
        if not (ends and ends[0][0] <= now) and not (self._lingering and self._lingering[0][0] <= steady):
            return
        while ends and ends[0][0] <= now:
            id_ = heappop(ends)[1]
            heappush(self._lingering, (self._steady_ends.get(id_, -math.inf), id_))
        while self._lingering and self._lingering[0][0] <= steady:
            item = self._items.get(heappop(self._lingering)[1])
            if item is None:
                continue
            if now < item.until:
                # The wall clock was set back meanwhile.
                heappush(ends, (item.until, item.id))
            else:
                self._drop(item)
        self._replaced = {id_: until for id_, until in self._replaced.items() if now < until}
        self._set_look_from()

    def _redo(self, revocation_id: str) -> None:
        """One that took the item back has ended; when it was the last, the item counts again until its own end."""
        self._undone[revocation_id] -= 1
        if not self._undone[revocation_id]:
            del self._undone[revocation_id]
            item = self._items.get(revocation_id)
            if item is not None and item.source != MERGED_SOURCE:
                self._index(item)

    def _set_look_from(self) -> None:
        self.look_from = -math.inf if self._by_key else self._in_step_until
