"""A client of the demo issuer, one request at a time."""

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt

from extauthz.demo.issuer import DemoIssuer
from extauthz.demo.issuer.endpoints import AUTHORIZE, TOKEN
from extauthz.demo.issuer.realm import DEMO_CLIENT

RESOURCE = "http://127.0.0.1:8080/weather/mcp"
REDIRECT = "http://127.0.0.1:40001/callback"
VERIFIER = "a-verifier-that-is-long-enough-to-be-one-by-rfc-7636"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


def authorization(**changes: str) -> dict[str, str]:
    parameters = {
        "client_id": DEMO_CLIENT,
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": "weather:read",
        "state": "st&te",
        "resource": RESOURCE,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | changes
    return {name: value for name, value in parameters.items() if value}


def allow(http: httpx.Client, user: str = "acme/alice", **changes: str) -> dict[str, str]:
    """What the client gets back when a person says yes."""
    answer = http.post(AUTHORIZE, data=authorization(**changes) | {"decision": "allow", "user": user})
    assert answer.status_code == 302, answer.text
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def redeem(http: httpx.Client, code: str, **changes: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": DEMO_CLIENT,
        "code": code,
        "code_verifier": VERIFIER,
        "redirect_uri": REDIRECT,
        "resource": RESOURCE,
    } | changes
    return http.post(TOKEN, data={name: value for name, value in form.items() if value})


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def secret_of(issuer: DemoIssuer, client_id: str) -> str:
    application = issuer.realm.application(client_id)
    assert application is not None
    return application.client_secret
