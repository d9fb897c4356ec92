import json
from typing import Any

import pytest

from extauthz.pdp.reason import Reason
from extauthz.pdp.token.base64url import encode_base64url
from extauthz.pdp.token.jose import (
    MAX_KEY_ID_CHARS,
    MAX_TOKEN_BYTES,
    JoseHeader,
    Jws,
    read_header,
    read_json_object,
    read_jws,
)
from extauthz.pdp.token.signature import ALGORITHMS
from extauthz.pdp.token.token_fault import TokenFault
from tests.support.tokens import mint, sign

PAYLOAD = encode_base64url(b"{}")


def header_part(**members: Any) -> bytes:
    return encode_base64url(json.dumps({"alg": "RS256", "kid": "k"} | members).encode())


def reason_of(outcome: object) -> Reason | None:
    return outcome.reason if isinstance(outcome, TokenFault) else None


# Ordinary.


def test_token_is_taken_apart() -> None:
    token = mint().encode()
    jws = read_jws(token)
    assert isinstance(jws, Jws)
    assert jws.header == JoseHeader("RS256", "cert-rs256", "jwt")
    assert json.loads(jws.payload)["sub"]
    assert jws.signing_input == token.rpartition(b".")[0]
    assert len(jws.signature) == 256


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_known_algorithm_is_read(algorithm: str) -> None:
    assert read_header(header_part(alg=algorithm)) == JoseHeader(algorithm, "k", "")


@pytest.mark.parametrize(
    ("typ", "media_type"),
    [
        ("JWT", "jwt"),
        ("jwt", "jwt"),
        ("at+jwt", "at+jwt"),
        ("AT+JWT", "at+jwt"),
        ("application/at+jwt", "at+jwt"),
        ("Application/AT+jwt", "at+jwt"),
        ("", ""),
        ("application/", ""),
        ("text/at+jwt", "text/at+jwt"),
    ],
)
def test_type_is_compared_as_a_media_type(typ: str, media_type: str) -> None:
    header = read_header(header_part(typ=typ))
    assert isinstance(header, JoseHeader)
    assert header.media_type == media_type


def test_member_that_means_nothing_here_is_ignored() -> None:
    """RFC 7515 §4: parameters that are not understood are ignored, unless `crit` names them."""
    assert read_header(header_part(x5t="q", cty="x", custom={"a": [1]})) == JoseHeader("RS256", "k", "")


def test_missing_key_id_and_type_are_empty() -> None:
    assert read_header(encode_base64url(b'{"alg":"ES256"}')) == JoseHeader("ES256", "", "")


def test_header_reads_the_same_the_second_time() -> None:
    first, again = read_jws(mint().encode()), read_jws(mint({"jti": "other"}).encode())
    assert isinstance(first, Jws)
    assert isinstance(again, Jws)
    assert first.header == again.header
    assert first.payload != again.payload


# From the specification.


@pytest.mark.parametrize("parameter", ["crit", "b64", "zip", "jwk", "jku", "x5c", "x5u"])
@pytest.mark.parametrize("value", [None, True, [], {}, "x", ["exp"]])
def test_parameter_that_changes_key_or_payload_is_refused(parameter: str, value: Any) -> None:
    outcome = read_header(header_part(**{parameter: value}))
    assert reason_of(outcome) is Reason.TOKEN_MALFORMED
    assert isinstance(outcome, TokenFault)
    assert parameter in outcome.detail


@pytest.mark.parametrize(
    "alg", [None, "", "none", "None", "HS256", "HS384", "HS512", "rs256", "RS256 ", "ES256K", "EdDSA", 1, ["RS256"], {}]
)
def test_other_algorithm_is_refused(alg: Any) -> None:
    assert reason_of(read_header(header_part(alg=alg))) is Reason.TOKEN_ALGORITHM


def test_header_without_an_algorithm_is_refused() -> None:
    assert reason_of(read_header(encode_base64url(b"{}"))) is Reason.TOKEN_ALGORITHM


@pytest.mark.parametrize("kid", [None, 1, True, ["k"], {"k": 1}, "k" * (MAX_KEY_ID_CHARS + 1)])
def test_key_id_is_a_bounded_string(kid: Any) -> None:
    assert reason_of(read_header(header_part(kid=kid))) is Reason.TOKEN_MALFORMED


def test_key_id_can_be_as_long_as_the_bound() -> None:
    assert isinstance(read_header(header_part(kid="k" * MAX_KEY_ID_CHARS)), JoseHeader)


@pytest.mark.parametrize("typ", [None, 1, ["JWT"], {}])
def test_type_is_a_string(typ: Any) -> None:
    assert reason_of(read_header(header_part(typ=typ))) is Reason.TOKEN_MALFORMED


# Hostile.


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b".",
        b"..",
        b"...",
        b"a",
        header_part() + b"." + PAYLOAD,
        header_part() + b"." + PAYLOAD + b".",
        header_part() + b".." + b"AAAA",
        header_part() + b"." + PAYLOAD + b".AAAA.AAAA",
        header_part() + b"." + PAYLOAD + b".AAAA.AAAA.AAAA",
        b"." + PAYLOAD + b".AAAA",
        header_part() + b"=." + PAYLOAD + b".AAAA",
        header_part() + b"." + PAYLOAD + b"=.AAAA",
        header_part() + b"." + PAYLOAD + b".AAAA=",
        header_part() + b"." + PAYLOAD + b".AAA\n",
        b" " + header_part() + b"." + PAYLOAD + b".AAAA",
        b"Bearer " + header_part() + b"." + PAYLOAD + b".AAAA",
        header_part() + b"%2E" + PAYLOAD + b"%2EAAAA",
        b'{"payload":"e30","protected":"e30","signature":"AAAA"}',
    ],
)
def test_text_that_is_no_compact_jws_is_refused(text: bytes) -> None:
    outcome = read_jws(text)
    if text == header_part() + b".." + b"AAAA":
        assert isinstance(outcome, Jws), "an empty payload is well-formed; no claims can be read from it"
    else:
        assert reason_of(outcome) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b'["alg","RS256"]',
        b'{"alg":"RS256"',
        b'{"alg":"RS256"}x',
        b'{"alg":"RS256","alg":"RS256"}',
        b'{"alg":"none","\\u0061lg":"RS256"}',
        b'{"alg":"RS256","kid":"a","kid":"b"}',
        b'\xef\xbb\xbf{"alg":"RS256"}',
        b'{"alg":"RS256","x":NaN}',
        b'{"alg":"RS256","kid":"\xff"}',
        b'{"alg":"RS256","kid":"\\ud800"}',
        b'{"alg":"RS256","x":[[[[]]]]}',
        b'{"alg":"RS256","x":1e999}',
    ],
)
def test_header_that_readers_take_differently_is_refused(header: bytes) -> None:
    assert reason_of(read_header(encode_base64url(header))) is Reason.TOKEN_MALFORMED


def test_fault_says_what_is_wrong_with_the_json() -> None:
    fault = read_header(encode_base64url(b'{"alg":"RS256","alg":"RS256"}'))
    assert isinstance(fault, TokenFault)
    assert "header is not strict JSON (duplicate_member)" in fault.detail


@pytest.mark.parametrize("beyond", [0, 1])
def test_token_is_bounded(beyond: int) -> None:
    size = MAX_TOKEN_BYTES + beyond
    signature = b"A" * 344
    # A part of 4n + 1 characters spells nothing: the header gives way so that the payload is none.
    for pad in range(4):
        head = header_part(pad="x" * pad) + b"."
        filling = size - len(head) - 1 - len(signature)
        if filling % 4 == 0:
            break
    token = head + b"A" * filling + b"." + signature
    assert len(token) == size
    outcome = read_jws(token)
    assert isinstance(outcome, TokenFault) is bool(beyond)
    assert beyond == 0 or (isinstance(outcome, TokenFault) and "JWT-Custom" in outcome.detail)


def test_long_header_is_read_as_well() -> None:
    """Headers beyond what is remembered take the same way."""
    token = sign(json.dumps({"alg": "RS256", "kid": "k", "x": "y" * 2000}).encode(), b"{}")
    jws = read_jws(token.encode())
    assert isinstance(jws, Jws)
    assert jws.header == JoseHeader("RS256", "k", "")


def test_object_is_asked_for_by_name() -> None:
    assert read_json_object(b'{"a":1}', "payload") == {"a": 1}
    fault = read_json_object(b"[]", "payload")
    assert isinstance(fault, TokenFault)
    assert "payload" in fault.detail


def test_fault_does_not_repeat_the_token() -> None:
    secret = "TESTONLYSECRET"
    for header in (b'{"alg":"%s"}', b'{"alg":"RS256","typ":1,"x":"%s"}', b'{"%s":'):
        fault = read_header(encode_base64url(header.replace(b"%s", secret.encode())))
        assert isinstance(fault, TokenFault)
        assert secret not in fault.detail
