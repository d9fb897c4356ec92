"""RFC 9728 §2 and MCP's profile of it: what a document says, and that it says it in the same bytes every time."""

import json
from dataclasses import replace

import pytest

from extauthz.pdp.answer.metadata import metadata_bytes, metadata_document
from tests.support.policies import ISSUER, resource

OTHER_ISSUER = replace(ISSUER, name="other", issuer="https://login.example.org/")


def test_a_document_has_the_members_that_mcp_asks_for() -> None:
    assert metadata_document(resource()) == {
        "resource": "https://mcp.example.com/weather/mcp",
        "authorization_servers": ["https://door.example.com"],
        "scopes_supported": ["weather:read"],
        "bearer_methods_supported": ["header"],
        "resource_name": "weather",
    }


def test_the_bytes_are_compact_sorted_ascii_json() -> None:
    """Written out, since Envoy's configuration and its golden files hold exactly this."""
    assert metadata_bytes(resource()) == (
        b'{"authorization_servers":["https://door.example.com"],"bearer_methods_supported":["header"],'
        b'"resource":"https://mcp.example.com/weather/mcp","resource_name":"weather",'
        b'"scopes_supported":["weather:read"]}'
    )


def test_text_outside_ascii_is_escaped_and_reads_back() -> None:
    document = metadata_bytes(resource(name="météo"))
    assert document.isascii()
    assert json.loads(document)["resource_name"] == "météo"


def test_issuers_are_named_exactly_and_in_file_order() -> None:
    """RFC 8414 §3.3: clients compare the issuer with what the authorization server says of itself."""
    document = metadata_document(resource(issuers=(OTHER_ISSUER, ISSUER)))
    assert document["authorization_servers"] == ["https://login.example.org/", "https://door.example.com"]


def test_two_profiles_of_one_issuer_are_one_authorization_server() -> None:
    document = metadata_document(resource(issuers=(ISSUER, replace(ISSUER, name="again"))))
    assert document["authorization_servers"] == ["https://door.example.com"]


def test_only_baseline_scopes_are_published() -> None:
    """MCP 2026-07-28, Scope Selection Strategy: the minimal set; everything else comes by step-up."""
    document = metadata_document(resource(baseline=("weather:read",)))
    assert "weather:write" not in document["scopes_supported"]


def test_baseline_scopes_keep_their_order_and_come_once() -> None:
    document = metadata_document(resource(baseline=("weather:write", "weather:read", "weather:write")))
    assert document["scopes_supported"] == ["weather:write", "weather:read"]


def test_offline_access_is_never_published() -> None:
    """MCP 2026-07-28, Refresh Tokens."""
    document = metadata_document(resource(baseline=("weather:read", "offline_access")))
    assert document["scopes_supported"] == ["weather:read"]


@pytest.mark.parametrize("baseline", [(), ("offline_access",)], ids=["none", "only offline_access"])
def test_no_scopes_means_no_member(baseline: tuple[str, ...]) -> None:
    """RFC 9728 §3.2: a member without values is left out."""
    assert "scopes_supported" not in metadata_document(resource(baseline=baseline))


def test_a_resource_without_issuers_has_no_document() -> None:
    """MCP 2026-07-28, Authorization Server Location: at least one."""
    with pytest.raises(ValueError, match="'weather' has no issuer"):
        metadata_document(resource(issuers=()))


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("https://mcp.example.com/weather/mcp", "/.well-known/oauth-protected-resource/weather/mcp"),
        ("https://mcp.example.com", "/.well-known/oauth-protected-resource"),
        ("https://mcp.example.com:8443/mcp", "/.well-known/oauth-protected-resource/mcp"),
    ],
)
def test_the_document_of_a_resource_stands_at_its_well_known_url(uri: str, path: str) -> None:
    """RFC 9728 §3.1: between the authority and the path."""
    authority = uri.removeprefix("https://").partition("/")[0]
    assert resource(uri=uri).metadata_path == path
    assert resource(uri=uri).metadata_url == f"https://{authority}{path}"
