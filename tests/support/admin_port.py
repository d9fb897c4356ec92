"""A started admin port with everything real behind it: a list of revocations, events, keys of `tokens.ALGORITHMS`."""

import http.client
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from extauthz.adapters.admin.actions import AdminActions
from extauthz.adapters.admin.server import AdminServer
from extauthz.adapters.admin.status import Component, Status
from extauthz.adapters.revocation.event_log import LoggedEvents
from extauthz.adapters.revocation.process_revoker import ProcessRevoker
from extauthz.pdp.policy import CacheTerms, Issuer, Policy
from extauthz.pdp.token.jwks import KeySet
from extauthz.service.endpoint import TcpEndpoint
from extauthz.service.keys.keyring import KeyRing
from extauthz.service.needs import Answer, KeysUnavailable, Need
from extauthz.service.revocation.events import Events, EventSecrets
from extauthz.service.revocation.revocations import Revocations
from extauthz.service.revocation.revoking import Revoker
from tests.support import tokens
from tests.support.casdoor_notices import SSO_SECRET, WEBHOOK_SECRET
from tests.support.policies import policy
from tests.support.world import key_set, weather

ADMIN_TOKEN: Final = "admin-token-of-tests-0123456789ab"
WAIT_S: Final = 20.0


class _Source:
    def components(self) -> tuple[Component, ...]:
        return (Component(name="policy", ready=True),)

    def status(self) -> Status:
        return Status(version="1", started_at=0.0, policy_source="p", policy_revision="r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the port answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        """The JSON of the body."""
        return json.loads(self.body)


@dataclass(slots=True, kw_only=True)
class AdminPort:
    """The time stands at `now`, which tests may set. `needs` collects what events asked for."""

    now: float = tokens.NOW
    policy: Policy = field(default_factory=lambda: policy(weather()))
    keys: KeySet | None = field(default_factory=key_set)
    secrets: EventSecrets = field(
        default_factory=lambda: EventSecrets(sso=(SSO_SECRET.encode(),), webhook=(WEBHOOK_SECRET.encode(),))
    )
    admin_tokens: tuple[bytes, ...] = (ADMIN_TOKEN.encode(),)
    listen: str = "127.0.0.1:0"
    revocations: Revocations = field(default_factory=Revocations)
    revoker: Revoker | None = None
    supply: Callable[[Need], Answer] | None = None
    needs: list[Need] = field(default_factory=list)
    events: Events = field(init=False)
    actions: AdminActions = field(init=False)
    server: AdminServer = field(init=False)

    def __post_init__(self) -> None:
        ids = itertools.count()
        issuers: tuple[Issuer, ...] = tuple(self.policy.issuers.values())
        ring = KeyRing(issuers, CacheTerms(), lambda: 0.5)
        for issuer in issuers if self.keys is not None else ():
            assert self.keys is not None
            ring.adopt(issuer, self.keys, self.now)
        if self.revoker is None:
            self.revoker = ProcessRevoker(
                self.revocations, None, clock=lambda: self.now, new_id=lambda: f"undo-{next(ids):08}"
            )
        self.events = Events(
            policy=lambda: self.policy,
            ring=ring,
            resolve_keys=self._supply,
            revoker=self.revoker,
            secrets=self.secrets,
            log=LoggedEvents(lambda: self.now),
            clock=lambda: self.now,
            monotonic=lambda: self.now,
            new_id=lambda: f"event-{next(ids):08}",
        )
        self.actions = AdminActions(
            admin_tokens=self.admin_tokens,
            policy=lambda: self.policy,
            revoker=self.revoker,
            events=self.events,
            new_id=lambda: f"admin-{next(ids):08}",
            clock=lambda: self.now,
        )
        self.server = AdminServer(
            listen=self.listen, source=_Source(), exposition=lambda _: (b"", "text/plain"), actions=self.actions
        )

    def _supply(self, need: Need) -> Answer:
        self.needs.append(need)
        if self.supply is not None:
            return self.supply(need)
        return self.keys or KeysUnavailable("the issuer does not answer")

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.server.stop()

    @property
    def url(self) -> str:
        """Where the port is."""
        return f"http://{self.server.address}"

    @property
    def in_force(self) -> set[tuple[str, str, str]]:
        """Kind, value and client of everything that is revoked."""
        return {(item.by.value, item.value, item.client) for item in self.revocations.in_force(self.now)}

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Answered:
        """One request. Names of headers are written with `_` for `-`."""
        assert isinstance(self.server.address, TcpEndpoint)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.address.port, timeout=WAIT_S)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return Answered(status=response.status, headers=dict(response.getheaders()), body=response.read())
        finally:
            connection.close()

    def order(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        """One request of an operator who knows the admin token."""
        usual = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content_Type": "application/json"}
        return self.ask(method, path, None if body is None else json.dumps(body), **{**usual, **headers})
