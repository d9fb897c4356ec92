"""Log lines on standard error: without secrets, and with nothing in them that steers a terminal or forges a line."""

import logging
import sys
import threading
from types import TracebackType
from typing import Any, Final

from extauthz.pdp.quoting import visible
from extauthz.pdp.redaction import Redactor

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
CONTINUED: Final = "  "
"""Begins every further line of a record (a traceback, the faults of a file): no record begins so."""


class LogLines(logging.Formatter):
    """Formats a record, exception and all, and then cuts and escapes the whole."""

    def __init__(self, redactor: Redactor, fmt: str = FORMAT) -> None:
        super().__init__(fmt)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The record as lines."""
        first, *further = self._redactor.cut(super().format(record)).split("\n")
        return "\n".join((visible(first), *(CONTINUED + visible(line) for line in further)))


def log_to_stderr(redactor: Redactor, level: int = logging.INFO) -> None:
    """Log to standard error; exceptions that nobody catches, in whatever thread, go the same way."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogLines(redactor))
    logging.basicConfig(level=level, handlers=[handler])
    log = logging.getLogger("extauthz")

    def uncaught(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        log.critical("a fault of extauthz ended it", exc_info=(kind, error, at))

    def uncaught_in_thread(found: threading.ExceptHookArgs) -> None:
        if found.exc_value is not None:
            name = "a thread" if found.thread is None else f"thread {found.thread.name}"
            log.critical("a fault of extauthz ended %s", name, exc_info=found.exc_value)

    def unraisable(found: Any) -> None:
        log.error("an error that nobody could be told of", exc_info=found.exc_value)

    sys.excepthook = uncaught
    threading.excepthook = uncaught_in_thread
    sys.unraisablehook = unraisable
