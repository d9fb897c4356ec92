import re
from urllib.parse import quote, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.pdp.request import HttpRequest
from extauthz.pdp.token.credentials import (
    MAX_QUERY_CHARS,
    BadCredentials,
    Bearer,
    NoCredentials,
    bearer_credentials,
)


def read(authorization: str | None, path: str = "/mcp") -> Bearer | NoCredentials | BadCredentials:
    headers = {} if authorization is None else {"authorization": authorization}
    return bearer_credentials(HttpRequest(method="POST", scheme="https", authority="h", path=path, headers=headers))


@pytest.mark.parametrize("value", ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c", "Bearer   a.b.c"])
def test_one_token_whatever_the_case_of_the_scheme(value: str) -> None:
    assert read(value) == Bearer("a.b.c")


@pytest.mark.parametrize("value", [None, "", "Basic dXNlcjpwYXNz", "DPoP a.b.c", "Negotiate"])
def test_no_authorization_or_another_scheme_is_no_credentials(value: str | None) -> None:
    assert isinstance(read(value), NoCredentials)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "no Authorization header"),
        ("", "no Authorization header"),
        ("Basic dXNlcjpwYXNz", "has the scheme Basic, expected Bearer"),
        ("basic dXNlcjpwYXNz", "has the scheme Basic, expected Bearer"),
        ("DPoP a.b.c", "has the scheme DPoP, expected Bearer"),
        ("eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "has no scheme: the client must write `Bearer` before the token"),
        ("hunter2", "has no scheme"),
        ("hunter2 hunter2", "has a scheme that is not registered, expected Bearer"),
    ],
)
def test_what_came_instead_of_bearer_is_named_and_never_the_token(value: str | None, said: str) -> None:
    found = read(value)
    assert isinstance(found, NoCredentials)
    assert said in found.detail
    assert all(part not in found.detail for part in ("hunter2", "eyJ", "dXNl", "a.b.c"))


@pytest.mark.parametrize(
    "value",
    [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer a,Bearer b",
        "Bearer a.b.c,Basic x",
        "Basic x,Bearer a.b.c",
        "Bearer a.b.c ",
        "Bearer\ta.b.c",
        " Bearer a.b.c",
        "Bearer a\n",
        "Bearer é",
        'Bearer "a"',
        "Bearer a=b",
        "bearer:a",
    ],
)
def test_anything_else_is_malformed(value: str) -> None:
    assert isinstance(read(value), BadCredentials)


@pytest.mark.parametrize(
    "query",
    [
        "access_token=x",
        "a=b&access_token=x",
        "a;access_token",
        "%61ccess_token=x",
        "access%5Ftoken=",
        "+access_token=x",
    ],
)
def test_a_token_in_the_query_is_malformed_even_beside_a_good_header(query: str) -> None:
    assert isinstance(read("Bearer a.b.c", "/mcp?" + query), BadCredentials)


def test_other_query_parameters_do_no_harm() -> None:
    assert read("Bearer a.b.c", "/mcp?session_id=access_token&my_access_token=1") == Bearer("a.b.c")


@given(st.text(max_size=40), st.text(max_size=40))
def test_never_raises_and_never_makes_a_token_of_other_characters(value: str, query: str) -> None:
    found = read(value, "/mcp?" + query)
    if isinstance(found, Bearer):
        assert found.token.isascii()
        assert not set(found.token) & set(' ,;\t\r\n"')


def test_the_token_is_not_in_the_repr() -> None:
    assert "secret" not in repr(read("Bearer secret"))


def names_in(query: str) -> set[str]:
    """The names of a query as the standard library reads them, blanks around them left out."""
    return {unquote_plus(pair.partition("=")[0]).strip() for pair in re.split("[&;]", query)}


SPACES = sorted(chr(code) for code in range(0x110000) if chr(code).isspace())


@pytest.mark.parametrize("space", SPACES, ids=lambda space: f"U+{ord(space):04X}")
def test_blanks_around_the_name_hide_no_token(space: str) -> None:
    for written in (space, quote(space), quote(space).lower(), f"{quote(space)}+{space}"):
        for query in (f"{written}access_token=x", f"a=b&access_token{written}=x", f"a;{written}access_token{written}"):
            assert "access_token" in names_in(query)
            assert isinstance(read("Bearer a.b.c", "/mcp?" + query), BadCredentials)


PIECES = (
    *("access_token", "access", "_token", "%61ccess_toke%6e", "%5F", "%5f", "%6B", "ACCESS_TOKEN", "token", "a", "x"),
    *("&", ";", "=", "+", " ", "%20", "%09", "%C2%A0", "%c2%a0", "%E2%80%83", "%E3%80%80", "%26", "%3D", "%", "%2"),
    "%FF",
)


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_a_token_is_found_where_the_standard_library_reads_one(query: str) -> None:
    found = isinstance(read("Bearer a.b.c", "/mcp?" + query), BadCredentials)
    assert found == ("access_token" in names_in(query))


def test_a_query_that_is_too_long_to_be_searched_is_malformed() -> None:
    """It could hold a token."""
    longest = "a" * MAX_QUERY_CHARS
    assert read("Bearer a.b.c", "/mcp?" + longest) == Bearer("a.b.c")
    too_long = read("Bearer a.b.c", "/mcp?" + longest + "a")
    assert isinstance(too_long, BadCredentials)
    assert too_long.detail == "a query of 1025 characters: send at most 1024"
    assert isinstance(read(None, "/mcp?" + longest + "a"), BadCredentials)
