"""What a process holds of key sets, and its timetable."""

import threading
from dataclasses import replace

import pytest

from extauthz.pdp.policy import CacheTerms, Issuer
from extauthz.pdp.token.jwks import KeySet, parse_key_set
from extauthz.service.keys.keyring import (
    CLOCK_STEP_S,
    FIRST_RETRY_S,
    MAX_RETRY_S,
    REFETCH_INTERVAL_S,
    KeyRing,
)
from extauthz.service.ports import KeySetState
from tests.support.key_fleet import document
from tests.support.tokens import issuer

NOW = 1_800_000_000.0
DAY_S = 86_400.0
TERMS = CacheTerms(jwks_ttl_s=300, jwks_max_stale_s=86_400)
ONE = issuer()
OTHER = issuer(name="other", issuer="https://other.test", jwks_uri="https://other.test/jwks")


def key_set(*names: str) -> KeySet:
    parsed = parse_key_set(document(*names))
    assert isinstance(parsed, KeySet)
    return parsed


def ring(*issuers: Issuer, random: float = 0.0, terms: CacheTerms = TERMS) -> KeyRing:
    return KeyRing(issuers or (ONE, OTHER), terms, lambda: random)


def stocked(random: float = 0.0) -> KeyRing:
    made = ring(random=random)
    made.adopt(ONE, key_set("RS256"), NOW)
    return made


# What is held.


def test_an_empty_ring_holds_nothing_and_wants_everything() -> None:
    assert ring().held(ONE, NOW) is None
    assert ring().due(ONE, NOW)
    assert ring().may_refetch(ONE, NOW)


def test_what_was_adopted_is_held() -> None:
    assert stocked().held(ONE, NOW) == key_set("RS256")


def test_a_set_is_held_up_to_the_stale_ceiling_and_not_a_moment_longer() -> None:
    assert stocked().held(ONE, NOW + DAY_S) == key_set("RS256")
    assert stocked().held(ONE, NOW + DAY_S + 0.001) is None


def test_a_later_set_replaces_an_earlier_one_whole() -> None:
    """A proper set with fewer keys is how keys are withdrawn (casdoor.md §3.2)."""
    made = ring()
    made.adopt(ONE, key_set("RS256", "RS512"), NOW)
    made.adopt(ONE, key_set("RS256"), NOW + 1)
    held = made.held(ONE, NOW + 1)
    assert held is not None
    assert [key.key_id for key in held.keys] == ["cert-rs256"]


def test_a_failed_fetch_leaves_what_is_held() -> None:
    made = stocked()
    made.failed(ONE, NOW + 1, "down")
    assert made.held(ONE, NOW + DAY_S) == key_set("RS256")


def test_cve_2026_49998_centrifugo_a_key_belongs_to_its_issuer_whatever_its_kid() -> None:
    made = stocked()
    assert made.held(OTHER, NOW) is None
    made.adopt(OTHER, key_set("RS512"), NOW)
    assert made.held(ONE, NOW) == key_set("RS256")
    assert made.held(OTHER, NOW) == key_set("RS512")


@pytest.mark.parametrize("url", [f"{ONE.issuer}/", "https://elsewhere.test"])
def test_a_set_belongs_to_issuer_and_url_together(url: str) -> None:
    assert stocked().held(replace(ONE, issuer=url), NOW) is None
    assert stocked().held(replace(ONE, jwks_uri=url), NOW) is None


def test_two_names_for_the_same_issuer_and_url_share_one_set() -> None:
    assert stocked().held(replace(ONE, name="again", organizations=frozenset()), NOW) == key_set("RS256")


# When to fetch.


def test_a_set_is_refreshed_in_the_last_fifth_of_its_life() -> None:
    soonest, latest = stocked(random=0.999), stocked(random=0.0)
    assert not soonest.due(ONE, NOW + 239)
    assert soonest.due(ONE, NOW + 241)
    assert not latest.due(ONE, NOW + 299)
    assert latest.due(ONE, NOW + 300)


def test_failed_fetches_are_repeated_ever_more_slowly_up_to_a_bound() -> None:
    made, now, pauses = ring(), NOW, []
    for _ in range(8):
        made.failed(ONE, now, "down")
        pause = next(step / 4 for step in range(1, 1000) if made.due(ONE, now + step / 4))
        pauses.append(pause)
        now += pause
    assert pauses == [FIRST_RETRY_S, 2, 4, 8, 16, MAX_RETRY_S, MAX_RETRY_S, MAX_RETRY_S]


def test_retries_of_a_fleet_are_spread_over_half_their_pause() -> None:
    made = ring(random=0.999)
    made.failed(ONE, NOW, "down")
    assert not made.due(ONE, NOW + 0.4)
    assert made.due(ONE, NOW + 0.6)


def test_success_ends_the_retry_pause() -> None:
    made = ring()
    for _ in range(5):
        made.failed(ONE, NOW, "down")
    made.adopt(ONE, key_set("RS256"), NOW)
    assert made.may_fetch(ONE, NOW)
    made.failed(ONE, NOW, "down")
    assert made.may_fetch(ONE, NOW + FIRST_RETRY_S)


def test_tokens_cause_no_fetch_while_held_off() -> None:
    made = stocked()
    made.hold_off(ONE, NOW + REFETCH_INTERVAL_S)
    assert not made.may_refetch(ONE, NOW)
    assert not made.may_refetch(ONE, NOW + REFETCH_INTERVAL_S - 0.001)
    assert made.may_refetch(ONE, NOW + REFETCH_INTERVAL_S)
    assert made.may_refetch(OTHER, NOW)


def test_a_new_set_or_a_failure_does_not_end_the_holding_off() -> None:
    made = stocked()
    made.hold_off(ONE, NOW + REFETCH_INTERVAL_S)
    made.adopt(ONE, key_set("RS512"), NOW + 1)
    made.failed(ONE, NOW + 2, "down")
    assert not made.may_refetch(ONE, NOW + 3)


def test_a_caller_with_a_clock_a_moment_behind_is_held_off_as_well() -> None:
    made = stocked()
    made.hold_off(ONE, NOW + REFETCH_INTERVAL_S)
    assert not made.may_refetch(ONE, NOW - 0.5)


@pytest.mark.parametrize("back_s", [3600.0, 10 * DAY_S])
def test_a_clock_that_is_set_back_stops_nothing(back_s: float) -> None:
    made = stocked()
    made.hold_off(ONE, NOW + REFETCH_INTERVAL_S)
    made.failed(ONE, NOW, "down")
    then = NOW - back_s
    assert made.may_refetch(ONE, then)
    assert made.may_fetch(ONE, then)
    assert made.due(ONE, then)
    assert made.held(ONE, then) == key_set("RS256")


def test_small_differences_between_clocks_cause_no_refresh() -> None:
    assert not stocked().due(ONE, NOW - CLOCK_STEP_S + 1)


def test_a_document_counts_as_fresh_for_its_time_to_live() -> None:
    assert ring().fresh(NOW, NOW + 299)
    assert not ring().fresh(NOW, NOW + 300)
    assert not ring().fresh(NOW + CLOCK_STEP_S + 1, NOW)


# A new policy.


def test_a_new_policy_keeps_the_sets_it_still_wants_and_forgets_the_others() -> None:
    made = stocked()
    made.adopt(OTHER, key_set("RS512"), NOW)
    made.retain([ONE], TERMS)
    assert made.issuers == (ONE,)
    assert made.held(ONE, NOW) == key_set("RS256")
    assert made.held(OTHER, NOW) is None


def test_a_new_policys_terms_hold_for_what_is_held_already() -> None:
    made = stocked()
    made.retain([ONE], replace(TERMS, jwks_max_stale_s=60))
    assert made.held(ONE, NOW + 61) is None


# What operators see.


def test_states_tell_age_number_of_keys_and_the_last_fault_of_every_issuer() -> None:
    made = stocked()
    made.failed(ONE, NOW + 5, "status 500")
    made.failed(OTHER, NOW + 5, "no route")
    assert made.states(NOW + 10) == (
        KeySetState(issuer="casdoor", age_s=10.0, keys=1, last_fault="status 500"),
        KeySetState(issuer="other", age_s=None, keys=0, last_fault="no route"),
    )


def test_success_clears_the_last_fault() -> None:
    made = stocked()
    made.failed(ONE, NOW, "down")
    made.adopt(ONE, key_set("RS256"), NOW)
    assert made.states(NOW)[0].last_fault == ""


def test_threads_that_read_while_another_writes_see_whole_sets() -> None:
    made = stocked()
    sets = (key_set("RS256"), key_set("RS512", "rotate"))
    seen: list[KeySet | None] = []

    def read() -> None:
        seen.extend(made.held(ONE, NOW) for _ in range(2000))

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(500):
        made.adopt(ONE, sets[number % 2], NOW)
        made.failed(ONE, NOW, "down")
        made.hold_off(ONE, NOW + 1)
    for reader in readers:
        reader.join()
    assert all(held in sets for held in seen)
