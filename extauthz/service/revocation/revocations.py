"""The revocations that one process knows, and whether it may be missing some that others know.

With a shared store the process is *in step* while its last complete round of reading there began no longer than
`STALE_AFTER_S` ago. Without one nobody else could know more, and it always is.

Items are only ever added and, at their end, forgotten: nothing that is read anywhere takes one away.
"""

import math
import threading
from collections import Counter
from collections.abc import Collection, Iterable
from heapq import heappop, heappush
from typing import Final

from extauthz.pdp.decision.decision import Deny, Indeterminate
from extauthz.pdp.policy import WhenStale
from extauthz.pdp.reason import Reason
from extauthz.pdp.revocation.revocation import Key, Revocation, key_of, revokes

MAX_REVOCATIONS: Final = 50_000
"""Items of one process, those that take others back included: some 35 MB at the most common lengths."""
STALE_AFTER_S: Final = 2.0
"""The promise is 1 s while the store is up. Rounds begin every 0.2 s, so this is passed only by several that failed, or
by a process that stood still; a single late round (a command may take 0.5 s) does not pass it."""


class Revocations:
    """Thread-safe; readers take no lock: what they read is a tuple in a dictionary, replaced as one."""

    __slots__ = ("_by_key", "_confirmed_at", "_ends", "_in_step_until", "_items", "_lock", "_undone", "look_from")

    def __init__(self, *, shared_since: float | None = None) -> None:
        """An empty list. `shared_since`: there is a shared store, not read yet (Unix seconds); None: there is none."""
        self._lock = threading.Lock()
        self._items: dict[str, Revocation] = {}
        self._undone: Counter[str] = Counter()
        self._ends: list[tuple[int, str]] = []
        self._by_key: dict[Key, tuple[Revocation, ...]] = {}
        self._confirmed_at = shared_since
        self._in_step_until = math.inf if shared_since is None else -math.inf
        self.look_from = self._in_step_until
        """From this moment on checks have to `refuse`: always while anything is revoked, else when no more in step."""

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, revocation_id: str) -> bool:
        return revocation_id in self._items

    def add(self, items: Iterable[Revocation], now: float) -> bool:
        """Put items in force: all, or none where there is no room (False). Known and ended ones are skipped."""
        with self._lock:
            self._forget_ended(now)
            new = {item.id: item for item in items if item.id not in self._items and now < item.until}
            if len(self._items) + len(new) > MAX_REVOCATIONS:
                return False
            self._items |= new
            for item in new.values():
                heappush(self._ends, (item.until, item.id))
                self._index(item)
            self._set_look_from()
            return True

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
                if now < item.until and revokes(item, issued_at):
                    return item
        return None

    def items(self, now: float) -> tuple[Revocation, ...]:
        """Everything known that has not ended, in the order of learning: what other processes have to learn."""
        with self._lock:
            self._forget_ended(now)
            return tuple(self._items.values())

    def in_force(self, now: float) -> tuple[Revocation, ...]:
        """What revokes something now: without what was taken back, and what takes back."""
        return tuple(item for item in self.items(now) if not item.undoes and item.id not in self._undone)

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
            if undone is not None:
                self._unindex(undone)
        elif item.id not in self._undone:
            key = key_of(item)
            self._by_key[key] = (*self._by_key.get(key, ()), item)

    def _unindex(self, item: Revocation) -> None:
        key = key_of(item)
        left = tuple(other for other in self._by_key.get(key, ()) if other.id != item.id)
        if left:
            self._by_key[key] = left
        else:
            self._by_key.pop(key, None)

    def _forget_ended(self, now: float) -> None:
        ends = self._ends
        if not ends or now < ends[0][0]:
            return
        while ends and ends[0][0] <= now:
            item = self._items.pop(heappop(ends)[1])
            if item.undoes:
                self._redo(item.undoes)
            else:
                self._unindex(item)
        self._set_look_from()

    def _redo(self, revocation_id: str) -> None:
        """One that took the item back has ended; when it was the last, the item counts again until its own end."""
        self._undone[revocation_id] -= 1
        if not self._undone[revocation_id]:
            del self._undone[revocation_id]
            item = self._items.get(revocation_id)
            if item is not None:
                self._index(item)

    def _set_look_from(self) -> None:
        self.look_from = -math.inf if self._by_key else self._in_step_until
