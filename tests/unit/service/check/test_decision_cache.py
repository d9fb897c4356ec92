"""Tokens and decisions in memory and in the shared store over their life: early ends, rotation, replaced policies."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from extauthz.pdp.policy import CacheTerms, Introspection, Issuer, Policy, Sharing
from extauthz.pdp.reason import Reason
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.check.active_policy import EARLY
from extauthz.service.needs import Answer, Introspected, Need, NeedStored
from tests.support.checks import check_request
from tests.support.policies import policy, rule
from tests.support.world import CASDOOR, World, kinds, mint, weather

OLD, NEW = b"old secret, 32 bytes and longer!!", b"new secret, 32 bytes and longer!!"
GOOD = check_request(token=mint())
TTL_S = 60


def process(*secrets: bytes, like: World | None = None, at: float = 0.0) -> World:
    """A process with these secrets; one like another has its store and policy, and no keys of its own."""
    if like is None:
        return World(policy=policy(weather()), signer=Signer(secrets), random=lambda: at)
    return like.sibling(signer=Signer(secrets), keys=None, random=lambda: at)


def test_memory_forgets_in_the_last_tenth_of_the_life_and_never_later() -> None:
    ends = set()
    for seed in range(40):
        where = World(random=random.Random(seed).random)
        assert where.ask(GOOD).allowed
        last = 0
        for second in range(TTL_S + 1):
            where.now += 1
            if where.ask(GOOD).metadata["cache"] != "memory":
                last = second + 1
                break
        ends.add(last)
    assert min(ends) > TTL_S * (1 - EARLY)
    assert max(ends) <= TTL_S
    assert len(ends) > 3


def test_processes_that_learnt_from_one_entry_forget_at_moments_of_their_own_and_never_later_than_it_says() -> None:
    one = process(NEW)
    assert one.ask(GOOD).allowed
    for at, lasts_s in ((0.0, 60), (0.5, 57), (0.999, 54)):
        other = process(NEW, like=one, at=at)
        assert other.ask(GOOD).metadata["cache"] == "redis"
        other.store = {}
        other.now += lasts_s - 1
        assert other.ask(GOOD).allowed
        other.now += 2
        assert other.ask(GOOD).reason == Reason.KEYS_UNAVAILABLE


def test_an_entry_in_the_store_ends_no_later_than_the_ceiling_and_the_token() -> None:
    for at in (0.0, 0.999):
        for lifetime_s in (10, 3600):
            one = process(NEW, at=at)
            one.ask(check_request(token=mint(exp=int(one.now) + lifetime_s)))
            assert len(one.store) == 2
            for write in one.store.values():
                ends_in_s = int.from_bytes(write[1:9]) - one.now
                longest_s = min(TTL_S, lifetime_s)
                assert longest_s * (1 - EARLY) - 1 < ends_in_s <= longest_s


def test_rotation_of_the_secret_loses_no_entry() -> None:
    one = process(OLD)
    assert one.ask(GOOD).allowed
    assert process(OLD, NEW, like=one).ask(GOOD).metadata["cache"] == "redis"
    assert process(NEW, OLD, like=one).ask(GOOD).metadata["cache"] == "redis"


def test_an_entry_of_a_dropped_secret_is_a_miss() -> None:
    one = process(OLD)
    assert one.ask(GOOD).allowed
    assert process(NEW, like=one).ask(GOOD).reason == Reason.KEYS_UNAVAILABLE


def test_the_first_secret_signs() -> None:
    one = process(NEW, OLD)
    assert one.ask(GOOD).allowed
    assert process(NEW, like=one).ask(GOOD).metadata["cache"] == "redis"
    assert process(OLD, like=one).ask(GOOD).reason == Reason.KEYS_UNAVAILABLE


# A policy that is replaced.

STRICT = policy(weather(rules=(rule(["tools/call"], ["weather:write"], tools=["get_*"]),)), revision="2" * 16)
SAME_RULES = policy(weather(), revision="3" * 16)


def test_a_new_policy_leaves_nothing_of_the_old_one_in_memory() -> None:
    where = World(policy=policy(weather()))
    assert where.ask(GOOD).allowed
    where.policy = STRICT
    answer = where.ask(GOOD)
    assert (answer.reason, answer.metadata["cache"]) == (Reason.SCOPE_INSUFFICIENT, "none")


@pytest.mark.parametrize("changed", [STRICT, SAME_RULES], ids=["other rules", "the same rules"])
def test_a_new_policy_leaves_nothing_of_the_old_one_in_the_store(changed: Policy) -> None:
    one = process(NEW)
    assert one.ask(GOOD).allowed
    other = replace(process(NEW, like=one), policy=changed)
    assert other.ask(GOOD).reason == Reason.KEYS_UNAVAILABLE
    assert kinds(other.needs) == ["NeedStored", "NeedKeys"]


def test_the_old_policy_put_back_finds_what_it_decided() -> None:
    where = World(policy=policy(weather()))
    assert where.ask(GOOD).allowed
    where.policy, old = STRICT, where.policy
    assert not where.ask(GOOD).allowed
    where.policy = old
    assert where.ask(GOOD).metadata["cache"] == "memory"


# Where the store is asked at all.

INTROSPECTED = replace(CASDOOR, introspection=Introspection(client_id="gw", client_secret="s"))


def answered(where: World) -> Callable[[Need], Answer]:
    """An issuer that says yes, beside the world's own store."""
    return lambda need: where.store.get(need.key) if isinstance(need, NeedStored) else Introspected.ACTIVE


@pytest.mark.parametrize(
    ("shared", "issuer", "about"),
    [
        (Sharing.AUTO, CASDOOR, []),
        (Sharing.AUTO, INTROSPECTED, ["token"]),
        (Sharing.ALWAYS, CASDOOR, ["token", "decision"]),
        (Sharing.ALWAYS, INTROSPECTED, ["token", "decision"]),
        (Sharing.NEVER, CASDOOR, []),
        (Sharing.NEVER, INTROSPECTED, []),
    ],
)
def test_the_store_is_asked_and_told_where_that_pays_or_where_the_policy_says_so(
    shared: Sharing, issuer: Issuer, about: list[str]
) -> None:
    terms = CacheTerms(shared=shared)
    one = World(policy=policy(weather(issuers=(issuer,)), cache=terms), signer=Signer([NEW]))
    other = one.sibling()
    for where in (one, other):
        where.answer = answered(where)
        assert where.ask(GOOD).allowed
        asked = [need.key.partition(":")[0] for need in where.needs if isinstance(need, NeedStored)]
        assert asked == about
    assert [key.partition(":")[0] for key in one.store] == about
    assert ("NeedIntrospection" in kinds(other.needs)) is (issuer is INTROSPECTED and not about)


def test_without_a_word_in_the_policy_it_is_where_it_pays() -> None:
    assert CacheTerms().shared is Sharing.AUTO
