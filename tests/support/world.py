"""The check procedure without a shell: policy, keys, memories and a clock, and scripted answers to what it needs."""

import itertools
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from extauthz.pdp.policy import Issuer, Policy, Resource
from extauthz.pdp.token.jwks import KeySet, parse_key_set
from extauthz.service.asking import drive
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.call import Call
from extauthz.service.check.active_policy import ActivePolicy, Caches, SharedState
from extauthz.service.check.checked import Checked
from extauthz.service.check.procedure import check
from extauthz.service.keys.keyring import KeyRing
from extauthz.service.needs import (
    Answer,
    Awaited,
    KeysUnavailable,
    Need,
    NeedBinding,
    NeedKeys,
    NeedLock,
    NeedStored,
    Resolved,
)
from tests.support import tokens
from tests.support.checks import Seen, seen
from tests.support.policies import policy, resource, rule

CASDOOR = Issuer(
    name="casdoor",
    issuer=tokens.ISSUER,
    jwks_uri=f"{tokens.ISSUER}/.well-known/jwks",
    organizations=frozenset({"acme"}),
)

RULES = (
    rule(["tools/call"], ["weather:read"], tools=["get_*"]),
    rule(["tools/call"], ["weather:write"], tools=["set_alert"]),
)


def weather(**more: object) -> Resource:
    """The resource that `mint()` makes tokens for, under the authority and path of `check_request()`."""
    settings = {"uri": "https://mcp.example.com/weather/mcp", "audiences": frozenset({tokens.RESOURCE})}
    return resource(**{"rules": RULES, "issuers": (CASDOOR,), **settings, **more})  # type: ignore[arg-type]


def mint(scope: str = "weather:read", **claims: object) -> str:
    """A good token with this scope."""
    return tokens.mint({"scope": scope, **claims})


def key_set(document: bytes | None = None) -> KeySet:
    """The key set that knows the keys of `tokens.ALGORITHMS`."""
    parsed = parse_key_set(document or tokens.key_set_document())
    assert isinstance(parsed, KeySet)
    return parsed


@dataclass(slots=True)
class World:
    """Surroundings of checks. `needs` collects what was asked for; `answers` are tried in turn for each need."""

    policy: Policy = field(default_factory=lambda: policy(weather()))
    now: float = float(tokens.NOW)
    signer: Signer | None = None
    keys: KeySet | None = field(default_factory=key_set)
    answer: Callable[[Need], Answer] | None = None
    needs: list[Need] = field(default_factory=list)
    store: dict[str, bytes] = field(default_factory=dict)
    store_ends: dict[str, float] = field(default_factory=dict)
    """When the store ends an entry by itself."""
    random: Callable[[], float] = lambda: 0.0
    shared_state: SharedState = field(init=False)

    def __post_init__(self) -> None:
        ring = KeyRing(self.policy.issuers.values(), self.policy.cache, random.Random(1).random)
        numbers = itertools.count(1)
        self.shared_state = SharedState(
            ring=ring,
            caches=Caches.bounded(),
            new_id=lambda: f"id{next(numbers)}",
            signer=self.signer,
            random=self.random,
        )
        if self.keys is not None:
            for issuer in self.policy.issuers.values():
                ring.adopt(issuer, self.keys, self.now)

    def check(self, data: bytes, deadline: float | None = None, takes_s: float = 0.0) -> Checked:
        """Run one check to its end. Each need takes `takes_s` of the world's time."""
        call = Call(int(self.now * 1e9), deadline)
        steps = check(data, call, ActivePolicy.of(self.policy), self.shared_state)

        def resolve(need: Awaited) -> Resolved:
            assert not isinstance(need, NeedLock), "one check at a time waits for no other"
            self.needs.append(need)
            self.now += takes_s
            return Resolved(answer=self._answer(need), now=self.now)

        checked = drive(steps, resolve)
        for write in checked.writes:
            self.store[write.key] = write.value
            self.store_ends[write.key] = self.now + write.ttl_s
        return checked

    def ask(self, data: bytes) -> Seen:
        """Run one check and read its answer as the proxy does."""
        return seen(self.check(data).response)

    def sibling(self, **changes: object) -> "World":
        """Another process of the fleet: the same policy, secret and store, memories of its own."""
        return replace(self, needs=[], **changes)  # type: ignore[arg-type]

    def _answer(self, need: Need) -> Answer:
        if self.answer is not None:
            return self.answer(need)
        if isinstance(need, NeedStored):
            self._end(need.key)
            return self.store.get(need.key)
        if isinstance(need, NeedBinding):
            self._end(need.key)
            if need.key not in self.store:
                self.store_ends[need.key] = self.now + need.ttl_s
            return self.store.setdefault(need.key, need.value)
        if isinstance(need, NeedKeys):
            return self.shared_state.ring.held(need.issuer, self.now) or KeysUnavailable("scripted")
        return None

    def _end(self, key: str) -> None:
        if self.now >= self.store_ends.get(key, math.inf):
            del self.store_ends[key]
            self.store.pop(key, None)


def kinds(needs: Iterable[Need]) -> list[str]:
    """The kinds of needs, by name."""
    return [type(need).__name__ for need in needs]
