"""Real processes around one Redis: an issuer, a link, and any number of `extauthz serve`.

with Rig(folder) as rig:
    rig.redis, rig.link                 to be ill-treated
    rig.client.all(rig.deck.deal(100))  see `load`
    rig.replicas[0].looked_up("miss")   what the process's own metrics say of its look-ups in Redis
"""

import re
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from extauthz.demo.processes import LOOPBACK
from tests.chaos.load import Client, Deck, wrong
from tests.support import tokens
from tests.support.http_issuer import HttpIssuer
from tests.support.link import Link
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_sentinel import RedisSentinel
from tests.support.redis_server import RedisServer
from tests.support.served import Served, policy_text
from tests.support.waiting import eventually

SECRET: Final = "0123456789abcdef0123456789abcdef"
ADMIN_TOKEN: Final = "admin-token-of-tests-0123456789ab"
_SAMPLE: Final = re.compile(
    r'^extauthz_cache_requests_total\{(?P<labels>[^}]*tier="redis"[^}]*)\} (?P<value>\S+)$', re.MULTILINE
)


class Replica:
    """One `extauthz serve`, and a client of it."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.client = Client(served.port)

    def revoke(self, **item: str) -> None:
        """Put a revocation in force, here at once and elsewhere as Redis allows: `by="subject", value=…`."""
        answer = httpx.post(
            f"http://{LOOPBACK}:{self.served.admin_port}/revocations",
            json={"issuer": "casdoor", **item},
            headers={"authorization": f"Bearer {ADMIN_TOKEN}"},
            trust_env=False,
        )
        assert answer.is_success, answer.text

    def warm(self, deck: Deck) -> None:
        """Let the process know all that is cached in the deck.

        On a busy machine Redis may not answer about the session in time, which is a 503 until it does.
        """
        self.revoke(by="subject", value=deck.REVOKED)
        eventually(lambda: not wrong(self.client.all(deck.warm(), at_once=1)), "the process knows the deck")

    def mended(self, deck: Deck) -> None:
        """Wait until it reaches Redis again."""
        before = self.looked_up("miss")

        def reached() -> bool:
            self.client.all(deck.deal(4))
            return self.looked_up("miss") > before

        eventually(reached, "Redis is asked again after the fault")

    def looked_up(self, result: str, kind: str = "") -> int:
        """How many look-ups in Redis came to this result."""
        text = httpx.get(f"http://{LOOPBACK}:{self.served.admin_port}/metrics", trust_env=False).text
        wanted = [f'result="{result}"', *([f'kind="{kind}"'] if kind else [])]
        samples = _SAMPLE.finditer(text)
        return int(sum(float(one["value"]) for one in samples if all(label in one["labels"] for label in wanted)))


class Place(Enum):
    """What stands behind `EXTAUTHZ_REDIS_URL`."""

    SERVER = "one server"
    LINK = "one server behind a link"
    SENTINEL = "a master and a replica, watched by a sentinel"
    CLUSTER = "a cluster of three masters"


class Rig:
    """Everything on loopback. The link keeps what it hears if it is `recording`."""

    redis: RedisServer
    """With SERVER and LINK."""
    link: Link
    """With SERVER and LINK; there is one to be used by processes that are added."""
    sentinel: RedisSentinel
    cluster: RedisCluster

    def __init__(
        self, folder: Path, place: Place = Place.LINK, *, recording: bool = False, replicas: int = 1, policy: str = ""
    ) -> None:
        self.folder = folder
        self._place = place
        self._recording = recording
        self._count = replicas
        self._policy = policy
        self._stack = ExitStack()
        self._added = 0
        self.replicas: list[Replica] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.issuer = stack.enter_context(HttpIssuer())
            self.issuer.answer("/jwks", body=tokens.key_set_document())
            url = self._placed(stack)
            self.url = url
            self.deck = Deck()
            for number in range(self._count):
                self.replicas.append(self._started(stack, f"extauthz-{number}", url))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)

    def add(self, *, policy: str = "", linked: bool = False) -> Replica:
        """One process more, which is none of `replicas`."""
        self._added += 1
        return self._started(self._stack, f"added-{self._added}", self.link.url if linked else self.url, policy)

    def _placed(self, stack: ExitStack) -> str:
        match self._place:
            case Place.SENTINEL:
                self.sentinel = stack.enter_context(RedisSentinel(self.folder))
                return self.sentinel.url
            case Place.CLUSTER:
                self.cluster = stack.enter_context(RedisCluster(self.folder))
                return self.cluster.url
            case Place.SERVER | Place.LINK:
                self.redis = stack.enter_context(RedisServer(self.folder))
                self.link = stack.enter_context(Link(self.redis.port, recording=self._recording))
                return self.redis.url if self._place is Place.SERVER else self.link.url

    def _started(self, stack: ExitStack, name: str, url: str, policy: str = "") -> Replica:
        shared = {"EXTAUTHZ_REDIS_URL": url, "EXTAUTHZ_CACHE_SECRET": SECRET, "EXTAUTHZ_ADMIN_TOKEN": ADMIN_TOKEN}
        text = policy or self._policy or policy_text(self.issuer.url)
        served = stack.enter_context(Served(self.folder, text, environment=shared, name=name))
        replica = Replica(served)
        stack.callback(replica.client.close)
        return replica

    @property
    def client(self) -> Client:
        """Of the first process."""
        return self.replicas[0].client

    def warm(self) -> None:
        """Every process knows all that is remembered in the deck."""
        for replica in self.replicas:
            replica.warm(self.deck)
