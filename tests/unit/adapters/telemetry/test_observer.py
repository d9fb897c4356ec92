from collections.abc import Iterator

import pytest

from extauthz.adapters.telemetry.labels import LabelBounds
from extauthz.adapters.telemetry.observer import TelemetryObserver
from extauthz.adapters.telemetry.recorder import Recorder
from extauthz.adapters.telemetry.tally import Tally
from extauthz.service.details import CheckDetails
from tests.support.decided import TRACEPARENT, UNSAMPLED, decided
from tests.support.policies import policy, resource

WAIT_S = 20.0


class OnlySampled:
    def wanted(self, traceparent: str) -> bool:
        return traceparent == TRACEPARENT


@pytest.fixture
def written() -> list[str]:
    return []


@pytest.fixture
def recorder(written: list[str]) -> Iterator[Recorder]:
    def write(details: CheckDetails) -> None:
        written.append(details.traceparent)

    made = Recorder(write=write, finish=lambda: None, lost=lambda _: None)
    made.start()
    yield made
    made.stop(WAIT_S)


@pytest.fixture
def observer() -> TelemetryObserver:
    return TelemetryObserver(Tally(LabelBounds.of(policy(resource()), frozenset())))


@pytest.mark.parametrize(
    ("all_of", "spans", "expected"),
    [
        (True, OnlySampled(), [TRACEPARENT, UNSAMPLED]),
        (True, None, [TRACEPARENT, UNSAMPLED]),
        (False, OnlySampled(), [TRACEPARENT]),
        (False, None, []),
    ],
)
def test_only_what_somebody_wants_is_put_in_the_queue(
    observer: TelemetryObserver,
    recorder: Recorder,
    written: list[str],
    all_of: bool,
    spans: OnlySampled | None,
    expected: list[str],
) -> None:
    observer.record_with(recorder, all_of=all_of, spans=spans)
    observer.checked(decided())
    observer.checked(decided(traceparent=UNSAMPLED))
    assert recorder.stop(WAIT_S)
    assert written == expected


def test_without_a_recorder_decisions_are_counted_and_remembered(observer: TelemetryObserver) -> None:
    observer.checked(decided())
    assert len(observer.recent()) == 1
