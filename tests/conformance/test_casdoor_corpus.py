"""Every recorded and every forged Casdoor token gets its verdict (tests/data/casdoor/README.md)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from extauthz.pdp.policy import Issuer, Resource
from extauthz.pdp.principal import VerifiedToken
from extauthz.pdp.reason import Reason
from extauthz.pdp.token.access_token import SignedToken, TokenFault, inspect, judge, screen, verify_signature
from extauthz.pdp.token.jwks import KeySet, parse_key_set
from tests.support.tokens import DATA, ISSUER, RESOURCE, issuer, resource

CORPUS: Final[dict[str, Any]] = json.loads((DATA / "corpus.json").read_text())
FORGED: Final[dict[str, Any]] = json.loads((DATA / "forged.json").read_text())
CLIENTS: Final = frozenset(CORPUS["clients"])

CONFIGURATIONS: Final[dict[str, tuple[Issuer, Resource]]] = {
    "resource": (issuer(organizations=frozenset()), resource()),
    "resource+owner": (issuer(), resource()),
    # Machine tokens name their client as audience, so this is where they are accepted.
    "client-aud": (issuer(organizations=frozenset(), machine_clients=CLIENTS), resource(audiences=CLIENTS)),
    "resource+owner+azp": (issuer(clients=CLIENTS), resource()),
}

SLASH: Final = "one slash at the end of the resource is optional here (mcp.md §2.4), the recording's checker wants none"
OTHER_VERDICTS: Final = {"mcp.resource.spelling-slash.access": SLASH, "aud-slash": SLASH}
"""Tokens on which we say otherwise than the recording, and why."""

SIZE: Final = "longer than `MAX_TOKEN_BYTES`, which the recording leaves to the validator"
TOO_LARGE: Final = {"big.100perms.resource.access": SIZE}

# What a `why` of the recording can be called here. Where one `why` has more than one reason, the token decides.
REASONS: Final[dict[str, set[Reason]]] = {
    "structure": {Reason.TOKEN_MALFORMED},
    "encoding": {Reason.TOKEN_MALFORMED},
    "json": {Reason.TOKEN_MALFORMED},
    "duplicate_member": {Reason.TOKEN_MALFORMED},
    "crit": {Reason.TOKEN_MALFORMED},
    "alg": {Reason.TOKEN_ALGORITHM},
    "kid_missing": {Reason.TOKEN_KEY_UNKNOWN, Reason.TOKEN_TYPE, Reason.TOKEN_MALFORMED},
    "kid_unknown": {Reason.TOKEN_KEY_UNKNOWN},
    "demo_key": {Reason.TOKEN_KEY_UNKNOWN},
    # A key embedded in the header is malformed before its signature is looked at; `detached` and `es256-empty` as well.
    "signature": {Reason.TOKEN_SIGNATURE, Reason.TOKEN_MALFORMED, Reason.TOKEN_KEY_UNKNOWN},
    # A logout token has neither `tokenType` nor `exp`.
    "claim_exp": {Reason.TOKEN_MALFORMED, Reason.TOKEN_TYPE},
    "claim_iat": {Reason.TOKEN_MALFORMED},
    "claim_sub": {Reason.TOKEN_SUBJECT},
    "claim_scope": {Reason.TOKEN_MALFORMED},
    "expired": {Reason.TOKEN_EXPIRED},
    "not_yet_valid": {Reason.TOKEN_NOT_YET_VALID},
    "iat_future": {Reason.TOKEN_NOT_YET_VALID},
    "iss": {Reason.TOKEN_ISSUER},
    "token_type": {Reason.TOKEN_TYPE},
    "aud": {Reason.TOKEN_AUDIENCE},
    "owner": {Reason.TOKEN_ORGANIZATION},
    "azp": {Reason.TOKEN_ORGANIZATION},
}


@dataclass(frozen=True, slots=True)
class Case:
    """One token under one configuration."""

    id: str
    configuration: str
    token: str
    jwks: str
    clock: int
    verdict: str
    why: str


@cache
def key_set(path: str) -> KeySet:
    keys = parse_key_set((DATA / path).read_bytes())
    assert isinstance(keys, KeySet)
    return keys


def decide(case: Case) -> VerifiedToken | TokenFault:
    """The order of the check procedure, without its caches."""
    by, at = CONFIGURATIONS[case.configuration]
    unverified = inspect(case.token)
    if isinstance(unverified, TokenFault):
        return unverified
    fault = screen(unverified, by)
    if fault is not None:
        return fault
    keys = key_set(case.jwks).candidates(unverified.key_id, unverified.algorithm)
    if not keys:
        return TokenFault(Reason.TOKEN_KEY_UNKNOWN, "no such key")
    signed = verify_signature(unverified, keys)
    return TokenFault(Reason.TOKEN_SIGNATURE, "") if signed is None else judge(signed, by, at, case.clock)


def recorded() -> Iterator[Case]:
    for token in CORPUS["tokens"]:
        for configuration in CONFIGURATIONS:
            verdict, _, why = token["verdicts"][configuration].partition(": ")
            yield Case(token["id"], configuration, token["token"], token["jwks"], CORPUS["clock"], verdict, why)


def forged() -> Iterator[Case]:
    for token in FORGED["tokens"]:
        yield Case(
            token["id"],
            FORGED["profile"],
            token["token"],
            FORGED["jwks"],
            FORGED["clock"],
            token["expected"],
            token["why"],
        )


def cases(source: Iterator[Case]) -> list[Any]:
    return [pytest.param(case, id=f"{case.id}-{case.configuration}") for case in source]


@pytest.mark.parametrize("case", [*cases(recorded()), *cases(forged())])
def test_token_gets_its_verdict(case: Case) -> None:
    outcome = decide(case)
    if case.id in OTHER_VERDICTS:
        assert isinstance(outcome, VerifiedToken), OTHER_VERDICTS[case.id]
    elif case.id in TOO_LARGE:
        assert isinstance(outcome, TokenFault), TOO_LARGE[case.id]
        assert outcome.reason is Reason.TOKEN_MALFORMED
    elif case.verdict == "accept":
        assert isinstance(outcome, VerifiedToken), outcome
        assert (outcome.principal.issuer, outcome.expires_at > case.clock - 60) == (ISSUER, True)
    elif case.verdict == "refuse":
        assert isinstance(outcome, TokenFault)
        assert outcome.reason in REASONS[case.why], outcome
    else:
        assert case.verdict == "either"


def test_corpus_is_complete() -> None:
    assert (len(CORPUS["tokens"]), len(FORGED["tokens"])) == (222, 201)
    assert (CORPUS["issuer"], CORPUS["resource"]) == (ISSUER, RESOURCE)
    assert set(CORPUS["profiles"]) == set(CONFIGURATIONS)
    known = {token["id"] for token in CORPUS["tokens"] + FORGED["tokens"]}
    assert {*OTHER_VERDICTS, *TOO_LARGE} <= known


EITHER: Final = {
    "either.typ-at+jwt": Reason.TOKEN_TYPE,
    "typ-logout": Reason.TOKEN_TYPE,
    "either.good-key-with-jwk": Reason.TOKEN_MALFORMED,
    "either.es256-negated-s": None,
    "either.json-lone-surrogate": Reason.TOKEN_MALFORMED,
    "either.json-big-integer": Reason.TOKEN_MALFORMED,
    "json-huge-integer": Reason.TOKEN_MALFORMED,
    "either.exp-exponent": None,
    "either.scope-null": None,
    "big-70k": Reason.TOKEN_MALFORMED,
}
"""What we choose where the recording leaves the choice; None is accepted."""


def test_our_choice_where_the_recording_leaves_one() -> None:
    free = {case.id: case for case in forged() if case.verdict == "either"}
    chosen = {id_: decide(case) for id_, case in free.items()}
    assert {
        id_: outcome.reason if isinstance(outcome, TokenFault) else None for id_, outcome in chosen.items()
    } == EITHER


GRANTED: Final[dict[str, tuple[frozenset[str], frozenset[str], str]]] = {
    # id: scopes, roles, name
    "control.rs256": (frozenset({"openid", "profile", "mcp:read"}), frozenset(), "alice"),
    "control.no-scope": (frozenset(), frozenset(), "alice"),
    "scope-odd-spaces": (frozenset({"mcp:read"}), frozenset(), "alice"),
    "scope-case": (frozenset({"MCP:READ"}), frozenset(), "alice"),
    "roles-string": (frozenset({"openid", "profile", "mcp:read"}), frozenset(), "alice"),
    "roles-null": (frozenset({"openid", "profile", "mcp:read"}), frozenset(), "alice"),
    "roles-object": (frozenset({"openid", "profile", "mcp:read"}), frozenset(), "alice"),
    "roles-mixed": (frozenset({"openid", "profile", "mcp:read"}), frozenset({"b"}), "alice"),
    "roles-disabled": (frozenset({"openid", "profile", "mcp:read"}), frozenset(), "alice"),
    "name-crlf": (frozenset({"openid", "profile", "mcp:read"}), frozenset(), ""),
    "name-nul": (frozenset({"openid", "profile", "mcp:read"}), frozenset(), ""),
    "name-object": (frozenset({"openid", "profile", "mcp:read"}), frozenset(), ""),
}


@pytest.mark.parametrize("id_", GRANTED)
def test_accepted_token_grants_no_more_than_it_says(id_: str) -> None:
    case = next(case for case in forged() if case.id == id_)
    outcome = decide(case)
    assert isinstance(outcome, VerifiedToken)
    assert (outcome.principal.scopes, outcome.principal.roles, outcome.principal.name) == GRANTED[id_]


def recorded_outcome(id_: str, configuration: str) -> VerifiedToken | TokenFault:
    return decide(next(case for case in recorded() if (case.id, case.configuration) == (id_, configuration)))


def test_switched_off_role_is_not_a_role() -> None:
    outcome = recorded_outcome("jwt.rs256.resource.access", "resource+owner")
    assert isinstance(outcome, VerifiedToken)
    assert outcome.principal.roles == {"by-group", "mcp-reader", "mcp-writer"}
    assert outcome.principal.groups == {"acme/engineering", "acme/platform"}


def test_machine_token_is_known_as_one_in_every_format() -> None:
    ids = [
        token["id"]
        for token in CORPUS["tokens"]
        if token["kind"] == "client-credentials" and token["verdicts"]["client-aud"] == "accept"
    ]
    outcomes = [recorded_outcome(id_, "client-aud") for id_ in ids]
    assert len(ids) == 19
    assert all(isinstance(outcome, VerifiedToken) and outcome.principal.machine for outcome in outcomes)


def test_person_is_not_a_machine() -> None:
    people = [case for case in recorded() if case.configuration == "resource" and case.verdict == "accept"]
    outcomes = [decide(case) for case in people if case.id not in TOO_LARGE]
    assert len(outcomes) == 79
    assert not any(isinstance(outcome, VerifiedToken) and outcome.principal.machine for outcome in outcomes)


@pytest.mark.parametrize(
    ("id_", "name"),
    [
        pytest.param("jwt.es256.resource.access", "alice", id="JWT"),
        pytest.param("empty.rs256.resource.access", "alice", id="JWT-Empty"),
        pytest.param("custom.rs256.resource.access", "alice", id="JWT-Custom"),
        pytest.param("standard.rs256.resource.access", "alice", id="JWT-Standard, where `name` is the display name"),
    ],
)
def test_name_is_the_user_name_in_every_format(id_: str, name: str) -> None:
    outcome = recorded_outcome(id_, "resource+owner")
    assert isinstance(outcome, VerifiedToken)
    assert outcome.principal.name == name


def test_refresh_tokens_are_called_what_they_are() -> None:
    refresh = [token for token in CORPUS["tokens"] if token["kind"] == "refresh"]
    outcomes = [inspect(token["token"]) for token in refresh]
    assert len(refresh) == 47
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, TokenFault)} == {Reason.TOKEN_TYPE}


@pytest.mark.parametrize(
    ("id_", "document"),
    [
        ("rotate.before.resource.access", "jwks/rotate-after.global.json"),
        ("rotate.after.resource.access", "jwks/rotate-before.global.json"),
    ],
)
def test_key_replaced_under_its_name_is_another_key(id_: str, document: str) -> None:
    case = next(case for case in recorded() if case.id == id_)
    unverified = inspect(case.token)
    assert not isinstance(unverified, TokenFault)
    keys = key_set(document).candidates(unverified.key_id, unverified.algorithm)
    assert len(keys) == 1
    assert verify_signature(unverified, keys) is None


def test_every_key_under_one_name_is_tried() -> None:
    """After the admin of another organization added a second `cert-rs256` (casdoor.md §3.3)."""
    case = next(case for case in recorded() if case.id == "dup-kid.after.resource.access")
    unverified = inspect(case.token)
    assert not isinstance(unverified, TokenFault)
    keys = key_set(case.jwks).candidates(unverified.key_id, unverified.algorithm)
    assert len(keys) == 2
    assert isinstance(verify_signature(unverified, keys), SignedToken)
    assert isinstance(verify_signature(unverified, tuple(reversed(keys))), SignedToken)


def test_data_is_where_the_readme_says() -> None:
    assert Path(DATA / "README.md").is_file()
