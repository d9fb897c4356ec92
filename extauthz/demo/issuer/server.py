"""The issuer as one object: served from a thread, with everything that a test or the demo wants to do to it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from extauthz.demo.http_server import HttpServer
from extauthz.demo.issuer.certificates import Certificate
from extauthz.demo.issuer.endpoints import JWKS, Endpoints
from extauthz.demo.issuer.key_sets import JwksAnswer
from extauthz.demo.issuer.realm import DEMO_CLIENT, Realm, demo_realm
from extauthz.demo.issuer.tokens import LIFETIME_S, Grant, TokenPair
from extauthz.demo.processes import LOOPBACK, free_port

HOSTS: Final = (LOOPBACK, "localhost")


class DemoIssuer:
    """A running issuer. NOT FOR PRODUCTION: see the package's docstring.

    `consents=True` answers authorization requests without asking, in the name that `login_hint` gives (default: the
    first user). Everything below may be used from any thread while it runs.
    """

    def __init__(
        self,
        realm: Realm | None = None,
        *,
        port: int = 0,
        lifetime_s: int = LIFETIME_S,
        consents: bool = False,
        registration_organization: str = "acme",
    ) -> None:
        self.realm = realm if realm is not None else demo_realm()
        port = port or free_port()
        self.url = f"http://{LOOPBACK}:{port}"
        """The issuer identifier: `iss` of its tokens, and where its discovery documents are."""
        self.endpoints = Endpoints(
            self.realm,
            issuer=self.url,
            registration_organization=registration_organization,
            lifetime_s=lifetime_s,
            consents=consents,
        )
        self._server = HttpServer("the demo issuer", self.endpoints.application(HOSTS), port=port)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Listen. Raises ProgramError when the port is taken. After `stop()`: the outage is over."""
        self._server.start()

    def stop(self) -> None:
        """Stop listening: from now on the issuer cannot be reached. What it has issued is kept."""
        self._server.stop()

    @property
    def jwks_uri(self) -> str:
        """Address of the key set with every key."""
        return self.url + JWKS

    def application_jwks_uri(self, name: str) -> str:
        """Address of the key set of one application."""
        return f"{self.url}/.well-known/{name}/jwks"

    @property
    def requests(self) -> "Counter[str]":
        """Requests so far, by path."""
        return self.endpoints.requests

    @property
    def jwks_fetches(self) -> int:
        """Requests so far for any key set."""
        return self.endpoints.key_sets.fetches.total()

    def answer_jwks(self, answer: JwksAnswer) -> None:
        """From now on answer requests for key sets like this."""
        self.endpoints.key_sets.answer = answer

    def token(
        self,
        user: str | None = "alice",
        *,
        client_id: str = DEMO_CLIENT,
        resource: str = "",
        scopes: Iterable[str] = (),
        lifetime_s: int | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> TokenPair:
        """A token without the flow that leads to it. `user` None: a machine token (then `resource` does not count).

        `claims` overwrite the access token's claims; None as a value leaves the claim out. Raises LookupError for a
        user or client that does not exist.
        """
        application = self.realm.application(client_id)
        person = self.realm.user(user) if user is not None else None
        if application is None or (user is not None and person is None):
            raise LookupError(f"no client {client_id} or no user {user}")
        grant = Grant(
            application=application,
            user=person,
            scope=" ".join(scopes),
            resource=resource if person is not None else "",
        )
        return self.endpoints.grants.mint(grant, lifetime_s=lifetime_s, changes=claims)

    def revoke(self, access_token: str) -> bool:
        """End a token as a logout does: introspection says inactive. Whether there was such a token."""
        issued = self.endpoints.grants.ledger.by_access_token(access_token)
        if issued is not None:
            self.endpoints.grants.ledger.end(issued)
        return issued is not None

    def rotate_key(self, name: str, algorithm: str = "RS256") -> Certificate:
        """A new certificate with a new name that signs from now on; the old ones stay in the key set."""
        certificate = Certificate.make(name, algorithm)
        self.realm.certificates = (certificate, *self.realm.certificates)
        for application in [each for each in self.realm.applications if each.certificate]:
            self.realm.use_certificate(application, name)
        return certificate

    def replace_key(self, name: str, algorithm: str = "RS256") -> Certificate:
        """A certificate edited in place: the same `kid`, another key. Raises LookupError when there is none."""
        if name not in [each.name for each in self.realm.certificates]:
            raise LookupError(f"no certificate {name}")
        certificate = Certificate.make(name, algorithm)
        self.realm.certificates = tuple(certificate if each.name == name else each for each in self.realm.certificates)
        return certificate

    def withdraw_key(self, name: str) -> None:
        """Take a certificate out of the key set, as when a signing key has leaked."""
        self.realm.certificates = tuple(each for each in self.realm.certificates if each.name != name)
