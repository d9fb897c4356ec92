"""Events that come again."""

import pytest

from extauthz.service.revocation import replay
from extauthz.service.revocation.replay import Replays


def test_an_event_comes_for_the_first_time_once() -> None:
    replays = Replays()
    assert replays.first(("webhook", "a"), 0.0, 10.0)
    assert not replays.first(("webhook", "a"), 9.0, 10.0)
    assert replays.first(("webhook", "b"), 9.0, 10.0)


def test_it_is_remembered_for_its_time_after_it_came_last() -> None:
    replays = Replays()
    replays.first(("a",), 0.0, 10.0)
    assert not replays.first(("a",), 9.0, 10.0)
    assert not replays.first(("a",), 18.0, 10.0)
    assert replays.first(("a",), 28.0, 10.0)


def test_one_that_could_not_be_taken_may_come_again() -> None:
    replays = Replays()
    replays.first(("a",), 0.0, 10.0)
    replays.forget(("a",))
    replays.forget(("never came",))
    assert replays.first(("a",), 1.0, 10.0)


def test_the_memory_is_bounded_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "MAX_REMEMBERED", 3)
    replays = Replays()
    for name in "abcd":
        assert replays.first((name,), 0.0, 10.0)
    assert len(replays) == 3
    assert not replays.first(("d",), 1.0, 10.0)
    assert replays.first(("a",), 1.0, 10.0)
