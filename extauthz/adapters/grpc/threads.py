"""The threads that answer checks.

A warm check takes microseconds, one that waits for keys or a store takes milliseconds or more. Few threads are best for
the former (they share one interpreter), many are needed by the latter. So only `threads` threads work at a time, and a
thread that begins to wait takes one of a bounded number of slots and hands its place to a spare thread meanwhile.
"""

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeAlias

from extauthz.adapters.grpc.queue import AdaptiveLifoQueue, Turn

DEFAULT_THREADS: Final = 4
"""Working threads: enough for one core, few enough to leave the interpreter to the thread that accepts calls."""
DEFAULT_SLOTS: Final = 64
"""Checks that wait at once. 64 waits of 20 ms are 3,200 cold checks a second; each costs a thread (about 0.1 MB)."""

# What a token in a queue says.
_GO: Final = True
_END: Final = False

_log = logging.getLogger("extauthz.grpc")

_Task: TypeAlias = tuple["_Done", Callable[..., object], tuple[Any, ...]]
"""What to tell when it has ended, and what to do."""


class _Done:
    """The one thing that grpcio wants of a future: a callback when the task has ended."""

    __slots__ = ("_callback", "_ended", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callback: Callable[[Any], object] | None = None
        self._ended = False

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        with self._lock:
            if not self._ended:
                self._callback = callback
                return
        callback(self)

    def end(self) -> None:
        with self._lock:
            self._ended = True
        if self._callback is not None:
            self._callback(self)


class _Turns(threading.local):
    """The turn of each thread."""

    def __init__(self) -> None:
        self.turn = Turn()


class CheckThreads:
    """Threads for `grpc.server`, which wants no more of them than `submit`; and slots for checks that wait.

    Threads are started as they are needed, and are daemons: one that hangs does not keep the process alive.
    """

    def __init__(self, *, threads: int = DEFAULT_THREADS, slots: int = DEFAULT_SLOTS) -> None:
        """`threads` work at a time; `slots` may wait beside them."""
        if threads < 1 or slots < 0:
            raise ValueError("at least one thread must work, and no fewer than no slots can be had")
        self._allowed = threads
        self._slots = slots
        self._line: AdaptiveLifoQueue[_Task] = AdaptiveLifoQueue()
        # One token per task in line, and one per parked thread that is to work again.
        self._arrivals: SimpleQueue[bool] = SimpleQueue()
        self._places: SimpleQueue[bool] = SimpleQueue()
        self._lock = threading.Lock()
        self._working = 0
        self._waiting = 0
        self._parked = 0
        self._closed = False
        self._turns = _Turns()

    @property
    def in_line(self) -> int:
        """Checks that no thread has taken yet."""
        return len(self._line)

    @property
    def working(self) -> int:
        """Threads that do not wait in a slot, and take the next check when they are done with theirs."""
        return self._working

    @property
    def waiting(self) -> int:
        """Slots that are taken."""
        return self._waiting

    def take_slot(self) -> bool:
        """Called by a check that is about to wait. False: none is free, do not wait. True: `leave_slot` afterwards."""
        with self._lock:
            if self._waiting >= self._slots:
                return False
            self._waiting += 1
            self._working -= 1
            self._fill_place()
        return True

    def leave_slot(self) -> None:
        """The wait is over. One thread more than allowed may work now, until the first of them has finished."""
        with self._lock:
            self._waiting -= 1
            self._working += 1

    def somebody_waits(self) -> None:
        """Called by the transport when the caller of the check at hand has not gone away."""
        self._turns.turn.wanted = True

    def submit(self, do: Callable[..., object], /, *args: object) -> _Done:
        """Put a task in line. Never blocks."""
        done = _Done()
        self._line.add((done, do, args))
        if self._working < self._allowed:
            with self._lock:
                self._fill_place()
        self._arrivals.put(_GO)
        return done

    def close(self) -> None:
        """End the threads, once the line is empty."""
        with self._lock:
            self._closed = True
            for _ in range(self._working + self._waiting):
                self._arrivals.put(_END)
            for _ in range(self._parked):
                self._places.put(_END)

    def _fill_place(self) -> None:
        """Let one more thread work, if one may. With the lock held."""
        if self._working >= self._allowed or self._closed:
            return
        self._working += 1
        if self._parked:
            self._parked -= 1
            self._places.put(_GO)
        else:
            threading.Thread(target=self._work, name="extauthz-check", daemon=True).start()

    def _work(self) -> None:
        turn = self._turns.turn
        while self._arrivals.get():
            _run(self._line.take(turn))
            if self._working > self._allowed and not self._keep_place():
                return

    def _keep_place(self) -> bool:
        """Too many work: park until somebody waits again. False when the thread is to end."""
        with self._lock:
            if self._working <= self._allowed:
                return True
            self._working -= 1
            if self._closed:
                return False
            self._parked += 1
        return self._places.get()


def _run(task: _Task) -> None:
    done, do, args = task
    try:
        do(*args)
    except BaseException as error:  # noqa: BLE001 - grpcio's own code failed: that call gets no answer, the thread goes on
        _log.error("a call failed in the transport: %s", type(error).__name__)
    finally:
        done.end()
