"""Threads and slots. Where the order depends on how long tasks have stood in line, the clock is set by hand."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from extauthz.adapters.grpc import queue as line
from extauthz.adapters.grpc.queue import PATIENCE_S, STALE_S
from extauthz.adapters.grpc.threads import CheckThreads
from tests.support.waiting import eventually

WAIT_S = 20.0


@pytest.fixture
def pool() -> Iterator[CheckThreads]:
    made = CheckThreads(threads=2, slots=3)
    yield made
    made.close()


class Occupied:
    """Occupies threads of a pool until released."""

    def __init__(self, pool: CheckThreads, count: int, *, seated: bool = False) -> None:
        self._go = threading.Event()
        self._left = threading.Barrier(count + 1)
        arrived = threading.Barrier(count + 1)

        def occupy() -> None:
            if seated:
                assert pool.take_slot()
            arrived.wait(WAIT_S)
            self._go.wait(WAIT_S)
            if seated:
                pool.leave_slot()
            self._left.wait(WAIT_S)

        for _ in range(count):
            pool.submit(occupy)
        arrived.wait(WAIT_S)

    def release(self) -> None:
        self._go.set()
        self._left.wait(WAIT_S)


def done(pool: CheckThreads, count: int = 1) -> threading.Event:
    """Set when as many further tasks have been done."""
    event, lock, left = threading.Event(), threading.Lock(), [count]

    def task() -> None:
        with lock:
            left[0] -= 1
            if not left[0]:
                event.set()

    for _ in range(count):
        pool.submit(task)
    return event


class TestPlaces:
    def test_no_thread_is_started_before_there_is_work(self) -> None:
        before = threading.active_count()
        CheckThreads()
        assert threading.active_count() == before

    def test_tasks_are_done_and_told_to_their_futures(self, pool: CheckThreads) -> None:
        told = threading.Event()
        pool.submit(lambda: None).add_done_callback(lambda _: told.set())
        assert told.wait(WAIT_S)

    def test_a_callback_added_after_the_end_is_called_at_once(self, pool: CheckThreads) -> None:
        ended = threading.Event()
        future = pool.submit(lambda: None)
        future.add_done_callback(lambda _: ended.set())
        assert ended.wait(WAIT_S)
        late: list[Any] = []
        future.add_done_callback(late.append)
        assert late == [future]

    def test_no_more_than_the_allowed_number_work_at_once(self, pool: CheckThreads) -> None:
        occupied = Occupied(pool, 2)
        waiting = done(pool)
        assert pool.in_line == 1
        assert not waiting.is_set()
        occupied.release()
        assert waiting.wait(WAIT_S)

    def test_a_task_that_raises_costs_neither_its_thread_nor_its_future(
        self, pool: CheckThreads, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail() -> None:
            raise SystemExit("secret of the request")

        told = threading.Event()
        for _ in range(4):
            pool.submit(fail).add_done_callback(lambda _: told.set())
        assert told.wait(WAIT_S)
        assert done(pool, 5).wait(WAIT_S)
        assert "SystemExit" in caplog.text
        assert "secret" not in caplog.text


class TestSeats:
    def test_checks_that_wait_do_not_keep_others_from_being_answered(self, pool: CheckThreads) -> None:
        occupied = Occupied(pool, 3, seated=True)
        assert pool.waiting == 3
        assert done(pool, 50).wait(WAIT_S)
        occupied.release()

    def test_no_seat_is_given_beyond_their_number(self, pool: CheckThreads) -> None:
        occupied = Occupied(pool, 3, seated=True)
        answers: list[bool] = []
        asked = threading.Event()

        def ask() -> None:
            answers.append(pool.take_slot())
            asked.set()

        pool.submit(ask)
        assert asked.wait(WAIT_S)
        assert answers == [False]
        occupied.release()
        assert pool.waiting == 0

    def test_a_seat_can_be_taken_again_after_it_was_left(self, pool: CheckThreads) -> None:
        for _ in range(5):
            Occupied(pool, 3, seated=True).release()
        assert done(pool, 20).wait(WAIT_S)

    def test_after_many_waits_no_more_than_the_allowed_number_work(self, pool: CheckThreads) -> None:
        for _ in range(3):
            Occupied(pool, 3, seated=True).release()
        assert done(pool, 20).wait(WAIT_S)
        eventually(lambda: pool.working <= 2, "threads beyond the allowed number are parked")

    def test_threads_are_bounded_by_places_and_seats(self, pool: CheckThreads) -> None:
        before = sum(thread.name == "extauthz-check" for thread in threading.enumerate())
        for _ in range(10):
            Occupied(pool, 3, seated=True).release()
        after = sum(thread.name == "extauthz-check" for thread in threading.enumerate())
        assert after - before <= 2 + 3


class TestOrder:
    """One working thread, so that the order of work is the order of taking."""

    @pytest.fixture
    def now(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        moment = [1_000.0]
        monkeypatch.setattr(line, "time", SimpleNamespace(monotonic=lambda: moment[0]))
        return moment

    @pytest.fixture
    def single(self) -> Iterator[CheckThreads]:
        made = CheckThreads(threads=1, slots=0)
        yield made
        made.close()

    @staticmethod
    def order(single: CheckThreads, now: list[float], ages: list[float], *, wanted: bool) -> list[float]:
        """Put tasks of these ages in line while the thread is busy; the ages in the order in which they were done."""
        taken: list[float] = []
        ended = threading.Event()
        occupied = Occupied(single, 1)
        start = now[0]

        def task(age: float) -> None:
            if wanted or age <= STALE_S:
                single.somebody_waits()
            taken.append(age)
            if len(taken) == len(ages):
                ended.set()

        for age in ages:
            now[0] = start - age
            single.submit(task, age)
        now[0] = start
        occupied.release()
        assert ended.wait(WAIT_S)
        return taken

    def test_in_time_the_first_to_come_is_served_first(self, single: CheckThreads, now: list[float]) -> None:
        ages = [PATIENCE_S * share for share in (0.9, 0.5, 0.1, 0.0)]
        assert self.order(single, now, ages, wanted=True) == ages

    def test_when_the_first_has_stood_too_long_the_newest_is_served_first(
        self, single: CheckThreads, now: list[float]
    ) -> None:
        assert self.order(single, now, [0.2, 0.15, 0.0], wanted=True) == [0.0, 0.15, 0.2]

    def test_old_ones_that_nobody_waits_for_are_cleared_away_first(
        self, single: CheckThreads, now: list[float]
    ) -> None:
        assert self.order(single, now, [0.5, 0.4, 0.3, 0.12, 0.11], wanted=False) == [0.5, 0.4, 0.3, 0.11, 0.12]

    def test_an_old_one_that_somebody_waits_for_gets_every_other_turn(
        self, single: CheckThreads, now: list[float]
    ) -> None:
        assert self.order(single, now, [0.6, 0.5, 0.4, 0.3], wanted=True) == [0.6, 0.3, 0.5, 0.4]


@pytest.mark.parametrize(("threads", "slots"), [(0, 1), (1, -1)])
def test_senseless_numbers_are_refused(threads: int, slots: int) -> None:
    with pytest.raises(ValueError, match="at least one thread"):
        CheckThreads(threads=threads, slots=slots)


def test_threads_end_when_closed() -> None:
    pool = CheckThreads(threads=2, slots=2)
    Occupied(pool, 2, seated=True).release()
    assert done(pool, 10).wait(WAIT_S)
    mine = [thread for thread in threading.enumerate() if thread.name == "extauthz-check"]
    pool.close()
    for thread in mine:
        thread.join(WAIT_S)
    assert not any(thread.is_alive() for thread in mine)
