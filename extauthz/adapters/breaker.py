"""A circuit breaker: stops asking a neighbour that does not answer, and notices when it does again."""

import math
from collections.abc import Callable
from typing import Final

TRIP_AT: Final = 5.0
"""Opens when failures reach this: at once after five in a row …"""
SUCCESS_CREDIT: Final = 0.25
"""… or gradually when more than one operation in five fails, since a success makes up for a quarter of a failure."""


class Breaker:
    """Closed: everything passes. Open: nothing does, until `open_s` has passed. Then one attempt passes as a probe.

    A probe that succeeds closes the breaker, one that fails opens it again, and one that never reports (its caller was
    cancelled) is followed by another after `open_s`. A success that was under way when it opened does not close it.
    Failures less than `burst_s` apart count once: one hiccup of our
    own process fails everything that is under way. `clock` gives monotonic seconds. Not thread-safe: one event loop.
    """

    __slots__ = ("_burst_s", "_clock", "_failed_at", "_failures", "_open_s", "_probe_at", "_probing")

    def __init__(self, *, open_s: float, clock: Callable[[], float], burst_s: float = 0.0) -> None:
        self._open_s = open_s
        self._clock = clock
        self._burst_s = burst_s
        self._failures = 0.0
        self._failed_at = -math.inf
        self._probe_at: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the neighbour is believed to be down."""
        return self._probe_at is not None

    def allows(self) -> bool:
        """Whether to attempt now. Says yes to one probe per `open_s` while open; report how the attempt went."""
        if self._probe_at is None:
            return True
        now = self._clock()
        if now < self._probe_at:
            return False
        self._probe_at = now + self._open_s
        self._probing = True
        return True

    def succeeded(self) -> None:
        """An attempt was answered."""
        if self._probe_at is None:
            self._failures = max(0.0, self._failures - SUCCESS_CREDIT)
        elif self._probing:
            self._probe_at = None
            self._probing = False
            self._failures = 0.0

    def failed(self) -> None:
        """An attempt was not answered."""
        now = self._clock()
        if now - self._failed_at >= self._burst_s:
            self._failed_at = now
            self._failures += 1
        if self._probe_at is not None or self._failures >= TRIP_AT:
            self._open(now)

    def probe_said_nothing(self) -> None:
        """The attempt that passed as a probe told nothing about the neighbour: another may pass at once."""
        if self._probing:
            self._probing = False
            self._probe_at = self._clock()

    def trip(self) -> None:
        """Open now, whatever was counted: it is known by other means that the neighbour is down."""
        self._open(self._clock())

    def _open(self, now: float) -> None:
        self._probe_at = now + self._open_s
        self._probing = False
