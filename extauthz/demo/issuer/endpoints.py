"""The issuer's HTTP surface: Casdoor's paths, and its odd answers where a validator meets them."""

import base64
import binascii
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

from starlette.applications import Starlette
from starlette.datastructures import ImmutableMultiDict
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from extauthz.demo.issuer.authorize import Authorize
from extauthz.demo.issuer.grants import ClientClaim, Document, Grants, OAuthFault
from extauthz.demo.issuer.key_sets import KeySets
from extauthz.demo.issuer.realm import Realm
from extauthz.demo.issuer.registration import register

AUTHORIZE: Final = "/login/oauth/authorize"
TOKEN: Final = "/api/login/oauth/access_token"  # noqa: S105 - a path
INTROSPECT: Final = "/api/login/oauth/introspect"
REGISTER: Final = "/api/oauth/register"
LOGOUT: Final = "/api/logout"
JWKS: Final = "/.well-known/jwks"

MAX_METADATA_BYTES: Final = 65_536
"""More than any client's registration."""

LOOPBACK_ORIGINS: Final = r"http://(localhost|127\.0\.0\.1)(:\d+)?"
"""Browser pages that may use this issuer: those of this machine."""

UNAUTHORIZED: Final = {"status": "error", "msg": "Unauthorized operation", "data": None, "data2": None}
UNKNOWN_TOKEN: Final = {
    "status": "error",
    "msg": "Access token doesn't exist in database",
    "data": None,
    "data2": None,
}


def discovery(issuer: str, *, application: str = "", scopes: tuple[str, ...] = ()) -> Document:
    """The document of `…/openid-configuration` and `…/oauth-authorization-server`, of one application or all.

    Casdoor's members, with the values that hold here.
    """
    return {
        "issuer": issuer,
        "authorization_endpoint": issuer + AUTHORIZE,
        "token_endpoint": issuer + TOKEN,
        "registration_endpoint": issuer + REGISTER,
        "jwks_uri": f"{issuer}/.well-known/{application}/jwks" if application else issuer + JWKS,
        "introspection_endpoint": issuer + INTROSPECT,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "RS512", "ES256", "ES384", "ES512"],
        "scopes_supported": ["openid", "email", "profile", "offline_access", *scopes],
        "code_challenge_methods_supported": ["S256"],
        "end_session_endpoint": issuer + LOGOUT,
    }


class Endpoints:
    """The handlers, with what they need. `clock` gives Unix seconds."""

    def __init__(
        self,
        realm: Realm,
        *,
        issuer: str,
        registration_organization: str,
        lifetime_s: int,
        consents: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.requests: Counter[str] = Counter()
        """Requests so far, by path."""
        self.grants = Grants(realm, issuer=issuer, lifetime_s=lifetime_s)
        self.key_sets = KeySets(realm)
        self._realm = realm
        self._issuer = issuer
        self._registration_organization = registration_organization
        self._authorize = Authorize(realm=realm, grants=self.grants, consents=consents)
        self._clock = clock

    def application(self, hosts: tuple[str, ...]) -> ASGIApp:
        """The ASGI application, for requests to these hosts only."""
        documents = ("openid-configuration", "oauth-authorization-server")
        return Starlette(
            routes=[
                *(Route(f"/.well-known/{each}", self._discovery, methods=["GET"]) for each in documents),
                *(
                    Route(f"/.well-known/{{application}}/{each}", self._discovery, methods=["GET"])
                    for each in documents
                ),
                Route(JWKS, self._jwks, methods=["GET", "POST"]),
                Route("/.well-known/{application}/jwks", self._jwks, methods=["GET", "POST"]),
                Route(AUTHORIZE, self._ask, methods=["GET"]),
                Route(AUTHORIZE, self._decide, methods=["POST"]),
                Route(TOKEN, self._token, methods=["POST"]),
                Route(INTROSPECT, self._introspect, methods=["POST"]),
                Route(REGISTER, self._register, methods=["POST"]),
                Route(LOGOUT, self._logout, methods=["GET", "POST"]),
            ],
            middleware=[
                Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
                Middleware(
                    CORSMiddleware, allow_origin_regex=LOOPBACK_ORIGINS, allow_methods=["*"], allow_headers=["*"]
                ),
                Middleware(_Counting, counter=self.requests),
                Middleware(_UnknownBearer, known=self._knows_bearer),
            ],
            exception_handlers={404: _unauthorized, 405: _unauthorized},
        )

    async def _discovery(self, request: Request) -> Response:
        name = request.path_params.get("application", "")
        scopes = next((each.scopes for each in self._realm.applications if each.name == name), ())
        return JSONResponse(discovery(self._issuer, application=name, scopes=scopes))

    async def _jwks(self, request: Request) -> Response:
        return await self.key_sets.respond(request.url.path, request.path_params.get("application", ""))

    async def _ask(self, request: Request) -> Response:
        return self._authorize.ask(_first(request.query_params), self._clock())

    async def _decide(self, request: Request) -> Response:
        return self._authorize.decide(await _form(request), self._clock())

    async def _token(self, request: Request) -> Response:
        form = await _form(request)
        return _answer(self.grants.exchange(form, _client(request, form), self._clock()), "OAuth2")

    async def _introspect(self, request: Request) -> Response:
        form = await _form(request)
        return _answer(self.grants.introspect(form, _client(request, form), self._clock()), "OAuth2")

    async def _register(self, request: Request) -> Response:
        organization = request.query_params.get("organization", self._registration_organization)
        try:
            body = await request.body()
            metadata: Any = json.loads(body) if len(body) <= MAX_METADATA_BYTES else None
        except ValueError:
            metadata = None
        if not isinstance(metadata, dict):
            return _answer(OAuthFault("invalid_client_metadata", "send a JSON object"), "OAuth2")
        answer = register(metadata, self._realm, organization=organization, issuer=self._issuer, now=self._clock())
        return _answer(answer, "OAuth2", status=201)

    async def _logout(self, request: Request) -> Response:
        """Ends the token given as `id_token_hint`: on v3 an id token is the access token. Needs no other credential."""
        hint = request.query_params.get("id_token_hint") or (await _form(request)).get("id_token_hint", "")
        issued = self.grants.ledger.by_access_token(hint)
        if issued is not None:
            self.grants.ledger.end(issued)
        return JSONResponse({"status": "ok", "msg": "", "data": "Affected" if issued else "", "data2": None})

    def _knows_bearer(self, token: str) -> bool:
        return self.grants.ledger.by_access_token(token) is not None


def _answer(answer: Document | OAuthFault, realm: str, *, status: int = 200) -> Response:
    headers = {"cache-control": "no-store"}
    if not isinstance(answer, OAuthFault):
        return JSONResponse(answer, status_code=status, headers=headers)
    if answer.status == 401:
        headers["www-authenticate"] = f'Basic realm="{realm}"'
    return JSONResponse(answer.document(), status_code=answer.status, headers=headers)


def _first(pairs: "ImmutableMultiDict[str, Any]") -> dict[str, str]:
    """Of a repeated parameter the first, as Casdoor takes it."""
    return {name: value for name, value in reversed(pairs.multi_items()) if isinstance(value, str)}


async def _form(request: Request) -> Mapping[str, str]:
    async with request.form() as form:
        return _first(form)


def _client(request: Request, form: Mapping[str, str]) -> ClientClaim:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return ClientClaim(client_id="", client_secret="")
        return ClientClaim(client_id=unquote_plus(name), client_secret=unquote_plus(secret))
    return ClientClaim(client_id=form.get("client_id", ""), client_secret=form.get("client_secret", ""))


async def _unauthorized(_request: Request, _error: Exception) -> Response:
    """Casdoor answers any path or method that it does not have with 200 and an error document."""
    return JSONResponse(UNAUTHORIZED)


class _Counting:
    """Counts requests by path."""

    def __init__(self, app: ASGIApp, counter: "Counter[str]") -> None:
        self._app = app
        self._counter = counter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._counter[scope["path"]] += 1
        await self._app(scope, receive, send)


class _UnknownBearer:
    """A Bearer token that the issuer does not know turns every answer, the JWKS too, into a 200 error."""

    def __init__(self, app: ASGIApp, known: Callable[[str], bool]) -> None:
        self._app = app
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != TOKEN:
            authorization = Request(scope).headers.get("authorization", "")
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() == "bearer" and not self._known(token):
                await JSONResponse(UNKNOWN_TOKEN)(scope, receive, send)
                return
        await self._app(scope, receive, send)
