"""Virtual time: an event loop whose clock jumps to the next timer instead of waiting for it.

    run(main, at=NOW)     runs `await main(clock)`; inside, `clock()` is Unix time, `asyncio.sleep` takes no real time

Only for code that does not wait for real sockets or threads: with nothing else to do the clock would jump meanwhile.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

Result = TypeVar("Result")

MAX_IDLE_JUMPS: Final = 1_000_000
"""Bounds a test that would sleep for ever."""


class Clock:
    """Unix time, at the pace of the loop."""

    def __init__(self, loop: "VirtualLoop", at: float) -> None:
        self._loop = loop
        self._offset = at

    def __call__(self) -> float:
        return self._offset + self._loop.time()

    def set_back(self, seconds: float) -> None:
        """What an administrator or NTP does to the wall clock."""
        self._offset -= seconds


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing is due and nothing is ready: the test waits for ever"
            self._jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, starting at 0."""

    def __init__(self) -> None:
        self._elapsed_s = 0.0
        self._jumps = 0
        super().__init__(_JumpingSelector(self._pass))

    def time(self) -> float:
        return self._elapsed_s

    def _pass(self, seconds: float) -> None:
        self._jumps += 1
        assert self._jumps < MAX_IDLE_JUMPS, "the test sleeps without end"
        # A timer is due when the clock has reached it; the smallest step makes up for rounding.
        self._elapsed_s += max(0.0, seconds) + (1e-6 if seconds > 0 else 0.0)


def run(main: Callable[[Clock], Coroutine[Any, Any, Result]], *, at: float) -> Result:
    """Run `main` in virtual time that begins at `at` (Unix seconds)."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main(Clock(loop, at)))
