"""Refused tokens are remembered for seconds, and never for longer than the refusal would last."""

import random
from dataclasses import replace

import pytest

from extauthz.pdp.decision.decision import Deny
from extauthz.pdp.policy import CacheTerms, Introspection, Issuer
from extauthz.pdp.reason import Reason
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.check.active_policy import MAX_REFUSALS
from extauthz.service.keys.keyring import REFETCH_INTERVAL_S, KeyRing
from extauthz.service.needs import Introspected
from extauthz.service.tokens.negative_cache import LASTING, REFUSAL_TTL_S, HeldKeys, Lasting, NegativeCache
from tests.support import tokens
from tests.support.checks import check_request
from tests.support.policies import policy
from tests.support.world import CASDOOR, World, key_set, kinds, mint, weather

NOW = 1_000.0
STOLEN = tokens.SIGNING_KEYS["attacker"]


def test_it_is_said_of_every_reason_whether_it_lasts() -> None:
    assert set(LASTING) == set(Reason)


def ring(held_off: bool = True) -> KeyRing:
    made = KeyRing([CASDOOR], CacheTerms(), random.Random(1).random)
    made.adopt(CASDOOR, key_set(), NOW)
    if held_off:
        made.hold_off(CASDOOR, NOW + REFETCH_INTERVAL_S)
    return made


@pytest.mark.parametrize("reason", [reason for reason, lasting in LASTING.items() if lasting is Lasting.ALWAYS])
def test_a_refusal_that_lasts_is_remembered_for_its_time(reason: Reason) -> None:
    refusals = NegativeCache(10, 10**6)
    refusals.put("k", Deny(reason=reason), NOW)
    assert refusals.get("k", ring(), NOW + REFUSAL_TTL_S - 0.01) == Deny(reason=reason)
    assert refusals.get("k", ring(), NOW + REFUSAL_TTL_S) is None


@pytest.mark.parametrize("reason", [reason for reason, lasting in LASTING.items() if lasting is not Lasting.ALWAYS])
def test_a_refusal_that_may_end_is_not_remembered(reason: Reason) -> None:
    refusals = NegativeCache(10, 10**6)
    refusals.put("k", Deny(reason=reason), NOW)
    assert refusals.get("k", ring(), NOW) is None


def test_a_refusal_from_after_the_clock_was_set_back_counts_no_more() -> None:
    refusals = NegativeCache(10, 10**6)
    refusals.put("k", Deny(reason=Reason.TOKEN_EXPIRED), NOW)
    assert refusals.get("k", ring(), NOW - 1) is None


BAD_SIGNATURE = Deny(reason=Reason.TOKEN_SIGNATURE)


def cached(held: KeyRing, issuer: Issuer = CASDOOR) -> NegativeCache:
    refusals = NegativeCache(10, 10**6)
    refusals.put_with_keys("k", BAD_SIGNATURE, HeldKeys(issuer, held.held(issuer, NOW)), held, NOW)
    return refusals


def test_a_bad_signature_stays_one_while_the_same_keys_decide() -> None:
    held = ring()
    assert cached(held).get("k", held, NOW + 1) == BAD_SIGNATURE


def test_a_bad_signature_is_looked_at_again_once_other_keys_are_held() -> None:
    held = ring()
    refusals = cached(held)
    held.adopt(CASDOOR, key_set(), NOW + 1)
    assert refusals.get("k", held, NOW + 1) is None


def test_a_bad_signature_is_looked_at_again_once_a_look_for_newer_keys_is_due() -> None:
    held = ring()
    refusals = cached(held)
    held.hold_off(CASDOOR, NOW + 1)
    assert refusals.get("k", held, NOW + 0.9) == BAD_SIGNATURE
    assert refusals.get("k", held, NOW + 1) is None


def test_a_bad_signature_is_not_remembered_where_a_look_for_newer_keys_is_due() -> None:
    assert len(cached(ring(held_off=False))) == 0


def test_a_bad_signature_is_not_remembered_without_keys() -> None:
    assert len(cached(KeyRing([CASDOOR], CacheTerms(), random.Random(1).random))) == 0


def test_keys_that_came_while_a_token_was_looked_at_are_not_taken_for_those_that_decided() -> None:
    held = ring()
    before = HeldKeys(CASDOOR, held.held(CASDOOR, NOW))
    held.adopt(CASDOOR, key_set(), NOW)
    refusals = NegativeCache(10, 10**6)
    refusals.put_with_keys("k", BAD_SIGNATURE, before, held, NOW)
    assert len(refusals) == 0


# Through whole checks.


def world(**more: object) -> World:
    made = World(policy=policy(weather()), **more)  # type: ignore[arg-type]
    made.shared_state.ring.hold_off(CASDOOR, made.now + REFETCH_INTERVAL_S)
    return made


EXPIRED = mint(exp=tokens.NOW - 31, iat=tokens.NOW - 900, nbf=tokens.ABSENT)
FORGED = tokens.mint(key=STOLEN, kid="cert-rs256")
REMEMBERED = {
    "malformed": "a.b",
    "expired": EXPIRED,
    "audience": mint(aud=["https://other.example/mcp"]),
    "issuer": mint(iss="https://evil.example"),
    "organization": mint(owner="rival"),
    "subject": mint(sub="a\nb"),
    "type": mint(tokenType="refresh-token"),
    "algorithm": tokens.mint(header={"alg": "HS256"}),
    "signature": FORGED,
}
NOT_REMEMBERED = {
    "unknown key": tokens.mint(kid="nobody"),
    "not yet valid": mint(nbf=tokens.NOW + 31, iat=tokens.NOW, exp=tokens.NOW + 900),
}


@pytest.mark.parametrize("name", REMEMBERED)
def test_a_bad_token_that_is_sent_again_is_refused_from_memory_with_the_same_answer(name: str) -> None:
    where = world()
    first, again = (where.ask(check_request(token=REMEMBERED[name])) for _ in range(2))
    assert (first.metadata["cache"], again.metadata["cache"]) == ("none", "memory")
    for answer in (first, again):
        answer.body["error"]["data"].pop("decision")
    assert (first.reason, first.status, first.body, first.challenge) == (
        again.reason,
        again.status,
        again.body,
        again.challenge,
    )
    where.now += REFUSAL_TTL_S
    assert where.ask(check_request(token=REMEMBERED[name])).metadata["cache"] == "none"


@pytest.mark.parametrize("name", NOT_REMEMBERED)
def test_a_token_that_may_become_good_is_looked_at_each_time(name: str) -> None:
    where = world()
    answers = [where.ask(check_request(token=NOT_REMEMBERED[name])) for _ in range(2)]
    assert [(answer.allowed, answer.metadata["cache"]) for answer in answers] == [(False, "none")] * 2


def test_a_token_counts_from_its_first_moment_on_whatever_was_refused_before() -> None:
    where = world()
    token = check_request(token=NOT_REMEMBERED["not yet valid"])
    assert where.ask(token).reason == Reason.TOKEN_NOT_YET_VALID
    where.now += 1
    assert where.ask(token).allowed


def test_a_key_replaced_under_its_name_counts_at_once_whatever_was_refused_before() -> None:
    where = world()
    assert where.ask(check_request(token=FORGED)).reason == Reason.TOKEN_SIGNATURE
    now_its_key = tokens.key_set_document([], extra=[STOLEN.jwk(kid="cert-rs256")])
    where.shared_state.ring.adopt(CASDOOR, key_set(now_its_key), where.now)
    # `FORGED` has no scope of ours: what counts is that its signature is good now.
    assert where.ask(check_request(token=FORGED)).reason == Reason.SCOPE_INSUFFICIENT


def test_a_revocation_by_the_issuer_may_end_and_is_asked_about_each_time() -> None:
    issuer = replace(CASDOOR, introspection=Introspection(client_id="gw", client_secret="s"))
    words = [Introspected.INACTIVE, Introspected.ACTIVE]
    where = World(policy=policy(weather(issuers=(issuer,))), answer=lambda _: words.pop(0))
    assert where.ask(check_request(token=mint())).reason == Reason.TOKEN_REVOKED
    assert where.ask(check_request(token=mint())).allowed


def test_what_another_policy_refused_is_looked_at_anew() -> None:
    where = world()
    stranger = mint(aud=["https://other.example/mcp"])
    assert where.ask(check_request(token=stranger)).reason == Reason.TOKEN_AUDIENCE
    where.policy = policy(weather(audiences=frozenset({"https://other.example/mcp"})), revision="2" * 16)
    assert where.ask(check_request(token=stranger)).allowed


def test_a_refusal_says_nothing_about_another_token() -> None:
    where = world()
    assert not where.ask(check_request(token=FORGED)).allowed
    assert where.ask(check_request(token=mint())).allowed


def test_garbage_fills_a_memory_of_its_own_and_pushes_nothing_else_out() -> None:
    where = world()
    good = check_request(token=mint())
    assert where.ask(good).allowed
    small = NegativeCache(50, 10**6)
    where.shared_state = replace(where.shared_state, caches=replace(where.shared_state.caches, refusals=small))
    for number in range(500):
        assert not where.ask(check_request(token=f"a.b{number}")).allowed
    assert len(small) == 50
    assert small.size_bytes < 50_000
    assert MAX_REFUSALS < 100_000
    assert where.ask(good).metadata["cache"] == "memory"
    caches = where.shared_state.caches
    assert (len(caches.callers), len(caches.decisions), len(caches.bindings)) == (1, 1, 0)


def test_a_bad_signature_is_not_remembered_where_another_process_can_vouch_for_the_token() -> None:
    """It may have newer keys than we, which we may not ask for yet."""
    one = world(signer=Signer([b"0" * 32]))
    newer = one.sibling(keys=key_set(tokens.key_set_document([], extra=[STOLEN.jwk(kid="cert-rs256")])))
    token = check_request(token=tokens.mint({"scope": "weather:read"}, key=STOLEN, kid="cert-rs256"))
    assert one.ask(token).reason == Reason.TOKEN_SIGNATURE
    assert newer.ask(token).allowed
    assert one.ask(token).metadata["cache"] == "redis"
    assert kinds(one.needs) == ["NeedStored", "NeedStored", "NeedStored"]
