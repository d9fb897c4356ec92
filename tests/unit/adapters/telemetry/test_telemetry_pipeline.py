"""All telemetry together, with a real collector on loopback, real pipes, and real scrapes."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from extauthz.adapters.telemetry.environment import TelemetryFault
from extauthz.adapters.telemetry.pipeline import Telemetry
from extauthz.pdp.reason import Outcome, Reason
from extauthz.service.details import CacheUse, Wait
from extauthz.service.ports import CacheKind, CacheResult, FetchResult, KeySetState, Observer, ReloadResult, Tier
from tests.support.decided import ALICE, PARENT_ID, STARTED_NS, TRACE_ID, TRACEPARENT, UNSAMPLED, decided, tool
from tests.support.otlp import OtlpReceiver
from tests.support.policies import policy, resource, rule
from tests.support.waiting import eventually

POLICY = policy(resource([rule(["tools/call"], tools=["get_forecast"])]))
TEXT = "text/plain"


@pytest.fixture(autouse=True)
def no_variables_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@pytest.fixture
def collector() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


class Pipe:
    """Where audit lines go."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def records(self) -> list[dict[str, Any]]:
        """What was written until now; closes the pipe."""
        os.close(self.writing)
        self.writing = -1
        with os.fdopen(self.reading, closefd=False) as lines:
            return [json.loads(line) for line in lines]

    def close(self) -> None:
        for end in {self.reading, self.writing} - {-1}:
            os.close(end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


Open = Callable[..., Telemetry]


@pytest.fixture
def opened(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Telemetry set up by variables, started; stopped at the end."""
    made: list[Telemetry] = []

    def start(variables: dict[str, str] | None = None, *, audit: bool = True) -> Telemetry:
        for name, value in (variables or {}).items():
            monkeypatch.setenv(name, value)
        telemetry = Telemetry(
            os.environ,
            policy=POLICY,
            known_methods=frozenset({"tools/call", "initialize"}),
            audit_descriptor=pipe.writing if audit else None,
            registry=CollectorRegistry(),
        )
        telemetry.start()
        made.append(telemetry)
        return telemetry

    yield start
    for telemetry in made:
        telemetry.stop()


def samples(telemetry: Telemetry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    body, content_type = telemetry.exposition(TEXT)
    assert content_type.startswith(TEXT)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def observe_everything(observer: Observer) -> None:
    observer.checked(decided())
    observer.checked(decided(targets=tool("get_anything"), cache=CacheUse.NONE, ended_ns=STARTED_NS + 2_500_000))
    observer.checked(
        decided(outcome=Outcome.DENY, reason=Reason.TOKEN_MISSING, status=401, method="", targets=(), principal=None)
    )
    observer.looked_up(Tier.MEMORY, CacheKind.DECISION, CacheResult.HIT)
    observer.looked_up(Tier.REDIS, CacheKind.JWKS, CacheResult.UNAVAILABLE)
    observer.fetched("casdoor", FetchResult.OK)
    observer.reloaded(ReloadResult.FAILED)


class TestSpans:
    def test_a_decision_becomes_a_span_under_the_proxys_own(self, opened: Open, collector: OtlpReceiver) -> None:
        telemetry = opened({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc_endpoint})
        wait = Wait(name="extauthz.jwks", started_ns=STARTED_NS, ended_ns=STARTED_NS + 9, result="ok")
        telemetry.observer.checked(decided(waits=(wait,)))
        telemetry.stop()
        child, check = sorted(collector.wait_for_spans(2), key=lambda span: span.name != "extauthz.jwks")
        assert (check.trace_id, check.parent_id, check.name) == (TRACE_ID, PARENT_ID, "extauthz.check")
        assert (child.trace_id, child.parent_id, child.name) == (TRACE_ID, check.span_id, "extauthz.jwks")
        assert check.attributes["gen_ai.tool.name"] == "get_forecast"
        assert check.resource["service.name"] == "extauthz"
        assert check.resource["service.version"]

    def test_http_protobuf_works_as_well(self, opened: Open, collector: OtlpReceiver) -> None:
        telemetry = opened(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.http_endpoint,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_LOGS_EXPORTER": "otlp",
            }
        )
        telemetry.observer.checked(decided())
        telemetry.stop()
        assert collector.wait_for_spans(1)[0].trace_id == TRACE_ID
        assert collector.wait_for_points("extauthz.checks")
        assert collector.wait_for_logs(1)
        assert {source for source, _ in collector.calls} == {"/v1/traces", "/v1/metrics", "/v1/logs"}

    def test_what_the_proxy_did_not_sample_is_not_exported(self, opened: Open, collector: OtlpReceiver) -> None:
        telemetry = opened({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc_endpoint})
        telemetry.observer.checked(decided(decision_id="unsampled", traceparent=UNSAMPLED))
        telemetry.observer.checked(decided(decision_id="sampled"))
        telemetry.stop()
        assert [span.attributes["extauthz.decision.id"] for span in collector.wait_for_spans(1)] == ["sampled"]

    def test_the_standard_variables_name_and_sample(self, opened: Open, collector: OtlpReceiver) -> None:
        telemetry = opened(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc_endpoint,
                "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=acme",
                "OTEL_SERVICE_NAME": "front-door",
                "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.version=9",
                "OTEL_TRACES_SAMPLER": "always_on",
            }
        )
        telemetry.observer.checked(decided(traceparent=UNSAMPLED))
        telemetry.stop()
        (span,) = collector.wait_for_spans(1)
        assert span.resource["service.name"] == "front-door"
        assert span.resource["service.version"] == "9"
        assert span.resource["deployment.environment.name"] == "test"
        assert all(headers.get("x-tenant") == "acme" for _, headers in collector.calls)


class TestMetrics:
    def test_a_scrape_has_every_metric_under_its_prometheus_name(self, opened: Open) -> None:
        telemetry = opened()
        telemetry.keys_from(lambda: (KeySetState(issuer="casdoor", age_s=12.5, keys=2, last_fault=""),))
        telemetry.revocation_lag_from(lambda: 0.25)
        telemetry.revocation_counts_from(lambda: {"exact": 7, "merged": 1})
        observe_everything(telemetry.observer)
        found = samples(telemetry)
        allowed = (("mcp_method_name", "tools/call"), ("outcome", "allow"), ("reason", "allowed"))
        checks = {name: value for name, value in found.items() if name[0] == "extauthz_checks_total"}
        assert checks == {
            ("extauthz_checks_total", (("gen_ai_tool_name", "get_forecast"), *allowed, ("resource", "weather"))): 1,
            ("extauthz_checks_total", (("gen_ai_tool_name", "_other"), *allowed, ("resource", "weather"))): 1,
            (
                "extauthz_checks_total",
                (
                    *(("gen_ai_tool_name", ""), ("mcp_method_name", ""), ("outcome", "deny")),
                    *(("reason", "token_missing"), ("resource", "weather")),
                ),
            ): 1,
        }
        hit = (("kind", "decision"), ("result", "hit"), ("tier", "memory"))
        assert found["extauthz_cache_requests_total", hit] == 1
        assert found["extauthz_jwks_age_seconds", (("issuer", "casdoor"),)] == 12.5
        assert found["extauthz_jwks_fetches_total", (("issuer", "casdoor"), ("result", "ok"))] == 1
        assert found["extauthz_policy_reloads_total", (("result", "failed"),)] == 1
        assert found["extauthz_revocation_lag_seconds", ()] == 0.25
        assert found["extauthz_revocation_items", (("kind", "exact"),)] == 7
        assert found["extauthz_revocation_items", (("kind", "merged"),)] == 1

    def test_durations_are_a_histogram_with_buckets_from_ten_microseconds(self, opened: Open) -> None:
        telemetry = opened()
        observe_everything(telemetry.observer)
        found = samples(telemetry)
        warm = (("cache", "memory"), ("outcome", "allow"))

        def bucket(bound: str) -> float:
            return found["extauthz_check_duration_seconds_bucket", tuple(sorted((*warm, ("le", bound))))]

        assert [bucket("1e-05"), bucket("6e-05"), bucket("8e-05"), bucket("5.0"), bucket("+Inf")] == [0, 0, 1, 1, 1]
        assert found["extauthz_check_duration_seconds_count", warm] == 1
        assert found["extauthz_check_duration_seconds_sum", warm] == pytest.approx(65e-6)

    def test_scrapes_go_on_counting(self, opened: Open) -> None:
        telemetry = opened()
        key = ("extauthz_policy_reloads_total", (("result", "ok"),))
        for expected in (1, 2, 3):
            telemetry.observer.reloaded(ReloadResult.OK)
            assert samples(telemetry)[key] == expected

    def test_a_scraper_may_ask_for_openmetrics(self, opened: Open) -> None:
        telemetry = opened()
        telemetry.observer.checked(decided())
        body, content_type = telemetry.exposition("application/openmetrics-text; version=1.0.0")
        assert content_type.startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")

    def test_otlp_gets_the_same_metrics_under_their_own_names(self, opened: Open, collector: OtlpReceiver) -> None:
        telemetry = opened({"OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc_endpoint})
        telemetry.keys_from(lambda: (KeySetState(issuer="casdoor", age_s=12.5, keys=2, last_fault=""),))
        telemetry.revocation_counts_from(lambda: {"exact": 7, "merged": 1})
        observe_everything(telemetry.observer)
        telemetry.stop()
        durations = {
            (point.attributes["outcome"], point.attributes["cache"]): point
            for point in collector.wait_for_points("extauthz.check.duration")
        }
        assert set(durations) == {("allow", "memory"), ("allow", "none"), ("deny", "memory")}
        count, total, buckets, bounds = durations["allow", "none"].value
        assert (count, sum(buckets), total) == (1, 1, pytest.approx(2_500e-6))
        assert bounds[0] == 1e-5
        assert len(buckets) == len(bounds) + 1
        units = {point.name: point.unit for point in collector.points}
        assert units == {
            "extauthz.checks": "{check}",
            "extauthz.check.duration": "s",
            "extauthz.cache.requests": "{request}",
            "extauthz.jwks.age": "s",
            "extauthz.jwks.fetches": "{fetch}",
            "extauthz.policy.reloads": "{reload}",
            "extauthz.revocation.lag": "s",
            "extauthz.revocation.items": "{revocation}",
        }
        (check,) = [
            point
            for point in collector.points
            if point.name == "extauthz.checks" and point.attributes["gen_ai.tool.name"] == "get_forecast"
        ]
        assert check.value == 1
        assert check.attributes == {
            "outcome": "allow",
            "reason": "allowed",
            "resource": "weather",
            "mcp.method.name": "tools/call",
            "gen_ai.tool.name": "get_forecast",
        }

    def test_otlp_durations_are_differences_where_that_is_preferred(
        self, opened: Open, collector: OtlpReceiver
    ) -> None:
        telemetry = opened(
            {
                "OTEL_METRICS_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc_endpoint,
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
                "OTEL_METRIC_EXPORT_INTERVAL": "100",
            }
        )
        telemetry.observer.checked(decided())
        first = collector.wait_for_points("extauthz.check.duration")
        telemetry.observer.checked(decided())
        telemetry.observer.checked(decided())
        telemetry.stop()
        counts = [point.value[0] for point in collector.points if point.name == "extauthz.check.duration"]
        assert {point.temporality for point in first} == {1}
        assert counts[0] == 1
        assert sum(counts) == 3

    def test_another_policy_changes_what_counts_as_a_label(self, opened: Open) -> None:
        telemetry = opened()
        telemetry.adopt(policy(resource([rule(["tools/call"], tools=["get_anything"])])))
        telemetry.observer.checked(decided(targets=tool("get_anything")))
        telemetry.observer.checked(decided(targets=tool("get_forecast")))
        tools = {dict(labels)["gen_ai_tool_name"] for name, labels in samples(telemetry) if "checks" in name}
        assert tools == {"get_anything", "_other"}


class TestAudit:
    def test_each_decision_is_one_line(self, opened: Open, pipe: Pipe) -> None:
        telemetry = opened()
        for number in range(50):
            telemetry.observer.checked(decided(decision_id=f"{number:016x}"))
        telemetry.stop()
        records = pipe.records()
        assert [made["decision_id"] for made in records] == [f"{number:016x}" for number in range(50)]
        assert {made["trace_id"] for made in records} == {TRACE_ID}

    def test_a_line_names_the_trace_even_when_it_is_not_sampled_and_none_when_there_is_none(
        self, opened: Open, pipe: Pipe
    ) -> None:
        telemetry = opened()
        telemetry.observer.checked(decided(traceparent=UNSAMPLED))
        telemetry.observer.checked(decided(traceparent=""))
        telemetry.observer.checked(decided(traceparent="garbage"))
        telemetry.stop()
        assert [made.get("trace_id") for made in pipe.records()] == [TRACE_ID, None, None]

    def test_a_root_span_and_its_line_name_the_same_trace(
        self, opened: Open, pipe: Pipe, collector: OtlpReceiver
    ) -> None:
        telemetry = opened({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc_endpoint})
        telemetry.observer.checked(decided(traceparent=""))
        telemetry.stop()
        (span,) = collector.wait_for_spans(1)
        assert [made["trace_id"] for made in pipe.records()] == [span.trace_id]
        assert span.parent_id == ""

    def test_with_a_logs_exporter_records_go_to_otlp_and_to_no_line(
        self, opened: Open, pipe: Pipe, collector: OtlpReceiver
    ) -> None:
        telemetry = opened({"OTEL_LOGS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc_endpoint})
        telemetry.observer.checked(decided(targets=tool("a\ud800\x1b")))
        denied = decided(outcome=Outcome.DENY, reason=Reason.POLICY_DENIED, status=403, traceparent="")
        telemetry.observer.checked(denied)
        telemetry.stop()
        allowed, refused = collector.wait_for_logs(2)
        assert (allowed.event, allowed.severity, allowed.time_ns) == ("extauthz.decision", "INFO", STARTED_NS + 65_000)
        assert allowed.body["subject"] == ALICE.subject
        assert allowed.body["targets"] == [{"kind": "tool", "name": "a?\x1b"}]
        spans = {span.attributes["extauthz.decision.id"]: span for span in collector.wait_for_spans(2)}
        assert allowed.trace_id == TRACE_ID
        assert allowed.span_id in {span.span_id for span in collector.spans}
        assert refused.severity == "WARN"
        assert refused.body["reason"] == "policy_denied"
        assert spans
        assert pipe.records() == []

    def test_no_secret_and_no_claim_that_was_not_asked_for_leaves_the_process(
        self, opened: Open, pipe: Pipe, collector: OtlpReceiver
    ) -> None:
        telemetry = opened(
            {"OTEL_LOGS_EXPORTER": "otlp,console", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc_endpoint}
        )
        telemetry.observer.checked(decided())
        telemetry.stop()
        told = repr((pipe.records(), collector.wait_for_spans(1), collector.wait_for_logs(1), collector.points))
        assert ALICE.subject in told
        for kept_back in ("Alice Example", "scope-of-alice", "role-of-alice", "group-of-alice"):
            assert kept_back not in told

    def test_losses_are_counted_and_said(self, opened: Open, pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("extauthz.adapters.telemetry.recorder.MAX_PENDING", 10)
        monkeypatch.setattr("extauthz.adapters.telemetry.recorder.GATHER_S", 5.0)
        telemetry = opened()
        for _ in range(25):
            telemetry.observer.checked(decided())
        telemetry.stop()
        *records, last = pipe.records()
        assert len(records) == 10
        assert (last["event"], last["count"]) == ("records_lost", 15)
        assert samples(telemetry)["extauthz_telemetry_lost_total", (("what", "queue"),)] == 15

    def test_a_standard_output_that_nobody_reads_any_more_costs_only_the_lines(self, opened: Open, pipe: Pipe) -> None:
        telemetry = opened()
        os.close(pipe.reading)
        pipe.reading = -1
        for _ in range(100):
            telemetry.observer.checked(decided())
        telemetry.stop()
        found = samples(telemetry)
        assert found["extauthz_telemetry_lost_total", (("what", "lines"),)] >= 100
        assert sum(value for (name, _), value in found.items() if name == "extauthz_checks_total") == 100


class TestNothingSet:
    def test_nothing_is_exported_and_no_thread_could_do_it(self, opened: Open) -> None:
        before = set(threading.enumerate())
        telemetry = opened(audit=False)
        observe_everything(telemetry.observer)
        samples(telemetry)
        assert set(threading.enumerate()) == before

    def test_the_exporters_are_not_even_imported(self) -> None:
        """In a process of its own: what another test imported stays imported."""
        program = """
import os, sys
from extauthz.adapters.telemetry.pipeline import Telemetry
from tests.support.decided import decided
from tests.support.policies import policy, resource
telemetry = Telemetry(os.environ, policy=policy(resource()), known_methods=frozenset(), audit_descriptor=1)
telemetry.start()
telemetry.observer.checked(decided())
assert not [name for name in sys.modules if name.startswith(("opentelemetry", "prometheus_client", "grpc"))]
telemetry.stop()
"""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["event"] == "decision"

    def test_a_disabled_sdk_still_writes_audit_lines(self, opened: Open, pipe: Pipe) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0)
            endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
            telemetry = opened({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
            telemetry.observer.checked(decided())
            telemetry.stop()
            with pytest.raises(BlockingIOError):
                listener.accept()
        assert len(pipe.records()) == 1

    def test_a_variable_that_cannot_be_followed_stops_the_start(self, opened: Open) -> None:
        with pytest.raises(TelemetryFault, match="OTEL_TRACES_EXPORTER"):
            opened({"OTEL_TRACES_EXPORTER": "jaeger"})


class TestTheEnd:
    def test_a_collector_that_is_away_does_not_hold_up_the_end(self, opened: Open) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        away = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_EXPORTER_OTLP_TIMEOUT": "4"}
        telemetry = opened(away)
        telemetry.observer.checked(decided(traceparent=TRACEPARENT))
        begun = threading.active_count()
        ending = threading.Thread(target=telemetry.stop, args=(0.5,))
        ending.start()
        ending.join(3)
        assert not ending.is_alive()
        eventually(lambda: threading.active_count() < begun - 1, "the exporters' threads end")

    def test_stopping_twice_is_nothing(self, opened: Open) -> None:
        telemetry = opened()
        telemetry.stop()
        telemetry.stop()


def test_the_last_decisions_are_kept_for_the_status_page(opened: Open) -> None:
    telemetry = opened(audit=False)
    for number in range(70):
        telemetry.observer.checked(decided(decision_id=str(number)))
    assert [details.decision_id for details in telemetry.recent()] == [str(number) for number in range(69, 19, -1)]
