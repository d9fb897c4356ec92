"""What holds for every token: nothing raises, no byte can change, and a second library agrees with what is accepted."""

import json
from math import floor
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet as OtherKeySet

from extauthz.pdp.principal import VerifiedToken
from extauthz.pdp.token.access_token import (
    SignedToken,
    TokenFault,
    UnverifiedToken,
    inspect,
    judge,
    revocation_digests,
    screen,
    verify_signature,
)
from extauthz.pdp.token.base64url import encode_base64url
from extauthz.pdp.token.claims import has_control
from extauthz.pdp.token.jwks import KeySet, KeySetFault, parse_key_set
from extauthz.pdp.token.profile import NEVER_IN_ACCESS_TOKENS, PROFILES
from extauthz.pdp.token.signature import ALGORITHMS as ALL_ALGORITHMS
from extauthz.pdp.token.signature import CURVES
from tests.support.tokens import (
    ALGORITHMS,
    ISSUER,
    NOW,
    RESOURCE,
    SIGNING_KEYS,
    claims,
    issuer,
    key_set_document,
    mint,
    resource,
    sign,
)

DOCUMENT: Final = key_set_document()
LEEWAY_S: Final = 60
BY: Final = issuer(leeway_s=LEEWAY_S)
AT: Final = resource()
EVERY_PROFILE: Final = [issuer(profile=name) for name in PROFILES]

_BOUNDED: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def keys() -> KeySet:
    parsed = parse_key_set(DOCUMENT)
    assert isinstance(parsed, KeySet)
    return parsed


KEYS: Final = keys()


def decide(token: str) -> tuple[UnverifiedToken, VerifiedToken] | TokenFault | None:
    """Every step in order; None where no key fits."""
    unverified = inspect(token)
    if isinstance(unverified, TokenFault):
        return unverified
    fault = screen(unverified, BY)
    if fault is not None:
        return fault
    signed = verify_signature(unverified, KEYS.candidates(unverified.key_id, unverified.algorithm))
    if signed is None:
        return None
    verified = judge(signed, BY, AT, NOW)
    return verified if isinstance(verified, TokenFault) else (unverified, verified)


# Nothing raises.

JSON_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
CLAIM_NAMES: Final = sorted(
    {
        *claims(),
        *NEVER_IN_ACCESS_TOKENS,
        *(name for profile in PROFILES.values() for name in (*profile.required, *profile.refused, *profile.client)),
        *(
            "preferred_username",
            "roles",
            "groups",
            "type",
            "gty",
            "org_id",
            "organization",
            "realm_access",
            "clientHost",
        ),
        "https://stytch.com/organization",
    }
)
# Good claims with some of them replaced by anything at all.
ODD_CLAIMS: Final = st.dictionaries(st.sampled_from(CLAIM_NAMES), JSON_VALUES, max_size=5).map(
    lambda odd: claims() | {"client_id": "client-mcp", "typ": "Bearer"} | odd
)
HEADERS: Final = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x5c", "x5u", "jku", "zip", "cty", "enc"]),
    st.sampled_from(["RS256", "ES256", "none", "HS256", "cert-rs256", "JWT", "at+jwt", ""]) | JSON_VALUES,
    max_size=5,
)


@_BOUNDED
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin-1")))
def test_no_text_raises(text: str) -> None:
    assert not isinstance(decide(text), tuple)


@_BOUNDED
@given(HEADERS, JSON_VALUES | ODD_CLAIMS, st.binary(max_size=80))
def test_no_well_spelt_token_raises(header: Any, payload: Any, signature: bytes) -> None:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    assert not isinstance(decide(b".".join(encode_base64url(part) for part in parts).decode()), tuple)


@_BOUNDED
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5))
def test_no_parts_raise(parts: list[bytes]) -> None:
    assert not isinstance(decide(b".".join(encode_base64url(part) for part in parts).decode()), tuple)


@_BOUNDED
@given(ODD_CLAIMS, st.sampled_from(EVERY_PROFILE), st.floats() | st.integers(-(10**12), 10**12))
def test_no_claims_raise_whatever_the_profile(odd: dict[str, Any], by: Any, now: float) -> None:
    """As if the signature were good: an issuer's own administrators can put anything in (casdoor.md §2.5)."""
    header = {"alg": "RS256", "kid": "k", "typ": "at+jwt" if by.profile == "rfc9068" else "JWT"}
    parts = (json.dumps(header).encode(), json.dumps(odd).encode(), b"x")
    unverified = inspect(b".".join(encode_base64url(part) for part in parts).decode())
    if isinstance(unverified, UnverifiedToken):
        outcome = judge(SignedToken.vouched(unverified), by, AT, now)
        assert isinstance(outcome, VerifiedToken | TokenFault)
        if isinstance(outcome, VerifiedToken):
            who = outcome.principal
            assert who.subject
            for text in (who.subject, who.organization, who.name, who.client_id, *who.scopes, *who.roles, *who.groups):
                assert isinstance(text, str)
                assert not has_control(text)


@_BOUNDED
@given(st.binary(max_size=300) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_no_document_raises(document: bytes) -> None:
    assert isinstance(parse_key_set(document), KeySetFault)


# What other members can hold without making the document one that readers differ on.
PLAIN: Final = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8) | st.lists(st.none(), max_size=2)
JWK_MEMBERS: Final = st.fixed_dictionaries(
    {},
    optional={
        "kty": st.sampled_from(["RSA", "EC", "oct", "OKP"]) | PLAIN,
        "kid": st.sampled_from(["a", "b", "cert-rs256"]) | PLAIN,
        "use": st.just("sig") | PLAIN,
        "key_ops": st.lists(st.sampled_from(["verify", "sign"]), max_size=2) | PLAIN,
        "crv": st.sampled_from(["P-256", "P-384", "P-521"]) | PLAIN,
        **dict.fromkeys("nexyd", st.binary(max_size=66).map(lambda data: encode_base64url(data).decode()) | PLAIN),
    },
)


@_BOUNDED
@given(
    st.lists(st.sampled_from([SIGNING_KEYS[name].jwk() for name in ALGORITHMS]), max_size=3),
    st.lists(JWK_MEMBERS, max_size=3),
)
def test_odd_keys_spoil_nothing(good: list[dict[str, Any]], odd: list[dict[str, Any]]) -> None:
    nearly_good = [good[0] | members for members in odd] if good else []
    parsed = parse_key_set(json.dumps({"keys": [*odd, *nearly_good, *good]}).encode())
    if isinstance(parsed, KeySetFault):
        assert good == []
    else:
        assert {key["kid"] for key in good} <= {key.key_id for key in parsed.keys}
        assert parse_key_set(parsed.document) == parsed


# No byte can change.

REPLACEMENTS: Final = b"A-._=/ \x00\xff"


def changed(token: bytes, position: int, byte: int) -> str:
    return (token[:position] + bytes([byte]) + token[position + 1 :]).decode("latin-1")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_no_byte_of_a_good_token_can_change(alg: str) -> None:
    """Every position, with the neighbour of its byte and some bytes that parsers are known to be lenient about."""
    token = mint(alg=alg).encode()
    assert isinstance(decide(token.decode()), tuple)
    for position, byte in enumerate(token):
        for other in {byte ^ 1, *REPLACEMENTS} - {byte}:
            assert not isinstance(decide(changed(token, position, other)), tuple), (position, other)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_no_other_byte_ends_a_part(alg: str) -> None:
    """All 255 other bytes at the end of each part, where bits can be unused."""
    token = mint(alg=alg).encode()
    dots = [position for position, byte in enumerate(token) if byte == ord(".")]
    for position in (*(dot - 1 for dot in dots), *dots, len(token) - 1):
        for other in set(range(256)) - {token[position]}:
            assert not isinstance(decide(changed(token, position, other)), tuple), (position, other)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_no_byte_can_change_to_any_other(alg: str) -> None:
    token = mint(alg=alg).encode()
    for position, byte in enumerate(token):
        for other in set(range(256)) - {byte}:
            assert not isinstance(decide(changed(token, position, other)), tuple), (position, other)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_no_byte_can_be_added_or_left_out(alg: str) -> None:
    token = mint(alg=alg).encode()
    for position in range(len(token) + 1):
        for added in (b"A", b"=", b".", b"\n"):
            longer = token[:position] + added + token[position:]
            assert not isinstance(decide(longer.decode()), tuple), position
        shorter = token[:position] + token[position + 1 :]
        assert position == len(token) or not isinstance(decide(shorter.decode()), tuple), position


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512"])
def test_second_spelling_of_an_ecdsa_token_has_the_same_revocation_digests(alg: str) -> None:
    token = mint(alg=alg)
    first = inspect(token)
    assert isinstance(first, UnverifiedToken)
    half = len(first.signature) // 2
    s = CURVES[ALL_ALGORITHMS[alg].crv].order - int.from_bytes(first.signature[half:])
    text = first.signing_input + b"." + encode_base64url(first.signature[:half] + s.to_bytes(half))
    second = decide(text.decode())
    assert isinstance(second, tuple)
    assert set(revocation_digests(second[0])) == set(revocation_digests(first))
    assert second[0].digest != first.digest


# A second library agrees.

OTHER_KEYS: Final = OtherKeySet.import_key_set(json.loads(DOCUMENT))
OTHER_CLAIMS: Final = jwt.JWTClaimsRegistry(
    now=lambda: NOW,
    leeway=LEEWAY_S,
    iss={"essential": True, "value": ISSUER},
    aud={"essential": True, "values": [RESOURCE, f"{RESOURCE}/"]},
    exp={"essential": True},
    iat={"essential": True},
    sub={"essential": True},
    owner={"essential": True, "value": "acme"},
    tokenType={"essential": True, "value": "access-token"},
)


def other_library(token: str) -> dict[str, Any] | None:
    """The claims as joserfc takes them, or None where it refuses the token."""
    try:
        decoded = jwt.decode(token, OTHER_KEYS, algorithms=list(ALGORITHMS))
        OTHER_CLAIMS.validate(decoded.claims)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # It raises its own errors for what it means to refuse, and Python's for forms that it did not think of.
        return None
    return decoded.claims


INTERESTING: Final[dict[str, list[Any]]] = {
    "iss": [ISSUER, ISSUER + "/", "https://evil.test", None, 1, [ISSUER]],
    "sub": ["bob", "", None, 7, ["x"], "a\nb", "admin/app"],
    "aud": [RESOURCE, [RESOURCE], RESOURCE + "/", ["x", RESOURCE], ["x"], [], None, 5, [RESOURCE, 5], {"a": 1}],
    "exp": [NOW, NOW - 59, NOW - 60, NOW - 61, NOW + 10, NOW + 1.5, "x", None, True, -1, 10**14],
    "nbf": [NOW, NOW + 59, NOW + 60, NOW + 61, NOW + 0.5, "x", None, True],
    "iat": [NOW, NOW + 60, NOW + 61, NOW - 10**9, "x", None, True],
    "owner": ["acme", "rival", None, ["acme"], "ACME"],
    "tokenType": ["access-token", "refresh-token", None, ["access-token"]],
    "scope": ["a b", "", None, 7, ["a"]],
    "azp": ["c", None, 7],
    "roles": [None, ["a"], [{"name": "a", "isEnabled": True}], "a"],
    "x": [0, 1.5, "\u00e9", "\N{GRINNING FACE}", None, {"y": [1, {"z": None}]}],
}


@st.composite
def mutated_tokens(draw: st.DrawFn) -> str:
    """Near-tokens: good or odd claims and headers, in odd JSON and odd base64, signed by one key or another."""
    alg = draw(st.sampled_from(ALGORITHMS + ("RS256",) * 3))
    body = claims()
    for name in draw(st.lists(st.sampled_from(sorted(INTERESTING)), max_size=2)):
        body[name] = draw(st.sampled_from(INTERESTING[name]))
    for name in draw(st.sampled_from([(), (), (), ("nbf",), ("exp",), ("iss",), ("scope",), ("azp",)])):
        del body[name]
    header: dict[str, Any] = {"alg": alg, "kid": SIGNING_KEYS[alg].kid, "typ": "JWT"}
    header |= draw(
        st.sampled_from(
            [{}] * 8
            + [
                {"typ": "at+jwt"},
                {"typ": None},
                {"alg": "none"},
                {"alg": "HS256"},
                {"alg": "RS512"},
                {"alg": "ES384"},
                {"kid": "cert-es256"},
                {"kid": "nobody"},
                {"kid": None},
                {"crit": ["exp"]},
                {"b64": False},
                {"x5t": "AAAA"},
                {"cty": "JWT"},
            ]
        )
    )
    spaced = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]))
    payload = json.dumps(body, separators=spaced, ensure_ascii=draw(st.booleans())).encode()
    payload = draw(
        st.sampled_from(
            [
                payload,
                payload,
                payload,
                payload,
                b" " + payload + b"\r\n",
                b"\xef\xbb\xbf" + payload,
                payload[:-1] + b',"sub":"eve"}',
                payload[:-1] + b',"n":NaN}',
                payload[:-1] + b',"n":123456789012345678901234567890}',
                payload[:-1] + b',"n":"\\ud800"}',
                payload + b"x",
                payload[:-1],
                b"[" + payload + b"]",
            ]
        )
    )
    key = draw(st.sampled_from([SIGNING_KEYS[alg]] * 6 + [SIGNING_KEYS["attacker"]]))
    # An algorithm of the header that the key cannot do is left to disagree with the signature.
    signer = alg if key is SIGNING_KEYS[alg] else "RS256"
    token = sign(json.dumps(header).encode(), payload, alg=signer, key=key)
    change = draw(st.sampled_from([*[_nothing] * 8, _flip, _pad, _standard, _unused_bits, _cut, _swap, _add_part]))
    return change(token)


def _nothing(token: str) -> str:
    return token


def _flip(token: str) -> str:
    return token[:-20] + ("B" if token[-20] == "A" else "A") + token[-19:]


def _pad(token: str) -> str:
    return token + "=" * (-len(token.rpartition(".")[2]) % 4)


def _standard(token: str) -> str:
    return token.replace("-", "+").replace("_", "/")


def _unused_bits(token: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


def _cut(token: str) -> str:
    return token[: len(token) // 2]


def _swap(token: str) -> str:
    return token.rpartition(".")[0] + "." + mint().rpartition(".")[2]


def _add_part(token: str) -> str:
    return token + ".AAAA"


def agrees(token: str) -> None:
    ours, theirs = decide(token), other_library(token)
    event("accepted" if isinstance(ours, tuple) else "refused")
    if not isinstance(ours, tuple):
        return
    unverified, verified = ours
    assert theirs is not None, "accepted here and refused by joserfc"
    assert theirs == dict(unverified.claims)
    who = verified.principal
    assert (who.issuer, who.subject, who.organization) == (theirs["iss"], theirs["sub"], theirs["owner"])
    assert (who.client_id, verified.token_id) == (theirs.get("azp") or "", theirs.get("jti") or "")
    assert (verified.expires_at, verified.issued_at) == (floor(theirs["exp"]), floor(theirs["iat"]))


@settings(_BOUNDED, max_examples=300)
@given(mutated_tokens())
def test_joserfc_accepts_what_we_accept_with_the_same_claims(token: str) -> None:
    """Read the other way round: whatever joserfc refuses we refuse."""
    agrees(token)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(_BOUNDED, max_examples=8000)
@given(mutated_tokens())
def test_joserfc_accepts_what_we_accept_in_the_long_run(token: str) -> None:
    agrees(token)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_both_libraries_accept_a_good_token(alg: str) -> None:
    """So that agreement is not agreement in refusing everything."""
    token = mint(alg=alg)
    assert isinstance(decide(token), tuple)
    assert other_library(token) == claims()
