import json
from typing import Any

import pytest

from extauthz.pdp.token.base64url import encode_base64url
from extauthz.pdp.token.jwk import UnusableKey
from extauthz.pdp.token.jwks import (
    MAX_KEY_SET_BYTES,
    MAX_KEYS,
    MAX_KEYS_PER_KEY_ID,
    KeySet,
    KeySetFault,
    KeySetFaultKind,
    parse_key_set,
)
from tests.support.tokens import ALGORITHMS, DATA, SIGNING_KEYS, key_set_document


def key_set(document: bytes) -> KeySet:
    keys = parse_key_set(document)
    assert isinstance(keys, KeySet), keys
    return keys


def of(*entries: Any) -> bytes:
    return json.dumps({"keys": entries}).encode()


def recorded(name: str) -> bytes:
    return (DATA / "jwks" / f"{name}.json").read_bytes()


RSA = SIGNING_KEYS["RS256"].jwk()


# Ordinary.


def test_each_algorithm_finds_its_key() -> None:
    keys = key_set(key_set_document())
    for name in ALGORITHMS:
        signing = SIGNING_KEYS[name]
        (key,) = keys.candidates(signing.kid, name)
        assert key.public == signing.private.public_key()
        assert keys.knows(signing.kid)


@pytest.mark.parametrize(
    ("key_id", "algorithm"),
    [
        ("cert-rs256", "ES256"),
        ("cert-rs256", "HS256"),
        ("cert-rs256", "none"),
        ("cert-es256", "RS256"),
        ("cert-es256", "ES384"),
        ("cert-es256", "ES512"),
        ("cert-es512", "ES256"),
        ("cert-unknown", "RS256"),
        ("CERT-RS256", "RS256"),
        ("", "RS256"),
    ],
)
def test_key_serves_no_algorithm_of_another_type_or_curve(key_id: str, algorithm: str) -> None:
    assert key_set(key_set_document()).candidates(key_id, algorithm) == ()


def test_published_algorithm_does_not_bind() -> None:
    """Casdoor signs RS512 with a key that it publishes as RS256 (casdoor.md §4)."""
    (key,) = key_set(recorded("app-mcp")).candidates("cert-rs256", "RS512")
    assert key.key_id == "cert-rs256"


def test_several_keys_under_one_name_are_all_kept_in_order() -> None:
    keys = key_set(recorded("global-after-rival-added-cert-rs256")).candidates("cert-rs256", "RS256")
    assert len({key.thumbprint for key in keys}) == len(keys) == 2
    assert keys[0].public == SIGNING_KEYS["RS256"].private.public_key()


def test_keys_of_two_types_under_one_name_serve_their_own_algorithms() -> None:
    keys = key_set(of(RSA, SIGNING_KEYS["ES256"].jwk(kid=RSA["kid"])))
    assert [len(keys.candidates(RSA["kid"], algorithm)) for algorithm in ("RS256", "ES256", "ES384")] == [1, 1, 0]


def test_key_that_stands_twice_is_one_key() -> None:
    assert len(key_set(of(RSA, RSA, RSA | {"alg": "x"})).keys) == 1


def test_demo_key_is_left_out_and_reported() -> None:
    keys = key_set(recorded("global"))
    assert not keys.knows("cert-built-in")
    assert [(key.key_id, key.why) for key in keys.ignored] == [("cert-built-in", UnusableKey.PUBLIC_DEMO_KEY)]
    assert len(keys.keys) == 7


def test_unusable_keys_do_not_spoil_the_others() -> None:
    """RFC 7517 §5."""
    keys = key_set(of(None, {}, RSA | {"kty": "oct"}, SIGNING_KEYS["rs1024"].jwk(), RSA, {"kid": "x", "kty": "RSA"}))
    assert [key.key_id for key in keys.keys] == ["cert-rs256"]
    assert [key.why for key in keys.ignored] == [
        UnusableKey.MALFORMED,
        UnusableKey.MALFORMED,
        UnusableKey.UNSUPPORTED_TYPE,
        UnusableKey.KEY_SIZE,
        UnusableKey.MALFORMED,
    ]


@pytest.mark.parametrize(
    "name", ["global", "app-mcp", "rotate-before.global", "rotate-after.global", "global-with-ps256"]
)
def test_what_replicas_share_reads_as_the_same_set(name: str) -> None:
    keys = key_set(recorded(name))
    again = key_set(keys.document)
    assert again == keys
    assert again.document == keys.document
    assert again.ignored == ()
    assert [key.public for key in again.keys] == [key.public for key in keys.keys]


def test_what_replicas_share_holds_nothing_but_keys() -> None:
    leaked = RSA | {"kid": "leaked", "d": "TESTONLY"}
    shared = json.loads(key_set(of(RSA | {"x5c": ["TESTONLY"], "note": "TESTONLY"}, leaked)).document)
    assert shared == {"keys": [{name: RSA[name] for name in ("kid", "kty", "e", "n")}]}


def test_sets_differ_when_a_key_was_replaced_under_its_name() -> None:
    before, after = key_set(recorded("rotate-before.global")), key_set(recorded("rotate-after.global"))
    assert before != after
    assert [key.key_id for key in before.keys] == [key.key_id for key in after.keys]


# Documents that must not replace the keys held.


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        # Casdoor, status 200 (casdoor.md §4).
        (b'{"status":"error","msg":"x509: malformed certificate","sub":"","name":""}', KeySetFaultKind.NO_KEYS_MEMBER),
        (b'{"status":"error","msg":"Unauthorized operation"}', KeySetFaultKind.NO_KEYS_MEMBER),
        (b"<!doctype html><html></html>", KeySetFaultKind.NOT_JSON),
        (b"", KeySetFaultKind.NOT_JSON),
        (b"null", KeySetFaultKind.NO_KEYS_MEMBER),
        (b"[]", KeySetFaultKind.NO_KEYS_MEMBER),
        (of(RSA)[8:-1], KeySetFaultKind.NO_KEYS_MEMBER),
        (b'{"keys":null}', KeySetFaultKind.NO_KEYS_MEMBER),
        (b'{"keys":{}}', KeySetFaultKind.NO_KEYS_MEMBER),
        (b'{"Keys":[]}', KeySetFaultKind.NO_KEYS_MEMBER),
        (b'{"keys":[]}', KeySetFaultKind.NO_USABLE_KEY),
        (b'{"keys":[1,null,"x",[],{}]}', KeySetFaultKind.NO_USABLE_KEY),
        (b'{"keys":[],"keys":[]}', KeySetFaultKind.NOT_JSON),
        (b"\xef\xbb\xbf" + of(RSA), KeySetFaultKind.NOT_JSON),
        (of(RSA) + b"x", KeySetFaultKind.NOT_JSON),
        (b"[" * 100_000, KeySetFaultKind.NOT_JSON),
        (of(RSA).replace(b"sig", b"\xff\xfe"), KeySetFaultKind.NOT_JSON),
        (of(RSA) + b" " * MAX_KEY_SET_BYTES, KeySetFaultKind.TOO_LARGE),
        (of(*[{}] * (MAX_KEYS + 1)), KeySetFaultKind.TOO_MANY_KEYS),
    ],
)
def test_document_without_keys_is_a_fault(document: bytes, kind: KeySetFaultKind) -> None:
    fault = parse_key_set(document)
    assert isinstance(fault, KeySetFault)
    assert fault.kind is kind
    assert fault.detail


@pytest.mark.parametrize("beyond", [0, 1])
def test_document_is_bounded(beyond: int) -> None:
    document = of(RSA).ljust(MAX_KEY_SET_BYTES + beyond)
    assert isinstance(parse_key_set(document), KeySetFault) is bool(beyond)


def test_set_of_nothing_but_the_demo_key_is_a_fault_that_says_so() -> None:
    fault = parse_key_set(recorded("app-built-in"))
    assert isinstance(fault, KeySetFault)
    assert fault.kind is KeySetFaultKind.NO_USABLE_KEY
    assert "demo key" in fault.detail
    assert [key.why for key in fault.ignored] == [UnusableKey.PUBLIC_DEMO_KEY]


def test_fault_of_an_empty_set_says_so() -> None:
    fault = parse_key_set(of())
    assert isinstance(fault, KeySetFault)
    assert "the set is empty" in fault.detail


def test_fault_of_many_bad_keys_stays_short() -> None:
    fault = parse_key_set(of(*({"kid": "k", "kty": "EC", "crv": f"x{n}"} | RSA | {"e": "A"} for n in range(MAX_KEYS))))
    assert isinstance(fault, KeySetFault)
    assert len(fault.detail) < 600


def test_largest_set_is_read() -> None:
    assert len(key_set(of(*(RSA | {"kid": f"k{n}"} for n in range(MAX_KEYS)))).keys) == MAX_KEYS


def test_keys_under_one_name_are_bounded_and_the_rest_is_reported() -> None:
    n = int.from_bytes(b"\x80" + bytes(254) + b"\x01")
    many = [RSA | {"n": SIGNING_KEYS["RS256"].jwk()["n"]}] + [
        RSA | {"n": encode_base64url((n + 2 * serial).to_bytes(256)).decode()}
        for serial in range(MAX_KEYS_PER_KEY_ID + 3)
    ]
    keys = key_set(of(*many))
    assert len(keys.candidates(RSA["kid"], "RS256")) == MAX_KEYS_PER_KEY_ID
    assert [key.why for key in keys.ignored] == [UnusableKey.TOO_MANY_UNDER_ONE_ID] * 4


def test_unknown_name_is_not_known() -> None:
    keys = key_set(key_set_document())
    assert not keys.knows("")
    assert not keys.knows("cert-rs25")
