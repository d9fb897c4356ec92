"""Python's cycle collector looks at old objects in idle moments only."""

import gc
from collections.abc import Iterator

import pytest

from extauthz.runtime.garbage_collection import (
    AT_LATEST_S,
    EVERY_S,
    LOOK_EVERY_S,
    WHOLE_EVERY_S,
    Collector,
    leave_old_objects,
)

YOUNG = ["collect", "freeze"]
WHOLE = ["unfreeze", "collect", "freeze"]


class Process:
    """What a collector sees, and what it does."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.checks = 0
        self.did: list[str] = []
        self.collector = Collector(checks=lambda: self.checks, clock=lambda: self.now, heap=self)

    def collect(self) -> int:
        self.did.append("collect")
        return 0

    def freeze(self) -> None:
        self.did.append("freeze")

    def unfreeze(self) -> None:
        self.did.append("unfreeze")

    def lives(self, seconds: float, *, busy: bool) -> list[str]:
        """What is done in that time."""
        self.did = []
        for _ in range(int(seconds / LOOK_EVERY_S)):
            self.now += LOOK_EVERY_S
            self.checks += busy
            self.collector.step()
        return self.did


def test_an_idle_process_collects_now_and_then() -> None:
    process = Process()
    assert process.lives(EVERY_S - 1, busy=False) == []
    assert process.lives(1, busy=False) == YOUNG
    assert process.lives(2 * EVERY_S, busy=False) == YOUNG * 2


def test_a_busy_process_waits_for_an_idle_moment() -> None:
    process = Process()
    assert process.lives(3 * EVERY_S, busy=True) == []
    assert process.lives(1, busy=False) == YOUNG
    assert process.lives(EVERY_S - 1, busy=False) == []


def test_everything_is_looked_at_seldom() -> None:
    process = Process()
    assert process.lives(WHOLE_EVERY_S - 1, busy=True) == []
    assert process.lives(1, busy=False) == WHOLE
    assert process.lives(EVERY_S, busy=False) == YOUNG


def test_a_process_that_is_never_idle_looks_at_everything_in_the_end() -> None:
    process = Process()
    assert process.lives(AT_LATEST_S - 1, busy=True) == []
    assert process.lives(1, busy=True) == WHOLE
    assert process.lives(AT_LATEST_S, busy=True) == WHOLE


@pytest.fixture
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("thresholds")
def test_old_objects_are_left_alone_and_young_ones_are_not() -> None:
    leave_old_objects()
    before = [generation["collections"] for generation in gc.get_stats()]
    # By itself Python would look at everything several times meanwhile.
    kept = [[number] for number in range(len(gc.get_objects()) + 500_000)]
    young, middle, old = (after["collections"] - was for after, was in zip(gc.get_stats(), before, strict=True))
    assert young > 100
    assert middle > 10
    assert old == 0
    assert kept
