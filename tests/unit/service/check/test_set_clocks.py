"""Whole checks while somebody sets the clock of the host: who passes, and who never does."""

from dataclasses import replace

import pytest

from extauthz.pdp.policy import CacheTerms, Introspection
from extauthz.pdp.reason import Reason
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.check.active_policy import Caches
from extauthz.service.needs import Answer, Introspected, Need, NeedIntrospection
from extauthz.service.revocation.revocations import Revocations
from tests.support import tokens
from tests.support.checks import check_request
from tests.support.policies import policy
from tests.support.revocations import revocation
from tests.support.world import CASDOOR, World, weather

HOUR_S, DAY_S = 3_600.0, 86_400.0
SECRET = b"s" * 32


class Host:
    """One process whose wall clock can be set."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.passed = 50.0
        self._fresh()

    def _fresh(self) -> None:
        self.world.shared_state = replace(
            self.world.shared_state,
            caches=Caches.bounded(lambda: self.passed),
            revocations=Revocations(monotonic=lambda: self.passed),
        )

    def set(self, seconds: float) -> None:
        self.world.now += seconds
        # Keys are about another matter.
        for issuer in self.world.policy.issuers.values():
            keys = self.world.shared_state.ring.entry(issuer).key_set
            assert keys is not None
            self.world.shared_state.ring.adopt(issuer, keys, self.world.now)

    def wait(self, seconds: float) -> None:
        self.passed += seconds
        self.set(seconds)

    def sibling(self) -> "Host":
        return Host(self.world.sibling())

    def ask(self, name: str, session: str = "") -> str:
        """The reason for which a token of this user is let through or refused; tokens are always of the moment."""
        text = tokens.mint({"scope": "weather:read", "sub": name, "name": name}, now=self.world.now)
        return self.ask_with(text, session)

    def ask_with(self, text: str, session: str = "") -> str:
        headers = {"mcp-session-id": session} if session else {}
        return self.world.check(check_request(token=text, headers=headers)).reason


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("ahead_s", [25 * HOUR_S, 400 * DAY_S])
def test_a_clock_that_is_set_ahead_hands_no_session_to_another(ahead_s: float, *, shared: bool) -> None:
    host = Host(World(policy=policy(weather()), signer=Signer([SECRET]) if shared else None))
    assert host.ask("alice", "s1") == Reason.ALLOWED
    host.set(ahead_s)
    assert host.ask("mallory", "s1") == Reason.SESSION_UNKNOWN
    assert host.ask("alice", "s1") == Reason.ALLOWED
    host.set(-ahead_s)
    assert host.ask("mallory", "s1") == Reason.SESSION_UNKNOWN
    assert host.ask("alice", "s1") == Reason.ALLOWED


def test_another_process_whose_clock_is_ahead_knows_whose_a_session_is() -> None:
    host = Host(World(policy=policy(weather()), signer=Signer([SECRET])))
    assert host.ask("alice", "s1") == Reason.ALLOWED
    ahead = host.sibling()
    ahead.world.store_ends = {}  # The store's own clock is right: it keeps the entry.
    ahead.set(25 * HOUR_S)
    assert ahead.ask("mallory", "s1") == Reason.SESSION_UNKNOWN


def test_a_session_is_asked_about_again_though_the_clock_was_set_back() -> None:
    host = Host(World(policy=policy(weather()), signer=Signer([SECRET])))
    assert host.ask("alice", "s1") == Reason.ALLOWED
    host.set(-HOUR_S)
    host.world.needs.clear()
    assert host.ask("alice", "s1") == Reason.ALLOWED
    assert "NeedBinding" in [type(need).__name__ for need in host.world.needs]


def test_a_cached_introspection_ends_after_its_minute_though_the_clock_was_set_back() -> None:
    asked: list[Need] = []

    def answer(need: Need) -> Answer:
        asked.append(need)
        assert isinstance(need, NeedIntrospection)
        return Introspected.ACTIVE if len(asked) == 1 else Introspected.INACTIVE

    issuer = replace(CASDOOR, introspection=Introspection(client_id="gw", client_secret="s"))
    host = Host(World(policy=policy(weather(issuers=(issuer,))), answer=answer))
    text = tokens.mint({"scope": "weather:read"}, now=host.world.now - 2 * HOUR_S, lifetime_s=10 * int(HOUR_S))
    assert host.ask_with(text) == Reason.ALLOWED
    host.set(-HOUR_S)
    assert host.ask_with(text) == Reason.ALLOWED
    host.passed += CacheTerms().max_ttl_s
    assert host.ask_with(text) == Reason.TOKEN_REVOKED


def test_a_revocation_outlives_a_clock_that_is_32_days_ahead_for_a_while() -> None:
    host = Host(World(policy=policy(weather())))
    text = tokens.mint({"scope": "weather:read"}, now=host.world.now, lifetime_s=90 * int(DAY_S))
    assert host.world.shared_state.revocations.add([revocation()], host.world.now)
    for seconds in (32 * DAY_S, -32 * DAY_S):
        host.set(seconds)
        assert host.ask_with(text) == Reason.TOKEN_REVOKED
