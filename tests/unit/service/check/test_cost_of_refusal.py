"""What a token that is refused makes us do: next to nothing, as tokens cost nothing to invent."""

import base64
from dataclasses import replace

from extauthz.pdp.policy import CacheTerms, Introspection, Issuer, Sharing
from extauthz.pdp.reason import Reason
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.needs import Introspected
from tests.support import tokens
from tests.support.checks import check_request
from tests.support.policies import policy
from tests.support.world import CASDOOR, World, kinds, mint, weather

ASKING = replace(CASDOOR, introspection=Introspection(client_id="gw", client_secret="s"))


def looking_for_no_keys(issuer: Issuer = CASDOOR, cache: CacheTerms | None = None) -> World:
    """A world with a shared store, where a look for newer keys was just taken; by default everything is shared."""
    terms = cache or CacheTerms(shared=Sharing.ALWAYS)
    world = World(policy=policy(weather(issuers=(issuer,)), cache=terms), signer=Signer([b"0" * 32]))
    world.shared_state.ring.hold_off(issuer, world.now + 30)
    return world


def test_an_invented_key_id_costs_no_round_trip_and_no_look_at_the_body() -> None:
    world = looking_for_no_keys()
    for number in range(3):
        token = tokens.mint({"scope": "weather:read"}, kid=f"invented-{number}")
        checked = world.check(check_request(token=token))
        assert checked.reason == Reason.TOKEN_KEY_UNKNOWN
        assert checked.operation is None
    assert kinds(world.needs) == []


def test_a_key_of_another_type_under_a_known_id_costs_no_round_trip() -> None:
    world = looking_for_no_keys()
    token = tokens.mint({"scope": "weather:read"}, alg="ES256", kid="cert-rs256")
    assert world.check(check_request(token=token)).reason == Reason.TOKEN_KEY_UNKNOWN
    assert kinds(world.needs) == []


def forged(number: int) -> str:
    """Claims that would do, under a key id that exists, and a signature of somebody's own."""
    good = tokens.mint({"scope": "weather:read", "jti": str(number)})
    return f"{good.rpartition('.')[0]}.{base64.urlsafe_b64encode(bytes([number]) * 256).rstrip(b'=').decode()}"


def test_a_forged_token_costs_no_round_trip() -> None:
    world = looking_for_no_keys(cache=CacheTerms())
    for number in range(3):
        assert world.check(check_request(token=forged(number))).reason == Reason.TOKEN_SIGNATURE
    assert kinds(world.needs) == []


def test_nor_does_it_where_the_store_is_asked_for_what_an_issuer_said_of_a_token() -> None:
    world = looking_for_no_keys(ASKING)
    for number in range(3):
        assert world.check(check_request(token=forged(number))).reason == Reason.TOKEN_SIGNATURE
    assert kinds(world.needs) == []


def test_a_genuine_token_is_still_spared_the_introspection_that_another_process_made() -> None:
    one = World(policy=policy(weather(issuers=(ASKING,))), signer=Signer([b"0" * 32]))
    script = one.sibling()
    script.answer = lambda need: Introspected.ACTIVE if type(need).__name__ == "NeedIntrospection" else None
    assert script.ask(check_request(token=mint())).allowed
    assert kinds(script.needs) == ["NeedStored", "NeedIntrospection", "NeedStored"]
    other = script.sibling(answer=None)
    answer = other.ask(check_request(token=mint()))
    assert (answer.allowed, answer.metadata["cache"]) == (True, "redis")
    assert kinds(other.needs) == ["NeedStored", "NeedStored"]
