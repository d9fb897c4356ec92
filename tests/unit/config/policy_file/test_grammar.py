"""The words of a policy file, one grammar at a time."""

from typing import Annotated, Any

import pytest
from pydantic import ConfigDict, TypeAdapter, ValidationError

from extauthz.config.policy_file.grammar import (
    MAX_NAME_CHARS,
    MAX_WORD_CHARS,
    Audience,
    Client,
    HeaderPrefix,
    MethodPattern,
    Name,
    ScopeName,
    TargetPattern,
    duration,
)

SECONDS = Annotated[int, *duration(10, 7_200)]


def accepts(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError as error:
        (detail,) = error.errors()
        assert detail["type"] != "complaint" or detail["ctx"]["hint"]
        return False
    return True


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("10s", 10), ("60s", 60), ("5m", 300), ("2h", 7200), (10, 10), (7200, 7200)],
)
def test_durations(value: object, seconds: int) -> None:
    assert TypeAdapter(SECONDS, config=ConfigDict(strict=True)).validate_python(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *("", "60", "s", "1.5m", "-5m", "5 m", " 5m", "5M", "1d", "1h30m", "05m", "5m\n", "\u0665m", "9999999999s"),
        *(9, 7_201, "9s", "3h", True, 60.0, None, [60]),
    ],
)
def test_other_durations(value: object) -> None:
    assert not accepts(SECONDS, value)


@pytest.mark.parametrize("scope", ["a", "weather:read", "https://h/scope", "!#[]~", "a*b", "x" * MAX_WORD_CHARS])
def test_scope_names_of_rfc_6749(scope: str) -> None:
    assert accepts(ScopeName, scope)


@pytest.mark.parametrize("scope", ["", "a b", 'a"b', "a\\b", "a\tb", "é", "a\x7f", "x" * (MAX_WORD_CHARS + 1), 1, None])
def test_other_scope_names(scope: object) -> None:
    assert not accepts(ScopeName, scope)


@pytest.mark.parametrize("name", ["a", "weather-2", "A_b", "0", "x" * MAX_NAME_CHARS])
def test_names(name: str) -> None:
    assert accepts(Name, name)


@pytest.mark.parametrize("name", ["", "_other", "-a", "a b", "a/b", "a.b", "é", "a\n", "x" * (MAX_NAME_CHARS + 1)])
def test_other_names(name: str) -> None:
    assert not accepts(Name, name)


@pytest.mark.parametrize("prefix", ["x-auth-", "x-who-", "auth-", "x1-"])
def test_header_prefixes(prefix: str) -> None:
    assert accepts(HeaderPrefix, prefix)


@pytest.mark.parametrize(
    "prefix",
    [
        *("", "-", "x-auth", "X-Auth-", "x_auth-", "x auth-", "x-auth:-", "é-", "x--", "a\n-"),
        *("x-", "mcp-", "content-", "accept-", "x-forwarded-", "x-envoy-", "x-extauthz-", "last-", "sec-"),
    ],
)
def test_other_header_prefixes(prefix: str) -> None:
    assert not accepts(HeaderPrefix, prefix)


@pytest.mark.parametrize(
    ("kind", "word"),
    [(MethodPattern, "tools/*"), (TargetPattern, "weather://a b/*"), (Client, "admin/ops bot"), (Audience, "é")],
)
def test_words(kind: Any, word: str) -> None:
    assert accepts(kind, word)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (MethodPattern, "tools/call "),
        (MethodPattern, "a b"),
        (MethodPattern, ""),
        (TargetPattern, ""),
        (TargetPattern, " a"),
        (TargetPattern, "a\nb"),
        (TargetPattern, "x" * (MAX_WORD_CHARS + 1)),
        (Client, "*"),
        (Client, "ops-*"),
        (Client, ""),
        (Audience, "*"),
        (Audience, ""),
    ],
)
def test_other_words(kind: Any, word: str) -> None:
    assert not accepts(kind, word)
