"""Bindings are bounded by account as well, and nobody's binding goes because others invent session ids."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from extauthz.pdp.reason import Reason
from extauthz.service.cache.bounded_cache import ENTRY_BYTES
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.sessions.accounts import Accounts
from extauthz.service.sessions.binding import TTL_S, Binding
from extauthz.service.sessions.bindings import IDLE_S, Bindings
from tests.support.checks import Seen, check_request
from tests.support.world import World, mint

NOW = 1_800_000_000.0
ALICE, MALLORY = ("iss", "alice", "c"), ("iss", "mallory", "c")
SIGNER = Signer([b"0" * 32])
LARGE = 10**9


def binding(owner: tuple[str, str, str], used_at: float = NOW) -> Binding:
    return Binding(b"", ended=False, since=NOW, until=used_at + TTL_S, local=owner)


def add(bindings: Bindings, name: str, owner: tuple[str, str, str], now: float = NOW, *, stored: bool = False) -> bool:
    """As a check does that finds a session new."""
    return bindings.make_room(owner[:2], now, stored=stored) and bindings.add(name, binding(owner, now), owner[:2], now)


def names(bindings: Bindings, now: float = NOW) -> list[object]:
    return [name for name, _ in bindings.items(now)]


@pytest.mark.parametrize("stored", [False, True])
def test_at_its_bound_an_account_gets_no_new_session_and_others_do(*, stored: bool) -> None:
    bindings = Bindings(100, LARGE, 3)
    assert add(bindings, "mine", ALICE, stored=stored)
    assert [add(bindings, f"m{number}", MALLORY, stored=stored) for number in range(5)] == [True] * 3 + [False] * 2
    assert add(bindings, "mine-too", ALICE, stored=stored)
    assert names(bindings) == ["mine", "m0", "m1", "m2", "mine-too"]


def test_the_clients_of_one_user_share_an_account() -> None:
    bindings = Bindings(100, LARGE, 3)
    found = [add(bindings, f"s{number}", ("iss", "mallory", f"client-{number}")) for number in range(4)]
    assert found == [True, True, True, False]


@pytest.mark.parametrize(
    ("stored", "idle_s", "room"),
    [
        (True, IDLE_S, True),
        (True, IDLE_S - 1, False),
        (False, TTL_S - 1, False),
        (False, TTL_S, True),
    ],
)
def test_what_was_not_used_for_long_makes_room_where_a_store_has_it_too(
    *, stored: bool, idle_s: float, room: bool
) -> None:
    bindings = Bindings(100, LARGE, 2)
    assert add(bindings, "a", ALICE)
    assert add(bindings, "b", ALICE)
    assert add(bindings, "c", ALICE, NOW + idle_s, stored=stored) is room


def test_what_is_used_goes_after_what_is_not() -> None:
    bindings = Bindings(100, LARGE, 2)
    assert add(bindings, "a", ALICE)
    assert add(bindings, "b", ALICE)
    bindings.put("a", binding(ALICE, NOW + 10), NOW + 10 + TTL_S, ENTRY_BYTES)
    assert add(bindings, "c", ALICE, NOW + IDLE_S, stored=True)
    assert names(bindings) == ["a", "c"]


@pytest.mark.parametrize("bounds", [(6, LARGE), (LARGE, 6 * ENTRY_BYTES)], ids=["entries", "bytes"])
def test_without_a_store_nothing_goes_where_all_is_full(bounds: tuple[int, int]) -> None:
    bindings = Bindings(*bounds, 3)
    for number in range(3):
        assert add(bindings, f"a{number}", ALICE)
        assert add(bindings, f"m{number}", MALLORY)
    third = ("iss", "third", "c")
    assert not add(bindings, "t", third)
    assert len(bindings) == 6
    assert add(bindings, "t", third, NOW + TTL_S), "what has ended makes room"


@pytest.mark.parametrize("bounds", [(6, LARGE), (LARGE, 6 * ENTRY_BYTES)], ids=["entries", "bytes"])
def test_with_a_store_whoever_has_most_makes_room_where_all_is_full(bounds: tuple[int, int]) -> None:
    bindings = Bindings(*bounds, 5)
    assert add(bindings, "mine", ALICE, stored=True)
    for number in range(5):
        assert add(bindings, f"m{number}", MALLORY, stored=True)
    for number in range(3):
        assert add(bindings, f"t{number}", ("iss", f"user-{number}", "c"), stored=True)
    assert names(bindings) == ["mine", "m3", "m4", "t0", "t1", "t2"]


def test_a_session_that_another_brought_here_moves_to_its_owners_account() -> None:
    bindings = Bindings(100, LARGE, 2)
    found = Binding(b"alice".ljust(32), ended=False, since=NOW, until=NOW + TTL_S)
    assert bindings.add("a", found, MALLORY[:2], NOW)
    assert bindings.put_if_same("a", found, binding(ALICE), until=NOW + TTL_S, now=NOW, size_bytes=ENTRY_BYTES)
    assert add(bindings, "m0", MALLORY)
    assert add(bindings, "m1", MALLORY)
    assert add(bindings, "b", ALICE)
    assert not add(bindings, "c", ALICE)


def test_an_owner_without_room_uses_what_is_here_all_the_same() -> None:
    bindings = Bindings(100, LARGE, 1)
    assert add(bindings, "a", ALICE)
    found = Binding(b"alice".ljust(32), ended=False, since=NOW, until=NOW + TTL_S)
    assert bindings.add("b", found, MALLORY[:2], NOW)
    assert bindings.put_if_same("b", found, binding(ALICE), until=NOW + TTL_S, now=NOW, size_bytes=ENTRY_BYTES)
    assert names(bindings) == ["a", "b"]
    assert not add(bindings, "m", MALLORY)


def test_what_is_here_is_not_added_again_until_it_has_ended() -> None:
    bindings = Bindings(100, LARGE, 2)
    assert add(bindings, "a", ALICE)
    assert not bindings.add("a", binding(MALLORY), MALLORY[:2], NOW)
    assert bindings.add("a", binding(MALLORY, NOW + TTL_S), MALLORY[:2], NOW + TTL_S)


def test_nothing_is_kept_of_accounts_without_sessions() -> None:
    bindings = Bindings(2, LARGE, 2)
    for number in range(50):
        assert add(bindings, f"s{number}", ("iss", f"user-{number}", "c"), stored=True)
    assert (len(bindings), len(bindings._accounts)) == (2, 2)
    bindings.clear()
    assert (len(bindings), len(bindings._accounts), bindings.size_bytes) == (0, 0, 0)
    assert add(bindings, "s", ALICE)


def test_the_largest_account_is_known_through_any_changes() -> None:
    accounts = Accounts()
    sizes: dict[str, list[str]] = {who: [] for who in "abc"}
    for step, who in enumerate("aababcccccaab" * 3):
        grows = step % 5 != 4
        if grows or not sizes[who]:
            sizes[who].append(name := f"{who}{step}")
            accounts.add(name, (who,))
        else:
            accounts.remove(sizes[who].pop(0))
        assert accounts.size((who,)) == len(sizes[who])
        assert list(accounts.names((who,))) == sizes[who]
        assert accounts.size(accounts.largest()) == max(map(len, sizes.values()))


# A flood through the check procedure.


def flooded(bindings: Bindings, signer: Signer | None) -> World:
    where = World(signer=signer)
    where.shared_state = replace(where.shared_state, caches=replace(where.shared_state.caches, bindings=bindings))
    return where


def in_session(where: World, token: str, session: str) -> Seen:
    return where.ask(check_request(token=token, headers={"mcp-session-id": session}))


def ids(prefix: str) -> Iterator[str]:
    return (f"{prefix}-{number}" for number in range(200))


@pytest.mark.parametrize("signer", [None, SIGNER], ids=["alone", "with a store"])
def test_one_user_with_many_invented_ids_takes_no_session_of_another(signer: Signer | None) -> None:
    where = flooded(Bindings(30, LARGE, 10), signer)
    alice = mint()
    assert in_session(where, alice, "mine").allowed
    clients = [mint(sub="mallory", azp=client) for client in ("client-mcp", "client-other")]
    answers = [in_session(where, clients[number % 2], name) for number, name in enumerate(ids("m"))]
    assert sum(answer.allowed for answer in answers) == 10
    assert {(answer.reason, answer.status) for answer in answers[10:]} == {(Reason.SESSION_UNKNOWN, 404)}
    assert all("no room for another session" in answer.body["error"]["message"] for answer in answers[10:])
    assert in_session(where, clients[0], "mine").reason == Reason.SESSION_UNKNOWN
    assert in_session(where, alice, "mine").allowed
    assert in_session(where, alice, "mine-too").allowed
    assert in_session(where, clients[0], "m-0").allowed, "what was bound goes on"
    assert sum(key.startswith("binding:") for key in where.store) == (0 if signer is None else 12)


@pytest.mark.parametrize("signer", [None, SIGNER], ids=["alone", "with a store"])
def test_many_users_with_invented_ids_take_no_session_of_another(signer: Signer | None) -> None:
    """Together they fill all there is; each of them stays below its own bound."""
    where = flooded(Bindings(30, LARGE, 10), signer)
    assert in_session(where, mint(), "mine").allowed
    for user in range(6):
        token = mint(sub=f"mallory-{user}")
        for name in ids(f"m{user}"):
            in_session(where, token, name)
    assert in_session(where, mint(sub="mallory-0"), "mine").reason == Reason.SESSION_UNKNOWN
    assert in_session(where, mint(), "mine").allowed
    assert len(where.shared_state.caches.bindings) <= 30
