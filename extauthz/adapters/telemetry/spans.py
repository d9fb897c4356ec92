"""Spans of checks, made after the decision from `CheckDetails`. The names are public.

Attribute names of MCP and GenAI are OpenTelemetry's (semantic conventions for MCP, status: development).
"""

from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from extauthz.adapters.telemetry.tally import name_of
from extauthz.pdp.operation import TargetKind
from extauthz.pdp.reason import Outcome
from extauthz.service.details import CheckDetails, Wait

CHECK_SPAN: Final = "extauthz.check"
MAX_TEXT_CHARS: Final = 256
"""Characters of an attribute that a caller chooses. MCP asks for at most 128 in a tool's name."""
MAX_TRACE_STATE_CHARS: Final = 512
"""Characters of `tracestate` that are read (W3C Trace Context §3.3.1.5); a longer one is left out."""

# `traceparent` of version 00: "00-" trace id "-" parent id "-" flags (W3C Trace Context §3.2.2); bit 0 means sampled.
_FLAGS: Final = slice(53, 55)
_UNSAMPLED: Final = frozenset("02468aceACE")

_propagator: Final = TraceContextTextMapPropagator()


class SpanWriter:
    """Makes the spans of checks with a tracer of the SDK, whose sampler has the last word."""

    def __init__(self, tracer: Tracer, sampler: Sampler) -> None:
        self._tracer = tracer
        self._follows_parent = isinstance(sampler, ParentBased)

    def wanted(self, traceparent: str) -> bool:
        """Whether a span may come of it. False for certain; True may still be turned down by the sampler."""
        return not (self._follows_parent and traceparent[_FLAGS][1:] in _UNSAMPLED and traceparent)

    def write(self, details: CheckDetails) -> SpanContext:
        """Make the span and its children; the context says whether it was sampled."""
        span = self._tracer.start_span(
            CHECK_SPAN,
            context=parent(details),
            kind=SpanKind.SERVER,
            attributes=attributes(details),
            start_time=details.started_ns,
        )
        if details.outcome is Outcome.INDETERMINATE:
            span.set_status(Status(StatusCode.ERROR, details.reason.value))
        if details.waits and span.is_recording():
            under = set_span_in_context(span, Context())
            for wait in details.waits:
                self._write_wait(wait, under)
        span.end(end_time=details.ended_ns)
        return span.get_span_context()

    def _write_wait(self, wait: Wait, under: Context) -> None:
        self._tracer.start_span(
            wait.name,
            context=under,
            kind=SpanKind.CLIENT,
            attributes={"extauthz.wait.result": wait.result},
            start_time=wait.started_ns,
        ).end(end_time=wait.ended_ns)


def parent(details: CheckDetails) -> Context:
    """The proxy's span as the parent; nothing of this process's own context, which knows of no check."""
    carrier = {"traceparent": details.traceparent}
    if details.tracestate and len(details.tracestate) <= MAX_TRACE_STATE_CHARS:
        carrier["tracestate"] = details.tracestate
    return _propagator.extract(carrier, context=Context())


def attributes(details: CheckDetails) -> dict[str, str]:
    """What a span says. What is not known is left out."""
    request_id = details.request_id
    every = {
        "mcp.method.name": clean(details.method),
        "gen_ai.tool.name": clean(name_of(details, TargetKind.TOOL)),
        "gen_ai.prompt.name": clean(name_of(details, TargetKind.PROMPT)),
        "mcp.protocol.version": clean(details.protocol_version),
        "jsonrpc.request.id": "" if request_id is None else clean(str(request_id)),
        "extauthz.decision.id": details.decision_id,
        "extauthz.decision.outcome": details.outcome.value,
        "extauthz.decision.reason": details.reason.value,
        "extauthz.decision.cache": details.cache.value,
        "extauthz.resource": details.resource,
        "extauthz.policy.revision": details.policy_revision,
        "extauthz.rule": details.rule,
        "extauthz.header_only": "true" if details.header_only else "",
    }
    return {name: value for name, value in every.items() if value}


def clean(text: str) -> str:
    """A text that a caller chose, bounded, and without what does something: controls, bidi marks, surrogates."""
    bounded = text[:MAX_TEXT_CHARS]
    return bounded if bounded.isprintable() else "".join(filter(str.isprintable, bounded))
