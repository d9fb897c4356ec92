"""A fleet of processes that share a store and ask one issuer for keys, in virtual time.

async def main(clock):
    fleet = Fleet(clock, replicas=2)
    ...
run(main, at=NOW)
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from extauthz.adapters.memory_store import MemoryStore
from extauthz.pdp.policy import CacheTerms, Issuer
from extauthz.pdp.token.jwks import KeySet
from extauthz.service.cache.signed_entry import Signer
from extauthz.service.details import CheckDetails
from extauthz.service.keys.key_service import KeyService
from extauthz.service.keys.keyring import KeyRing
from extauthz.service.needs import KeysCause, KeysUnavailable, NeedKeys
from extauthz.service.ports import (
    CacheKind,
    CacheResult,
    FetchResult,
    KeySetUnavailable,
    ReloadResult,
    Store,
    Tier,
)
from tests.support.clock import Clock
from tests.support.tokens import SIGNING_KEYS, SigningKey, issuer, key_set_document

SECRET = b"s" * 32
ISSUER = issuer()


class Recorder:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.fetches: Counter[FetchResult] = Counter()
        self.look_ups: list[tuple[Tier, CacheKind, CacheResult]] = []

    def checked(self, details: CheckDetails) -> None:
        raise AssertionError("no check is made here")

    def reloaded(self, result: ReloadResult) -> None:
        raise AssertionError("no policy is read here")

    def looked_up(self, tier: Tier, kind: CacheKind, result: CacheResult) -> None:
        self.look_ups.append((tier, kind, result))

    def fetched(self, issuer: str, result: FetchResult) -> None:
        self.fetches[result] += 1


class ScriptedIssuer:
    """A `KeySetFetcher` whose issuer publishes what the test says, and notes when it was asked.

    `takes_s` is how long an answer takes. `fault` is what goes wrong; None means nothing does.
    """

    def __init__(self, clock: Clock, document: bytes) -> None:
        self._clock = clock
        self.document = document
        self.fault: str | None = None
        self.takes_s = 0.02
        self.asked_at: list[float] = []
        self.asked: list[Issuer] = []

    async def fetch(self, issuer: Issuer) -> bytes:
        self.asked.append(issuer)
        self.asked_at.append(self._clock())
        # What an issuer answers is what it knew when it was asked.
        document, fault = self.document, self.fault
        await asyncio.sleep(self.takes_s)
        if fault is not None:
            raise KeySetUnavailable(fault)
        return document

    def most_in_a_window(self, window_s: float) -> int:
        """The largest number of fetches in any half-open window of that length."""
        return max((sum(at <= other < at + window_s for other in self.asked_at) for at in self.asked_at), default=0)


class Replica:
    """One process."""

    def __init__(
        self,
        clock: Callable[[], float],
        fetcher: ScriptedIssuer,
        store: Store | None,
        *,
        secret: bytes = SECRET,
        seed: int = 0,
        issuers: Iterable[Issuer] = (ISSUER,),
        terms: CacheTerms | None = None,
    ) -> None:
        randomness = random.Random(seed)
        self.clock = clock
        self.observer = Recorder()
        self.ring = KeyRing(issuers, terms or CacheTerms(), randomness.random)
        self.service = KeyService(
            ring=self.ring,
            fetcher=fetcher,
            store=store,
            signer=Signer([secret]),
            observer=self.observer,
            clock=clock,
            random=randomness.random,
        )

    async def ask(self, cause: KeysCause, of: Issuer = ISSUER) -> KeySet | KeysUnavailable:
        return await self.service.obtain(NeedKeys(issuer=of, cause=cause))

    async def token(self, key_id: str, key: SigningKey, of: Issuer = ISSUER) -> bool | None:
        """Whether a token with this `kid`, signed with this key, is found genuine; None when no keys can be had.

        Does what the procedure does: look at what is held, ask at most once.
        """
        held = self.ring.held(of, self.clock())
        asked = held is None
        if held is None:
            answer = await self.ask(KeysCause.NONE_HELD, of)
            if isinstance(answer, KeysUnavailable):
                return None
            held = answer
        public = SigningKey(kid=key_id, private=key.private)
        while True:
            candidates = held.candidates(key_id, "RS256")
            if any(candidate.members["n"] == public.jwk()["n"] for candidate in candidates):
                return True
            if asked or not self.ring.may_refetch(of, self.clock()):
                return False
            asked = True
            answer = await self.ask(KeysCause.BAD_SIGNATURE if candidates else KeysCause.UNKNOWN_KEY, of)
            if isinstance(answer, KeysUnavailable):
                return None
            held = answer

    async def tick(self, seconds: float) -> None:
        """Let time pass, with the background loop running once a second."""
        until = self.clock() + seconds
        while self.clock() < until:
            await self.service.refresh_due()
            await asyncio.sleep(min(1.0, max(0.0, until - self.clock())))


class Fleet:
    """Replicas over one issuer and one store."""

    def __init__(self, clock: Clock, *, replicas: int = 2, shared: bool = True) -> None:
        self.clock = clock
        self.issuer = ScriptedIssuer(clock, document("RS256"))
        self.store = MemoryStore(clock=clock)
        self.replicas = [
            Replica(clock, self.issuer, self.store if shared else None, seed=number) for number in range(replicas)
        ]

    async def warm(self) -> None:
        await asyncio.gather(*(replica.service.warm([ISSUER]) for replica in self.replicas))

    async def tick(self, seconds: float) -> None:
        await asyncio.gather(*(replica.tick(seconds) for replica in self.replicas))


def document(*names: str, **renamed: str) -> bytes:
    """A key set of the named test keys; `kid="RS512"` publishes that key under another `kid`."""
    keys = [SIGNING_KEYS[name] for name in names]
    keys += [replace(SIGNING_KEYS[name], kid=key_id) for key_id, name in renamed.items()]
    return key_set_document(keys)
