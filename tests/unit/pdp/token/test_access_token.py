"""`screen` and `judge` on Casdoor-shaped tokens: each rule on both sides of its edge."""

from typing import Any, Final

import pytest

from extauthz.pdp.policy import Issuer, Resource
from extauthz.pdp.principal import Principal, VerifiedToken
from extauthz.pdp.reason import Reason
from extauthz.pdp.token import access_token
from extauthz.pdp.token.access_token import (
    SignedToken,
    TokenFault,
    UnverifiedToken,
    digest_of,
    inspect,
    judge,
    screen,
    verify_signature,
)
from extauthz.pdp.token.jwks import KeySet, parse_key_set
from tests.support.tokens import (
    ABSENT,
    CLIENT,
    ISSUER,
    MACHINE,
    NOW,
    RESOURCE,
    SUBJECT,
    issuer,
    key_set_document,
    mint,
    resource,
)

KEYS: Final = parse_key_set(key_set_document())
LEEWAY_S: Final = 30
BY: Final = issuer(leeway_s=LEEWAY_S)
# Casdoor's machine tokens name their client as audience.
FOR_MACHINES: Final = resource(audiences=frozenset({CLIENT}))


def signed(claims: dict[str, Any] | None = None, **how: Any) -> SignedToken:
    unverified = inspect(mint(claims, **how))
    assert isinstance(unverified, UnverifiedToken), unverified
    assert isinstance(KEYS, KeySet)
    found = verify_signature(unverified, KEYS.candidates(unverified.key_id, unverified.algorithm))
    assert isinstance(found, SignedToken)
    return found


def decide(
    claims: dict[str, Any] | None = None, by: Issuer = BY, at: Resource | None = None, now: float = NOW, **how: Any
) -> VerifiedToken | TokenFault:
    return judge(signed(claims, **how), by, at or resource(), now)


def reason_of(outcome: VerifiedToken | TokenFault | None) -> Reason | None:
    return outcome.reason if isinstance(outcome, TokenFault) else None


def principal_of(outcome: VerifiedToken | TokenFault) -> Principal:
    assert isinstance(outcome, VerifiedToken), outcome
    return outcome.principal


# Ordinary.


def test_good_token_becomes_a_principal() -> None:
    claims = {
        "roles": [{"name": "reader", "isEnabled": True}, {"name": "admin", "isEnabled": False}],
        "groups": ["acme/engineering"],
    }
    assert decide(claims) == VerifiedToken(
        principal=Principal(
            issuer=ISSUER,
            subject=SUBJECT,
            organization="acme",
            name="alice",
            client_id=CLIENT,
            scopes=frozenset({"openid", "profile", "mcp:read"}),
            roles=frozenset({"reader"}),
            groups=frozenset({"acme/engineering"}),
            machine=False,
        ),
        issued_at=NOW,
        expires_at=NOW + 3600,
        token_id="admin/11111111-2222-3333-4444-555555555555",
        digests=(digest_of(mint(claims)),),
    )


@pytest.mark.parametrize("alg", ["RS256", "RS512", "ES256", "ES384", "ES512"])
def test_algorithm_of_the_issuer_counts(alg: str) -> None:
    assert isinstance(decide(alg=alg), VerifiedToken)
    others = tuple(name for name in BY.algorithms if name != alg)
    assert reason_of(decide(alg=alg, by=issuer(algorithms=others))) is Reason.TOKEN_ALGORITHM


def test_vouched_token_is_judged_like_a_signed_one() -> None:
    token = signed().token
    assert judge(SignedToken.vouched(token), BY, resource(), NOW) == decide()
    assert reason_of(judge(SignedToken.vouched(token), BY, resource(), NOW + 4000)) is Reason.TOKEN_EXPIRED


# Header (rule 1).


@pytest.mark.parametrize("typ", ["JWT", "jwt", "Jwt", "application/jwt", "", ABSENT])
def test_type_of_an_access_token(typ: Any) -> None:
    assert isinstance(decide(header={"typ": typ}), VerifiedToken)


@pytest.mark.parametrize(
    "typ", ["at+jwt", "logout+jwt", "oauth-id-jag+jwt", "dpop+jwt", "secevent+jwt", "JWTx", "JOSE", "jwt ", "x/jwt"]
)
def test_type_of_something_else_is_refused(typ: str) -> None:
    assert reason_of(decide(header={"typ": typ})) is Reason.TOKEN_TYPE


@pytest.mark.parametrize(
    "iss",
    [
        "https://door.casdoor.test/",
        "https://DOOR.casdoor.test",
        "http://door.casdoor.test",
        "https://door.casdoor.test.evil.test",
        "https://evil.test",
        "https://door.casdoor.test/.well-known/app-mcp",
        " https://door.casdoor.test",
    ],
)
def test_issuer_is_compared_byte_for_byte(iss: str) -> None:
    assert reason_of(decide({"iss": iss})) is Reason.TOKEN_ISSUER


@pytest.mark.parametrize(
    ("claims", "how", "reason"),
    [
        ({}, {}, None),
        ({"iss": "https://evil.test"}, {}, Reason.TOKEN_ISSUER),
        ({}, {"alg": "RS512"}, Reason.TOKEN_ALGORITHM),
        ({}, {"header": {"typ": "at+jwt"}}, Reason.TOKEN_TYPE),
    ],
)
def test_screen_says_what_judge_says(claims: dict[str, Any], how: dict[str, Any], reason: Reason | None) -> None:
    by = issuer(algorithms=("RS256",))
    token = signed(claims, **how)
    assert reason_of(screen(token.token, by)) is reason
    assert reason_of(judge(token, by, resource(), NOW)) is reason


# Kind (rule 2).


@pytest.mark.parametrize(
    "claims",
    [
        {"tokenType": ABSENT},
        {"tokenType": None},
        {"tokenType": "refresh-token"},
        {"tokenType": "id-token"},
        {"tokenType": "Access-Token"},
        {"tokenType": "access-token "},
        {"tokenType": ["access-token"]},
        {"tokenType": True},
        {"TokenType": "refresh-token"},
        {"TokenType": "access-token"},
        {"TokenType": None},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
        {"events": None},
        {"at_hash": "x"},
        {"cnf": {"jkt": "x"}},
    ],
)
def test_other_kind_of_jwt_is_refused(claims: dict[str, Any]) -> None:
    assert reason_of(decide(claims)) is Reason.TOKEN_TYPE


def test_claim_that_a_later_casdoor_adds_does_no_harm() -> None:
    added = {"auth_time": NOW, "acr": "1", "amr": ["pwd"], "sid": "x", "client_id": "x", "nonce": "n"}
    assert principal_of(decide(added)) == principal_of(decide())


# Dates (rule 3).


def shared_state(date: int, *, accepted_before: bool) -> list[tuple[float, bool]]:
    offsets = (-3600, -1, -0.001, 0, 0.001, 1, 3600)
    return [(date + offset, (offset < 0) == accepted_before) for offset in offsets]


@pytest.mark.parametrize(("now", "accepted"), shared_state(NOW + 3600 + LEEWAY_S, accepted_before=True))
def test_exp_holds_until_the_leeway_is_over(now: float, accepted: bool) -> None:
    outcome = decide(now=now)
    assert reason_of(outcome) is (None if accepted else Reason.TOKEN_EXPIRED)


@pytest.mark.parametrize("claim", ["nbf", "iat"])
@pytest.mark.parametrize(("now", "accepted"), shared_state(NOW - LEEWAY_S, accepted_before=False))
def test_nbf_and_iat_hold_from_the_leeway_before(now: float, accepted: bool, claim: str) -> None:
    claims = {"nbf": NOW - 7200, "iat": NOW - 7200, claim: NOW}
    assert reason_of(decide(claims, now=now)) is (None if accepted else Reason.TOKEN_NOT_YET_VALID)


def test_leeway_is_the_issuers() -> None:
    late = NOW + 3600 + 45
    assert reason_of(decide(now=late)) is Reason.TOKEN_EXPIRED
    assert isinstance(decide(now=late, by=issuer(leeway_s=60)), VerifiedToken)
    assert reason_of(decide(now=NOW + 3600, by=issuer(leeway_s=0))) is Reason.TOKEN_EXPIRED


def test_nbf_may_be_absent() -> None:
    assert isinstance(decide({"nbf": ABSENT}), VerifiedToken)


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", [None, True, "1", [], {}, 10**15, 2**53 - 1, 1e15])
def test_date_that_is_no_date_is_refused(claim: str, value: Any) -> None:
    assert reason_of(decide({claim: value})) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("claims", "now", "reason"),
    [
        ({"exp": NOW + 60.9}, NOW + 89.9, None),
        ({"exp": NOW + 60.9}, NOW + 90, Reason.TOKEN_EXPIRED),
        ({"nbf": NOW + 0.1}, NOW - 29, None),
        ({"nbf": NOW + 0.1}, NOW - 29.1, Reason.TOKEN_NOT_YET_VALID),
        ({"iat": NOW + 0.1}, NOW - 29, None),
        ({"iat": NOW + 0.1}, NOW - 29.1, Reason.TOKEN_NOT_YET_VALID),
        ({"iat": float(NOW), "exp": float(NOW + 60)}, NOW, None),
    ],
)
def test_fraction_of_a_second_rounds_against_the_caller(claims: dict[str, Any], now: float, reason: Reason) -> None:
    """RFC 7519 §2: a NumericDate may have a fraction."""
    outcome = decide(claims, by=issuer(leeway_s=30), now=now)
    assert (outcome.reason if isinstance(outcome, TokenFault) else None) is reason


def test_dates_that_are_kept_are_whole_seconds() -> None:
    outcome = decide({"iat": NOW + 0.9, "exp": NOW + 60.9}, now=NOW + 1)
    assert isinstance(outcome, VerifiedToken)
    assert (outcome.issued_at, outcome.expires_at) == (NOW, NOW + 60)


@pytest.mark.parametrize("claim", ["exp", "iat"])
def test_date_that_must_be_there_is_missed(claim: str) -> None:
    assert reason_of(decide({claim: ABSENT})) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("exp", [0, -1, NOW - 3600])
def test_date_long_past_is_expired(exp: int) -> None:
    assert reason_of(decide({"exp": exp})) is Reason.TOKEN_EXPIRED


def test_clock_that_is_no_number_accepts_nothing() -> None:
    assert reason_of(decide(now=float("nan"))) is Reason.TOKEN_EXPIRED
    assert reason_of(decide(now=float("inf"))) is Reason.TOKEN_EXPIRED
    assert reason_of(decide(now=float("-inf"))) is Reason.TOKEN_NOT_YET_VALID


# Subject (rule 4).


@pytest.mark.parametrize("sub", [ABSENT, None, "", 7, ["a"], {"a": "b"}, "a\r\nb", "a\0", "s" * 8193])
def test_subject_that_is_nobody_is_refused(sub: Any) -> None:
    assert reason_of(decide({"sub": sub})) is Reason.TOKEN_SUBJECT


def test_subject_can_be_long() -> None:
    assert principal_of(decide({"sub": "s" * 5000})).subject == "s" * 5000


# Audience (rule 5).


@pytest.mark.parametrize(
    "aud",
    [
        RESOURCE,
        [RESOURCE],
        ["other", RESOURCE],
        [RESOURCE, "other"],
        f"{RESOURCE}/",
        [f"{RESOURCE}/"],
    ],
)
def test_audience_names_the_resource(aud: Any) -> None:
    assert isinstance(decide({"aud": aud}), VerifiedToken)


@pytest.mark.parametrize(
    "aud",
    [
        ABSENT,
        None,
        "",
        [],
        7,
        True,
        {RESOURCE: True},
        [[RESOURCE]],
        [RESOURCE, 7],
        [RESOURCE, None],
        "*",
        CLIENT,
        "https://mcp.acme.test",
        "https://mcp.acme.test/",
        f"{RESOURCE}//",
        f"{RESOURCE}/evil",
        f"{RESOURCE}?x=1",
        f"{RESOURCE}#f",
        f"{RESOURCE} https://other.test/mcp",
        f"{RESOURCE},other",
        "https://MCP.acme.test/mcp",
        "https://mcp.acme.test:443/mcp",
        "https://mcp.acme.test/MCP",
        "http://mcp.acme.test/mcp",
        "https://mcp.acme.test/mc",
        "https://other.test/mcp",
    ],
)
def test_audience_that_names_something_else_is_refused(aud: Any) -> None:
    assert reason_of(decide({"aud": aud})) is Reason.TOKEN_AUDIENCE


@pytest.mark.parametrize("uri", ["https://mcp.acme.test", "https://mcp.acme.test/"])
@pytest.mark.parametrize("aud", ["https://mcp.acme.test", "https://mcp.acme.test/"])
def test_slash_of_a_resource_without_a_path_is_optional(uri: str, aud: str) -> None:
    assert isinstance(decide({"aud": aud}, at=resource(uri=uri)), VerifiedToken)


def test_further_audience_is_exact() -> None:
    at = resource(audiences=frozenset({"https://old.acme.test/mcp", CLIENT}))
    assert isinstance(decide({"aud": [CLIENT]}, at=at), VerifiedToken)
    assert isinstance(decide({"aud": "https://old.acme.test/mcp"}, at=at), VerifiedToken)
    for aud in ("https://old.acme.test/mcp/", "https://old.acme.test/mc", f"{CLIENT}-org-acme", CLIENT.upper()):
        assert reason_of(decide({"aud": aud}, at=at)) is Reason.TOKEN_AUDIENCE


def test_token_of_one_resource_is_no_token_of_another() -> None:
    other = resource(name="other", uri="https://mcp.acme.test/other")
    assert isinstance(decide(), VerifiedToken)
    assert reason_of(decide(at=other)) is Reason.TOKEN_AUDIENCE
    assert isinstance(decide({"aud": [other.uri]}, at=other), VerifiedToken)


# Client (rule 6).


def test_any_client_may_come_where_none_is_listed() -> None:
    assert principal_of(decide({"azp": "anybody"})).client_id == "anybody"
    assert principal_of(decide({"azp": ABSENT})).client_id == ""


@pytest.mark.parametrize("azp", ["other", ABSENT, None, "", CLIENT.upper(), f"{CLIENT} "])
def test_client_that_is_not_listed_is_refused(azp: Any) -> None:
    by = issuer(clients=frozenset({CLIENT}))
    assert isinstance(decide(by=by), VerifiedToken)
    assert reason_of(decide({"azp": azp}, by=by)) is Reason.TOKEN_ORGANIZATION


@pytest.mark.parametrize("azp", [7, [CLIENT], {}, "a\nb", "\x7f"])
def test_client_that_is_no_name_is_refused(azp: Any) -> None:
    assert reason_of(decide({"azp": azp})) is Reason.TOKEN_SUBJECT


def test_client_can_be_a_metadata_document() -> None:
    """OAuth Client ID Metadata Documents: the client id is an HTTPS URL."""
    url = "https://client.example/oauth/metadata.json"
    assert principal_of(decide({"azp": url}, by=issuer(clients=frozenset({url})))).client_id == url


# Machines (rule 7).


def test_machine_needs_both_its_client_and_its_audience_listed() -> None:
    machines = issuer(machine_clients=frozenset({CLIENT}))
    claims = dict(MACHINE)
    assert principal_of(decide(claims, by=machines, at=FOR_MACHINES)).machine is True
    assert reason_of(decide(claims, by=BY, at=FOR_MACHINES)) is Reason.TOKEN_ORGANIZATION
    assert reason_of(decide(claims, by=machines)) is Reason.TOKEN_AUDIENCE
    assert isinstance(decide(claims | {"aud": [RESOURCE]}, by=machines), VerifiedToken)


def test_machine_of_another_client_is_refused() -> None:
    machines = issuer(machine_clients=frozenset({"ops-bot"}))
    assert reason_of(decide(dict(MACHINE), by=machines, at=FOR_MACHINES)) is Reason.TOKEN_ORGANIZATION


def test_list_of_clients_is_about_machines_too() -> None:
    terms = {"machine_clients": frozenset({CLIENT})}
    listed = issuer(clients=frozenset({CLIENT, "other"}), **terms)
    unlisted = issuer(clients=frozenset({"other"}), **terms)
    assert isinstance(decide(dict(MACHINE), by=listed, at=FOR_MACHINES), VerifiedToken)
    assert reason_of(decide(dict(MACHINE), by=unlisted, at=FOR_MACHINES)) is Reason.TOKEN_ORGANIZATION


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "admin/app-mcp", "owner": "admin"},
        {"type": "application", "owner": "admin"},
    ],
)
def test_either_mark_makes_a_machine(claims: dict[str, Any]) -> None:
    assert reason_of(decide(claims)) is Reason.TOKEN_ORGANIZATION
    assert principal_of(decide(claims, by=issuer(machine_clients=frozenset({CLIENT})))).machine is True


def test_mark_of_another_profile_makes_no_machine() -> None:
    for claims in ({"sub": CLIENT}, {"sub": "x@clients"}, {"gty": "client-credentials"}, {"clientHost": "10.0.0.7"}):
        assert principal_of(decide(claims)).machine is False


def test_person_gains_nothing_from_a_machine_client() -> None:
    outcome = decide(by=issuer(machine_clients=frozenset({CLIENT})))
    assert principal_of(outcome).machine is False


# Organization (rule 8).


@pytest.mark.parametrize("owner", ["rival", "admin", "ACME", "acme ", " acme", "", None, ABSENT])
def test_member_of_another_organization_is_refused(owner: Any) -> None:
    assert reason_of(decide({"owner": owner})) is Reason.TOKEN_ORGANIZATION


@pytest.mark.parametrize("owner", [7, ["acme"], {"acme": {}}, True, "acme\n"])
def test_organization_that_is_no_name_is_refused(owner: Any) -> None:
    assert reason_of(decide({"owner": owner})) is Reason.TOKEN_SUBJECT


def test_any_organization_counts_where_none_is_listed() -> None:
    anybody = issuer(organizations=frozenset())
    assert principal_of(decide({"owner": "rival"}, by=anybody)).organization == "rival"
    assert principal_of(decide({"owner": ABSENT}, by=anybody)).organization == ""


@pytest.mark.parametrize("owner", ["acme", "rival", "", ABSENT])
def test_machine_belongs_to_the_organization_of_machines(owner: Any) -> None:
    """A token that says `sub: admin/…` and an organization of people is nothing that Casdoor issues."""
    machines = issuer(machine_clients=frozenset({CLIENT}))
    claims = dict(MACHINE) | {"owner": owner}
    assert reason_of(decide(claims, by=machines, at=FOR_MACHINES)) is Reason.TOKEN_ORGANIZATION


# Where other profiles want more than Casdoor's.


def test_machine_that_names_no_client_is_its_own() -> None:
    machine = "m2m-client-test-d731954d"
    by = issuer(profile="stytch", organizations=frozenset(), machine_clients=frozenset({machine}))
    assert principal_of(decide({"sub": machine}, by=by)).client_id == machine
    assert reason_of(decide({"sub": machine, "client_id": "other"}, by=by)) is Reason.TOKEN_ORGANIZATION


def test_nobody_else_is_its_own_client() -> None:
    person = decide({"azp": ABSENT}, by=issuer(profile="stytch", organizations=frozenset()))
    assert (principal_of(person).client_id, principal_of(person).machine) == ("", False)
    named_after_itself = issuer(machine_clients=frozenset({"admin/app-mcp"}))
    machine = decide(dict(MACHINE) | {"azp": ABSENT}, by=named_after_itself, at=FOR_MACHINES)
    assert reason_of(machine) is Reason.TOKEN_ORGANIZATION


def test_machine_of_an_issuer_without_an_organization_for_machines_needs_a_listed_one() -> None:
    by = issuer(profile="keycloak", machine_clients=frozenset({CLIENT}))
    claims = {"typ": "Bearer", "preferred_username": f"service-account-{CLIENT}"}
    assert principal_of(decide(claims | {"organization": ["acme"]}, by=by)).machine is True
    for listed in (["rival"], [""], []):
        assert reason_of(decide(claims | {"organization": listed}, by=by)) is Reason.TOKEN_ORGANIZATION
    assert reason_of(decide(claims, by=by)) is Reason.TOKEN_ORGANIZATION


def test_client_that_is_named_twice_has_one_name() -> None:
    by = issuer(profile="auth0", organizations=frozenset())
    assert principal_of(decide({"client_id": CLIENT}, by=by)).client_id == CLIENT
    assert reason_of(decide({"client_id": "other"}, by=by)) is Reason.TOKEN_SUBJECT


def test_organization_can_be_the_only_one_in_a_list() -> None:
    by = issuer(profile="keycloak")
    claims = {"typ": "Bearer"}
    assert principal_of(decide(claims | {"organization": ["acme"]}, by=by)).organization == "acme"
    elsewhere: list[Any] = [["acme", "rival"], [], {"rival": {}}, [["acme"]]]
    for listed in elsewhere:
        assert isinstance(decide(claims | {"organization": listed}, by=by), TokenFault)


# What is kept (rule 9).


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({}, "alice"),
        ({"preferred_username": "alice", "name": "Alice Liddell"}, "alice"),
        ({"name": ABSENT}, ""),
        ({"name": {"a": 1}}, ""),
        ({"name": "a\r\nx-auth-scopes: admin"}, ""),
    ],
)
def test_name_is_the_user_name(claims: dict[str, Any], name: str) -> None:
    assert principal_of(decide(claims)).name == name


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [(ABSENT, set()), (None, set()), ("", set()), ("a b", {"a", "b"}), ("a,b", {"a,b"}), (["a", "b"], {"a", "b"})],
)
def test_scopes_are_kept(scope: Any, scopes: set[str]) -> None:
    assert principal_of(decide({"scope": scope})).scopes == frozenset(scopes)


@pytest.mark.parametrize("scope", [7, True, {"a": "b"}])
def test_scope_that_is_no_scope_is_refused(scope: Any) -> None:
    assert reason_of(decide({"scope": scope})) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("claim", ["roles", "groups"])
def test_too_many_names_are_refused(claim: str) -> None:
    assert reason_of(decide({claim: ["a"] * 2049})) is Reason.TOKEN_MALFORMED
    assert isinstance(decide({claim: ["a"] * 2048}), VerifiedToken)


@pytest.mark.parametrize("jti", [ABSENT, None])
def test_token_may_have_no_id(jti: Any) -> None:
    outcome = decide({"jti": jti})
    assert isinstance(outcome, VerifiedToken)
    assert outcome.token_id == ""


def test_token_id_is_a_string() -> None:
    assert reason_of(decide({"jti": 7})) is Reason.TOKEN_MALFORMED


def test_nothing_else_of_the_claims_is_kept() -> None:
    """Casdoor's `JWT` format holds password salts, TOTP secrets and tokens of third parties (casdoor.md §2.3)."""
    secret = "TESTONLY-SECRET"
    fields = ("passwordSalt", "hash", "totpSecret", "email", "phone", "displayName", "nonce", "sid")
    claims: dict[str, Any] = dict.fromkeys(fields, secret) | {
        "properties": {"oauth_GitHub_accessToken": secret},
        "recoveryCodes": [secret],
        "permissions": [secret],
    }
    assert secret not in repr(decide(claims))
    assert "alice@acme.test" not in repr(decide())


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "TESTONLY\n"},
        {"exp": ["TESTONLY"]},
        {"scope": {"TESTONLY": 1}},
        {"jti": ["TESTONLY"]},
        {"events": "TESTONLY"},
    ],
)
def test_fault_repeats_no_claim_that_is_not_compared(claims: dict[str, Any]) -> None:
    outcome = decide(claims)
    assert isinstance(outcome, TokenFault)
    assert "TESTONLY" not in outcome.detail


@pytest.mark.parametrize(
    ("claims", "named"),
    [
        ({"azp": "other-client"}, f'client (`azp`) is "other-client"; `clients` of issuer casdoor: "{CLIENT}"'),
        ({"azp": ABSENT}, f'client (`azp`) is missing; `clients` of issuer casdoor: "{CLIENT}"'),
        ({"owner": "rival"}, 'organization (`owner`) is "rival"; `organizations` of issuer casdoor: "acme"'),
        ({"owner": ABSENT}, "organization (`owner`) is missing; `organizations` of issuer casdoor:"),
        (dict(MACHINE), f'"{CLIENT}"'),
        ({"aud": ["x", "y"]}, 'claim `aud` is "x", "y"; resource mcp takes'),
        ({"aud": []}, "claim `aud` is an empty list; resource mcp takes"),
        ({"aud": ABSENT}, "claim `aud` is missing; resource mcp takes"),
        ({"tokenType": "id-token"}, 'claim `tokenType` is "id-token"; profile casdoor takes "access-token"'),
        ({"tokenType": ABSENT}, 'claim `tokenType` is missing; profile casdoor takes "access-token"'),
        ({"exp": "soon"}, 'claim `exp` is "soon", a date is a number of seconds'),
        ({"exp": ABSENT}, "claim `exp` is missing"),
        ({"iss": "http://door.casdoor.test"}, '`iss` is "http://door.casdoor.test"; issuers of casdoor:'),
        ({"iss": ISSUER + "/"}, "they differ by scheme or a slash at the end"),
        ({"owner": "\u202e" + "x" * 500}, "\\u202exxx"),
    ],
)
def test_fault_shows_what_came_and_what_was_expected(claims: dict[str, Any], named: str) -> None:
    outcome = decide(claims, by=issuer(clients=frozenset({CLIENT})), at=FOR_MACHINES)
    assert isinstance(outcome, TokenFault)
    assert named in outcome.detail
    assert outcome.detail.isprintable()
    assert len(outcome.detail) < 600


def test_public_names_are_all_there() -> None:
    assert all(hasattr(access_token, name) for name in access_token.__all__)
