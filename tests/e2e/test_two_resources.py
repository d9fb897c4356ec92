"""Two resources under one host: a token of one is refused by the other, and each challenge has its own metadata."""

import httpx
import pytest

from extauthz.demo.system import System
from extauthz.demo.walk.messages import answer_of, tool_call

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("system")]

RESOURCES = {"/mcp": "weather:read", "/notes/mcp": "notes:read"}
ACCEPT = "application/json, text/event-stream"


def post(url: str, token: str = "") -> httpx.Response:
    message = tool_call(1, "get_forecast", city="Oslo")
    headers = {"content-type": "application/json", "accept": ACCEPT, **message.headers}
    if token:
        headers["authorization"] = f"Bearer {token}"
    return httpx.post(url, content=message.body, headers=headers, timeout=15, trust_env=False)


@pytest.mark.parametrize(("path", "scope"), RESOURCES.items())
def test_each_challenge_names_its_own_metadata_and_scope(system: System, path: str, scope: str) -> None:
    response = post(system.url + path)
    assert response.status_code == 401
    metadata = f"{system.url}/.well-known/oauth-protected-resource{path}"
    assert response.headers["www-authenticate"] == f'Bearer scope="{scope}", resource_metadata="{metadata}"'
    document = httpx.get(metadata, timeout=15, trust_env=False).json()
    assert document["resource"] == system.url + path
    assert document["authorization_servers"] == [system.issuer.url]


@pytest.mark.parametrize(("path", "scope"), RESOURCES.items())
def test_a_token_opens_its_own_resource(system: System, path: str, scope: str) -> None:
    token = system.issuer.token("alice", resource=system.url + path, scopes=[scope]).access_token
    response = post(system.url + path, token)
    assert response.status_code == 200, response.text
    assert answer_of(response)["result"]["structuredContent"]["city"] == "Oslo"


@pytest.mark.parametrize(("path", "other"), [("/mcp", "/notes/mcp"), ("/notes/mcp", "/mcp")])
def test_a_token_of_one_is_refused_by_the_other(system: System, path: str, other: str) -> None:
    """Even with the scopes of both: the audience decides."""
    token = system.issuer.token("alice", resource=system.url + other, scopes=RESOURCES.values()).access_token
    response = post(system.url + path, token)
    assert response.status_code == 401
    challenge = response.headers["www-authenticate"]
    assert 'error="invalid_token"' in challenge
    assert f'resource_metadata="{system.url}/.well-known/oauth-protected-resource{path}"' in challenge


def test_two_resources_have_no_metadata_at_the_root(system: System) -> None:
    """It could only name one of them."""
    root = f"{system.url}/.well-known/oauth-protected-resource"
    assert httpx.get(root, timeout=15, trust_env=False).status_code == 404


def test_nothing_else_is_there(system: System) -> None:
    assert post(system.url + "/other").status_code == 404
