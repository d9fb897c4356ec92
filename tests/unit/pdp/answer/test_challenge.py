import re

import pytest

from extauthz.pdp.answer.challenge import build_challenge, challenge_scopes
from extauthz.pdp.policy import ChallengeScopes
from extauthz.pdp.reason import ANSWERS, Reason
from tests.support.policies import resource

WEATHER = resource()
METADATA = "https://mcp.example.com/.well-known/oauth-protected-resource/weather/mcp"


def test_no_credentials_no_error() -> None:
    """RFC 6750 §3.1: a request without credentials should not be told an error code."""
    assert build_challenge(WEATHER, Reason.TOKEN_MISSING, ["weather:read"]) == (
        f'Bearer scope="weather:read", resource_metadata="{METADATA}"'
    )


def test_a_bad_token() -> None:
    assert build_challenge(WEATHER, Reason.TOKEN_EXPIRED, ["weather:read"]) == (
        f'Bearer error="invalid_token", scope="weather:read", resource_metadata="{METADATA}", '
        'error_description="the access token has expired"'
    )


def test_step_up() -> None:
    assert build_challenge(WEATHER, Reason.SCOPE_INSUFFICIENT, ["a", "b"]) == (
        f'Bearer error="insufficient_scope", scope="a b", resource_metadata="{METADATA}", '
        'error_description="this operation needs more scopes"'
    )


def test_a_malformed_request_names_no_scope() -> None:
    assert build_challenge(WEATHER, Reason.CREDENTIALS_MALFORMED, ["weather:read"]) == (
        f'Bearer error="invalid_request", resource_metadata="{METADATA}", '
        'error_description="send exactly one access token, in one Authorization header"'
    )


def test_without_scopes_there_is_no_scope_parameter() -> None:
    assert build_challenge(WEATHER, Reason.TOKEN_MISSING, []) == f'Bearer resource_metadata="{METADATA}"'


CHALLENGED = [reason for reason, answer in ANSWERS.items() if answer.challenge is not None]


@pytest.mark.parametrize("reason", CHALLENGED)
def test_clients_with_unanchored_parsers_read_what_was_meant(reason: Reason) -> None:
    """MCP SDKs take the first unanchored match of `name=` in the whole header, whatever it stands in."""
    text = build_challenge(WEATHER, reason, ["weather:read"])
    for name in ("error", "scope", "resource_metadata", "error_description"):
        found = re.findall(rf'{name}=(?:"([^"]+)"|([^\s,]+))', text)
        assert len(found) <= 1 or name == "error"
    assert re.search(r'resource_metadata="([^"]+)"', text)[1] == METADATA  # type: ignore[index]
    assert "=" not in ANSWERS[reason].message


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
def test_messages_fit_the_grammar_of_error_description(answer: object) -> None:
    """RFC 6750 §3: %x20-21 / %x23-5B / %x5D-7E."""
    assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+", answer.message)  # type: ignore[attr-defined]


def test_every_reason_that_refuses_has_an_answer() -> None:
    assert set(Reason) - {Reason.ALLOWED, Reason.PREFLIGHT} == set(ANSWERS)


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("https://h.example/mcp", "https://h.example/.well-known/oauth-protected-resource/mcp"),
        ("https://h.example", "https://h.example/.well-known/oauth-protected-resource"),
        ("http://127.0.0.1:8080/a/b", "http://127.0.0.1:8080/.well-known/oauth-protected-resource/a/b"),
        ("https://h.example/mcp/", "https://h.example/.well-known/oauth-protected-resource/mcp/"),
    ],
)
def test_metadata_url_stands_between_host_and_path(uri: str, url: str) -> None:
    assert resource(uri=uri).metadata_url == url


def test_required_plus_granted_keeps_what_clients_without_memory_would_lose() -> None:
    where = resource(
        includes={"a": [], "b": [], "c": []}, baseline=[], challenge_scopes=ChallengeScopes.REQUIRED_AND_GRANTED
    )
    assert challenge_scopes(where, ("c",), frozenset({"b", "a"})) == ("c", "a", "b")
    assert challenge_scopes(resource(), ("c",), frozenset({"a"})) == ("c",)
