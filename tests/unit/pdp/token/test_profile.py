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
ENTRA: Final[dict[str, Any]] = DATES | {
    # A token of v2.0 for an API with the scope `mcp.read`, and one of v1.0 below.
    "ver": "2.0",
    "iss": "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
    "aud": RESOURCE,
    "nbf": NOW,
    "azp": "00001111-aaaa-2222-bbbb-3333cccc4444",
    "azpacr": "0",
    "oid": "aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb",
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": "72f988bf-86f1-41af-91ab-2d7cd011db47",
    "scp": "mcp.read mcp.write",
    "roles": ["Operator"],
    "groups": ["11112222-bbbb-3333-cccc-4444dddd5555"],
    "preferred_username": "alice@contoso.example",
    "uti": "AbCdEf",
}
ENTRA_V1: Final[dict[str, Any]] = {
    name: value for name, value in ENTRA.items() if name not in ("azp", "azpacr", "preferred_username")
} | {
    "ver": "1.0",
    "iss": "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/",
    "appid": "00001111-aaaa-2222-bbbb-3333cccc4444",
    "appidacr": "0",
    "upn": "alice@contoso.example",
}
ENTRA_APP: Final[dict[str, Any]] = {name: value for name, value in ENTRA.items() if name != "scp"} | {
    "sub": ENTRA["oid"],
}
OKTA: Final[dict[str, Any]] = DATES | {
    "ver": 1,
    "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
    "iss": "https://dev-1.okta.example/oauth2/default",
    "aud": [RESOURCE],
    "sub": "alice@acme.test",
    "cid": "nmdP1fcyvdVO11AL7ECm",
    "uid": "00ujmkLgagxeRrAg20g3",
    "scp": ["openid", "mcp:read"],
    "groups": ["Everyone"],
    "auth_time": NOW - 5,
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
        *(
            (
                "entra",
                "JWT",
                claims,
                "00001111-aaaa-2222-bbbb-3333cccc4444",
                "72f988bf-86f1-41af-91ab-2d7cd011db47",
                "alice@contoso.example",
                {"mcp.read", "mcp.write"},
                {"Operator"},
                {"11112222-bbbb-3333-cccc-4444dddd5555"},
            )
            for claims in (ENTRA, ENTRA_V1)
        ),
        *(
            (
                "okta",
                typ,
                OKTA,
                "nmdP1fcyvdVO11AL7ECm",
                "",
                "alice@acme.test",
                {"openid", "mcp:read"},
                set(),
                {"Everyone"},
            )
            for typ in (ABSENT, "application/okta-internal-at+jwt")
        ),
        *(
            (profile, typ, without(claims, "scope") | {"scp": scp}, client, organization, "", {"a", "b"}, set(), set())
            for profile, typ, claims, client, organization in (
                ("rfc9068", "at+jwt", RFC9068, "s6BhdRkqt3", ""),
                ("auth0", "JWT", AUTH0, "my_client_id", "org_9ybsU1dN2dKfDkBi"),
            )
            for scp in ("a b", ["a", "b"])
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
        ("entra", "JWT", ENTRA_APP, "00001111-aaaa-2222-bbbb-3333cccc4444"),
        ("entra", "JWT", ENTRA | {"sub": ENTRA["oid"]}, "00001111-aaaa-2222-bbbb-3333cccc4444"),
        ("entra", "JWT", ENTRA | {"idtyp": "app"}, "00001111-aaaa-2222-bbbb-3333cccc4444"),
        ("entra", "JWT", without(ENTRA_V1, "scp"), "00001111-aaaa-2222-bbbb-3333cccc4444"),
        ("okta", ABSENT, OKTA | {"sub": OKTA["cid"]}, "nmdP1fcyvdVO11AL7ECm"),
        ("okta", ABSENT, without(OKTA, "uid"), "nmdP1fcyvdVO11AL7ECm"),
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
        ("entra", without(ENTRA, "azp"), "JWT"),
        ("entra", ENTRA | {"nonce": "n-0S6"}, "JWT"),
        ("entra", without(ENTRA, "ver"), "JWT"),
        ("entra", without(ENTRA, "tid"), "JWT"),
        ("entra", ENTRA, ABSENT),
        ("entra", ENTRA, "at+jwt"),
        ("okta", without(OKTA, "cid"), ABSENT),
        ("okta", OKTA | {"nonce": "n-0S6"}, ABSENT),
        ("okta", OKTA | {"amr": ["pwd"]}, ABSENT),
        ("okta", OKTA, "logout+jwt"),
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
        ("entra", "JWT", ENTRA),
        ("okta", ABSENT, OKTA),
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
        ("entra", ENTRA, "72f988bf-86f1-41af-91ab-2d7cd011db47"),
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


def test_scope_comes_before_scp() -> None:
    outcome = decide("rfc9068", RFC9068 | {"scp": ["everything"]}, "at+jwt")
    assert isinstance(outcome, VerifiedToken)
    assert outcome.principal.scopes == {"openid", "profile", "reademail"}


@pytest.mark.parametrize(
    ("profile", "typ", "claims", "unread"),
    [
        ("keycloak", "JWT", without(KEYCLOAK, "scope") | {"scp": "a"}, "scp"),
        ("entra", "JWT", without(ENTRA, "scp") | {"scope": "a"}, "scope"),
        ("okta", ABSENT, without(OKTA, "scp") | {"scope": "a"}, "scope"),
        ("rfc9068", "at+jwt", without(RFC9068, "scope") | {"permissions": ["a"]}, "permissions"),
        ("keycloak", "JWT", KEYCLOAK | {"scp": "a"}, ""),
        ("keycloak", "JWT", without(KEYCLOAK, "scope"), ""),
    ],
)
def test_scopes_that_the_profile_does_not_read_are_named(
    profile: str, typ: Any, claims: dict[str, Any], unread: str
) -> None:
    outcome = decide(
        profile, claims, typ, machine_clients=frozenset({claims.get("azp", claims.get("cid", "s6BhdRkqt3"))})
    )
    assert isinstance(outcome, VerifiedToken), outcome
    assert outcome.principal.unread_scopes == unread
    assert not (unread and outcome.principal.scopes)


@pytest.mark.parametrize(
    ("client_id", "accepted"),
    [
        ("https://clients.example.com/app.json", True),
        ("https://clients.example.com/", True),
        ("exact", True),
        ("https://clients.example.com", False),
        ("https://clients.example.com.evil.test/app.json", False),
        ("https://clients.example.com@evil.test/app.json", False),
        ("https://clients.example.com:8443/app.json", False),
        ("http://clients.example.com/app.json", False),
        ("HTTPS://clients.example.com/app.json", False),
        ("https://CLIENTS.example.com/app.json", False),
        ("exactly", False),
        ("https://clients.example.com/*", True),
        ("", False),
    ],
)
def test_clients_that_are_urls_are_matched_by_pattern(client_id: str, accepted: bool) -> None:
    """MCP 2026-07-28, authorization, client id metadata documents: the client id is an https URL."""
    by = Issuer(name="i", issuer="i", jwks_uri="", clients=frozenset({"https://clients.example.com/*", "exact"}))
    assert by.takes_client(client_id) is accepted


@pytest.mark.parametrize(
    "rest",
    [
        *("../b/app.json", "x/../../b/app.json", "..", "./../b", "x/.", ".", "..?x", "..#x"),
        *("%2e%2e/b", "%2E./b", ".%2e/b", "%2e/b", "..%2fb", "..%2Fb", "x%2f..%2fb", "..%5cb", "..\\b", "x\\..\\b"),
    ],
)
def test_no_client_leaves_the_path_of_its_pattern(rest: str) -> None:
    """Whoever fetches the document of such an id reads that of another path of the host."""
    by = Issuer(name="i", issuer="i", jwks_uri="", clients=frozenset({"https://clients.example.com/a/*"}))
    assert not by.takes_client(f"https://clients.example.com/a/{rest}")


@pytest.mark.parametrize("rest", ["", "app.json", "v1.2/app..json", "...", "x/.well-known/y", "caf%C3%A9", "x?y=../z"])
def test_ordinary_client_urls_match_their_pattern(rest: str) -> None:
    by = Issuer(name="i", issuer="i", jwks_uri="", clients=frozenset({"https://clients.example.com/a/*"}))
    assert by.takes_client(f"https://clients.example.com/a/{rest}")


def test_profiles_are_those_of_the_policy_file() -> None:
    assert list(PROFILES) == ["casdoor", "rfc9068", "keycloak", "auth0", "stytch", "entra", "okta"]
    assert all(profile.name == name for name, profile in PROFILES.items())
    assert all(
        typ == typ.lower() and not typ.startswith("application/") for p in PROFILES.values() for typ in p.header_types
    )
