"""Checks with large bodies: decided one at a time, apart from the thread that takes and decides the small ones.

Reading a body of megabytes takes a hundred times as long as a whole small check. So a large check is never begun where
small ones are decided, and of the threads that may wait, large checks together have one. They share the interpreter all
the same: it changes hands every `runtime.interpreter.SWITCH_INTERVAL_S`.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

LARGE_CHECK_BYTES: Final = 65_536
"""Bytes of a `CheckRequest` above which it is large. The worst body of that size is read in about 2 ms."""
MAX_LARGE_CHECKS: Final = 16
"""Large checks at once, each up to 5 MiB; more are refused. A quarter of the slots: small checks have the others."""


class Slots(Protocol):
    """Room for threads that wait."""

    def take_slot(self) -> bool:
        """Whether the calling thread may wait; if so it calls `leave_slot` afterwards."""
        ...

    def leave_slot(self) -> None:
        """The wait is over."""
        ...


class LargeChecks:
    """The turn of large checks. Thread-safe."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._room = threading.BoundedSemaphore(MAX_LARGE_CHECKS)
        self._turn = threading.Lock()

    def enter(self) -> bool:
        """Whether one more can be taken; `leave` afterwards."""
        return self._room.acquire(blocking=False)

    def leave(self) -> None:
        """The check is answered."""
        self._room.release()

    @contextmanager
    def turn(self, left_s: float) -> Iterator[bool]:
        """For as long as the check computes; others wait meanwhile. False: its turn did not come within `left_s`."""
        mine = self._turn.acquire(blocking=False) or self._wait(left_s)
        try:
            yield mine
        finally:
            if mine:
                self._turn.release()

    def _wait(self, left_s: float) -> bool:
        if not self._slots.take_slot():
            return False
        try:
            return self._turn.acquire(timeout=max(0.0, left_s))
        finally:
            self._slots.leave_slot()
