"""The profile `keycloak` on the tokens of a real Keycloak (tests/data/keycloak/README.md)."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from extauthz.pdp.policy import Issuer, Resource
from extauthz.pdp.principal import VerifiedToken
from extauthz.pdp.reason import Reason
from extauthz.pdp.token.access_token import TokenFault, inspect, judge, screen, verify_signature
from extauthz.pdp.token.jwk import UnusableKey
from extauthz.pdp.token.jwks import KeySet, parse_key_set
from tests.support.tokens import resource

DATA: Final = Path(__file__).parent.parent / "data" / "keycloak"
RECORDED: Final[dict[str, Any]] = json.loads((DATA / "tokens.json").read_text())
TOKENS: Final[list[dict[str, Any]]] = RECORDED["tokens"]
BY: Final = Issuer(
    name="keycloak",
    issuer=RECORDED["issuer"],
    jwks_uri="",
    profile="keycloak",
    algorithms=("RS256", "ES256", "PS256"),
    machine_clients=frozenset({"ops-bot"}),
)
AT: Final = resource(uri=RECORDED["audience"])
GOOD: Final = [
    "claude-desktop/openid mcp:read",
    "claude-desktop/openid mcp:read organization:acme",
    "claude-desktop/openid mcp:read organization:*",
    "claude-desktop/openid offline_access",
    "claude-at-jwt/openid mcp:read",
    "claude-es256/openid mcp:read",
    "claude-ps256/openid mcp:read",
]


def keys() -> KeySet:
    parsed = parse_key_set((DATA / "jwks.json").read_bytes())
    assert isinstance(parsed, KeySet)
    return parsed


def decide(token: str, by: Issuer = BY, at: Resource = AT) -> VerifiedToken | TokenFault:
    unverified = inspect(token)
    if isinstance(unverified, TokenFault):
        return unverified
    fault = screen(unverified, by)
    if fault is not None:
        return fault
    signed = verify_signature(unverified, keys().candidates(unverified.key_id, unverified.algorithm))
    assert signed is not None, "every recorded token that has a key in the set is signed with it"
    return judge(signed, by, at, RECORDED["clock"])


def access_token(name: str) -> str:
    (token,) = (
        token["token"]
        for token in TOKENS
        if f"{token['client']}/{token['asked']}" == name and token["kind"] == "access"
    )
    assert isinstance(token, str)
    return token


def verified(name: str) -> VerifiedToken:
    outcome = decide(access_token(name))
    assert isinstance(outcome, VerifiedToken), outcome
    return outcome


def reason_of(outcome: VerifiedToken | TokenFault) -> Reason | None:
    return outcome.reason if isinstance(outcome, TokenFault) else None


@pytest.mark.parametrize("name", GOOD)
def test_person_is_known(name: str) -> None:
    who = verified(name).principal
    assert (who.name, who.machine, who.client_id) == ("alice", False, name.partition("/")[0])
    assert who.subject
    assert who.roles == {"offline_access", "mcp-reader"}
    assert who.groups == {"/engineering"}
    assert who.scopes == set(name.partition("/")[2].split(" ")) | {"openid", "email", "profile"}


@pytest.mark.parametrize(
    ("name", "organization"),
    [
        ("claude-desktop/openid mcp:read organization:acme", "acme"),
        ("claude-desktop/openid mcp:read organization:*", ""),
        ("claude-desktop/openid mcp:read", ""),
    ],
)
def test_organization_is_the_one_that_was_asked_for(name: str, organization: str) -> None:
    assert verified(name).principal.organization == organization
    of_acme = Issuer(
        name="keycloak",
        issuer=BY.issuer,
        jwks_uri="",
        profile="keycloak",
        organizations=frozenset({"acme"}),
    )
    expected = None if organization == "acme" else Reason.TOKEN_ORGANIZATION
    assert reason_of(decide(access_token(name), by=of_acme)) is expected


def test_service_account_is_a_machine() -> None:
    who = verified("ops-bot/mcp:read").principal
    assert (who.machine, who.client_id, who.name) == (True, "ops-bot", "service-account-ops-bot")
    unlisted = Issuer(name="keycloak", issuer=BY.issuer, jwks_uri="", profile="keycloak")
    assert reason_of(decide(access_token("ops-bot/mcp:read"), by=unlisted)) is Reason.TOKEN_ORGANIZATION


@pytest.mark.parametrize(
    ("kind", "reasons"),
    [
        # By the claim `typ`, though the audience would be refused as well.
        ("id", {Reason.TOKEN_TYPE}),
        # Signed with a secret of Keycloak's own.
        ("refresh", {Reason.TOKEN_ALGORITHM}),
    ],
)
def test_other_kinds_are_refused(kind: str, reasons: set[Reason]) -> None:
    outcomes = [decide(token["token"]) for token in TOKENS if token["kind"] == kind]
    assert len(outcomes) == 9
    assert {reason_of(outcome) for outcome in outcomes} == reasons


def test_token_that_is_bound_to_a_key_is_refused() -> None:
    assert reason_of(decide(access_token("claude-dpop/openid mcp:read"))) is Reason.TOKEN_TYPE


def test_lightweight_token_names_nobody() -> None:
    assert reason_of(decide(access_token("claude-light/openid mcp:read"))) is Reason.TOKEN_SUBJECT


def test_algorithm_is_the_issuers_choice() -> None:
    only_rs256 = Issuer(name="keycloak", issuer=BY.issuer, jwks_uri="", profile="keycloak", algorithms=("RS256",))
    outcomes = {name: reason_of(decide(access_token(name), by=only_rs256)) for name in GOOD}
    assert {name for name, reason in outcomes.items() if reason is Reason.TOKEN_ALGORITHM} == {
        "claude-es256/openid mcp:read",
        "claude-ps256/openid mcp:read",
    }
    assert set(outcomes.values()) == {None, Reason.TOKEN_ALGORITHM}


def test_token_of_another_audience_is_refused() -> None:
    outcome = decide(access_token(GOOD[0]), at=resource(uri="https://mcp.acme.test/other"))
    assert reason_of(outcome) is Reason.TOKEN_AUDIENCE


def test_key_for_encryption_is_left_out() -> None:
    assert [(key.why, key.detail) for key in keys().ignored] == [
        (UnusableKey.NOT_FOR_SIGNATURES, "`use` or `key_ops` say that it is not for signatures")
    ]
    assert len(keys().keys) == 3
