"""Session ids over their life: bound, used, ended, expired; on one process, and on several with one store."""

from collections.abc import Callable

import pytest

from extauthz.pdp.reason import Reason
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.needs import Answer, Need, NeedBinding
from extauthz.service.sessions.session_binding import CONFIRM_S, RENEW_S, TTL_S
from tests.support.checks import Seen, check_request, message
from tests.support.mcp_requests import MODERN, MODERN_META
from tests.support.policies import policy
from tests.support.world import World, kinds, mint, weather

SECRET = b"0" * 32
HOUR_S = 3_600
# Longer-lived than any session here.
ALICE, MALLORY = mint(exp=4_000_000_000), mint(exp=4_000_000_000, sub="mallory")


def alone() -> World:
    return World(policy=policy(weather()))


def fleet() -> tuple[World, World]:
    one = World(policy=policy(weather()), signer=Signer([SECRET]))
    return one, one.sibling()


def later(seconds: float, *worlds: World) -> None:
    for each in worlds:
        each.now += seconds
        # Key sets are refreshed meanwhile; this is about something else.
        for issuer in each.policy.issuers.values():
            keys = each.shared_state.ring.entry(issuer).key_set
            assert keys is not None
            each.shared_state.ring.adopt(issuer, keys, each.now)


def use(where: World, token: str, session: str = "s1", method: str = "POST") -> Seen:
    return where.ask(check_request(token=token, headers={"mcp-session-id": session}, method=method))


def delete(where: World, token: str, session: str = "s1") -> Seen:
    return use(where, token, session, method="DELETE")


def bindings(where: World) -> list[str]:
    return [key for key in where.store if key.startswith("binding:")]


def flush(where: World) -> None:
    where.store.clear()


# Sliding.


@pytest.mark.parametrize("worlds", [lambda: (alone(),), fleet], ids=["alone", "with a store"])
def test_a_session_in_use_never_becomes_free(worlds: Callable[[], tuple[World, ...]]) -> None:
    first, *others = worlds()
    for _ in range(4):
        assert use(first, ALICE).allowed
        later(20 * HOUR_S, first, *others)
        for each in (first, *others):
            assert use(each, MALLORY).reason == Reason.SESSION_UNKNOWN


@pytest.mark.parametrize("worlds", [lambda: (alone(),), fleet], ids=["alone", "with a store"])
def test_a_session_that_nobody_uses_ends_after_a_day(worlds: Callable[[], tuple[World, ...]]) -> None:
    first, *others = worlds()
    assert use(first, ALICE).allowed
    later(TTL_S - 1, first, *others)
    assert use(first, MALLORY).reason == Reason.SESSION_UNKNOWN
    later(2, first, *others)
    assert use(first, MALLORY).allowed
    assert use(first, ALICE).reason == Reason.SESSION_UNKNOWN


def test_the_attempts_of_others_keep_no_session_alive() -> None:
    where = alone()
    assert use(where, ALICE).allowed
    for _ in range(int(TTL_S / HOUR_S) - 1):
        later(HOUR_S, where)
        assert use(where, MALLORY).reason == Reason.SESSION_UNKNOWN
    later(HOUR_S + 1, where)
    assert use(where, MALLORY).allowed


@pytest.mark.parametrize("worlds", [lambda: (alone(),), fleet], ids=["alone", "with a store"])
def test_the_attempts_of_others_do_not_keep_the_owners_use_from_counting(
    worlds: Callable[[], tuple[World, ...]],
) -> None:
    first, *others = worlds()
    assert use(first, ALICE).allowed
    for _ in range(30):
        later(HOUR_S, first, *others)
        assert use(first, MALLORY).reason == Reason.SESSION_UNKNOWN
        assert use(first, ALICE).allowed


def test_a_session_in_use_costs_one_look_in_half_a_minute_and_one_write_in_an_hour() -> None:
    one, _ = fleet()
    writes = 0
    for _ in range(int(2 * HOUR_S / 5)):
        later(5, one)
        checked = one.check(check_request(token=ALICE, headers={"mcp-session-id": "s1"}))
        writes += sum(write.key.startswith("binding:") for write in checked.writes)
    looks = kinds(one.needs).count("NeedBinding")
    assert looks <= 2 * HOUR_S / CONFIRM_S + 1
    assert writes == 2 * HOUR_S // RENEW_S - 1


# The end.


@pytest.mark.parametrize("session", ["s1", "never-seen"])
def test_after_the_owners_delete_the_session_is_nobodys(session: str) -> None:
    where = alone()
    assert use(where, ALICE).allowed
    assert delete(where, ALICE, session).allowed
    for token in (ALICE, MALLORY):
        answer = use(where, token, session)
        assert (answer.reason, answer.status) == (Reason.SESSION_UNKNOWN, 404)
        assert use(where, token, session, method="GET").reason == Reason.SESSION_UNKNOWN
    assert delete(where, MALLORY, session).reason == Reason.SESSION_UNKNOWN


def test_the_owner_may_repeat_the_delete() -> None:
    where = alone()
    assert [delete(where, ALICE).allowed for _ in range(3)] == [True] * 3


def test_the_delete_of_another_ends_nothing() -> None:
    where = alone()
    assert use(where, ALICE).allowed
    assert delete(where, MALLORY).reason == Reason.SESSION_UNKNOWN
    assert use(where, ALICE).allowed


def test_a_delete_that_policy_refuses_ends_nothing() -> None:
    where = alone()
    assert use(where, ALICE).allowed
    assert not delete(where, mint(scope="none", exp=4_000_000_000)).allowed
    assert use(where, ALICE).allowed


def test_an_ended_session_stays_so_for_a_day_whatever_is_tried() -> None:
    where = alone()
    assert delete(where, ALICE).allowed
    for _ in range(23):
        later(HOUR_S, where)
        assert use(where, MALLORY).reason == Reason.SESSION_UNKNOWN
        assert use(where, ALICE).reason == Reason.SESSION_UNKNOWN
    later(HOUR_S + 1, where)
    assert use(where, MALLORY).allowed


def test_a_session_ended_on_one_process_is_ended_on_one_that_did_not_know_it() -> None:
    one, other = fleet()
    assert delete(one, ALICE).allowed
    assert [use(other, token).reason for token in (ALICE, MALLORY)] == [Reason.SESSION_UNKNOWN] * 2


def test_a_session_ended_on_one_process_is_ended_within_half_a_minute_on_one_that_knew_it() -> None:
    one, other = fleet()
    assert use(other, ALICE).allowed
    assert delete(one, ALICE).allowed
    assert use(other, MALLORY).reason == Reason.SESSION_UNKNOWN
    later(CONFIRM_S, one, other)
    assert use(other, ALICE).reason == Reason.SESSION_UNKNOWN
    assert use(other, MALLORY).reason == Reason.SESSION_UNKNOWN


def test_an_end_that_the_store_did_not_learn_is_told_with_the_next_look() -> None:
    one, other = fleet()
    assert use(one, ALICE).allowed
    store, one.store = one.store, {}
    assert delete(one, ALICE).allowed
    one.store = store
    later(CONFIRM_S, one, other)
    assert use(one, MALLORY).reason == Reason.SESSION_UNKNOWN
    assert use(other, ALICE).reason == Reason.SESSION_UNKNOWN


# A store that forgets, is away, or lies.


def test_a_flush_loses_no_binding_of_a_session_in_use() -> None:
    one, other = fleet()
    assert use(one, ALICE).allowed
    flush(one)
    later(CONFIRM_S, one, other)
    assert use(one, ALICE).allowed
    assert use(other, MALLORY).reason == Reason.SESSION_UNKNOWN


def test_whoever_took_a_session_after_a_flush_loses_it_to_the_earlier_owner() -> None:
    one, other = fleet()
    assert use(one, ALICE).allowed
    flush(one)
    later(1, one, other)
    assert use(other, MALLORY).allowed
    later(CONFIRM_S, one, other)
    assert use(one, ALICE).allowed
    assert use(other, MALLORY).reason == Reason.SESSION_UNKNOWN
    assert use(other, ALICE).allowed


def test_the_first_in_the_store_wins_whatever_the_clocks_say() -> None:
    one, other = fleet()
    later(30, one)
    assert use(one, ALICE).allowed
    assert use(other, MALLORY).reason == Reason.SESSION_UNKNOWN


def test_while_the_store_is_away_memory_decides_and_is_told_later() -> None:
    one, other = fleet()
    one.answer = lambda _: None
    assert use(one, ALICE).allowed
    assert use(one, MALLORY).reason == Reason.SESSION_UNKNOWN
    one.answer = None
    later(CONFIRM_S, one, other)
    assert use(one, ALICE).allowed
    assert use(other, MALLORY).reason == Reason.SESSION_UNKNOWN


@pytest.mark.parametrize("entry", [b"", b"rubbish", b"\x01" + bytes(90)])
def test_an_entry_that_is_none_of_ours_frees_no_session_that_is_known(entry: bytes) -> None:
    one, _ = fleet()
    assert use(one, ALICE).allowed
    (key,) = bindings(one)
    one.store[key] = entry
    later(CONFIRM_S, one)
    assert use(one, MALLORY).reason == Reason.SESSION_UNKNOWN
    assert use(one, ALICE).allowed


def test_an_entry_moved_to_another_session_binds_nothing() -> None:
    one, other = fleet()
    assert use(one, MALLORY, "theirs").allowed
    (theirs,) = bindings(one)
    assert use(one, ALICE, "mine").allowed
    (mine,) = set(bindings(one)) - {theirs}
    one.store[mine] = one.store[theirs]
    later(CONFIRM_S, one, other)
    assert use(one, ALICE, "mine").allowed
    assert use(one, MALLORY, "mine").reason == Reason.SESSION_UNKNOWN


# Secrets that are rotated.

OLD, NEW = b"old secret, 32 bytes and longer!!", b"new secret, 32 bytes and longer!!"


def with_secrets(like: World, *secrets: bytes) -> World:
    return like.sibling(signer=Signer(secrets))


@pytest.mark.parametrize("first", [(OLD, NEW), (NEW, OLD)])
@pytest.mark.parametrize("then", [(OLD, NEW), (NEW, OLD)])
def test_a_session_is_the_same_under_both_orders_of_two_secrets(
    first: tuple[bytes, ...], then: tuple[bytes, ...]
) -> None:
    one = World(policy=policy(weather()), signer=Signer(first))
    assert use(one, ALICE).allowed
    other = with_secrets(one, *then)
    assert use(other, MALLORY).reason == Reason.SESSION_UNKNOWN
    assert use(other, ALICE).allowed
    assert delete(other, ALICE).allowed
    later(CONFIRM_S, one, other)
    assert use(one, ALICE).reason == Reason.SESSION_UNKNOWN


def test_a_rotation_in_three_steps_loses_no_session_in_use() -> None:
    worlds = [World(policy=policy(weather()), signer=Signer([OLD]))]
    for secrets in ((OLD, NEW), (NEW, OLD), (NEW,)):
        assert use(worlds[-1], ALICE).allowed
        worlds.append(with_secrets(worlds[0], *secrets))
    assert use(worlds[-1], MALLORY).reason == Reason.SESSION_UNKNOWN


# At once.


def test_of_two_who_bind_at_once_the_one_whom_the_store_names_has_it() -> None:
    one, other = fleet()

    def meanwhile(need: Need) -> Answer:
        if isinstance(need, NeedBinding):
            assert use(other, ALICE).allowed
            return one.store.setdefault(need.key, need.value)
        return None

    one.answer = meanwhile
    assert use(one, MALLORY).reason == Reason.SESSION_UNKNOWN


def test_a_session_that_ends_while_its_owner_is_being_looked_up_is_ended() -> None:
    one, _ = fleet()
    assert use(one, ALICE).allowed
    later(CONFIRM_S, one)

    def meanwhile(need: Need) -> Answer:
        assert isinstance(need, NeedBinding)
        standing = one.store[need.key]
        one.answer = None
        assert delete(one, ALICE).allowed
        return standing

    one.answer = meanwhile
    assert use(one, ALICE).reason == Reason.SESSION_UNKNOWN
    assert use(one, ALICE).reason == Reason.SESSION_UNKNOWN


def test_the_era_that_a_request_claims_does_not_matter() -> None:
    where = alone()
    params = {"name": "get_forecast", "arguments": {}, "_meta": MODERN_META}
    headers = {
        "mcp-session-id": "s1",
        "mcp-protocol-version": MODERN,
        "mcp-method": "tools/call",
        "mcp-name": "get_forecast",
    }
    assert use(where, ALICE).allowed
    stolen = check_request(message("tools/call", params), token=MALLORY, headers=headers)
    assert where.ask(stolen).reason == Reason.SESSION_UNKNOWN
