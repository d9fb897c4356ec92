"""What one process remembers between checks, bounded in entries and bytes, each entry with an end of life.

An end of life is a moment of the wall clock, which somebody may set. So each entry has a second one, by the time that
passes here: what lets a caller pass ends when either has come, what keeps a caller out when both have.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from math import inf
from typing import Final, Generic, NamedTuple, TypeVar

ENTRY_BYTES: Final = 500
"""What the smallest entry takes, with its key and its place in the map."""

Value = TypeVar("Value")


class Entry(NamedTuple, Generic[Value]):
    """What is remembered under one key."""

    until: float
    size_bytes: int
    value: Value
    steady_until: float
    """Its end of life by seconds that nobody sets."""


class BoundedCache(Generic[Value]):
    """A map that forgets: entries past their time, and the least recently used beyond `max_entries` or `max_bytes`.

    Sizes are what callers say an entry takes, key and value together. Thread-safe. Nothing in it outlives the process,
    and nobody outside can write to it, so entries need no signature.

    An `OrderedDict` does it as fast as any library that also bounds bytes and takes the time as an argument
    (`docs/explanation/caching.md` has the comparison). What only a token's holder or a session's owner can fill needs
    no cleverer rule than least recently used; what anybody can fill has a memory of its own.
    """

    __slots__ = ("_bytes", "_entries", "_lasts_longer", "_lock", "_max_bytes", "_max_entries", "_monotonic")

    def __init__(
        self,
        max_entries: int,
        max_bytes: int,
        *,
        monotonic: Callable[[], float] | None = None,
        lasts_longer: bool = False,
    ) -> None:
        """`monotonic` gives seconds that nobody sets; without it the wall clock alone says when entries end.

        With `lasts_longer` an entry ends by the later of its two ends, else by the earlier.
        """
        self._monotonic = monotonic
        self._lasts_longer = lasts_longer
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[Hashable, Entry[Value]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """What the entries take, by their callers' word."""
        return self._bytes

    def get(self, key: Hashable, now: float) -> Value | None:
        """The value, or None when it is absent or `now` (Unix seconds) is not before its end of life."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if self._ended(entry, now):
                self._forget(key)
                return None
            self._entries.move_to_end(key)
            return entry.value

    def put(self, key: Hashable, value: Value, until: float, size_bytes: int, *, now: float | None = None) -> None:
        """Remember `value` until the moment `until` (Unix seconds). Without `now` it lives by the wall clock alone."""
        with self._lock:
            self._put(key, self._entry(value, until, size_bytes, now))

    def put_if_same(
        self, key: Hashable, seen: Value | None, value: Value, *, until: float, now: float, size_bytes: int
    ) -> bool:
        """Remember `value` if what is remembered now is `seen` itself (None: nothing); say whether it was."""
        with self._lock:
            entry = self._entries.get(key)
            if (None if entry is None or self._ended(entry, now) else entry.value) is not seen:
                return False
            self._put(key, self._entry(value, until, size_bytes, now))
            return True

    def items(self, now: float) -> list[tuple[Hashable, Value]]:
        """Everything that is remembered now, the least recently used first."""
        with self._lock:
            return [(key, entry.value) for key, entry in self._entries.items() if not self._ended(entry, now)]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def _entry(self, value: Value, until: float, size_bytes: int, now: float | None) -> Entry[Value]:
        if self._monotonic is None or now is None:
            return Entry(until, size_bytes, value, -inf if self._lasts_longer else inf)
        return Entry(until, size_bytes, value, self._monotonic() + (until - now))

    def _ended(self, entry: Entry[Value], now: float) -> bool:
        steady = 0.0 if self._monotonic is None else self._monotonic()
        if self._lasts_longer:
            return now >= entry.until and steady >= entry.steady_until
        return now >= entry.until or steady >= entry.steady_until

    def _put(self, key: Hashable, entry: Entry[Value]) -> None:
        if key in self._entries:
            self._forget(key)
        self._entries[key] = entry
        self._bytes += entry.size_bytes
        while self._entries and (len(self._entries) > self._max_entries or self._bytes > self._max_bytes):
            self._forget(next(iter(self._entries)))

    def _forget(self, key: Hashable) -> None:
        self._bytes -= self._entries.pop(key).size_bytes
