"""The token endpoint's rules: authorization code, refresh, client credentials (RFC 6749, 7636, 8707), introspection."""

import base64
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, TypeAlias

from extauthz.demo.issuer.ledger import Issued, Ledger
from extauthz.demo.issuer.realm import Application, Realm
from extauthz.demo.issuer.tokens import LIFETIME_S, Grant, TokenPair, issue

INTROSPECTED_CLAIMS: Final = ("exp", "iat", "nbf", "sub", "aud", "iss", "jti")


@dataclass(frozen=True, slots=True)
class OAuthFault:
    """An OAuth error answer (RFC 6749 §5.2)."""

    error: str
    description: str = ""
    status: int = 400

    def document(self) -> dict[str, str]:
        """The JSON body."""
        return {"error": self.error} | ({"error_description": self.description} if self.description else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientClaim:
    """Who a request says that it comes from: HTTP Basic or form fields."""

    client_id: str
    client_secret: str = field(repr=False)


Document: TypeAlias = dict[str, Any]


class Grants:
    """Turns grants into tokens, and says later whether they still count."""

    def __init__(self, realm: Realm, *, issuer: str, lifetime_s: int = LIFETIME_S) -> None:
        self.ledger = Ledger()
        self.lifetime_s = lifetime_s
        self._realm = realm
        self._issuer = issuer

    def allowed_scope(self, application: Application, scope: str) -> bool:
        """An application with a list of scopes gets those; one without gets any string at all, as in Casdoor."""
        return not application.scopes or set(scope.split()) <= set(application.scopes)

    def exchange(self, form: Mapping[str, str], client: ClientClaim, now: float) -> Document | OAuthFault:
        """Answer one token request."""
        application = self._realm.application(client.client_id)
        if application is None:
            return OAuthFault("invalid_client", "client_id is invalid", 401)
        if client.client_secret and not _same(client.client_secret, application.client_secret):
            return OAuthFault("invalid_client", "client_secret is invalid", 401)
        grants: Mapping[str, Callable[[], Grant | OAuthFault]] = {
            "authorization_code": lambda: self._by_code(form, application, now),
            "refresh_token": lambda: self._by_refresh(form, application),
            "client_credentials": lambda: self._by_client(form, application, client),
        }
        kind = form.get("grant_type", "")
        if kind not in grants:
            description = f"grant_type: {kind} is not supported in this application"
            return OAuthFault("unsupported_grant_type", description)
        grant = grants[kind]()
        if isinstance(grant, OAuthFault):
            return grant
        pair = self.mint(grant, now=now)
        return {
            "access_token": pair.access_token,
            "id_token": pair.access_token,
            "refresh_token": pair.refresh_token,
            "token_type": "Bearer",
            "expires_in": self.lifetime_s,
            "scope": grant.scope,
        }

    def mint(
        self,
        grant: Grant,
        *,
        now: float | None = None,
        lifetime_s: int | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> TokenPair:
        """Sign and remember a pair for `grant` (see `tokens.issue`)."""
        pair = issue(
            grant,
            self._realm.certificate_of(grant.application),
            issuer=self._issuer,
            now=time.time() if now is None else now,
            lifetime_s=self.lifetime_s if lifetime_s is None else lifetime_s,
            changes=changes,
        )
        self.ledger.record(grant, pair)
        return pair

    def introspect(self, form: Mapping[str, str], client: ClientClaim, now: float) -> Document | OAuthFault:
        """RFC 7662, in Casdoor's form. A refresh token is active only with its own hint, as with JWT-Custom there."""
        if not client.client_id or not client.client_secret:
            return OAuthFault("invalid_request")
        application = self._realm.application(client.client_id)
        if application is None or not _same(client.client_secret, application.client_secret):
            return OAuthFault("invalid_client", "", 401)
        token = form.get("token", "")
        match form.get("token_type_hint", "access_token"):
            case "access_token":
                issued = self.ledger.by_access_token(token)
            case "refresh_token":
                issued = self.ledger.by_refresh_token(token)
            case _:
                issued = None
        if issued is None or issued.pair.claims.get("exp", 0) <= now:
            return {"active": False}
        return _introspected(issued)

    def _by_code(self, form: Mapping[str, str], application: Application, now: float) -> Grant | OAuthFault:
        code = form.get("code", "")
        row = self.ledger.take_code(code, now)
        if row is None or row.grant.application.client_id != application.client_id:
            return OAuthFault("invalid_grant", f"authorization code: [{code}] is invalid")
        digest = sha256(form.get("code_verifier", "").encode()).digest()
        if not _same(base64.urlsafe_b64encode(digest).decode().rstrip("="), row.code_challenge):
            return OAuthFault("invalid_grant", "verifier is invalid")
        if form.get("redirect_uri", row.redirect_uri) != row.redirect_uri:
            return OAuthFault("invalid_grant", "redirect_uri does not match authorization request")
        return _same_resource(row.grant, form.get("resource", ""))

    def _by_refresh(self, form: Mapping[str, str], application: Application) -> Grant | OAuthFault:
        issued = self.ledger.by_refresh_token(form.get("refresh_token", ""))
        if issued is None or issued.grant.application.client_id != application.client_id:
            return OAuthFault("invalid_grant", "refresh token is invalid or revoked")
        grant = issued.grant
        asked = form.get("scope", grant.scope)
        if not set(asked.split()) <= set(grant.scope.split()):
            return OAuthFault("invalid_scope", "the requested scope exceeds the scope granted")
        checked = _same_resource(grant, form.get("resource", grant.resource))
        if isinstance(checked, OAuthFault):
            return checked
        self.ledger.end(issued)
        return Grant(application=application, user=grant.user, scope=asked, resource=grant.resource, nonce=grant.nonce)

    def _by_client(self, form: Mapping[str, str], application: Application, client: ClientClaim) -> Grant | OAuthFault:
        if not client.client_secret:
            return OAuthFault("invalid_client", "client_secret is invalid", 401)
        scope = form.get("scope", "")
        if not self.allowed_scope(application, scope):
            return OAuthFault("invalid_scope", "the requested scope is invalid or not defined in the application")
        return Grant(application=application, user=None, scope=scope)  # `resource` is ignored, as in Casdoor


def _same_resource(grant: Grant, resource: str) -> Grant | OAuthFault:
    if resource == grant.resource:
        return grant
    return OAuthFault(
        "invalid_grant",
        f"resource parameter does not match authorization request, expected: [{grant.resource}], got: [{resource}]",
    )


def _introspected(issued: Issued) -> Document:
    claims, grant = issued.pair.claims, issued.grant
    return {
        "active": True,
        "scope": grant.scope,
        "client_id": grant.application.client_id,
        "username": claims.get("name", ""),
        "token_type": "Bearer",
        **{name: claims[name] for name in INTROSPECTED_CLAIMS if name in claims},
    }


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
