import logging
import threading
from collections.abc import Iterator

import pytest

from extauthz.adapters.telemetry import recorder as module
from extauthz.adapters.telemetry.recorder import Recorder
from extauthz.service.details import CheckDetails
from tests.support.decided import decided

WAIT_S = 20.0


class Sink:
    """Keeps what it is given; can be made to stall or to fail."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.batches = threading.Semaphore(0)
        self.lost = 0
        self.go = threading.Event()
        self.go.set()
        self.reached = threading.Event()

    def write(self, details: CheckDetails) -> None:
        self.reached.set()
        assert self.go.wait(WAIT_S)
        if details.decision_id == "bad":
            raise ValueError("the subject of the request")
        self.written.append(details.decision_id)

    def finish(self) -> None:
        self.batches.release()

    def count_lost(self, count: int) -> None:
        self.lost += count


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def recorder(sink: Sink) -> Iterator[Recorder]:
    made = Recorder(write=sink.write, finish=sink.finish, lost=sink.count_lost)
    made.start()
    yield made
    sink.go.set()
    made.stop(WAIT_S)


def test_checks_are_written_in_order_and_followed_by_a_finish(sink: Sink, recorder: Recorder) -> None:
    for number in range(10):
        recorder.add(decided(decision_id=str(number)))
    assert recorder.stop(WAIT_S)
    assert sink.written == [str(number) for number in range(10)]
    assert sink.batches.acquire(timeout=WAIT_S)


def test_what_comes_later_is_written_without_being_asked(sink: Sink, recorder: Recorder) -> None:
    for number in range(3):
        recorder.add(decided(decision_id=str(number)))
        assert sink.batches.acquire(timeout=WAIT_S)
    assert sink.written == ["0", "1", "2"]


def test_a_full_queue_drops_and_counts_and_never_blocks(
    sink: Sink, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 5)
    sink.go.clear()
    recorder.add(decided(decision_id="first"))
    assert sink.reached.wait(WAIT_S)
    for number in range(8):
        recorder.add(decided(decision_id=str(number)))
    assert sink.lost == 3
    sink.go.set()
    assert recorder.stop(WAIT_S)
    assert sink.written == ["first", "0", "1", "2", "3", "4"]


def test_one_record_that_fails_is_lost_alone(sink: Sink, recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    for name in ("before", "bad", "after"):
        recorder.add(decided(decision_id=name))
    assert recorder.stop(WAIT_S)
    assert sink.written == ["before", "after"]
    assert sink.lost == 1
    assert "ValueError" in caplog.text
    assert "subject" not in caplog.text


def test_stopping_does_not_wait_for_a_sink_that_hangs(sink: Sink, recorder: Recorder) -> None:
    sink.go.clear()
    recorder.add(decided())
    assert sink.reached.wait(WAIT_S)
    assert not recorder.stop(0.05)


def test_stopping_what_never_started_is_nothing() -> None:
    sink = Sink()
    assert Recorder(write=sink.write, finish=sink.finish, lost=sink.count_lost).stop(0)
