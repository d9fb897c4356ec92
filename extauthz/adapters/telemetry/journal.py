"""What the background thread does with each check: its spans, its audit records, and the count of what was lost."""

import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from extauthz.adapters.telemetry.audit import line, loss_line, record
from extauthz.adapters.telemetry.line_stream import LineStream
from extauthz.adapters.telemetry.tally import Tally
from extauthz.service.details import CheckDetails

COMPLAIN_EVERY_S: Final = 60.0
"""Losses are logged no more often than this; the metric has all of them."""

# W3C Trace Context §3.2: version, trace id, parent id, flags.
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")

_log = logging.getLogger("extauthz.telemetry")


class SpanSink(Protocol):
    """Makes spans (`spans.SpanWriter`)."""

    def wanted(self, traceparent: str) -> bool:
        """Whether a span may come of it."""
        ...

    def write(self, details: CheckDetails) -> Any:
        """Make the spans; the SDK's context of the check's span."""
        ...


class Journal:
    """Writes checks to the sinks there are. `lost` may be called by any thread, the rest by the recorder's."""

    def __init__(
        self,
        tally: Tally,
        *,
        spans: SpanSink | None = None,
        lines: LineStream | None = None,
        emit: Callable[[CheckDetails, dict[str, Any], Any], None] | None = None,
    ) -> None:
        """`emit` sends an audit record elsewhere: the check, its record, and the context of its span."""
        self._tally = tally
        self._spans = spans
        self._lines = lines
        self._emit = emit
        self._lock = threading.Lock()
        self._untold = 0
        self._complained_at = -COMPLAIN_EVERY_S

    def write(self, details: CheckDetails) -> None:
        """Record one check."""
        context, trace_id = None, trace_of(details.traceparent)
        if self._spans is not None and self._spans.wanted(details.traceparent):
            context = self._spans.write(details)
            trace_id = trace_id or (f"{context.trace_id:032x}" if context.trace_flags.sampled else "")
        if self._lines is not None:
            self._count(self._lines.add(line(details, trace_id)))
        if self._emit is not None:
            self._emit(details, record(details, trace_id), context)

    def finish(self) -> None:
        """Write out what has been collected, and say what is missing from it."""
        with self._lock:
            untold, self._untold = self._untold, 0
        if untold:
            self._complain(untold)
            if self._lines is not None:
                self._count(self._lines.add(loss_line(untold, time.time_ns())))
        if self._lines is not None:
            self._count(self._lines.flush())

    def lost(self, count: int) -> None:
        """Checks were dropped before they came here."""
        self._tally.lost("queue", count)
        with self._lock:
            self._untold += count

    def _count(self, lost: int) -> None:
        if lost:
            self._tally.lost("lines", lost)
            with self._lock:
                self._untold += lost

    def _complain(self, count: int) -> None:
        now = time.monotonic()
        if now - self._complained_at >= COMPLAIN_EVERY_S:
            self._complained_at = now
            _log.warning("%d decisions were not recorded: more came than could be written", count)


def trace_of(traceparent: str) -> str:
    """The trace id of the proxy's span; empty when there is none."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match[1] if match is not None else ""
