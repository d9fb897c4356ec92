"""How many look-ups of session ids in the shared store each principal has under way."""

import threading
from collections.abc import Hashable
from typing import Final

MAX_OF_ONE: Final = 32
"""Half of the checks that may wait at once (`adapters.grpc.threads.DEFAULT_SLOTS`): whoever floods with new session ids
leaves the other half to others, and a client that opens 32 sessions in one moment is served."""


class Lookups:
    """Slots per principal. Thread-safe; keeps nothing of principals without look-ups."""

    __slots__ = ("_lock", "_max_of_one", "_under_way")

    def __init__(self, max_of_one: int = MAX_OF_ONE) -> None:
        self._max_of_one = max_of_one
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, int] = {}

    def __len__(self) -> int:
        """How many principals have look-ups under way."""
        return len(self._under_way)

    def take(self, principal: Hashable) -> bool:
        """Take a slot, which is to be given back with `leave`; False when the principal has all that it can have."""
        with self._lock:
            taken = self._under_way.get(principal, 0)
            if taken >= self._max_of_one:
                return False
            self._under_way[principal] = taken + 1
            return True

    def leave(self, principal: Hashable) -> None:
        """Give a slot back."""
        with self._lock:
            left = self._under_way.pop(principal) - 1
            if left:
                self._under_way[principal] = left
