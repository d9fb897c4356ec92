"""The counts of `tally` as OpenTelemetry metrics, for scraping (Prometheus) and for sending (OTLP).

Counters and gauges are observable instruments of the SDK. A histogram cannot be observed, only recorded one value at a
time; so the durations, whose buckets are counted already, join the other metrics where readers receive them.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry

from extauthz import __version__
from extauthz.adapters.telemetry.tally import DURATION_BOUNDS_S, DurationLabels, Durations, Tally
from extauthz.service.ports import KeySetState

SCOPE: Final = "extauthz"
DURATION: Final = "extauthz.check.duration"

# OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE values under which histograms are sent as differences.
_DELTA: Final = frozenset({"delta", "lowmemory"})

KeyStates = Callable[[], Iterable[KeySetState]]


class DurationMetric:
    """The histogram `extauthz.check.duration` for one reader."""

    def __init__(self, tally: Tally, *, delta: bool) -> None:
        self._tally = tally
        self._delta = delta
        self._since_ns = time.time_ns()
        self._told: dict[DurationLabels, Durations] = {}

    def join(self, data: MetricsData) -> MetricsData:
        """The same metrics, and the durations with those of our scope."""
        durations = self._metric()
        return MetricsData(
            [
                ResourceMetrics(
                    one.resource,
                    [
                        ScopeMetrics(scope.scope, [*scope.metrics, durations], scope.schema_url)
                        if scope.scope.name == SCOPE
                        else scope
                        for scope in one.scope_metrics
                    ],
                    one.schema_url,
                )
                for one in data.resource_metrics
            ]
        )

    def _metric(self) -> Metric:
        now_ns, counted, told = time.time_ns(), self._tally.counts().durations, self._told
        points = [
            _point(labels, _difference(durations, told.get(labels)), self._since_ns, now_ns)
            for labels, durations in counted.items()
        ]
        if self._delta:
            self._told, self._since_ns = counted, now_ns
        temporality = AggregationTemporality.DELTA if self._delta else AggregationTemporality.CUMULATIVE
        return Metric(
            DURATION, "How long checks took, from their arrival to the answer.", "s", Histogram(points, temporality)
        )


def _difference(durations: Durations, told: Durations | None) -> Durations:
    if told is None:
        return durations
    return Durations(
        [now - before for now, before in zip(durations.buckets, told.buckets, strict=True)],
        durations.sum_s - told.sum_s,
    )


def _point(labels: DurationLabels, durations: Durations, since_ns: int, now_ns: int) -> HistogramDataPoint:
    # The least and the greatest are not kept; the bounds of the buckets that they fell into are known.
    used = [index for index, count in enumerate(durations.buckets) if count]
    bounds = (0.0, *DURATION_BOUNDS_S, DURATION_BOUNDS_S[-1])
    return HistogramDataPoint(
        attributes={"outcome": labels.outcome.value, "cache": labels.cache.value},
        start_time_unix_nano=since_ns,
        time_unix_nano=now_ns,
        count=durations.count,
        sum=durations.sum_s,
        bucket_counts=tuple(durations.buckets),
        explicit_bounds=DURATION_BOUNDS_S,
        min=bounds[used[0]] if used else 0.0,
        max=bounds[used[-1] + 1] if used else 0.0,
    )


class ScrapedReader(PrometheusMetricReader):
    """What `/metrics` reads."""

    def __init__(self, durations: DurationMetric, registry: CollectorRegistry) -> None:
        # Before the parent's: registering collects once.
        self._durations = durations
        super().__init__(scope_info_enabled=False, registry=registry)

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        super()._receive_metrics(self._durations.join(metrics_data), timeout_millis, **kwargs)


class SendingReader(PeriodicExportingMetricReader):
    """What sends metrics every `OTEL_METRIC_EXPORT_INTERVAL`."""

    def __init__(self, durations: DurationMetric, exporter: MetricExporter) -> None:
        # Before the parent's, which starts a thread that reads.
        self._durations = durations
        super().__init__(exporter)

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        super()._receive_metrics(self._durations.join(metrics_data), timeout_millis, **kwargs)


def scraped_reader(tally: Tally, registry: CollectorRegistry) -> MetricReader:
    """A reader for `registry`."""
    return ScrapedReader(DurationMetric(tally, delta=False), registry)


def sending_reader(tally: Tally, exporter: MetricExporter) -> MetricReader:
    """A reader that sends by itself."""
    preference = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "").strip().lower()
    return SendingReader(DurationMetric(tally, delta=preference in _DELTA), exporter)


@dataclass(frozen=True, slots=True)
class RevocationStates:
    """Where the state of the revocation list comes from."""

    lag_s: Callable[[], float]
    """For how long others may have known revocations that we do not."""
    counts: Callable[[], Mapping[str, int]]
    """How many are known, by kind."""


def meter_provider(
    tally: Tally,
    key_states: KeyStates,
    revocations: RevocationStates,
    readers: Iterable[MetricReader],
    resource: Resource,
) -> MeterProvider:
    """All instruments but the histogram, observed from the tally."""
    provider = MeterProvider(metric_readers=tuple(readers), resource=resource, shutdown_on_exit=False)
    meter = provider.get_meter(SCOPE, __version__)

    def checks(_: CallbackOptions) -> Iterable[Observation]:
        for labels, count in tally.counts().checks.items():
            yield Observation(
                count,
                {
                    "outcome": labels.outcome.value,
                    "reason": labels.reason.value,
                    "resource": labels.resource,
                    "mcp.method.name": labels.method,
                    "gen_ai.tool.name": labels.tool,
                },
            )

    def lookups(_: CallbackOptions) -> Iterable[Observation]:
        for (tier, kind, result), count in tally.counts().lookups.items():
            yield Observation(count, {"tier": tier.value, "kind": kind.value, "result": result.value})

    def fetches(_: CallbackOptions) -> Iterable[Observation]:
        for (issuer, result), count in tally.counts().fetches.items():
            yield Observation(count, {"issuer": issuer, "result": result.value})

    def reloads(_: CallbackOptions) -> Iterable[Observation]:
        for result, count in tally.counts().reloads.items():
            yield Observation(count, {"result": result.value})

    def lost(_: CallbackOptions) -> Iterable[Observation]:
        for what, count in tally.counts().lost.items():
            yield Observation(count, {"what": what})

    def ages(_: CallbackOptions) -> Iterable[Observation]:
        for state in key_states():
            if state.age_s is not None:
                yield Observation(state.age_s, {"issuer": state.issuer})

    def lags(_: CallbackOptions) -> Iterable[Observation]:
        yield Observation(revocations.lag_s())

    def revoked(_: CallbackOptions) -> Iterable[Observation]:
        for kind, number in revocations.counts().items():
            yield Observation(number, {"kind": kind})

    count = meter.create_observable_counter
    count("extauthz.checks", [checks], "{check}", "Decisions.")
    count("extauthz.cache.requests", [lookups], "{request}", "Look-ups in caches, and how they went.")
    count("extauthz.jwks.fetches", [fetches], "{fetch}", "Fetches of key sets, and how they went.")
    count("extauthz.policy.reloads", [reloads], "{reload}", "Times that the policy file was read again.")
    count("extauthz.telemetry.lost", [lost], "{record}", "Audit records and spans that were dropped.")
    meter.create_observable_gauge("extauthz.jwks.age", [ages], "s", "Time since the key set in use was fetched.")
    meter.create_observable_gauge(
        "extauthz.revocation.lag", [lags], "s", "For how long others may have known revocations that we do not."
    )
    meter.create_observable_gauge(
        "extauthz.revocation.items",
        [revoked],
        "{revocation}",
        "Revocations known; merged ones refuse more than asked.",
    )
    return provider
