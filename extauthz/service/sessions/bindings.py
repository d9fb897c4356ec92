"""The session bindings that one process knows: bounded, and nobody's binding goes because others invent session ids.

Session ids cost nothing to invent, and a binding that is forgotten makes its session free for the next caller. So a
new id needs room, and where there is none it is refused:

* one account (issuer and subject) has at most `max_of_one` bindings;
* without a shared store a binding is kept until it ends, whatever comes;
* with one, which keeps it as well, memory may forget earlier: of an account that is at its bound its own oldest, where
  that was not used for `IDLE_S`; where all is full the oldest of the account that has most.

The bound per account is that of the shared store, too: a new id is written there only by a process that has room for
it. What an account keeps alive there is what it used in a day (`TTL_S`), at most `max_of_one` ids in each `IDLE_S`: 25
times `max_of_one` for each process.
"""

from collections.abc import Callable, Hashable
from typing import Final

from extauthz.service.cache.bounded_cache import ENTRY_BYTES, BoundedCache, Entry
from extauthz.service.sessions.accounts import Account, Accounts
from extauthz.service.sessions.binding import TTL_S, Binding

IDLE_S: Final = 3_600.0
"""Of an account with too many sessions, those that were not used for this long leave memory (not the shared store).
Long enough that a flood gets nothing by it, short enough for a busy client that opens a session for each call."""


class Bindings(BoundedCache[Binding]):
    """A cache whose callers make room before they add: `put` and `put_if_same` update what is there.

    A binding lasts until wall clock and passing time both say that it has ended: a clock that is set ahead must not
    hand sessions to others.
    """

    __slots__ = ("_accounts", "_max_of_one")

    def __init__(
        self, max_entries: int, max_bytes: int, max_of_one: int, *, monotonic: Callable[[], float] | None = None
    ) -> None:
        super().__init__(max_entries, max_bytes, monotonic=monotonic, lasts_longer=True)
        self._max_of_one = max_of_one
        self._accounts = Accounts()

    def make_room(self, account: Account, now: float, *, stored: bool) -> bool:
        """Whether one more of this account may be added now. `stored`: a shared store has all that is here.

        Checks that run at the same time may each be told so: the bounds hold but for as many as there are threads.
        """
        with self._lock:
            return self._room_of_one(account, now, stored=stored) and self._room_of_all(now, stored=stored)

    def add(self, name: Hashable, binding: Binding, account: Account, now: float) -> bool:
        """Keep a binding that is not here yet, on an account for which there is room; say whether it was not here."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is not None and not self._ended(entry, now):
                return False
            if entry is not None:
                self._forget(name)
            self._insert(name, self._entry(binding, binding.until, ENTRY_BYTES, now), account)
            return True

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._accounts.clear()
        super().clear()

    def _room_of_one(self, account: Account, now: float, *, stored: bool) -> bool:
        while self._accounts.size(account) >= self._max_of_one:
            oldest = next(self._accounts.names(account))
            entry = self._entries[oldest]
            if not self._ended(entry, now) and not (stored and entry.until - TTL_S + IDLE_S <= now):
                return False
            self._forget(oldest)
        return True

    def _room_of_all(self, now: float, *, stored: bool) -> bool:
        while len(self._entries) >= self._max_entries or self._bytes + ENTRY_BYTES > self._max_bytes:
            oldest = next(iter(self._entries), None)
            if oldest is None:
                return False
            if not self._ended(self._entries[oldest], now):
                if not stored:
                    return False
                oldest = next(self._accounts.names(self._accounts.largest()))
            self._forget(oldest)
        return True

    def _put(self, key: Hashable, entry: Entry[Binding]) -> None:
        """Nothing makes way for this: whoever adds has made room."""
        before = self._accounts.account(key)
        if before is not None:
            self._forget(key)
        own = _account(entry.value)
        # An owner who comes to a session that another's attempt has brought here takes it on an account of its own.
        moves = before is None or (entry.value.local is not None and self._accounts.size(own) < self._max_of_one)
        self._insert(key, entry, own if moves or before is None else before)

    def _insert(self, key: Hashable, entry: Entry[Binding], account: Account) -> None:
        self._entries[key] = entry
        self._bytes += entry.size_bytes
        self._accounts.add(key, account)

    def _forget(self, key: Hashable) -> None:
        super()._forget(key)
        self._accounts.remove(key)


def _account(binding: Binding) -> Account:
    return binding.owner if binding.local is None else binding.local[:2]
