"""How the access tokens of one kind of issuer look, as data: one small value per kind, each claim with its source.

Nothing here is code: another issuer is another value in `PROFILES`. What holds for every issuer (signature, `iss`,
`aud`, dates, `sub`) stands in `access_token`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

ClaimPath: TypeAlias = tuple[str, ...]
"""Where a claim stands: its name, then the names of members inside it."""

# Marks of JWTs that issuers sign with the same keys, and that are never access tokens for a bearer.
NEVER_IN_ACCESS_TOKENS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # RFC 8417 §2.2; OpenID Connect Back-Channel Logout 1.0 §2.4; casdoor.md §2.6.
        "events": "a logout token or another security event",
        # OpenID Connect Core §3.1.3.6: the hash of an access token cannot stand in it.
        "at_hash": "an ID token",
        # RFC 7800 §3, RFC 9449 §6, RFC 8705 §3: the bearer has to prove possession of a key, which is not checked here,
        # so that the token would be good for a thief. (Casdoor's DPoP tokens have no such mark: casdoor.md §2.7.)
        "cnf": "a token bound to a key of its client (DPoP or mutual TLS), which is not supported",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineMarks:
    """How a token that a client got for itself (client credentials, RFC 6749 §4.4) is known. Any one mark is enough.

    A person's token that bears a mark by chance is held to the stricter rules of machines; it is never the other way
    round that hurts, so marks are generous.
    """

    subject_prefix: str = ""
    subject_suffix: str = ""
    subject_is_client: bool = False
    """`sub` and client id are the same."""
    name_prefix: str = ""
    token_id: re.Pattern[str] | None = None
    """How `jti` begins."""
    equal: Mapping[str, str] = field(default_factory=dict)
    """Claims that have this very value."""
    present: frozenset[str] = frozenset()
    """Claims that only such tokens have."""
    absent: frozenset[str] = frozenset()
    """Claims that every other token has."""
    subject_equals: str = ""
    """The claim that has the same value as `sub` in such tokens only."""
    client_from_subject: bool = False
    """Where the token names no client, `sub` is it."""
    organization: str = ""
    """The organization that every such token names, instead of the one that the client belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedObject:
    """How a role that comes as an object is read: the member with its name, and one that must be true."""

    name: str
    must_be_true: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of issuer."""

    name: str
    header_types: frozenset[str]
    """Values of the header's `typ` that count, in lower case without `application/`; the empty one is "absent"."""
    required: Mapping[str, str | None] = field(default_factory=dict)
    """Claims that every access token has: with this very string, or (None) with any value."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Claims that mark another kind of JWT, and which kind."""
    client: tuple[str, ...]
    """Claims that name the client. Where a token has more than one of them they must agree."""
    client_required: bool = False
    """Whether a token without a client is no access token."""
    username: tuple[str, ...] = ()
    """Claims that name the user for people, the best first."""
    organization: ClaimPath = ()
    """The tenant of the user, a string."""
    organizations_listed: bool = False
    """`organization` is a list of names, or an object with names as members; it counts when there is exactly one."""
    scopes: tuple[str, ...] = ("scope",)
    """Claims with scopes, of which the first that is there is read: a string with spaces between the scopes (RFC 8693
    §4.2), or a list."""
    roles: ClaimPath = ()
    groups: ClaimPath = ()
    role_object: NamedObject | None = None
    machine: MachineMarks


_CASDOOR: Final = Profile(
    # Casdoor v3 and v4, all four token formats: object/token_jwt.go, object/token_standard_jwt.go.
    name="casdoor",
    # §2.1: always `JWT`. ID-JAGs (`oauth-id-jag+jwt`) and logout tokens with a type of their own stay out.
    header_types=frozenset({"", "jwt"}),
    # §2.2, §2.6. v4's ID tokens have another value.
    required={"tokenType": "access-token"},
    # §2.6: the refresh token of JWT-Custom keeps `tokenType: access-token` and has its mark under a capital letter.
    refused={"TokenType": "a refresh token of the format JWT-Custom"},
    # §2.2: in every format.
    client=("azp",),
    # §2.4: in JWT-Standard the user name is `preferred_username` and `name` the display name; elsewhere it is `name`.
    username=("preferred_username", "name"),
    # §2.3, §2.4, §2.5.
    organization=("owner",),
    roles=("roles",),
    groups=("groups",),
    # §2.3: whole rows, and those that are switched off are still in.
    role_object=NamedObject(name="name", must_be_true="isEnabled"),
    # §2.8: `sub` in every format, `type` in JWT. All have the owner `admin`, whosever the application is.
    machine=MachineMarks(subject_prefix="admin/", equal={"type": "application"}, organization="admin"),
)

_RFC9068: Final = Profile(
    # RFC 9068, JSON Web Token Profile for OAuth 2.0 Access Tokens.
    name="rfc9068",
    # §2.1, §4: `at+jwt` or `application/at+jwt`, and nothing else.
    header_types=frozenset({"at+jwt"}),
    # §2.2: `client_id` is required (RFC 8693 §4.3).
    required={"client_id": None},
    client=("client_id",),
    # §2.2.2 points at OpenID Connect Core §5.1.
    username=("preferred_username", "name"),
    # No claim is defined for a tenant.
    # §2.2.3: `scope`. Ping, Okta-like and older servers that mint `at+jwt` have `scp` (a list, as in Okta's).
    scopes=("scope", "scp"),
    # §2.2.3.1: as in SCIM (RFC 7643 §4.1.2), where a complex value has its name in `value` (§2.4).
    roles=("roles",),
    groups=("groups",),
    role_object=NamedObject(name="value"),
    # §2.2: without a resource owner `sub` identifies the client.
    machine=MachineMarks(subject_is_client=True),
)

_KEYCLOAK: Final = Profile(
    # Keycloak (26.7.3 recorded): org.keycloak.representations.AccessToken, org.keycloak.util.TokenUtil. Lightweight
    # tokens name neither subject nor audience, and are refused.
    name="keycloak",
    # DefaultTokenManager.type(): `JWT`, or `at+jwt` by the client's switch; a logout token has `logout+jwt`.
    header_types=frozenset({"jwt", "at+jwt"}),
    # TokenUtil: the claim `typ` is `Bearer`; else `ID`, `Refresh`, `Offline`, `Logout`, `Serialized-ID`, `DPoP`.
    required={"typ": "Bearer"},
    # AccessToken.issuedFor.
    client=("azp",),
    # Client scope `profile`, mapper `username`.
    username=("preferred_username",),
    # Client scope `organization`, OrganizationMembershipMapper: a list of aliases, or an object with one per member.
    organization=("organization",),
    organizations_listed=True,
    # Client scope `roles`, mapper `realm roles`. Roles of single clients (`resource_access`) share no name space with
    # these and are left out.
    roles=("realm_access", "roles"),
    # Group Membership mapper, under its usual name.
    groups=("groups",),
    # ServiceAccountConstants: the user of a service account is `service-account-<client id>`, and the client scope
    # `service_account` adds the address of the client; a token can lack both. DefaultTokenContextEncoderProvider, since
    # 26.2: `jti` begins with two letters each for session, token and grant, `cc` being client credentials.
    machine=MachineMarks(
        name_prefix="service-account-",
        token_id=re.compile("[a-z]{4}cc:"),
        present=frozenset({"clientHost", "clientAddress"}),
    ),
)

_AUTH0: Final = Profile(
    # Auth0, both token profiles: auth0.com/docs/secure/tokens/access-tokens/access-token-profiles.
    name="auth0",
    # "Token profile differences": `JWT` in the Auth0 profile, `at+jwt` in the RFC 9068 profile.
    header_types=frozenset({"jwt", "at+jwt"}),
    # An ID token has the client as its audience, and `nonce` where the client sent one (docs/secure/tokens/id-tokens).
    refused={"nonce": "an ID token", "c_hash": "an ID token"},
    # `azp` in the Auth0 profile, `client_id` in the RFC 9068 profile.
    client=("azp", "client_id"),
    # docs/manage-users/organizations/using-tokens.
    organization=("org_id",),
    # `scope` in both profiles; `scp` where an Action of the tenant writes the scopes as other issuers do.
    scopes=("scope", "scp"),
    # Roles stand in claims that each tenant names as it likes; `permissions` are scopes of the user, not roles.
    # `sub` of machine-to-machine tokens is `<client id>@clients`; `gty` names the grant (Auth0 profile only).
    machine=MachineMarks(subject_suffix="@clients", equal={"gty": "client-credentials"}),
)

_STYTCH: Final = Profile(
    # Stytch Connected Apps and M2M: stytch.com/docs/api-reference/b2b/api/connected-apps/tokens/
    # connected-app-access-token-object, stytch.com/docs/api-reference/b2b/api/m2m/token/get-access-token.
    name="stytch",
    # No type is documented; tokens of Stytch's own samples have `JWT` or none.
    header_types=frozenset({"", "jwt", "at+jwt"}),
    # Both kinds of access token carry `scope`; the ID token (connected-app-id-token-object) does not.
    required={"scope": None},
    # Signed with the same project keys and with the same audience: the JWT of a browser session.
    refused={"https://stytch.com/session": "a session JWT", "nonce": "an ID token"},
    # Absent in M2M tokens.
    client=("client_id",),
    # B2B: an object with `organization_id` and `slug`.
    organization=("https://stytch.com/organization", "organization_id"),
    # `sub` of an M2M token is its client id, `m2m-client-test-…` or `m2m-client-live-…`.
    machine=MachineMarks(subject_prefix="m2m-client-", client_from_subject=True),
)

_ENTRA: Final = Profile(
    # Microsoft Entra ID, tokens of v1.0 (issuer https://sts.windows.net/<tenant>/) and v2.0
    # (https://login.microsoftonline.com/<tenant>/v2.0): learn.microsoft.com/entra/identity-platform/
    # access-token-claims-reference.
    name="entra",
    # "Header claims": `typ` is always `JWT`.
    header_types=frozenset({"jwt"}),
    # "Payload claims": `ver` is 1.0 or 2.0, `tid` the tenant, in every token.
    required={"ver": None, "tid": None},
    # id-token-claims-reference: hashes and `nonce` are in ID tokens only (an access token for Microsoft Graph has its
    # `nonce` in the header, and cannot be verified by anybody else).
    refused={"nonce": "an ID token", "c_hash": "an ID token"},
    # `appid` in v1.0, `azp` in v2.0. ID tokens have neither.
    client=("azp", "appid"),
    client_required=True,
    # `preferred_username` in v2.0, `unique_name` and `upn` in v1.0; for people only, all can change.
    username=("preferred_username", "upn", "unique_name", "name"),
    organization=("tid",),
    # Delegated permissions, by short name; permissions of applications and roles of users are in `roles`.
    scopes=("scp",),
    roles=("roles",),
    groups=("groups",),
    # "idtyp": `app`, where the API asks for that optional claim. Else: no `scp`, and `oid` and `sub` are the same.
    machine=MachineMarks(equal={"idtyp": "app"}, subject_equals="oid", absent=frozenset({"scp"})),
)

_OKTA: Final = Profile(
    # Okta, authorization servers of the organization and custom ones: developer.okta.com/docs/api/openapi/okta-oauth/
    # guides/overview, "Access token".
    name="okta",
    # Custom servers send no `typ`; that of the organization sends `application/okta-internal-at+jwt`.
    header_types=frozenset({"", "jwt", "at+jwt", "okta-internal-at+jwt"}),
    # "Reserved claims in the payload": `ver`, and `cid`, the client. ID tokens have no `cid`.
    required={"ver": None, "cid": None},
    refused={"nonce": "an ID token", "amr": "an ID token"},
    client=("cid",),
    # `sub` is the login of a person.
    username=("preferred_username", "sub"),
    # A list.
    scopes=("scp",),
    # Custom claims, under their usual names.
    roles=("roles",),
    groups=("groups",),
    # Client credentials: `sub` is the client, and there is no `uid` (the id of a person).
    machine=MachineMarks(subject_is_client=True, absent=frozenset({"uid"})),
)

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {profile.name: profile for profile in (_CASDOOR, _RFC9068, _KEYCLOAK, _AUTH0, _STYTCH, _ENTRA, _OKTA)}
)
"""By the name that a policy file uses."""
