"""Spans with the SDK's real tracer and samplers, collected in memory."""

from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import SpanKind, StatusCode

from extauthz.adapters.telemetry.spans import MAX_TEXT_CHARS, SpanWriter
from extauthz.pdp.operation import Target, TargetKind
from extauthz.pdp.reason import Outcome, Reason
from extauthz.service.details import CacheUse, CheckDetails, Wait
from tests.support.decided import ALICE, PARENT_ID, STARTED_NS, TRACE_ID, TRACEPARENT, UNSAMPLED, decided, tool

USUAL = ParentBased(ALWAYS_ON)


def spans_of(details: CheckDetails, sampler: Sampler = USUAL) -> Sequence[ReadableSpan]:
    kept = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    SpanWriter(provider.get_tracer("test"), sampler).write(details)
    return kept.get_finished_spans()


def span_of(details: CheckDetails) -> ReadableSpan:
    (span,) = spans_of(details)
    return span


class TestTheSpan:
    def test_it_is_a_server_span_under_the_proxys_with_the_times_of_the_check(self) -> None:
        span = span_of(decided(tracestate="vendor=1"))
        assert (span.name, span.kind) == ("extauthz.check", SpanKind.SERVER)
        assert (span.start_time, span.end_time) == (STARTED_NS, STARTED_NS + 65_000)
        assert span.context is not None
        assert span.parent is not None
        assert f"{span.context.trace_id:032x}" == TRACE_ID
        assert f"{span.parent.span_id:016x}" == PARENT_ID
        assert span.parent.is_remote
        assert dict(span.context.trace_state) == {"vendor": "1"}

    def test_a_span_that_this_process_happens_to_be_in_is_no_parent(self) -> None:
        provider = TracerProvider(shutdown_on_exit=False)
        with provider.get_tracer("other").start_as_current_span("other"):
            assert span_of(decided(traceparent="")).parent is None

    def test_it_says_exactly_what_the_contract_lists(self) -> None:
        assert dict(span_of(decided()).attributes or {}) == {
            "mcp.method.name": "tools/call",
            "gen_ai.tool.name": "get_forecast",
            "mcp.protocol.version": "2026-07-28",
            "jsonrpc.request.id": "7",
            "extauthz.decision.id": "4f1d0c8e2a7b9356",
            "extauthz.decision.outcome": "allow",
            "extauthz.decision.reason": "allowed",
            "extauthz.decision.cache": "memory",
            "extauthz.resource": "weather",
            "extauthz.policy.revision": "5d41402abc4b2a76",
            "extauthz.rule": "extauthz.yaml:31",
        }

    def test_a_decision_on_headers_alone_is_called_one(self) -> None:
        attributes = dict(span_of(decided(header_only=True)).attributes or {})
        assert attributes["extauthz.header_only"] == "true"

    def test_a_prompt_is_named_as_a_prompt(self) -> None:
        details = decided(method="prompts/get", targets=(Target(TargetKind.PROMPT, "summary"),))
        attributes = dict(span_of(details).attributes or {})
        assert attributes["gen_ai.prompt.name"] == "summary"
        assert "gen_ai.tool.name" not in attributes

    def test_what_a_check_did_not_get_to_is_left_out(self) -> None:
        details = decided(
            outcome=Outcome.DENY,
            reason=Reason.TOKEN_MISSING,
            method="",
            targets=(),
            protocol_version="",
            request_id=None,
            principal=None,
            rule="",
            resource="",
            cache=CacheUse.NONE,
        )
        assert set(span_of(details).attributes or {}) == {
            "extauthz.decision.id",
            "extauthz.decision.outcome",
            "extauthz.decision.reason",
            "extauthz.decision.cache",
            "extauthz.policy.revision",
        }

    @pytest.mark.parametrize(("request_id", "expected"), [(0, "0"), (-5, "-5"), ("abc", "abc"), ("", None)])
    def test_the_request_id_is_text(self, request_id: int | str, expected: str | None) -> None:
        attributes = span_of(decided(request_id=request_id)).attributes or {}
        assert attributes.get("jsonrpc.request.id") == expected

    def test_nothing_about_the_principal_appears(self) -> None:
        told = span_of(decided()).to_json()
        for value in (ALICE.subject, ALICE.name, ALICE.organization, ALICE.client_id, "scope-of-alice"):
            assert value not in told

    @pytest.mark.parametrize(
        ("outcome", "reason", "status", "description"),
        [
            (Outcome.ALLOW, Reason.ALLOWED, StatusCode.UNSET, None),
            (Outcome.DENY, Reason.TOKEN_EXPIRED, StatusCode.UNSET, None),
            (Outcome.INDETERMINATE, Reason.KEYS_UNAVAILABLE, StatusCode.ERROR, "keys_unavailable"),
        ],
    )
    def test_only_a_check_that_could_not_be_decided_is_an_error(
        self, outcome: Outcome, reason: Reason, status: StatusCode, description: str | None
    ) -> None:
        span = span_of(decided(outcome=outcome, reason=reason))
        assert (span.status.status_code, span.status.description) == (status, description)


class TestHostile:
    def test_names_are_bounded(self) -> None:
        long = "x" * 1_000_000
        attributes = span_of(decided(method=long, targets=tool(long), request_id=long)).attributes or {}
        for name in ("mcp.method.name", "gen_ai.tool.name", "jsonrpc.request.id"):
            assert attributes[name] == "x" * MAX_TEXT_CHARS

    def test_names_lose_characters_that_do_something(self) -> None:
        attributes = span_of(decided(targets=tool("a\x00b\x1b[31m\u202ec\ud800d\u2028é\n"))).attributes or {}
        assert attributes["gen_ai.tool.name"] == "ab[31mcdé"

    @pytest.mark.parametrize(
        "traceparent",
        ["", "garbage", "00-" + "0" * 32 + "-" + PARENT_ID + "-01", f"ff-{TRACE_ID}-{PARENT_ID}-01", "x" * 100_000],
    )
    def test_a_trace_context_that_is_none_makes_a_root(self, traceparent: str) -> None:
        span = span_of(decided(traceparent=traceparent))
        assert span.parent is None
        assert span.context is not None
        assert f"{span.context.trace_id:032x}" != TRACE_ID

    def test_a_trace_state_that_is_too_long_is_left_out(self) -> None:
        span = span_of(decided(tracestate=",".join(f"k{number}={'v' * 20}" for number in range(30))))
        assert span.context is not None
        assert not span.context.trace_state


class TestWaits:
    WAITS = (
        Wait(name="extauthz.redis", started_ns=STARTED_NS + 10, ended_ns=STARTED_NS + 20, result="miss"),
        Wait(name="extauthz.jwks", started_ns=STARTED_NS + 30, ended_ns=STARTED_NS + 40, result="ok"),
    )

    def test_each_wait_is_a_child_with_its_own_times(self) -> None:
        *children, check = spans_of(decided(waits=self.WAITS))
        assert check.name == "extauthz.check"
        assert check.context is not None
        assert [
            (child.name, child.kind, child.start_time, child.end_time, dict(child.attributes or {}))
            for child in children
        ] == [
            (wait.name, SpanKind.CLIENT, wait.started_ns, wait.ended_ns, {"extauthz.wait.result": wait.result})
            for wait in self.WAITS
        ]
        assert {child.parent.span_id for child in children if child.parent} == {check.context.span_id}


class TestSampling:
    @pytest.mark.parametrize(
        ("sampler", "traceparent", "expected"),
        [
            (USUAL, TRACEPARENT, 1),
            (USUAL, UNSAMPLED, 0),
            (USUAL, "", 1),
            (ParentBased(ALWAYS_OFF), "", 0),
            (ParentBased(ALWAYS_OFF), TRACEPARENT, 1),
            (ALWAYS_OFF, TRACEPARENT, 0),
            (ALWAYS_ON, UNSAMPLED, 1),
        ],
    )
    def test_the_sampler_decides(self, sampler: Sampler, traceparent: str, expected: int) -> None:
        assert len(spans_of(decided(traceparent=traceparent, waits=TestWaits.WAITS), sampler)) == expected * 3

    @pytest.mark.parametrize(
        ("sampler", "traceparent", "expected"),
        [
            (USUAL, TRACEPARENT, True),
            (USUAL, UNSAMPLED, False),
            (USUAL, TRACEPARENT[:-2] + "fe", False),
            (USUAL, TRACEPARENT[:-2] + "03", True),
            (USUAL, "", True),
            (USUAL, "garbage", True),
            (ALWAYS_ON, UNSAMPLED, True),
        ],
    )
    def test_what_the_sampler_will_turn_down_for_certain_is_known_beforehand(
        self, sampler: Sampler, traceparent: str, expected: bool
    ) -> None:
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        assert SpanWriter(provider.get_tracer("test"), sampler).wanted(traceparent) is expected
