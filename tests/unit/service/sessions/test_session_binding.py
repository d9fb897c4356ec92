"""Session ids over their life: bound, used, ended, expired; on one process, and on several with one store."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from extauthz.pdp.policy import CacheTerms, Sharing
from extauthz.pdp.reason import Reason
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.call import Call
from extauthz.service.check.active_policy import ActivePolicy
from extauthz.service.check.procedure import check
from extauthz.service.needs import Answer, EntryUnavailable, Need, NeedBinding, NeedLock, Resolved
from extauthz.service.sessions.binding import RENEW_S, TTL_S
from extauthz.service.sessions.lookups import Lookups
from extauthz.service.sessions.session_binding import CONFIRM_S
from tests.support.checks import Seen, check_request, message
from tests.support.mcp_requests import MODERN, MODERN_META
from tests.support.policies import policy
from tests.support.world import World, kinds, mint, weather

SECRET = b"0" * 32
HOUR_S = 3_600
AWAY = EntryUnavailable("away")
# Longer-lived than any session here.
ALICE, MALLORY = mint(exp=4_000_000_000), mint(exp=4_000_000_000, sub="mallory")


def alone() -> World:
    return World(policy=policy(weather()))


def fleet() -> tuple[World, World]:
    one = World(policy=policy(weather()), signer=Signer([SECRET]))
    return one, one.sibling()


def asking(*secrets: bytes) -> World:
    """A world that asks its store about sessions only."""
    return World(policy=policy(weather(), cache=CacheTerms(shared=Sharing.NEVER)), signer=Signer(secrets))


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
    assert use(one, ALICE).allowed
    flush(one)
    for _ in range(3):
        later(CONFIRM_S, one, other)
        one.answer = lambda _: AWAY
        assert use(one, ALICE).allowed
        assert use(one, MALLORY).reason == Reason.SESSION_UNKNOWN
    assert bindings(one) == []
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


def interleaved(one: World, other: World, session: str, order: tuple[int, ...]) -> list[str]:
    """The reasons of Mallory's use at one process and Alice's at the other, each step taken when `order` says so.

    What they tell the store after their answers comes too late for both.
    """
    worlds = (one, other)
    runs = [
        check(
            check_request(token=token, headers={"mcp-session-id": session}),
            Call(int(world.now * 1e9), None),
            ActivePolicy.of(world.policy),
            world.shared_state,
        )
        for world, token in zip(worlds, (MALLORY, ALICE), strict=True)
    ]
    reasons = ["", ""]
    needs: list[Need | None] = [None, None]
    turns = [*order, *(turn for turn in (0, 1) for _ in range(4))]
    for turn in turns:
        if reasons[turn]:
            continue
        need, run, world = needs[turn], runs[turn], worlds[turn]
        try:
            asked = next(run) if need is None else run.send(Resolved(answer=world._answer(need), now=world.now))
        except StopIteration as done:
            reasons[turn] = done.value.reason
        else:
            assert not isinstance(asked, NeedLock)
            needs[turn] = asked
    return reasons


@pytest.mark.parametrize("left", [(OLD, NEW), (NEW, OLD)])
@pytest.mark.parametrize("right", [(OLD,), (NEW,), (OLD, NEW), (NEW, OLD)])
@pytest.mark.parametrize("session", [f"s{number}" for number in range(4)])
def test_of_two_who_bind_at_once_while_secrets_are_rotated_one_has_it(
    session: str, left: tuple[bytes, ...], right: tuple[bytes, ...]
) -> None:
    """However the steps of the two follow each other."""
    for order in set(permutations((0, 0, 0, 1, 1, 1))):
        one = asking(*left)
        other = with_secrets(one, *right)
        reasons = interleaved(one, other, session, order)
        assert sorted(reasons) == [Reason.ALLOWED, Reason.SESSION_UNKNOWN], order


# Spellings.

UUID = "0A1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"


@pytest.mark.parametrize(
    "spelling",
    [
        UUID.lower(),
        UUID.upper(),
        UUID.replace("-", ""),
        f"urn:uuid:{UUID}",
        f"{{{UUID}}}",
        UUID.replace("-", "")[1:10] + "_" + UUID.replace("-", "")[10:],
    ],
)
def test_a_uuid_in_another_spelling_is_the_same_session(spelling: str) -> None:
    where = alone()
    assert use(where, ALICE, UUID).allowed
    assert use(where, MALLORY, spelling).reason == Reason.SESSION_UNKNOWN


@pytest.mark.parametrize("other", ["session-A", "sessiona", "session_a", "session-a/"])
def test_ids_that_are_no_uuids_are_compared_as_they_are(other: str) -> None:
    where = alone()
    assert use(where, ALICE, "session-a").allowed
    assert use(where, MALLORY, other).allowed


# Which server.

SAME_SERVER = [
    ({}, {}),
    ({"upstream": "http://weather:8000/mcp"}, {"upstream": "http://weather:8000/mcp"}),
    ({"upstream": "http://weather:8000/mcp"}, {"upstream": "http://WEATHER:8000/other/"}),
    ({"upstream": "http://weather/mcp"}, {"upstream": "http://weather:80/mcp"}),
    ({"upstream": "https://weather./mcp"}, {"upstream": "https://weather:443"}),
    ({"upstream": "http://weather.:8000/mcp"}, {"upstream": "http://weather:8000/mcp"}),
    ({"upstream": "http://[::1]/mcp"}, {"upstream": "http://[::1]:80/mcp"}),
]
OTHER_SERVER = [
    ({"upstream": "http://weather:8000/mcp"}, {"upstream": "http://weather:8001/mcp"}),
    ({"upstream": "http://weather:8000/mcp"}, {"upstream": "http://files:8000/mcp"}),
    ({"upstream": "http://weather/mcp"}, {"upstream": "https://weather/mcp"}),
    ({"upstream": "http://[::1]:8000/mcp"}, {"upstream": "http://[::2]:8000/mcp"}),
]


def behind(first: dict[str, str], second: dict[str, str]) -> World:
    other = weather(name="other", uri="https://mcp.example.com/other/mcp", **second)
    return World(policy=policy(weather(**first), other))


def at_other(where: World, token: str) -> Seen:
    return where.ask(check_request(token=token, headers={"mcp-session-id": "s1"}, path="/other/mcp"))


@pytest.mark.parametrize(("first", "second"), SAME_SERVER)
def test_one_server_behind_two_resources_has_one_owner_of_a_session(
    first: dict[str, str], second: dict[str, str]
) -> None:
    where = behind(first, second)
    assert use(where, ALICE).allowed
    assert at_other(where, MALLORY).reason == Reason.SESSION_UNKNOWN
    assert at_other(where, ALICE).allowed


@pytest.mark.parametrize(("first", "second"), OTHER_SERVER)
def test_the_ids_of_two_servers_have_nothing_to_do_with_each_other(
    first: dict[str, str], second: dict[str, str]
) -> None:
    where = behind(first, second)
    assert use(where, ALICE).allowed
    assert at_other(where, MALLORY).allowed


@pytest.mark.parametrize("upstream", ["", "http://weather:8000/mcp"])
def test_a_resource_renamed_in_the_policy_keeps_the_owners_of_its_sessions(upstream: str) -> None:
    where = World(policy=policy(weather(upstream=upstream)))
    assert use(where, ALICE).allowed
    where.policy = policy(weather(name="climate", upstream=upstream))
    assert use(where, MALLORY).reason == Reason.SESSION_UNKNOWN
    assert use(where, ALICE).allowed


# What the first request comes to.

FIRST = {
    "policy": {"body": message("tools/call", {"name": "unheard_of", "arguments": {}})},
    "scope": {"body": message("tools/call", {"name": "set_alert", "arguments": {}})},
    "unknown method": {"body": message("weather/unheard_of")},
    "not JSON": {"body": b"{"},
    "batch": {"body": b"[" + message() + b"]"},
    "headers": {"body": message(), "headers": {"mcp-method": "tools/list"}},
    "DELETE elsewhere": {"method": "DELETE", "path": "/weather/mcp/below"},
    "GET with a body": {"method": "GET", "body": b"x"},
}


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
@pytest.mark.parametrize("worlds", [lambda: (alone(),), fleet], ids=["alone", "with a store"])
def test_the_first_request_with_a_valid_token_binds_whatever_becomes_of_it(
    worlds: Callable[[], tuple[World, ...]], first: dict[str, Any]
) -> None:
    where, *others = worlds()
    headers = {**first.get("headers", {}), "mcp-session-id": "s1"}
    refused = where.ask(check_request(token=ALICE, **{**first, "headers": headers}))
    assert refused.status in (400, 403, 404)
    assert refused.reason != Reason.SESSION_UNKNOWN
    for each in (where, *others):
        assert use(each, MALLORY).reason == Reason.SESSION_UNKNOWN
        assert use(each, ALICE).allowed


@pytest.mark.parametrize(
    "token",
    [mint(exp=1), mint(aud=["https://other.example.com/mcp"]), mint(owner="rival"), ALICE[:-20] + "A" * 20, None],
    ids=["expired", "audience", "organization", "signature", "none"],
)
def test_without_a_valid_token_nothing_is_bound(token: str | None) -> None:
    where = alone()
    assert where.ask(check_request(token=token, headers={"mcp-session-id": "s1"})).status == 401
    assert use(where, ALICE).allowed


def test_what_policy_refuses_is_refused_for_that_also_in_a_foreign_session() -> None:
    where = alone()
    assert use(where, ALICE).allowed
    foreign = where.ask(check_request(message("weather/x"), token=MALLORY, headers={"mcp-session-id": "s1"}))
    assert foreign.reason == Reason.METHOD_UNKNOWN


# Not being able to ask.


def test_an_unknown_id_is_nobodys_only_by_the_stores_own_word() -> None:
    one, other = fleet()
    assert use(one, ALICE).allowed
    for answer in (AWAY, b"", b"rubbish", b"\x01" + bytes(90)):
        other.answer = lambda _, answer=answer: answer  # type: ignore[misc]
        for token in (ALICE, MALLORY):
            refused = use(other, token)
            assert (refused.reason, refused.status) == (Reason.DEADLINE_EXCEEDED, 503)
            assert refused.headers["retry-after"] == "5"
            assert refused.body["error"]["message"].endswith("try again")
    other.answer = None
    assert len(other.shared_state.caches.bindings) == 0
    assert use(other, MALLORY).reason == Reason.SESSION_UNKNOWN
    assert use(other, ALICE).allowed


def test_what_could_not_be_asked_is_not_written_later_either() -> None:
    one, _ = fleet()
    one.answer = lambda _: AWAY
    for method in ("POST", "GET", "DELETE"):
        checked = one.check(check_request(token=MALLORY, headers={"mcp-session-id": "s1"}, method=method))
        assert checked.reason == Reason.DEADLINE_EXCEEDED
        assert not [write for write in checked.writes if write.key.startswith("binding:")]
    one.answer = None
    assert bindings(one) == []
    assert use(one, ALICE).allowed


def test_a_policys_refusal_stays_what_it_is_where_the_store_cannot_be_asked() -> None:
    one, _ = fleet()
    one.answer = lambda _: AWAY
    assert one.ask(check_request(message("weather/x"), token=ALICE, headers={"mcp-session-id": "s1"})).status == 400


@pytest.mark.parametrize("secrets", [(OLD, NEW), (NEW, OLD)])
@pytest.mark.parametrize("answered", [0, 1])
def test_while_secrets_are_rotated_both_names_have_to_be_asked(secrets: tuple[bytes, ...], answered: int) -> None:
    one = asking(*secrets)
    asked: list[Need] = []

    def answer(need: Need) -> Answer:
        asked.append(need)
        assert isinstance(need, NeedBinding)
        return need.value if len(asked) <= answered else AWAY

    one.answer = answer
    assert use(one, ALICE).reason == Reason.DEADLINE_EXCEEDED
    assert len(asked) == answered + 1
    assert len(one.shared_state.caches.bindings) == 0


def test_without_a_session_id_the_store_need_not_be_asked() -> None:
    """`initialize` has none yet."""
    one, _ = fleet()
    one.answer = lambda _: AWAY
    assert one.ask(check_request(message("initialize", {"protocolVersion": "2025-11-25"}), token=ALICE)).allowed


# Slots.


def test_nobody_has_more_than_a_share_of_the_look_ups() -> None:
    one = asking(SECRET)
    few = Lookups(2)
    one.shared_state = replace(one.shared_state, session_lookups=few)
    seen: list[tuple[str, str]] = []
    under_way = 0

    def answer(need: Need) -> Answer:
        """Each look-up is still under way when the next one comes: two of Mallory's, then a third, and Alice's."""
        nonlocal under_way
        assert isinstance(need, NeedBinding)
        under_way += 1
        if under_way == 1:
            seen.append(("second", use(one, MALLORY, "m2").reason))
        elif under_way == 2:
            seen.append(("third", use(one, MALLORY, "m3").reason))
            seen.append(("alice", use(one, ALICE, "mine").reason))
        return one.store.setdefault(need.key, need.value)

    for token in (ALICE, MALLORY):
        assert one.ask(check_request(token=token)).allowed
    one.answer = answer
    assert use(one, MALLORY, "m1").allowed
    assert seen == [("third", Reason.DEADLINE_EXCEEDED), ("alice", Reason.ALLOWED), ("second", Reason.ALLOWED)]
    assert len(few) == 0


def test_a_known_session_goes_on_while_its_owner_has_no_look_up_left() -> None:
    one, _ = fleet()
    assert use(one, ALICE).allowed
    one.shared_state = replace(one.shared_state, session_lookups=Lookups(0))
    later(CONFIRM_S, one)
    assert use(one, ALICE).allowed
    assert use(one, MALLORY).reason == Reason.SESSION_UNKNOWN
    assert use(one, ALICE, "new").reason == Reason.DEADLINE_EXCEEDED


def test_a_look_up_that_is_given_up_leaves_its_slot() -> None:
    one = asking(SECRET)
    steps = check(
        check_request(token=ALICE, headers={"mcp-session-id": "s1"}),
        Call(int(one.now * 1e9), None),
        ActivePolicy.of(one.policy),
        one.shared_state,
    )
    assert isinstance(next(steps), NeedBinding)
    assert len(one.shared_state.session_lookups) == 1
    steps.close()
    assert len(one.shared_state.session_lookups) == 0
