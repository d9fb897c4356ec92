"""The shell that waits: real threads, a real event loop, a supplier that the test holds in its hands."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from extauthz.adapters.blocking_shell import BlockingShell
from extauthz.adapters.io_loop import IoLoop
from extauthz.pdp.reason import Outcome, Reason
from extauthz.pdp.revocation.revocation import Revocation, RevokedBy
from extauthz.pdp.token.access_token import SignedToken, UnverifiedToken, digest_of, verify_signature
from extauthz.pdp.token.jwk import Key
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.call import Call
from extauthz.service.check.active_policy import ActivePolicy
from extauthz.service.details import CheckDetails
from extauthz.service.needs import Answer, Need, NeedKeys, Write
from extauthz.service.ports import CacheKind, CacheResult, FetchResult, ReloadResult, Tier
from extauthz.service.tokens import authentication
from tests.support import tokens
from tests.support.checks import Seen, check_request, seen
from tests.support.policies import policy
from tests.support.waiting import eventually
from tests.support.world import World, key_set, kinds, mint, weather

NOW_NS = tokens.NOW * 10**9


@dataclass
class Watching:
    """An observer that remembers."""

    seen: list[CheckDetails] = field(default_factory=list)

    def checked(self, details: CheckDetails) -> None:
        self.seen.append(details)

    def looked_up(self, tier: Tier, kind: CacheKind, result: CacheResult) -> None: ...

    def fetched(self, issuer: str, result: FetchResult) -> None: ...

    def reloaded(self, result: ReloadResult) -> None: ...


@dataclass
class KeyResolver:
    """A supplier that answers when it is told to."""

    go: asyncio.Event | None = None
    needs: list[Need] = field(default_factory=list)
    written: list[Write] = field(default_factory=list)
    fails: bool = False

    async def resolve(self, need: Need) -> Answer:
        self.needs.append(need)
        if self.go is not None:
            await self.go.wait()
        if self.fails:
            raise RuntimeError("secret-token-in-message")
        return key_set() if isinstance(need, NeedKeys) else None

    async def write(self, write: Write) -> None:
        self.written.append(write)


class Slots:
    """So many slots."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._lock = threading.Lock()
        self.taken = 0

    def take_slot(self) -> bool:
        with self._lock:
            if self.taken == self._free:
                return False
            self.taken += 1
            return True

    def leave_slot(self) -> None:
        with self._lock:
            self.taken -= 1


@pytest.fixture
def loop() -> Iterator[IoLoop]:
    running = IoLoop()
    running.start()
    yield running
    running.stop()


@dataclass
class Bench:
    world: World
    supply: KeyResolver
    watching: Watching
    shell: BlockingShell
    slots: Slots

    def ask(self, data: bytes, deadline: float | None = None) -> Seen:
        return seen(self.shell.answer(data, Call(NOW_NS, deadline)))


def bench(
    loop: IoLoop, *, slots: int = 4, keys: bool = True, supply: KeyResolver | None = None, shared: bool = False
) -> Bench:
    world = World(keys=key_set() if keys else None, signer=Signer([b"0" * 32]) if shared else None)
    supply, watching, places = supply or KeyResolver(), Watching(), Slots(slots)
    shell = BlockingShell(
        active=ActivePolicy.of(world.policy),
        shared_state=world.shared_state,
        need_resolver=supply,  # type: ignore[arg-type]
        loop=loop,
        observer=watching,
        clock_ns=lambda: NOW_NS,
        slots=places,
    )
    return Bench(world, supply, watching, shell, places)


GOOD = check_request(token=mint())


def test_checks_are_counted_whatever_becomes_of_them(loop: IoLoop) -> None:
    one = bench(loop)
    assert one.shell.begun == 0
    for data in (GOOD, check_request(), b"no request at all"):
        one.ask(data)
    assert one.shell.begun == 3


def test_a_warm_check_waits_for_nothing(loop: IoLoop) -> None:
    one = bench(loop, slots=0)
    assert one.ask(GOOD).allowed
    assert one.supply.needs == []


def test_a_check_that_lacks_keys_waits_for_them_and_tells_observers(loop: IoLoop) -> None:
    one = bench(loop, keys=False)
    assert one.ask(GOOD).allowed
    (details,) = one.watching.seen
    assert (details.outcome, [wait.name for wait in details.waits]) == (Outcome.ALLOW, ["extauthz.jwks"])


def test_without_a_free_seat_a_check_that_would_wait_is_refused_at_once(loop: IoLoop) -> None:
    one = bench(loop, slots=0, keys=False)
    assert one.ask(GOOD).reason == Reason.KEYS_UNAVAILABLE
    assert "too many" in one.watching.seen[0].detail


def test_without_a_free_seat_a_session_is_not_taken_for_nobodys(loop: IoLoop) -> None:
    one = bench(loop, slots=0, shared=True)
    refused = one.ask(check_request(token=mint(), headers={"mcp-session-id": "s1"}))
    assert (refused.status, refused.reason, refused.headers["retry-after"]) == (503, "deadline_exceeded", "5")
    assert "too many checks are waiting" in one.watching.seen[-1].detail
    assert len(one.world.shared_state.caches.bindings) == 0


def test_checks_that_wait_do_not_stop_warm_ones(loop: IoLoop) -> None:
    supply = KeyResolver(go=asyncio.Event())
    cold = bench(loop, slots=2, keys=False, supply=supply)
    warm = bench(loop, slots=2)
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(cold.ask, check_request(token=mint(jti=jti))) for jti in ("1", "2")]
        eventually(lambda: len(supply.needs) == 2, "both wait")
        assert warm.ask(GOOD).allowed
        assert cold.ask(GOOD).reason == Reason.KEYS_UNAVAILABLE
        loop.submit(_set(supply.go))
        assert [one.result(10).allowed for one in waiting] == [True, True]


def test_looking_at_all_objects_takes_nothing_from_checks_that_wait(loop: IoLoop) -> None:
    """Nor adds to them: what is revoked meanwhile is refused, and another policy counts for later ones only."""
    supply = KeyResolver(go=asyncio.Event())
    one = bench(loop, slots=2, keys=False, supply=supply)
    good, bad = check_request(token=mint(jti="good")), check_request(token=mint(jti="bad"))
    try:
        with ThreadPoolExecutor(2) as threads:
            waiting = [threads.submit(one.ask, data) for data in (good, bad)]
            eventually(lambda: len(supply.needs) == 2, "both wait")
            one.world.shared_state.revocations.add([revocation("bad")], tokens.NOW)
            for _ in range(3):
                gc.unfreeze()
                gc.collect()
                gc.freeze()
            one.shell.replace_policy(ActivePolicy.of(policy(weather(rules=()))))
            loop.submit(_set(supply.go))
            assert [answer.result(10).reason for answer in waiting] == [Reason.ALLOWED, Reason.TOKEN_REVOKED]
    finally:
        gc.unfreeze()


def revocation(jti: str) -> Revocation:
    """Of one token by its name."""
    return Revocation(
        id="one",
        by=RevokedBy.JTI,
        value=jti,
        issuer=tokens.ISSUER,
        before=tokens.NOW,
        until=tokens.NOW + 4000,
        source="admin",
    )


async def _set(event: asyncio.Event | None) -> None:
    assert event is not None
    event.set()


CROWD = 100


def crowd(one: Bench, data: bytes, gate: asyncio.Event, loop: IoLoop) -> list[Seen]:
    """Ask so many times at once; the gate opens when as many checks as can have come to wait."""
    with ThreadPoolExecutor(CROWD) as threads:
        asked = [threads.submit(one.ask, data) for _ in range(CROWD)]
        eventually(lambda: len(one.supply.needs) > 0 and one.slots.taken == CROWD, "all wait")
        loop.submit(_set(gate))
        return [each.result(20) for each in asked]


@pytest.mark.parametrize("shared", [False, True])
def test_of_a_hundred_checks_with_the_same_new_token_one_finds_out(
    loop: IoLoop, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    verified: list[UnverifiedToken] = []

    def counting(token: UnverifiedToken, keys: tuple[Key, ...]) -> SignedToken | None:
        verified.append(token)
        return verify_signature(token, keys)

    monkeypatch.setattr(authentication, "verify_signature", counting)
    gate = asyncio.Event()
    one = bench(loop, slots=CROWD, keys=shared, supply=KeyResolver(go=gate), shared=shared)
    answers = crowd(one, GOOD, gate, loop)
    assert all(answer.allowed for answer in answers)
    assert kinds(one.supply.needs) == (["NeedStored", "NeedStored"] if shared else ["NeedKeys"])
    assert len(verified) == 1


def test_a_token_refused_to_the_first_of_a_hundred_is_refused_to_all(loop: IoLoop) -> None:
    gate = asyncio.Event()
    one = bench(loop, slots=CROWD, keys=False, supply=KeyResolver(go=gate))
    answers = crowd(one, check_request(token=mint(owner="rival")), gate, loop)
    assert {answer.reason for answer in answers} == {Reason.TOKEN_ORGANIZATION}
    assert sorted(answer.metadata["cache"] for answer in answers) == ["memory"] * (CROWD - 1) + ["none"]


def test_those_who_wait_go_on_by_themselves_when_the_first_fails(loop: IoLoop) -> None:
    gate = asyncio.Event()
    one = bench(loop, slots=CROWD, keys=False, supply=KeyResolver(go=gate, fails=True))
    memory_key = (one.world.policy.revision, "weather", digest_of(mint()))
    answers = crowd(one, GOOD, gate, loop)
    assert {answer.reason for answer in answers} == {Reason.INTERNAL_ERROR}
    assert len(one.supply.needs) == CROWD
    assert one.world.shared_state.locks.take(memory_key) is None, "the turn of the first has ended"
    one.world.shared_state.locks.end(memory_key)
    one.supply.fails = False
    assert one.ask(GOOD).allowed


def test_without_a_seat_to_wait_in_a_check_does_the_work_itself(loop: IoLoop) -> None:
    gate = asyncio.Event()
    one = bench(loop, slots=1, supply=KeyResolver(go=gate), shared=True)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(one.ask, GOOD)
        eventually(lambda: len(one.supply.needs) == 1, "the first waits for the store")
        assert one.ask(GOOD).allowed
        loop.submit(_set(gate))
        assert first.result(10).allowed


def test_who_waited_for_another_beyond_its_deadline_is_told_so(loop: IoLoop) -> None:
    gate = asyncio.Event()
    one = bench(loop, slots=2, supply=KeyResolver(go=gate), shared=True)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(one.ask, GOOD)
        eventually(lambda: len(one.supply.needs) == 1, "the first waits for the store")
        assert one.ask(GOOD, deadline=NOW_NS / 1e9).reason == Reason.DEADLINE_EXCEEDED
        loop.submit(_set(gate))
        assert first.result(10).allowed


def test_after_the_deadline_the_answer_is_deadline_exceeded(loop: IoLoop) -> None:
    one = bench(loop, keys=False, supply=KeyResolver(go=asyncio.Event()))
    answer = one.ask(GOOD, deadline=NOW_NS / 1e9)
    assert (answer.reason, answer.status) == (Reason.DEADLINE_EXCEEDED, 503)


def test_a_fault_is_a_refusal_that_names_no_secret(loop: IoLoop, caplog: pytest.LogCaptureFixture) -> None:
    one = bench(loop, keys=False, supply=KeyResolver(fails=True))
    answer = one.ask(GOOD)
    assert (answer.allowed, answer.reason, answer.status) == (False, Reason.INTERNAL_ERROR, 503)
    assert one.watching.seen[0].reason is Reason.INTERNAL_ERROR
    assert "secret-token" not in caplog.text + one.watching.seen[0].detail
    assert "RuntimeError" in one.watching.seen[0].detail


def test_a_fault_of_an_observer_is_a_refusal_too(loop: IoLoop) -> None:
    one = bench(loop)
    one.watching.checked = lambda _: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    assert one.ask(GOOD).reason == Reason.INTERNAL_ERROR


def test_decisions_are_shared_after_the_answer(loop: IoLoop) -> None:
    one = bench(loop, shared=True)
    assert one.ask(GOOD).allowed
    eventually(lambda: len(one.supply.written) == 2, "token and decision are written")
    assert {write.key.partition(":")[0] for write in one.supply.written} == {"token", "decision"}


def test_a_replaced_policy_counts_from_the_next_check_on(loop: IoLoop) -> None:
    one = bench(loop)
    assert one.ask(GOOD).allowed
    one.shell.replace_policy(ActivePolicy.of(policy(weather(rules=()), revision="2" * 16)))
    assert one.ask(GOOD).reason == Reason.OPERATION_UNCOVERED


def test_the_loop_stops_what_is_under_way() -> None:
    running = IoLoop()
    running.start()
    forever = running.submit(asyncio.Event().wait())
    running.stop()
    assert forever.cancelled() or forever.done()
