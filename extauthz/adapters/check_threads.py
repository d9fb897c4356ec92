"""The threads that answer checks.

A warm check takes microseconds, one that waits for keys or a store takes milliseconds or more. Few threads are best for
the former (they share one interpreter), many are needed by the latter. So only `threads` threads work at a time, and a
thread that begins to wait takes one of a bounded number of `seats` and hands its place to a spare thread meanwhile.

Checks are taken first come, first served, until more than `NEWEST_FIRST_ABOVE` stand in line. Then a proxy's deadline
(200 ms by default) would pass for every one of them before its turn comes, and the work would be for nobody: so the
newest is taken first, and the oldest only now and then, to be finished off (a check that its caller has given up costs
next to nothing). Measured at three times the capacity with a deadline of 200 ms: 1,180 answers/s in time of 1,300/s
possible, where first come, first served gave 130/s.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Final, TypeAlias

DEFAULT_THREADS: Final = 4
"""Working threads: enough to keep one core busy, few enough to leave the interpreter to the thread that accepts calls."""
DEFAULT_SEATS: Final = 64
"""Checks that wait at once. 64 waits of 20 ms are 3,200 cold checks a second; each costs a thread (about 0.1 MB)."""
NEWEST_FIRST_ABOVE: Final = 64
"""Checks in line above which the newest goes first: 64 at 200 us are 13 ms, far from any deadline."""
STALE_S: Final = 0.25
"""Seconds in line after which the oldest check is taken although newer ones wait: past Envoy's default deadline."""

_log = logging.getLogger("extauthz.grpc")

Task: TypeAlias = tuple[float, "_Done", Callable[..., Any], tuple[Any, ...]]


class _Done:
    """The one thing that grpcio wants of a future: a callback when the task has ended."""

    __slots__ = ("_callback", "_ended", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callback: Callable[[Any], Any] | None = None
        self._ended = False

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
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


class CheckThreads(ThreadPoolExecutor):
    """Threads for `grpc.server`, and seats for checks that wait. Threads are started as they are needed.

    It is a `ThreadPoolExecutor` by type only, because grpcio asks for one; `submit` returns a future that can do no
    more than grpcio needs.
    """

    def __init__(self, *, threads: int = DEFAULT_THREADS, seats: int = DEFAULT_SEATS) -> None:
        """`threads` work at a time; `seats` may wait beside them."""
        if threads < 1 or seats < 0:
            raise ValueError("at least one thread, and no negative number of seats")
        super().__init__(max_workers=1)
        self._allowed = threads
        self._seats = seats
        self._line: deque[Task] = deque()
        self._arrivals: SimpleQueue[bool] = SimpleQueue()
        self._places: SimpleQueue[bool] = SimpleQueue()
        self._lock = threading.Lock()
        self._working = 0
        self._waiting = 0
        self._parked = 0
        self._closed = False

    @property
    def in_line(self) -> int:
        """Checks that no thread has taken yet."""
        return len(self._line)

    @property
    def waiting(self) -> int:
        """Seats taken."""
        return self._waiting

    def take_seat(self) -> bool:
        """Called by a check that is about to wait. False: no seat is free, do not wait. Else `leave_seat` afterwards."""
        with self._lock:
            if self._waiting >= self._seats:
                return False
            self._waiting += 1
            self._working -= 1
            self._fill_place()
        return True

    def leave_seat(self) -> None:
        """The wait is over. For a moment one thread more than allowed may work: the next to finish makes room."""
        with self._lock:
            self._waiting -= 1
            self._working += 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Put a task in line. grpcio passes no keywords."""
        del kwargs
        done = _Done()
        self._line.append((time.monotonic(), done, fn, args))
        if self._working < self._allowed:
            with self._lock:
                self._fill_place()
        self._arrivals.put(True)
        return done

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of Executor
        """End the threads when the line is empty. They are daemons: one that hangs does not keep the process alive."""
        del wait, cancel_futures
        with self._lock:
            self._closed = True
            for _ in range(self._working + self._waiting):
                self._arrivals.put(False)
            for _ in range(self._parked):
                self._places.put(False)

    def _fill_place(self) -> None:
        """Let one more thread work, if one may. With the lock held."""
        if self._working >= self._allowed or self._closed:
            return
        self._working += 1
        if self._parked:
            self._parked -= 1
            self._places.put(True)
        else:
            threading.Thread(target=self._work, name="extauthz-check", daemon=True).start()

    def _work(self) -> None:
        while self._arrivals.get():
            self._run(self._next())
            if self._working > self._allowed and not self._keep_place():
                return

    def _keep_place(self) -> bool:
        """Too many work: park until somebody waits again. False when the threads are to end."""
        with self._lock:
            if self._working <= self._allowed:
                return True
            self._working -= 1
            if self._closed:
                return False
            self._parked += 1
        return self._places.get()

    def _next(self) -> Task:
        line = self._line
        if len(line) <= NEWEST_FIRST_ABOVE:
            return line.popleft()
        try:
            stale = line[0][0] < time.monotonic() - STALE_S
        except IndexError:
            stale = True
        return line.popleft() if stale else line.pop()

    @staticmethod
    def _run(task: Task) -> None:
        _, done, fn, args = task
        try:
            fn(*args)
        except BaseException as error:  # noqa: BLE001 - grpcio's own code failed: the call fails closed, the thread goes on
            _log.error("a call failed in the transport: %s", type(error).__name__)
        finally:
            done.end()
