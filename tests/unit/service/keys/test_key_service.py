"""How key sets are obtained, in virtual time: one process, a fleet, rotation, failure, attack."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from extauthz.adapters.memory_store import MemoryStore
from extauthz.pdp.policy import CacheTerms, Issuer
from extauthz.pdp.token.jwks import KeySet
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.keys.key_service import FETCH_DEADLINE_S
from extauthz.service.keys.key_share import LEASE_S, KeyShare, SharedDocument
from extauthz.service.keys.keyring import MAX_RETRY_S, REFETCH_INTERVAL_S
from extauthz.service.needs import KeysCause, KeysUnavailable
from extauthz.service.ports import CacheKind, CacheResult, FetchResult, StoreUnavailable, Tier
from tests.support.clock import Clock, run
from tests.support.key_fleet import ISSUER, SECRET, Fleet, Recorder, Replica, ScriptedIssuer, document
from tests.support.tokens import SIGNING_KEYS, issuer

NOW = 1_800_000_000.0
HOUR_S = 3600.0
DAY_S = 86_400.0
TTL_S = 300.0

RS256 = SIGNING_KEYS["RS256"]
ROTATED = SIGNING_KEYS["rotate"]
ROTATED_TO = SIGNING_KEYS["rotate-new"]
SHARED = pytest.mark.parametrize("shared", [True, False], ids=["store", "alone"])


def in_virtual_time(main: Callable[[Clock], Coroutine[Any, Any, None]]) -> None:
    run(main, at=NOW)


def key_ids(answer: KeySet | KeysUnavailable) -> list[str]:
    assert isinstance(answer, KeySet), answer
    return [key.key_id for key in answer.keys]


# One process.


@SHARED
def test_the_first_need_is_met_by_a_fetch_and_the_next_from_memory(*, shared: bool) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1, shared=shared)
        (replica,) = fleet.replicas
        assert key_ids(await replica.ask(KeysCause.NONE_HELD)) == ["cert-rs256"]
        assert key_ids(await replica.ask(KeysCause.NONE_HELD)) == ["cert-rs256"]
        assert len(fleet.issuer.asked) == 1
        assert replica.observer.fetches == {FetchResult.OK: 1}

    in_virtual_time(main)


@SHARED
def test_a_hundred_needs_at_once_are_met_by_one_fetch(*, shared: bool) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1, shared=shared)
        answers = await asyncio.gather(*(fleet.replicas[0].ask(KeysCause.NONE_HELD) for _ in range(100)))
        assert {tuple(key_ids(answer)) for answer in answers} == {("cert-rs256",)}
        assert len(fleet.issuer.asked) == 1

    in_virtual_time(main)


@SHARED
def test_a_set_is_refreshed_ahead_of_expiry_without_any_request(*, shared: bool) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1, shared=shared)
        await fleet.warm()
        await fleet.tick(HOUR_S)
        assert HOUR_S / TTL_S <= len(fleet.issuer.asked) <= HOUR_S / TTL_S / 0.8 + 1
        ages = [state.age_s for state in fleet.replicas[0].ring.states(clock())]
        assert all(age is not None and age <= TTL_S + 1 for age in ages)

    in_virtual_time(main)


def test_warming_obtains_every_issuer_at_once_and_survives_one_that_is_down() -> None:
    async def main(clock: Clock) -> None:
        others = [issuer(name=f"i{n}", issuer=f"https://i{n}.test", jwks_uri="") for n in range(3)]
        fetcher = ScriptedIssuer(clock, document("RS256"))
        fetcher.takes_s = 1.0
        replica = Replica(clock, fetcher, None, issuers=others)
        await replica.service.warm(others)
        assert clock() - NOW == pytest.approx(1.0, abs=0.1)
        assert [state.keys for state in replica.ring.states(clock())] == [1, 1, 1]
        fetcher.fault = "down"
        await replica.service.warm([ISSUER])

    in_virtual_time(main)


def test_a_caller_that_gives_up_leaves_the_fetch_going_for_the_next() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        fleet.issuer.takes_s = 3.0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await fleet.replicas[0].ask(KeysCause.NONE_HELD)
        assert key_ids(await fleet.replicas[0].ask(KeysCause.NONE_HELD)) == ["cert-rs256"]
        assert clock() - NOW == pytest.approx(3.0, abs=0.1)
        assert len(fleet.issuer.asked) == 1

    in_virtual_time(main)


@SHARED
def test_a_fetch_ends_with_its_deadline_even_when_the_fetcher_does_not(*, shared: bool) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1, shared=shared)
        fleet.issuer.takes_s = HOUR_S
        answer = await fleet.replicas[0].ask(KeysCause.NONE_HELD)
        assert isinstance(answer, KeysUnavailable)
        assert "within 5 s" in answer.detail
        assert clock() - NOW == pytest.approx(FETCH_DEADLINE_S, abs=0.1)

    in_virtual_time(main)


def test_a_bug_in_the_fetcher_becomes_keys_unavailable_and_names_no_content() -> None:
    async def main(clock: Clock) -> None:
        class Broken(ScriptedIssuer):
            async def fetch(self, issuer: Issuer) -> bytes:
                raise KeyError("secret content")

        replica = Replica(clock, Broken(clock, b""), None)
        answer = await replica.ask(KeysCause.NONE_HELD)
        assert isinstance(answer, KeysUnavailable)
        assert "KeyError" in answer.detail
        assert "secret" not in answer.detail
        assert replica.observer.fetches == {FetchResult.FAILED: 1}

    in_virtual_time(main)


def test_while_a_failed_fetch_is_fresh_requests_are_answered_at_once() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        fleet.issuer.fault = "status 500"
        answers = [await fleet.replicas[0].ask(KeysCause.NONE_HELD) for _ in range(100)]
        assert answers == [KeysUnavailable("status 500")] * 100
        assert len(fleet.issuer.asked) == 1

    in_virtual_time(main)


def test_after_a_stopped_service_nothing_is_under_way() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        fleet.issuer.takes_s = 3.0
        caller = asyncio.ensure_future(fleet.replicas[0].ask(KeysCause.NONE_HELD))
        await asyncio.sleep(1)
        await fleet.replicas[0].service.close()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert asyncio.all_tasks() == {asyncio.current_task()}

    in_virtual_time(main)


# What counts as a key set.

NO_KEY_SETS = {
    "Casdoor's error with status 200": b'{"status":"error","msg":"Unauthorized operation","data":null}',
    "a web page": b"<!doctype html><title>Casdoor</title>",
    "an empty set": b'{"keys":[]}',
    "keys that cannot be used": b'{"keys":[{"kty":"oct","kid":"cert-rs256","k":"AAAA"}]}',
    "keys null": b'{"keys":null}',
    "nothing": b"",
    "half a set": document("RS256")[:-20],
    "a list": b"[]",
    "too large": b'{"keys":[],"x":"' + b"x" * 600_000 + b'"}',
}


@pytest.mark.parametrize("name", NO_KEY_SETS)
@SHARED
def test_what_is_no_key_set_replaces_nothing_and_is_not_shared(name: str, *, shared: bool) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=2, shared=shared)
        await fleet.warm()
        fleet.issuer.document = NO_KEY_SETS[name]
        await fleet.tick(3 * TTL_S)
        for replica in fleet.replicas:
            assert await replica.token("cert-rs256", RS256) is True
            assert replica.ring.states(clock())[0].last_fault != ""
            assert replica.observer.fetches[FetchResult.FAILED] > 0
        if shared:
            newcomer = Replica(clock, fleet.issuer, fleet.store, seed=9)
            assert await newcomer.token("cert-rs256", RS256) is True

    in_virtual_time(main)


@pytest.mark.parametrize("name", NO_KEY_SETS)
def test_what_is_no_key_set_is_no_first_set_either(name: str) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        fleet.issuer.document = NO_KEY_SETS[name]
        assert isinstance(await fleet.replicas[0].ask(KeysCause.NONE_HELD), KeysUnavailable)

    in_virtual_time(main)


# Rotation drills.


@SHARED
def test_a_new_kid_is_found_with_the_first_token_that_names_it(*, shared: bool) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=2, shared=shared)
        await fleet.warm()
        fleet.issuer.document = document("RS256", "rotate")
        fetches = len(fleet.issuer.asked)
        for replica in fleet.replicas:
            assert await replica.token("cert-rotate", ROTATED) is True
        assert len(fleet.issuer.asked) - fetches == (1 if shared else 2)

    in_virtual_time(main)


@SHARED
def test_the_same_kid_with_a_new_key_is_accepted_after_one_refetch_and_the_old_key_is_gone(*, shared: bool) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=2, shared=shared)
        fleet.issuer.document = document("rotate")
        await fleet.warm()
        assert await fleet.replicas[0].token("cert-rotate", ROTATED) is True
        fleet.issuer.document = document("rotate-new")
        for replica in fleet.replicas:
            assert await replica.token("cert-rotate", ROTATED_TO) is True
            assert await replica.token("cert-rotate", ROTATED) is False

    in_virtual_time(main)


@SHARED
def test_a_withdrawn_key_is_gone_within_the_time_to_live(*, shared: bool) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=2, shared=shared)
        fleet.issuer.document = document("RS256", "rotate")
        await fleet.warm()
        await fleet.tick(1000)
        fleet.issuer.document = document("RS256")
        await fleet.tick(TTL_S + 2)
        for replica in fleet.replicas:
            assert await replica.token("cert-rotate", ROTATED) is False
            assert await replica.token("cert-rs256", RS256) is True

    in_virtual_time(main)


@SHARED
def test_a_rotation_under_attack_is_seen_within_the_promised_window(*, shared: bool) -> None:
    """An attacker has just used up the refetch: a genuine new key waits for the next one, and no longer."""

    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=2, shared=shared)
        await fleet.warm()
        seen_after: list[float] = []
        for replica in fleet.replicas:
            assert await replica.token("invented", RS256) is False
        fleet.issuer.document = document("RS256", "rotate")
        rotated_at = clock()
        for replica in fleet.replicas:
            while await replica.token("cert-rotate", ROTATED) is not True:
                assert await replica.token("invented", RS256) is False
                await asyncio.sleep(0.5)
            seen_after.append(clock() - rotated_at)
        assert max(seen_after) <= REFETCH_INTERVAL_S + 1

    in_virtual_time(main)


def test_a_replica_that_came_second_may_fetch_as_soon_as_the_fleet_may() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=2)
        first, second = fleet.replicas
        await fleet.warm()
        assert await first.token("invented", RS256) is False
        await asyncio.sleep(REFETCH_INTERVAL_S - 2)
        assert await second.token("invented", RS256) is False  # adopts what `first` fetched
        await asyncio.sleep(1)
        assert await second.token("invented", RS256) is False  # finds the fleet's fetch used up
        fleet.issuer.document = document("RS256", "rotate")
        await asyncio.sleep(1.1)
        assert await second.token("cert-rotate", ROTATED) is True

    in_virtual_time(main)


@SHARED
def test_an_issuer_down_for_an_hour_is_not_noticed_by_callers_and_found_again_when_it_is_back(*, shared: bool) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=2, shared=shared)
        await fleet.warm()
        await fleet.tick(HOUR_S)
        fleet.issuer.fault = "connection refused"
        for _ in range(60):
            await fleet.tick(60)
            for replica in fleet.replicas:
                assert await replica.token("cert-rs256", RS256) is True
        down_since = clock()
        fleet.issuer.fault = None
        fleet.issuer.document = document("RS256", "rotate")
        await fleet.tick(MAX_RETRY_S + LEASE_S + 2)
        assert max(fleet.issuer.asked_at) > down_since
        for replica in fleet.replicas:
            assert replica.ring.states(clock())[0].last_fault == ""
            assert await replica.token("cert-rotate", ROTATED) is True

    in_virtual_time(main)


def test_an_issuer_that_is_down_is_asked_by_the_fleet_at_most_once_per_lease() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=5)
        await fleet.warm()
        fleet.issuer.fault = "connection refused"
        fleet.issuer.asked_at.clear()
        await fleet.tick(3 * TTL_S)
        assert fleet.issuer.most_in_a_window(LEASE_S - 0.1) == 1

    in_virtual_time(main)


@SHARED
def test_an_issuer_down_for_longer_than_the_ceiling_makes_keys_unavailable(*, shared: bool) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1, shared=shared)
        (replica,) = fleet.replicas
        await fleet.warm()
        fleet.issuer.fault = "connection refused"
        await asyncio.sleep(DAY_S - 10)
        await replica.service.refresh_due()
        assert await replica.token("cert-rs256", RS256) is True
        await asyncio.sleep(11)
        assert await replica.token("cert-rs256", RS256) is None
        assert await replica.ask(KeysCause.NONE_HELD) == KeysUnavailable("connection refused")
        fleet.issuer.fault = None
        await fleet.tick(MAX_RETRY_S + 1)
        assert await replica.token("cert-rs256", RS256) is True

    in_virtual_time(main)


def test_the_ceiling_is_the_policys() -> None:
    async def main(clock: Clock) -> None:
        fetcher = ScriptedIssuer(clock, document("RS256"))
        replica = Replica(clock, fetcher, None, terms=CacheTerms(jwks_ttl_s=60, jwks_max_stale_s=600))
        await replica.service.warm([ISSUER])
        fetcher.fault = "down"
        await asyncio.sleep(601)
        assert await replica.token("cert-rs256", RS256) is None

    in_virtual_time(main)


# Attack.


@pytest.mark.parametrize("cause", [KeysCause.UNKNOWN_KEY, KeysCause.BAD_SIGNATURE])
def test_ten_thousand_bad_tokens_cause_one_fetch_per_30_s_for_the_fleet(cause: KeysCause) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=2)
        await fleet.warm()
        fleet.issuer.asked_at.clear()

        async def flood(replica: Replica) -> None:
            for number in range(10_000):
                kid = "cert-rs256" if cause is KeysCause.BAD_SIGNATURE else f"invented-{number}"
                assert await replica.token(kid, SIGNING_KEYS["attacker"]) is False
                assert await replica.token("cert-rs256", RS256) is True
                await asyncio.sleep(0.02)

        await asyncio.gather(*(flood(replica) for replica in fleet.replicas))
        elapsed = clock() - NOW
        assert elapsed > 200
        assert fleet.issuer.most_in_a_window(REFETCH_INTERVAL_S - 0.01) == 1
        assert len(fleet.issuer.asked_at) >= elapsed // (2 * REFETCH_INTERVAL_S)

    in_virtual_time(main)


def test_ten_thousand_bad_tokens_at_once_cause_one_fetch() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=2)
        await fleet.warm()
        fleet.issuer.asked.clear()
        tokens = (
            fleet.replicas[number % 2].token(f"invented-{number}", SIGNING_KEYS["attacker"]) for number in range(10_000)
        )
        assert set(await asyncio.gather(*tokens)) == {False}
        assert len(fleet.issuer.asked) == 1

    in_virtual_time(main)


def test_alone_a_process_keeps_to_one_fetch_per_30_s() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1, shared=False)
        await fleet.warm()
        fleet.issuer.asked_at.clear()
        for number in range(2000):
            assert await fleet.replicas[0].token(f"invented-{number}", SIGNING_KEYS["attacker"]) is False
            await asyncio.sleep(0.1)
        assert fleet.issuer.most_in_a_window(REFETCH_INTERVAL_S - 0.01) == 1
        assert len(fleet.issuer.asked_at) == 7

    in_virtual_time(main)


@SHARED
def test_attempts_that_fail_count_as_well(*, shared: bool) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=2, shared=shared)
        await fleet.warm()
        fleet.issuer.fault = "status 500"
        fleet.issuer.asked_at.clear()
        for number in range(500):
            for replica in fleet.replicas:
                assert await replica.token(f"invented-{number}", SIGNING_KEYS["attacker"]) is False
            await asyncio.sleep(0.1)
        assert fleet.issuer.most_in_a_window(REFETCH_INTERVAL_S - 0.01) == (1 if shared else 2)

    in_virtual_time(main)


def test_a_slow_issuer_holds_up_no_good_token() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        (replica,) = fleet.replicas
        await fleet.warm()
        fleet.issuer.takes_s = 4.0
        attacks = [asyncio.ensure_future(replica.token(f"x{number}", RS256)) for number in range(100)]
        await asyncio.sleep(1)
        before = clock()
        assert await replica.token("cert-rs256", RS256) is True
        assert clock() == before
        assert set(await asyncio.gather(*attacks)) == {False}

    in_virtual_time(main)


def test_a_clock_set_back_an_hour_does_not_stop_refreshing() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        await fleet.warm()
        clock.set_back(HOUR_S)
        fleet.issuer.document = document("RS256", "rotate")
        await fleet.tick(2)
        assert await fleet.replicas[0].token("cert-rotate", ROTATED) is True

    in_virtual_time(main)


# The fleet.


def test_many_replicas_starting_at_once_cause_one_fetch() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=8)
        fleet.issuer.takes_s = 2.0
        await fleet.warm()
        assert len(fleet.issuer.asked) == 1
        for replica in fleet.replicas:
            assert await replica.token("cert-rs256", RS256) is True
        shared = sum(replica.observer.fetches[FetchResult.SHARED] for replica in fleet.replicas)
        assert shared == 7

    in_virtual_time(main)


def test_a_fleet_refreshes_with_one_fetch_per_life_of_a_set() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=8)
        await fleet.warm()
        await fleet.tick(HOUR_S)
        assert len(fleet.issuer.asked) <= HOUR_S / (0.8 * TTL_S) + 1
        for replica in fleet.replicas:
            age = replica.ring.states(clock())[0].age_s
            assert age is not None
            assert age <= TTL_S + 2

    in_virtual_time(main)


def test_a_newcomer_starts_from_the_store_without_a_fetch_even_while_the_issuer_is_down() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        await fleet.warm()
        fleet.issuer.fault = "down"
        newcomer = Replica(clock, fleet.issuer, fleet.store, seed=9)
        assert await newcomer.token("cert-rs256", RS256) is True
        assert len(fleet.issuer.asked) == 1
        assert newcomer.observer.look_ups == [(Tier.REDIS, CacheKind.JWKS, CacheResult.HIT)]

    in_virtual_time(main)


def test_a_newcomer_takes_a_stale_document_only_after_a_fetch_has_failed() -> None:
    """A withdrawn key must not come back with whoever starts, least of all by an entry put back by an attacker."""

    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        fleet.issuer.document = document("RS256", "rotate")
        await fleet.warm()
        await asyncio.sleep(TTL_S + 1)
        fleet.issuer.document = document("RS256")
        newcomer = Replica(clock, fleet.issuer, fleet.store, seed=9)
        assert await newcomer.token("cert-rotate", ROTATED) is False
        assert await newcomer.token("cert-rs256", RS256) is True

        await asyncio.sleep(TTL_S + 1)
        fleet.issuer.fault = "down"
        later = Replica(clock, fleet.issuer, fleet.store, seed=10)
        assert await later.token("cert-rs256", RS256) is True
        assert later.ring.states(clock())[0].last_fault == "down"

    in_virtual_time(main)


def test_a_store_that_lost_everything_gets_the_held_set_back_while_the_issuer_is_down() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        await fleet.warm()
        fleet.issuer.fault = "down"
        await fleet.store.close()
        await fleet.tick(TTL_S + MAX_RETRY_S)
        newcomer = Replica(clock, fleet.issuer, fleet.store, seed=9)
        assert await newcomer.token("cert-rs256", RS256) is True
        age = newcomer.ring.states(clock())[0].age_s
        assert age is not None
        assert age > TTL_S

    in_virtual_time(main)


def test_a_lease_holder_that_dies_delays_the_others_no_longer_than_its_lease() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=4)
        doomed, *others = fleet.replicas
        fleet.issuer.takes_s = 4.0
        dying = asyncio.ensure_future(doomed.ask(KeysCause.NONE_HELD))
        await asyncio.sleep(1)
        await doomed.service.close()
        dying.cancel()
        fleet.issuer.takes_s = 0.02
        waiting = [asyncio.ensure_future(other.token("cert-rs256", RS256)) for other in others]
        assert await asyncio.gather(*waiting) == [True, True, True]
        assert clock() - NOW <= LEASE_S + 1
        assert len(fleet.issuer.asked) == 2

    in_virtual_time(main)


def test_a_replica_that_waits_in_vain_says_why() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=3)
        fleet.issuer.fault = "connection refused"
        answers = await asyncio.gather(*(replica.ask(KeysCause.NONE_HELD) for replica in fleet.replicas))
        details = {answer.detail for answer in answers if isinstance(answer, KeysUnavailable)}
        assert len(answers) == 3
        assert details == {
            "connection refused",
            "another replica has been fetching the keys without success: see its log",
        }
        assert len(fleet.issuer.asked) <= 3

    in_virtual_time(main)


def test_a_process_frozen_in_its_fetch_does_not_overwrite_what_its_successor_published() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        thaw = asyncio.Event()

        class Frozen(ScriptedIssuer):
            async def fetch(self, issuer: Issuer) -> bytes:
                await thaw.wait()
                return self.document

        frozen = Replica(clock, Frozen(clock, document("RS256", "rotate")), fleet.store, seed=9)
        flight = asyncio.ensure_future(frozen.ask(KeysCause.NONE_HELD))
        await asyncio.sleep(0.1)
        # The wall clock goes on; the frozen process's own timers do not.
        clock.set_back(-2 * LEASE_S)
        await asyncio.sleep(2)
        fleet.issuer.document = document("RS256")
        (key,) = await entries(fleet)
        await fleet.store.put(key, b"ended", 0)
        await fleet.warm()
        thaw.set()
        await flight
        newcomer = Replica(clock, fleet.issuer, fleet.store, seed=10)
        assert await newcomer.token("cert-rotate", ROTATED) is False

    in_virtual_time(main)


def test_sets_of_different_issuers_never_meet_in_the_store() -> None:
    async def main(clock: Clock) -> None:
        other = issuer(name="other", issuer="https://other.test")
        assert other.jwks_uri == ISSUER.jwks_uri
        fleet = Fleet(clock, replicas=2)
        await fleet.replicas[0].ask(KeysCause.NONE_HELD)
        fleet.issuer.document = document("RS512")
        assert key_ids(await fleet.replicas[1].ask(KeysCause.NONE_HELD, other)) == ["cert-rs512"]
        assert key_ids(await fleet.replicas[1].ask(KeysCause.NONE_HELD)) == ["cert-rs256"]

    in_virtual_time(main)


# A store that fails, and one that lies.


class Unreachable:
    """A store that is always away."""

    async def get(self, key: str) -> bytes | None:
        raise StoreUnavailable(key)

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        raise StoreUnavailable(key)

    async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bytes:
        raise StoreUnavailable(key)

    async def delete_if_equal(self, key: str, value: bytes) -> None:
        raise StoreUnavailable(key)


def test_with_the_store_away_each_process_goes_on_alone() -> None:
    async def main(clock: Clock) -> None:
        fetcher = ScriptedIssuer(clock, document("RS256"))
        replicas = [Replica(clock, fetcher, Unreachable(), seed=number) for number in range(2)]
        for replica in replicas:
            assert await replica.token("cert-rs256", RS256) is True
        fetcher.asked_at.clear()
        for number in range(1000):
            for replica in replicas:
                assert await replica.token(f"invented-{number}", RS256) is False
            await asyncio.sleep(0.1)
        assert fetcher.most_in_a_window(REFETCH_INTERVAL_S - 0.01) == len(replicas)
        assert {result for _, _, result in replicas[0].observer.look_ups} == {CacheResult.UNAVAILABLE}

    in_virtual_time(main)


@pytest.mark.parametrize("arrived", [True, False])
def test_a_claim_that_is_answered_too_late_is_made_again_so_that_still_one_process_fetches(*, arrived: bool) -> None:
    """On a busy machine the store misses a deadline now and then; the claim may have arrived all the same."""

    async def main(clock: Clock) -> None:
        class Late(MemoryStore):
            def __init__(self) -> None:
                super().__init__(clock=clock)
                self.made: Counter[bytes] = Counter()

            async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bytes:
                self.made[value] += 1
                in_time = self.made[value] == 3
                standing = await super().put_if_absent(key, value, ttl_s) if in_time or arrived else b""
                if not in_time:
                    raise StoreUnavailable(key)
                return standing

        fetcher = ScriptedIssuer(clock, document("RS256"))
        store = Late()
        replicas = [Replica(clock, fetcher, store, seed=number) for number in range(2)]
        await asyncio.gather(*(replica.token("cert-rs256", RS256) for replica in replicas))
        assert len(fetcher.asked_at) == 1
        await asyncio.sleep(1)
        await asyncio.gather(*(replica.token("invented", RS256) for replica in replicas))
        assert len(fetcher.asked_at) == 2

    in_virtual_time(main)


def test_who_claims_after_another_has_published_takes_that_and_fetches_nothing() -> None:
    async def main(clock: Clock) -> None:
        class SlowToClaim(MemoryStore):
            claims = 0

            async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bytes:
                self.claims += 1
                await asyncio.sleep(self.claims - 1)
                return await super().put_if_absent(key, value, ttl_s)

        fetcher = ScriptedIssuer(clock, document("RS256"))
        store = SlowToClaim(clock=clock)
        one, other = (Replica(clock, fetcher, store, seed=number) for number in range(2))
        slow = asyncio.gather(one.token("cert-rs256", RS256), other.token("cert-rs256", RS256))
        assert await slow == [True, True]
        assert len(fetcher.asked_at) == 1
        assert not [key for key in store._entries if key.startswith("jwks-lease:")]

    in_virtual_time(main)


def test_nobody_waits_for_a_fetch_whose_outcome_is_held_already() -> None:
    """What was found in the store may be looked past a second later, while the fetch that gave it is the last."""

    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=2)
        one, other = fleet.replicas
        await fleet.warm()
        await asyncio.sleep(1)
        assert await one.token("invented", RS256) is False
        assert await other.token("invented", RS256) is False
        await asyncio.sleep(2)
        asked, before = len(fleet.issuer.asked), clock()
        assert await other.token("invented-too", RS256) is False
        assert (len(fleet.issuer.asked), clock()) == (asked, before)

    in_virtual_time(main)


def test_a_store_that_goes_away_while_another_is_waited_for_does_not_delay_further() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=2)
        first, second = fleet.replicas
        fleet.issuer.takes_s = 4.0
        others = asyncio.ensure_future(first.ask(KeysCause.NONE_HELD))
        await asyncio.sleep(0.1)
        fleet.issuer.takes_s = 0.02
        waiting = asyncio.ensure_future(second.token("cert-rs256", RS256))
        await asyncio.sleep(0.5)
        second.service._share._store = Unreachable()  # type: ignore[union-attr]  # the store's way to fail, in this test's hands
        assert await waiting is True
        assert clock() - NOW < 1.0
        await others

    in_virtual_time(main)


async def entries(fleet: Fleet) -> dict[str, bytes]:
    return {key: value for key, (value, _) in fleet.store._entries.items()}


@pytest.mark.parametrize("how", ["tampered", "truncated", "foreign secret", "swapped", "garbage", "expired"])
def test_an_entry_that_is_not_ours_is_a_miss(how: str) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        await fleet.warm()
        if how == "foreign secret":
            stranger = Replica(clock, ScriptedIssuer(clock, document("attacker")), fleet.store, secret=b"f" * 32)
            await fleet.store.close()
            await stranger.service.warm([ISSUER])
        (key,) = [key for key in await entries(fleet) if key.startswith("jwks:")]
        value = (await entries(fleet))[key]
        other = issuer(name="other", issuer="https://other.test")
        if how == "swapped":
            await fleet.replicas[0].ask(KeysCause.NONE_HELD, other)
            (value,) = [v for k, v in (await entries(fleet)).items() if k.startswith("jwks:") and k != key]
        changed = {
            "tampered": value[:-40] + bytes([value[-40] ^ 1]) + value[-39:],
            "truncated": value[:-1],
            "garbage": b"\x01" * 300,
        }.get(how, value)
        await fleet.store.put(key, changed, 10 * DAY_S)
        if how == "expired":
            await asyncio.sleep(DAY_S + 1)
        fleet.issuer.document = document("RS512")
        newcomer = Replica(clock, fleet.issuer, fleet.store, seed=9)
        assert key_ids(await newcomer.ask(KeysCause.NONE_HELD)) == ["cert-rs512"]
        assert newcomer.observer.look_ups == [(Tier.REDIS, CacheKind.JWKS, CacheResult.INVALID)]

    in_virtual_time(main)


def test_a_genuine_entry_that_is_no_key_set_to_this_release_is_passed_over() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        share = KeyShare(fleet.store, Signer([SECRET]), Recorder(), lambda: 0.5)
        await share.publish(ISSUER, SharedDocument(document=b'{"keys":"elsewhere"}', fetched_at=NOW), NOW, DAY_S)
        assert await fleet.replicas[0].token("cert-rs256", RS256) is True

    in_virtual_time(main)


def test_a_store_that_takes_no_writes_changes_nothing_for_its_writer() -> None:
    async def main(clock: Clock) -> None:
        class Full(MemoryStore):
            async def put(self, key: str, value: bytes, ttl_s: float) -> None:
                if key.startswith("jwks:"):
                    raise StoreUnavailable(key)
                await super().put(key, value, ttl_s)

            async def delete_if_equal(self, key: str, value: bytes) -> None:
                raise StoreUnavailable(key)

        fetcher = ScriptedIssuer(clock, document("RS256"))
        replica = Replica(clock, fetcher, Full(clock=clock))
        assert await replica.token("cert-rs256", RS256) is True
        assert replica.observer.fetches == {FetchResult.OK: 1}

    in_virtual_time(main)


@pytest.mark.parametrize("missed", ["the look before", "the writing"])
def test_a_set_that_the_store_missed_is_published_again_so_that_others_need_not_fetch(missed: str) -> None:
    async def main(clock: Clock) -> None:
        class Busy(MemoryStore):
            def __init__(self) -> None:
                super().__init__(clock=clock)
                self.looks = 0
                self.busy = True

            async def get(self, key: str) -> bytes | None:
                self.looks += key.startswith("jwks:")
                if self.busy and missed == "the look before" and self.looks > 1:
                    raise StoreUnavailable(key)
                return await super().get(key)

            async def put(self, key: str, value: bytes, ttl_s: float) -> None:
                if self.busy and key.startswith("jwks:"):
                    raise StoreUnavailable(key)
                await super().put(key, value, ttl_s)

        fetcher = ScriptedIssuer(clock, document("RS256"))
        store = Busy()
        first, second = (Replica(clock, fetcher, store, seed=number) for number in range(2))
        assert await first.token("cert-rs256", RS256) is True
        await first.tick(2)
        store.busy = False
        await first.tick(2)
        assert await second.token("cert-rs256", RS256) is True
        assert len(fetcher.asked_at) == 1

    in_virtual_time(main)


def test_a_set_that_the_store_never_takes_is_not_offered_for_ever() -> None:
    async def main(clock: Clock) -> None:
        class Full(MemoryStore):
            offers = 0

            async def put(self, key: str, value: bytes, ttl_s: float) -> None:
                self.offers += key.startswith("jwks:")
                raise StoreUnavailable(key)

        store = Full(clock=clock)
        replica = Replica(clock, ScriptedIssuer(clock, document("RS256")), store)
        assert await replica.token("cert-rs256", RS256) is True
        await replica.tick(2 * REFETCH_INTERVAL_S)
        offers = store.offers
        assert 1 < offers <= REFETCH_INTERVAL_S + 2
        await replica.tick(REFETCH_INTERVAL_S)
        assert store.offers == offers

    in_virtual_time(main)


def test_an_old_document_put_back_by_an_attacker_replaces_nothing() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=2)
        fleet.issuer.document = document("RS256", "rotate")
        await fleet.warm()
        old = {key: value for key, value in (await entries(fleet)).items() if key.startswith("jwks:")}
        fleet.issuer.document = document("RS256")
        await fleet.tick(TTL_S + 2)
        for _ in range(100):
            for key, value in old.items():
                await fleet.store.put(key, value, DAY_S)
            await fleet.tick(2)
            for replica in fleet.replicas:
                assert await replica.token("cert-rotate", ROTATED) is False

    in_virtual_time(main)


@pytest.mark.parametrize("kind", ["jwks-lease", "jwks-refetch"])
def test_a_forged_claim_stops_nobody(kind: str) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        await fleet.warm()
        fleet.issuer.document = document("RS256", "rotate")
        assert await fleet.replicas[0].token("cert-rotate", ROTATED) is True
        keys = set(await entries(fleet))
        for key in keys:
            if not key.startswith("jwks:"):
                await fleet.store.put(key, b"\x01 forged by whoever can write to Redis", 10 * DAY_S)
        lease = next(key for key in keys if key.startswith("jwks:")).replace("jwks:", f"{kind}:")
        await fleet.store.put(lease, b"\x01 forged", 10 * DAY_S)
        fleet.issuer.document = document("RS256", "RS512")
        await asyncio.sleep(REFETCH_INTERVAL_S)
        assert await fleet.replicas[0].token("cert-rs512", SIGNING_KEYS["RS512"]) is True

    in_virtual_time(main)


def test_a_genuine_claim_replayed_for_ever_stops_nobody_for_longer_than_its_time() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        await fleet.warm()
        assert await fleet.replicas[0].token("invented", RS256) is False
        for key, value in (await entries(fleet)).items():
            if key.startswith("jwks-refetch:"):
                await fleet.store.put(key, value, 10 * DAY_S)
        await asyncio.sleep(REFETCH_INTERVAL_S + 1)
        fleet.issuer.document = document("RS256", "rotate")
        assert await fleet.replicas[0].token("cert-rotate", ROTATED) is True

    in_virtual_time(main)


def test_nothing_of_an_issuer_or_a_key_stands_in_a_store_key() -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        await fleet.warm()
        await fleet.replicas[0].token("invented", RS256)
        keys = set(await entries(fleet))
        assert {key.partition(":")[0] for key in keys} == {"jwks", "jwks-refetch"}
        assert all(len(key.partition(":")[2]) == 64 for key in keys)

    in_virtual_time(main)


# One test per published advisory that is about key sets.


def test_cve_2026_31837_istio_without_keys_nothing_is_accepted() -> None:
    """A failed first fetch falls back to no built-in set: every key that anybody knows is refused."""

    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        fleet.issuer.fault = "status 500"
        for name in ("RS256", "RS512", "rotate", "attacker"):
            assert await fleet.replicas[0].token(SIGNING_KEYS[name].kid, SIGNING_KEYS[name]) is None

    in_virtual_time(main)


def test_cve_2026_49998_centrifugo_one_issuers_key_never_answers_for_anothers() -> None:
    async def main(clock: Clock) -> None:
        victim = replace(ISSUER, name="victim", issuer="https://victim.test", jwks_uri="https://victim.test/jwks")
        fleet = Fleet(clock, replicas=1)
        (replica,) = fleet.replicas
        fleet.issuer.document = document(**{"cert-rs256": "attacker"})
        assert await replica.token("cert-rs256", SIGNING_KEYS["attacker"]) is True
        fleet.issuer.document = document("RS256")
        assert await replica.token("cert-rs256", SIGNING_KEYS["attacker"], victim) is False
        assert await replica.token("cert-rs256", RS256, victim) is True

    in_virtual_time(main)


def test_cve_2026_32301_only_issuers_of_the_policy_are_ever_asked() -> None:
    """A need carries an `Issuer` of the policy; there is no way from a token's own `iss` to a URL."""

    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1)
        await fleet.warm()
        await fleet.replicas[0].token("https://attacker.test/jwks", SIGNING_KEYS["attacker"])
        await fleet.tick(HOUR_S)
        assert set(fleet.issuer.asked) == {ISSUER}

    in_virtual_time(main)


@SHARED
def test_cve_2026_48524_pyjwt_an_unknown_kid_neither_forces_a_second_fetch_nor_empties_what_is_held(
    *, shared: bool
) -> None:
    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1, shared=shared)
        (replica,) = fleet.replicas
        await fleet.warm()
        fleet.issuer.fault = "status 500"
        fleet.issuer.asked.clear()
        for number in range(100):
            assert await replica.token(f"invented-{number}", RS256) is False
            assert await replica.token("cert-rs256", RS256) is True
        assert len(fleet.issuer.asked) == 1

    in_virtual_time(main)


@SHARED
def test_go_oidc_482_tilegroxy_883_meho_3484_no_way_to_a_fetch_goes_round_the_interval(*, shared: bool) -> None:
    """Every cause of a token's making, in any mixture and while refreshes go on, counts against the one interval."""

    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1, shared=shared)
        (replica,) = fleet.replicas
        await fleet.warm()
        refreshes = asyncio.ensure_future(replica.tick(600))
        token_fetches: list[float] = []
        while not refreshes.done():
            for cause in (KeysCause.UNKNOWN_KEY, KeysCause.BAD_SIGNATURE, KeysCause.NONE_HELD):
                before = len(fleet.issuer.asked)
                due = replica.ring.due(ISSUER, clock())
                await replica.ask(cause)
                if len(fleet.issuer.asked) > before and not due:
                    token_fetches.append(clock())
            await asyncio.sleep(0.25)
        gaps = [later - sooner for sooner, later in pairwise(token_fetches)]
        assert token_fetches
        assert min(gaps) >= REFETCH_INTERVAL_S - 0.1

    in_virtual_time(main)


@SHARED
def test_mobula_28_a_set_without_keys_switches_no_limit_off(*, shared: bool) -> None:
    """The cooldown held only while there were keys: an issuer that published none was asked for every token."""

    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1, shared=shared)
        fleet.issuer.document = b'{"keys":[]}'
        for number in range(1000):
            assert await fleet.replicas[0].token(f"invented-{number}", RS256) is None
            await asyncio.sleep(0.1)
        assert fleet.issuer.most_in_a_window(REFETCH_INTERVAL_S) <= 7

    in_virtual_time(main)


@SHARED
def test_cosmo_2216_the_limiter_blocks_no_caller(*, shared: bool) -> None:
    """Who may not fetch is answered at once from what is held, and does not wait for its turn."""

    async def main(clock: Clock) -> None:
        fleet = Fleet(clock, replicas=1, shared=shared)
        (replica,) = fleet.replicas
        await fleet.warm()
        assert await replica.token("invented", RS256) is False
        before = clock()
        for number in range(1000):
            assert key_ids(await replica.ask(KeysCause.UNKNOWN_KEY)) == ["cert-rs256"]
            assert await replica.token(f"invented-{number}", RS256) is False
        assert clock() == before

    in_virtual_time(main)
