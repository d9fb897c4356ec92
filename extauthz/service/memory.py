"""What one process remembers between checks, bounded in entries, each entry with an end of life."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Memory(Generic[Value]):
    """A map that forgets: entries past their time, and the least recently used beyond `max_entries`.

    Thread-safe. Nothing in it outlives the process, and nobody outside can write to it, so entries need no signature.
    """

    __slots__ = ("_entries", "_lock", "_max_entries")

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[Hashable, tuple[float, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable, now: float) -> Value | None:
        """The value, or None when it is absent or `now` (Unix seconds) is not before its end of life."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if now >= entry[0]:
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return entry[1]

    def put(self, key: Hashable, value: Value, until: float) -> None:
        """Remember `value` until the moment `until` (Unix seconds)."""
        with self._lock:
            self._entries[key] = (until, value)
            self._entries.move_to_end(key)
            if len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)

    def put_if_absent(self, key: Hashable, value: Value, until: float, now: float) -> Value:
        """Remember `value` unless a live entry is there; return what is remembered afterwards."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and now < entry[0]:
                self._entries.move_to_end(key)
                return entry[1]
            self._entries[key] = (until, value)
            self._entries.move_to_end(key)
            if len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
            return value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
