"""Notices when the wall clock was set: it then moved by another span than the time that has passed."""

from collections.abc import Callable
from typing import Final

LEAST_JUMP_S: Final = 2.0
"""Smaller differences are slewing, leap seconds, and the time between two readings on a busy machine."""


class ClockWatch:
    """`wall` gives Unix seconds, `monotonic` seconds that nobody sets. One thread."""

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._ahead_s = wall() - monotonic()

    def jump_s(self) -> float:
        """By how much the clock was set since the last call, ahead or (negative) back; 0 when it was not."""
        ahead_s = self._wall() - self._monotonic()
        jump_s, self._ahead_s = ahead_s - self._ahead_s, ahead_s
        return jump_s if abs(jump_s) >= LEAST_JUMP_S else 0.0
