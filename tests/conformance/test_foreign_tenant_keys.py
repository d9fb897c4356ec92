"""A token that another tenant signs: what the key set decides, with the sets that Casdoor served (casdoor.md §3.3, §4).

The admin of `rival` added two certificates: one under a name of its own, one under the name of `acme`'s. Both were in
the set of the instance at once, and neither in the application's own set.
"""

from typing import Final

import pytest

from extauthz.pdp.policy import Issuer
from extauthz.pdp.reason import Reason
from tests.support import tokens
from tests.support.checks import check_request
from tests.support.policies import policy
from tests.support.world import World, key_set, weather

OWN: Final = f"{tokens.ISSUER}/.well-known/app-mcp/jwks"
GLOBAL: Final = f"{tokens.ISSUER}/.well-known/jwks"
RIVALS: Final = tokens.SIGNING_KEYS["rs256-dup"]
OUTSIDER: Final = tokens.SIGNING_KEYS["attacker"]


def served(name: str) -> bytes:
    return (tokens.DATA / "jwks" / f"{name}.json").read_bytes()


def world(document: bytes, jwks_uri: str) -> World:
    issuer: Issuer = tokens.issuer(jwks_uri=jwks_uri)
    made = World(policy=policy(weather(issuers=(issuer,))), keys=key_set(document))
    made.shared_state.ring.hold_off(issuer, made.now + 30)
    return made


def forged(key: tokens.SigningKey, kid: str) -> str:
    """What `acme`'s alice would carry, signed by somebody else."""
    return tokens.mint({"scope": "weather:read", "owner": "acme"}, key=key, kid=kid)


@pytest.mark.parametrize(
    ("key", "kid", "reason"),
    [
        (RIVALS, "cert-rs256", Reason.TOKEN_SIGNATURE),
        (RIVALS, "cert-rival-own", Reason.TOKEN_KEY_UNKNOWN),
        (RIVALS, "cert-rs256-dup", Reason.TOKEN_KEY_UNKNOWN),
        (OUTSIDER, "cert-rs256", Reason.TOKEN_SIGNATURE),
        (OUTSIDER, "cert-attacker", Reason.TOKEN_KEY_UNKNOWN),
        (OUTSIDER, "cert-built-in", Reason.TOKEN_KEY_UNKNOWN),
        (tokens.SIGNING_KEYS["RS512"], "cert-rs512", Reason.TOKEN_KEY_UNKNOWN),
        (tokens.SIGNING_KEYS["rotate"], "cert-rotate", Reason.TOKEN_KEY_UNKNOWN),
    ],
)
def test_with_the_applications_own_set_it_is_401(key: tokens.SigningKey, kid: str, reason: Reason) -> None:
    own = world(served("app-mcp"), OWN)
    assert own.ask(check_request(token=tokens.mint({"scope": "weather:read"}))).allowed
    answer = own.ask(check_request(token=forged(key, kid)))
    assert (answer.status, answer.reason) == (401, reason)


@pytest.mark.parametrize("name", ["global", "global-after-rival-added-cert-rival-own"])
def test_the_set_of_the_instance_refuses_it_until_the_key_is_added(name: str) -> None:
    answer = world(served(name), GLOBAL).ask(check_request(token=forged(RIVALS, "cert-rs256")))
    assert (answer.status, answer.reason) == (401, Reason.TOKEN_SIGNATURE)


def test_the_set_of_the_instance_lets_it_in_which_is_why_the_policy_is_warned_about() -> None:
    """No check of the token can tell: `owner` is what the signer wrote. The policy has to name another key set."""
    everybody = world(served("global-after-rival-added-cert-rs256"), GLOBAL)
    assert everybody.ask(check_request(token=forged(RIVALS, "cert-rs256"))).allowed


def test_the_own_set_has_one_key_of_the_name_where_the_instances_has_two() -> None:
    """Casdoor served the same application's set, to the byte, before and after the rival added a key of that name."""
    assert len(key_set(served("app-mcp")).candidates("cert-rs256", "RS256")) == 1
    assert len(key_set(served("global-after-rival-added-cert-rs256")).candidates("cert-rs256", "RS256")) == 2
