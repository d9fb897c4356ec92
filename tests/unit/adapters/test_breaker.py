"""The circuit breaker, at settable time."""

import pytest

from extauthz.adapters.breaker import TRIP_AT, Breaker

OPEN_S = 10.0


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def breaker(time: Time) -> Breaker:
    return Breaker(open_s=OPEN_S, clock=time)


def tripped(breaker: Breaker) -> Breaker:
    for _ in range(int(TRIP_AT)):
        breaker.failed()
    return breaker


def test_a_new_breaker_lets_everything_pass(breaker: Breaker) -> None:
    assert not breaker.is_open
    assert all(breaker.allows() for _ in range(100))


def test_it_opens_with_the_fifth_failure_in_a_row(breaker: Breaker) -> None:
    for _ in range(4):
        breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.allows()


def test_now_and_then_a_failure_does_not_open_it(breaker: Breaker) -> None:
    for _ in range(1000):
        breaker.failed()
        for _ in range(9):
            breaker.succeeded()
    assert not breaker.is_open


def test_a_neighbour_that_fails_every_second_time_opens_it(breaker: Breaker) -> None:
    for _ in range(20):
        breaker.failed()
        breaker.succeeded()
    assert breaker.is_open


def test_a_success_that_was_under_way_when_it_opened_does_not_close_it(breaker: Breaker, time: Time) -> None:
    tripped(breaker)
    breaker.succeeded()
    assert not breaker.allows()
    time.now += OPEN_S
    breaker.succeeded()
    assert breaker.is_open
    assert breaker.allows()
    breaker.succeeded()
    assert not breaker.is_open


def test_while_open_one_probe_passes_per_period(breaker: Breaker, time: Time) -> None:
    tripped(breaker)
    time.now += OPEN_S - 0.001
    assert not breaker.allows()
    time.now += 0.001
    assert [breaker.allows() for _ in range(5)] == [True, False, False, False, False]


def test_a_probe_that_succeeds_closes_it_and_clears_the_past(breaker: Breaker, time: Time) -> None:
    tripped(breaker)
    time.now += OPEN_S
    assert breaker.allows()
    breaker.succeeded()
    assert not breaker.is_open
    breaker.failed()
    assert breaker.allows()


def test_a_probe_that_fails_opens_it_for_another_period(breaker: Breaker, time: Time) -> None:
    tripped(breaker)
    time.now += OPEN_S
    assert breaker.allows()
    breaker.failed()
    time.now += OPEN_S - 0.001
    assert not breaker.allows()
    time.now += 0.001
    assert breaker.allows()


def test_a_probe_that_never_reports_is_followed_by_another(breaker: Breaker, time: Time) -> None:
    tripped(breaker)
    time.now += OPEN_S
    assert breaker.allows()
    time.now += OPEN_S
    assert breaker.allows()


def test_failures_of_one_moment_count_once(time: Time) -> None:
    breaker = Breaker(open_s=OPEN_S, burst_s=0.02, clock=time)
    for _ in range(100):
        breaker.failed()
    assert not breaker.is_open
    for _ in range(4):
        time.now += 0.021
        breaker.failed()
    assert breaker.is_open
