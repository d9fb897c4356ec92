"""All telemetry of one process, set up by the standard variables: `Telemetry`."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from extauthz import __version__
from extauthz.adapters.telemetry.environment import read_hints, read_plan
from extauthz.adapters.telemetry.journal import Journal
from extauthz.adapters.telemetry.labels import LabelBounds
from extauthz.adapters.telemetry.line_stream import LineStream
from extauthz.adapters.telemetry.observer import TelemetryObserver
from extauthz.adapters.telemetry.recorder import Recorder
from extauthz.adapters.telemetry.tally import Tally
from extauthz.pdp.policy import Policy
from extauthz.service.details import CheckDetails
from extauthz.service.ports import KeySetState

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

SCOPE: Final = "extauthz"
"""Name of the instrumentation scope of spans."""
FLUSH_S: Final = 5.0
"""What exporters are given at the end: one that cannot reach its collector would try for half a minute."""

_log = logging.getLogger("extauthz.telemetry")


class Telemetry:
    """Made, then started, and once stopped. `observer` counts from the first moment."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        policy: Policy,
        known_methods: frozenset[str],
        audit_descriptor: int | None,
        registry: "CollectorRegistry | None" = None,
    ) -> None:
        """Read the variables. Raises `TelemetryFault`.

        `known_methods` are MCP's own. `audit_descriptor` is the file that audit lines go to (1 is standard output),
        None for nowhere. `registry` is what `exposition` shows our metrics in: by default that of the process.
        """
        self._plan = read_plan(environ)
        for hint in read_hints(environ, self._plan):
            _log.warning("%s", hint)
        self._known_methods = known_methods
        self._audit_descriptor = audit_descriptor if self._plan.audit_lines else None
        self._registry = registry
        self._tally = Tally(LabelBounds.of(policy, known_methods))
        self.observer: Final = TelemetryObserver(self._tally)
        self._key_states: Callable[[], Iterable[KeySetState]] = tuple
        self._revocation_lag_s: Callable[[], float] = float
        self._revocation_counts: Callable[[], Mapping[str, int]] = dict
        self._recorder: Recorder | None = None
        self._providers: list[Any] = []
        self._scraped = False
        self._lock = threading.Lock()

    def keys_from(self, key_states: Callable[[], Iterable[KeySetState]]) -> None:
        """Where the ages of key sets come from."""
        self._key_states = key_states

    def revocation_lag_from(self, lag_s: Callable[[], float]) -> None:
        """Where the age of what is known of revocations comes from."""
        self._revocation_lag_s = lag_s

    def revocation_counts_from(self, counts: Callable[[], Mapping[str, int]]) -> None:
        """Where the numbers of known revocations come from, by kind."""
        self._revocation_counts = counts

    def adopt(self, policy: Policy) -> None:
        """Another policy is in force: its names count as labels."""
        self._tally.bounds = LabelBounds.of(policy, self._known_methods)

    @property
    def exporters(self) -> tuple[str, ...]:
        """What is exported, and how: `traces by grpc`."""
        plan = self._plan
        signals = (("traces", plan.traces), ("metrics", plan.metrics), ("audit", plan.logs))
        return tuple(f"{signal} by {each.value}" for signal, several in signals for each in several)

    def start(self) -> None:
        """Set up what is to be exported, and the thread that does it. Nothing is connected to before there is news."""
        plan = self._plan
        spans = emit = None
        if plan.traces or plan.metrics or plan.audit_otlp:
            spans, emit = self._export()
        lines = None if self._audit_descriptor is None else LineStream(self._audit_descriptor)
        if spans is None and emit is None and lines is None:
            return
        journal = Journal(self._tally, spans=spans, lines=lines, emit=emit)
        self._recorder = Recorder(write=journal.write, finish=journal.finish, lost=journal.lost)
        self._recorder.start()
        self.observer.record_with(self._recorder, all_of=lines is not None or emit is not None, spans=spans)

    def stop(self, flush_s: float = FLUSH_S) -> None:
        """Write and send what there is, within `flush_s` seconds."""
        ends_at = time.monotonic() + flush_s
        if self._recorder is not None and not self._recorder.stop(flush_s):
            _log.warning("the last audit records could not be written within %g s", flush_s)
        # The SDK's own shutdown can take half a minute when a collector is away.
        ending = [threading.Thread(target=provider.shutdown, daemon=True) for provider in self._providers]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join(max(0.0, ends_at - time.monotonic()))
        self._providers.clear()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All metrics in a text format that the client accepts, and its content type."""
        # With the SDK's metrics 100 ms and 7 MB, which a process that nobody scrapes need not spend.
        from prometheus_client import REGISTRY  # noqa: PLC0415 - as above
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - as above

        registry = REGISTRY if self._registry is None else self._registry
        with self._lock:
            if not self._scraped:
                self._open_scrape(registry)
                self._scraped = True
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    def recent(self) -> tuple[CheckDetails, ...]:
        """The last decisions, the newest first."""
        return self.observer.recent()

    def _export(self) -> tuple[Any, Any]:
        """The spans' and the audit records' way out, as far as they have one; and metrics are sent from now on."""
        # What is imported here takes 100 ms and 5 MB, which a process that exports nothing need not spend.
        from extauthz.adapters.telemetry import exporters  # noqa: PLC0415 - as above
        from extauthz.adapters.telemetry.audit_otlp import emitter  # noqa: PLC0415 - as above
        from extauthz.adapters.telemetry.metrics import RevocationStates, meter_provider, sending_reader  # noqa: PLC0415 - as above
        from extauthz.adapters.telemetry.resource import described  # noqa: PLC0415 - as above
        from extauthz.adapters.telemetry.spans import SpanWriter  # noqa: PLC0415 - as above

        plan, resource = self._plan, described()
        spans = emit = None
        if plan.traces:
            tracers = exporters.tracer_provider(plan.traces, resource)
            self._providers.append(tracers)
            spans = SpanWriter(tracers.get_tracer(SCOPE, __version__), tracers.sampler)
        if plan.audit_otlp is not None:
            loggers = exporters.logger_provider(plan.audit_otlp, resource)
            self._providers.append(loggers)
            emit = emitter(loggers)
        if plan.metrics:
            states = RevocationStates(self._lag_s, self._counts)
            readers = [sending_reader(self._tally, exporters.metric_exporter(each)) for each in plan.metrics]
            self._providers.append(meter_provider(self._tally, self._states, states, readers, resource))
        return spans, emit

    def _open_scrape(self, registry: "CollectorRegistry") -> None:
        from extauthz.adapters.telemetry.metrics import RevocationStates, meter_provider, scraped_reader  # noqa: PLC0415 - as above
        from extauthz.adapters.telemetry.resource import described  # noqa: PLC0415 - as above

        states = RevocationStates(self._lag_s, self._counts)
        readers = [scraped_reader(self._tally, registry)]
        self._providers.append(meter_provider(self._tally, self._states, states, readers, described()))

    def _states(self) -> Iterable[KeySetState]:
        return self._key_states()

    def _lag_s(self) -> float:
        return self._revocation_lag_s()

    def _counts(self) -> Mapping[str, int]:
        return self._revocation_counts()
