"""What holding a scope amounts to."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from extauthz.config.policy_file.scope_closure import closures, cycles

GRAPHS = st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=4), max_size=8)


def test_includes_are_followed_to_the_end() -> None:
    assert closures({"admin": ["write"], "write": ["read"], "read": []}) == {
        "admin": {"admin", "write", "read"},
        "write": {"write", "read"},
        "read": {"read"},
    }


def test_a_cycle_is_told_once_with_its_way() -> None:
    assert cycles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == (("a", "b", "c", "a"),)


def test_each_of_several_cycles_is_told() -> None:
    assert cycles({"a": ["a"], "b": ["c"], "c": ["b"]}) == (("a", "a"), ("b", "c", "b"))


def test_a_diamond_is_no_cycle() -> None:
    assert cycles({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}) == ()


def test_a_long_chain_needs_no_recursion() -> None:
    chain = {str(n): [str(n + 1)] for n in range(20_000)} | {"20000": ["19999"]}
    assert cycles({name: chain[name] for name in ("19999", "20000")}) == (("19999", "20000", "19999"),)
    assert len(closures({name: chain[name] for name in list(chain)[-300:]})["19701"]) == 300


@given(GRAPHS)
def test_a_scope_amounts_to_itself(includes: dict[str, list[str]]) -> None:
    assert all(scope in below for scope, below in closures(includes).items())


@given(GRAPHS)
def test_closures_are_closed(includes: dict[str, list[str]]) -> None:
    found = closures(includes)
    for below in found.values():
        assert all(found[scope] <= below for scope in below)


@given(GRAPHS)
def test_closures_hold_only_what_includes_lead_to(includes: dict[str, list[str]]) -> None:
    found = closures(includes)
    for scope, below in found.items():
        reasons = {scope} | {included for holder in below for included in includes[holder]}
        assert below <= reasons


@given(GRAPHS, st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh"))
def test_one_more_include_takes_nothing_away(includes: dict[str, list[str]], holder: str, included: str) -> None:
    before = closures(includes)
    after = closures({**includes, holder: [*includes.get(holder, []), included]})
    assert all(below <= after[scope] for scope, below in before.items())


@given(GRAPHS)
def test_there_is_a_cycle_exactly_when_a_scope_can_be_reached_from_itself(includes: dict[str, list[str]]) -> None:
    found = closures(includes)
    reached = {scope for scope in found if any(scope in found.get(below, ()) for below in includes[scope])}
    told = {scope for way in cycles(includes) for scope in way}
    assert told <= reached
    assert bool(told) == bool(reached)
    for way in cycles(includes):
        assert way[0] == way[-1]
        assert all(below in includes[above] for above, below in pairwise(way))
