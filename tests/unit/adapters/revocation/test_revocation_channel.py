"""The task that keeps a process in step, and what those are told who revoke."""

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence

import pytest

from extauthz.adapters.io_loop import IoLoop
from extauthz.adapters.revocation import channel as module
from extauthz.adapters.revocation.channel import RevocationChannel
from extauthz.adapters.revocation.process_revoker import ProcessRevoker
from extauthz.pdp.revocation.revocation import Revocation
from extauthz.service.revocation import revocations as list_module
from extauthz.service.revocation.revocations import STALE_AFTER_S, Revocations
from extauthz.service.revocation.revoking import Refused, RefusedCause, Revoker, Spread
from tests.support.revocation_fleet import Hand, MemoryLog, Replica
from tests.support.revocations import revocation
from tests.support.tokens import NOW, SUBJECT
from tests.support.waiting import eventually


class Stuck(MemoryLog):
    """Never answers."""

    async def head(self) -> None:  # type: ignore[override]
        await asyncio.Event().wait()

    async def append(self, items: Sequence[Revocation], now: float) -> None:
        await asyncio.Event().wait()


class Broken(MemoryLog):
    """A fault of ours, not the store's."""

    async def head(self) -> None:  # type: ignore[override]
        raise KeyError(SUBJECT)


@pytest.fixture
def loop() -> Iterator[IoLoop]:
    running = IoLoop()
    running.start()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds follow each other closely, and nobody waits for long."""
    monkeypatch.setattr(module, "POLL_S", 0.001)
    monkeypatch.setattr(module, "FIRST_ROUND_S", 5.0)


class Process:
    """A replica with its channel and revoker."""

    def __init__(self, loop: IoLoop, log: MemoryLog, *, monotonic: Hand | None = None) -> None:
        self.clock = Hand()
        self.monotonic = monotonic or Hand(0)
        self.replica = Replica(log, self.clock)
        self.known = self.replica.known
        self.channel = RevocationChannel(self.replica.sharing, revocations=self.known, loop=loop, clock=self.monotonic)
        self.revoker: Revoker = ProcessRevoker(self.known, self.channel, clock=self.clock, new_id=lambda: "undo-undo-1")


# Starting.


def test_it_is_in_step_when_start_returns(loop: IoLoop) -> None:
    process = Process(loop, MemoryLog())
    process.channel.start()
    assert not process.known.stale(NOW)
    assert process.channel.state == ""


def test_start_waits_no_longer_than_it_may(loop: IoLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_ROUND_S", 0.01)
    process = Process(loop, Stuck())
    process.channel.start()
    assert process.known.stale(NOW)
    assert process.channel.state == "not in step with Redis: Redis was not read yet"


def test_start_does_not_wait_for_a_redis_that_is_down(loop: IoLoop) -> None:
    log = MemoryLog()
    log.away = True
    process = Process(loop, log)
    process.channel.start()
    assert process.known.stale(NOW)


def test_it_can_be_stopped_before_and_after_it_was_started(loop: IoLoop) -> None:
    process = Process(loop, MemoryLog())
    process.channel.stop()
    process.channel.start()
    process.channel.stop()


# Rounds go on.


def test_what_others_revoke_arrives_by_itself(loop: IoLoop) -> None:
    log = MemoryLog()
    one, two = Process(loop, log), Process(loop, log)
    one.channel.start()
    two.channel.start()
    item = revocation()
    assert one.revoker.revoke([item]) is Spread.SHARED
    eventually(lambda: item in two.revoker.listed(), "the other has it")


def test_out_of_step_is_told_once_and_so_is_its_end(loop: IoLoop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "extauthz.revocation")
    log = MemoryLog()
    process = Process(loop, log)
    process.channel.start()
    log.away = True
    eventually(lambda: "scripted" in process.channel.state, "the round fails")
    process.monotonic.now += STALE_AFTER_S
    eventually(lambda: "not in step" in caplog.text, "it is told")
    assert "when_stale" in caplog.text
    log.away = False
    eventually(lambda: "in step with the other replicas again" in caplog.text, "its end is told")
    assert len(caplog.records) == 2


def test_a_wall_clock_that_was_set_back_hides_nothing(loop: IoLoop) -> None:
    log = MemoryLog()
    process = Process(loop, log)
    process.channel.start()
    log.away = True
    process.clock.now -= 10_000
    process.monotonic.now += STALE_AFTER_S
    eventually(lambda: process.known.stale(process.clock.now), "it knows that it may be missing something")


def test_a_fault_of_our_own_ends_no_rounds_and_tells_nothing_personal(
    loop: IoLoop, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(loop, Broken())
    process.channel.start()
    eventually(lambda: len(caplog.records) >= 2, "the rounds go on")
    assert "KeyError" in caplog.text
    assert SUBJECT not in caplog.text
    assert process.known.stale(NOW)


# What those are told who revoke.


def test_a_revocation_counts_here_at_once_whatever_redis_does(loop: IoLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPREAD_WITHIN_S", 0.01)
    away, stuck = MemoryLog(), Stuck()
    away.away = True
    for log in (away, stuck):
        process = Process(loop, log)
        item = revocation()
        assert process.revoker.revoke([item]) is Spread.PENDING
        assert process.revoker.listed() == (item,)
        assert process.channel.state.endswith("1 not yet in Redis")


def test_what_redis_did_not_take_is_offered_again(loop: IoLoop) -> None:
    log = MemoryLog()
    log.away = True
    process = Process(loop, log)
    process.channel.start()
    item = revocation()
    assert process.revoker.revoke([item]) is Spread.PENDING
    log.away = False
    eventually(lambda: item.id in log.items, "Redis has it")


def test_when_the_loop_has_stopped_it_is_pending() -> None:
    loop = IoLoop()
    process = Process(loop, MemoryLog())
    assert process.revoker.revoke([revocation()]) is Spread.PENDING
    loop.stop()


def test_without_redis_nobody_else_learns_of_it() -> None:
    revoker = ProcessRevoker(Revocations(), None, clock=Hand(), new_id=lambda: "undo-undo-1")
    item = revocation()
    assert revoker.revoke([item]) is Spread.ALONE
    assert revoker.revoke([item]) is Spread.ALONE
    assert revoker.listed() == (item,)
    assert revoker.undo(item.id, "admin") is Spread.ALONE
    assert revoker.listed() == ()


def alone(known: Revocations) -> ProcessRevoker:
    return ProcessRevoker(known, None, clock=Hand(), new_id=lambda: "undo-undo-1")


def test_nothing_is_in_force_when_one_of_several_is_no_revocation() -> None:
    revoker = alone(Revocations())
    refused = revoker.revoke([revocation(), revocation(value="")])
    assert isinstance(refused, Refused)
    assert refused.cause is RefusedCause.INVALID
    assert revoker.listed() == ()


def test_a_full_list_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_module, "MAX_REVOCATIONS", 1)
    revoker = alone(Revocations())
    assert revoker.revoke([revocation()]) is Spread.ALONE
    refused = revoker.revoke([revocation()])
    assert isinstance(refused, Refused)
    assert refused.cause is RefusedCause.FULL
    assert "instead" in refused.detail


@pytest.mark.parametrize("what", ["unknown", "taken back", "ended", "an undo"])
def test_only_what_is_in_force_can_be_taken_back(what: str) -> None:
    known = Revocations()
    revoker = alone(known)
    ids = {"unknown": "no-such-id"}
    taken = revocation()
    known.add([taken, revocation(id="undo-first", undoes=taken.id)], NOW)
    known.add([ended := revocation(until=NOW)], NOW - 10)
    ids |= {"taken back": taken.id, "ended": ended.id, "an undo": "undo-first"}
    refused = revoker.undo(ids[what], "admin")
    assert isinstance(refused, Refused)
    assert refused.cause is RefusedCause.UNKNOWN


def test_the_log_says_what_was_done_and_not_to_whom(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "extauthz.revocation")
    item = revocation()
    revoker = alone(Revocations())
    revoker.revoke([item])
    revoker.undo(item.id, "admin")
    assert [item.id in record.getMessage() for record in caplog.records] == [True, True]
    assert SUBJECT not in caplog.text


def test_many_threads_revoke_at_once(loop: IoLoop) -> None:
    log = MemoryLog()
    process = Process(loop, log)
    process.channel.start()
    items = [revocation() for _ in range(24)]
    threads = [threading.Thread(target=process.revoker.revoke, args=([item],)) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(log.items) == {item.id for item in items}
