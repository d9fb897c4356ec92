"""The `Observer` of the service: counts at once, and leaves the rest to the background."""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from extauthz.adapters.telemetry.recorder import Recorder
from extauthz.adapters.telemetry.tally import Tally
from extauthz.service.details import CheckDetails
from extauthz.service.ports import CacheKind, CacheResult, FetchResult, ReloadResult, Tier

MAX_RECENT: Final = 50
"""Decisions on the status page."""


class Spans(Protocol):
    """What is asked about spans before a check is put in the queue for nothing else."""

    def wanted(self, traceparent: str) -> bool:
        """Whether a span may come of it."""
        ...


class TelemetryObserver:
    """Keeps the contract of `service.ports.Observer`: any thread, microseconds, no exceptions."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._recent: deque[CheckDetails] = deque(maxlen=MAX_RECENT)
        self._record: Callable[[CheckDetails], None] | None = None
        self._wanted: Callable[[str], bool] | None = None

    def record_with(self, recorder: Recorder, *, all_of: bool, spans: Spans | None) -> None:
        """From now on hand checks to the recorder: all of them, or those that may become spans."""
        self._wanted = None if all_of or spans is None else spans.wanted
        self._record = recorder.add if all_of or spans is not None else None

    def checked(self, details: CheckDetails) -> None:
        """One decision was made."""
        self._tally.checked(details)
        self._recent.append(details)
        record = self._record
        if record is not None:
            wanted = self._wanted
            if wanted is None or wanted(details.traceparent):
                record(details)

    def looked_up(self, tier: Tier, kind: CacheKind, result: CacheResult) -> None:
        """One cache was asked."""
        self._tally.looked_up(tier, kind, result)

    def fetched(self, issuer: str, result: FetchResult) -> None:
        """One key set was fetched, or not."""
        self._tally.fetched(issuer, result)

    def reloaded(self, result: ReloadResult) -> None:
        """The policy file was read again."""
        self._tally.reloaded(result)

    def recent(self) -> tuple[CheckDetails, ...]:
        """The last decisions, the newest first."""
        return tuple(reversed(self._recent.copy()))
