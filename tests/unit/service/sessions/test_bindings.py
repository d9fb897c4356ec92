"""Bindings are bounded by owner as well."""

from dataclasses import replace

from extauthz.service.sessions.bindings import Bindings
from extauthz.service.sessions.session_binding import Binding
from tests.support.checks import check_request
from tests.support.world import World, mint

ALICE, MALLORY = ("iss", "alice", "c"), ("iss", "mallory", "c")


def put(bindings: Bindings, name: str, owner: tuple[str, str, str], until: float = 100.0) -> None:
    bindings.put(name, Binding(b"", ended=False, since=1.0, until=until, local=owner), until, 10)


def test_beyond_its_share_an_owner_loses_its_own_oldest() -> None:
    bindings = Bindings(100, 10**6, 3)
    put(bindings, "mine", ALICE)
    for number in range(10):
        put(bindings, f"m{number}", MALLORY)
    assert [name for name, _ in bindings.items(1.0)] == ["mine", "m7", "m8", "m9"]


def test_the_bound_of_all_holds_as_before() -> None:
    bindings = Bindings(4, 10**6, 3)
    for number in range(3):
        put(bindings, f"a{number}", ALICE)
        put(bindings, f"m{number}", MALLORY)
    assert len(bindings) == 4


def test_what_ended_or_was_replaced_counts_no_more() -> None:
    bindings = Bindings(100, 10**6, 2)
    for _ in range(5):
        put(bindings, "a", ALICE)
    put(bindings, "b", ALICE, until=10.0)
    assert bindings.get("b", 11.0) is None
    put(bindings, "c", ALICE)
    put(bindings, "c", MALLORY)
    put(bindings, "d", ALICE)
    assert [name for name, _ in bindings.items(1.0)] == ["a", "c", "d"]
    bindings.clear()
    put(bindings, "e", ALICE)
    assert len(bindings) == 1


def test_an_entry_too_large_to_be_kept_leaves_no_trace() -> None:
    bindings = Bindings(100, 5, 2)
    put(bindings, "a", ALICE)
    assert (len(bindings), bindings._of) == (0, {})


def test_nothing_is_kept_of_owners_without_sessions() -> None:
    bindings = Bindings(2, 10**6, 2)
    for number in range(50):
        put(bindings, f"s{number}", ("iss", f"user-{number}", "c"))
    assert len(bindings._of) == 2


def test_one_principal_with_many_invented_ids_takes_no_session_of_another() -> None:
    where = World()
    few = Bindings(30, 10**6, 10)
    where.shared_state = replace(where.shared_state, caches=replace(where.shared_state.caches, bindings=few))
    mine = check_request(token=mint(), headers={"mcp-session-id": "mine"})
    assert where.ask(mine).allowed
    mallory = mint(sub="mallory")
    for number in range(200):
        assert where.ask(check_request(token=mallory, headers={"mcp-session-id": f"s{number}"})).allowed
    stolen = where.ask(check_request(token=mallory, headers={"mcp-session-id": "mine"}))
    assert stolen.reason == "session_unknown"
