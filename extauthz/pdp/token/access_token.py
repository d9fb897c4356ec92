"""Access tokens: from the text in the request to a principal, in steps that cannot be taken out of order.

    inspect           text           -> UnverifiedToken   structure; which issuer and which key it claims
    screen            UnverifiedToken -> None             the header, by the issuer's terms (optional: `judge` asks too)
    verify_signature  UnverifiedToken -> SignedToken      with the keys of that issuer
    judge             SignedToken    -> VerifiedToken     the claims, by one issuer, for one resource, at one moment

No step does I/O, reads a clock or raises; what is expected to go wrong comes back as a `TokenFault`.

References: RFC 7519 (JWT), RFC 8725 (JWT best practice), RFC 9068 (JWT access tokens), RFC 8707 (resource indicators);
`casdoor.md` holds what Casdoor does, its §1 the rules for a validator.
"""

import math
from collections.abc import Iterable

from extauthz.pdp.policy import Issuer, Resource
from extauthz.pdp.principal import Principal, VerifiedToken
from extauthz.pdp.reason import Reason
from extauthz.pdp.token.claims import (
    Claims,
    claim_at,
    listed,
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
    if token.issuer != issuer.issuer:  # guard: issuer-exact
        return TokenFault(Reason.TOKEN_ISSUER, _issuer_detail(token.issuer, issuer.name, (issuer,)))
    # 2
    if token.algorithm not in issuer.algorithms:  # guard: algorithm-listed
        return TokenFault(
            Reason.TOKEN_ALGORITHM,
            f"`alg` is {shown(token.algorithm)}; `algorithms` of issuer {issuer.name}: {listed(issuer.algorithms)}: "
            "add it if the issuer is meant to use it",
        )
    # 3
    header_types = PROFILES[issuer.profile].header_types
    if token.media_type not in header_types:
        found = f"header `typ` is {shown(token.media_type)}" if token.media_type else "header `typ` is missing"
        return TokenFault(Reason.TOKEN_TYPE, f"{found}; {_expected(issuer, header_types - {''})}")
    return None


def judge(signed: SignedToken, issuer: Issuer, resource: Resource, now: float) -> VerifiedToken | TokenFault:
    """Judge the claims by the terms of the issuer whose keys signed them. `now` is in Unix seconds.

     1. issuer, algorithm and header type                                   `screen`
     2. it is an access token and no other kind of JWT                      casdoor.md §1.5, §2.6; RFC 8725 §3.12
     3. `exp` and `iat` are there, `nbf` may be, fractions rounded against the caller;
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
    if fault is not None:  # guard: screened
        return fault
    # 2
    fault = _kind_fault(claims, profile, issuer)
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
    if "aud" not in claims:
        return TokenFault(
            Reason.TOKEN_AUDIENCE,
            f"claim `aud` is missing; resource {resource.name} takes {listed(accepted_audiences(resource))}: the "
            "client must send it as `resource` (RFC 8707)",
        )
    audiences = read_audiences(claims["aud"])
    if isinstance(audiences, TokenFault):
        return audiences
    if not any(_is_for(audience, resource) for audience in audiences):  # guard: audience-exact
        return TokenFault(
            Reason.TOKEN_AUDIENCE,
            f"claim `aud` is {listed(audiences) or 'an empty list'}; resource {resource.name} takes "
            f"{listed(accepted_audiences(resource))}: the client must send {shown(resource.uri)} as `resource` "
            f"(RFC 8707), or `audiences` of resource {resource.name} must list what the issuer sends",
        )
    # 6
    client_id = _client(claims, profile)
    if isinstance(client_id, TokenFault):
        return client_id
    if profile.client_required and not client_id:
        names = "` nor `".join(profile.client)
        return TokenFault(
            Reason.TOKEN_TYPE, f"neither claim `{names}` is there: an ID token? The client must send the access token"
        )
    token_id = read_token_id(claims.get("jti"))
    if isinstance(token_id, TokenFault):
        return token_id
    name = read_label(claims.get(claim) for claim in profile.username)
    machine = _is_machine(claims, profile.machine, subject=subject, client_id=client_id, name=name, token_id=token_id)
    if machine and not client_id and profile.machine.client_from_subject:
        client_id = subject
    if not issuer.takes_client(client_id):
        found = f"client (`{'`, `'.join(profile.client)}`) is {shown(client_id) if client_id else 'missing'}"
        return TokenFault(
            Reason.TOKEN_ORGANIZATION,
            f"{found}; `clients` of issuer {issuer.name}: {listed(issuer.clients)}: add it if it may come",
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
        claim = ".".join(profile.organization) or "none in this profile"
        return TokenFault(
            Reason.TOKEN_ORGANIZATION,
            f"organization (`{claim}`) is {shown(organization) if organization else 'missing'}; `organizations` of "
            f"issuer {issuer.name}: {listed(issuer.organizations)}: add it if its members may use these servers",
        )
    # 9
    scopes = read_scopes(next((claims[claim] for claim in profile.scopes if claim in claims), None))
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
            unread_scopes=_unread_scopes(claims, profile),
        ),
        issued_at=issued_at,
        expires_at=expires_at,
        token_id=token_id,
        digests=revocation_digests(token),
    )


def issuer_fault(token: UnverifiedToken, resource: Resource) -> TokenFault:
    """Why the token is of none of the resource's issuers."""
    where = f"resource {resource.name}"
    return TokenFault(Reason.TOKEN_ISSUER, _issuer_detail(token.issuer, where, resource.issuers))


def accepted_audiences(resource: Resource) -> tuple[str, ...]:
    """All that `aud` may name for a resource."""
    return (resource.uri, *sorted(resource.audiences))


def _issuer_detail(found: str, where: str, issuers: Iterable[Issuer]) -> str:
    urls = [issuer.issuer for issuer in issuers]
    detail = f"`iss` is {shown(found)}; issuers of {where}: {listed(urls)}: set `issuer` to what the tokens say, byte "
    close = {url for url in urls if _without_scheme(url) == _without_scheme(found)}
    return detail + ("for byte (they differ by scheme or a slash at the end)" if close else "for byte")


def _without_scheme(url: str) -> str:
    return url.rpartition("://")[2].rstrip("/")


def _expected(issuer: Issuer, values: Iterable[str]) -> str:
    return (
        f"profile {issuer.profile} takes {listed(values)}: the client must send the access token, or another `profile` "
        f"is right for issuer {issuer.name}"
    )


def _unread_scopes(claims: Claims, profile: Profile) -> str:
    """The claim in which another kind of issuer has scopes, where this profile reads none; empty otherwise."""
    if any(claim in claims for claim in profile.scopes):
        return ""
    return next((claim for claim in ("scope", "scp", "scopes", "permissions") if claim in claims), "")


def _kind_fault(claims: Claims, profile: Profile, issuer: Issuer) -> TokenFault | None:
    for claim, value in profile.required.items():
        if claim not in claims or (value is not None and claims[claim] != value):
            found = f"claim `{claim}` is {shown(claims[claim]) if claim in claims else 'missing'}"
            return TokenFault(
                Reason.TOKEN_TYPE,
                f"{found}; {_expected(issuer, (value,))}"
                if value is not None
                else f"{found}; access tokens of profile {issuer.profile} have it: the client must send the access "
                f"token, or another `profile` is right for issuer {issuer.name}",
            )
    for marks in (NEVER_IN_ACCESS_TOKENS, profile.refused):
        if not claims.keys().isdisjoint(marks):
            claim = next(claim for claim in marks if claim in claims)
            return TokenFault(
                Reason.TOKEN_TYPE, f"claim `{claim}` is there: it is {marks[claim]}; send a plain access token"
            )
    return None


def _dates(claims: Claims, leeway_s: int, now: float) -> tuple[int, int] | TokenFault:
    """`iat` and `exp` in whole seconds, after all three dates were found to hold.

    Fractions round against the caller: the token ends early and begins late. The `iat` that is kept is rounded down:
    what is revoked "if issued before" goes by it.
    """
    expires_at, issued_at, not_before = read_date(claims, "exp"), read_date(claims, "iat"), read_date(claims, "nbf")
    if isinstance(expires_at, TokenFault):
        return expires_at
    if isinstance(issued_at, TokenFault):
        return issued_at
    if isinstance(not_before, TokenFault):
        return not_before
    if expires_at is None or issued_at is None:
        missing = " and ".join(f"`{name}`" for name, date in (("exp", expires_at), ("iat", issued_at)) if date is None)
        return TokenFault(Reason.TOKEN_MALFORMED, f"claim {missing} is missing: the issuer must set `exp` and `iat`")
    expires_at = math.floor(expires_at)
    # RFC 7519 §4.1.4: on or after the expiration time the token must not be accepted. Both comparisons are written so
    # that a clock that is not a number refuses.
    if not now < expires_at + leeway_s:
        return TokenFault(
            Reason.TOKEN_EXPIRED,
            f"`exp` passed {now - expires_at:.0f} s ago (leeway {leeway_s} s): the client must get a new token",
        )
    for name, date in (("nbf", not_before), ("iat", issued_at)):
        if date is not None and not now >= math.ceil(date) - leeway_s:
            return TokenFault(
                Reason.TOKEN_NOT_YET_VALID,
                f"`{name}` is {date - now:.0f} s ahead (leeway {leeway_s} s): set the clocks of issuer and host right",
            )
    return math.floor(issued_at), expires_at


def _client(claims: Claims, profile: Profile) -> str | TokenFault:
    client_id = ""
    for claim in profile.client:
        named = read_identity(claims.get(claim), claim)
        if isinstance(named, TokenFault):
            return named
        if client_id and named and named != client_id:
            return TokenFault(
                Reason.TOKEN_SUBJECT,
                f"claims `{'` and `'.join(profile.client)}` name different clients, {shown(client_id)} and "
                f"{shown(named)}: the issuer must send one",
            )
        client_id = client_id or named
    return client_id


def _is_machine(claims: Claims, marks: MachineMarks, *, subject: str, client_id: str, name: str, token_id: str) -> bool:
    return (
        (marks.subject_prefix != "" and subject.startswith(marks.subject_prefix))
        or (marks.subject_suffix != "" and subject.endswith(marks.subject_suffix))
        or (marks.name_prefix != "" and name.startswith(marks.name_prefix))
        or (marks.token_id is not None and marks.token_id.match(token_id) is not None)
        or (marks.subject_is_client and subject == client_id)
        or (marks.subject_equals != "" and claims.get(marks.subject_equals) == subject)
        or any(claims.get(claim) == value for claim, value in marks.equal.items())
        or not marks.present.isdisjoint(claims)
        or not marks.absent <= claims.keys()
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
