"""The breaker of an endpoint that is asked about callers' tokens, at settable time."""

import pytest

from extauthz.adapters.issuers.caller_breaker import COUNTED_FOR_S, MAX_CALLERS, CallerBreaker

OPEN_S = 2.0


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def breaker(time: Time) -> CallerBreaker:
    return CallerBreaker(open_s=OPEN_S, clock=time)


def stumble(breaker: CallerBreaker, *callers: str) -> None:
    for caller in callers:
        if breaker.allows(caller):
            breaker.stumbled(caller)


def test_one_caller_never_stops_another(breaker: CallerBreaker, time: Time) -> None:
    """Not with any number of failures in ten minutes, at any pace."""
    for _ in range(1_000):
        stumble(breaker, "mallory")
        assert not breaker.is_open
        assert breaker.allows("alice")
        time.now += COUNTED_FOR_S / 2_000


def test_one_caller_is_left_alone_after_failures_of_their_own(breaker: CallerBreaker, time: Time) -> None:
    stumble(breaker, *["mallory"] * 5)
    assert not breaker.allows("mallory")
    time.now += OPEN_S
    assert breaker.allows("mallory")
    assert not breaker.allows("mallory")
    breaker.answered("mallory")
    assert breaker.allows("mallory")


def test_five_strangers_stop_all_and_four_do_not(breaker: CallerBreaker) -> None:
    stumble(breaker, *"abcd" * 3)
    assert not breaker.is_open
    stumble(breaker, "e")
    assert breaker.is_open
    assert not breaker.allows("alice")


def test_answers_in_between_keep_it_closed(breaker: CallerBreaker) -> None:
    for number in range(100):
        stumble(breaker, f"caller-{number}")
        for _ in range(4):
            breaker.answered("alice")
    assert not breaker.is_open


def test_who_was_counted_cannot_keep_it_open(breaker: CallerBreaker, time: Time) -> None:
    """An open breaker asks about one token now and then: that of a caller who was counted proves nothing."""
    stumble(breaker, *"abcde")
    time.now += OPEN_S
    assert breaker.allows("a")
    assert not breaker.allows("alice")
    breaker.stumbled("a")
    assert breaker.is_open
    assert breaker.allows("alice")
    breaker.answered("alice")
    assert not breaker.is_open


def test_a_stranger_who_meets_it_keeps_it_open(breaker: CallerBreaker, time: Time) -> None:
    stumble(breaker, *"abcde")
    time.now += OPEN_S
    assert breaker.allows("f")
    breaker.stumbled("f")
    assert not breaker.allows("alice")
    time.now += OPEN_S
    assert breaker.allows("alice")


def test_what_is_nobodys_token_counts_for_all(breaker: CallerBreaker) -> None:
    for _ in range(5):
        assert breaker.allows("mallory")
        breaker.unreachable()
    assert breaker.is_open


def test_callers_are_remembered_up_to_a_number(breaker: CallerBreaker) -> None:
    for number in range(10_000):
        breaker.stumbled(f"caller-{number}")
    assert len(breaker) == MAX_CALLERS
    for number in range(10_000):
        breaker.answered(f"other-{number}")
        breaker.allows(f"other-{number}")
    assert len(breaker) == MAX_CALLERS
