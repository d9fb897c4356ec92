"""A bounded queue and the one thread that empties it: what is worth doing about a check, but not worth waiting for."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from extauthz.service.details import CheckDetails

MAX_PENDING: Final = 8_192
"""Checks that wait to be written: more than a second of them at full load, about 8 MB, and 40 MB when every one of them
names as much as is told (`service.details`)."""
GATHER_S: Final = 0.1
"""The thread lets this much time pass after the first check, so that it wakes up ten times a second at most."""
YIELD_EVERY: Final = 32
"""Records between two moments at which the thread gives up the interpreter, for which checks wait: some 0.4 ms of audit
lines, where the interpreter itself would let them wait for 5 ms. Every 8 records cost more."""

_log = logging.getLogger("extauthz.telemetry")


class Recorder:
    """Hands checks to `write` in the background, one by one and in order; `finish` follows each batch.

    Never blocks its callers: what does not fit into the queue is dropped and told to `lost`.
    """

    def __init__(
        self, *, write: Callable[[CheckDetails], None], finish: Callable[[], None], lost: Callable[[int], None]
    ) -> None:
        self._write = write
        self._finish = finish
        self._lost = lost
        self._pending: deque[CheckDetails] = deque()
        self._some = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="extauthz-telemetry", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def add(self, details: CheckDetails) -> None:
        """Put a check in the queue."""
        if len(self._pending) >= MAX_PENDING:
            self._lost(1)
            return
        self._pending.append(details)
        if not self._some.is_set():
            self._some.set()

    def stop(self, timeout_s: float) -> bool:
        """Write what is in the queue, within the time given. Returns whether all of it was written."""
        self._stopping.set()
        self._some.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._some.wait()
            self._stopping.wait(GATHER_S)
            self._some.clear()
            self._empty()
        self._empty()

    def _empty(self) -> None:
        for number in range(len(self._pending)):
            try:
                self._write(self._pending.popleft())
            except Exception as error:  # noqa: BLE001 - the outermost handler of the thread: a lost record, not a lost thread
                self._lost(1)
                _log.error("a check could not be recorded: %s", type(error).__name__)
            if number % YIELD_EVERY == 0:
                time.sleep(0)
        try:
            self._finish()
        except Exception as error:  # noqa: BLE001 - as above
            _log.error("records could not be written: %s", type(error).__name__)
