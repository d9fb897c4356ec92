"""What is done with one check in the background; the sinks are recorded."""

from types import SimpleNamespace
from typing import Any

import pytest

from extauthz.adapters.telemetry.journal import Journal, trace_of
from extauthz.adapters.telemetry.labels import LabelBounds
from extauthz.adapters.telemetry.tally import Tally
from extauthz.service.details import CheckDetails
from tests.support.decided import TRACE_ID, TRACEPARENT, UNSAMPLED, decided
from tests.support.policies import policy, resource


class Spans:
    """Wants what has a sampled parent or none."""

    def __init__(self, *, sampled: bool = True) -> None:
        self.written: list[str] = []
        self.context = SimpleNamespace(trace_id=0xABC, trace_flags=SimpleNamespace(sampled=sampled))

    def wanted(self, traceparent: str) -> bool:
        return traceparent != UNSAMPLED

    def write(self, details: CheckDetails) -> Any:
        self.written.append(details.traceparent)
        return self.context


class Emitted(list[tuple[Any, Any]]):
    """Trace id of the record, and context of the span."""

    def __call__(self, _: CheckDetails, made: dict[str, Any], context: Any) -> None:
        self.append((made.get("trace_id"), context))


@pytest.fixture
def tally() -> Tally:
    return Tally(LabelBounds.of(policy(resource()), frozenset()))


def test_no_span_is_made_of_what_will_not_be_sampled(tally: Tally) -> None:
    spans, emitted = Spans(), Emitted()
    journal = Journal(tally, spans=spans, emit=emitted)
    for traceparent in (TRACEPARENT, UNSAMPLED, ""):
        journal.write(decided(traceparent=traceparent))
    assert spans.written == [TRACEPARENT, ""]
    assert emitted == [(TRACE_ID, spans.context), (TRACE_ID, None), (f"{0xABC:032x}", spans.context)]


def test_a_trace_that_nobody_keeps_is_not_named(tally: Tally) -> None:
    emitted = Emitted()
    Journal(tally, spans=Spans(sampled=False), emit=emitted).write(decided(traceparent=""))
    assert [trace for trace, _ in emitted] == [None]


def test_losses_are_counted_even_when_nothing_is_written(tally: Tally, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tally)
    for _ in range(3):
        journal.lost(2)
        journal.finish()
    assert tally.counts().lost == {"queue": 6}
    assert caplog.text.count("were not recorded") == 1


@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [
        (TRACEPARENT, TRACE_ID),
        (UNSAMPLED, TRACE_ID),
        (f"{TRACEPARENT}-future", TRACE_ID),
        ("", ""),
        (TRACEPARENT.upper(), ""),
        (TRACEPARENT[:-1], ""),
        (TRACEPARENT + "\n", ""),
    ],
)
def test_the_trace_id_is_read_from_a_well_formed_context_only(traceparent: str, expected: str) -> None:
    assert trace_of(traceparent) == expected
