"""The line in which checks stand until somebody has time for them, and whose turn it is.

Checks are taken first come, first served, as long as the first in line has not stood there for `PATIENCE_S`. Once it
has, more comes than can be done, and soon the proxy's deadline (200 ms by default) would pass for every check before
its turn: all work would be for nobody. So the newest goes first then, and in between the oldest, as many of them in a
row as nobody waits for any more: those cost next to nothing, and one that somebody does wait for still gets its turn.
"""

import time
from collections import deque
from typing import Final, Generic, TypeVar

PATIENCE_S: Final = 0.1
"""Seconds in line up to which checks are taken in order: half of Envoy's default deadline."""
STALE_S: Final = 0.25
"""Seconds in line after which a check is among the oldest: past Envoy's default deadline."""

_T = TypeVar("_T")


class Turn:
    """What a taker took last: an old check out of turn, and whether somebody still waited for it."""

    __slots__ = ("took_old", "wanted")

    def __init__(self) -> None:
        self.took_old = False
        self.wanted = False


class AdaptiveLifoQueue(Generic[_T]):
    """Any number of threads add and take; each taker has a `Turn` of its own."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: deque[tuple[float, _T]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: _T) -> None:
        """Stand at the end."""
        self._items.append((time.monotonic(), item))

    def take(self, turn: Turn) -> _T:
        """The one whose turn it is. The caller knows that there is one. It sets `turn.wanted` when somebody waits."""
        items = self._items
        stood_s = time.monotonic() - items[0][0]
        if stood_s < PATIENCE_S:
            return items.popleft()[1]
        gave_old_a_turn = turn.took_old and turn.wanted
        turn.took_old = stood_s > STALE_S and not gave_old_a_turn
        turn.wanted = False
        return (items.popleft() if turn.took_old else items.pop())[1]
