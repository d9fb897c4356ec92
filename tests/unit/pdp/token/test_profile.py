"""The shipped profiles on tokens as each issuer's documentation shows them; Casdoor's are in the recorded corpus."""

import json
from typing import Any, Final

import pytest

from extauthz.pdp.policy import Issuer
from extauthz.pdp.principal import VerifiedToken
from extauthz.pdp.reason import Reason
from extauthz.pdp.token.access_token import SignedToken, TokenFault, inspect, judge, verify_signature
from extauthz.pdp.token.jwks import KeySet, parse_key_set
from extauthz.pdp.token.profile import NEVER_IN_ACCESS_TOKENS, PROFILES
from tests.support.tokens import ABSENT, NOW, RESOURCE, key_set_document, resource, sign

KEYS: Final = parse_key_set(key_set_document())
DATES: Final[dict[str, Any]] = {"iat": NOW, "exp": NOW + 3600}

RFC9068: Final[dict[str, Any]] = DATES | {
    # RFC 9068 §2.2, figure 2.
    "iss": "https://authorization-server.example.com/",
    "sub": "5ba552d67",
    "aud": RESOURCE,
    "jti": "dbe39bf3a3ba4238a513f51d6e1691c4",
    "client_id": "s6BhdRkqt3",
    "scope": "openid profile reademail",
}
KEYCLOAK: Final[dict[str, Any]] = DATES | {
    "iss": "https://sso.example.com/realms/acme",
    "sub": "b7a9cf0c-9f8f-4d39-a7a5-1a3d0f1c0d11",
    "aud": [RESOURCE, "account"],
    "typ": "Bearer",
    "azp": "claude-desktop",
    "jti": "onrtac:1f2e",
    "realm_access": {"roles": ["offline_access", "mcp-reader"]},
    "resource_access": {"account": {"roles": ["manage-account"]}},
    "scope": "profile email mcp:read",
    "groups": ["/engineering"],
    "organization": ["acme"],
    "preferred_username": "alice",
    "name": "Alice Liddell",
}
AUTH0: Final[dict[str, Any]] = DATES | {
    "iss": "https://my-domain.auth0.com/",
    "sub": "auth0|123456",
    "aud": [RESOURCE, "https://my-domain.auth0.com/userinfo"],
    "azp": "my_client_id",
    "scope": "openid profile read:patients",
    "org_id": "org_9ybsU1dN2dKfDkBi",
    "permissions": ["read:patients", "read:admin"],
    "gty": "password",
}
AUTH0_RFC9068: Final[dict[str, Any]] = {name: value for name, value in AUTH0.items() if name not in ("azp", "gty")} | {
    "client_id": "my_client_id",
    "jti": "73WakrfVbNJBaAmhQtEeDv",
}
STYTCH: Final[dict[str, Any]] = DATES | {
    "iss": "https://login.example.com",
    "sub": "user-test-16d9ba61-97a1-4ba4-9720-b03761dc50c6",
    "aud": ["project-test-d0dbafe6", RESOURCE],
    "client_id": "connected-app-test-d731954d-dab3-4a2b-bdee-07f3ad1be888",
    "nbf": NOW,
    "jti": "LOe49j3s9d9dmacslUvrb15ZIjPbptMm7fS5UlE52JCF",
    "scope": "openid email mcp:read",
    "https://stytch.com/organization": {"organization_id": "organization-test-07971b06", "slug": "acme"},
}
STYTCH_M2M: Final[dict[str, Any]] = DATES | {
    "sub": "m2m-client-test-d731954d-dab3-4a2b-bdee-07f3ad1be885",
    "iss": "https://login.example.com",
    "aud": [RESOURCE],
    "scope": "read:users write:users",
    "nbf": NOW,
}


def decide(profile: str, claims: dict[str, Any], typ: Any = "JWT", **terms: Any) -> VerifiedToken | TokenFault:
    """What an issuer of this profile makes of a token with these claims, signed by it."""
    by = Issuer(name="idp", issuer=claims["iss"], jwks_uri="", profile=profile, **terms)
    header = {"alg": "RS256", "kid": "cert-rs256"} | ({} if typ is ABSENT else {"typ": typ})
    unverified = inspect(sign(json.dumps(header).encode(), json.dumps(claims).encode()))
    assert not isinstance(unverified, TokenFault)
    assert isinstance(KEYS, KeySet)
    signed = verify_signature(unverified, KEYS.candidates(unverified.key_id, unverified.algorithm))
    assert isinstance(signed, SignedToken)
    return judge(signed, by, resource(), NOW)


def without(claims: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: value for other, value in claims.items() if other != name}


def reason_of(outcome: VerifiedToken | TokenFault) -> Reason | None:
    return outcome.reason if isinstance(outcome, TokenFault) else None


@pytest.mark.parametrize(
    ("profile", "typ", "claims", "client_id", "organization", "name", "scopes", "roles", "groups"),
    [
        (
            "rfc9068",
            "at+jwt",
            RFC9068 | {"roles": ["a", {"value": "b"}], "groups": [{"value": "g", "display": "G"}]},
            "s6BhdRkqt3",
            "",
            "",
            {"openid", "profile", "reademail"},
            {"a", "b"},
            {"g"},
        ),
        (
            "rfc9068",
            "application/at+jwt",
            RFC9068,
            "s6BhdRkqt3",
            "",
            "",
            {"openid", "profile", "reademail"},
            set(),
            set(),
        ),
        (
            "keycloak",
            "JWT",
            KEYCLOAK,
            "claude-desktop",
            "acme",
            "alice",
            {"profile", "email", "mcp:read"},
            {"offline_access", "mcp-reader"},
            {"/engineering"},
        ),
        (
            "keycloak",
            "at+jwt",
            KEYCLOAK | {"organization": {"acme": {"id": "42c3e46f"}}},
            "claude-desktop",
            "acme",
            "alice",
            {"profile", "email", "mcp:read"},
            {"offline_access", "mcp-reader"},
            {"/engineering"},
        ),
        (
            "auth0",
            "JWT",
            AUTH0,
            "my_client_id",
            "org_9ybsU1dN2dKfDkBi",
            "",
            {"openid", "profile", "read:patients"},
            set(),
            set(),
        ),
        (
            "auth0",
            "at+jwt",
            AUTH0_RFC9068,
            "my_client_id",
            "org_9ybsU1dN2dKfDkBi",
            "",
            {"openid", "profile", "read:patients"},
            set(),
            set(),
        ),
        (
            "stytch",
            "JWT",
            STYTCH,
            "connected-app-test-d731954d-dab3-4a2b-bdee-07f3ad1be888",
            "organization-test-07971b06",
            "",
            {"openid", "email", "mcp:read"},
            set(),
            set(),
        ),
    ],
)
def test_person(
    profile: str,
    typ: str,
    claims: dict[str, Any],
    client_id: str,
    organization: str,
    name: str,
    scopes: set[str],
    roles: set[str],
    groups: set[str],
) -> None:
    outcome = decide(profile, claims, typ)
    assert isinstance(outcome, VerifiedToken), outcome
    who = outcome.principal
    assert (who.client_id, who.organization, who.name) == (client_id, organization, name)
    assert (who.scopes, who.roles, who.groups) == (frozenset(scopes), frozenset(roles), frozenset(groups))
    assert (who.issuer, who.subject, who.machine) == (claims["iss"], claims["sub"], False)
    assert outcome.token_id == claims.get("jti", "")


@pytest.mark.parametrize(
    ("profile", "typ", "claims", "client_id"),
    [
        ("rfc9068", "at+jwt", RFC9068 | {"sub": "s6BhdRkqt3"}, "s6BhdRkqt3"),
        ("keycloak", "JWT", KEYCLOAK | {"preferred_username": "service-account-ops-bot", "azp": "ops-bot"}, "ops-bot"),
        ("keycloak", "JWT", KEYCLOAK | {"clientHost": "10.0.0.7", "azp": "ops-bot"}, "ops-bot"),
        ("keycloak", "JWT", KEYCLOAK | {"jti": "trrtcc:c51764dc-eccd-3f44", "azp": "ops-bot"}, "ops-bot"),
        ("auth0", "JWT", AUTH0 | {"sub": "my_client_id@clients", "gty": "client-credentials"}, "my_client_id"),
        ("auth0", "JWT", AUTH0 | {"gty": "client-credentials"}, "my_client_id"),
        ("auth0", "at+jwt", AUTH0_RFC9068 | {"sub": "my_client_id@clients"}, "my_client_id"),
        ("stytch", "JWT", STYTCH_M2M, "m2m-client-test-d731954d-dab3-4a2b-bdee-07f3ad1be885"),
    ],
)
def test_machine_needs_to_be_listed(profile: str, typ: str, claims: dict[str, Any], client_id: str) -> None:
    assert reason_of(decide(profile, claims, typ)) is Reason.TOKEN_ORGANIZATION
    assert reason_of(decide(profile, claims, typ, clients=frozenset({client_id}))) is Reason.TOKEN_ORGANIZATION
    outcome = decide(profile, claims, typ, machine_clients=frozenset({client_id}))
    assert isinstance(outcome, VerifiedToken), outcome
    assert (outcome.principal.machine, outcome.principal.client_id) == (True, client_id)


@pytest.mark.parametrize(
    ("profile", "claims", "typ"),
    [
        ("rfc9068", RFC9068, "JWT"),
        ("rfc9068", RFC9068, ABSENT),
        ("rfc9068", RFC9068, "logout+jwt"),
        ("rfc9068", RFC9068, "oauth-id-jag+jwt"),
        ("rfc9068", RFC9068, "at+jwtx"),
        ("rfc9068", without(RFC9068, "client_id"), "at+jwt"),
        ("keycloak", KEYCLOAK, ABSENT),
        ("keycloak", KEYCLOAK, "logout+jwt"),
        ("keycloak", without(KEYCLOAK, "typ"), "JWT"),
        ("keycloak", KEYCLOAK | {"typ": "ID"}, "JWT"),
        ("keycloak", KEYCLOAK | {"typ": "Refresh"}, "JWT"),
        ("keycloak", KEYCLOAK | {"typ": "Offline"}, "JWT"),
        ("keycloak", KEYCLOAK | {"typ": "Logout"}, "JWT"),
        ("keycloak", KEYCLOAK | {"typ": "DPoP"}, "JWT"),
        ("keycloak", KEYCLOAK | {"typ": "bearer"}, "JWT"),
        ("keycloak", KEYCLOAK | {"typ": ["Bearer"]}, "JWT"),
        ("auth0", AUTH0, ABSENT),
        ("auth0", AUTH0 | {"nonce": "n-0S6"}, "JWT"),
        ("auth0", AUTH0 | {"c_hash": "x"}, "JWT"),
        ("stytch", without(STYTCH, "scope"), "JWT"),
        ("stytch", STYTCH | {"https://stytch.com/session": {"id": "session-test-1"}}, "JWT"),
        ("stytch", STYTCH | {"nonce": "n-0S6"}, "JWT"),
    ],
)
def test_other_kind_of_jwt_is_refused(profile: str, claims: dict[str, Any], typ: Any) -> None:
    assert reason_of(decide(profile, claims, typ)) is Reason.TOKEN_TYPE


@pytest.mark.parametrize("claim", NEVER_IN_ACCESS_TOKENS)
@pytest.mark.parametrize(
    ("profile", "typ", "claims"),
    [
        ("rfc9068", "at+jwt", RFC9068),
        ("keycloak", "JWT", KEYCLOAK),
        ("auth0", "JWT", AUTH0),
        ("stytch", "JWT", STYTCH),
    ],
)
def test_mark_of_another_kind_is_refused_by_every_profile(
    profile: str, typ: str, claims: dict[str, Any], claim: str
) -> None:
    assert reason_of(decide(profile, claims | {claim: None}, typ)) is Reason.TOKEN_TYPE


@pytest.mark.parametrize(
    ("profile", "claims", "organization"),
    [
        ("keycloak", KEYCLOAK, "acme"),
        ("auth0", AUTH0, "org_9ybsU1dN2dKfDkBi"),
        ("stytch", STYTCH, "organization-test-07971b06"),
    ],
)
def test_tenant_is_checked(profile: str, claims: dict[str, Any], organization: str) -> None:
    assert isinstance(decide(profile, claims, organizations=frozenset({organization})), VerifiedToken)
    assert reason_of(decide(profile, claims, organizations=frozenset({"rival"}))) is Reason.TOKEN_ORGANIZATION


def test_member_of_several_organizations_has_none() -> None:
    """Keycloak: the token has to be asked for with the scope of one organization."""
    claims = KEYCLOAK | {"organization": ["acme", "rival"]}
    assert reason_of(decide("keycloak", claims, organizations=frozenset({"acme"}))) is Reason.TOKEN_ORGANIZATION
    outcome = decide("keycloak", claims)
    assert isinstance(outcome, VerifiedToken)
    assert outcome.principal.organization == ""


def test_clients_named_twice_must_agree() -> None:
    assert isinstance(decide("auth0", AUTH0 | {"client_id": "my_client_id"}), VerifiedToken)
    assert reason_of(decide("auth0", AUTH0 | {"client_id": "other"})) is Reason.TOKEN_SUBJECT


def test_profiles_are_those_of_the_policy_file() -> None:
    assert list(PROFILES) == ["casdoor", "rfc9068", "keycloak", "auth0", "stytch"]
    assert all(profile.name == name for name, profile in PROFILES.items())
    assert all(
        typ == typ.lower() and not typ.startswith("application/") for p in PROFILES.values() for typ in p.header_types
    )
