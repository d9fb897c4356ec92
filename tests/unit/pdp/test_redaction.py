"""Secrets do not come back, however somebody else has written them."""

import json
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.redaction import ALONE_CHARS, CUT, HEAD_CHARS, Redactor

SECRETS = ("hunter2", "Correct Horse & Battery+Staple/=", "päss\twörd<1>\"'\\", "s" * 32, "0a" * 40, "ab")


def cut(text: str, *secrets: str) -> str:
    return Redactor(secrets).cut(text)


def written(secret: str) -> tuple[str, ...]:
    """As a server, a library or we might write it."""
    return (
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        escape(secret),
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        repr(secret),
        repr(secret.encode()),
        secret.encode("unicode_escape").decode(),
    )


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "around", ["{}", "'{}'", "`{}`, ", "redis://:{}@host", "?password={}&db=0", "(b'{}',)", "%20{}%20"]
)
def test_a_secret_is_cut_out_however_it_is_written(secret: str, around: str) -> None:
    for form in written(secret):
        found = cut(around.format(form), *SECRETS)
        assert CUT in found
        assert form not in found


@pytest.mark.parametrize("kept", [HEAD_CHARS, 20, 31])
def test_the_beginning_of_a_secret_is_taken_for_it(kept: int) -> None:
    """Redis shows the first 128 characters of what it quotes."""
    secret = "Correct Horse Battery Staple 123"
    assert cut(f"args: '{secret[:kept]}", secret) == f"args: '{CUT}"


def test_everything_else_stays() -> None:
    text = "ERR unknown command 'AUTH', correct horse, Correct, about hunters, cab"
    assert cut(text, *SECRETS) == text
    assert cut("decision 3ab19f of redis://redis:6379", "ab") == "decision 3ab19f of redis://redis:6379"


def test_secrets_that_begin_alike_or_hold_each_other() -> None:
    assert cut("secret-one-long secret-one secret-only", "secret-one", "secret-one-long") == f"{CUT} {CUT} secret-only"
    assert cut("xx12345678yy", "12345678", "xx12345678yy") == CUT
    assert cut("EXTAUTHZ_REDIS_URL", "EXTAUTHZ-admin-token") == "EXTAUTHZ_REDIS_URL"


def test_secrets_are_learnt_and_not_forgotten() -> None:
    redactor = Redactor(["first-secret"])
    redactor.learn(["second-secret", "", "  "])
    assert redactor.cut("first-secret second-secret  ") == f"{CUT} {CUT}  "
    assert "secret-" not in repr(redactor)


def test_without_secrets_nothing_is_cut() -> None:
    assert Redactor().cut("text") == "text"


@given(st.lists(st.text(min_size=1, max_size=20), max_size=5), st.text(max_size=30), st.text(max_size=30))
def test_no_secret_and_no_text_raises_and_long_ones_are_gone(secrets: list[str], before: str, after: str) -> None:
    redactor = Redactor(secrets)
    for secret in secrets:
        found = redactor.cut(before + secret + after)
        if len(secret) >= ALONE_CHARS and secret.strip() and secret not in CUT:
            assert secret not in found
