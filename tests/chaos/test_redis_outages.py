"""Redis killed, frozen, full, slow and so on beside a load: every check is answered as if nothing were the matter,
but for session ids that the process does not know: whose they are only Redis could tell."""

from pathlib import Path

import pytest

from extauthz.service.cache.signed_entry import MAX_ENTRY_BYTES
from tests.chaos.faults import MOVES, OUTAGES, Fault
from tests.chaos.load import Steady, wrong, wrongly_allowed
from tests.chaos.redis_words import obtained
from tests.chaos.rig import Rig
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("chaos")]

CHECKS = 120
AT_ONCE = 8
QUICK = ("its master killed (Sentinel)", "resharding (Cluster)")
"""Those for which there is time on every commit; the others are long forms."""


@pytest.mark.parametrize("fault", OUTAGES, ids=lambda fault: fault.name)
def test_no_fault_of_redis_changes_an_answer(rig: Rig, fault: Fault) -> None:
    process = rig.replicas[2]
    process.mended(rig.deck)
    before = process.looked_up(fault.result)
    asks = rig.deck.deal(CHECKS)
    with fault.begin(rig):
        answers = process.client.all(asks)
        felt = not fault.result or process.looked_up(fault.result) > before
    assert wrongly_allowed(answers) == 0
    assert not wrong(answers)
    assert len(answers) == CHECKS
    assert felt
    process.mended(rig.deck)
    assert not wrong(process.client.all(rig.deck.deal(CHECKS // 4)))


def test_a_silent_redis_is_asked_by_those_under_way_and_by_nobody_after(rig: Rig) -> None:
    """What comes later costs callers nothing. The small question by which Redis is tried is not counted."""
    process = rig.replicas[2]
    silent = next(fault for fault in OUTAGES if fault.name == "silent")

    def attempt() -> int | None:
        process.mended(rig.deck)
        asks = rig.deck.deal(CHECKS)
        assert sum(ask.fresh for ask in asks) > 4 * AT_ONCE
        rig.link.heard.clear()
        with silent.begin(rig):
            answers = process.client.all(asks, at_once=AT_ONCE)
            looked_up = rig.link.heard.count(str(MAX_ENTRY_BYTES).encode())
        assert not wrong(answers)
        return looked_up or None

    assert obtained(attempt, "Redis is asked") <= 2 * AT_ONCE


@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, id=fault.name, marks=() if fault.name in QUICK else pytest.mark.long) for fault in MOVES],
)
def test_no_move_of_redis_changes_an_answer(tmp_path: Path, fault: Fault) -> None:
    with Rig(tmp_path, fault.place) as moving:
        moving.warm()
        (process,) = moving.replicas
        process.mended(moving.deck)
        before = process.looked_up(fault.result)
        with Steady(process.client, moving.deck) as load:
            with fault.begin(moving):
                load.until(CHECKS)
                eventually(lambda: not fault.result or process.looked_up(fault.result) > before, "the fault is felt")
            process.mended(moving.deck)
            load.until(CHECKS)
    assert wrongly_allowed(load.answers) == 0
    assert not wrong(load.answers)
