"""Access tokens: from the text in the request to a principal, in steps that cannot be taken out of order.

    inspect           text           -> UnverifiedToken   structure; which issuer and which key it claims
    screen            UnverifiedToken -> None             the header, by the issuer's terms (optional: `judge` asks too)
    verify_signature  UnverifiedToken -> SignedToken      with the keys of that issuer
    judge             SignedToken    -> VerifiedToken     the claims, by one issuer, for one resource, at one moment

No step does I/O, reads a clock or raises; what is expected to go wrong comes back as a `TokenFault`.

References: RFC 7519 (JWT), RFC 8725 (JWT best practice), RFC 9068 (JWT access tokens), RFC 8707 (resource indicators);
`casdoor.md` holds what Casdoor does, its §1 the rules for a validator.
"""

from extauthz.pdp.policy import Issuer, Resource
from extauthz.pdp.principal import Principal, VerifiedToken
from extauthz.pdp.reason import Reason
from extauthz.pdp.token.claims import (
    Claims,
    claim_at,
    only_name,
    read_audiences,
    read_date,
    read_identity,
    read_label,
    read_names,
    read_scopes,
    read_token_id,
    shown,
)
from extauthz.pdp.token.jose import MAX_TOKEN_BYTES
from extauthz.pdp.token.profile import NEVER_IN_ACCESS_TOKENS, PROFILES, MachineMarks, Profile
from extauthz.pdp.token.signed_token import (
    SignedToken,
    UnverifiedToken,
    digest_of,
    inspect,
    revocation_digests,
    verify_signature,
)
from extauthz.pdp.token.token_fault import TokenFault

__all__ = [
    "MAX_TOKEN_BYTES",
    "SignedToken",
    "TokenFault",
    "UnverifiedToken",
    "digest_of",
    "inspect",
    "judge",
    "revocation_digests",
    "screen",
    "verify_signature",
]


def screen(token: UnverifiedToken, issuer: Issuer) -> TokenFault | None:
    """What an issuer's terms say of the header alone. `judge` asks it again; asking first saves a look for keys.

    1. `iss` is this issuer's, byte for byte                    casdoor.md §1.1, RFC 8725 §3.8
    2. `alg` is one of the issuer's `algorithms`                casdoor.md §1.3, RFC 8725 §3.1
    3. `typ` is one that access tokens of its profile have      RFC 8725 §3.11, RFC 9068 §4
    """
    # 1
    if token.issuer != issuer.issuer:
        return TokenFault(Reason.TOKEN_ISSUER, f"claim `iss` is not {shown(issuer.issuer)}, the issuer {issuer.name}")
    # 2
    if token.algorithm not in issuer.algorithms:
        return TokenFault(
            Reason.TOKEN_ALGORITHM,
            f"`alg` is {token.algorithm}, which issuer {issuer.name} does not list: add it to `algorithms` if meant",
        )
    # 3
    if token.media_type not in PROFILES[issuer.profile].header_types:
        return TokenFault(
            Reason.TOKEN_TYPE,
            f"header `typ` is not one of an access token by profile {issuer.profile}: send the access token",
        )
    return None


def judge(signed: SignedToken, issuer: Issuer, resource: Resource, now: float) -> VerifiedToken | TokenFault:
    """Judge the claims by the terms of the issuer whose keys signed them. `now` is in Unix seconds.

     1. issuer, algorithm and header type                                   `screen`
     2. it is an access token and no other kind of JWT                      casdoor.md §1.5, §2.6; RFC 8725 §3.12
     3. `exp` and `iat` are there, `nbf` may be, in whole seconds;
        `now` is within them, give or take the leeway                       casdoor.md §1.4, §1.10; RFC 7519 §4.1.4-6
     4. `sub` names somebody                                                casdoor.md §1.4; RFC 9068 §2.2
     5. the audience: this resource, or one of its further `audiences`      casdoor.md §1.6; RFC 8707 §2, RFC 9068 §4
     6. the client: one of `clients`, if there are any                      casdoor.md §1.7
     7. machine tokens only from `machine_clients`                          casdoor.md §2.8
     8. the organization: one of `organizations`, if there are any          casdoor.md §1.7, §1.9
     9. what is kept: scopes, roles that are switched on, groups, name      casdoor.md §1.8, §1.12, §1.17

    Machines get no easier audience: `machine_clients` says whom an issuer's machine tokens may come from, not which
    resources they are for, and Casdoor gives them `aud` = [client id]; a resource that wants them lists that id in
    `audiences`. Their organization is Casdoor's `admin`, whosever the application is, so that the list of clients
    stands in its place.
    """
    token = signed.token
    claims = token.claims
    profile = PROFILES[issuer.profile]

    # 1
    fault = screen(token, issuer)
    if fault is not None:
        return fault
    # 2
    fault = _kind_fault(claims, profile)
    if fault is not None:
        return fault
    # 3
    dates = _dates(claims, issuer.leeway_s, now)
    if isinstance(dates, TokenFault):
        return dates
    issued_at, expires_at = dates
    # 4
    subject = read_identity(claims.get("sub"), "sub")
    if isinstance(subject, TokenFault):
        return subject
    if not subject:
        return TokenFault(Reason.TOKEN_SUBJECT, "claim `sub` is missing or empty")
    # 5
    audiences = read_audiences(claims.get("aud"))
    if isinstance(audiences, TokenFault):
        return audiences
    if not any(_is_for(audience, resource) for audience in audiences):
        return TokenFault(
            Reason.TOKEN_AUDIENCE,
            f"claim `aud` does not name {shown(resource.uri)}: the client must send it as `resource` (RFC 8707), or "
            f"`audiences` of resource {resource.name} must list what the issuer sends",
        )
    # 6
    client_id = _client(claims, profile)
    if isinstance(client_id, TokenFault):
        return client_id
    token_id = read_token_id(claims.get("jti"))
    if isinstance(token_id, TokenFault):
        return token_id
    name = read_label(claims.get(claim) for claim in profile.username)
    machine = _is_machine(claims, profile.machine, subject=subject, client_id=client_id, name=name, token_id=token_id)
    if machine and not client_id and profile.machine.client_from_subject:
        client_id = subject
    if issuer.clients and client_id not in issuer.clients:
        return TokenFault(
            Reason.TOKEN_ORGANIZATION,
            f"client {shown(client_id)} is not in `clients` of issuer {issuer.name}: add it if it may come",
        )
    # 7
    if machine and client_id not in issuer.machine_clients:
        return TokenFault(
            Reason.TOKEN_ORGANIZATION,
            f"a machine token of client {shown(client_id)}, which is not in `machine_clients` of issuer {issuer.name}: "
            "add it if it may act for itself",
        )
    # 8
    organization = _organization(claims, profile)
    if isinstance(organization, TokenFault):
        return organization
    if issuer.organizations and organization not in (
        {profile.machine.organization} if machine and profile.machine.organization else issuer.organizations
    ):
        return TokenFault(
            Reason.TOKEN_ORGANIZATION,
            f"organization {shown(organization)} is not in `organizations` of issuer {issuer.name}: add it if its "
            "members may use these servers",
        )
    # 9
    scopes = read_scopes(claim_at(claims, profile.scopes))
    if isinstance(scopes, TokenFault):
        return scopes
    roles = read_names(claim_at(claims, profile.roles), "roles", profile.role_object)
    if isinstance(roles, TokenFault):
        return roles
    groups = read_names(claim_at(claims, profile.groups), "groups", profile.role_object)
    if isinstance(groups, TokenFault):
        return groups
    return VerifiedToken(
        principal=Principal(
            issuer=token.issuer,
            subject=subject,
            organization=organization,
            name=name,
            client_id=client_id,
            scopes=scopes,
            roles=roles,
            groups=groups,
            machine=machine,
        ),
        issued_at=issued_at,
        expires_at=expires_at,
        token_id=token_id,
        digests=revocation_digests(token),
    )


def _kind_fault(claims: Claims, profile: Profile) -> TokenFault | None:
    for claim, value in profile.required.items():
        if claim not in claims or (value is not None and claims[claim] != value):
            return TokenFault(
                Reason.TOKEN_TYPE,
                f"claim `{claim}` is not what it is in access tokens by profile {profile.name}: send the access token",
            )
    for marks in (NEVER_IN_ACCESS_TOKENS, profile.refused):
        if not claims.keys().isdisjoint(marks):
            claim = next(claim for claim in marks if claim in claims)
            return TokenFault(
                Reason.TOKEN_TYPE, f"claim `{claim}` is there: it is {marks[claim]}; send a plain access token"
            )
    return None


def _dates(claims: Claims, leeway_s: int, now: float) -> tuple[int, int] | TokenFault:
    """`iat` and `exp`, after all three dates were found to hold."""
    expires_at, issued_at, not_before = read_date(claims, "exp"), read_date(claims, "iat"), read_date(claims, "nbf")
    if isinstance(expires_at, TokenFault):
        return expires_at
    if isinstance(issued_at, TokenFault):
        return issued_at
    if isinstance(not_before, TokenFault):
        return not_before
    if expires_at is None or issued_at is None:
        return TokenFault(Reason.TOKEN_MALFORMED, "claim `exp` or `iat` is missing: the issuer must set both")
    # RFC 7519 §4.1.4: on or after the expiration time the token must not be accepted. Both comparisons are written so
    # that a clock that is not a number refuses.
    if not now < expires_at + leeway_s:
        return TokenFault(
            Reason.TOKEN_EXPIRED,
            f"`exp` passed {now - expires_at:.0f} s ago (leeway {leeway_s} s): the client must get a new token",
        )
    for name, date in (("nbf", not_before), ("iat", issued_at)):
        if date is not None and not now >= date - leeway_s:
            return TokenFault(
                Reason.TOKEN_NOT_YET_VALID,
                f"`{name}` is {date - now:.0f} s ahead (leeway {leeway_s} s): set the clocks of issuer and host right",
            )
    return issued_at, expires_at


def _client(claims: Claims, profile: Profile) -> str | TokenFault:
    client_id = ""
    for claim in profile.client:
        named = read_identity(claims.get(claim), claim)
        if isinstance(named, TokenFault):
            return named
        if client_id and named and named != client_id:
            return TokenFault(Reason.TOKEN_SUBJECT, f"claims {' and '.join(profile.client)} name different clients")
        client_id = client_id or named
    return client_id


def _is_machine(claims: Claims, marks: MachineMarks, *, subject: str, client_id: str, name: str, token_id: str) -> bool:
    return (
        (marks.subject_prefix != "" and subject.startswith(marks.subject_prefix))
        or (marks.subject_suffix != "" and subject.endswith(marks.subject_suffix))
        or (marks.name_prefix != "" and name.startswith(marks.name_prefix))
        or (marks.token_id is not None and marks.token_id.match(token_id) is not None)
        or (marks.subject_is_client and subject == client_id)
        or any(claims.get(claim) == value for claim, value in marks.equal.items())
        or not marks.present.isdisjoint(claims)
    )


def _organization(claims: Claims, profile: Profile) -> str | TokenFault:
    value = claim_at(claims, profile.organization)
    if profile.organizations_listed:
        value = only_name(value)
    return read_identity(value, ".".join(profile.organization))


def _is_for(audience: str, resource: Resource) -> bool:
    """Exact, but for one slash at the end of the resource's own URI.

    Some clients print a URL without a path with a slash, and the SDKs' own servers compare like this (mcp.md §2.4).
    """
    uri = resource.uri
    return audience in (uri, f"{uri}/") or f"{audience}/" == uri or audience in resource.audiences
