"""Several serving processes under one: each with a port of its own, since Envoy spreads its load over endpoints.

(A port that processes share does not help: Envoy opens one connection per worker thread, and all of them can end at one
process.) The parent only starts, watches, signals and restarts; it decides nothing and serves nothing.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

RESTART_PAUSE_S: Final = 1.0
"""Before a worker that ended by itself is started again, so that one that cannot start does not spin."""
LOOK_EVERY_S: Final = 0.2

_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})

_log = logging.getLogger("extauthz.workers")


@dataclass(slots=True)
class _Worker:
    arguments: Sequence[str]
    process: "subprocess.Popen[bytes] | None" = None
    start_at: float = 0.0


@dataclass(slots=True)
class Workers:
    """Runs one process per argument list until SIGTERM or SIGINT."""

    commands: Sequence[Sequence[str]]
    _workers: list[_Worker] = field(init=False)
    _keep_alive: tuple[int, int] = field(init=False)

    def run(self) -> int:
        """Returns the exit code: 0 when every worker ended well after being told to."""
        # The workers hold the reading end and stop when the writing end closes: they never outlive us.
        self._keep_alive = os.pipe()
        self._workers = [_Worker(arguments) for arguments in self.commands]
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        # Blocked, and taken up one by one; workers inherit that and do the same.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        told = None
        while told is None or told.si_signo == signal.SIGHUP:
            for worker in self._workers:
                self._look_after(worker)
            told = signal.sigtimedwait(_SIGNALS, LOOK_EVERY_S)
            if told is not None:
                self._pass_on(told.si_signo)
        codes = [worker.process.wait() for worker in self._workers if worker.process is not None]
        return max(codes, key=abs, default=0) and 1

    def _look_after(self, worker: _Worker) -> None:
        process = worker.process
        if process is not None:
            code = process.poll()
            if code is None:
                return
            _log.error("worker %d ended by itself with %d; starting another", process.pid, code)
            worker.process = None
            worker.start_at = time.monotonic() + RESTART_PAUSE_S
        if time.monotonic() >= worker.start_at:
            watched, _ = self._keep_alive
            worker.process = subprocess.Popen(
                [sys.executable, "-m", "extauthz", "serve", *worker.arguments, "--parent-fd", str(watched)],
                pass_fds=[watched],
            )

    def _pass_on(self, number: int) -> None:
        for worker in self._workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM if number == signal.SIGINT else number)
