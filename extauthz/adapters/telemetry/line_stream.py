"""Lines to a file descriptor that may be slow, full or gone, none of which may stop the service."""

import logging
import os
import select
from typing import Final

from extauthz.adapters.telemetry.audit import MAX_LINE_BYTES

MAX_STALL_S: Final = 1.0
"""A reader that takes nothing for this long loses lines: the queue behind holds more than a second of them."""

_log = logging.getLogger("extauthz.telemetry")


class LineStream:
    """Collects lines and writes them in pieces of at most `MAX_LINE_BYTES`, each in one write. One thread.

    A write of that size to a pipe happens whole or not at all (POSIX), so that lines of several processes do not mix;
    and one that the system says it has room for does not block.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._piece = bytearray()
        self._lines = 0
        self._unusable = False

    def add(self, line: bytes) -> int:
        """Take a line. Returns how many lines were lost in making room for it."""
        lost = self.flush() if len(self._piece) + len(line) > MAX_LINE_BYTES else 0
        self._piece += line
        self._lines += 1
        return lost

    def flush(self) -> int:
        """Write what has been collected. Returns how many lines were lost."""
        lines, piece = self._lines, bytes(self._piece)
        self._lines = 0
        self._piece.clear()
        return 0 if not lines or self._written(piece) else lines

    def _written(self, piece: bytes) -> bool:
        try:
            while piece:
                if not self._has_room():
                    return self._failed("nobody reads them")
                piece = piece[os.write(self._descriptor, piece) :]
        except OSError as error:
            return self._failed(error.strerror or type(error).__name__)
        if self._unusable:
            self._unusable = False
            _log.warning("audit lines can be written again")
        return True

    def _has_room(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        # Once stalled, only look: a queue that fills while one line after the other is waited for loses more.
        return bool(poll.poll(0 if self._unusable else MAX_STALL_S * 1_000))

    def _failed(self, why: str) -> bool:
        if not self._unusable:
            self._unusable = True
            _log.error("audit lines cannot be written to standard output (%s): they are lost until that is mended", why)
        return False
