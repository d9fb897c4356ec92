"""Revocation in the procedure: every way on which a token comes to count, and what a revoked caller learns."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from extauthz.pdp.policy import WhenStale
from extauthz.pdp.reason import Reason
from extauthz.pdp.revocation.revocation import RevokedBy
from extauthz.pdp.token.signed_token import UnverifiedToken, digest_of, inspect, revocation_digests
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.check.active_policy import Caches
from extauthz.service.needs import Answer, Need, NeedKeys, NeedStored
from extauthz.service.revocation.revocations import STALE_AFTER_S, Revocations
from tests.support import tokens
from tests.support.checks import Seen, check_request
from tests.support.policies import policy
from tests.support.revocations import revocation
from tests.support.tokens import CLIENT, NOW, SUBJECT
from tests.support.world import World, key_set, kinds, mint, weather

TOKEN = mint()


def good(token: str = TOKEN, **more: object) -> bytes:
    return check_request(token=token, **more)  # type: ignore[arg-type]


def world(when_stale: WhenStale = WhenStale.ALLOW, **more: object) -> World:
    return World(policy=replace(policy(weather()), when_stale=when_stale), **more)  # type: ignore[arg-type]


def revoke(where: World, **fields: object) -> str:
    item = revocation(**fields)
    assert where.shared_state.revocations.add([item], where.now)
    return item.id


def fresh() -> World:
    return world()


def cached() -> World:
    where = world()
    assert where.ask(good()).allowed
    return where


def vouched() -> World:
    """The shared store says that the token is genuine; this process has no keys to find out itself."""
    one = world(signer=Signer([b"s" * 32]))
    assert one.ask(good()).allowed
    other = one.sibling(keys=None)
    assert isinstance(other.shared_state.caches, Caches)
    return other


WAYS: dict[str, Callable[[], World]] = {"fresh": fresh, "remembered": cached, "vouched": vouched}
BY = {
    "token": {"by": RevokedBy.TOKEN, "value": digest_of(TOKEN).hex()},
    "subject": {"by": RevokedBy.SUBJECT, "value": SUBJECT},
    "subject at a client": {"by": RevokedBy.SUBJECT, "value": SUBJECT, "client": CLIENT},
    "client": {"by": RevokedBy.CLIENT, "value": CLIENT},
    "organization": {"by": RevokedBy.ORGANIZATION, "value": "acme"},
    "user": {"by": RevokedBy.USER, "value": "acme/alice"},
}


# Every way.


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("way", WAYS)
def test_a_revoked_token_is_refused_however_it_came_to_count(way: str, by: str) -> None:
    where = WAYS[way]()
    revoke(where, **BY[by])
    answer = where.ask(good())
    assert (answer.reason, answer.status) == (Reason.TOKEN_REVOKED, 401)
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("way", WAYS)
def test_others_go_on(way: str) -> None:
    where = WAYS[way]()
    revoke(where, value="somebody-else")
    assert where.ask(good()).allowed


def test_a_token_is_revoked_by_its_jti() -> None:
    where = world()
    token = mint(jti="admin/1")
    assert where.ask(good(token)).allowed
    revoke(where, by=RevokedBy.JTI, value="admin/1")
    assert where.ask(good(token)).reason == Reason.TOKEN_REVOKED
    assert where.ask(good()).allowed


def test_the_second_spelling_of_a_revoked_ecdsa_token_is_revoked() -> None:
    where = world()
    token = tokens.mint({"scope": "weather:read"}, alg="ES256")
    read = inspect(token)
    assert isinstance(read, UnverifiedToken)
    _, twin = revocation_digests(read)
    assert where.ask(good(token)).allowed
    revoke(where, by=RevokedBy.TOKEN, value=twin.hex())
    assert where.ask(good(token)).reason == Reason.TOKEN_REVOKED


def test_a_token_issued_after_the_moment_counts() -> None:
    where = world()
    revoke(where, before=NOW - 10)
    assert where.ask(good(mint(iat=NOW - 10))).reason == Reason.TOKEN_REVOKED
    assert where.ask(good(mint(iat=NOW - 9))).allowed


def test_in_a_session_that_goes_on_the_next_message_is_refused() -> None:
    where = world()
    in_session = good(headers={"mcp-session-id": "s1", "mcp-protocol-version": "2025-06-18"})
    assert where.ask(in_session).allowed
    revoke(where)
    assert where.ask(in_session).reason == Reason.TOKEN_REVOKED
    for method in ("GET", "DELETE"):
        answer = where.ask(good(method=method, body=b"", headers={"mcp-session-id": "s1"}))
        assert answer.reason == Reason.TOKEN_REVOKED


def test_taken_back_it_counts_again_at_once() -> None:
    where = cached()
    id_ = revoke(where)
    assert where.ask(good()).reason == Reason.TOKEN_REVOKED
    revoke(where, undoes=id_)
    assert where.ask(good()).allowed


# What is told, and to whom.


def fresh_with_a_store() -> World:
    """Here the body is read before the token counts: the store is asked about both together."""
    return world(signer=Signer([b"s" * 32]))


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"jsonrpc":"2.0","id":7,"method":"nothing"}'])
@pytest.mark.parametrize("way", [fresh, fresh_with_a_store, cached])
def test_a_revoked_caller_learns_nothing_about_its_body(way: Callable[[], World], body: bytes) -> None:
    def answer(sent: bytes) -> Seen:
        where = way()
        revoke(where)
        return where.ask(good(body=sent))

    one, other = answer(body), answer(b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
    assert (one.status, one.headers, one.body) == (other.status, other.headers, other.body)
    assert one.body["id"] is None
    assert one.metadata.keys() == {"decision_id", "reason", "cache", "resource"}


def test_nothing_about_a_revoked_token_is_shared() -> None:
    where = world(signer=Signer([b"s" * 32]))
    revoke(where)
    assert where.ask(good()).reason == Reason.TOKEN_REVOKED
    assert where.store == {}


def test_the_operator_is_told_by_which_revocation_and_not_whom_it_means() -> None:
    where = cached()
    id_ = revoke(where)
    decision = where.check(good()).decision
    assert id_ in getattr(decision, "detail", "")
    assert SUBJECT not in getattr(decision, "detail", "")


# Out of step.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("when_stale", "reason"),
    [(WhenStale.ALLOW, Reason.ALLOWED), (WhenStale.DENY, Reason.REVOCATIONS_UNAVAILABLE)],
)
def test_a_replica_that_is_not_in_step_does_what_the_policy_says(
    way: str, when_stale: WhenStale, reason: Reason
) -> None:
    where = WAYS[way]()
    where.policy = replace(where.policy, when_stale=when_stale)
    where.shared_state = replace(where.shared_state, revocations=Revocations(shared_since=where.now))
    assert where.ask(good()).reason == reason


def test_it_is_in_step_again_as_soon_as_it_was_told() -> None:
    where = world(WhenStale.DENY)
    where.shared_state = replace(where.shared_state, revocations=Revocations(shared_since=NOW))
    assert where.ask(good()).reason == Reason.REVOCATIONS_UNAVAILABLE
    where.shared_state.revocations.confirm(where.now)
    assert where.ask(good()).allowed
    where.now += STALE_AFTER_S
    assert where.ask(good()).reason == Reason.REVOCATIONS_UNAVAILABLE


def test_a_check_that_had_to_wait_is_judged_at_its_end() -> None:
    """Time that passes while the store is asked counts."""
    where = world(WhenStale.DENY, signer=Signer([b"s" * 32]))
    where.shared_state = replace(where.shared_state, revocations=Revocations(shared_since=NOW))
    where.shared_state.revocations.confirm(NOW)
    checked = where.check(good(), takes_s=STALE_AFTER_S)
    assert kinds(where.needs) == [NeedStored.__name__]
    assert checked.reason is Reason.REVOCATIONS_UNAVAILABLE


def waits_for_keys() -> World:
    return world(keys=None)


@pytest.mark.parametrize(("way", "wait"), [(waits_for_keys, NeedKeys), (vouched, NeedStored)])
def test_what_is_revoked_while_a_check_waits_is_refused_at_its_end(way: Callable[[], World], wait: type[Need]) -> None:
    """A slow issuer, or a slow store that says that the token is genuine: what was learnt meanwhile counts."""

    def answering(where: World, *, revoked: bool) -> World:
        def answer(need: Need) -> Answer:
            assert isinstance(need, wait)
            if revoked:
                revoke(where, value=SUBJECT)
            return where.store[need.key] if isinstance(need, NeedStored) else key_set()

        where.answer = answer
        return where

    assert answering(way(), revoked=False).ask(good()).allowed
    assert answering(way(), revoked=True).ask(good()).reason == Reason.TOKEN_REVOKED


def test_a_known_revocation_is_told_before_staleness() -> None:
    where = world(WhenStale.DENY)
    where.shared_state = replace(where.shared_state, revocations=Revocations(shared_since=NOW))
    revoke(where)
    assert where.ask(good()).reason == Reason.TOKEN_REVOKED


def test_a_caller_without_a_good_token_is_told_so_first() -> None:
    where = world(WhenStale.DENY)
    where.shared_state = replace(where.shared_state, revocations=Revocations(shared_since=NOW))
    assert where.ask(check_request()).reason == Reason.TOKEN_MISSING
    assert where.ask(good(mint(aud=["https://other.example/mcp"]))).reason == Reason.TOKEN_AUDIENCE
