"""Who there is: organizations with users, and applications (Casdoor's word for OAuth clients)."""

import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from extauthz.demo.issuer.certificates import Certificate

DEMO_CLIENT: Final = "demo-client"
DEMO_MACHINE: Final = "ops-bot"
LOOPBACK_REDIRECTS: Final = ("http://127.0.0.1/callback", "http://localhost/callback")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person. `groups` are Casdoor's `organization/group` names."""

    organization: str
    name: str
    display_name: str = ""
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The `sub` of their tokens: a UUID that is the same at every start."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:extauthz-demo:{self.organization}/{self.name}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A client. `scopes` empty: any scope that it asks for is granted, as in Casdoor.

    `certificate` empty: signs with the realm's first one, and has no key set of its own. A `redirect_uris` entry with a
    loopback host fits any port (RFC 8252 §7.3).
    """

    name: str
    client_id: str
    client_secret: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    organization: str = "acme"
    display_name: str = ""
    redirect_uris: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    certificate: str = ""


class Realm:
    """Everything that the issuer knows of, and can learn (registered clients) or change (certificates)."""

    def __init__(
        self,
        *,
        users: Iterable[User],
        applications: Iterable[Application],
        certificates: Iterable[Certificate],
        open_registration: Iterable[str] = (),
    ) -> None:
        self.users = tuple(users)
        self.certificates = tuple(certificates)
        self.open_registration = frozenset(open_registration)
        """Organizations whose `dcrPolicy` is `open`."""
        self._applications = {application.client_id: application for application in applications}

    @property
    def applications(self) -> tuple[Application, ...]:
        """All clients, the registered ones last."""
        return tuple(self._applications.values())

    def application(self, client_id: str) -> Application | None:
        """The client with this id."""
        return self._applications.get(client_id)

    def register(self, application: Application) -> None:
        """Add a client, or put it in place of the one with its id."""
        self._applications[application.client_id] = application

    def use_certificate(self, application: Application, name: str) -> None:
        """From now on sign this client's tokens with the certificate of that name."""
        self.register(replace(application, certificate=name))

    def user(self, name: str) -> User | None:
        """The user called `name`, or `organization/name`; the first of several."""
        return next((user for user in self.users if name in (user.name, f"{user.organization}/{user.name}")), None)

    def certificate_of(self, application: Application) -> Certificate:
        """The certificate that signs this client's tokens. Raises LookupError when there is none."""
        for certificate in self.certificates:
            if application.certificate in ("", certificate.name):
                return certificate
        raise LookupError(f"no certificate {application.certificate or 'at all'}: the issuer cannot sign")


def demo_realm(algorithm: str = "RS256") -> Realm:
    """Two people of `acme`, one of `rival`, a client for people and one for machines, registration open at `acme`."""
    return Realm(
        users=(
            User(
                organization="acme",
                name="alice",
                display_name="Alice Liddell",
                groups=("acme/engineering",),
                roles=("forecaster", "editor"),
            ),
            User(organization="acme", name="bob", display_name="Bob", roles=("forecaster",)),
            User(organization="rival", name="mallory", display_name="Mallory of the other organization"),
        ),
        applications=(
            Application(
                name="app-demo",
                client_id=DEMO_CLIENT,
                display_name="Demo client",
                redirect_uris=LOOPBACK_REDIRECTS,
                certificate="cert-demo",
            ),
            Application(name="app-ops", client_id=DEMO_MACHINE, display_name="Ops bot", certificate="cert-demo"),
        ),
        certificates=(Certificate.make("cert-demo", algorithm),),
        open_registration=("acme",),
    )
