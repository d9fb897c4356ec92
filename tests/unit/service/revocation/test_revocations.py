"""The list of one process: what it finds, how it ends, its limit, and when it may be missing something."""

import random
import threading
from collections.abc import Iterable

import pytest

from extauthz.pdp.decision.decision import Deny, Indeterminate
from extauthz.pdp.policy import WhenStale
from extauthz.pdp.reason import Reason
from extauthz.pdp.revocation.revocation import Revocation, RevokedBy, key_of, undo_of
from extauthz.service.revocation import revocations as module
from extauthz.service.revocation.revocations import STALE_AFTER_S, Revocations
from tests.support.revocations import revocation
from tests.support.tokens import NOW

UNTIL = NOW + 100


def holding(*items: Revocation) -> Revocations:
    known = Revocations()
    assert known.add(items, NOW)
    return known


def finds(known: Revocations, item: Revocation, now: float = NOW, issued_at: int | None = NOW) -> bool:
    return known.revoked([("other",), key_of(item)], issued_at, now) is not None


def jti(number: int, **fields: object) -> Revocation:
    return revocation(by=RevokedBy.JTI, value=f"jti-{number}", **fields)


# What it finds.


def test_a_revoked_key_is_found_and_others_are_not() -> None:
    item = revocation()
    known = holding(item)
    assert known.revoked([key_of(item)], NOW, NOW) == item
    assert known.revoked([key_of(jti(0))], NOW, NOW) is None
    assert known.revoked([], NOW, NOW) is None


def test_a_newer_token_of_the_same_group_is_not_revoked() -> None:
    item = revocation(before=NOW - 10)
    assert not finds(holding(item), item, issued_at=NOW)
    assert finds(holding(item), item, issued_at=NOW - 10)


def test_of_several_for_one_key_each_counts() -> None:
    early, late = revocation(before=NOW - 50), revocation(before=NOW - 10)
    for known in (holding(early, late), holding(late, early)):
        assert finds(known, early, issued_at=NOW - 20)


def test_adding_again_changes_nothing() -> None:
    item = revocation()
    known = holding(item, item)
    known.add([item], NOW)
    assert (len(known), known.items(NOW)) == (1, (item,))


# Ends.


def test_an_item_ends_at_its_end() -> None:
    item = jti(1, until=UNTIL)
    known = holding(item)
    assert finds(known, item, UNTIL - 0.001)
    assert not finds(known, item, UNTIL)
    assert known.items(UNTIL) == ()
    assert len(known) == 0


def test_an_ended_item_is_not_taken_up() -> None:
    known = Revocations()
    assert known.add([jti(1, until=NOW)], NOW)
    assert len(known) == 0


def test_when_the_last_item_has_ended_checks_need_not_look_any_more() -> None:
    known = holding(jti(1, until=UNTIL))
    assert known.look_from <= NOW
    known.items(UNTIL)
    assert known.look_from > UNTIL


# Taking back.


def test_what_was_taken_back_revokes_no_more() -> None:
    item, other = revocation(), revocation(before=NOW - 50)
    known = holding(item, other, undo_of(item, id="undo-1-1", source="admin"))
    assert not finds(known, item, issued_at=NOW)
    assert finds(known, item, issued_at=NOW - 50)
    assert known.in_force(NOW) == (other,)
    assert len(known.items(NOW)) == 3


def test_the_order_in_which_items_come_makes_no_difference() -> None:
    item = revocation()
    undo = undo_of(item, id="undo-2-2", source="admin")
    for items in ([item, undo], [undo, item]):
        known = Revocations()
        for each in items:
            known.add([each], NOW)
        assert not finds(known, item)
        assert known.in_force(NOW) == ()


def test_what_was_taken_back_and_comes_again_stays_taken_back() -> None:
    item = revocation()
    known = holding(item, undo_of(item, id="undo-3-3", source="admin"))
    known.add([item], NOW)
    assert not finds(known, item)


def test_an_item_outlives_what_takes_it_back_only_as_revoked() -> None:
    """Nothing that ends opens a door."""
    item = revocation(until=UNTIL + 50)
    short = revocation(id="undo-4-4", undoes=item.id, until=UNTIL)
    known = holding(item, short)
    assert not finds(known, item)
    known.items(UNTIL)
    assert finds(known, item, UNTIL)


def test_what_was_taken_back_twice_counts_again_when_the_last_of_these_has_ended() -> None:
    item = revocation(until=UNTIL + 50)
    undos = [revocation(id=f"undo-5-{n}", undoes=item.id, until=UNTIL + n) for n in (0, 10)]
    known = holding(item, *undos)
    known.items(UNTIL)
    assert not finds(known, item, UNTIL)
    known.items(UNTIL + 10)
    assert finds(known, item, UNTIL + 10)
    assert known.items(UNTIL + 50) == ()
    assert not finds(known, item, UNTIL + 50)
    assert known.look_from > UNTIL + 50


# The limit.


def test_beyond_the_limit_nothing_is_added_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REVOCATIONS", 3)
    first = [jti(number, until=UNTIL) for number in range(2)]
    known = holding(*first)
    more = [jti(2), jti(3)]
    assert not known.add(more, NOW)
    assert known.items(NOW) == tuple(first)
    assert known.add([jti(4)], NOW)
    assert known.add(first, NOW), "what is known already needs no room"
    assert known.add(more, UNTIL), "ended items make room"


# Out of step.


def test_without_a_shared_store_it_is_never_stale() -> None:
    known = Revocations()
    assert not known.stale(NOW + 10**9)
    assert known.lag_s(NOW) == 0
    assert known.look_from > NOW + 10**9


def test_a_shared_list_is_stale_until_the_store_was_read() -> None:
    known = Revocations(shared_since=NOW)
    assert known.stale(NOW)
    assert known.lag_s(NOW + 3) == 3
    known.confirm(NOW + 3)
    assert not known.stale(NOW + 3)
    assert known.lag_s(NOW + 3.5) == 0.5


def test_it_is_stale_when_the_last_complete_round_began_too_long_ago() -> None:
    known = Revocations(shared_since=NOW)
    known.confirm(NOW)
    assert not known.stale(NOW + STALE_AFTER_S - 0.001)
    assert known.stale(NOW + STALE_AFTER_S)
    assert known.look_from == NOW + STALE_AFTER_S


def test_doubt_counts_whatever_the_clock_says() -> None:
    known = Revocations(shared_since=NOW)
    known.confirm(NOW)
    known.doubt()
    assert known.stale(NOW - 10_000)
    known.confirm(NOW + 1)
    assert not known.stale(NOW + 1)


@pytest.mark.parametrize(
    ("stale", "when_stale", "reason"),
    [
        (True, WhenStale.DENY, Reason.REVOCATIONS_UNAVAILABLE),
        (True, WhenStale.ALLOW, None),
        (False, WhenStale.DENY, None),
        (False, WhenStale.ALLOW, None),
    ],
)
def test_what_counts_while_stale_is_the_policys_to_say(
    when_stale: WhenStale, reason: Reason | None, *, stale: bool
) -> None:
    known = Revocations(shared_since=NOW)
    if not stale:
        known.confirm(NOW)
    refusal = known.refuse([key_of(revocation())], NOW, when_stale, NOW)
    assert (refusal and refusal.reason) == reason
    assert refusal is None or isinstance(refusal, Indeterminate)


def test_what_is_known_counts_while_stale_too() -> None:
    item = revocation()
    known = Revocations(shared_since=NOW)
    known.add([item], NOW)
    refusal = known.refuse([key_of(item)], NOW, WhenStale.ALLOW, NOW)
    assert isinstance(refusal, Deny)
    assert refusal.reason is Reason.TOKEN_REVOKED
    assert item.id in refusal.detail
    assert item.value not in refusal.detail


# Threads.


def test_readers_and_writers_do_not_disturb_each_other() -> None:
    """Every item is found from the moment its `add` returned, however many others come and go meanwhile."""
    known = Revocations()
    items = [[jti(1000 * thread + number, until=UNTIL + number) for number in range(200)] for thread in range(4)]
    wrong: list[Revocation] = []

    def write(mine: Iterable[Revocation]) -> None:
        for item in mine:
            known.add([item], NOW)
            if not finds(known, item):
                wrong.append(item)
            known.items(NOW)

    threads = [threading.Thread(target=write, args=(mine,)) for mine in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(known) == 800


# Clocks that are set.

DAY_S = 86_400
KEY = key_of(revocation())


class Clocks:
    """A wall clock that can be set, and the time that passes."""

    def __init__(self) -> None:
        self.wall = float(NOW)
        self.passed = 1_000.0

    def monotonic(self) -> float:
        return self.passed

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.passed += seconds

    def holding(self, *items: Revocation) -> Revocations:
        known = Revocations(monotonic=self.monotonic)
        assert known.add(items, self.wall)
        return known


@pytest.mark.parametrize("ahead_s", [32 * DAY_S, 400 * DAY_S, -DAY_S])
@pytest.mark.parametrize("looks", [True, False])
def test_a_clock_that_is_set_and_set_back_loses_nothing(ahead_s: float, *, looks: bool) -> None:
    clocks, item = Clocks(), revocation()
    known = clocks.holding(item)
    clocks.wall += ahead_s
    assert finds(known, item, clocks.wall)
    if looks:
        assert known.items(clocks.wall) == (item,)
        assert known.add([jti(1, until=int(clocks.wall) + 50)], clocks.wall)
    clocks.wall -= ahead_s
    assert finds(known, item, clocks.wall)
    assert item in known.in_force(clocks.wall)


def test_an_item_ends_when_both_clocks_say_so() -> None:
    clocks, item = Clocks(), jti(1, until=UNTIL)
    known = clocks.holding(item)
    clocks.wall += 200
    assert finds(known, item, clocks.wall)
    clocks.wait(99)
    assert finds(known, item, clocks.wall)
    clocks.wait(1)
    assert not finds(known, item, clocks.wall)
    assert known.items(clocks.wall) == ()
    assert known.look_from > clocks.wall


def test_a_clock_set_back_keeps_items_until_their_end_by_it() -> None:
    clocks, item = Clocks(), jti(1, until=UNTIL)
    known = clocks.holding(item)
    clocks.wall -= 3_600
    clocks.wait(150)
    assert finds(known, item, clocks.wall)
    assert known.items(clocks.wall) == (item,)
    clocks.wait(3_600)
    assert known.items(clocks.wall) == ()


def test_an_item_that_the_wall_clock_ended_and_brought_back_ends_at_its_end() -> None:
    clocks, item = Clocks(), jti(1, until=UNTIL)
    known = clocks.holding(item)
    clocks.wall += 500
    assert known.items(clocks.wall) == (item,)
    clocks.passed += 100
    clocks.wall -= 550
    assert known.items(clocks.wall) == (item,)
    clocks.wall = UNTIL - 1
    assert known.items(clocks.wall) == (item,)
    clocks.wall = UNTIL
    assert known.items(clocks.wall) == ()


def test_the_life_that_is_left_is_by_the_clock_that_says_longer() -> None:
    clocks, item = Clocks(), jti(1, until=UNTIL)
    known = clocks.holding(item)
    assert known.life_s(item, clocks.wall) == 100
    clocks.wall += 32 * DAY_S
    assert known.life_s(item, clocks.wall) == 100
    clocks.wall = NOW - 50.0
    assert known.life_s(item, clocks.wall) == 150
    assert Revocations().life_s(item, NOW) == 100


@pytest.mark.parametrize("seed", range(40))
def test_however_the_clock_is_set_no_item_ends_before_its_time_has_passed(seed: int) -> None:
    lots, clocks = random.Random(seed), Clocks()
    known = Revocations(monotonic=clocks.monotonic)
    born: dict[str, tuple[Revocation, float]] = {}
    for number in range(120):
        match lots.randrange(4):
            case 0:
                item = jti(1_000 * seed + number, until=int(clocks.wall) + lots.randrange(1, 200))
                assert known.add([item], clocks.wall)
                born[item.id] = (item, clocks.passed + item.until - clocks.wall)
            case 1:
                clocks.wall += lots.choice((-3_600, 3_600, 100, -100, 32 * DAY_S, -32 * DAY_S))
            case 2:
                clocks.wait(lots.randrange(60))
            case _:
                known.items(clocks.wall)
        for item, steady_end in born.values():
            if clocks.passed < steady_end - 1e-6:
                assert finds(known, item, clocks.wall)
