from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.answer.caller import Caller, header_value
from extauthz.pdp.policy import UpstreamHeaders
from extauthz.pdp.principal import Principal, VerifiedToken
from tests.support.policies import resource

ALICE = Principal(
    issuer="https://door.example.com",
    subject="u1",
    organization="acme",
    name="alice",
    client_id="c",
    scopes=frozenset({"b", "a"}),
    roles=frozenset(),
    groups=frozenset(),
    machine=False,
)


def caller(prefix: str = "x-auth-", **changes: object) -> Caller:
    principal = replace(ALICE, **changes)  # type: ignore[arg-type]
    token = VerifiedToken(principal=principal, issued_at=0, expires_at=1, token_id="", digests=(b"d" * 32,))
    return Caller.of(token, resource(upstream_headers=UpstreamHeaders(prefix=prefix)))


def test_identity_headers_of_a_principal() -> None:
    assert dict(caller().headers) == {
        "x-auth-subject": "u1",
        "x-auth-issuer": "https://door.example.com",
        "x-auth-organization": "acme",
        "x-auth-client-id": "c",
        "x-auth-scopes": "a b",
    }


def test_what_the_token_does_not_say_is_left_out_so_that_a_forged_header_is_removed() -> None:
    bare = caller(organization="", client_id="", scopes=frozenset())
    assert {name for name, _ in bare.headers} == {"x-auth-subject", "x-auth-issuer"}
    assert "x-auth-organization" not in bare.header_names


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("alice", "alice"),
        ("a b", "a b"),
        ("https://c.example/x?y=z#w", "https://c.example/x?y=z#w"),
        ("é", "%C3%A9"),
        ("%C3%A9", "%25C3%25A9"),
        ("100%", "100%25"),
        (" a", "%20a"),
        ("a ", "a%20"),
        ("  ", "%20%20"),
        ("a\r\nx-evil: 1", "a%0D%0Ax-evil: 1"),
        ("日本", "%E6%97%A5%E6%9C%AC"),
    ],
)
def test_header_value(text: str, value: str) -> None:
    assert value == header_value(text)


@given(st.text())
def test_a_header_value_is_plain_ascii_and_can_be_read_back(text: str) -> None:
    value = header_value(text)
    assert value.isascii()
    assert value == "" or value.isprintable()
    assert value == value.strip(" ")
    assert unquote(value, errors="surrogatepass") == text


def test_subject_hashes_tell_issuers_and_subjects_apart() -> None:
    """The two parts are framed: moving a character from one to the other gives another hash."""
    one = caller(issuer="https://a", subject="bc").subject_hash
    other = caller(issuer="https://ab", subject="c").subject_hash
    assert one != other
    assert len(one) == 16
