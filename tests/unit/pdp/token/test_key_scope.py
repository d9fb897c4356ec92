"""Whose keys are behind a key set's URL."""

import json
from dataclasses import replace

import pytest

from extauthz.pdp.token.jwks import KeySet, parse_key_set
from extauthz.pdp.token.key_scope import (
    KeyScope,
    application_of,
    describe_keys,
    holds_more_than_own_keys,
    key_scope,
    signed_by_any_tenant,
)
from extauthz.pdp.token.profile import PROFILES
from tests.support import tokens

DOOR = "https://door.example.com"
OWN = f"{DOOR}/.well-known/mcp-gateway/jwks"


@pytest.mark.parametrize(
    ("url", "application"),
    [
        (OWN, "mcp-gateway"),
        ("http://casdoor:8000/.well-known/app-built-in/jwks", "app-built-in"),
        (f"{DOOR}/casdoor/.well-known/gw/jwks", "gw"),
        (f"{OWN}?v=1", "mcp-gateway"),
        ("", ""),
        (f"{DOOR}/.well-known/jwks", ""),
        (f"{DOOR}/.well-known//jwks", ""),
        (f"{DOOR}/.well-known/a/b/jwks", ""),
        (f"{DOOR}/.well-known/gw/jwks/", ""),
        (f"{DOOR}/.well-known/gw/jwks.json", ""),
        (f"{DOOR}/jwks?x=/.well-known/gw/jwks", ""),
        (f"{DOOR}/jwks?x=https://y/.well-known/gw/jwks", ""),
        (f"{DOOR}/.well-known/jwks#/.well-known/gw/jwks", ""),
        (f"{DOOR}/well-known/gw/jwks", ""),
        ("/.well-known/gw/jwks", ""),
    ],
)
def test_the_application_is_named_by_the_path_alone(url: str, application: str) -> None:
    assert application_of(url) == application
    assert key_scope("casdoor", url) is (KeyScope.APPLICATION if application else KeyScope.INSTANCE)


@pytest.mark.parametrize("profile", sorted(set(PROFILES) - {"casdoor"}))
def test_other_issuers_sign_with_keys_that_no_tenant_can_add(profile: str) -> None:
    assert key_scope(profile, "") is KeyScope.ISSUER
    assert key_scope(profile, f"{DOOR}/.well-known/jwks") is KeyScope.ISSUER


def test_only_issuers_that_list_organizations_and_accept_nothing_are_told() -> None:
    told = tokens.issuer(jwks_uri="")
    others = [
        tokens.issuer(jwks_uri=OWN),
        tokens.issuer(shared_keys=True),
        tokens.issuer(profile="keycloak"),
        tokens.issuer(organizations=frozenset()),
    ]
    assert signed_by_any_tenant([*others, told]) == (told,)


def test_the_key_set_that_vouches_is_described() -> None:
    assert describe_keys(tokens.issuer(jwks_uri=OWN)) == f"the key set of application mcp-gateway, {OWN}"
    everybody = "the key set of every organization of the instance"
    assert describe_keys(tokens.issuer(jwks_uri="")) == f"{everybody}, from discovery"
    accepted = tokens.issuer(jwks_uri=f"{DOOR}/jwks", shared_keys=True)
    assert describe_keys(accepted) == f"{everybody} (accepted: shared_keys), {DOOR}/jwks"
    cloak = tokens.issuer(profile="keycloak", jwks_uri=f"{DOOR}/certs")
    assert describe_keys(cloak) == f"the key set of issuer casdoor, {DOOR}/certs"


@pytest.mark.parametrize(
    ("file", "more"),
    [("app-mcp", False), ("global", True), ("global-after-rival-added-cert-rs256", True)],
)
def test_an_application_without_a_certificate_gets_the_keys_of_all(file: str, *, more: bool) -> None:
    key_set = parse_key_set((tokens.DATA / "jwks" / f"{file}.json").read_bytes())
    assert isinstance(key_set, KeySet)
    issuer = tokens.issuer(jwks_uri=OWN)
    assert holds_more_than_own_keys(issuer, OWN, key_set) is more
    assert not holds_more_than_own_keys(replace(issuer, shared_keys=True), OWN, key_set)
    assert not holds_more_than_own_keys(replace(issuer, profile="rfc9068"), OWN, key_set)
    assert not holds_more_than_own_keys(issuer, f"{DOOR}/.well-known/jwks", key_set)


def test_a_key_that_cannot_be_used_shows_the_fallback_as_well() -> None:
    """`app-nocert` of an instance with one usable key and the demo key is still everybody's."""
    document = json.loads((tokens.DATA / "jwks" / "app-mcp.json").read_bytes())
    document["keys"].append({"kty": "oct", "kid": "other", "k": "AA"})
    key_set = parse_key_set(json.dumps(document).encode())
    assert isinstance(key_set, KeySet)
    assert holds_more_than_own_keys(tokens.issuer(jwks_uri=OWN), OWN, key_set)
