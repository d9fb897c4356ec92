"""A store inside this process: what a shared store does, for a process that shares with nobody."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MAX_ENTRIES: Final = 100_000
MAX_BYTES: Final = 64 * 1024 * 1024
"""Of keys and values; Python's own overhead is about 0.3 KB per entry on top."""


class MemoryStore:
    """`service.ports.Store` over a dictionary, bounded in entries and bytes; the least recently used go first.

    `clock` gives seconds that do not go backwards. One event loop.
    """

    def __init__(
        self, *, clock: Callable[[], float], max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES
    ) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._bytes = 0

    async def get(self, key: str) -> bytes | None:
        """The entry, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, ends_at = entry
        if self._clock() >= ends_at:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return value

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Write the entry for `ttl_s` seconds; nothing when that is not a time to come, or the value is empty."""
        self._remove(key)
        size = len(key) + len(value)
        if not 0 < ttl_s < math.inf or not value or size > self._max_bytes:
            return
        self._entries[key] = (value, self._clock() + ttl_s)
        self._bytes += size
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            self._remove(next(iter(self._entries)))

    async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bytes:
        """Write the entry unless one is there; return what stands there afterwards."""
        standing = await self.get(key)
        if standing is not None:
            return standing
        await self.put(key, value, ttl_s)
        return value

    async def delete_if_equal(self, key: str, value: bytes) -> None:
        """Remove the entry if it still is `value`."""
        if await self.get(key) == value:
            self._remove(key)

    async def close(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(key) + len(entry[0])
