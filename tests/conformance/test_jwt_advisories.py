"""Published advisories about JWT libraries, key sets and token caches: each attack, tried here.

One test per advisory, named after it; the docstring says what happened there. Parts that concern fetching, caching
and Redis are tested where those live.
"""

import json
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.utils import base64url_encode

from extauthz.pdp.policy import Issuer, Resource
from extauthz.pdp.principal import VerifiedToken
from extauthz.pdp.reason import Reason
from extauthz.pdp.token.access_token import (
    SignedToken,
    TokenFault,
    UnverifiedToken,
    digest_of,
    inspect,
    judge,
    revocation_digests,
    screen,
    verify_signature,
)
from extauthz.pdp.token.jwks import KeySet, KeySetFault, parse_key_set
from extauthz.pdp.token.signature import CURVES
from tests.support.tokens import (
    ABSENT,
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

ATTACKER: Final = SIGNING_KEYS["attacker"]


def key_set(document: bytes) -> KeySet:
    parsed = parse_key_set(document)
    assert isinstance(parsed, KeySet)
    return parsed


KEYS: Final = key_set(key_set_document())


def decide(
    token: str, by: Issuer | None = None, at: Resource | None = None, keys: KeySet = KEYS
) -> VerifiedToken | TokenFault:
    """Every step in the order of the check procedure."""
    by = by or issuer()
    unverified = inspect(token)
    if isinstance(unverified, TokenFault):
        return unverified
    fault = screen(unverified, by)
    if fault is not None:
        return fault
    candidates = keys.candidates(unverified.key_id, unverified.algorithm)
    if not candidates:
        return TokenFault(Reason.TOKEN_KEY_UNKNOWN, "")
    signed = verify_signature(unverified, candidates)
    if signed is None:
        return TokenFault(Reason.TOKEN_SIGNATURE, "")
    return judge(signed, by, at or resource(), NOW)


def refused(token: str, **how: Any) -> Reason:
    outcome = decide(token, **how)
    assert isinstance(outcome, TokenFault), "accepted"
    return outcome.reason


def inspected(token: str) -> UnverifiedToken:
    unverified = inspect(token)
    assert isinstance(unverified, UnverifiedToken)
    return unverified


def test_the_token_that_the_attacks_start_from_is_good() -> None:
    assert isinstance(decide(mint()), VerifiedToken)


# PyJWT.


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("encoding", ["pem", "pem-stripped", "der", "jwk", "n"])
def test_cve_2022_29217_key_confusion(alg: str, encoding: str) -> None:
    """PyJWT: a public key served as the secret of an HMAC."""
    public = SIGNING_KEYS["RS256"].private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = {
        "pem": pem,
        "pem-stripped": pem.strip(),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(SIGNING_KEYS["RS256"].jwk()).encode(),
        "n": SIGNING_KEYS["RS256"].jwk()["n"].encode(),
    }[encoding]
    signing_input = b".".join(
        base64url_encode(json.dumps(part).encode()) for part in ({"alg": alg, "kid": "cert-rs256"}, claims())
    )
    signature = jwt.get_algorithm_by_name(alg).sign(signing_input, secret)
    token = (signing_input + b"." + base64url_encode(signature)).decode()
    assert refused(token) is Reason.TOKEN_ALGORITHM
    assert refused(token, by=issuer(algorithms=("RS256", alg))) is Reason.TOKEN_ALGORITHM


@pytest.mark.parametrize("crit", [["exp"], ["x-unknown"], [], ["b64"], "exp", None])
def test_cve_2026_32597_unknown_critical_extension(crit: Any) -> None:
    """PyJWT before 2.12: extensions that must be understood were ignored."""
    assert refused(mint(header={"crit": crit, "x-unknown": True})) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("alg", ["RS512", "RS384", "PS256", "PS384", "PS512"])
def test_cve_2026_48523_algorithm_outside_the_allow_list(alg: str) -> None:
    """PyJWT before 2.13 (GHSA-jq35-7prp-9v3f): a key object brought an algorithm that the caller had not allowed."""
    token = mint(alg=alg, key=SIGNING_KEYS["RS256"])
    assert refused(token, by=issuer(algorithms=("RS256", "ES256"))) is Reason.TOKEN_ALGORITHM
    published = key_set(key_set_document((), extra=[SIGNING_KEYS["RS256"].jwk(alg=alg)]))
    assert refused(token, by=issuer(algorithms=("RS256", "ES256")), keys=published) is Reason.TOKEN_ALGORITHM


@pytest.mark.parametrize("alg", ["RS512", "PS256"])
def test_cve_2026_48523_judged_without_the_screen(alg: str) -> None:
    """The same where a caller went straight from the signature to the claims."""
    unverified = inspected(mint(alg=alg, key=SIGNING_KEYS["RS256"]))
    signed = verify_signature(unverified, KEYS.candidates("cert-rs256", alg))
    assert signed is not None
    outcome = judge(signed, issuer(algorithms=("RS256",)), resource(), NOW)
    assert isinstance(outcome, TokenFault)
    assert outcome.reason is Reason.TOKEN_ALGORITHM


@pytest.mark.parametrize(
    "document", [b"", b"<html>", b'{"status":"error","msg":"x"}', b'{"keys":[]}', b'{"keys":null}', b"[]"]
)
def test_cve_2026_48524_failed_fetch_is_no_key_set(document: bytes) -> None:
    """PyJWT before 2.13 (`PyJWKClient`): a failed refresh wiped the keys. Here it yields nothing to put there."""
    assert isinstance(parse_key_set(document), KeySetFault)


# Authlib.


@pytest.mark.parametrize("with_kid", ["cert-rs256", "nobody", ABSENT])
@pytest.mark.parametrize("parameter", ["jwk", "x5c", "jku", "x5u"])
def test_cve_2026_27962_key_from_the_tokens_own_header(parameter: str, with_kid: Any) -> None:
    """Authlib before 1.6.9 (GHSA-wvwj-cvrp-7pv5): without another key the one in the header was used."""
    value = {"jwk": ATTACKER.jwk(), "x5c": ["AAAA"]}.get(parameter, "https://evil.test/keys")
    header = {parameter: value, "kid": with_kid}
    assert refused(mint(key=ATTACKER, header=header)) is Reason.TOKEN_MALFORMED
    # Not even beside the right key.
    assert refused(mint(header={parameter: value})) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("header", [{"crit": ["cnf"], "cnf": {"jwk": {}}}, {"crit": ["bork"], "bork": "x"}])
def test_cve_2025_59420_critical_header_of_another_extension(header: dict[str, Any]) -> None:
    """Authlib before 1.6.4: a token whose `crit` names an unknown or unfit extension was accepted."""
    assert refused(mint(header=header)) is Reason.TOKEN_MALFORMED


def test_rfc_7797_unencoded_payload() -> None:
    """The use of `crit` that changes what is signed."""
    header = base64url_encode(json.dumps({"alg": "RS256", "kid": "cert-rs256", "b64": False, "crit": ["b64"]}).encode())
    payload = json.dumps(claims()).encode()
    signature = jwt.get_algorithm_by_name("RS256").sign(header + b"." + payload, SIGNING_KEYS["RS256"].private)
    assert refused(b".".join((header, payload, base64url_encode(signature))).decode()) is Reason.TOKEN_MALFORMED
    assert refused(mint(header={"b64": False})) is Reason.TOKEN_MALFORMED


# Python's `json`.


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("claim", ["aud", "iss", "exp", "sub", "owner", "scope", "tokenType"])
def test_python_json_last_duplicate_wins(claim: str, first: bool) -> None:
    good, other = claims(), {claim: "evil" if claim != "exp" else NOW + 10**8}
    pair = (json.dumps(good)[1:-1], json.dumps(other)[1:-1])
    payload = "{" + ", ".join(reversed(pair) if first else pair) + "}"
    assert refused(sign(b'{"alg":"RS256","kid":"cert-rs256"}', payload.encode())) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 5000])
def test_python_json_takes_numbers_that_are_none(number: str) -> None:
    payload = json.dumps(claims())[:-1] + f', "x": {number}}}'
    assert refused(sign(b'{"alg":"RS256","kid":"cert-rs256"}', payload.encode())) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("levels", [64, 8000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_python_json_recurses(opening: str, closing: str, levels: int) -> None:
    deep = opening * levels + "1" + closing * levels
    payload = json.dumps(claims())[:-1] + f', "x": {deep}}}'
    assert refused(sign(b'{"alg":"RS256","kid":"cert-rs256"}', payload.encode())) is Reason.TOKEN_MALFORMED
    header = '{"alg":"RS256","kid":"cert-rs256","x":' + deep + "}"
    assert refused(sign(header.encode(), json.dumps(claims()).encode())) is Reason.TOKEN_MALFORMED


# Key sets.


@pytest.mark.parametrize("document", [b"", b"<html>", b'{"keys":[]}', b'{"status":"error"}'])
def test_cve_2026_31837_no_key_set_to_fall_back_on(document: bytes) -> None:
    """Istio: when the keys could not be had, a built-in set was used, and its private half is public."""
    fault = parse_key_set(document)
    assert isinstance(fault, KeySetFault)
    assert not hasattr(fault, "keys")
    assert verify_signature(inspected(mint()), ()) is None


def test_cve_2026_49998_same_kid_at_two_issuers() -> None:
    """Centrifugo: keys were remembered by `kid` alone, so one issuer's key passed for another's."""
    rival_iss = "https://rival.test"
    rival = issuer(name="rival", issuer=rival_iss)
    rivals_keys = key_set(key_set_document((), extra=[ATTACKER.jwk(kid="cert-rs256")]))
    by_rival = mint({"iss": rival_iss}, key=ATTACKER, kid="cert-rs256")
    posing = mint(key=ATTACKER, kid="cert-rs256")

    assert isinstance(decide(by_rival, by=rival, keys=rivals_keys), VerifiedToken)
    assert refused(posing) is Reason.TOKEN_SIGNATURE
    # A key set by mistake taken from the other issuer: the claims are still judged by the issuer's own name.
    assert refused(by_rival, keys=rivals_keys) is Reason.TOKEN_ISSUER
    signed = verify_signature(inspected(by_rival), rivals_keys.keys)
    assert signed is not None
    outcome = judge(signed, issuer(), resource(), NOW)
    assert isinstance(outcome, TokenFault)
    assert outcome.reason is Reason.TOKEN_ISSUER


@pytest.mark.parametrize(
    "iss",
    ["http://169.254.169.254/latest", "https://evil.test", f"{ISSUER}@evil.test", f"{ISSUER}.evil.test", "file:///"],
)
def test_cve_2026_32301_key_address_from_the_unverified_issuer(iss: str) -> None:
    """The address of the keys was derived from `iss`. Here `iss` is only ever compared with what is configured."""
    unverified = inspected(mint({"iss": iss}, key=ATTACKER, kid="cert-rs256"))
    fault = screen(unverified, issuer())
    assert fault is not None
    assert fault.reason is Reason.TOKEN_ISSUER


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "kid": "k", "n": "", "e": ""},
        {"kty": "RSA", "kid": "k", "n": "AA", "e": "AA"},
        {"kty": "EC", "kid": "k", "crv": "P-256", "x": "", "y": ""},
        {"kty": "EC", "kid": "k", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
        {"kty": "OKP", "kid": "k", "crv": "Ed25519", "x": "A" * 43},
        {"kty": "oct", "kid": "k", "k": "AAAA"},
        {"kty": {"RSA": 1}, "kid": ["k"]},
        SIGNING_KEYS["ES256"].jwk(kid=["k"]),
        SIGNING_KEYS["ES256"].jwk(kid={}),
    ],
)
def test_cve_2025_64527_odd_key_set_crashes_nothing(entry: dict[str, Any]) -> None:
    """Envoy: a key set brought the proxy down."""
    assert isinstance(parse_key_set(json.dumps({"keys": [entry]}).encode()), KeySetFault)
    beside_a_good_one = key_set(json.dumps({"keys": [entry, SIGNING_KEYS["RS256"].jwk()]}).encode())
    assert [key.key_id for key in beside_a_good_one.keys] == ["cert-rs256"]


# Tokens and caches.


def test_cve_2026_35030_cache_key_is_the_whole_token() -> None:
    """LiteLLM before 1.83 (GHSA-jjhc-v7c2-5hh6): the first 20 characters, which are the header, named the token."""
    alice, mallory = mint(), mint({"sub": "mallory"})
    assert alice[:20] == mallory[:20]
    assert digest_of(alice) != digest_of(mallory)
    assert inspected(alice).digest == digest_of(alice)
    # The signature counts as well: another one over the same claims is another token.
    assert digest_of(alice) != digest_of(mint(key=ATTACKER, kid="cert-rs256"))
    assert digest_of(alice) != digest_of(alice[:-1] + "A")
    assert len(digest_of(alice)) == 32


def test_cve_2021_32701_remembered_token_is_judged_for_each_resource() -> None:
    """Oathkeeper (GHSA-qvp4-rpmr-xwrr): what was found for one endpoint was taken as good for the next."""
    vouched = SignedToken.vouched(inspected(mint()))
    assert isinstance(judge(vouched, issuer(), resource(), NOW), VerifiedToken)
    elsewhere = judge(vouched, issuer(), resource(uri="https://mcp.acme.test/other"), NOW)
    later = judge(vouched, issuer(), resource(), NOW + 10**6)
    assert [outcome.reason for outcome in (elsewhere, later) if isinstance(outcome, TokenFault)] == [
        Reason.TOKEN_AUDIENCE,
        Reason.TOKEN_EXPIRED,
    ]


def test_laravel_rest_api_225_refusal_is_not_read_as_consent() -> None:
    """A remembered denial was an object, and objects are true: here outcomes are told apart by type, never by truth."""
    unverified = inspected(mint(key=ATTACKER, kid="cert-rs256"))
    assert verify_signature(unverified, KEYS.keys) is None
    with pytest.raises(AttributeError):
        judge(unverified, issuer(), resource(), NOW)  # type: ignore[arg-type]  # the mistake that is tried
    outcome = decide(mint({"aud": "x"}))
    assert type(outcome) is TokenFault


def test_firecrawl_3973_revoked_token_in_its_second_spelling() -> None:
    """A credential went on working after it was revoked. An ECDSA token has a second text, which must not."""
    token = mint(alg="ES256")
    first = inspected(token)
    half = len(first.signature) // 2
    s = CURVES["P-256"].order - int.from_bytes(first.signature[half:])
    second = first.signing_input + b"." + base64url_encode(first.signature[:half] + s.to_bytes(half))
    assert isinstance(decide(second.decode()), VerifiedToken), "it is a good signature"
    assert digest_of(token) in revocation_digests(inspected(second.decode()))


# Audience and issuer.


@pytest.mark.parametrize("aud", [ABSENT, None, [], "", "client-mcp", ["client-mcp"], "*", "https://other.test/mcp"])
def test_cve_2026_40946_audience_is_never_skipped(aud: Any) -> None:
    """Oxia: with one check switched off, a token for any audience was accepted."""
    for by in (issuer(), issuer(organizations=frozenset()), issuer(machine_clients=frozenset({"client-mcp"}))):
        assert refused(mint({"aud": aud}), by=by) is Reason.TOKEN_AUDIENCE


@pytest.mark.parametrize("uri", ["https://mcp.acme.test/other", "https://other.test/mcp", "https://mcp.acme.test"])
def test_cve_2025_69196_token_of_one_resource_at_another(uri: str) -> None:
    """FastMCP: the resource that a token was asked for did not limit where it was accepted."""
    assert refused(mint({"aud": [uri]})) is Reason.TOKEN_AUDIENCE
    assert refused(mint({"aud": [RESOURCE]}), at=resource(uri=uri)) is Reason.TOKEN_AUDIENCE


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_unsecured_token(alg: str) -> None:
    """RFC 7518 §3.6, the oldest of them all."""
    head = base64url_encode(json.dumps({"alg": alg, "kid": "cert-rs256"}).encode()).decode()
    body = base64url_encode(json.dumps(claims()).encode()).decode()
    assert refused(f"{head}.{body}.AAAA", by=issuer(algorithms=("RS256", alg))) is Reason.TOKEN_ALGORITHM
    assert refused(f"{head}.{body}.") is Reason.TOKEN_MALFORMED
    assert refused(f"{head}.{body}") is Reason.TOKEN_MALFORMED
