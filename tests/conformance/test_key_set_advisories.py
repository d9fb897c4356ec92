"""Published advisories about where keys come from, through whole checks: one test per advisory, named after it.

What needs a fleet and hours is in tests/unit/service/test_key_service.py, in virtual time, under the same names.
"""

import json
from dataclasses import replace
from typing import Any

import pytest

from extauthz.pdp.reason import Reason
from extauthz.pdp.token.access_token import UnverifiedToken, inspect
from extauthz.pdp.token.jwks import KeySetFault, parse_key_set
from extauthz.service.tokens.authentication import issuer_of
from tests.support import tokens
from tests.support.checks import check_request
from tests.support.policies import policy
from tests.support.world import CASDOOR, World, key_set, kinds, mint, weather

RIVAL = replace(CASDOOR, name="rival", issuer="https://rival.test", jwks_uri="https://rival.test/jwks")


def unverified(**claims: Any) -> UnverifiedToken:
    token = inspect(mint(**claims))
    assert isinstance(token, UnverifiedToken)
    return token


@pytest.mark.parametrize("name", ["RS256", "attacker", "rotate"])
def test_cve_2026_31837_istio_without_keys_no_token_counts(name: str) -> None:
    """When the keys could not be had a built-in set was used, whose private half is public."""
    world = World(keys=None)
    token = tokens.mint({"scope": "weather:read"}, key=tokens.SIGNING_KEYS[name])
    assert world.ask(check_request(token=token)).reason == Reason.KEYS_UNAVAILABLE


def test_cve_2026_31837_istio_keys_past_the_ceiling_are_no_fallback() -> None:
    world = World()
    world.now += world.policy.cache.jwks_max_stale_s + 1
    fresh = tokens.mint({"scope": "weather:read"}, now=world.now)
    assert world.ask(check_request(token=fresh)).reason == Reason.KEYS_UNAVAILABLE


def test_cve_2026_31837_istio_a_key_that_everybody_has_is_no_key() -> None:
    """Casdoor ships with a key pair, private half included; its published half makes no key set."""
    document = (tokens.DATA / "jwks" / "app-built-in.json").read_bytes()
    assert isinstance(parse_key_set(document), KeySetFault)


def test_cve_2026_49998_centrifugo_a_key_of_one_issuer_opens_nothing_at_another() -> None:
    """Keys were remembered by `kid` alone. Here two issuers have a key under one `kid`, and one knows only its own."""
    world = World(policy=policy(weather(issuers=(CASDOOR, RIVAL))))
    attacker = tokens.SIGNING_KEYS["attacker"]
    rivals = json.dumps({"keys": [attacker.jwk(kid="cert-rs256")]}).encode()
    world.shared_state.ring.adopt(RIVAL, key_set(rivals), world.now)
    by_rival = tokens.mint({"scope": "weather:read", "iss": RIVAL.issuer}, key=attacker, kid="cert-rs256")
    posing = tokens.mint({"scope": "weather:read"}, key=attacker, kid="cert-rs256")
    assert world.ask(check_request(token=by_rival)).allowed
    assert world.ask(check_request(token=posing)).reason == Reason.TOKEN_SIGNATURE
    assert world.ask(check_request(token=mint())).allowed


@pytest.mark.parametrize("iss", ["http://169.254.169.254/latest", "https://evil.test", f"{CASDOOR.issuer}/"])
def test_cve_2026_32301_an_issuer_that_is_not_configured_is_never_asked(iss: str) -> None:
    """The address of the keys was derived from the unverified `iss`."""
    assert issuer_of(unverified(iss=iss), weather()) is None
    world = World(keys=None)
    assert world.ask(check_request(token=mint(iss=iss))).reason == Reason.TOKEN_ISSUER
    assert not world.needs


def test_cve_2026_48524_pyjwt_an_unknown_kid_asks_for_keys_once_in_an_interval() -> None:
    """An unknown `kid` forced a fetch each time."""
    world = World()
    for number in range(20):
        token = tokens.mint({"scope": "weather:read"}, kid=f"invented-{number}")
        assert world.ask(check_request(token=token)).reason == Reason.TOKEN_KEY_UNKNOWN
        world.shared_state.ring.hold_off(CASDOOR, world.now + 30)
    assert kinds(world.needs) == ["NeedKeys"]
    assert world.ask(check_request(token=mint())).allowed
