"""A client's way to a token, step by step as MCP wants it, with a person who says yes at once.

A 401 leads to the resource metadata (RFC 9728), that to the authorization server's metadata (RFC 8414), and that to a
registration (RFC 7591) and an authorization code with PKCE (RFC 7636) for one resource (RFC 8707).
"""

import base64
import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx

from extauthz.demo.walk.expect import expect

REDIRECT: Final = "http://127.0.0.1:6299/callback"
"""Nothing listens there: the code is read from the redirect itself."""
_METADATA: Final = re.compile(r'resource_metadata="([^"]+)"')
_SCOPE: Final = re.compile(r'(?:^|[ ,])scope="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A registered client, and the endpoints of its authorization server."""

    client_id: str
    client_secret: str = field(repr=False)
    authorization_endpoint: str
    token_endpoint: str


def metadata_url(challenge: str) -> str:
    """Where a challenge says that the resource metadata is; empty when it does not."""
    found = _METADATA.search(challenge)
    return found.group(1) if found else ""


def challenge_scopes(challenge: str) -> frozenset[str]:
    """The scopes that a challenge asks for."""
    found = _SCOPE.search(challenge)
    return frozenset(found.group(1).split()) if found else frozenset()


def register(http: httpx.Client, issuer: str) -> Client:
    """Read the authorization server's metadata and register there."""
    metadata = _json(http.get(f"{issuer}/.well-known/oauth-authorization-server"), "authorization server metadata")
    expect("the metadata's issuer", issuer, metadata.get("issuer"))
    answer = http.post(
        metadata["registration_endpoint"], json={"client_name": "extauthz demo", "redirect_uris": [REDIRECT]}
    )
    client = _json(answer, "registration", status=201)
    return Client(
        client_id=client["client_id"],
        client_secret=client["client_secret"],
        authorization_endpoint=metadata["authorization_endpoint"],
        token_endpoint=metadata["token_endpoint"],
    )


def sign_in(http: httpx.Client, client: Client, *, user: str, resource: str, scopes: frozenset[str]) -> dict[str, Any]:
    """The token endpoint's answer after `user` has agreed."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
    state = secrets.token_urlsafe(16)
    form = {
        "client_id": client.client_id,
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": " ".join(sorted(scopes)),
        "state": state,
        "resource": resource,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    answer = http.post(client.authorization_endpoint, data=form | {"user": user, "decision": "allow"})
    expect("the sign-in's status", 302, answer.status_code)
    returned = parse_qs(urlsplit(answer.headers["location"]).query)
    expect("the returned state", [state], returned.get("state"))
    answer = http.post(
        client.token_endpoint,
        data={
            "grant_type": "authorization_code",
            "code": returned.get("code", [""])[0],
            "redirect_uri": REDIRECT,
            "code_verifier": verifier,
            "resource": resource,
        },
        auth=(client.client_id, client.client_secret),
    )
    return _json(answer, "token request")


def _json(answer: httpx.Response, what: str, *, status: int = 200) -> dict[str, Any]:
    expect(f"the status of the {what}", status, answer.status_code)
    document: dict[str, Any] = answer.json()
    return document
