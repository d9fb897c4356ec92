"""What the processes of a fleet tell each other about key sets through the shared store.

Three entries per issuer, all signed (a process trusts none that was not written with its secret):

* the document that was fetched last, with the moment at which that fetch began;
* the lease of the process that is fetching on schedule, gone when it is done or after `LEASE_S`;
* the mark of the last fetch that a token caused, for `REFETCH_INTERVAL_S`.

Nothing here is an authority: without an answer, or with a forged one, each process keeps to its own limits.
"""

import asyncio
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from extauthz.pdp.policy import Issuer
from extauthz.service.cache.signed_entry import Signer, framed_digest
from extauthz.service.keys.keyring import CLOCK_STEP_S, REFETCH_INTERVAL_S
from extauthz.service.ports import CacheKind, CacheResult, Observer, Store, StoreUnavailable, Tier

LEASE_S: Final = 7.0
"""Longer than a fetch may take (5 s), so a lease outlives its holder's work; short, since its holder may have died."""
CLAIM_AGAIN_S: Final = (0.05, 0.15)
"""Pauses after which a claim is repeated when the store did not answer. Its deadline is made for checks, and one that
is missed once, by a busy machine, must not let every process fetch for itself. Repeated with one value, a claim that
did arrive is still ours. A store that is down for good costs this much, once per fetch."""

_DOCUMENT: Final = "jwks"
_MOMENT: Final = struct.Struct(">d")


class ClaimKind(StrEnum):
    """What a process claims for the whole fleet. The value is the kind of the signed entry."""

    REFRESH = "jwks-lease"
    REFETCH = "jwks-refetch"


CLAIM_TTL_S: Final = {ClaimKind.REFRESH: LEASE_S, ClaimKind.REFETCH: REFETCH_INTERVAL_S}


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedDocument:
    """A key set document from the store, and when its fetch began (never later than now)."""

    document: bytes
    fetched_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Won:
    """This process may fetch. `value` is the fencing value by which it knows its own claim."""

    kind: ClaimKind
    key: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Another process has claimed it, at `started_at`."""

    started_at: float


@dataclass(frozen=True, slots=True)
class Unannounced:
    """The store cannot tell: it is away, or the entry is not one of ours."""


Claim: TypeAlias = Won | Taken | Unannounced


class KeyShare:
    """The shared side of key sets. No method raises. `random` gives numbers in [0, 1) that no other process repeats."""

    def __init__(self, store: Store, signer: Signer, observer: Observer, random: Callable[[], float]) -> None:
        self._store = store
        self._signer = signer
        self._observer = observer
        self._random = random

    async def read(self, issuer: Issuer, now: float, *, polling: bool = False) -> SharedDocument | Unannounced | None:
        """The document of the issuer; None when there is none, or one that is not to be trusted.

        A poll for something expected is not reported as a look-up.
        """
        key = _key(_DOCUMENT, issuer)
        shared: SharedDocument | Unannounced | None
        try:
            blob = await self._store.get(key)
        except StoreUnavailable:
            shared, result = Unannounced(), CacheResult.UNAVAILABLE
        else:
            shared = None if blob is None else self._opened(key, blob, now)
            result = CacheResult.MISS if blob is None else CacheResult.INVALID if shared is None else CacheResult.HIT
        if not polling:
            self._observer.looked_up(Tier.REDIS, CacheKind.JWKS, result)
        return shared

    async def publish(self, issuer: Issuer, shared: SharedDocument, now: float, max_stale_s: float) -> bool:
        """Share a document until it is `max_stale_s` old, unless one as late stands there already. False: it is not.

        A process that was stopped in its fetch for longer than its lease thus leaves its successor's document alone.
        """
        match await self.read(issuer, now, polling=True):
            case Unannounced():
                return False
            case SharedDocument() as standing if standing.fetched_at >= shared.fetched_at:
                return True
        key = _key(_DOCUMENT, issuer)
        expires_at = math.ceil(shared.fetched_at + max_stale_s)
        blob = self._signer.sign(_DOCUMENT, key, _MOMENT.pack(shared.fetched_at) + shared.document, expires_at)
        try:
            await self._store.put(key, blob, expires_at - now)
        except StoreUnavailable:
            return False
        return True

    async def claim(self, kind: ClaimKind, issuer: Issuer, now: float) -> Claim:
        """Claim the right to fetch for the fleet."""
        key = _key(kind, issuer)
        ttl_s = CLAIM_TTL_S[kind]
        fence = _MOMENT.pack(self._random()) + _MOMENT.pack(self._random())
        value = self._signer.sign(kind, key, _MOMENT.pack(now) + fence, math.ceil(now + ttl_s))
        standing = await self._stands(key, value, ttl_s)
        if standing is None:
            return Unannounced()
        if standing == value:
            return Won(kind=kind, key=key, value=value)
        payload = self._signer.open(kind, key, standing, now)
        if payload is None or len(payload) != len(fence) + _MOMENT.size:
            return Unannounced()
        return Taken(started_at=min(now, _MOMENT.unpack_from(payload)[0]))

    async def give_back(self, claim: Won) -> None:
        """End a claim early, if it still is ours."""
        try:
            await self._store.delete_if_equal(claim.key, claim.value)
        except StoreUnavailable:
            return

    async def _stands(self, key: str, value: bytes, ttl_s: float) -> bytes | None:
        """What stands at `key` after `value` was put there unless something did; None when the store does not say."""
        for pause_s in (*CLAIM_AGAIN_S, None):
            try:
                return await self._store.put_if_absent(key, value, ttl_s)
            except StoreUnavailable:
                if pause_s is not None:
                    await asyncio.sleep(pause_s)
        return None

    def _opened(self, key: str, blob: bytes, now: float) -> SharedDocument | None:
        payload = self._signer.open(_DOCUMENT, key, blob, now)
        if payload is None or len(payload) < _MOMENT.size:
            return None
        (fetched_at,) = _MOMENT.unpack_from(payload)
        # Clocks of a fleet differ a little; an entry from far in the future would count as fresh for too long.
        if not fetched_at <= now + CLOCK_STEP_S:
            return None
        return SharedDocument(document=payload[_MOMENT.size :], fetched_at=min(fetched_at, now))


def _key(kind: str, issuer: Issuer) -> str:
    return f"{kind}:{framed_digest(kind, issuer.issuer, issuer.jwks_uri)}"
