"""When the wall clock was set, by how much, and what is no jump."""

import pytest

from extauthz.service.clock_watch import LEAST_JUMP_S, ClockWatch


class Clocks:
    def __init__(self) -> None:
        self.wall, self.passed = 1_000.0, 5.0

    def watch(self) -> ClockWatch:
        return ClockWatch(lambda: self.wall, lambda: self.passed)


@pytest.mark.parametrize("jump_s", [LEAST_JUMP_S, 3_600.0, -3_600.0, 32 * 86_400.0])
def test_a_jump_is_told_once(jump_s: float) -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.wall += 1 + jump_s
    clocks.passed += 1
    assert watch.jump_s() == jump_s
    assert watch.jump_s() == 0


def test_time_that_passes_and_slewing_are_no_jumps() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    for _ in range(100):
        clocks.wall += 1.5
        clocks.passed += 1
        assert watch.jump_s() == 0
