"""Dynamic client registration (RFC 7591) at `/api/oauth/register?organization=…`, answers as Casdoor's."""

import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from extauthz.demo.issuer.grants import Document, OAuthFault
from extauthz.demo.issuer.realm import Application, Realm

MAX_REDIRECT_URIS: Final = 20
DEFAULT_GRANT_TYPES: Final = ["authorization_code", "refresh_token"]


def register(
    metadata: Mapping[str, Any], realm: Realm, *, organization: str, issuer: str, now: float
) -> Document | OAuthFault:
    """Make an application of a client's metadata. As in Casdoor it has no list of scopes and no certificate."""
    if organization not in realm.open_registration:
        return OAuthFault("invalid_client_metadata", "dynamic client registration is disabled for this organization")
    uris = metadata.get("redirect_uris")
    if not isinstance(uris, list) or not 0 < len(uris) <= MAX_REDIRECT_URIS or not all(map(_is_web, uris)):
        return OAuthFault(
            "invalid_redirect_uri", "redirect_uris is required and must contain at least one URI, all http or https"
        )
    client_id = secrets.token_hex(10)
    application = Application(
        name=f"dcr_{client_id}",
        client_id=client_id,
        organization=organization,
        display_name=str(metadata.get("client_name", "")),
        redirect_uris=tuple(uris),
    )
    realm.register(application)
    return {
        "client_id": client_id,
        "client_secret": application.client_secret,
        "client_id_issued_at": int(now),
        "client_secret_expires_at": 0,
        "client_name": application.display_name,
        "redirect_uris": uris,
        "grant_types": metadata.get("grant_types", DEFAULT_GRANT_TYPES),
        "response_types": ["code"],
        "token_endpoint_auth_method": metadata.get("token_endpoint_auth_method", "client_secret_basic"),
        "application_type": "web",
        "scope": metadata.get("scope", ""),
        "registration_client_uri": f"{issuer}/api/oauth/register/{client_id}",
        "registration_access_token": secrets.token_hex(20),
    }


def _is_web(uri: object) -> bool:
    try:
        return isinstance(uri, str) and urlsplit(uri).scheme in ("http", "https")
    except ValueError:
        return False
