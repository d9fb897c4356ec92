"""Events that were taken already: a bounded memory, so that one that is sent again changes nothing."""

import threading
from typing import Final

MAX_REMEMBERED: Final = 10_000
"""Events. Where more come in their time, the oldest are forgotten: an event that then comes again says what it said
before, about tokens from before its own moment."""


class Replays:
    """Thread-safe. Times are in seconds that nobody sets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[tuple[str, ...], float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def first(self, event: tuple[str, ...], now: float, life_s: float) -> bool:
        """Whether the event comes for the first time; it is remembered for so long."""
        with self._lock:
            ends = self._until.pop(event, None)
            known = ends is not None and now < ends
            while len(self._until) >= MAX_REMEMBERED:
                del self._until[next(iter(self._until))]
            self._until[event] = now + life_s
            return not known

    def forget(self, event: tuple[str, ...]) -> None:
        """The event could not be taken: it may come again."""
        with self._lock:
            self._until.pop(event, None)
