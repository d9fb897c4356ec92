"""Audit records as OTLP log records: the same record as the line, as a structured body."""

from collections.abc import Callable
from typing import Final

from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from extauthz.adapters.telemetry.audit import Record
from extauthz.adapters.telemetry.spans import parent
from extauthz.pdp.reason import Outcome
from extauthz.service.details import CheckDetails

EVENT: Final = "extauthz.decision"

_SEVERITIES: Final = {
    Outcome.ALLOW: SeverityNumber.INFO,
    Outcome.DENY: SeverityNumber.WARN,
    Outcome.INDETERMINATE: SeverityNumber.ERROR,
}


def emitter(provider: LoggerProvider) -> Callable[[CheckDetails, Record, SpanContext | None], None]:
    """A function that sends a record, tied to the check's span, or else to the proxy's."""
    logger = provider.get_logger("extauthz.audit")

    def emit(details: CheckDetails, made: Record, span: SpanContext | None) -> None:
        severity = _SEVERITIES[details.outcome]
        logger.emit(
            timestamp=details.ended_ns,
            observed_timestamp=details.ended_ns,
            context=parent(details) if span is None else set_span_in_context(NonRecordingSpan(span), Context()),
            severity_number=severity,
            severity_text=severity.name,
            body=made,
            event_name=EVENT,
        )

    return emit
