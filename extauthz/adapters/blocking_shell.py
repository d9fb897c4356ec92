"""Drives the check procedure from plain threads: a warm check runs through, another waits here for what it lacks.

A thread that waits cannot decide anything else, so only so many may wait at once; beyond that a check that lacks
something is told at once that it cannot be had (503), and warm checks go on as if nothing were the matter.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as WaitedTooLong
from dataclasses import replace
from typing import Final

from extauthz.adapters.io_loop import IoLoop
from extauthz.adapters.large_checks import LARGE_CHECK_BYTES, LargeChecks, Slots
from extauthz.pdp.reason import Outcome, Reason
from extauthz.service.asking import Finished, advance, drive
from extauthz.service.call import Call
from extauthz.service.check.active_policy import ActivePolicy, SharedState
from extauthz.service.check.checked import Checked
from extauthz.service.check.codec import encode_undecided
from extauthz.service.check.procedure import Steps, check
from extauthz.service.check.resolver import NeedResolver, wait_of
from extauthz.service.details import CheckDetails, Wait
from extauthz.service.needs import (
    Answer,
    Awaited,
    EntryUnavailable,
    Introspected,
    KeysUnavailable,
    Need,
    NeedBinding,
    NeedIntrospection,
    NeedKeys,
    NeedLock,
    NeedStored,
    Resolved,
    Write,
)
from extauthz.service.ports import Observer

MAX_WAIT_S: Final = 10.0
"""For a call without a deadline of its own: longer than any proxy should wait."""
MAX_PENDING_WRITES: Final = 1_000
"""Entries on their way to the shared store; more are dropped, which costs the other processes only time."""

_log = logging.getLogger("extauthz.check")


class BlockingShell:
    """Answers checks from any number of threads. `answer` never raises and never returns an allow by accident."""

    def __init__(
        self,
        *,
        active: ActivePolicy,
        shared_state: SharedState,
        need_resolver: NeedResolver,
        loop: IoLoop,
        observer: Observer,
        clock_ns: Callable[[], int],
        slots: Slots,
    ) -> None:
        self._active = active
        self._shared_state = shared_state
        self._need_resolver = need_resolver
        self._loop = loop
        self._observer = observer
        self._clock_ns = clock_ns
        self._slots = slots
        self._large = LargeChecks(slots)
        self._pending_writes = threading.BoundedSemaphore(MAX_PENDING_WRITES)
        self._begun = 0

    @property
    def begun(self) -> int:
        """How many checks have come so far; of two at the same moment one may be missed."""
        return self._begun

    @property
    def active(self) -> ActivePolicy:
        """The policy in force."""
        return self._active

    def replace_policy(self, active: ActivePolicy) -> None:
        """Put another policy in force: checks under way finish by the old one."""
        self._active = active

    def answer(self, data: bytes, call: Call) -> bytes:
        """`CheckRequest` bytes in, `CheckResponse` bytes out."""
        begun = self.begin(data, call)
        return begun if isinstance(begun, bytes) else begun()

    def begin(self, data: bytes, call: Call) -> bytes | Callable[[], bytes]:
        """The answer, where nothing has to be waited for; else the rest of the work, which waits for what it lacks."""
        self._begun += 1
        if len(data) > LARGE_CHECK_BYTES:
            return lambda: self._answer_large(data, call)
        try:
            steps = check(data, call, self._active, self._shared_state)
            reached = advance(steps)
        except Exception as error:  # noqa: BLE001 - the outermost handler: whatever happened, the answer is a refusal
            return self._failed(error, call)
        if isinstance(reached, Finished):
            return self._conclude(reached.value, call, ())
        return lambda: self._rest(steps, reached, call)

    def _answer_large(self, data: bytes, call: Call) -> bytes:
        """The whole check, in a thread that may wait: computing in turn with other large ones, waiting beside them."""
        if not self._large.enter():
            return self._refused(call, Reason.DEADLINE_EXCEEDED, "too many checks with large bodies at once")
        waits: list[Wait] = []
        steps: Steps | None = None
        reached: Awaited | Finished[Checked] | None = None
        resolved: Resolved | None = None
        try:
            while not isinstance(reached, Finished):
                if reached is not None:
                    answer, now_ns = self._obtain(reached, call, waits)
                    resolved = Resolved(answer=answer, now=now_ns / 1e9)
                with self._large.turn(_left_s(call, self._clock_ns())) as mine:
                    if not mine:
                        detail = "other checks with large bodies took too long"
                        return self._refused(call, Reason.DEADLINE_EXCEEDED, detail)
                    if steps is None:
                        steps = check(data, replace(call, now_ns=self._clock_ns()), self._active, self._shared_state)
                    reached = advance(steps, resolved)
        except Exception as error:  # noqa: BLE001 - as in `begin`
            return self._failed(error, call)
        finally:
            if steps is not None:
                steps.close()
            self._large.leave()
        return self._conclude(reached.value, call, tuple(waits))

    def _rest(self, steps: Steps, reached: Awaited, call: Call) -> bytes:
        waits: list[Wait] = []

        def resolve(need: Awaited) -> Resolved:
            answer, now_ns = self._obtain(need, call, waits)
            return Resolved(answer=answer, now=now_ns / 1e9)

        try:
            checked = drive(steps, resolve, reached)
        except Exception as error:  # noqa: BLE001 - as in `begin`
            return self._failed(error, call)
        finally:
            # After a fault its traceback may be kept, and the generator with it: end its turn, for which others wait.
            steps.close()
        return self._conclude(checked, call, tuple(waits))

    def _conclude(self, checked: Checked, call: Call, waits: tuple[Wait, ...]) -> bytes:
        try:
            self._observer.checked(checked.details(call, self._clock_ns(), waits))
            for write in checked.writes:
                self._write(write)
        except Exception as error:  # noqa: BLE001 - as in `begin`
            return self._failed(error, call)
        return checked.response

    def _obtain(self, need: Awaited, call: Call, waits: list[Wait]) -> tuple[Answer, int]:
        started_ns = self._clock_ns()
        if isinstance(need, NeedLock):
            self._wait_turn(need, _left_s(call, started_ns))
            return None, self._clock_ns()
        if not self._slots.take_slot():
            return _nothing(need, "too many checks are waiting already"), started_ns
        try:
            work = self._loop.submit(self._need_resolver.resolve(need))
            try:
                answer = work.result(_left_s(call, started_ns))
            except WaitedTooLong:
                work.cancel()
                answer = _nothing(need, "waited for too long")
        finally:
            self._slots.leave_slot()
        ended_ns = self._clock_ns()
        waits.append(wait_of(need, answer, started_ns, ended_ns))
        return answer, ended_ns

    def _wait_turn(self, need: NeedLock, left_s: float) -> None:
        """Without a slot nobody waits: the check does the work itself."""
        if self._slots.take_slot():
            try:
                need.ended.wait(left_s)
            finally:
                self._slots.leave_slot()

    def _write(self, write: Write) -> None:
        if self._pending_writes.acquire(blocking=False):
            done = self._loop.submit(self._need_resolver.write(write))
            done.add_done_callback(lambda _: self._pending_writes.release())

    def _failed(self, error: Exception, call: Call) -> bytes:
        """Refuse. Only the kind and the place of the fault are told: its message could hold what the client sent."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "?"
        detail = f"{type(error).__name__} at {place}"
        decision_id = self._shared_state.new_id()
        _log.error("check %s failed: %s; please report this", decision_id, detail)
        return self._refused(call, Reason.INTERNAL_ERROR, detail, decision_id)

    def _refused(self, call: Call, reason: Reason, detail: str, decision_id: str = "") -> bytes:
        """Refuse a check that the procedure has not decided, and tell observers."""
        decision_id = decision_id or self._shared_state.new_id()
        try:
            self._observer.checked(
                CheckDetails(
                    decision_id=decision_id,
                    outcome=Outcome.INDETERMINATE,
                    reason=reason,
                    detail=detail,
                    status=503,
                    traceparent=call.traceparent,
                    tracestate=call.tracestate,
                    started_ns=call.now_ns,
                    ended_ns=self._clock_ns(),
                )
            )
        except Exception:  # noqa: BLE001 - telling observers is not worth more than the refusal itself
            _log.error("check %s: observers could not be told", decision_id)
        return encode_undecided(decision_id, reason)


def _left_s(call: Call, now_ns: int) -> float:
    """How much longer the proxy waits, as far as we do."""
    left_s = MAX_WAIT_S if call.deadline is None else call.deadline - now_ns / 1e9
    return max(0.0, min(left_s, MAX_WAIT_S))


def _nothing(need: Need, why: str) -> Answer:
    """The answer when nothing could be obtained."""
    match need:
        case NeedKeys():
            return KeysUnavailable(why)
        case NeedIntrospection():
            return Introspected.UNAVAILABLE
        case NeedStored() | NeedBinding():
            return EntryUnavailable(why)
