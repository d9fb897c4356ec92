"""One at a time per key."""

import threading

from extauthz.service.cache.keyed_lock import KeyedLock


def test_the_first_has_the_turn_and_the_others_are_told_when_it_has_ended() -> None:
    locks = KeyedLock()
    assert locks.take("k") is None
    waiting = [locks.take("k") for _ in range(3)]
    assert all(isinstance(each, threading.Event) and not each.is_set() for each in waiting)
    locks.end("k")
    assert all(each is not None and each.is_set() for each in waiting)


def test_after_the_end_the_next_has_a_turn_of_its_own() -> None:
    locks = KeyedLock()
    locks.take("k")
    locks.end("k")
    assert locks.take("k") is None


def test_keys_do_not_wait_for_each_other() -> None:
    locks = KeyedLock()
    assert [locks.take("a"), locks.take("b")] == [None, None]
