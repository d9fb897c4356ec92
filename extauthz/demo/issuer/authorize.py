"""The authorization endpoint: judge the request, let a person pick a name, answer with a code (RFC 6749 §4.1, 9207)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlencode, urlsplit, urlunsplit

from starlette.responses import HTMLResponse, RedirectResponse, Response

from extauthz.demo.issuer import pages
from extauthz.demo.issuer.grants import Grants
from extauthz.demo.issuer.realm import Application, Realm
from extauthz.demo.issuer.tokens import Grant

PARAMETERS: Final = (
    "client_id",
    "response_type",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "resource",
    "code_challenge",
    "code_challenge_method",
)
LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorize:
    """The endpoint. With `consents` it never asks: whoever `login_hint` names (or the first user) has agreed."""

    realm: Realm
    grants: Grants
    consents: bool = False

    def ask(self, query: Mapping[str, str], now: float) -> Response:
        """GET: the page, or at once the answer."""
        parameters = {name: query[name] for name in PARAMETERS if query.get(name)}
        checked = self._checked(parameters)
        if isinstance(checked, Response):
            return checked
        if self.consents:
            return self._answer(checked, parameters, query.get("login_hint") or self.realm.users[0].name, now)
        return HTMLResponse(pages.consent_page(checked, self.realm.users, parameters), headers=pages.HEADERS)

    def decide(self, form: Mapping[str, str], now: float) -> Response:
        """POST: what the person said."""
        parameters = {name: form[name] for name in PARAMETERS if form.get(name)}
        checked = self._checked(parameters)
        if isinstance(checked, Response):
            return checked
        if form.get("decision") != "allow":
            return _redirect(parameters, error="access_denied", error_description="the person said no")
        return self._answer(checked, parameters, form.get("user", ""), now)

    def _checked(self, parameters: Mapping[str, str]) -> Application | Response:
        """The client, or the refusal: on a page as long as it is not sure where an answer may be sent."""
        application = self.realm.application(parameters.get("client_id", ""))
        if application is None:
            return _refusal("The client is not known here: register it first, or correct its client_id.")
        if not _registered(parameters.get("redirect_uri", ""), application.redirect_uris):
            return _refusal("The redirect_uri is not one of those that the client has registered.")
        if parameters.get("response_type") != "code":
            return _redirect(parameters, error="unsupported_response_type")
        if parameters.get("code_challenge_method") != "S256" or not parameters.get("code_challenge"):
            return _redirect(parameters, error="invalid_request", error_description="PKCE with S256 is required")
        if "resource" in parameters and not _split(parameters["resource"]).scheme:
            return _redirect(parameters, error="invalid_target", error_description="resource must be an absolute URI")
        if not self.grants.allowed_scope(application, parameters.get("scope", "")):
            return _redirect(parameters, error="invalid_scope")
        return application

    def _answer(self, application: Application, parameters: Mapping[str, str], name: str, now: float) -> Response:
        user = self.realm.user(name)
        if user is None:
            return _refusal("Nobody of that name is known here.")
        grant = Grant(
            application=application,
            user=user,
            scope=parameters.get("scope", ""),
            resource=parameters.get("resource", ""),
            nonce=parameters.get("nonce", ""),
        )
        code = self.grants.ledger.add_code(
            grant, code_challenge=parameters["code_challenge"], redirect_uri=parameters["redirect_uri"], now=now
        )
        return _redirect(parameters, code=code)


def _registered(uri: str, registered: tuple[str, ...]) -> bool:
    if uri in registered:
        return True
    split = _split(uri)
    if split.hostname not in LOOPBACK_HOSTS or split.scheme != "http":
        return False
    portless = urlunsplit(split._replace(netloc=split.hostname or ""))
    return portless in {urlunsplit(each._replace(netloc=each.hostname or "")) for each in map(_split, registered)}


def _split(uri: str) -> SplitResult:
    """The parts of a URI; of one that is none, empty parts."""
    try:
        return urlsplit(uri)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _redirect(parameters: Mapping[str, str], **answer: str) -> Response:
    if "state" in parameters:
        answer["state"] = parameters["state"]
    uri = parameters["redirect_uri"]
    separator = "&" if urlsplit(uri).query else "?"
    return RedirectResponse(f"{uri}{separator}{urlencode(answer)}", status_code=302, headers=pages.HEADERS)


def _refusal(message: str) -> Response:
    return HTMLResponse(pages.error_page(message), status_code=400, headers=pages.HEADERS)
